//! How much a lane retracts unasked: more within a day looks like a mistake, ours or the source's, and waits for an
//! operator.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::purpose::Purpose;

/// The time over which retractions are summed.
const SPAN: TimeDelta = TimeDelta::hours(24);
/// So many are never too many.
const FEW: u64 = 100;
/// More samples than this add nothing to the decision and cost bytes in every commit.
const MOST_SAMPLES: usize = 32;

/// What a lane held, and what it retracted unasked, over the last day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetractionLimit {
    /// From a time on (seconds since 1970) so many indicators were held, oldest first.
    held: Vec<(i64, u64)>,
    /// At a time so many were retracted, oldest first.
    retracted: Vec<(i64, u64)>,
}

impl RetractionLimit {
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
        match self.retracted.last_mut() {
            Some((at, before)) if *at == now.timestamp() => *before += count,
            _ => self.retracted.push((now.timestamp(), count)),
        }
        if self.retracted.len() > MOST_SAMPLES {
            // Counted as if it had happened a little later, so that it counts no shorter.
            let (_, count) = self.retracted.remove(0);
            self.retracted[0].1 += count;
        }
    }

    /// Whether nothing was ever noted: the lane's state is of a version without a retraction limit.
    pub fn is_new(&self) -> bool {
        self.held.is_empty()
    }

    /// How many more may be retracted unasked at `now`, of a lane that began at `created`: a fifth of what it held when
    /// the last 24 hours began, or 100 where that is more, less what was retracted since.
    pub fn left(&self, now: DateTime<Utc>, created: Option<DateTime<Utc>>) -> u64 {
        let begin = now - SPAN;
        let before = self.held.iter().rev().find(|(at, _)| *at <= begin.timestamp());
        let held = match before.or(self.held.first()) {
            Some(_) if before.is_none() && created.is_some_and(|created| created > begin) => 0,
            Some((_, held)) => *held,
            None => 0,
        };
        let taken: u64 =
            self.retracted.iter().filter(|(at, _)| *at > begin.timestamp()).map(|(_, count)| count).sum();
        (held / 5).max(FEW).saturating_sub(taken)
    }

    /// Drops what no decision looks at any more. What a clock that was ahead noted counts as of `now`.
    fn forget(&mut self, now: DateTime<Utc>) {
        let (begin, now) = ((now - SPAN).timestamp(), now.timestamp());
        for (at, _) in self.held.iter_mut().chain(&mut self.retracted) {
            *at = (*at).min(now);
        }
        self.retracted.retain(|(at, _)| *at > begin);
        let first = self.held.iter().rposition(|(at, _)| *at <= begin).unwrap_or(0);
        self.held.drain(..first);
    }
}

/// An indicator that a page calls to retract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It was held in good standing.
    New,
    /// A survey counted it, or an earlier attempt was rejected.
    Surveyed,
    /// An operator confirmed it.
    Confirmed,
}

/// What may be retracted by a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    surveyed: u64,
    new: u64,
}

impl Permit {
    /// What may be retracted in a reading for `purpose` of what `claims` call for, where the retraction limit leaves so much.
    /// While retractions wait, nothing is but what was confirmed.
    pub fn of(
        purpose: Purpose,
        is_waiting: bool,
        limit_left: u64,
        claims: impl Iterator<Item = Claim>,
    ) -> Self {
        let [mut surveyed, mut new] = [0_u64; 2];
        for claim in claims {
            match claim {
                Claim::New => new += 1,
                Claim::Surveyed => surveyed += 1,
                Claim::Confirmed => {}
            }
        }
        match purpose {
            Purpose::Survey => Self { surveyed: 0, new: 0 },
            _ if is_waiting => Self { surveyed: 0, new: 0 },
            Purpose::Collection { allowance } => {
                let bound = allowance.min(limit_left);
                let surveyed = surveyed.min(bound);
                Self { surveyed, new: all_or_none(new, bound - surveyed) }
            }
            // A page that calls for more than the rest is taken for a mistake as a whole.
            Purpose::Live | Purpose::Lookback | Purpose::Rebuild | Purpose::Confirmation | Purpose::Retry => {
                let sum = all_or_none(surveyed + new, limit_left);
                Self { surveyed: sum.min(surveyed), new: sum.saturating_sub(surveyed) }
            }
        }
    }

    /// Whether one more may be retracted; it is counted.
    pub fn take(&mut self, claim: Claim) -> bool {
        let rest = match claim {
            Claim::Confirmed => return true,
            Claim::Surveyed => &mut self.surveyed,
            Claim::New => &mut self.new,
        };
        let may = *rest > 0;
        *rest = rest.saturating_sub(1);
        may
    }
}

fn all_or_none(count: u64, bound: u64) -> u64 {
    if count <= bound { count } else { 0 }
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
        let mut limit = RetractionLimit::default();
        limit.note_held(time(0), 0);
        limit.note_held(time(1), 1000);
        let created = Some(time(0));
        assert_eq!(limit.left(time(2), created), 100, "a day ago nothing was held");
        assert_eq!(limit.left(time(24), created), 100);
        assert_eq!(limit.left(time(25), created), 200);
        limit.note_held(time(26), 10_000);
        assert_eq!(limit.left(time(27), created), 200);
        limit.note_retracted(time(27), 190);
        assert_eq!((limit.left(time(28), created), limit.left(time(50), created)), (10, 1810));
        assert_eq!(limit.left(time(51), created), 2000, "24 hours later it no longer counts");
    }

    #[test]
    fn a_lane_of_a_version_without_a_limit_is_measured_by_what_it_holds() {
        let mut limit = RetractionLimit::default();
        assert!(limit.is_new());
        limit.note_held(time(0), 1000);
        assert_eq!((limit.left(time(1), None), limit.left(time(1), Some(time(-100)))), (200, 200));
    }

    #[test]
    fn a_clock_that_was_ahead_neither_hides_nor_renews_what_was_taken_back() {
        let mut limit = RetractionLimit::default();
        limit.note_held(time(0), 1000);
        limit.note_retracted(time(2000), 150);
        limit.note_held(time(30), 850);
        assert_eq!(limit.left(time(30), None), 50);
        assert_eq!(limit.left(time(31), None), 50);
    }

    proptest! {
        /// However the retractions are spread, and however many samples there are: within any 24 hours of which all was
        /// asked for, no more is permitted than the measure at their end allows.
        #[test]
        fn never_more_than_the_measure(steps in prop::collection::vec((1..7200_i64, 0..400_u64), 1..120)) {
            let mut limit = RetractionLimit::default();
            limit.note_held(time(-48), 1000);
            let (mut now, mut done) = (time(0), Vec::new());
            for (seconds, wanted) in steps {
                now += TimeDelta::seconds(seconds);
                let taken = all_or_none(wanted, limit.left(now, None));
                limit.note_retracted(now, taken);
                done.push((now, taken));
                let within: u64 = done.iter().filter(|(at, _)| *at > now - SPAN).map(|(_, taken)| taken).sum();
                prop_assert!(within <= 200);
                prop_assert!(limit.retracted.len() <= MOST_SAMPLES);
            }
        }

        #[test]
        fn samples_stay_few(steps in prop::collection::vec((1..7200_i64, 0..400_u64), 1..120)) {
            let (mut limit, mut now) = (RetractionLimit::default(), time(0));
            for (seconds, held) in steps {
                now += TimeDelta::seconds(seconds);
                limit.note_held(now, held);
                prop_assert!(limit.held.len() <= MOST_SAMPLES + 1);
                prop_assert!(limit.held.is_sorted_by_key(|(at, _)| *at));
                prop_assert_eq!(limit.held.last().unwrap().1, held);
            }
        }

        #[test]
        fn a_permit_keeps_within_limit_and_allowance(surveyed in 0..50_u64, new in 0..50_u64, confirmed in 0..9_u64, left in 0..60_u64, allowance in 0..60_u64) {
            let claims = || (0..surveyed).map(|_| Claim::Surveyed).chain((0..new).map(|_| Claim::New)).chain((0..confirmed).map(|_| Claim::Confirmed));
            let taken = |purpose, is_waiting| {
                let mut permit = Permit::of(purpose, is_waiting, left, claims());
                claims().filter(|claim| permit.take(*claim)).count() as u64 - confirmed
            };
            prop_assert!(taken(Purpose::Live, false) <= left);
            prop_assert_eq!(taken(Purpose::Survey, false), 0);
            for purpose in [Purpose::Live, Purpose::Collection { allowance }, Purpose::Confirmation] {
                prop_assert_eq!(taken(purpose, true), 0, "while others wait");
            }
            let collected = taken(Purpose::Collection { allowance }, false);
            prop_assert!(collected <= left.min(allowance));
            prop_assert!(collected >= surveyed.min(left).min(allowance), "those that were surveyed come first");
        }
    }
}
