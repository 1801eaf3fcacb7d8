//! Ranges, sorted by where they begin. They may contain one another and overlap.

use std::cmp::Reverse;

use super::{Place, sorted::Sorted};

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

impl<T: Copy + Ord> Builder<T> {
    pub fn add(&mut self, start: T, end: T, place: Place) {
        self.ranges.push((start, end, place));
    }

    pub fn build(mut self) -> Ranges<T> {
        // The wider first, and of equal ranges the first stays. A stable sort would take half as much memory again.
        let order = |(start, end, place): &(T, T, Place)| (*start, Reverse(*end), *place);
        self.ranges.sort_unstable_by_key(order);
        self.ranges.dedup_by(|later, first| (later.0, later.1) == (first.0, first.1));
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
        Ranges { starts, items }
    }
}

impl<T: Copy + Ord> Ranges<T> {
    /// The range that contains `value` and begins last.
    pub fn find(&self, value: T) -> Option<Place> {
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
