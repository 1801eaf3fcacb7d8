//! When a manifest is written anew, so that little is to be read and an entry is seldom written again.

/// A file of the manifest is full with so many entries: 10 MiB of them.
pub const FULL: u64 = 262_144;
/// Compaction writes frames of so many entries: a frame lies in memory in one piece when it is read.
pub const FRAME: usize = 16_384;
/// What is stored may be so many times what is live. Then, whenever the live entries are written again, more than
/// twice as many have been superseded or have run out since they were written: so of all that is written, a third at
/// most is compaction's.
const SURPLUS: u64 = 3;
/// Below this it gains nothing.
const FEW: u64 = 4096;
/// So many files more than are needed do no harm either: passes that were killed leave them half empty.
const HALF_EMPTY: u64 = 24;

/// What of a manifest lies in the storage, and what of it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    pub entries: u64,
    pub files: u64,
    /// Entries that are not superseded and have not run out.
    pub live: u64,
}

/// Whether writing the live entries anew pays. Where nothing is live it always does, for it costs nothing.
pub fn pays(stored: Stored) -> bool {
    let Stored { entries, files, live } = stored;
    match live {
        0 => files > 0,
        _ => entries > FEW.max(SURPLUS * live) || files > SURPLUS * live.div_ceil(FULL) + HALF_EMPTY,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// So many entries are written, of which so many in a hundred were not known.
        Write(u64, u64),
        /// So many in a hundred of the live entries run out.
        Expire(u64),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1..200_000_u64, 0..=100_u64).prop_map(|(entries, new)| Step::Write(entries, new)),
            1 => (0..=100_u64).prop_map(Step::Expire),
        ]
    }

    proptest! {
        /// Whatever is written, replaced or runs out: compaction writes half as much again at most, and what is to be
        /// read stays within three times what is live.
        #[test]
        fn an_entry_is_written_again_half_a_time_at_most(steps in prop::collection::vec(any_step(), 1..200)) {
            let (mut entries, mut live, mut written, mut again) = (0, 0_u64, 0, 0);
            for step in steps {
                match step {
                    Step::Write(count, new) => {
                        entries += count;
                        written += count;
                        // What is replaced was live.
                        live += count - (count - count * new / 100).min(live);
                    }
                    Step::Expire(share) => live -= live * share / 100,
                }
                let files = entries.div_ceil(FULL);
                if pays(Stored { entries, files, live }) {
                    entries = live;
                    again += live;
                }
                prop_assert!(2 * again <= written, "{again} written again of {written}");
                prop_assert!(entries <= FEW.max(SURPLUS * live));
            }
        }
    }

    #[test]
    fn a_million_entries_of_which_each_changes_twice_are_written_anew_once() {
        let stored = |entries: u64, live| Stored { entries, files: entries.div_ceil(FULL), live };
        assert!(!pays(stored(3_000_000, 1_000_000)));
        assert!(pays(stored(3_000_001, 1_000_000)));
        assert!(!pays(stored(FEW, 1)) && pays(stored(FEW + 1, 1)));
        assert!(pays(stored(1, 0)) && !pays(stored(0, 0)));
    }

    #[test]
    fn many_files_of_few_entries_become_one() {
        assert!(!pays(Stored { entries: 27, files: 27, live: 27 }));
        assert!(pays(Stored { entries: 28, files: 28, live: 28 }));
    }
}
