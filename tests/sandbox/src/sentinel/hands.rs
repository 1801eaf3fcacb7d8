//! What people do in the portal: an indicator deleted or changed by hand.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::Sentinel;

/// Something done by hand.
pub(super) struct Hand {
    at: DateTime<Utc>,
    /// How many rows the log had then: what is uploaded later counts more.
    rows: usize,
    of: (String, String),
    /// What stands there since; `None`: nothing.
    object: Option<Value>,
}

impl Sentinel {
    /// Deletes what is stored under `source` and `id`; whether there was something.
    pub fn delete_by_hand(&self, source: &str, id: &str) -> bool {
        self.by_hand(source, id, |_| None)
    }

    /// Changes what is stored under `source` and `id`; whether there was something.
    pub fn change_by_hand(&self, source: &str, id: &str, change: impl FnOnce(&mut Value)) -> bool {
        self.by_hand(source, id, |mut object| {
            change(&mut object);
            Some(object)
        })
    }

    fn by_hand(&self, source: &str, id: &str, act: impl FnOnce(Value) -> Option<Value>) -> bool {
        let at = (self.now)();
        let mut inner = self.inner.lock().unwrap();
        let of = (source.to_owned(), id.to_owned());
        let Some(object) = inner.stored.remove(&of) else { return false };
        let object = act(object);
        if let Some(object) = &object {
            inner.stored.insert(of.clone(), object.clone());
        }
        let rows = inner.log.len();
        inner.hands.push(Hand { at, rows, of, object });
        true
    }

    /// What of that which is `wanted`, by its source and itself, was stored at `at`, by source and id.
    pub fn stored_at(
        &self,
        at: DateTime<Utc>,
        wanted: impl Fn(&str, &Value) -> bool,
    ) -> BTreeMap<(String, String), Value> {
        let inner = self.inner.lock().unwrap();
        let mut stored = BTreeMap::new();
        let mut hands = inner.hands.iter().filter(|hand| hand.at <= at).peekable();
        for row in 0..=inner.log.len() {
            while let Some(hand) = hands.next_if(|hand| hand.rows <= row) {
                let (source, id) = &hand.of;
                match &hand.object {
                    Some(object) => _ = stored.insert((source, id), object),
                    None => _ = stored.remove(&(source, id)),
                }
            }
            if let Some(row) = inner.log.get(row).filter(|row| row.at <= at) {
                stored.insert((&row.source, &row.id), &row.object);
            }
        }
        let wanted = stored.into_iter().filter(|((source, _), object)| wanted(source, object));
        wanted.map(|((source, id), object)| ((source.clone(), id.clone()), object.clone())).collect()
    }
}
