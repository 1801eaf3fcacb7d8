//! Ranges, sorted by where they begin. They may contain one another and overlap.

use std::cmp::Reverse;

use super::{Place, filter::Filter, sorted::Sorted};

/// Stands for no range.
const NONE: u32 = u32::MAX;

struct Item<T> {
    end: T,
    /// The nearest earlier range that ends later.
    outer: u32,
    place: Place,
}

/// Ranges with both ends included.
pub(super) struct Ranges<T> {
    starts: Sorted<T>,
    items: Vec<Item<T>>,
    cells: Cells,
}

/// Cells of addresses that begin alike, so large that most ranges lie in one, and those that have a range.
struct Cells {
    /// So many of an address's last bits tell none.
    shift: u32,
    filter: Filter,
    /// From the first to the last address of those that lie in more than one, in their order; what overlaps is joined.
    wide: Vec<(u128, u128)>,
}

impl Cells {
    /// One in so many ranges may lie in more than one cell.
    const WIDE: usize = 16;

    /// Of ranges that are sorted by where they begin.
    fn of(count: usize, ranges: impl Iterator<Item = (u128, u128)> + Clone) -> Self {
        let mut by_width = [0; 129];
        ranges.clone().for_each(|(start, end)| by_width[128 - (start ^ end).leading_zeros() as usize] += 1);
        let mut narrow = 0;
        let shift = by_width.iter().position(|ranges| {
            narrow += ranges;
            count - narrow <= count / Self::WIDE
        });
        let shift = shift.map_or(127, |shift| shift.min(127));
        let is_narrow = |(start, end): &(u128, u128)| start >> shift == end >> shift;
        let mut wide: Vec<(u128, u128)> = Vec::new();
        for (start, end) in ranges.clone().filter(|range| !is_narrow(range)) {
            match wide.last_mut().filter(|(_, before)| *before >= start) {
                Some((_, before)) => *before = end.max(*before),
                None => wide.push((start, end)),
            }
        }
        let narrow = ranges.filter(is_narrow).map(|(start, _)| hash(start >> shift));
        #[expect(clippy::cast_possible_truncation, reason = "at most 127")]
        Self { shift: shift as u32, filter: Filter::of(count, narrow), wide }
    }

    /// Whether a range may contain `value`; if not, none does.
    fn may_have(&self, value: u128) -> bool {
        self.filter.may_have(hash(value >> self.shift)) || {
            let before = self.wide.partition_point(|(start, _)| *start <= value);
            before.checked_sub(1).is_some_and(|before| self.wide[before].1 >= value)
        }
    }
}

fn hash(cell: u128) -> u32 {
    /// 2^64 divided by the golden ratio (Knuth, The Art of Computer Programming, vol. 3, §6.4).
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    #[expect(clippy::cast_possible_truncation, reason = "both halves are mixed")]
    let mixed = (cell as u64 ^ (cell >> 64) as u64).wrapping_mul(GOLDEN);
    (mixed >> 32) as u32
}

/// Takes ranges in any order.
pub(super) struct Builder<T> {
    ranges: Vec<(T, T, Place)>,
}

impl<T> Default for Builder<T> {
    fn default() -> Self {
        Self { ranges: Vec::new() }
    }
}

impl<T: Copy + Ord + Into<u128>> Builder<T> {
    pub fn add(&mut self, start: T, end: T, place: Place) {
        self.ranges.push((start, end, place));
    }

    pub fn build(mut self) -> Ranges<T> {
        // The wider first, and of equal ranges the first stays. A stable sort would take half as much memory again.
        let order = |(start, end, place): &(T, T, Place)| (*start, Reverse(*end), *place);
        self.ranges.sort_unstable_by_key(order);
        self.ranges.dedup_by(|later, first| (later.0, later.1) == (first.0, first.1));
        let ends = self.ranges.iter().map(|(start, end, _)| ((*start).into(), (*end).into()));
        let cells = Cells::of(self.ranges.len(), ends);
        let starts = Sorted::of(self.ranges.len(), |place| self.ranges[place].0);
        let mut items: Vec<Item<T>> = Vec::with_capacity(self.ranges.len());
        let mut outer = NONE;
        for (number, (_, end, place)) in (0..).zip(self.ranges) {
            // What ends before this range contains no later start that this one does not.
            while outer != NONE && items[outer as usize].end < end {
                outer = items[outer as usize].outer;
            }
            items.push(Item { end, outer, place });
            outer = number;
        }
        Ranges { starts, items, cells }
    }
}

impl<T: Copy + Ord + Into<u128>> Ranges<T> {
    /// The range that contains `value` and begins last.
    pub fn find(&self, value: T) -> Option<Place> {
        if !self.cells.may_have(value.into()) {
            return None;
        }
        let mut number = self.starts.last_up_to(value)?;
        loop {
            let Item { end, outer, place } = &self.items[number];
            if *end >= value {
                return Some(*place);
            }
            if *outer == NONE {
                return None;
            }
            number = *outer as usize;
        }
    }

    /// Every range.
    pub fn all(&self) -> impl Iterator<Item = (T, T)> {
        self.starts.iter().zip(&self.items).map(|(start, item)| (start, item.end))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Ranges of every width, of which many lie near one another.
    fn any_ranges() -> impl Strategy<Value = Vec<(u128, u128)>> {
        let start = prop_oneof![0..400_u128, (0..8_u128).prop_map(|high| high << 125), any::<u128>()];
        let width = prop_oneof![Just(0), 0..40_u128, (0..=127_u32).prop_map(|bits| u128::MAX >> bits)];
        let range = (start, width).prop_map(|(start, width)| (start, start.saturating_add(width)));
        prop::collection::vec(range, 0..60)
    }

    proptest! {
        #[test]
        fn the_range_that_begins_last_is_found(ranges in any_ranges(), asked in prop::collection::vec(any::<u128>(), 0..20)) {
            let mut builder = Builder::default();
            for (line, (start, end)) in (0..).zip(&ranges) {
                builder.add(*start, *end, Place { list: 0, line });
            }
            let built = builder.build();
            let near = ranges.iter().flat_map(|(start, end)| {
                [start.saturating_sub(1), *start, start + (end - start) / 2, *end, end.saturating_add(1)]
            });
            for value in near.chain(asked) {
                let containing = ranges.iter().filter(|(start, end)| (*start..=*end).contains(&value));
                // Of those that begin last the narrowest.
                let naive = containing.max_by_key(|(start, end)| (*start, Reverse(*end)));
                let found = built.find(value).map(|place| ranges[place.line as usize]);
                prop_assert_eq!(found, naive.copied(), "{}", value);
            }
        }
    }
}
