//! What a lane did on each of the last days, for the trend of what it holds and for its cost.

use chrono::{DateTime, Days, NaiveDate, Utc};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::{
    outcome::{Changes, Counts},
    report::LaneReport,
    tally::ByType,
};

/// Days that are kept.
const KEPT: u64 = 90;

/// One UTC day of a lane: a row of `lanes/<lane>/days.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    pub day: NaiveDate,
    /// What the destination held when the day's last pass ended.
    #[serde(default, serialize_with = "without_zeros")]
    pub held: ByType,
    /// The fates of the records that the day's passes read, and the requests that it took.
    #[serde(default, serialize_with = "without_zeros")]
    pub fates: Counts,
    /// Objects that the destination took. Each is a row of its table.
    #[serde(default, serialize_with = "without_zeros")]
    pub rows: Changes,
    /// Their size in bytes, uncompressed.
    #[serde(default)]
    pub bytes: u64,
}

impl Day {
    fn new(day: NaiveDate) -> Self {
        Self { day, held: ByType::default(), fates: Counts::default(), rows: Changes::default(), bytes: 0 }
    }
}

/// What a pass adds to the day on which it ends.
pub struct Contribution<'a> {
    pub at: DateTime<Utc>,
    pub held: ByType,
    pub report: &'a LaneReport,
    pub bytes: u64,
}

/// Adds a pass to `days`, which stand in order, and forgets what is too old. Returns whether anything changed.
pub fn add(days: &mut Vec<Day>, pass: &Contribution<'_>) -> bool {
    let today = pass.at.date_naive();
    let before = days.clone();
    let oldest = today - Days::new(KEPT - 1);
    days.retain(|row| row.day >= oldest);
    let place = days.binary_search_by_key(&today, |row| row.day).unwrap_or_else(|place| {
        days.insert(place, Day::new(today));
        place
    });
    let row = &mut days[place];
    row.held = pass.held;
    row.fates += pass.report.counts;
    pass.report.by_type.values().for_each(|changes| row.rows += *changes);
    row.bytes += pass.bytes;
    *days != before
}

/// Most numbers of most days are zero, and the file is written anew by every pass that did something.
fn without_zeros<S: Serializer>(numbers: &impl Serialize, serializer: S) -> Result<S::Ok, S::Error> {
    let mut value = serde_json::to_value(numbers).map_err(serde::ser::Error::custom)?;
    drop_zeros(&mut value);
    value.serialize(serializer)
}

fn drop_zeros(value: &mut Value) {
    let Value::Object(members) = value else { return };
    members.values_mut().for_each(drop_zeros);
    members
        .retain(|_, member| member.as_u64() != Some(0) && member.as_object().is_none_or(|it| !it.is_empty()));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::{observable::IndicatorType, outcome::End};

    fn report(created: u64) -> LaneReport {
        let changes = Changes { created, ..Changes::default() };
        LaneReport {
            counts: Counts { read: created, created, ..Counts::default() },
            by_type: BTreeMap::from([(IndicatorType::Ipv4, changes)]),
            ..LaneReport::ended(End::CaughtUp, None)
        }
    }

    #[test]
    fn a_pass_with_nothing_new_changes_nothing() {
        let at = "2026-03-02T12:00:00Z".parse().unwrap();
        let held = ByType { ipv4: 3, ..ByType::default() };
        let (some, none) = (report(3), report(0));
        let mut days = Vec::new();
        assert!(add(&mut days, &Contribution { at, held, report: &some, bytes: 9 }));
        assert!(!add(&mut days, &Contribution { at, held, report: &none, bytes: 0 }));
        assert!(add(&mut days, &Contribution { at: at + Days::new(1), held, report: &none, bytes: 0 }));
        assert_eq!(days.len(), 2, "the next day gets its row, whatever happened");
        assert_eq!((days[1].held, days[1].rows), (held, Changes::default()));
    }

    proptest! {
        /// However the clock jumps, there is one row for each day, in order, of the last days alone, and no pass of
        /// those days is lost or counted twice.
        #[test]
        fn every_pass_is_counted_once_on_its_day(passes in prop::collection::vec((0..200_u64, 0..9_u64), 1..60)) {
            let start: DateTime<Utc> = "2026-01-01T23:30:00Z".parse().unwrap();
            let mut days = Vec::new();
            let mut model: BTreeMap<NaiveDate, u64> = BTreeMap::new();
            for (offset, created) in passes {
                let at = start + Days::new(offset);
                let held = ByType { ipv4: offset, ..ByType::default() };
                add(&mut days, &Contribution { at, held, report: &report(created), bytes: created * 2 });
                *model.entry(at.date_naive()).or_default() += created;
                let oldest = at.date_naive() - Days::new(KEPT - 1);
                model.retain(|day, _| *day >= oldest);
                let found: Vec<_> = days.iter().map(|row| (row.day, row.rows.created)).collect();
                let expected: Vec<_> = model.iter().map(|(day, created)| (*day, *created)).collect();
                prop_assert_eq!(found, expected);
                prop_assert!(days.iter().all(|row| row.bytes == row.fates.read * 2));
            }
        }
    }
}
