//! Indicators as Azure Resource Manager describes them, and which of them could be ours.

use chrono::{DateTime, NaiveDateTime, Utc};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::pattern;
use crate::{
    domain::{
        deciding_record::Tag,
        entry::Handle,
        fingerprint::Fingerprint,
        inventory::{Held, InventoryPage, Owner, PassedOver},
        page::{About, UNREADABLE},
    },
    http::{
        text::cut,
        unexpected::{error, object},
    },
};

/// So much of a pattern is written to the log, in characters.
const LONGEST: usize = 200;

/// An answer that is no page, or not one to go on from; the sentence says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unclear(pub String);

/// Body of a page.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    value: Vec<Value>,
    #[serde(default)]
    next_link: Option<String>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// An indicator as Resource Manager describes it.
#[derive(Deserialize)]
struct Resource {
    kind: Option<String>,
    properties: Properties,
}

/// Everything is optional, dates are any text.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Properties {
    pub source: Option<String>,
    pub external_id: Option<String>,
    pub pattern: Option<String>,
    pub revoked: Option<bool>,
    #[serde(default, deserialize_with = "confidence")]
    pub confidence: u8,
    pub valid_until: Option<String>,
    #[serde(default)]
    pub description: Value,
    /// Labels, as the portal calls them.
    #[serde(default)]
    pub threat_intelligence_tags: Value,
    #[serde(default)]
    pub labels: Value,
}

/// A missing or strange one counts as 0: it must not keep an indicator from being adopted.
fn confidence<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    let confidence = Value::deserialize(deserializer)?.as_f64().unwrap_or_default().clamp(0.0, 100.0);
    // The clamp leaves nothing that a conversion could lose, other than what stands behind the point.
    Ok(confidence as u8)
}

/// The body of a 200 at `now`.
///
/// # Errors
/// It is no page, or does not say how to go on.
pub fn read_page(body: &[u8], source_system: &str, now: DateTime<Utc>) -> Result<InventoryPage, Unclear> {
    let (items, next) = items(body)?;
    let (mut held, mut passed_over) = (Vec::new(), Vec::new());
    for item in items {
        let id = [&item["properties"]["externalId"], &item["name"]];
        let id = id.into_iter().find_map(Value::as_str).unwrap_or("an indicator without an id").to_owned();
        // STIX says what an indicator is about in its pattern, which names the type too.
        let text = |value: &Value| cut(value.as_str().unwrap_or(UNREADABLE).to_owned(), LONGEST);
        let about = About { value: text(&item["properties"]["pattern"]), kind: text(&item["kind"]) };
        match read(item, source_system, now) {
            Ok(indicator) => held.push(indicator),
            Err(reason) => passed_over.push(PassedOver { id, about, reason }),
        }
    }
    Ok(InventoryPage { held, passed_over, next })
}

/// A page of what is shown, whether it is ours or not.
pub struct Listed {
    pub items: Vec<Shown>,
    pub next: Option<String>,
}

/// An indicator as it is shown.
pub struct Shown {
    /// The STIX id.
    pub id: String,
    pub source: String,
    pub until: Option<DateTime<Utc>>,
}

/// The same body, of which only ids and validity are wanted.
///
/// # Errors
/// As [`read_page`].
pub fn read_list(body: &[u8]) -> Result<Listed, Unclear> {
    let (items, next) = items(body)?;
    let items = items.into_iter().map(|item| {
        let text = |name: &str| item["properties"][name].as_str().unwrap_or_default();
        Shown {
            id: text("externalId").to_owned(),
            source: text("source").to_owned(),
            until: date(text("validUntil")),
        }
    });
    Ok(Listed { items: items.collect(), next })
}

/// What stands on a page, and the token of the next one.
///
/// # Errors
/// It is no page, or does not say how to go on.
pub(super) fn items(body: &[u8]) -> Result<(Vec<Value>, Option<String>), Unclear> {
    let page = object::<Page>(body).and_then(|page| error(&page.others).map_or(Ok(page), Err));
    let page = page.map_err(|problem| {
        Unclear(format!(
            "an answer that is not Azure Resource Manager's, perhaps a proxy's in between: {problem}"
        ))
    })?;
    let next = match page.next_link.as_deref() {
        None | Some("") => None,
        Some(link) => match skip_token(link) {
            Some(token) => Some(token),
            None => {
                return Err(Unclear(format!(
                    "Azure Resource Manager's link to the next page has no token: {link}"
                )));
            }
        },
    };
    Ok((page.value, next))
}

/// What is told of an indicator, if it is one of the source.
///
/// # Errors
/// Why it is none, as half a sentence.
pub(super) fn of_source(item: Value, source_system: &str) -> Result<Properties, String> {
    let Resource { kind, properties } =
        serde_json::from_value(item).map_err(|error| format!("cannot be read: {error}"))?;
    let kind = kind.unwrap_or_default();
    if !kind.eq_ignore_ascii_case("indicator") {
        return Err(format!("is of the kind {kind:?}"));
    }
    // Sentinel tells indicators apart by source and id, the source in base64 and so letter by letter
    // (learn.microsoft.com, "Threat intelligence in Microsoft Sentinel"). One of "mandiant" sent again as "Mandiant"
    // would be two.
    let source = properties.source.as_deref().unwrap_or_default();
    if source != source_system {
        return Err(format!("is of the source {source:?}"));
    }
    Ok(properties)
}

/// What of an indicator is adopted, or why it is not.
fn read(item: Value, source_system: &str, now: DateTime<Utc>) -> Result<Held, String> {
    let properties = of_source(item, source_system)?;
    if properties.revoked == Some(true) {
        return Err("is revoked, for ever".to_owned());
    }
    let until = properties.valid_until.unwrap_or_default();
    let valid_until = date(&until).ok_or_else(|| format!("has no readable end of validity: {until:?}"))?;
    if valid_until <= now {
        return Err(format!("expired at {valid_until}"));
    }
    let id = properties.external_id.unwrap_or_default();
    let stix_id = stix_id(&id).ok_or("has an id that is not indicator-- and a UUID in lower case")?;
    let (key, observable) = pattern::read(&properties.pattern.unwrap_or_default())
        .map_err(|problem| format!("is not one of ours: its {problem}"))?;
    let is_ours = stix_id == key.0;
    Ok(Held {
        key: Some(key),
        owner: if is_ours { Owner::Us } else { Owner::Predecessor },
        compared_as: id,
        handle: (!is_ours).then_some(Handle::Foreign(stix_id)),
        valid_until: Some(valid_until),
        fingerprint: Fingerprint::adopted(properties.confidence),
        tag: Tag::default(),
        indicator_type: None,
        harm: None,
        observable: Some(observable),
    })
}

/// Only the one spelling in which we would send the id again: another would make a second indicator.
pub(super) fn stix_id(id: &str) -> Option<Uuid> {
    let text = id.strip_prefix("indicator--")?;
    Uuid::try_parse(text).ok().filter(|uuid| uuid.to_string() == text)
}

/// RFC 3339; without a zone it is in UTC, as all dates of this API are.
pub(super) fn date(text: &str) -> Option<DateTime<Utc>> {
    let with_zone = || DateTime::parse_from_rfc3339(text).ok().map(|date| date.to_utc());
    let without =
        || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok().map(|date| date.and_utc());
    with_zone().or_else(without)
}

/// The token in the query of a link to the next page. The link's host does not matter: it is not followed.
fn skip_token(link: &str) -> Option<String> {
    let (_, query) = link.split_once('?')?;
    query.split('#').next()?.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        percent_decoded(name)?.eq_ignore_ascii_case("$skipToken").then(|| percent_decoded(value))?
    })
}

/// A plus stays a plus: tokens are often base64.
fn percent_decoded(text: &str) -> Option<String> {
    let is_escape = |rest: &str| {
        rest.get(..2).is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
    };
    if !text.split('%').skip(1).all(is_escape) {
        return None;
    }
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    Some(decoded.into_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "indicator--a2b6a95e-2108-4a38-bd49-ef95811bbcd7";

    fn now() -> DateTime<Utc> {
        "2026-03-02T12:00:00Z".parse().unwrap()
    }

    fn page(body: &Value) -> InventoryPage {
        read_page(body.to_string().as_bytes(), "Mandiant", now()).unwrap()
    }

    /// An indicator with one property changed.
    fn indicator(name: &str, value: Value) -> Value {
        let mut properties = json!({
            "source": "Mandiant", "externalId": ID, "pattern": "[url:value = 'http://x.example/']",
            "confidence": 78, "validUntil": "2026-04-01T00:00:00Z", "revoked": false,
        });
        properties[name] = value;
        json!({"name": "arm-name", "kind": "indicator", "properties": properties})
    }

    #[test]
    fn what_is_left_away_does_not_keep_an_indicator_from_being_adopted() {
        let theirs = |name: &str, value: Value| {
            let page = page(&json!({"value": [indicator(name, value)]}));
            page.held.first().cloned().unwrap_or_else(|| panic!("{:?}", page.passed_over))
        };
        let whole = theirs("created", "".into());
        let id: Uuid = ID["indicator--".len()..].parse().unwrap();
        assert_eq!((whole.handle, whole.owner), (Some(Handle::Foreign(id)), Owner::Predecessor));
        let confidence = Fingerprint::adopted;
        assert_eq!(whole.fingerprint, confidence(78));
        assert_eq!(theirs("confidence", Value::Null).fingerprint, confidence(0));
        assert_eq!(theirs("confidence", json!(90.0)).fingerprint, confidence(90));
        assert_eq!(theirs("confidence", json!("high")).fingerprint, confidence(0));
        assert_eq!(theirs("revoked", Value::Null).key, whole.key);
        let without_zone = theirs("validUntil", "2026-03-05T01:02:03.4567891".into());
        assert_eq!(without_zone.valid_until.unwrap().to_rfc3339(), "2026-03-05T01:02:03.456789100+00:00");
        let ours = theirs("externalId", whole.key.unwrap().stix_id().into());
        assert_eq!((ours.handle, ours.owner), (None, Owner::Us));
    }

    #[test]
    fn whatever_is_passed_over_has_a_reason() {
        let mut of_another_kind = indicator("source", "Mandiant".into());
        of_another_kind["kind"] = "attack-pattern".into();
        let cases = [
            (json!("text"), "cannot be read"),
            (json!({"name": "arm-name", "kind": "indicator"}), "cannot be read"),
            (of_another_kind, "attack-pattern"),
            (indicator("source", "mandiant".into()), "source \"mandiant\""),
            (indicator("source", Value::Null), "source \"\""),
            (indicator("revoked", true.into()), "revoked"),
            (indicator("validUntil", "".into()), "end of validity"),
            (indicator("validUntil", Value::Null), "end of validity"),
            (indicator("validUntil", "soon".into()), "end of validity"),
            (indicator("validUntil", "2026-03-02T12:00:00Z".into()), "expired"),
            (indicator("externalId", ID.to_uppercase().into()), "id"),
            (indicator("externalId", ID.replace('-', "").into()), "id"),
            (indicator("externalId", "indicator--A2B6A95E-2108-4A38-BD49-EF95811BBCD7".into()), "id"),
            (indicator("externalId", Value::Null), "id"),
            (indicator("pattern", "[url:value = 'a' AND url:value = 'b']".into()), "single comparison"),
            (indicator("pattern", Value::Null), "single comparison"),
        ];
        for (item, reason) in cases {
            let page = page(&json!({"value": [item]}));
            let [passed] = &page.passed_over[..] else { panic!("{reason}: {page:?}") };
            assert!(passed.reason.contains(reason) && !passed.id.is_empty(), "{reason}: {passed:?}");
        }
    }

    #[test]
    fn only_the_token_of_the_link_to_the_next_page_counts() {
        let next = |link: &str| page(&json!({"value": [], "nextLink": link})).next;
        assert_eq!(next(""), None);
        assert_eq!(page(&json!({"value": [], "nextLink": null})).next, None);
        for (link, token) in [
            ("https://elsewhere.example/x?api-version=1&$skipToken=a%2Bb%2F%3D%3D", "a+b/=="),
            ("https://elsewhere.example/x?%24skiptoken=a+b==&api-version=1", "a+b=="),
            ("?$skipToken=%C3%BC#end", "ü"),
        ] {
            assert_eq!(next(link).as_deref(), Some(token), "{link}");
        }
        for link in ["https://a.example/", "?$skipToken=", "?$skipToken=%FF", "?skipToken=a"] {
            let body = json!({"value": [], "nextLink": link}).to_string();
            assert!(read_page(body.as_bytes(), "Mandiant", now()).is_err(), "{link}");
        }
    }
}
