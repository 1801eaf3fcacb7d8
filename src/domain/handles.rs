//! What goes with the few entries whose indicator a destination knows by something else than our id.

use std::collections::HashMap;

use super::{entry::Handle, observable::Key};

/// Handles by key. Most entries have none, and then this costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Handles(HashMap<Key, Handle>);

impl Handles {
    pub fn get(&self, key: Key) -> Option<Handle> {
        self.0.get(&key).copied()
    }

    /// Notes the handle of an entry, or that it has none.
    pub fn set(&mut self, key: Key, handle: Option<Handle>) {
        match handle {
            Some(handle) => drop(self.0.insert(key, handle)),
            None => self.remove(key),
        }
    }

    pub fn remove(&mut self, key: Key) {
        if !self.0.is_empty() {
            self.0.remove(&key);
        }
    }
}
