//! What Sentinel asks of a request and of each object in it.

use chrono::DateTime;
use serde_json::{Map, Value};
use uuid::Uuid;

/// Which of the upload APIs a request used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `POST /workspaces/{id}/threat-intelligence-stix-objects:upload`, api-version 2024-02-01-preview.
    Current,
    /// `POST /{id}/threatintelligence:upload-indicators`, api-version 2022-07-01.
    LegacyV1,
    /// `POST /workspaces/{id}/threatintelligenceindicators:upload`, api-version 2022-07-01.
    LegacyV2,
}

impl Api {
    fn version(self) -> &'static str {
        match self {
            Self::Current => "2024-02-01-preview",
            Self::LegacyV1 | Self::LegacyV2 => "2022-07-01",
        }
    }

    fn array(self) -> &'static str {
        match self {
            Self::Current => "stixobjects",
            Self::LegacyV1 => "value",
            Self::LegacyV2 => "indicators",
        }
    }

    /// The legacy APIs bind names without regard to case: their page spells one name in two ways.
    fn ignores_case(self) -> bool {
        self != Self::Current
    }

    fn types(self) -> &'static [&'static str] {
        match self {
            Self::Current => &["indicator", "attack-pattern", "identity", "threat-actor", "relationship"],
            Self::LegacyV1 | Self::LegacyV2 => &["indicator"],
        }
    }
}

/// The API and workspace a path and its query name, if they name one.
pub fn place(path: &str, query: &str) -> Option<(Api, String)> {
    let path = path.replace("%3A", ":").replace("%3a", ":");
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (workspace, action) = match segments[..] {
        ["workspaces", workspace, action] => (workspace, action),
        [workspace, action] => (workspace, action),
        _ => return None,
    };
    let api = match (segments.len(), action) {
        (3, "threat-intelligence-stix-objects:upload") => Api::Current,
        (3, "threatintelligenceindicators:upload") => Api::LegacyV2,
        (2, "threatintelligence:upload-indicators") => Api::LegacyV1,
        _ => return None,
    };
    let version = query.split('&').find_map(|pair| pair.strip_prefix("api-version="));
    (version == Some(api.version())).then(|| (api, workspace.to_string()))
}

/// A request's body, as far as it is a request at all.
pub struct Upload {
    pub source: String,
    pub objects: Vec<Value>,
}

/// Reads a body, or says why it is none.
pub fn read(api: Api, body: &[u8]) -> Result<Upload, String> {
    let mut body: Map<String, Value> =
        serde_json::from_slice(body).map_err(|error| format!("The body is not valid JSON: {error}."))?;
    let mut take = |name: &str| {
        let key = body.keys().find(|key| match api.ignores_case() {
            true => key.eq_ignore_ascii_case(name),
            false => *key == name,
        });
        let key = key.cloned().ok_or_else(|| format!("The property '{name}' is required."))?;
        Ok::<_, String>(body.remove(&key).unwrap_or_default())
    };
    let source = match take("sourcesystem")? {
        Value::String(source) if !source.trim().is_empty() => source,
        _ => return Err("The property 'sourcesystem' must be a text.".into()),
    };
    let objects = match take(api.array())? {
        Value::Array(objects) if objects.iter().all(Value::is_object) => objects,
        _ => return Err(format!("The property '{}' must be an array of objects.", api.array())),
    };
    Ok(Upload { source, objects })
}

/// Everything wrong with one object; nothing if it is good.
///
/// Only the message of a missing property is published; the others are given the same form.
pub fn object(api: Api, object: &Value) -> Vec<String> {
    let mut messages = Vec::new();
    let mut complain = |name: &str, reason: &str| messages.push(message(name, reason, &object[name]));
    let kind = object["type"].as_str().unwrap_or_default();

    for name in required(kind) {
        if matches!(&object[*name], Value::Null) || object[*name] == "" {
            complain(name, "Required property is missing");
        }
    }
    if !object["type"].is_null() && !api.types().contains(&kind) {
        complain("type", "The type is not supported");
    }
    let is_id = |id: &str| {
        id.strip_prefix(kind)
            .and_then(|id| id.strip_prefix("--"))
            .is_some_and(|id| Uuid::try_parse(id).is_ok())
    };
    if object["id"].as_str().is_some_and(|id| !id.is_empty() && !is_id(id)) {
        complain("id", "The identifier must be the type, two hyphens and a UUID");
    }
    let date = |name: &str| object[name].as_str().map(DateTime::parse_from_rfc3339);
    for name in ["created", "modified", "valid_from", "valid_until"] {
        let empty = object[name].is_null() || object[name] == "";
        if !empty && !matches!(date(name), Some(Ok(_))) {
            complain(name, "The value is not a valid date");
        }
    }
    if let (Some(Ok(from)), Some(Ok(until))) = (date("valid_from"), date("valid_until"))
        && until <= from
    {
        complain("valid_until", "The value must be later than valid_from");
    }
    let confidence = &object["confidence"];
    if !confidence.is_null() && confidence.as_u64().is_none_or(|value| value > 100) {
        complain("confidence", "The value must be an integer between 0 and 100");
    }
    if !object["revoked"].is_null() && !object["revoked"].is_boolean() {
        complain("revoked", "The value must be true or false");
    }
    messages
}

/// The page names what every object and what an indicator needs, and for the rest points to STIX 2.1.
fn required(kind: &str) -> &'static [&'static str] {
    match kind {
        "indicator" => &["id", "type", "created", "modified", "pattern", "pattern_type", "valid_from"],
        "attack-pattern" | "identity" | "threat-actor" => &["id", "type", "created", "modified", "name"],
        "relationship" => {
            &["id", "type", "created", "modified", "relationship_type", "source_ref", "target_ref"]
        }
        _ => &["id", "type", "created", "modified"],
    }
}

fn message(name: &str, reason: &str, actual: &Value) -> String {
    let actual = match actual {
        Value::Null => "NULL".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    format!("Error for Property={name}: {reason}. Actual value: {actual}.")
}
