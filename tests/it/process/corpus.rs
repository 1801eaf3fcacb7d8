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
use url::{Host, Url};

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
        "fqdn" => match host(&format!("http://{}/", value.trim_end_matches('.')))? {
            Host::Domain(name) => ("domain-name:value", name),
            Host::Ipv4(address) => ("ipv4-addr:value", public_ipv4(&address.to_string())?),
            Host::Ipv6(_) => return None,
        },
        "url" => ("url:value", url(value)?.replace('\\', r"\\").replace('\'', r"\'")),
        "md5" => file(json, value)?,
        _ => return None,
    };
    Some((format!("[{path} = '{value}']"), confidence))
}

fn number(score: &Value) -> Option<f64> {
    score.as_f64().or_else(|| score.as_str()?.parse().ok())
}

/// The host that a browser would connect to, unless it is one of the local and absurd ones that the corpus has.
fn host(url: &str) -> Option<Host<String>> {
    const ABSURD: [&str; 6] = ["com", "co.uk", "wpad", "localhost", "printer.local", "github.io"];
    let host = Url::parse(url).ok()?.host()?.to_owned();
    let is_sound = match &host {
        Host::Domain(name) => !ABSURD.contains(&name.as_str()) && !name.contains(['(', '[']),
        Host::Ipv4(address) => public_ipv4(&address.to_string()).is_some(),
        Host::Ipv6(_) => true,
    };
    is_sound.then_some(host)
}

/// Scheme and host as a browser spells them, and the rest as it stands; no URL of the corpus has more than that.
fn url(value: &str) -> Option<String> {
    let parsed = Url::parse(value).ok().filter(|url| ["http", "https"].contains(&url.scheme()))?;
    let (_, path) = value.split_once("://")?.1.split_once('/')?;
    let name = host(value)?.to_string();
    Some(format!("{}://{}/{path}", parsed.scheme(), name.trim_end_matches('.')))
}

/// The strongest digest of a file; nothing for the empty file.
fn file(json: &serde_json::Map<String, Value>, value: &str) -> Option<(&'static str, String)> {
    if value == "d41d8cd98f00b204e9800998ecf8427e" {
        return None;
    }
    let digest = |kind: &str| {
        let hashes = json.get("associated_hashes")?.as_array()?;
        let of_kind = hashes.iter().find(|hash| hash["type"] == kind)?;
        of_kind["value"].as_str().filter(|value| !value.is_empty()).map(str::to_lowercase)
    };
    let md5 = (value.len() == 32).then(|| ("file:hashes.MD5", value.to_lowercase()));
    let sha256 = digest("sha256").map(|digest| ("file:hashes.'SHA-256'", digest));
    sha256.or_else(|| digest("sha1").map(|digest| ("file:hashes.'SHA-1'", digest))).or(md5)
}

fn public_ipv4(value: &str) -> Option<String> {
    let address: Ipv4Addr = value.parse().ok()?;
    let [first, second, ..] = address.octets();
    let is_shared = first == 100 && second & 0xc0 == 64;
    let local = address.is_private() || address.is_loopback() || address.is_link_local();
    let local = local || is_shared || first == 0 || first >= 240;
    (!local).then(|| address.to_string())
}

fn public_ipv6(value: &str) -> Option<String> {
    let address: Ipv6Addr = value.parse().ok()?;
    (!address.is_unicast_link_local() && address.segments()[0] != 0xfec0).then(|| address.to_string())
}
