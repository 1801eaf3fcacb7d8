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
    /// The file's record names its stronger digests, not its md5 alone.
    pub is_whole: bool,
}

impl Listed {
    pub fn admitted(&self) -> bool {
        self.confidence >= 80
    }

    /// What Sentinel compares: a file stands there under both its stronger digests.
    pub fn at_sentinel(&self) -> Vec<String> {
        match self.id.thing() {
            Thing::A => vec!["a.example".to_owned()],
            Thing::B => vec!["b.example".to_owned()],
            Thing::File if self.is_whole => vec!["c".repeat(40), "c".repeat(64)],
            Thing::File => vec!["c".repeat(32)],
        }
    }

    /// What Defender compares: of a file its strongest digest.
    pub fn at_defender(&self) -> Vec<String> {
        self.at_sentinel().split_off(usize::from(self.id.thing() == Thing::File && self.is_whole))
    }

    pub fn record(&self) -> Record {
        let [sha1, sha256] = [40, 64].map(|digits| self.is_whole.then(|| "c".repeat(digits)));
        let record = match self.id.thing() {
            Thing::File => Record::file(Some(&"c".repeat(32)), sha1.as_deref(), sha256.as_deref()),
            Thing::A | Thing::B => {
                Record::fqdn(&self.at_sentinel()[0]).set("id", format!("fqdn--{:?}", self.id))
            }
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
