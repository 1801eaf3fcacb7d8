//! Where the entries of a list stand, by key: what a crate's table costs instead, `benches/manifest.rs` measures.
//!
//! A number of 32 bits for each entry, two to three slots for every two entries. In its low bits a slot has the place
//! of the entry, and in those that are left above a few bits of the key, so that hardly any other entry is looked at.
//! A key is a hash, whose halves tell where it is looked for, and if the slot is taken, in the next ones. They are mixed:
//! keys also come in their order, as a workspace lists them, and unmixed they would crowd at one end of a table that
//! grows meanwhile.

use super::{entry::Entry, observable::Key};

/// The places of a list that only grows. Whatever else happens to the list, they are made anew.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Zero: nothing. Otherwise the place and one, and the mark of the key.
    slots: Vec<u32>,
    /// The bits of a slot that tell the place.
    place_bits: u32,
}

impl Places {
    /// Places for so many entries, and half as many again before there is need for more.
    pub fn with_room(entries: usize) -> Self {
        let slots = (2 * entries).max(16);
        let most = u32::try_from(most_of(slots) + 1).expect("a manifest has fewer than 2^32 entries");
        Self { slots: vec![0; slots], place_bits: u32::MAX >> most.leading_zeros() }
    }

    /// The places of `entries`, of which each key stands there once.
    pub fn of(entries: &[Entry]) -> Self {
        let mut places = Self::with_room(entries.len());
        for (place, entry) in entries.iter().enumerate() {
            let slot = places.free_slot(entry.key);
            places.fill(slot, entry.key, place);
        }
        places
    }

    /// The place of `key` in `entries`.
    pub fn find(&self, entries: &[Entry], key: Key) -> Option<usize> {
        if self.slots.is_empty() { None } else { self.look(entries, key).ok() }
    }

    /// The place of `key` in `entries`; if it is in none, notes that it will be the next.
    pub fn find_or_note(&mut self, entries: &[Entry], key: Key) -> Option<usize> {
        if entries.len() >= most_of(self.slots.len()) {
            *self = Self::of(entries);
        }
        match self.look(entries, key) {
            Ok(place) => Some(place),
            Err(slot) => {
                self.fill(slot, key, entries.len());
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
            seen ^= self.slots.get(self.first_slot(key)).copied().unwrap_or(0);
        }
        std::hint::black_box(seen);
        count
    }

    /// The place of `key`, or the slot for it.
    fn look(&self, entries: &[Entry], key: Key) -> Result<usize, usize> {
        let (mark, mut slot) = (self.mark(key), self.first_slot(key));
        loop {
            let content = self.slots[slot];
            if content == 0 {
                return Err(slot);
            }
            let place = (content & self.place_bits) as usize - 1;
            if content & !self.place_bits == mark && entries[place].key == key {
                return Ok(place);
            }
            slot = self.after(slot);
        }
    }

    fn free_slot(&self, key: Key) -> usize {
        let mut slot = self.first_slot(key);
        while self.slots[slot] != 0 {
            slot = self.after(slot);
        }
        slot
    }

    fn fill(&mut self, slot: usize, key: Key, place: usize) {
        self.slots[slot] = self.mark(key) | (place as u32 + 1);
    }

    fn first_slot(&self, key: Key) -> usize {
        /// 2^64 divided by the golden ratio (Knuth, The Art of Computer Programming, vol. 3, §6.4).
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let (first_half, second_half) = key.0.as_u64_pair();
        let mixed = (first_half ^ second_half).wrapping_mul(GOLDEN);
        ((u128::from(mixed) * self.slots.len() as u128) >> 64) as usize
    }

    fn after(&self, slot: usize) -> usize {
        if slot + 1 == self.slots.len() { 0 } else { slot + 1 }
    }

    fn mark(&self, key: Key) -> u32 {
        let (_, second_half) = key.0.as_u64_pair();
        second_half as u32 & !self.place_bits
    }
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
                let (mut slot, mut away) = (places.first_slot(entry.key), 0);
                while entries[(places.slots[slot] & places.place_bits) as usize - 1].key != entry.key {
                    (slot, away) = (places.after(slot), away + 1);
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
                assert!(n < 16 || size_of_val(&places.slots[..]) <= 8 * entries.len());
            }
        }
    }
}
