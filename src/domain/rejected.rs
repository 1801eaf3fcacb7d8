//! A record that a destination rejected, as it is kept on file and shown to a person.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{
    observable::{HashType, IndicatorType, Key, Observable},
    page::UNREADABLE,
};

/// The longest text that is kept of one, in characters.
const LONGEST: usize = 300;

/// What a person needs to know of a rejected record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRecord {
    /// What it is about, if that can be told.
    about: Option<Observable>,
    pub at: Option<DateTime<Utc>>,
    /// What the indicator is about, or its id where that cannot be told.
    pub value: String,
    /// The type of indicator, or that it cannot be told.
    pub kind: &'static str,
    pub reason: String,
}

impl RejectedRecord {
    /// Reads a line of `rejected/<run_id>.jsonl`. A line is never passed over: of one that is damaged, that is said.
    pub fn of_line(line: &str) -> Self {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        let text = |name: &str| line.get(name).and_then(Value::as_str);
        let about = line.pointer("/indicator/observable").cloned();
        let about: Option<Observable> = about.and_then(|about| serde_json::from_value(about).ok());
        let shown = about.clone().and_then(value);
        let id = || text("id").or(text("source_id")).unwrap_or("unknown").to_owned();
        let indicator_type = about.as_ref().map(Observable::indicator_type);
        Self {
            about,
            kind: indicator_type.map_or(UNREADABLE, IndicatorType::name),
            at: text("at").and_then(|at| at.parse().ok()),
            value: cut(&shown.unwrap_or_else(id)),
            reason: cut(text("reason").unwrap_or("its line in the file of rejected records is damaged")),
        }
    }

    /// Whether it is about `observable`, or about the same file.
    pub fn is_about(&self, observable: &Observable) -> bool {
        match (&self.about, observable) {
            (Some(Observable::File(mine)), Observable::File(theirs)) => {
                mine.all().any(|(hash_type, digest)| theirs.get(hash_type) == Some(digest))
            }
            (about, observable) => about.as_ref() == Some(observable),
        }
    }

    /// Whether what it is about is sent under `key`.
    pub fn is_sent_as(&self, key: Key) -> bool {
        let is_name = |about: &Observable| HashType::ALL.iter().any(|hash| about.subject(*hash).key() == key);
        self.about.as_ref().is_some_and(is_name)
    }
}

fn value(observable: Observable) -> Option<String> {
    match observable {
        Observable::Ipv4(address) => Some(address.to_string()),
        Observable::Ipv6(address) => Some(address.to_string()),
        Observable::Domain(text) | Observable::Url(text) => Some(text),
        Observable::File(hashes) => hashes.all().next().map(|(_, digest)| digest.to_owned()),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_stands_in_the_line_something_is_shown() {
        let whole = json!({
            "at": "2026-03-02T12:00:00Z", "id": "indicator--1", "reason": "no",
            "indicator": {"observable": {"domain": "evil.example"}},
        });
        let shown = RejectedRecord::of_line(&whole.to_string());
        assert_eq!((shown.value.as_str(), shown.reason.as_str()), ("evil.example", "no"));
        assert!(shown.at.is_some());
        let without = |observable: Value| {
            let line = json!({"id": "indicator--1", "indicator": {"observable": observable}});
            RejectedRecord::of_line(&line.to_string()).value
        };
        assert_eq!(without(json!({"file": {}})), "indicator--1");
        assert_eq!(without(json!({"file": {"md5": "0".repeat(32)}})), "0".repeat(32));
        assert_eq!(without(json!({"url": "u".repeat(9000)})).len(), LONGEST);
        assert!(RejectedRecord::of_line("{").reason.contains("damaged"));
    }
}
