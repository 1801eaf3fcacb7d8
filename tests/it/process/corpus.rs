//! What is to be at Sentinel, worked out from Mandiant's records without a line of the program's own code.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use chrono::TimeDelta;
use sandbox::{
    corpus::{CorpusSettings, Record, generate},
    sentinel::Sentinel,
};
use serde_json::Value;

use super::now;

/// Confidence by pattern.
pub type Indicators = BTreeMap<String, u64>;

/// Records of the last day, up to what the newest window still reaches.
pub fn records(seed: u64, count: usize, hostile: f64) -> Vec<Record> {
    let (from, to) = (now() - TimeDelta::hours(20), now() - TimeDelta::minutes(3));
    generate(&CorpusSettings::new(seed, count, from, to).hostile(hostile))
}

/// Those a user with default settings wants.
pub fn wanted(records: &[Record]) -> Indicators {
    records.iter().filter_map(|record| judge(record.json())).collect()
}

/// Those Sentinel holds.
pub fn held(sentinel: &Sentinel) -> Indicators {
    indicators(&sentinel.stored())
}

/// The same of what was asked for already.
pub fn indicators(stored: &BTreeMap<(String, String), Value>) -> Indicators {
    let pair = |object: &Value| {
        let pattern = object["pattern"].as_str().unwrap().to_owned();
        (pattern, object["confidence"].as_u64().unwrap())
    };
    let held: Indicators = stored.values().map(pair).collect();
    assert_eq!(held.len(), stored.len(), "two ids for one pattern");
    held
}

fn judge(json: &serde_json::Map<String, Value>) -> Option<(String, u64)> {
    json.get("id")?.as_str()?;
    let confidence = json.get("mscore")?.as_u64().filter(|score| *score >= 80)?;
    let threat_score = json.get("threat_rating").map(|rating| &rating["threat_score"]);
    // Whatever is no number is no score, and a record without one is judged by confidence alone.
    if threat_score.and_then(number).is_some_and(|score| score < 80.0) {
        return None;
    }
    let sources = json.get("sources").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if !sources.is_empty() && sources.iter().all(|source| source["osint"] == true) {
        return None;
    }
    let value = json.get("value")?.as_str()?;
    let (path, value) = match json.get("type")?.as_str()? {
        "ipv4" => ("ipv4-addr:value", public_ipv4(value)?),
        "ipv6" => ("ipv6-addr:value", public_ipv6(value)?),
        "fqdn" => ("domain-name:value", value.trim_end_matches('.').to_lowercase()),
        "url" => ("url:value", value.replace('\\', r"\\").replace('\'', r"\'")),
        "md5" => ("file:hashes.MD5", value.to_lowercase()),
        _ => return None,
    };
    Some((format!("[{path} = '{value}']"), confidence))
}

fn number(score: &Value) -> Option<f64> {
    score.as_f64().or_else(|| score.as_str()?.parse().ok())
}

fn public_ipv4(value: &str) -> Option<String> {
    let address: Ipv4Addr = value.parse().ok()?;
    let local = address.is_private() || address.is_loopback() || address.is_link_local();
    (!local).then(|| address.to_string())
}

fn public_ipv6(value: &str) -> Option<String> {
    let address: Ipv6Addr = value.parse().ok()?;
    (!address.is_unicast_link_local()).then(|| address.to_string())
}
