//! What goes with the few entries whose indicator a destination knows by something else than our id.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use super::{entry::Handle, observable::Key};

/// A table by key, of whatever.
pub type ByKey<T> = HashMap<Key, T, BuildHasherDefault<KeyHasher>>;

/// Handles by key. Most entries have none, and then this costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Handles(ByKey<Handle>);

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

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn remove(&mut self, key: Key) {
        if !self.0.is_empty() {
            self.0.remove(&key);
        }
    }
}

/// Keys are hashes already: their first bytes spread well enough.
#[derive(Default)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = self.0.rotate_left(32) ^ u64::from_le_bytes(word);
        }
    }

    /// The length prefix of a byte array says nothing about a key.
    fn write_usize(&mut self, _length: usize) {}
}
