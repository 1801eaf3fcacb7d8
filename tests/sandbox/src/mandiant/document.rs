//! A record as the stand-in stores it: indexed, and written out once.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::query::Flags;
use crate::corpus::{Record, misp};

/// The blocks that are left out unless asked for; `misp` unless asked not to.
const OPTIONAL: [&str; 5] = ["threat_rating", "category", "campaigns", "reports", "misp"];

/// The `misp` map of a record that brings none: on no warning list.
static UNLISTED: LazyLock<String> = LazyLock::new(|| format!("\"misp\":{}", Value::Object(misp(&[]))));

/// Holds the JSON as text, which takes a fifth of the tree's memory and makes a page a matter of copying.
pub(super) struct Document {
    pub key: String,
    pub last_updated: DateTime<Utc>,
    pub mscore: i64,
    pub threat_score: Option<i64>,
    pub osint_only: bool,
    kind: String,
    value: String,
    /// Of a file.
    digests: Vec<String>,
    /// The record without its optional blocks and without the closing brace.
    head: String,
    /// `"name":…` of each optional block the record has, in the order of [`OPTIONAL`].
    blocks: [Option<Box<str>>; OPTIONAL.len()],
}

impl Document {
    pub fn new(record: &Record) -> Self {
        let json = record.json();
        let write = |(name, value): (&String, &Value)| format!("\"{name}\":{value}");
        let plain: Vec<String> =
            json.iter().filter(|(name, _)| !OPTIONAL.contains(&name.as_str())).map(write).collect();
        Self {
            key: record.key().to_owned(),
            last_updated: record.last_updated_at(),
            mscore: record.indexed_mscore(),
            threat_score: record.indexed_threat_score(),
            osint_only: record.osint_only(),
            kind: record.kind().to_owned(),
            value: record.value().to_lowercase(),
            digests: digests(json),
            head: format!("{{{}", plain.join(",")),
            blocks: OPTIONAL.map(|name| json.get_key_value(name).map(|entry| write(entry).into())),
        }
    }

    /// The record again, for tests that ask for it.
    pub fn record(&self) -> Record {
        let mut text = self.head.clone();
        for block in self.blocks.iter().flatten() {
            append(&mut text, block);
        }
        text.push('}');
        let json: Map<String, Value> = serde_json::from_str(&text).expect("what was written as JSON");
        Record::from_parts(self.key.clone(), self.last_updated, self.mscore, self.threat_score, json)
    }

    /// Writes the record as it is answered to a request with `flags`.
    pub fn write(&self, flags: Flags, text: &mut String) {
        text.push_str(&self.head);
        let asked = [flags.threat_rating, flags.category, flags.campaigns, flags.reports, flags.misp];
        for ((name, block), _) in OPTIONAL.iter().zip(&self.blocks).zip(asked).filter(|(_, asked)| *asked) {
            match (block, *name) {
                (Some(block), _) => append(text, block),
                // Asked for and empty, these two are there all the same.
                (None, "campaigns") => append(text, "\"campaigns\":[]"),
                (None, "reports") => append(text, "\"reports\":[]"),
                (None, "misp") => append(text, &UNLISTED),
                (None, _) => {}
            }
        }
        text.push('}');
    }

    /// Look-ups by value find every case variant.
    pub fn is(&self, kind: Option<&str>, value: &str) -> bool {
        let value = value.to_lowercase();
        let is_named = self.value == value || self.digests.contains(&value);
        is_named && kind.is_none_or(|kind| kind == self.kind)
    }
}

fn digests(json: &Map<String, Value>) -> Vec<String> {
    let listed = json.get("associated_hashes").and_then(Value::as_array).into_iter().flatten();
    listed.filter_map(|hash| hash["value"].as_str()).map(str::to_lowercase).collect()
}

fn append(text: &mut String, member: &str) {
    if !text.ends_with('{') {
        text.push(',');
    }
    text.push_str(member);
}
