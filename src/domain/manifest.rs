//! What a lane knows of every indicator it sent: the memory that makes a second reading send nothing twice.

use std::{mem, ops::Range};

use chrono::{DateTime, Utc};

use super::{
    deciding_record::Tag,
    entry::{Entry, Handle, Known, State},
    fingerprint::Fingerprint,
    handles::Handles,
    manifest_format::Content,
    observable::Key,
    places::{Places, PlacesOfFiles, record_of_file},
};

/// All entries of a lane, by key: one block of them, and a table of their places.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    entries: Vec<Entry>,
    places: Places,
    handles: Handles,
    /// Where the files stand, by the records that decide about them; made when it is first asked for.
    files: Option<PlacesOfFiles>,
}

impl Manifest {
    pub fn get(&self, key: Key) -> Option<&Entry> {
        self.place(key).map(|place| &self.entries[place])
    }

    /// Where an entry stands among [`Manifest::entries`].
    pub fn place(&self, key: Key) -> Option<usize> {
        self.places.find(&self.entries, key)
    }

    /// The handle that goes with an entry.
    pub fn handle(&self, key: Key) -> Option<Handle> {
        self.handles.get(key)
    }

    /// Adds or replaces an entry and its handle.
    pub fn put(&mut self, known: impl Into<Known>) {
        let Known { entry, handle } = known.into();
        self.handles.set(entry.key, handle);
        let (place, before) = match self.places.find_or_note(&self.entries, entry.key) {
            Some(place) => (place, Some(mem::replace(&mut self.entries[place], entry))),
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1, None)
            }
        };
        if let Some(files) = &mut self.files
            && before.as_ref().and_then(record_of_file) != record_of_file(&entry)
        {
            files.note(&self.entries, place);
        }
    }

    /// Takes in a stored part of a manifest: later entries win over earlier ones, and all of them over what is known
    /// already. Twice as fast as one after another, where there are millions.
    pub fn absorb(&mut self, stored: &Content<'_>) {
        const AT_ONCE: usize = 128;
        let (mut known, mut keys) = (stored.known(), stored.entries().map(|entry| entry.key));
        while self.places.touch(keys.by_ref().take(AT_ONCE)) > 0 {
            known.by_ref().take(AT_ONCE).for_each(|known| self.put(known));
        }
    }

    /// An empty one with room for so many. Room that is not used takes no memory.
    pub fn with_room(entries: usize) -> Self {
        let places = Places::with_room(entries);
        Self { entries: Vec::with_capacity(entries), places, ..Self::default() }
    }

    /// Number of indicators known.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All entries, in no order that means anything.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entries with their handles.
    pub fn known(&self) -> impl ExactSizeIterator<Item = Known> + '_ {
        self.known_in(0..self.len())
    }

    /// The same of a part of them.
    pub fn known_in(&self, part: Range<usize>) -> impl ExactSizeIterator<Item = Known> + '_ {
        self.entries[part].iter().map(|entry| Known { entry: *entry, handle: self.handle(entry.key) })
    }

    /// Drops the entries for which `keep` is false and tells how many. Puts the others in the order of their keys.
    pub fn compact(&mut self, mut keep: impl FnMut(&Entry) -> bool) -> usize {
        let before = self.entries.len();
        let handles = &mut self.handles;
        self.entries.retain(|entry| {
            let keep = keep(entry);
            if !keep {
                handles.remove(entry.key);
            }
            keep
        });
        self.entries.sort_unstable_by_key(|entry| entry.key);
        self.places = Places::of(&self.entries);
        self.files = None;
        before - self.entries.len()
    }

    /// Forgets the content of every entry and keeps its key: whatever is read next is sent again.
    pub fn void(&mut self) {
        // What was retracted stays so: an older record of the same value must not bring it back.
        for entry in self.entries.iter_mut().filter(|entry| entry.state() != State::Retracted) {
            entry.fingerprint = Fingerprint::VOID;
        }
    }

    /// Number of indicators that the destination holds at `now`.
    pub fn held(&self, now: DateTime<Utc>) -> u64 {
        self.entries().iter().filter(|entry| entry.is_held(now)).count() as u64
    }

    /// When the first indicator lapses, or lapsed, that the source may still list, if none is renewed: what is valid until
    /// earlier than `renewed_until` the last refresh did not meet, and it lapses because the source no longer lists it.
    pub fn first_lapse(&self, renewed_until: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        let entries = self.entries().iter();
        let listed = entries.filter(|entry| entry.state().is_held() && !entry.state().is_decided_against());
        let until = listed.map(Entry::valid_until);
        until.filter(|until| renewed_until.is_none_or(|renewed| *until >= renewed)).min()
    }

    /// Indicators that wait at `now` to be created.
    pub fn waiting(&self, now: DateTime<Utc>) -> impl Iterator<Item = Known> + '_ {
        self.known_where(move |entry| entry.is_waiting(now))
    }

    /// Indicators that the destination holds at `now` although the records that decide about them speak against them.
    pub fn held_unwanted(&self, now: DateTime<Utc>) -> impl Iterator<Item = Known> + '_ {
        self.known_where(move |entry| entry.is_held_unwanted(now))
    }

    fn known_where<'a>(
        &'a self,
        is_wanted: impl Fn(&Entry) -> bool + 'a,
    ) -> impl Iterator<Item = Known> + 'a {
        let wanted = self.entries.iter().filter(move |entry| is_wanted(entry));
        wanted.map(|entry| Known { entry: *entry, handle: self.handle(entry.key) })
    }

    /// The keys under which files stand that the record `tag` decides about: the names of files come and go, and one
    /// that a record no longer has can be found by nothing else.
    pub fn files_of(&mut self, tag: Tag) -> Vec<Key> {
        self.files.get_or_insert_with(|| PlacesOfFiles::of(&self.entries)).of_record(&self.entries, tag)
    }
}

impl<K: Into<Known>> FromIterator<K> for Manifest {
    /// Later entries win over earlier ones of the same key.
    fn from_iter<I: IntoIterator<Item = K>>(entries: I) -> Self {
        let mut manifest = Self::default();
        entries.into_iter().for_each(|known| manifest.put(known));
        manifest
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        deciding_record::{Decider, RecordVersion},
        manifest_format::{decode, encode},
        observable::IndicatorType,
    };

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
        /// Whatever is absorbed between puts: later entries win, with their handles.
        #[test]
        fn absorbing_is_putting_many(parts in prop::collection::vec(
            (prop::collection::vec((0..400_u16, 1..9_u64), 0..300), any::<bool>()),
            0..8,
        )) {
            let (mut manifest, mut put) = (Manifest::default(), Manifest::default());
            for (part, at_once) in parts {
                let part: Vec<Known> = part.into_iter().map(|(key, fingerprint)| {
                    let handle = (fingerprint > 4).then(|| Handle::Foreign(Uuid::from_u128(fingerprint.into())));
                    Known { entry: entry(key, fingerprint), handle }
                }).collect();
                part.iter().for_each(|known| put.put(*known));
                match at_once {
                    true => manifest.absorb(&decode(&encode(part.into_iter())).unwrap()),
                    false => part.into_iter().for_each(|known| manifest.put(known)),
                }
                prop_assert!(manifest.known().eq(put.known()));
            }
        }

        /// Of whatever is put, the files that a record decides about are found by it, and those that it decided about
        /// before are not; whenever it is first asked.
        #[test]
        fn files_are_found_by_the_record_that_decides_about_them(
            puts in prop::collection::vec((0..300_u16, 0..40_u32, any::<bool>(), 0..90_u8), 0..2000),
            asked_from in 0..2000_usize,
        ) {
            let tag_of = |record: u32| if record == 0 { Tag::UNKNOWN } else { Tag::of(&record.to_string()) };
            let dropped = entry(0, 0).key;
            let mut manifest = Manifest::default();
            for (count, (key, record, is_file, compact)) in puts.into_iter().enumerate() {
                let indicator_type = if is_file { IndicatorType::Hash } else { IndicatorType::Url };
                let version = RecordVersion { updated: 1, tag: tag_of(record) };
                let decider = Decider { version, ..Decider::default() };
                manifest.put(entry(key, 1).of_type(indicator_type).decided_by(decider));
                if compact == 0 {
                    manifest.compact(|entry| entry.key != dropped);
                }
                if count < asked_from {
                    continue;
                }
                let of_record = |entry: &&Entry| {
                    record > 0
                        && entry.deciding_record().tag == tag_of(record)
                        && entry.indicator_type() == Some(IndicatorType::Hash)
                };
                let mut expected: Vec<Key> =
                    manifest.entries().iter().filter(of_record).map(|entry| entry.key).collect();
                expected.sort_unstable();
                prop_assert_eq!(manifest.files_of(tag_of(record)), expected);
            }
        }

        /// Whatever is put, in whatever order and however often some of it is dropped, the manifest is a map.
        #[test]
        fn behaves_as_a_map(puts in prop::collection::vec((0..400_u16, 1..9_u64, 0..60_u8), 0..3000)) {
            let mut manifest = Manifest::default();
            let mut model = BTreeMap::new();
            for (key, fingerprint, compact) in puts {
                let handle = (fingerprint > 4).then(|| Handle::Foreign(Uuid::from_u128(fingerprint.into())));
                manifest.put(Known { entry: entry(key, fingerprint), handle });
                model.insert(entry(key, 0).key, (entry(key, fingerprint), handle));
                if compact == 0 {
                    let is_kept = |entry: &Entry| entry.fingerprint.0 > 2;
                    let before = model.len();
                    model.retain(|_, (entry, _)| is_kept(entry));
                    prop_assert_eq!(manifest.compact(is_kept), before - model.len());
                }
                prop_assert_eq!(manifest.len(), model.len());
                let known = model.get(&entry(key, 0).key);
                prop_assert_eq!(manifest.get(entry(key, 0).key), known.map(|(entry, _)| entry));
                prop_assert_eq!(manifest.handle(entry(key, 0).key), known.and_then(|(_, handle)| *handle));
            }
            manifest.compact(|_| true);
            let known = model.values().map(|(entry, handle)| Known { entry: *entry, handle: *handle });
            prop_assert!(manifest.known().eq(known));
        }
    }
}
