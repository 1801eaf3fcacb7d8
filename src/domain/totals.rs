//! What passes came to since somebody began to count: the counters of the metrics. They are kept with the state, because
//! a process lives for few passes, and a counter that begins anew with each of them says nothing.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    outcome::End,
    report::{LaneReport, Report, Trigger},
};

/// Upper ends of the ranges in which durations of passes are counted, in seconds.
pub const BOUNDS: [f64; 10] = [1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0];

/// Everything that is counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// When counting began.
    pub since: DateTime<Utc>,
    pub lanes: BTreeMap<String, LaneTotals>,
    pub passes: BTreeMap<Trigger, BTreeMap<End, Durations>>,
}

/// What is counted of one lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneTotals {
    /// Records by fate.
    pub records: BTreeMap<String, u64>,
    pub requests: u64,
    pub throttled: u64,
}

/// How long passes took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Durations {
    pub count: u64,
    pub seconds: f64,
    /// How many were within each range of [`BOUNDS`], and beyond the last.
    pub buckets: Vec<u64>,
}

impl Totals {
    /// Nothing is counted yet.
    pub fn begin(since: DateTime<Utc>) -> Self {
        Self { since, lanes: BTreeMap::new(), passes: BTreeMap::new() }
    }

    /// Adds a pass.
    pub fn add(&mut self, report: &Report) {
        for (name, lane) in &report.lanes {
            self.lanes.entry(name.clone()).or_default().add(lane);
        }
        let of = self.passes.entry(report.trigger).or_default().entry(report.end).or_default();
        of.add((report.ended_at - report.started_at).as_seconds_f64().max(0.0));
    }
}

impl LaneTotals {
    fn add(&mut self, lane: &LaneReport) {
        let counts = &lane.counts;
        for (fate, count) in [
            ("created", counts.created),
            ("updated", counts.updated),
            ("renewed", counts.renewed),
            ("retracted", counts.retracted),
            ("unchanged", counts.unchanged),
            ("dropped", counts.dropped.total()),
            ("rejected", counts.rejected),
            ("over_limit", counts.over_limit),
            ("withheld", lane.withheld.created),
        ] {
            *self.records.entry(fate.to_owned()).or_default() += count;
        }
        self.requests += counts.requests;
        self.throttled += counts.throttled;
    }
}

impl Durations {
    fn add(&mut self, seconds: f64) {
        self.count += 1;
        self.seconds += seconds;
        self.buckets.resize(BOUNDS.len() + 1, 0);
        self.buckets[BOUNDS.partition_point(|bound| *bound < seconds)] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_in_the_range_whose_end_it_does_not_exceed() {
        let mut durations = Durations::default();
        for seconds in [0.0, 1.0, 1.5, 1800.0, 1800.5] {
            durations.add(seconds);
        }
        assert_eq!(durations.buckets, [2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!((durations.count, durations.seconds), (5, 3603.0));
    }
}
