//! How long an indicator stays valid, and when its validity ends so soon that it is renewed.

use chrono::{DateTime, TimeDelta, Utc};

use super::{filter::PerType, observable::IndicatorType};

/// Days of validity after ingestion, by type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Expirations(pub PerType<u32>);

/// Whether what is valid until `valid_until` is to be renewed at `now`: its validity ends within `margin`.
pub fn ends_soon(valid_until: DateTime<Utc>, margin: TimeDelta, now: DateTime<Utc>) -> bool {
    valid_until - margin <= now
}

impl Expirations {
    /// The end of validity of an indicator sent at `now`, in whole seconds as the manifest keeps it.
    pub fn valid_until(&self, indicator_type: IndicatorType, now: DateTime<Utc>) -> DateTime<Utc> {
        let end = now + TimeDelta::days(i64::from(self.0.of(indicator_type)));
        DateTime::from_timestamp(end.timestamp(), 0).unwrap_or(end)
    }

    /// How often everything is read again, so that nothing expires which the source still lists: twice within the
    /// shortest validity.
    pub fn refresh_period(&self) -> TimeDelta {
        let shortest = self.0.values().into_iter().min().unwrap_or(0);
        TimeDelta::days(i64::from(shortest)) / 2
    }

    /// An indicator that is read again unchanged is renewed when less than this is left of its validity: the time to
    /// the next refresh, and two sync schedules, so that one failed pass lets nothing expire.
    pub fn renewal_margin(&self, schedule: TimeDelta) -> TimeDelta {
        self.refresh_period() + schedule * 2
    }
}
