//! Items sorted by a hash, found through the hash's first bits. Most values are in no list, which a filter tells alone.

use std::ops::Range;

use super::filter::Filter;

/// Items and where those of each hash stand.
pub(super) struct Index<T> {
    items: Vec<(u32, T)>,
    filter: Filter,
    /// Where the filter's buckets begin, and at the end how many items there are.
    starts: Vec<u32>,
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self { items: Vec::new(), filter: Filter::default(), starts: Vec::new() }
    }
}

impl<T> Index<T> {
    /// Of items that are sorted by their hash.
    pub fn of(mut items: Vec<(u32, T)>) -> Self {
        items.shrink_to_fit();
        let filter = Filter::of(items.len(), items.iter().map(|(hash, _)| *hash));
        let mut starts = Vec::with_capacity(filter.buckets() + 1);
        let mut place = 0;
        for bucket in 0..filter.buckets() {
            while items.get(place).is_some_and(|(hash, _)| filter.bucket(*hash) < bucket) {
                place += 1;
            }
            starts.push(u32::try_from(place).expect("a list has fewer entries"));
        }
        starts.push(u32::try_from(items.len()).expect("a list has fewer entries"));
        Self { items, filter, starts }
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The places of the items with this hash.
    pub fn places(&self, hash: u32) -> Range<usize> {
        if self.items.is_empty() || !self.filter.may_have(hash) {
            return 0..0;
        }
        let bucket = self.filter.bucket(hash);
        let (start, end) = (self.starts[bucket] as usize, self.starts[bucket + 1] as usize);
        let items = &self.items[start..end];
        let first = items.iter().take_while(|(known, _)| *known < hash).count();
        let equal = items[first..].iter().take_while(|(known, _)| *known == hash).count();
        start + first..start + first + equal
    }

    /// The item at one of the places.
    pub fn item(&self, place: usize) -> &T {
        &self.items[place].1
    }

    /// Every item.
    pub fn items(&self) -> impl Iterator<Item = &T> {
        self.items.iter().map(|(_, item)| item)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_items_of_a_hash_are_found_and_no_others(
            mut hashes in prop::collection::vec(prop_oneof![0..20_u32, any::<u32>(), Just(u32::MAX)], 0..300),
            asked in prop::collection::vec(any::<u32>(), 0..50),
        ) {
            hashes.sort_unstable();
            let index = Index::of(hashes.iter().map(|hash| (*hash, *hash)).collect());
            prop_assert!(index.items().eq(&hashes));
            for hash in hashes.iter().copied().chain(asked).chain(0..25) {
                let found: Vec<u32> = index.places(hash).map(|place| *index.item(place)).collect();
                let naive: Vec<u32> = hashes.iter().copied().filter(|known| *known == hash).collect();
                prop_assert_eq!(found, naive);
            }
        }
    }
}
