//! How much a lane retracts and creates unasked: more within a day looks like a mistake, ours or the source's, and waits
//! for an operator.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// The time over which retractions and creations are summed.
const SPAN: TimeDelta = TimeDelta::hours(24);
/// Of what was held, the part that may be retracted or created within the span, as a divisor; and how many are never too
/// many.
const RETRACTED: (u64, u64) = (5, 100);
const CREATED: (u64, u64) = (2, 2000);
/// More samples than this add nothing to the decision and cost bytes in every commit.
const MOST_SAMPLES: usize = 32;

/// What a lane held, and what it retracted and created unasked, over the last day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unasked {
    /// From a time on (seconds since 1970) so many indicators were held, oldest first.
    held: Vec<(i64, u64)>,
    /// At a time so many were retracted, oldest first.
    retracted: Vec<(i64, u64)>,
    /// At a time so many were created, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    created: Vec<(i64, u64)>,
}

impl Unasked {
    /// Notes how many indicators are held from `now` on.
    pub fn note_held(&mut self, now: DateTime<Utc>, held: u64) {
        self.forget(now);
        match self.held.last_mut() {
            Some((_, before)) if *before == held => {}
            Some((at, before)) if *at == now.timestamp() => *before = held,
            _ => self.held.push((now.timestamp(), held)),
        }
        if self.held.len() > MOST_SAMPLES {
            // The one that was true for the shortest time.
            let shortest =
                (1..self.held.len() - 1).min_by_key(|place| self.held[place + 1].0 - self.held[*place].0);
            if let Some(place) = shortest {
                self.held.remove(place);
            }
        }
    }

    /// Notes that so many were retracted unasked.
    pub fn note_retracted(&mut self, now: DateTime<Utc>, count: u64) {
        self.forget(now);
        note(&mut self.retracted, now, count);
    }

    /// Notes that so many were created unasked.
    pub fn note_created(&mut self, now: DateTime<Utc>, count: u64) {
        self.forget(now);
        note(&mut self.created, now, count);
    }

    /// Whether nothing was ever noted: the lane's state is of a version without a retraction limit.
    pub fn is_new(&self) -> bool {
        self.held.is_empty()
    }

    /// How many more may be retracted unasked at `now`, of a lane that began at `created`: a fifth of what it held when
    /// the last 24 hours began, or 100 where that is more, less what was retracted since.
    pub fn retractions_left(&self, now: DateTime<Utc>, created: Option<DateTime<Utc>>) -> u64 {
        self.left(RETRACTED, &self.retracted, now, created)
    }

    /// How many more may be created unasked at `now`: half of what the lane held when the last 24 hours began, or 2,000
    /// where that is more, less what was created since.
    pub fn creations_left(&self, now: DateTime<Utc>, created: Option<DateTime<Utc>>) -> u64 {
        self.left(CREATED, &self.created, now, created)
    }

    fn left(
        &self,
        (divisor, few): (u64, u64),
        done: &[(i64, u64)],
        now: DateTime<Utc>,
        created: Option<DateTime<Utc>>,
    ) -> u64 {
        let begin = now - SPAN;
        let before = self.held.iter().rev().find(|(at, _)| *at <= begin.timestamp());
        let held = match before.or(self.held.first()) {
            Some(_) if before.is_none() && created.is_some_and(|created| created > begin) => 0,
            Some((_, held)) => *held,
            None => 0,
        };
        let done: u64 = done.iter().filter(|(at, _)| *at > begin.timestamp()).map(|(_, count)| count).sum();
        (held / divisor).max(few).saturating_sub(done)
    }

    /// Drops what no decision looks at any more. What a clock that was ahead noted counts as of `now`.
    fn forget(&mut self, now: DateTime<Utc>) {
        let (begin, now) = ((now - SPAN).timestamp(), now.timestamp());
        for (at, _) in self.held.iter_mut().chain(&mut self.retracted).chain(&mut self.created) {
            *at = (*at).min(now);
        }
        self.retracted.retain(|(at, _)| *at > begin);
        self.created.retain(|(at, _)| *at > begin);
        let first = self.held.iter().rposition(|(at, _)| *at <= begin).unwrap_or(0);
        self.held.drain(..first);
    }
}

/// Adds so many at `now` to `done`.
fn note(done: &mut Vec<(i64, u64)>, now: DateTime<Utc>, count: u64) {
    match done.last_mut() {
        Some((at, before)) if *at == now.timestamp() => *before += count,
        _ => done.push((now.timestamp(), count)),
    }
    if done.len() > MOST_SAMPLES {
        // Counted as if it had happened a little later, so that it counts no shorter.
        let (_, count) = done.remove(0);
        done[0].1 += count;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(hours: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_772_452_800, 0).unwrap() + TimeDelta::hours(hours)
    }

    #[test]
    fn the_measure_is_a_fifth_of_what_was_held_a_day_ago() {
        let mut limit = Unasked::default();
        limit.note_held(time(0), 0);
        limit.note_held(time(1), 1000);
        let created = Some(time(0));
        assert_eq!(limit.retractions_left(time(2), created), 100, "a day ago nothing was held");
        assert_eq!(limit.retractions_left(time(24), created), 100);
        assert_eq!(limit.retractions_left(time(25), created), 200);
        limit.note_held(time(26), 10_000);
        assert_eq!(limit.retractions_left(time(27), created), 200);
        limit.note_retracted(time(27), 190);
        assert_eq!(
            (limit.retractions_left(time(28), created), limit.retractions_left(time(50), created)),
            (10, 1810)
        );
        assert_eq!(limit.retractions_left(time(51), created), 2000, "24 hours later it no longer counts");
    }

    #[test]
    fn a_lane_of_a_version_without_a_limit_is_measured_by_what_it_holds() {
        let mut limit = Unasked::default();
        assert!(limit.is_new());
        limit.note_held(time(0), 1000);
        assert_eq!(
            (limit.retractions_left(time(1), None), limit.retractions_left(time(1), Some(time(-100)))),
            (200, 200)
        );
    }

    #[test]
    fn a_clock_that_was_ahead_neither_hides_nor_renews_what_was_taken_back() {
        let mut limit = Unasked::default();
        limit.note_held(time(0), 1000);
        limit.note_retracted(time(2000), 150);
        limit.note_held(time(30), 850);
        assert_eq!(limit.retractions_left(time(30), None), 50);
        assert_eq!(limit.retractions_left(time(31), None), 50);
    }

    #[test]
    fn creations_are_measured_by_half_of_what_was_held_and_do_not_count_as_retractions() {
        let mut limit = Unasked::default();
        limit.note_held(time(0), 10_000);
        let created = Some(time(0));
        assert_eq!(limit.creations_left(time(2), created), 2000, "a day ago nothing was held");
        assert_eq!(limit.creations_left(time(25), created), 5000);
        limit.note_created(time(25), 4999);
        limit.note_retracted(time(25), 3);
        assert_eq!(
            (limit.creations_left(time(26), created), limit.retractions_left(time(26), created)),
            (1, 1997)
        );
        assert_eq!(limit.creations_left(time(49), created), 5000, "24 hours later they no longer count");
    }

    proptest! {
        /// However the retractions are spread, and however many samples there are: within any 24 hours of which all was
        /// asked for, no more is permitted than the measure at their end allows.
        #[test]
        fn never_more_than_the_measure(steps in prop::collection::vec((1..7200_i64, 0..400_u64), 1..120)) {
            let mut limit = Unasked::default();
            limit.note_held(time(-48), 1000);
            let (mut now, mut done) = (time(0), Vec::new());
            for (seconds, wanted) in steps {
                now += TimeDelta::seconds(seconds);
                let left = limit.retractions_left(now, None);
                let taken = if wanted <= left { wanted } else { 0 };
                limit.note_retracted(now, taken);
                done.push((now, taken));
                let within: u64 = done.iter().filter(|(at, _)| *at > now - SPAN).map(|(_, taken)| taken).sum();
                prop_assert!(within <= 200);
                prop_assert!(limit.retracted.len() <= MOST_SAMPLES);
            }
        }

        #[test]
        fn samples_stay_few(steps in prop::collection::vec((1..7200_i64, 0..400_u64), 1..120)) {
            let (mut limit, mut now) = (Unasked::default(), time(0));
            for (seconds, held) in steps {
                now += TimeDelta::seconds(seconds);
                limit.note_held(now, held);
                prop_assert!(limit.held.len() <= MOST_SAMPLES + 1);
                prop_assert!(limit.held.is_sorted_by_key(|(at, _)| *at));
                prop_assert_eq!(limit.held.last().unwrap().1, held);
            }
        }
    }
}
