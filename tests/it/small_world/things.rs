//! What the source lists, and what a destination holds of it.

use chrono::{DateTime, Utc};
use sandbox::corpus::Record;
use serde_json::Value;

use super::events::{Id, Thing};
use crate::harness::stix;

/// A record that the source lists.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    pub id: Id,
    pub updated: DateTime<Utc>,
    pub confidence: i64,
    /// The file's record names its strongest digest.
    pub has_sha256: bool,
}

impl Listed {
    pub fn admitted(&self) -> bool {
        self.confidence >= 80
    }

    /// What a destination compares.
    pub fn value(&self) -> String {
        match self.id.thing() {
            Thing::A => "a.example".to_owned(),
            Thing::B => "b.example".to_owned(),
            Thing::File if self.has_sha256 => "c".repeat(64),
            Thing::File => "c".repeat(32),
        }
    }

    pub fn record(&self) -> Record {
        let sha256 = "c".repeat(64);
        let record = match self.id.thing() {
            Thing::File => Record::file(Some(&"c".repeat(32)), None, self.has_sha256.then_some(&*sha256)),
            Thing::A | Thing::B => Record::fqdn(&self.value()).set("id", format!("fqdn--{:?}", self.id)),
        };
        record.updated(self.updated).mscore(self.confidence)
    }
}

/// What a destination holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub thing: Thing,
    pub value: String,
    pub confidence: i64,
    pub until: DateTime<Utc>,
}

/// What a value is about.
pub fn thing(value: &str) -> Thing {
    match value {
        "a.example" => Thing::A,
        "b.example" => Thing::B,
        _ => Thing::File,
    }
}

/// What an object stands for, if it is valid at `now`.
pub fn held(object: &Value, now: DateTime<Utc>) -> Option<Held> {
    let (_, value) = stix::pattern(object["pattern"].as_str().expect("a pattern"));
    let until: DateTime<Utc> = object["valid_until"].as_str()?.parse().ok()?;
    let confidence = object["confidence"].as_i64().expect("a score");
    (until > now).then(|| Held { thing: thing(&value), value, confidence, until })
}
