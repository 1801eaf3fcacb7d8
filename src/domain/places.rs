//! Where the entries of a list stand, by key: what a crate's table costs instead, `benches/manifest.rs` measures.
//!
//! A number of 32 bits for each entry, two to three slots for every two entries. In its low bits a slot has the place
//! of the entry, and in those that are left above a few bits of the key, so that hardly any other entry is looked at.
//! A key is a hash, whose halves tell where it is looked for, and if the slot is taken, in the next ones. They are mixed:
//! keys also come in their order, as a workspace lists them, and unmixed they would crowd at one end of a table that
//! grows meanwhile.

use super::{
    deciding_record::Tag,
    entry::Entry,
    observable::{IndicatorType, Key},
};

/// The places of a list that only grows. Whatever else happens to the list, they are made anew.
#[derive(Clone, Debug, Default)]
pub struct Places {
    table: Table,
}

impl Places {
    /// Places for so many entries, and half as many again before there is need for more.
    pub fn with_room(entries: usize) -> Self {
        let slots = slots_for(entries);
        Self { table: Table::new(slots, most_of(slots)) }
    }

    /// The places of `entries`, of which each key stands there once.
    pub fn of(entries: &[Entry]) -> Self {
        let mut places = Self::with_room(entries.len());
        for (place, entry) in entries.iter().enumerate() {
            places.table.add(mixed(entry.key), place);
        }
        places
    }

    /// The place of `key` in `entries`.
    pub fn find(&self, entries: &[Entry], key: Key) -> Option<usize> {
        if self.table.slots.is_empty() { None } else { self.look(entries, key).ok() }
    }

    /// The place of `key` in `entries`; if it is in none, notes that it will be the next.
    pub fn find_or_note(&mut self, entries: &[Entry], key: Key) -> Option<usize> {
        if entries.len() >= most_of(self.table.slots.len()) {
            // Both tables at once would be the most memory that the manifest ever takes.
            self.table = Table::default();
            *self = Self::of(entries);
        }
        match self.look(entries, key) {
            Ok(place) => Some(place),
            Err(slot) => {
                self.table.fill(slot, mixed(key), entries.len());
                None
            }
        }
    }

    /// Looks where `keys` are looked for first, and tells how many they are: all of them wait for memory at once, and what
    /// is looked for next is near.
    pub fn touch(&self, keys: impl Iterator<Item = Key>) -> usize {
        let (mut count, mut seen) = (0, 0);
        for key in keys {
            count += 1;
            seen ^= self.table.slots.get(self.table.first_slot(mixed(key))).copied().unwrap_or(0);
        }
        std::hint::black_box(seen);
        count
    }

    /// The place of `key`, or the slot for it.
    fn look(&self, entries: &[Entry], key: Key) -> Result<usize, usize> {
        self.table.look(mixed(key), |place| entries[place].key == key)
    }
}

/// Where the entries of files stand, by the records that decide about them: a record may decide about several.
#[derive(Clone, Debug)]
pub struct PlacesOfFiles {
    table: Table,
    /// Slots that are filled. An entry whose deciding record changed fills one more, and what it filled before says
    /// nothing any more.
    filled: usize,
}

impl PlacesOfFiles {
    pub fn of(entries: &[Entry]) -> Self {
        let count = entries.iter().filter_map(record_of_file).count();
        let table = Table::new(slots_for(count), most_of(slots_for(entries.len())));
        let mut places = Self { table, filled: 0 };
        (0..entries.len()).for_each(|place| places.add(entries, place));
        places
    }

    /// Notes that the deciding record of what stands at `place` is another one now.
    pub fn note(&mut self, entries: &[Entry], place: usize) {
        let is_full = self.filled >= most_of(self.table.slots.len());
        if is_full || place >= self.table.place_bits as usize {
            self.table = Table::default();
            *self = Self::of(entries);
        } else {
            self.add(entries, place);
        }
    }

    fn add(&mut self, entries: &[Entry], place: usize) {
        if let Some(tag) = record_of_file(&entries[place]) {
            self.table.add(spread(tag.number()), place);
            self.filled += 1;
        }
    }

    /// The keys of the files that this record decides about, in their order.
    pub fn of_record(&self, entries: &[Entry], tag: Tag) -> Vec<Key> {
        let mut keys = Vec::new();
        // It is none of them until all were looked at.
        let _ = self.table.look(spread(tag.number()), |place| {
            if record_of_file(&entries[place]) == Some(tag) {
                keys.push(entries[place].key);
            }
            false
        });
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

/// The record that decides about an entry, if that is of a file and the record is known.
pub fn record_of_file(entry: &Entry) -> Option<Tag> {
    let tag = entry.deciding_record().tag;
    (tag != Tag::UNKNOWN && entry.indicator_type() == Some(IndicatorType::Hash)).then_some(tag)
}

/// Slots, each of them nothing or a place.
#[derive(Clone, Debug, Default)]
struct Table {
    /// Zero: nothing. Otherwise the place and one, and the mark of what stands there.
    slots: Vec<u32>,
    /// The bits of a slot that tell the place.
    place_bits: u32,
}

impl Table {
    /// Room for places before `end`.
    fn new(slots: usize, end: usize) -> Self {
        let most = u32::try_from(end + 1).expect("a manifest has fewer than 2^32 entries");
        Self { slots: vec![0; slots], place_bits: u32::MAX >> most.leading_zeros() }
    }

    /// The first place of those noted for `sought` that `is_it`, or the slot for it.
    fn look(&self, sought: u64, mut is_it: impl FnMut(usize) -> bool) -> Result<usize, usize> {
        let (mark, mut slot) = (self.mark(sought), self.first_slot(sought));
        loop {
            let content = self.slots[slot];
            if content == 0 {
                return Err(slot);
            }
            let place = (content & self.place_bits) as usize - 1;
            if content & !self.place_bits == mark && is_it(place) {
                return Ok(place);
            }
            slot = self.after(slot);
        }
    }

    /// Notes `place` for `sought`, behind those that are noted for it.
    fn add(&mut self, sought: u64, place: usize) {
        let mut slot = self.first_slot(sought);
        while self.slots[slot] != 0 {
            slot = self.after(slot);
        }
        self.fill(slot, sought, place);
    }

    fn fill(&mut self, slot: usize, sought: u64, place: usize) {
        self.slots[slot] = self.mark(sought) | (place as u32 + 1);
    }

    fn first_slot(&self, sought: u64) -> usize {
        ((u128::from(sought) * self.slots.len() as u128) >> 64) as usize
    }

    fn after(&self, slot: usize) -> usize {
        if slot + 1 == self.slots.len() { 0 } else { slot + 1 }
    }

    fn mark(&self, sought: u64) -> u32 {
        sought as u32 & !self.place_bits
    }
}

/// What a key is looked for by.
fn mixed(key: Key) -> u64 {
    let (first_half, second_half) = key.0.as_u64_pair();
    spread(first_half ^ second_half)
}

fn spread(number: u64) -> u64 {
    /// 2^64 divided by the golden ratio (Knuth, The Art of Computer Programming, vol. 3, §6.4).
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    number.wrapping_mul(GOLDEN)
}

fn slots_for(entries: usize) -> usize {
    (2 * entries).max(16)
}

/// So many entries fill so many slots as far as they are filled.
fn most_of(slots: usize) -> usize {
    slots / 3 * 2
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{deciding_record::RecordVersion, entry::State, fingerprint::Fingerprint};

    fn entry(key: u128) -> Entry {
        let (key, at) = (key.to_be_bytes().into(), DateTime::UNIX_EPOCH);
        Entry::new(key, Fingerprint(1), at, RecordVersion::default(), State::Held)
    }

    /// Keys of which many are equal, some begin alike, some end alike and some do neither.
    fn any_keys() -> impl Strategy<Value = Vec<u128>> {
        let key = prop_oneof![
            0..600_u128,
            (0..600_u128).prop_map(|key| key << 110),
            (0..3_u128).prop_map(|key| u128::MAX - key),
            any::<u128>()
        ];
        prop::collection::vec(key, 0..600)
    }

    proptest! {
        #[test]
        fn what_is_there_is_found_and_nothing_else(keys in any_keys(), room in 0..900_usize, absent in any_keys()) {
            let (mut entries, mut places, mut model) = (Vec::new(), Places::with_room(room), BTreeMap::new());
            for key in keys {
                let known = places.find_or_note(&entries, entry(key).key);
                prop_assert_eq!(known, model.get(&key).copied());
                if known.is_none() {
                    model.insert(key, entries.len());
                    entries.push(entry(key));
                }
            }
            for places in [&places, &Places::of(&entries)] {
                for key in absent.iter().chain(model.keys()) {
                    prop_assert_eq!(places.find(&entries, entry(*key).key), model.get(key).copied());
                }
            }
            prop_assert_eq!(Places::default().find(&entries, entry(1).key), None);
        }
    }

    /// A workspace lists what it holds in the order of ids, and each page is a commit.
    #[test]
    fn keys_that_come_in_their_order_lie_near_where_they_are_looked_for() {
        let odd = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835_u128;
        let mut keys: Vec<u128> = (0..20_000).map(|n| odd.wrapping_mul(n)).collect();
        keys.sort_unstable();
        for keys in [keys, (0..20_000).collect()] {
            let (mut entries, mut places) = (Vec::new(), Places::default());
            for key in keys {
                assert_eq!(places.find_or_note(&entries, entry(key).key), None);
                entries.push(entry(key));
            }
            let away = entries.iter().map(|entry| {
                let (mut slot, mut away) = (places.table.first_slot(mixed(entry.key)), 0);
                while entries[(places.table.slots[slot] & places.table.place_bits) as usize - 1].key
                    != entry.key
                {
                    (slot, away) = (places.table.after(slot), away + 1);
                }
                away
            });
            let away = away.sum::<usize>();
            assert!(away < 10 * entries.len(), "{away} slots in all");
        }
    }

    /// What docs/scale.md reckons with.
    #[test]
    fn a_table_takes_eight_bytes_an_entry_at_most() {
        for count in [1000, 100_000] {
            let odd = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835_u128;
            let (mut entries, mut places) = (Vec::new(), Places::default());
            for n in 0..count {
                assert_eq!(places.find_or_note(&entries, entry(odd.wrapping_mul(n)).key), None);
                entries.push(entry(odd.wrapping_mul(n)));
                assert!(n < 16 || size_of_val(&places.table.slots[..]) <= 8 * entries.len());
            }
        }
    }
}
