//! What a lane's memory comes to, in numbers.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    entry::{Entry, State},
    observable::IndicatorType,
};

/// Indicators by type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ByType {
    pub ipv4: u64,
    pub ipv6: u64,
    pub fqdn: u64,
    pub url: u64,
    pub hash: u64,
    /// Adopted, or sent by a version that did not keep the type.
    pub unknown: u64,
}

/// Entries of a manifest, each counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// What the destination holds and matches with.
    pub held: ByType,
    /// Rejected, and not offered again until their content changes.
    pub rejected: u64,
    /// Retracted.
    pub retracted: u64,
    /// Held by another application, and not touched.
    pub foreign: u64,
    /// Not created yet: more than the lane creates unasked.
    pub waiting: u64,
    /// Run out, and soon forgotten.
    pub expired: u64,
}

impl ByType {
    fn of(&mut self, indicator_type: Option<IndicatorType>) -> &mut u64 {
        match indicator_type {
            Some(IndicatorType::Ipv4) => &mut self.ipv4,
            Some(IndicatorType::Ipv6) => &mut self.ipv6,
            Some(IndicatorType::Fqdn) => &mut self.fqdn,
            Some(IndicatorType::Url) => &mut self.url,
            Some(IndicatorType::Hash) => &mut self.hash,
            None => &mut self.unknown,
        }
    }

    /// Counts one.
    pub fn add(&mut self, indicator_type: Option<IndicatorType>) {
        *self.of(indicator_type) += 1;
    }

    pub fn total(&self) -> u64 {
        let types = [self.ipv4, self.ipv6, self.fqdn, self.url, self.hash, self.unknown];
        types.into_iter().fold(0, u64::saturating_add)
    }
}

impl Tally {
    /// Counts `entries` as they stand at `now`.
    pub fn of(entries: &[Entry], now: DateTime<Utc>) -> Self {
        let mut tally = Self::default();
        for entry in entries {
            *match entry.state() {
                _ if entry.is_held(now) => tally.held.of(entry.indicator_type()),
                State::Rejected => &mut tally.rejected,
                State::Retracted | State::Absent => &mut tally.retracted,
                State::Foreign => &mut tally.foreign,
                _ if entry.is_waiting(now) => &mut tally.waiting,
                _ => &mut tally.expired,
            } += 1;
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{deciding_record::RecordVersion, fingerprint::Fingerprint, observable::Key};

    /// A million is what a workspace may come to hold.
    #[test]
    fn every_entry_of_a_million_counts_once() {
        let now: DateTime<Utc> = "2026-03-02T12:00:00Z".parse().unwrap();
        let entry = |number: u32| {
            let key = Key(Uuid::from_u128(number.into()));
            let state = match number % 10 {
                0 => State::Rejected,
                1 => State::Retracted,
                2 => State::UpdateRejected,
                _ => State::Held,
            };
            let until = if number % 10 == 3 { now } else { now + TimeDelta::days(7) };
            let entry = Entry::new(key, Fingerprint(1), until, RecordVersion::default(), state);
            match number % 10 {
                4 | 5 => entry.of_type(IndicatorType::Ipv4),
                6 => entry.of_type(IndicatorType::Fqdn),
                7 => entry.of_type(IndicatorType::Url),
                8 => entry.of_type(IndicatorType::Hash),
                _ => entry,
            }
        };
        let entries: Vec<Entry> = (0..1_000_000).map(entry).collect();
        let tally = Tally::of(&entries, now);
        let expected =
            ByType { ipv4: 200_000, ipv6: 0, fqdn: 100_000, url: 100_000, hash: 100_000, unknown: 200_000 };
        assert_eq!(tally.held, expected);
        assert_eq!((tally.rejected, tally.retracted, tally.expired), (100_000, 100_000, 100_000));
        assert_eq!(tally.held.total() + 300_000, 1_000_000);
    }
}
