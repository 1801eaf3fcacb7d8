//! The report of a pass, read as anybody outside would read it.

use anyhow::{Result, ensure};
use serde_json::Value;

/// Why a record was not wanted, in the words of the story.
const REASONS: [(&str, &str); 6] = [
    ("confidence", "below confidence 80"),
    ("threat_score", "below threat score 80"),
    ("osint", "open source only"),
    ("uncategorized", "without category"),
    ("type", "of another type"),
    ("malformed", "malformed"),
];

/// The answer of `GET /api/status?run=`.
pub struct Report(pub Value);

impl Report {
    /// A number of the lane `sentinel`; `name` may lead into an object, as `dropped/osint` does.
    pub fn count(&self, name: &str) -> u64 {
        self.0.pointer(&format!("/lanes/sentinel/{name}")).and_then(Value::as_u64).unwrap_or_default()
    }

    /// What went to Sentinel.
    pub fn uploaded(&self) -> u64 {
        self.count("created") + self.count("updated") + self.count("renewed") + self.count("retracted")
    }

    pub fn dropped(&self) -> u64 {
        REASONS.iter().map(|(name, _)| self.count(&format!("dropped/{name}"))).sum()
    }

    /// The reasons that occurred, with their numbers.
    pub fn reasons(&self) -> String {
        let known = REASONS.iter().map(|(name, words)| (self.count(&format!("dropped/{name}")), words));
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

    /// Everything was settled, and the numbers account for every record.
    pub fn check(&self) -> Result<()> {
        ensure!(self.0["end"] == "caught_up", "a pass ended {}: {}", self.0["end"], self.message());
        let others = ["unchanged", "rejected", "over_limit", "left"].map(|name| self.count(name));
        let sum = self.dropped() + self.uploaded() + others.iter().sum::<u64>();
        ensure!(
            self.count("read") == sum,
            "{} records were read and {sum} accounted for",
            self.count("read")
        );
        Ok(())
    }
}
