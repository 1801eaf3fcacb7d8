//! What a lane knows of every indicator it sent: the memory that makes a second reading send nothing twice.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    fingerprint::Fingerprint,
    observable::{IndicatorType, Key},
};

/// How an indicator stands at the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The destination acknowledged it, or held it when the lane began.
    Held,
    /// The destination refused it; it is not offered again until its content changes.
    Rejected,
    /// The destination holds an earlier content and refused the one of the fingerprint.
    UpdateRejected,
    /// Taken back. Remembered, so that an older record of the same value does not bring it back.
    Retracted,
}

/// What a lane remembers of an indicator where the destination knows it by something else than our id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handle {
    /// Sentinel: the id somebody else's product gave it, under which it is updated.
    Foreign(Uuid),
    /// Defender: the API's number for it, and what ranks it.
    Numbered { id: u64, rank: Rank },
}

/// What decides which indicators a destination holds that cannot hold all. The greater is the more wanted; of
/// equals the one updated later, which the entry knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    pub threat_score: u8,
    pub confidence: u8,
}

/// All that is known of one indicator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    pub entry: Entry,
    pub handle: Option<Handle>,
}

impl From<Entry> for Known {
    fn from(entry: Entry) -> Self {
        Self { entry, handle: None }
    }
}

/// What is known of one indicator. 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: Key,
    /// Of the content last sent, or last refused.
    pub fingerprint: Fingerprint,
    /// Seconds since 1970. An entry that expired more than a day ago leaves at compaction.
    pub valid_until: u32,
    /// From its top: minutes since 1970 of the record's last update at the source (27 bits), the type of indicator
    /// (3 bits), the state (2 bits).
    mark: u32,
}

impl Entry {
    /// `updated` is when the source last updated the record; where it does not say, the record counts as older
    /// than any other.
    pub fn new(
        key: Key,
        fingerprint: Fingerprint,
        valid_until: DateTime<Utc>,
        updated: Option<DateTime<Utc>>,
        state: State,
    ) -> Self {
        let seconds = valid_until.timestamp().clamp(0, i64::from(u32::MAX));
        let valid_until = u32::try_from(seconds).expect("clamped to the range of u32");
        Self { key, fingerprint, valid_until, mark: minutes(updated) << 5 | state.bits() }
    }

    /// The same entry, of an indicator of this type.
    pub fn of_type(self, indicator_type: IndicatorType) -> Self {
        Self { mark: self.mark & !(7 << 2) | type_bits(indicator_type) << 2, ..self }
    }

    /// The type of indicator; versions before segment format 2 did not keep it.
    pub fn indicator_type(&self) -> Option<IndicatorType> {
        IndicatorType::ALL.into_iter().find(|indicator_type| type_bits(*indicator_type) == self.mark >> 2 & 7)
    }

    /// When the source last updated the record, in minutes since 1970.
    pub fn updated_minutes(&self) -> u32 {
        self.mark >> 5
    }

    /// Whether the destination holds some content of the indicator at `now`.
    pub fn is_held(&self, now: DateTime<Utc>) -> bool {
        matches!(self.state(), State::Held | State::UpdateRejected) && self.valid_until() > now
    }

    /// From when on the entry need not be kept. A retracted one is remembered as long as an older record of the
    /// same value may be read again.
    pub fn leaves_at(&self) -> DateTime<Utc> {
        let kept = if self.state() == State::Retracted { TimeDelta::days(90) } else { TimeDelta::days(1) };
        self.valid_until() + kept
    }

    pub fn valid_until(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(i64::from(self.valid_until), 0).expect("u32 seconds are a date before 2107")
    }

    pub fn state(&self) -> State {
        State::from_bits(self.mark)
    }

    /// Whether the entry speaks of a record that the source updated later than `updated`, by the minute. One that
    /// does not say when it was updated is never older.
    pub fn is_newer_than(&self, updated: Option<DateTime<Utc>>) -> bool {
        updated.is_some() && self.updated_minutes() > minutes(updated)
    }

    /// The same entry after the destination refused another content.
    pub fn refusing(self, fingerprint: Fingerprint) -> Self {
        Self { fingerprint, mark: self.mark & !3 | State::UpdateRejected.bits(), ..self }
    }

    /// The same entry after the indicator was taken back at `now`.
    pub fn taken_back(self, now: DateTime<Utc>) -> Self {
        let again = Self::new(self.key, self.fingerprint, now, None, State::Retracted);
        Self { mark: self.mark & !3 | State::Retracted.bits(), ..again }
    }

    /// The stored form of what has no field of its own.
    pub(super) fn mark(&self) -> u32 {
        self.mark
    }

    /// An entry as segment format 1 stored it: without its type.
    pub(super) fn stored_v1(key: Key, fingerprint: Fingerprint, valid_until: u32, mark: u32) -> Self {
        Self { key, fingerprint, valid_until, mark: (mark >> 2) << 5 | mark & 3 }
    }

    /// An entry as stored.
    pub(super) fn stored(key: Key, fingerprint: Fingerprint, valid_until: u32, mark: u32) -> Self {
        Self { key, fingerprint, valid_until, mark }
    }
}

impl State {
    fn bits(self) -> u32 {
        match self {
            Self::Held => 0,
            Self::Rejected => 1,
            Self::UpdateRejected => 2,
            Self::Retracted => 3,
        }
    }

    fn from_bits(bits: u32) -> Self {
        match bits & 3 {
            0 => Self::Held,
            1 => Self::Rejected,
            2 => Self::UpdateRejected,
            _ => Self::Retracted,
        }
    }
}

/// Whole minutes since 1970, in 27 bits: enough until the year 2225.
fn minutes(time: Option<DateTime<Utc>>) -> u32 {
    let minutes = time.map_or(0, |time| time.timestamp() / 60).clamp(0, (1 << 27) - 1);
    u32::try_from(minutes).expect("clamped to 27 bits")
}

/// Fixed for ever by the stored form; 0 is for entries that do not know.
fn type_bits(indicator_type: IndicatorType) -> u32 {
    match indicator_type {
        IndicatorType::Ipv4 => 1,
        IndicatorType::Ipv6 => 2,
        IndicatorType::Fqdn => 3,
        IndicatorType::Url => 4,
        IndicatorType::Hash => 5,
    }
}

/// All entries of a lane, by key. Old ones lie sorted in one block; recent ones in a small table beside it, so
/// that a million cost about their own size and a change costs no search.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    settled: Vec<Entry>,
    recent: HashMap<Key, Entry, BuildHasherDefault<KeyHasher>>,
    /// Entries of `recent` that `settled` does not have.
    new: usize,
    /// Most entries need none.
    handles: HashMap<Key, Handle, BuildHasherDefault<KeyHasher>>,
}

impl Manifest {
    pub fn get(&self, key: Key) -> Option<&Entry> {
        self.recent.get(&key).or_else(|| self.find_settled(key).map(|index| &self.settled[index]))
    }

    /// The handle that goes with an entry.
    pub fn handle(&self, key: Key) -> Option<Handle> {
        self.handles.get(&key).copied()
    }

    /// Adds or replaces an entry and its handle.
    pub fn put(&mut self, known: impl Into<Known>) {
        let Known { entry, handle } = known.into();
        match handle {
            Some(handle) => drop(self.handles.insert(entry.key, handle)),
            None if self.handles.is_empty() => {}
            None => drop(self.handles.remove(&entry.key)),
        }
        let known = self.find_settled(entry.key).is_some();
        if self.recent.insert(entry.key, entry).is_none() && !known {
            self.new += 1;
        }
        if self.recent.len() > 1024.max(self.settled.len() / 8) {
            self.settle();
        }
    }

    /// Number of indicators known.
    pub fn len(&self) -> usize {
        self.settled.len() + self.new
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All entries in the order of their keys.
    pub fn entries(&mut self) -> &[Entry] {
        self.settle();
        &self.settled
    }

    /// The entries with their handles, in the order of their keys.
    pub fn known(&mut self) -> impl ExactSizeIterator<Item = Known> + '_ {
        self.settle();
        self.settled.iter().map(|entry| Known { entry: *entry, handle: self.handle(entry.key) })
    }

    /// Drops the entries for which `keep` is false and tells how many.
    pub fn retain(&mut self, mut keep: impl FnMut(&Entry) -> bool) -> usize {
        self.settle();
        let before = self.settled.len();
        let handles = &mut self.handles;
        self.settled.retain(|entry| {
            let keep = keep(entry);
            if !keep && !handles.is_empty() {
                handles.remove(&entry.key);
            }
            keep
        });
        before - self.settled.len()
    }

    /// Forgets the content of every entry and keeps its key: whatever is read next is sent again.
    pub fn void(&mut self) {
        self.settle();
        // What was taken back stays so: an older record of the same value must not bring it back.
        for entry in self.settled.iter_mut().filter(|entry| entry.state() != State::Retracted) {
            entry.fingerprint = Fingerprint::VOID;
        }
    }

    fn find_settled(&self, key: Key) -> Option<usize> {
        self.settled.binary_search_by_key(&key, |entry| entry.key).ok()
    }

    /// Merges the recent entries into the sorted block, in place and from its end, so that nothing is copied
    /// beside it.
    fn settle(&mut self) {
        let mut recent: Vec<Entry> = std::mem::take(&mut self.recent).into_values().collect();
        self.new = 0;
        recent.retain(|entry| match self.find_settled(entry.key) {
            Some(index) => {
                self.settled[index] = *entry;
                false
            }
            None => true,
        });
        let Some(filler) = recent.first().copied() else { return };
        recent.sort_unstable_by_key(|entry| entry.key);
        let mut source = self.settled.len();
        self.settled.resize(source + recent.len(), filler);
        for target in (0..self.settled.len()).rev() {
            let Some(last) = recent.last() else { break };
            if source > 0 && self.settled[source - 1].key > last.key {
                source -= 1;
                self.settled[target] = self.settled[source];
            } else {
                self.settled[target] = *last;
                recent.pop();
            }
        }
    }
}

impl<K: Into<Known>> FromIterator<K> for Manifest {
    /// Later entries win over earlier ones of the same key.
    fn from_iter<I: IntoIterator<Item = K>>(entries: I) -> Self {
        let mut manifest = Self::default();
        entries.into_iter().for_each(|known| manifest.put(known));
        manifest.settle();
        manifest
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

/// A key read back from its 16 bytes.
impl From<[u8; 16]> for Key {
    fn from(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn entry(key: u16, fingerprint: u64) -> Entry {
        let mut bytes = [0; 16];
        bytes[7..9].copy_from_slice(&key.to_be_bytes());
        Entry::new(bytes.into(), Fingerprint(fingerprint), DateTime::UNIX_EPOCH, None, State::Held)
    }

    proptest! {
        /// Whatever is put, in whatever order and however often it settles, the manifest is a map.
        #[test]
        fn behaves_as_a_map(puts in prop::collection::vec((0..400_u16, 1..9_u64, 0..40_u8), 0..3000)) {
            let mut manifest = Manifest::default();
            let mut model = BTreeMap::new();
            for (key, fingerprint, settle) in puts {
                manifest.put(entry(key, fingerprint));
                model.insert(entry(key, 0).key, entry(key, fingerprint));
                if settle == 0 {
                    manifest.settle();
                }
                prop_assert_eq!(manifest.len(), model.len());
                prop_assert_eq!(manifest.get(entry(key, 0).key), model.get(&entry(key, 0).key));
            }
            prop_assert!(manifest.entries().iter().eq(model.values()));
        }
    }

    #[test]
    fn an_entry_takes_32_bytes() {
        assert_eq!(size_of::<Entry>(), 32);
    }
}
