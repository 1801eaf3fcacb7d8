//! What the tenant holds.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

/// Indicators by their numbers. Those whose time is over are gone, as they are at Microsoft's.
#[derive(Clone, Default)]
pub struct Holdings {
    held: BTreeMap<u64, Value>,
    /// Numbers by type and value.
    numbers: HashMap<(String, String), u64>,
    last: u64,
    /// Nothing ends before this.
    next_end: Option<DateTime<Utc>>,
}

impl Holdings {
    /// Drops what has ended.
    pub(super) fn expire(&mut self, now: DateTime<Utc>) {
        if self.next_end.is_none_or(|end| end > now) {
            return;
        }
        self.held.retain(|_, indicator| end(indicator).is_none_or(|end| end > now));
        self.next_end = self.held.values().filter_map(end).min();
        let held = &self.held;
        self.numbers.retain(|_, number| held.contains_key(number));
    }

    pub(super) fn all(&self) -> &BTreeMap<u64, Value> {
        &self.held
    }

    /// The number under which the same value and type is held.
    pub(super) fn find(&self, indicator: &Value) -> Option<u64> {
        self.numbers.get(&identity(indicator)).copied()
    }

    /// Adds an indicator, or updates the one of the same value and type, of any application. An update changes
    /// everything but the number, the date of creation and the application.
    pub(super) fn put(&mut self, indicator: Value, now: DateTime<Utc>) -> u64 {
        let known = self.find(&indicator);
        let number = known.unwrap_or_else(|| {
            self.last += 1;
            self.last
        });
        let time = json!(now.to_rfc3339_opts(SecondsFormat::Micros, true));
        let mut entity = json!({
            "source": "SandboxApp", "sourceType": "AadApp", "createdBy": "5a9d1c3e-0000-4000-8000-000000000009",
            "lastUpdatedBy": null, "recommendedActions": null, "expirationTime": null, "application": null,
            "externalId": null, "severity": "Informational", "generateAlert": false, "rbacGroupNames": [],
        });
        let fields = entity.as_object_mut().expect("an object");
        fields.extend(indicator.as_object().cloned().unwrap_or_default());
        let created = match known.and_then(|number| self.held.get(&number)) {
            Some(before) => {
                fields["application"] = before["application"].clone();
                before["creationTimeDateTimeUtc"].clone()
            }
            None => time.clone(),
        };
        let own = [
            ("id", json!(number.to_string())),
            ("creationTimeDateTimeUtc", created),
            ("lastUpdateTime", time),
        ];
        fields.extend(own.map(|(name, value)| (name.to_owned(), value)));
        self.next_end = self.next_end.into_iter().chain(end(&entity)).min();
        self.numbers.insert(identity(&entity), number);
        self.held.insert(number, entity);
        number
    }

    /// Holds what was held `before` again, if that is given; numbers that were used since stay used.
    pub(super) fn restore(&mut self, before: Option<Self>) {
        let last = self.last;
        if let Some(before) = before {
            *self = Self { last, ..before };
        }
    }

    /// Deletes all of `ids`, or, where one of them is not there, none.
    pub(super) fn delete(&mut self, ids: &[u64]) -> bool {
        let all_there = ids.iter().all(|id| self.held.contains_key(id));
        if all_there {
            self.held.retain(|number, _| !ids.contains(number));
            self.numbers.retain(|_, number| !ids.contains(number));
        }
        all_there
    }
}

fn end(indicator: &Value) -> Option<DateTime<Utc>> {
    indicator["expirationTime"].as_str()?.parse().ok()
}

/// Digests are compared without case, everything else as it stands.
fn identity(indicator: &Value) -> (String, String) {
    let text = |name: &str| indicator[name].as_str().unwrap_or_default().to_owned();
    let (kind, value) = (text("indicatorType"), text("indicatorValue"));
    let value = if kind.starts_with("File") { value.to_ascii_lowercase() } else { value };
    (kind, value)
}
