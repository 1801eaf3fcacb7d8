//! Checks every uploaded object against the rules of STIX 2.1 that concern indicators, and against what
//! Sentinel makes of them. A second opinion, written from the standard and not from our own code.

use chrono::{DateTime, FixedOffset};
use serde_json::Value;

/// The properties an indicator may have (STIX 2.1 §4.7 and §3.2) and that we mean to send.
const PROPERTIES: &[&str] = &[
    "type",
    "spec_version",
    "id",
    "created",
    "modified",
    "name",
    "description",
    "indicator_types",
    "pattern",
    "pattern_type",
    "pattern_version",
    "valid_from",
    "valid_until",
    "confidence",
    "labels",
    "external_references",
    "object_marking_refs",
];

/// # Panics
/// With the rule that `object` breaks.
pub fn check(object: &Value) {
    let text =
        |name: &str| object[name].as_str().unwrap_or_else(|| panic!("{name} is no text in {object:#}"));
    for name in object.as_object().expect("an object").keys() {
        assert!(PROPERTIES.contains(&name.as_str()), "§3.2: unknown property {name}");
    }
    assert_eq!(text("type"), "indicator", "§4.7.1");
    assert_eq!(text("spec_version"), "2.1", "§3.2");
    let uuid = text("id").strip_prefix("indicator--").expect("§2.9: type and two dashes");
    assert_eq!(uuid::Uuid::parse_str(uuid).expect("§2.9: a UUID").get_version_num(), 5, "ours are derived");
    let (created, modified) = (timestamp(text("created")), timestamp(text("modified")));
    assert!(modified >= created, "§3.6: modified {modified} is before created {created}");
    let (from, until) = (timestamp(text("valid_from")), timestamp(text("valid_until")));
    assert!(until > from, "§4.7.1: valid_until {until} is not after valid_from {from}");
    assert!(from < modified, "valid before it is sent");
    if let Some(confidence) = object.get("confidence") {
        let confidence = confidence.as_u64().expect("§3.2: confidence is an integer");
        assert!(confidence <= 100, "§3.2: confidence {confidence}");
    }
    assert_eq!(text("pattern_type"), "stix", "§10.24");
    pattern(text("pattern"));
    assert!(!text("name").is_empty());
    assert!(text("description").chars().count() <= 1000, "Sentinel cuts descriptions at 1,000 characters");
    for list in ["indicator_types", "labels", "external_references", "object_marking_refs"] {
        if let Some(list_value) = object.get(list) {
            let items = list_value.as_array().unwrap_or_else(|| panic!("§2.11: {list} is a list"));
            assert!(!items.is_empty(), "§2.11: an empty {list} is left out");
        }
    }
    for reference in object["external_references"].as_array().into_iter().flatten() {
        assert!(reference["source_name"].as_str().is_some_and(|name| !name.is_empty()), "§2.5");
        let told = ["description", "url", "external_id"].iter().any(|name| reference.get(*name).is_some());
        assert!(told, "§2.5: one of description, url, external_id");
    }
    for marking in object["object_marking_refs"].as_array().into_iter().flatten() {
        let uuid = marking.as_str().and_then(|id| id.strip_prefix("marking-definition--")).expect("§7.2");
        uuid::Uuid::parse_str(uuid).expect("§2.9");
    }
}

/// §2.16: RFC 3339, in UTC, spelt with `Z`.
fn timestamp(text: &str) -> DateTime<FixedOffset> {
    assert!(text.ends_with('Z'), "§2.16: {text} is not in UTC");
    DateTime::parse_from_rfc3339(text).unwrap_or_else(|error| panic!("§2.16: {text}: {error}"))
}

/// One observation expression with one comparison, the only form that Sentinel takes apart. Returns the object
/// path and the value.
pub fn pattern(pattern: &str) -> (String, String) {
    let inner = pattern.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).expect("§9: brackets");
    let (path, literal) = inner.split_once(" = ").expect("§9: one comparison");
    let paths = [
        "ipv4-addr:value",
        "ipv6-addr:value",
        "domain-name:value",
        "url:value",
        "file:hashes.MD5",
        "file:hashes.'SHA-1'",
        "file:hashes.'SHA-256'",
    ];
    assert!(paths.contains(&path), "{path} is not a path that rules match on");
    let literal = literal.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).expect("§9.2: quotes");
    let mut value = String::new();
    let mut characters = literal.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(escaped @ ('\\' | '\'')) => value.push(escaped),
                other => panic!("§9.2: \\{other:?} in {pattern}"),
            },
            '\'' => panic!("§9.2: a bare quote in {pattern}"),
            other => value.push(other),
        }
    }
    (path.to_owned(), value)
}
