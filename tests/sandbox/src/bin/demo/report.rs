//! The report of a pass, read as a monitoring system reads it.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::lanes::Lane;

/// Why a record was not wanted, in the words of the story.
const REASONS: [(&str, &str); 10] = [
    ("benign", "benign"),
    ("pervasive", "pervasive infrastructure"),
    ("severity", "not severe"),
    ("confidence", "below confidence 80"),
    ("threat_score", "below threat score 80"),
    ("osint", "open source only"),
    ("uncategorized", "without category"),
    ("type", "of another type"),
    ("malformed", "malformed"),
    ("excluded", "excluded by a list"),
];

/// The answer of `GET /api/status?run=`.
pub struct Report(pub Value);

impl Report {
    /// A number of a lane; `name` may lead into an object, as `dropped/osint` does.
    pub fn count(&self, lane: Lane, name: &str) -> u64 {
        let place = format!("/lanes/{}/{name}", lane.name());
        self.0.pointer(&place).and_then(Value::as_u64).unwrap_or_default()
    }

    /// What went to a destination, new or not.
    pub fn uploaded(&self, lane: Lane) -> u64 {
        ["created", "updated", "renewed"].iter().map(|name| self.count(lane, name)).sum()
    }

    pub fn dropped(&self, lane: Lane) -> u64 {
        REASONS.iter().map(|(name, _)| self.count(lane, &format!("dropped/{name}"))).sum()
    }

    /// The reasons that occurred, with their numbers.
    pub fn reasons(&self, lane: Lane) -> String {
        let known = REASONS.iter().map(|(name, words)| (self.count(lane, &format!("dropped/{name}")), words));
        let found = known.filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}"));
        found.collect::<Vec<_>>().join(", ")
    }

    /// Whether the pass is over; a request that waits has no end yet.
    pub fn has_ended(&self) -> bool {
        self.0["end"].is_string()
    }

    pub fn message(&self) -> &str {
        self.0["message"].as_str().unwrap_or_default()
    }

    /// Everything was settled, and each lane's numbers account for every record.
    pub fn check(&self, lanes: &[Lane]) -> Result<()> {
        ensure!(self.0["end"] == "caught_up", "a pass ended {}: {}", self.0["end"], self.message());
        let told = self.0["lanes"].as_object().map_or(0, |told| told.len());
        ensure!(told == lanes.len(), "{told} lanes are told of, and there are {}", lanes.len());
        for lane in lanes {
            let others = ["unchanged", "retracted", "rejected", "over_limit", "left"];
            let others: u64 = others.iter().map(|name| self.count(*lane, name)).sum();
            let (read, sum) =
                (self.count(*lane, "read"), self.dropped(*lane) + self.uploaded(*lane) + others);
            ensure!(read == sum, "{}: {read} records were read and {sum} accounted for", lane.title());
        }
        Ok(())
    }
}
