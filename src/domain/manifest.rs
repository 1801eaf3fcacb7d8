//! What a lane knows of every indicator it sent: the memory that makes a second reading send nothing twice.

use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    fingerprint::Fingerprint,
    handles::{ByKey, Handles},
    observable::{IndicatorType, Key},
    segment::Content,
    sorted::{Index, merge, sort},
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
        self.valid_until() + TimeDelta::days(self.days_kept())
    }

    /// Whether the entry is still to be kept at `seconds` since 1970: [`Entry::leaves_at`] for a million entries,
    /// without a calendar.
    pub fn is_kept(&self, seconds: i64) -> bool {
        i64::from(self.valid_until) + self.days_kept() * 86_400 > seconds
    }

    /// How long the entry is remembered after its validity.
    fn days_kept(&self) -> i64 {
        if self.state() == State::Retracted { 90 } else { 1 }
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

/// So many recent entries are kept beside the others at most: a few megabytes with their table.
const MOST_RECENT: usize = 1 << 15;

/// All entries of a lane, by key. Old ones lie sorted in one block; recent ones in a small table beside it, so
/// that a million cost about their own size and a change moves no others.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    settled: Vec<Entry>,
    index: Index,
    recent: ByKey<Entry>,
    /// Entries of `recent` that `settled` does not have.
    new: usize,
    handles: Handles,
}

impl Manifest {
    pub fn get(&self, key: Key) -> Option<&Entry> {
        self.recent.get(&key).or_else(|| self.find_settled(key).map(|index| &self.settled[index]))
    }

    /// The handle that goes with an entry.
    pub fn handle(&self, key: Key) -> Option<Handle> {
        self.handles.get(key)
    }

    /// Adds or replaces an entry and its handle.
    pub fn put(&mut self, known: impl Into<Known>) {
        let Known { entry, handle } = known.into();
        self.handles.set(entry.key, handle);
        let known = self.find_settled(entry.key).is_some();
        if self.recent.insert(entry.key, entry).is_none() && !known {
            self.new += 1;
        }
        if self.recent.len() > (self.settled.len() / 8).clamp(MOST_RECENT / 4, MOST_RECENT) {
            self.settle();
        }
    }

    /// An empty one with room for so many. Room that is not used takes no memory.
    pub fn with_room(entries: usize) -> Self {
        Self { settled: Vec::with_capacity(entries), ..Self::default() }
    }

    /// Takes in a stored part of a manifest: later entries win over earlier ones, and all of them over what is known
    /// already. What was stored in order, and follows on what is known, is only copied; `scratch` is for what is not.
    pub fn absorb(&mut self, stored: &Content<'_>, scratch: &mut Vec<Entry>) {
        self.settle();
        if stored.has_handles() || !self.handles.is_empty() {
            stored.known().for_each(|Known { entry, handle }| self.handles.set(entry.key, handle));
        }
        let mut last = self.settled.last().map(|entry| entry.key);
        if stored.entries().all(|entry| last.replace(entry.key).is_none_or(|before| before < entry.key)) {
            stored.entries().for_each(|entry| self.settled.push(entry));
        } else {
            sort(stored.entries(), scratch);
            merge(&mut self.settled, scratch);
        }
        self.index = Index::of(&self.settled);
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
        self.known_in(0..self.len())
    }

    /// The same of a part of them, given by its place in that order.
    pub fn known_in(&mut self, part: Range<usize>) -> impl ExactSizeIterator<Item = Known> + '_ {
        self.settle();
        self.settled[part].iter().map(|entry| Known { entry: *entry, handle: self.handle(entry.key) })
    }

    /// Drops the entries for which `keep` is false and tells how many.
    pub fn retain(&mut self, mut keep: impl FnMut(&Entry) -> bool) -> usize {
        self.settle();
        let before = self.settled.len();
        let handles = &mut self.handles;
        self.settled.retain(|entry| {
            let keep = keep(entry);
            if !keep {
                handles.remove(entry.key);
            }
            keep
        });
        self.index = Index::of(&self.settled);
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
        self.index.find(&self.settled, key)
    }

    /// Merges the recent entries into the sorted block.
    fn settle(&mut self) {
        if self.recent.is_empty() {
            return;
        }
        let mut recent: Vec<Entry> = std::mem::take(&mut self.recent).into_values().collect();
        recent.sort_unstable_by_key(|entry| entry.key);
        merge(&mut self.settled, &mut recent);
        self.index = Index::of(&self.settled);
        self.new = 0;
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

    proptest! {
        #[test]
        fn an_entry_is_kept_until_it_leaves(valid_until: u32, state in 0..4_u32, nanoseconds in 0..1_000_000_000_u32, off in -2..3_i64) {
            let time = DateTime::from_timestamp(i64::from(valid_until), 0).unwrap();
            let entry = Entry::new([0; 16].into(), Fingerprint(1), time, None, State::from_bits(state));
            let now = entry.leaves_at() + TimeDelta::seconds(off) + TimeDelta::nanoseconds(nanoseconds.into());
            prop_assert_eq!(entry.is_kept(now.timestamp()), entry.leaves_at() > now);
        }
    }

    #[test]
    fn an_entry_takes_32_bytes() {
        assert_eq!(size_of::<Entry>(), 32);
    }
}
