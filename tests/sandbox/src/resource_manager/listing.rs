//! What is listed, page by page.

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Rejection, ResourceManager, bad_request};

/// What a token leads through: the list as it was when its first page was asked for.
pub struct Listing {
    resources: Vec<Value>,
    page_size: usize,
    pages_given: usize,
}

/// An indicator as another product might have left it, for [`ResourceManager::plant`]. A test changes whatever else
/// it wants to.
pub fn planted(source: &str, stix_id: &str, pattern: &str, confidence: u8, valid_until: &str) -> Value {
    resource(
        source,
        &json!({
            "id": stix_id, "name": "planted", "pattern": pattern, "confidence": confidence,
            "created": "2026-01-01T00:00:00Z", "valid_from": "2026-01-01T00:00:00Z", "valid_until": valid_until,
        }),
    )
}

impl ResourceManager {
    /// The page that `body` asks for.
    pub(super) fn list(&self, body: &Value, now: DateTime<Utc>) -> Result<Value, Rejection> {
        let (number, offset) = match &body["skipToken"] {
            Value::Null => (self.begin(body, now), 0),
            Value::String(text) if !text.is_empty() => {
                token_read(text).ok_or_else(|| bad_request("The skipToken is invalid."))?
            }
            _ => return Err(bad_request("The skipToken is invalid.")),
        };
        let mut inner = self.inner.lock().unwrap();
        let (loops, token_pages) = (inner.knobs.loops, inner.knobs.token_pages);
        let link_host = inner.knobs.link_host.clone();
        let listing =
            inner.listings.get_mut(number).ok_or_else(|| bad_request("The skipToken is invalid."))?;
        if token_pages.is_some_and(|most| listing.pages_given >= most) {
            return Err(bad_request("The skipToken has expired."));
        }
        listing.pages_given += 1;
        let end = (offset + listing.page_size).min(listing.resources.len());
        let value = listing.resources.get(offset..end).unwrap_or_default();
        let mut page = json!({"value": value});
        let next = match loops {
            true => Some(offset),
            false => (end < listing.resources.len()).then_some(end),
        };
        if let Some(next) = next {
            let token = percent_encoded(&token(number, next));
            page["nextLink"] =
                format!("{link_host}{}?api-version=2025-09-01&$skipToken={token}", self.path()).into();
        }
        Ok(page)
    }

    /// A new listing; its number.
    fn begin(&self, body: &Value, now: DateTime<Utc>) -> usize {
        let (knobs, mut resources) = {
            let inner = self.inner.lock().unwrap();
            (inner.knobs.clone(), inner.planted.clone())
        };
        let sources: Option<Vec<&str>> =
            body["sources"].as_array().map(|sources| sources.iter().filter_map(Value::as_str).collect());
        // Whether the filter minds case is not documented; the less it does, the more a client has to.
        let is_named = |source: &str| {
            let named = sources.as_ref().is_none_or(|sources| {
                sources.is_empty() || sources.iter().any(|name| name.eq_ignore_ascii_case(source))
            });
            named || knobs.ignore_sources
        };
        // A search of texts: whatever names one of them, in whatever field.
        let keywords: Vec<&str> =
            body["keywords"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let is_found = |of: &Value| keywords.is_empty() || knobs.ignore_keywords || mentions(of, &keywords);
        resources.retain(|_, resource| {
            is_named(resource["properties"]["source"].as_str().unwrap_or_default()) && is_found(resource)
        });
        let stored = self.sentinel.stored_at(now - knobs.lag, |source, object| {
            object["type"] == "indicator" && is_named(source) && is_found(object)
        });
        resources.extend(stored.into_iter().map(|(key, object)| {
            let resource = resource(&key.0, &object);
            (key, resource)
        }));
        // Whether it lists what ended or was revoked, unless it is asked to, is not documented.
        let lists_disabled = body["includeDisabled"] == true || !knobs.hides_disabled;
        let until =
            |resource: &Value| resource["properties"]["validUntil"].as_str()?.parse::<DateTime<Utc>>().ok();
        let ends_after = body["minValidUntil"].as_str().and_then(|text| text.parse::<DateTime<Utc>>().ok());
        let is_listed = |resource: &Value| {
            let is_disabled = resource["properties"]["revoked"] == true
                || until(resource).is_some_and(|until| until <= now);
            let is_late = ends_after.is_none_or(|after| until(resource).is_none_or(|until| until >= after));
            (lists_disabled || !is_disabled) && is_late
        };
        let asked =
            body["pageSize"].as_u64().map_or(usize::MAX, |size| usize::try_from(size).unwrap_or(usize::MAX));
        let listing = Listing {
            resources: resources.into_values().filter(is_listed).collect(),
            page_size: asked.clamp(1, knobs.largest_page),
            pages_given: 0,
        };
        let mut inner = self.inner.lock().unwrap();
        inner.listings.push(listing);
        inner.listings.len() - 1
    }
}

/// Whether a text within `value` holds one of `words`.
fn mentions(value: &Value, words: &[&str]) -> bool {
    match value {
        Value::String(text) => words.iter().any(|word| text.contains(word)),
        Value::Array(values) => values.iter().any(|value| mentions(value, words)),
        Value::Object(values) => values.values().any(|value| mentions(value, words)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A STIX indicator as Resource Manager describes it (the REST reference's example).
fn resource(source: &str, object: &Value) -> Value {
    let id = object["id"].as_str().unwrap_or_default();
    let name = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{source}---{id}").as_bytes());
    let pattern = object["pattern"].as_str().unwrap_or_default();
    // What stands here in the example is the kind of the observable, not `stix`.
    let kind = pattern.trim_start_matches(['[', '(', ' ']).split(':').next().unwrap_or_default();
    let mut properties = json!({
        "source": source, "externalId": id, "displayName": object["name"], "pattern": pattern,
        "patternType": kind, "revoked": object["revoked"].as_bool().unwrap_or(false),
        "created": object["created"], "lastUpdatedTimeUtc": object["modified"],
        "externalReferences": [], "granularMarkings": [], "killChainPhases": [],
        "threatIntelligenceTags": object["labels"], "threatTypes": object["indicator_types"],
        "description": object["description"], "confidence": object["confidence"],
        "validFrom": object["valid_from"], "validUntil": object["valid_until"],
    });
    // What an indicator lacks is left away.
    properties.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    json!({
        "id": format!("/providers/Microsoft.SecurityInsights/ThreatIntelligence/{name}"),
        "name": name.to_string(), "type": "Microsoft.SecurityInsights/ThreatIntelligence", "kind": "indicator",
        "etag": "\"00002f2c-0000-0800-0000-5e976a8e0000\"", "properties": properties,
    })
}

/// Opaque, and in base64 with a plus and a slash, so that a client that encodes or decodes badly is found out.
fn token(listing: usize, offset: usize) -> String {
    let mut bytes = vec![0xfb, 0xff, 0xbf];
    bytes.extend(format!("{listing} {offset}").bytes());
    STANDARD.encode(bytes)
}

fn token_read(token: &str) -> Option<(usize, usize)> {
    let bytes = STANDARD.decode(token).ok()?;
    let text = String::from_utf8(bytes.get(3..)?.to_vec()).ok()?;
    let (listing, offset) = text.split_once(' ')?;
    Some((listing.parse().ok()?, offset.parse().ok()?))
}

fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// As far as it can be decoded.
pub fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code =
            tail.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
