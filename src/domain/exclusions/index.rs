//! Items sorted by a hash, found through the hash's first bits: a few bytes an item, and mostly one wait for memory.

use std::ops::Range;

/// Where the items of each hash stand.
#[derive(Default)]
pub(super) struct Index {
    hashes: Vec<u32>,
    /// Where the hashes begin that start with these bits, and at the end how many there are.
    starts: Vec<u32>,
    shift: u32,
}

impl Index {
    /// Of hashes that are sorted.
    pub fn of(hashes: Vec<u32>) -> Self {
        let bits = (hashes.len() / 4).max(2).ilog2() + 1;
        let shift = 32 - bits;
        let mut starts = Vec::with_capacity((1 << bits) + 1);
        let mut place = 0;
        for bucket in 0..1_u32 << bits {
            while hashes.get(place).is_some_and(|hash| hash >> shift < bucket) {
                place += 1;
            }
            starts.push(u32::try_from(place).expect("a list has fewer entries"));
        }
        starts.push(u32::try_from(hashes.len()).expect("a list has fewer entries"));
        Self { hashes, starts, shift }
    }

    /// The places of the items with this hash.
    pub fn places(&self, hash: u32) -> Range<usize> {
        if self.hashes.is_empty() {
            return 0..0;
        }
        let bucket = (hash >> self.shift) as usize;
        let (start, end) = (self.starts[bucket] as usize, self.starts[bucket + 1] as usize);
        let hashes = &self.hashes[start..end];
        let first = hashes.iter().take_while(|known| **known < hash).count();
        let equal = hashes[first..].iter().take_while(|known| **known == hash).count();
        start + first..start + first + equal
    }
}
