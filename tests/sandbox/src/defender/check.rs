//! What the API asks of a request and of each indicator in it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::{MOST_PER_REQUEST, Rejection};

const REQUIRED: &[&str] = &["indicatorValue", "indicatorType", "action", "title", "description"];
const OPTIONAL: &[&str] = &[
    "application",
    "expirationTime",
    "severity",
    "recommendedActions",
    "rbacGroupNames",
    "educateUrl",
    "generateAlert",
    "externalId",
];
const TYPES: &[&str] =
    &["FileSha1", "FileMd5", "FileSha256", "CertificateThumbprint", "IpAddress", "DomainName", "Url"];
/// `Alert` and `AlertAndBlock` ended in January 2022.
const ACTIONS: &[&str] = &["Warn", "Block", "Audit", "BlockAndRemediate", "Allowed"];
const SEVERITIES: &[&str] = &["Informational", "Low", "Medium", "High"];

/// The lengths, in characters, beyond which connectors saw rejections.
const LONGEST: &[(&str, usize)] = &[("indicatorValue", 800), ("title", 4000), ("description", 99)];

/// The indicators of an import, as far as all of them are some. One of them can spoil the whole request.
pub(super) fn indicators(body: &[u8], now: DateTime<Utc>) -> Result<Vec<Value>, Rejection> {
    let indicators = array(body, "Indicators")?;
    for indicator in &indicators {
        shape(indicator)?;
        let end = indicator["expirationTime"].as_str().and_then(|text| text.parse::<DateTime<Utc>>().ok());
        if end.is_some_and(|end| end <= now) {
            let value = indicator["indicatorValue"].as_str().unwrap_or_default();
            return Err(Rejection::bad(
                "BadRequest",
                format!(
                    "Indicator {value} is inactive. (Expiration time should be set to a future date time)"
                ),
            ));
        }
    }
    Ok(indicators)
}

/// The ids of a deletion: numbers, written as texts.
pub(super) fn ids(body: &[u8]) -> Result<Vec<u64>, Rejection> {
    let number = |id: &Value| id.as_str()?.parse().ok();
    array(body, "IndicatorIds")?
        .iter()
        .map(|id| {
            number(id).ok_or_else(|| Rejection::bad("InvalidInput", format!("{id} is no indicator id.")))
        })
        .collect()
}

/// The one array of a body, under exactly this name.
fn array(body: &[u8], name: &str) -> Result<Vec<Value>, Rejection> {
    let body = serde_json::from_slice::<Map<String, Value>>(body).unwrap_or_default();
    let Some(Value::Array(items)) = body.get(name) else {
        return Err(Rejection::bad("InvalidRequestBody", "Request body is incorrect"));
    };
    match items.len() {
        0 => Err(Rejection::bad("InvalidInput", format!("{name} is empty."))),
        many if many > MOST_PER_REQUEST => {
            let text = format!("The batch has {many} items; the maximum is {MOST_PER_REQUEST}.");
            Err(Rejection::bad("MaximumBatchSizeExceeded", text))
        }
        _ => Ok(items.clone()),
    }
}

/// Names, which have a case, and types.
fn shape(indicator: &Value) -> Result<(), Rejection> {
    let incorrect = || Rejection::bad("InvalidRequestBody", "Request body is incorrect");
    let names = indicator.as_object().ok_or_else(incorrect)?;
    if let Some(missing) = REQUIRED.iter().find(|name| names.get(**name).is_none_or(Value::is_null)) {
        return Err(Rejection::bad(
            "MissingRequiredParameter",
            format!("The parameter {missing} is missing."),
        ));
    }
    if names.keys().any(|name| !REQUIRED.contains(&name.as_str()) && !OPTIONAL.contains(&name.as_str())) {
        return Err(incorrect());
    }
    let is_one_of = |name: &str, known: &[&str]| match &indicator[name] {
        Value::Null => true,
        value => value.as_str().is_some_and(|value| known.contains(&value)),
    };
    let is_date = |text: &str| text.parse::<DateTime<Utc>>().is_ok();
    let is_sound = is_one_of("indicatorType", TYPES)
        && is_one_of("action", ACTIONS)
        && is_one_of("severity", SEVERITIES)
        && ["indicatorValue", "title", "description"].iter().all(|name| indicator[*name].is_string())
        && ["application", "recommendedActions", "externalId", "educateUrl"]
            .iter()
            .all(|name| indicator[*name].is_null() || indicator[*name].is_string())
        && (indicator["generateAlert"].is_null() || indicator["generateAlert"].is_boolean())
        && (indicator["expirationTime"].is_null()
            || indicator["expirationTime"].as_str().is_some_and(is_date));
    is_sound.then_some(()).ok_or_else(incorrect)
}

/// Why the API does not take an indicator, as a code and a sentence.
pub(super) fn fault(indicator: &Value, reject_md5: bool) -> Option<(&'static str, String)> {
    let text = |name: &str| indicator[name].as_str().unwrap_or_default();
    let (value, kind, action) = (text("indicatorValue"), text("indicatorType"), text("action"));
    let input = |text: String| Some(("InvalidInput", text));
    if action == "Audit" && indicator["generateAlert"] != true {
        return input("The action Audit needs generateAlert.".into());
    }
    if action == "BlockAndRemediate" && !kind.starts_with("File") && kind != "CertificateThumbprint" {
        return input(format!("The action BlockAndRemediate is not for {kind}."));
    }
    if value.is_empty() || value.chars().any(char::is_whitespace) {
        return input(format!("The value {value:?} is empty or has white space."));
    }
    if let Some((name, most)) = LONGEST.iter().find(|(name, most)| text(name).chars().count() > *most) {
        return input(format!("{name} is longer than {most} characters."));
    }
    let digest = |length: usize| {
        let is_sound = value.len() == length && value.bytes().all(|byte| byte.is_ascii_hexdigit());
        (!is_sound).then(|| ("InvalidHashValue", format!("{value} is no {kind}.")))
    };
    match kind {
        "FileMd5" if reject_md5 => input("The indicator type FileMd5 is not supported.".into()),
        "FileMd5" => digest(32),
        "FileSha1" | "CertificateThumbprint" => digest(40),
        "FileSha256" => digest(64),
        "IpAddress" if !is_external(value) => {
            Some(("InvalidIpAddress", format!("{value} is not a single external IP address.")))
        }
        "DomainName" if value.contains(['/', ':', '@']) || value.parse::<IpAddr>().is_ok() => {
            Some(("InvalidDomainName", format!("{value} is not a domain name.")))
        }
        _ => None,
    }
}

/// A single address that is not the customer's own; IPv6 with all its groups.
fn is_external(value: &str) -> bool {
    if let Ok(address) = value.parse::<Ipv4Addr>() {
        return !(address.is_private() || address.is_loopback() || address.is_link_local());
    }
    value.parse::<Ipv6Addr>().is_ok_and(|address| {
        let is_local = address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local();
        !is_local && !value.contains("::") && value.split(':').count() == 8
    })
}
