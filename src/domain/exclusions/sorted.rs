//! Sorted values among which one is found with few waits for memory, however they lie.
//!
//! A binary search among a million waits for memory at nearly each of its 20 steps. Here the values lie in blocks; the
//! first of each block lie in blocks again, and so on up to one block. All but the lowest row fit into a processor's cache,
//! and all values of a block are compared, so that the processor guesses nothing. Addresses crowd in few ranges, so their
//! first bits alone would not tell where to look.

/// Values in a block: of IPv4 addresses, what a processor loads at once.
const WIDTH: usize = 16;

/// Values in ascending order.
pub(super) struct Sorted<T> {
    /// The values, the first of each block of these, and so on; the last block of a row is filled up with its last value.
    rows: Vec<Vec<[T; WIDTH]>>,
    len: usize,
}

impl<T: Copy + Ord> Sorted<T> {
    /// Of so many values that are sorted, each by its place.
    pub fn of(len: usize, value: impl Fn(usize) -> T) -> Self {
        let mut rows = vec![blocks(len, value)];
        while let Some(row) = rows.last().filter(|row| row.len() > 1) {
            let above = blocks(row.len(), |place| row[place][0]);
            rows.push(above);
        }
        Self { rows, len }
    }

    /// The place of the last value that is not above `value`.
    pub fn last_up_to(&self, value: T) -> Option<usize> {
        let mut place = 0;
        for row in self.rows.iter().rev() {
            // What fills a block up leads behind the last.
            let block = place.min(row.len().checked_sub(1)?);
            let count: u8 = row[block].iter().map(|known| u8::from(*known <= value)).sum();
            place = block * WIDTH + usize::from(count.checked_sub(1)?);
        }
        Some(place.min(self.len - 1))
    }

    /// Every value.
    pub fn iter(&self) -> impl Iterator<Item = T> {
        self.rows[0].iter().flatten().copied().take(self.len)
    }
}

fn blocks<T>(len: usize, value: impl Fn(usize) -> T) -> Vec<[T; WIDTH]> {
    let block = |block: usize| std::array::from_fn(|place| value((block * WIDTH + place).min(len - 1)));
    (0..len.div_ceil(WIDTH)).map(block).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_found_is_what_a_search_from_the_end_finds(
            mut values in prop::collection::vec(prop_oneof![0..40_u32, any::<u32>(), Just(u32::MAX)], 0..300),
            asked in prop::collection::vec(any::<u32>(), 0..20),
        ) {
            values.sort_unstable();
            let sorted = Sorted::of(values.len(), |place| values[place]);
            prop_assert_eq!(&sorted.iter().collect::<Vec<_>>(), &values);
            let near = values.iter().flat_map(|value| [value.saturating_sub(1), *value, value.saturating_add(1)]);
            for value in near.chain(asked).chain([0, u32::MAX]) {
                let naive = values.iter().rposition(|known| *known <= value);
                prop_assert_eq!(sorted.last_up_to(value), naive, "{} among {:?}", value, values);
            }
        }
    }
}
