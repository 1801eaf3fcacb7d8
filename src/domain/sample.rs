//! Samples of a bounded size, and what is told of what was measured.

use serde::{Deserialize, Serialize};

/// How long something took, of all it was measured for: half of it at most the first, 95 of a hundred the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Percentiles {
    pub p50_s: u64,
    pub p95_s: u64,
}

impl Percentiles {
    /// Of these seconds; zero if there are none.
    pub fn of(mut seconds: Vec<u64>) -> Self {
        seconds.sort_unstable();
        let rank = |percent: usize| (seconds.len() * percent).div_ceil(100).saturating_sub(1);
        let at = |percent| seconds.get(rank(percent)).copied().unwrap_or_default();
        Self { p50_s: at(50), p95_s: at(95) }
    }

    /// The greater of both, for passes that continue one another.
    pub fn max(self, other: Self) -> Self {
        Self { p50_s: self.p50_s.max(other.p50_s), p95_s: self.p95_s.max(other.p95_s) }
    }
}

/// A sample of at most so many of a row of things, spread evenly over it, however long it becomes.
#[derive(Clone, Debug)]
pub struct Spread<T> {
    most: usize,
    met: usize,
    stride: usize,
    kept: Vec<T>,
}

/// A sample of nothing.
impl<T> Default for Spread<T> {
    fn default() -> Self {
        Self::new(1)
    }
}

impl<T> Spread<T> {
    pub fn new(most: usize) -> Self {
        Self { most, met: 0, stride: 1, kept: Vec::new() }
    }

    /// The next of the row; it is made only if it is kept.
    pub fn offer(&mut self, next: impl FnOnce() -> T) {
        let place = self.met;
        self.met += 1;
        if self.kept.len() == self.most && place.is_multiple_of(self.stride) {
            let mut places = 0..;
            self.kept.retain(|_| places.next().is_some_and(|place: usize| place.is_multiple_of(2)));
            self.stride *= 2;
        }
        if place.is_multiple_of(self.stride) {
            self.kept.push(next());
        }
    }

    pub fn take(&mut self) -> Vec<T> {
        let most = self.most;
        std::mem::replace(self, Self::new(most)).kept
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_sample_is_spread_evenly_over_what_it_is_of(most in 1_usize..40, count in 0_usize..3000) {
            let mut spread = Spread::new(most);
            (0..count).for_each(|n| spread.offer(|| n));
            let kept = spread.take();
            prop_assert!(kept.len() <= most);
            prop_assert!(kept.len() >= count.min(most.div_ceil(2)));
            let step = kept.get(1).copied().unwrap_or(1);
            prop_assert!(step.is_power_of_two());
            prop_assert!(kept.iter().enumerate().all(|(place, n)| *n == place * step));
        }

        #[test]
        fn percentiles_are_of_what_was_measured(seconds in prop::collection::vec(0_u64..10_000, 1..300)) {
            let Percentiles { p50_s, p95_s } = Percentiles::of(seconds.clone());
            let within = |limit| seconds.iter().filter(|one| **one <= limit).count();
            for (percent, limit) in [(50, p50_s), (95, p95_s)] {
                prop_assert!(seconds.contains(&limit));
                prop_assert!(within(limit) * 100 >= seconds.len() * percent);
                let below = seconds.iter().filter(|one| **one < limit).count();
                prop_assert!(below * 100 < seconds.len() * percent);
            }
        }
    }
}
