//! Which of a manifest's segments are merged, so that few are to be read and each entry is written again only a
//! few times.

/// As many segments of one size class are merged into one.
const FAN_IN: usize = 8;
/// Segments up to this many entries are of the smallest class; each next class is [`FAN_IN`] times larger.
const SMALLEST: u64 = 100;

/// The index from which on all segments are to be merged, given their numbers of entries, oldest first. `None`
/// when they are well as they are.
///
/// A class is merged when it has [`FAN_IN`] segments behind the last larger one; smaller ones among them go
/// along, because a segment may only be merged with its neighbours: later ones win over earlier ones.
pub fn first_to_merge(sizes: &[u64]) -> Option<usize> {
    let classes: Vec<u32> = sizes.iter().map(|entries| class(*entries)).collect();
    let largest = classes.iter().copied().max()?;
    (0..=largest).find_map(|class| {
        let start = classes.iter().rposition(|other| *other > class).map_or(0, |larger| larger + 1);
        let members = classes[start..].iter().filter(|other| **other == class).count();
        (members >= FAN_IN).then_some(start)
    })
}

fn class(entries: u64) -> u32 {
    (entries.max(SMALLEST) / SMALLEST).ilog(FAN_IN as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Appends segments of `sizes` one after another, merging as asked; returns what is left and how many
    /// entries were written.
    fn run(sizes: impl Iterator<Item = u64>) -> (Vec<u64>, u64) {
        let (mut segments, mut written) = (Vec::new(), 0);
        for size in sizes {
            segments.push(size);
            written += size;
            while let Some(start) = first_to_merge(&segments) {
                let merged = segments.drain(start..).sum();
                written += merged;
                segments.push(merged);
            }
        }
        (segments, written)
    }

    #[test]
    fn few_segments_stay_and_little_is_rewritten() {
        for sizes in [vec![100], vec![1000, 100], vec![30, 40_000, 100, 900]] {
            let (segments, written) = run(sizes.iter().copied().cycle().take(4000));
            let total: u64 = segments.iter().sum();
            assert!(segments.len() <= 64, "{} segments of {sizes:?}", segments.len());
            assert!(written <= 7 * total, "{written} entries written for {total}");
        }
    }

    #[test]
    fn a_large_segment_is_left_alone_by_small_ones() {
        assert_eq!(first_to_merge(&[1_000_000, 100, 100, 100, 100, 100, 100, 100]), None);
        assert_eq!(first_to_merge(&[1_000_000, 100, 100, 100, 100, 100, 100, 100, 100]), Some(1));
    }
}
