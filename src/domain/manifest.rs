//! What a lane knows of every indicator it sent: the memory that makes a second reading send nothing twice.

use std::{collections::BTreeSet, ops::Range};

use chrono::{DateTime, Utc};

use super::{
    deciding_record::Tag,
    entry::{Entry, Handle, Known, State},
    fingerprint::Fingerprint,
    handles::{ByKey, Handles},
    manifest_format::Content,
    observable::{IndicatorType, Key},
    sorted::{Index, merge, sort},
};

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
    /// Where the files stand, by the records that decide about them; made when it is first asked for.
    files: Option<BTreeSet<(Tag, Key)>>,
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
        self.files.as_mut().into_iter().for_each(|files| files.extend(place_of_file(&entry)));
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
        // What was retracted stays so: an older record of the same value must not bring it back.
        for entry in self.settled.iter_mut().filter(|entry| entry.state() != State::Retracted) {
            entry.fingerprint = Fingerprint::VOID;
        }
    }

    /// Number of indicators that the destination holds at `now`.
    pub fn held(&mut self, now: DateTime<Utc>) -> u64 {
        self.entries().iter().filter(|entry| entry.is_held(now)).count() as u64
    }

    /// When the first indicator lapses, or lapsed, that the source may still list, if none is renewed: what is valid until
    /// earlier than `renewed_until` the last refresh did not meet, and it lapses because the source no longer lists it.
    pub fn first_lapse(&mut self, renewed_until: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        let entries = self.entries().iter();
        let listed = entries.filter(|entry| entry.state().is_held() && !entry.state().is_decided_against());
        let until = listed.map(Entry::valid_until);
        until.filter(|until| renewed_until.is_none_or(|renewed| *until >= renewed)).min()
    }

    /// Indicators that wait at `now` to be created.
    pub fn waiting(&mut self, now: DateTime<Utc>) -> impl Iterator<Item = Known> + '_ {
        self.known().filter(move |known| known.entry.is_waiting(now))
    }

    /// Indicators that the destination holds at `now` although the records that decide about them speak against them.
    pub fn held_unwanted(&mut self, now: DateTime<Utc>) -> impl Iterator<Item = Known> + '_ {
        self.known().filter(move |known| known.entry.is_held_unwanted(now))
    }

    /// The keys under which files stand that the record `tag` decides about: the names of files come and go, and one
    /// that a record no longer has can be found by nothing else.
    pub fn files_of(&mut self, tag: Tag) -> impl Iterator<Item = Key> + '_ {
        if self.files.is_none() {
            self.files = Some(self.entries().iter().filter_map(place_of_file).collect());
        }
        let first = Key::from([0; 16]);
        let files = self.files.as_ref().expect("just made");
        files.range((tag, first)..).take_while(move |(of, _)| *of == tag).map(|(_, key)| *key)
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

/// A file, and the record that decides about it.
fn place_of_file(entry: &Entry) -> Option<(Tag, Key)> {
    let tag = entry.deciding_record().tag;
    let is_known = tag != Tag::UNKNOWN && entry.indicator_type() == Some(IndicatorType::Hash);
    is_known.then_some((tag, entry.key))
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
    use crate::domain::deciding_record::RecordVersion;

    fn entry(key: u16, fingerprint: u64) -> Entry {
        let mut bytes = [0; 16];
        bytes[7..9].copy_from_slice(&key.to_be_bytes());
        Entry::new(
            bytes.into(),
            Fingerprint(fingerprint),
            DateTime::UNIX_EPOCH,
            RecordVersion::default(),
            State::Held,
        )
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
}
