//! Entries in the order of their keys, many at a time: put in order and merged without a hash table, and without a
//! copy of what they are merged into.

use super::{entry::Entry, observable::Key};

/// Keys are hashes: their first two bytes spread a file's entries over places of a few each.
const PLACES: usize = 1 << 16;
/// Fewer than this are sorted as they are, because filling and walking the places costs more than it saves.
const FEW: u32 = 1 << 14;

/// Puts `entries` into `sorted` in the order of their keys, the last one of each key. What was in there is gone; its
/// room is used again.
///
/// One reading counts how many come to each place, a second puts each where it belongs, and what shares a place is
/// put in order there. Keys that do not spread cost what sorting costs, and no more.
pub fn sort(entries: impl Iterator<Item = Entry> + Clone, sorted: &mut Vec<Entry>) {
    sorted.clear();
    let Some(filler) = entries.clone().next() else { return };
    let mut ends = vec![0_u32; PLACES];
    entries.clone().for_each(|entry| ends[place(&entry)] += 1);
    let count: u32 = ends.iter().sum();
    if count < FEW {
        sorted.extend(entries);
        sorted.sort_by_key(|entry| entry.key);
    } else {
        let mut start = 0;
        for end in &mut ends {
            start += std::mem::replace(end, start);
        }
        sorted.resize(count as usize, filler);
        entries.for_each(|entry| {
            let end = &mut ends[place(&entry)];
            sorted[*end as usize] = entry;
            *end += 1;
        });
        let mut start = 0;
        for end in ends {
            sorted[start..end as usize].sort_by_key(|entry| entry.key);
            start = end as usize;
        }
    }
    sorted.dedup_by(|later, kept| {
        let is_same = later.key == kept.key;
        if is_same {
            *kept = *later;
        }
        is_same
    });
}

/// The first two bytes of the key.
fn place(entry: &Entry) -> usize {
    let bytes = entry.key.0.as_bytes();
    usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// Merges `newer` into `settled` and leaves it empty; of one key the newer wins. Both are in the order of their keys,
/// each key once, and so is the result. It happens in place and from the end, so that nothing is copied beside
/// `settled`.
pub fn merge(settled: &mut Vec<Entry>, newer: &mut Vec<Entry>) {
    let mut at = 0;
    newer.retain(|entry| {
        at = seek(settled, at, entry);
        match settled.get_mut(at) {
            Some(known) if known.key == entry.key => {
                *known = *entry;
                false
            }
            _ => true,
        }
    });
    let Some(filler) = newer.first().copied() else { return };
    let mut source = settled.len();
    settled.resize(source + newer.len(), filler);
    for target in (0..settled.len()).rev() {
        let Some(last) = newer.last() else { break };
        if source > 0 && settled[source - 1].key > last.key {
            source -= 1;
            settled[target] = settled[source];
        } else {
            settled[target] = *last;
            newer.pop();
        }
    }
}

/// Where the entries of each stretch of keys begin, so that finding one of a million looks at one or two places of
/// memory, where halving would look at twenty. Made anew whenever the entries change their places.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// Of stretches as long as each other, and where the last one ends.
    starts: Vec<usize>,
    /// So many leading bits of a key tell its stretch.
    bits: u32,
}

impl Index {
    /// A stretch has about so many entries.
    const STRETCH: usize = 64;

    pub fn of(settled: &[Entry]) -> Self {
        let bits = (settled.len() / Self::STRETCH).checked_ilog2().unwrap_or(0);
        let mut end = 0;
        let starts = (0..1_u64 << bits).map(|stretch| {
            let before = |entry: &Entry| leading(entry.key, bits) < stretch;
            end += settled[end..].partition_point(before);
            end
        });
        Self { starts: starts.chain([settled.len()]).collect(), bits }
    }

    /// The place of `key` in what this is the index of.
    pub fn find(&self, settled: &[Entry], key: Key) -> Option<usize> {
        let stretch = leading(key, self.bits) as usize;
        let (start, end) = (*self.starts.get(stretch)?, *self.starts.get(stretch + 1)?);
        let stretch = &settled[start..end];
        // Keys are hashes: within a stretch, too, the next bits tell where one stands, give or take a few places.
        let next_bits = first_half(key) << self.bits;
        let guess = ((u128::from(next_bits) * stretch.len() as u128) >> 64) as usize;
        let (mut low, mut high, mut step) = (guess, guess, 4);
        while low > 0 && stretch[low].key > key {
            low = low.saturating_sub(step);
            step *= 2;
        }
        while high < stretch.len() && stretch[high].key < key {
            high += step;
            step *= 2;
        }
        let place = low + stretch[low..high.min(stretch.len())].partition_point(|entry| entry.key < key);
        stretch.get(place).is_some_and(|entry| entry.key == key).then_some(start + place)
    }
}

/// The first bits of a key; none of them, where there is but one stretch.
fn leading(key: Key, bits: u32) -> u64 {
    first_half(key).checked_shr(u64::BITS - bits).unwrap_or(0)
}

/// The first eight bytes of a key, as a number that is ordered as keys are.
fn first_half(key: Key) -> u64 {
    key.0.as_u64_pair().0
}

/// The index of the first of `settled` that is not before `entry`, where those before `from` are known to be: in
/// steps that double, and then between the last two.
fn seek(settled: &[Entry], from: usize, entry: &Entry) -> usize {
    let (mut low, mut step) = (from, 1);
    while low + step <= settled.len() && settled[low + step - 1].key < entry.key {
        low += step;
        step *= 2;
    }
    let high = (low + step).min(settled.len());
    low + settled[low..high].partition_point(|known| known.key < entry.key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        deciding_record::RecordVersion,
        entry::{Handle, Known, Rank, State},
        fingerprint::Fingerprint,
        manifest::Manifest,
        manifest_format::{decode, encode},
    };

    fn entry((key, fingerprint): (u128, u64)) -> Entry {
        let key: Key = key.to_be_bytes().into();
        Entry::new(key, Fingerprint(fingerprint), DateTime::UNIX_EPOCH, RecordVersion::default(), State::Held)
    }

    fn model(entries: &[Entry]) -> Vec<Entry> {
        let map: BTreeMap<Key, Entry> = entries.iter().map(|entry| (entry.key, *entry)).collect();
        map.into_values().collect()
    }

    /// Keys of which many are equal, and that begin alike or do not.
    fn any_keys() -> impl Strategy<Value = Vec<(u128, u64)>> {
        let key =
            (0..600_u128, any::<bool>()).prop_map(|(key, spread)| if spread { key << 110 } else { key });
        prop::collection::vec((key, any::<u64>()), 0..400)
    }

    proptest! {
        #[test]
        fn what_is_there_is_found_and_nothing_else(keys in any_keys(), hashes in prop::collection::vec(any::<u128>(), 0..400)) {
            let keys = keys.into_iter().chain(hashes.into_iter().map(|hash| (hash, 1)));
            let (there, absent): (Vec<_>, Vec<_>) = keys.map(entry).partition(|entry| entry.key.0.as_u128() % 3 > 0);
            let settled = model(&there);
            let index = Index::of(&settled);
            for (place, entry) in settled.iter().enumerate() {
                prop_assert_eq!(index.find(&settled, entry.key), Some(place));
            }
            prop_assert!(absent.iter().all(|entry| index.find(&settled, entry.key).is_none()));
        }

        #[test]
        fn the_last_of_each_key_stays_in_order(keys in any_keys()) {
            let entries: Vec<Entry> = keys.into_iter().map(entry).collect();
            let mut sorted = entries.clone();
            sort(entries.iter().copied(), &mut sorted);
            prop_assert_eq!(sorted, model(&entries));
        }

        #[test]
        fn merging_is_putting_one_map_over_another(older in any_keys(), newer in any_keys()) {
            let [older, newer] = [older, newer].map(|keys| keys.into_iter().map(entry).collect::<Vec<_>>());
            let (mut settled, mut merged) = (model(&older), model(&newer));
            merge(&mut settled, &mut merged);
            prop_assert_eq!(settled, model(&[older, newer].concat()));
            prop_assert!(merged.is_empty());
        }

        /// Whatever is absorbed between puts, in order or not: later entries win, with their handles.
        #[test]
        fn absorbing_is_putting_many(parts in prop::collection::vec(
            (prop::collection::vec((0..400_u16, 1..9_u64, prop::option::of(0..3_u64)), 0..60), any::<bool>(), any::<bool>()),
            0..12,
        )) {
            let (mut manifest, mut put, mut scratch) = (Manifest::default(), Manifest::default(), Vec::new());
            for (part, in_order, at_once) in parts {
                let rank = Rank::default();
                let known = |(key, fingerprint, id): (u16, u64, Option<u64>)| Known {
                    entry: entry((u128::from(key), fingerprint)),
                    handle: id.map(|id| Handle::Numbered { id, rank }),
                };
                let mut part: Vec<Known> = part.into_iter().map(known).collect();
                if in_order {
                    part.sort_by_key(|known| known.entry.key);
                }
                part.iter().for_each(|known| put.put(*known));
                match at_once {
                    true => manifest.absorb(&decode(&encode(part.into_iter())).unwrap(), &mut scratch),
                    false => part.into_iter().for_each(|known| manifest.put(known)),
                }
                prop_assert_eq!(manifest.len(), put.len());
            }
            prop_assert!(manifest.known().eq(put.known()));
        }
    }

    /// So many that they are spread, of keys that do spread and of keys that all begin alike.
    #[test]
    fn many_are_put_in_order_as_few_are() {
        let count = u64::from(FEW) + 1000;
        let odd = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835_u128;
        let spread = (0..count).map(|n| entry((u128::from(n % 9000).wrapping_mul(odd), n)));
        let alike = (0..count).map(|n| entry((u128::from(n * 7919 % 9001), n)));
        for entries in [spread.collect::<Vec<_>>(), alike.collect()] {
            let mut sorted = Vec::new();
            sort(entries.iter().copied(), &mut sorted);
            assert!(sorted == model(&entries));
        }
    }
}
