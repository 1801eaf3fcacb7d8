//! Tells of most values that a list has nothing for them, out of memory that fits into a processor's cache.

/// Two bits for each hash that was added, in the word of its bucket: of four hashes in a bucket one in sixty others is
/// taken for added.
#[derive(Default)]
pub(super) struct Filter {
    words: Vec<u64>,
    shift: u32,
}

impl Filter {
    /// Of about so many hashes.
    pub fn of(count: usize, hashes: impl Iterator<Item = u32>) -> Self {
        let bits = (count / 4).max(2).ilog2() + 1;
        let mut filter = Self { words: vec![0; 1 << bits], shift: 32 - bits };
        for hash in hashes {
            let bucket = filter.bucket(hash);
            filter.words[bucket] |= marks(hash);
        }
        filter
    }

    pub fn buckets(&self) -> usize {
        self.words.len()
    }

    /// The hashes of a bucket are those that begin alike.
    pub fn bucket(&self, hash: u32) -> usize {
        (hash >> self.shift) as usize
    }

    /// Whether `hash` may have been added; if not, it was not.
    pub fn may_have(&self, hash: u32) -> bool {
        self.words.get(self.bucket(hash)).is_some_and(|word| word & marks(hash) == marks(hash))
    }
}

/// Two bits out of the hash's last, which tell no bucket unless there are more than a million.
fn marks(hash: u32) -> u64 {
    1 << (hash % 64) | 1 << (hash / 64 % 64)
}
