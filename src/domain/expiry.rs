//! How long an indicator stays valid, and when it is renewed.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};

use super::{filter::PerType, observable::IndicatorType};

/// Days of validity after ingestion, by type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Expirations(pub PerType<u32>);

impl Expirations {
    /// The end of validity of an indicator sent at `now`, in whole seconds as the manifest keeps it.
    pub fn valid_until(&self, indicator_type: IndicatorType, now: DateTime<Utc>) -> DateTime<Utc> {
        let end = now + self.validity(indicator_type);
        DateTime::from_timestamp(end.timestamp(), 0).unwrap_or(end)
    }

    /// How long an indicator of this type is valid.
    pub fn validity(&self, indicator_type: IndicatorType) -> TimeDelta {
        TimeDelta::days(i64::from(self.0.of(indicator_type)))
    }

    /// The shortest validity of all types.
    pub fn shortest(&self) -> TimeDelta {
        TimeDelta::days(i64::from(self.0.values().into_iter().min().unwrap_or(0)))
    }
}

/// When the first indicator lapses if no pass renews it, in words.
#[derive(Clone, Copy, Debug)]
pub struct Lapse {
    pub lapse: DateTime<Utc>,
    pub now: DateTime<Utc>,
}

impl Lapse {
    const BEGIN: &'static str = "Until a pass succeeds nothing is renewed: ";

    /// The message of a lane that stalls, and what was added to it of this.
    pub fn split(message: &str) -> (&str, Option<&str>) {
        let place = message.find(Self::BEGIN);
        place.map_or((message, None), |place| {
            (message[..place].trim_end_matches([' ', '.']), Some(&message[place..]))
        })
    }
}

impl fmt::Display for Lapse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lapse, now } = self;
        let (verb, at) = (if lapse > now { "lapses" } else { "lapsed" }, lapse.format("%Y-%m-%d %H:%M UTC"));
        write!(f, "{}the first indicator {verb} at {at}", Self::BEGIN)
    }
}

/// When everything is read again, and which indicators are renewed then.
///
/// Each renewal is a row, and the fewest are spent if an indicator is renewed as late as possible: at the last refresh
/// after which it would not stay valid until the next one has met it, and for the slack beyond that. Two refreshes within
/// validity − slack let the second one do that for all that the first one renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// The shortest validity of all types.
    shortest: TimeDelta,
    /// So long may lie between two good passes before anything lapses that the source still lists.
    slack: TimeDelta,
    /// Between two ticks of the schedule, at most.
    schedule: TimeDelta,
}

impl Renewal {
    /// A slack beyond half the shortest validity is taken for that: renewing still earlier gains nothing that a longer
    /// validity does not give for less.
    pub fn new(expirations: &Expirations, slack: TimeDelta, schedule: TimeDelta) -> Self {
        let shortest = expirations.shortest();
        Self { shortest, slack: slack.min(shortest / 2), schedule }
    }

    /// The slack that holds.
    pub fn slack(&self) -> TimeDelta {
        self.slack
    }

    /// Half of what validity leaves beside the slack.
    fn half(self) -> TimeDelta {
        (self.shortest - self.slack) / 2
    }

    /// From the begin of a refresh until the next one is due, where the last one `took` so long. It is shorter than half
    /// of validity − slack by a tick, which the next one may come late, and by the time a refresh takes: so it does not
    /// matter in which order the source lists its records. A schedule or a refresh that leaves no time has some left all
    /// the same, because refreshes would chase one another.
    pub fn period(&self, took: TimeDelta) -> TimeDelta {
        (self.half() - self.schedule - took.min(self.half())).max(self.half() / 4)
    }

    /// From the begin of a refresh until when everything must be valid that the lane meets before the next one: until the
    /// next one has met it at the latest, and the slack.
    fn reach(&self, took: TimeDelta) -> TimeDelta {
        let next = self.period(took) + self.schedule + took.min(self.half());
        // What was just sent is not sent again, however long the schedule is.
        (next + self.slack).min(self.shortest - self.half() / 4)
    }

    /// What is valid until earlier than this is renewed when it is met unchanged at `now`. The last refresh began at
    /// `refreshed`, and the one before it took `took`. Between two refreshes this time stands still: a record that the
    /// source touches daily is renewed no earlier than one that it leaves alone.
    pub fn until(
        &self,
        refreshed: Option<DateTime<Utc>>,
        took: TimeDelta,
        now: DateTime<Utc>,
    ) -> DateTime<Utc> {
        // One in the future was noted by a clock that was ahead.
        let refreshed = refreshed.filter(|refreshed| *refreshed <= now).unwrap_or(now);
        (refreshed + self.reach(took)).max(now + self.slack)
    }

    /// From one row to the next of an indicator that is valid for `validity` and stays listed unchanged, where refreshes
    /// come as often as the schedule lets them.
    pub fn interval(&self, validity: TimeDelta, took: TimeDelta) -> TimeDelta {
        let tick = self.schedule.num_seconds().max(1);
        // A refresh begins at the first tick at which it is due.
        let period = (self.period(took).num_seconds() - 1).div_euclid(tick) * tick + tick;
        let age = (validity - self.reach(took)).num_seconds();
        TimeDelta::seconds((age / period + 1) * period)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn renewal(days: u32, slack: i64, schedule: i64) -> Renewal {
        let expirations = Expirations(PerType { ip: days, fqdn: days, url: days, hash: 90.max(days) });
        Renewal::new(&expirations, TimeDelta::hours(slack), TimeDelta::minutes(schedule))
    }

    #[test]
    fn with_the_defaults_a_row_lasts_for_nearly_all_that_the_slack_leaves() {
        for (slack, hours) in [(24, 142), (48, 118), (72, 94)] {
            let interval = renewal(7, slack, 60).interval(TimeDelta::days(7), TimeDelta::minutes(5));
            assert_eq!(interval.num_hours(), hours, "of {}", 168 - slack);
        }
    }

    #[test]
    fn a_slack_is_at_most_half_the_validity() {
        assert_eq!(renewal(3, 48, 60).slack(), TimeDelta::hours(36));
        assert_eq!(renewal(7, 48, 60).slack(), TimeDelta::hours(48));
    }

    proptest! {
        /// Whatever the schedule and however long refreshes take: an indicator that each refresh meets at any time of its
        /// course, and that is sent again as soon as the policy calls for it, always has the slack left.
        #[test]
        fn nothing_lapses_within_the_slack(days in 2..60_u32, slack in 1..100_i64, schedule in 10..360_i64,
            took in 0..300_i64, courses in prop::collection::vec((0.0..1.0_f64, 0.0..1.0_f64), 1..60)) {
            let renewal = renewal(days, slack, schedule);
            let took = TimeDelta::minutes(took);
            let (validity, schedule) = (TimeDelta::days(days.into()), TimeDelta::minutes(schedule));
            prop_assume!(schedule + took + schedule < renewal.half() * 3 / 4);
            let at = |part: f64, of: TimeDelta| TimeDelta::milliseconds((part * of.num_milliseconds() as f64) as i64);
            let mut refreshed: DateTime<Utc> = "2026-03-02T12:00:00Z".parse().unwrap();
            let mut until = refreshed + validity;
            let mut sent = 0;
            for (late, place) in &courses {
                refreshed += renewal.period(took) + at(*late, schedule);
                let met = refreshed + at(*place, took);
                prop_assert!(until - met >= renewal.slack(), "{} left at {met}", until - met);
                if until < renewal.until(Some(refreshed), took, met) {
                    until = met + validity;
                    sent += 1;
                    // Met once more before the next refresh, it is not sent again.
                    let last = refreshed + renewal.period(took) + schedule;
                    prop_assert!(until >= renewal.until(Some(refreshed), took, last));
                }
            }
            // Never twice in a row of refreshes.
            prop_assert!(sent <= courses.len().div_ceil(2));
        }
    }
}
