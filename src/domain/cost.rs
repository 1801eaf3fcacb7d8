//! What a lane costs in rows: measured by the sums of its days, and forecast for a month.

use chrono::{DateTime, Days, TimeDelta, Utc};
use serde::Serialize;

use super::{
    days::Day,
    expiry::{Expirations, Renewal},
    observable::IndicatorType,
    rows::{Forecast, Rows},
    tally::ByType,
};

/// Days of a month.
const MONTH: u64 = 30;

/// The rows of these days.
fn sum<'a>(days: impl Iterator<Item = &'a Day>) -> Rows {
    days.fold(Rows::default(), |sum, Day { rows, .. }| {
        sum.plus(Rows {
            created: rows.created,
            updated: rows.updated,
            renewed: rows.renewed,
            retracted: rows.retracted.saturating_add(rows.displaced),
        })
    })
}

/// What a lane sent in the last 30 days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Measured {
    /// Days that are summed: fewer than 30 if the lane is younger.
    pub days: u64,
    pub rows: Rows,
    /// Of the objects sent, uncompressed.
    pub bytes: u64,
}

impl Measured {
    /// The sums of the last 30 of `days`, which stand in order.
    pub fn of(days: &[Day], now: DateTime<Utc>) -> Self {
        let today = now.date_naive();
        let first = today - Days::new(MONTH - 1);
        let days = days.iter().filter(|row| row.day >= first && row.day <= today);
        let age = days.clone().map(|row| (today - row.day).num_days() + 1).max().unwrap_or(0);
        Self {
            days: age.unsigned_abs(),
            rows: sum(days.clone()),
            bytes: days.fold(0, |sum, row| sum.saturating_add(row.bytes)),
        }
    }
}

/// What decides how often indicators are renewed.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub expirations: Expirations,
    pub renewal: Renewal,
    /// How long a refresh takes.
    pub refresh_took: TimeDelta,
    /// Refreshes renew all that stays listed. If not, what the source repeats is renewed, which its days tell.
    pub refreshes: bool,
}

impl Pace {
    /// Rows of a month that renew what is `held`, if all of it stays listed.
    fn renewals(&self, held: &ByType) -> u64 {
        let types = [
            (held.ipv4, Some(IndicatorType::Ipv4)),
            (held.ipv6, Some(IndicatorType::Ipv6)),
            (held.fqdn, Some(IndicatorType::Fqdn)),
            (held.url, Some(IndicatorType::Url)),
            (held.hash, Some(IndicatorType::Hash)),
            (held.unknown, None),
        ];
        let rows = types.into_iter().map(|(held, indicator_type)| {
            let validity = indicator_type.map_or(self.expirations.shortest(), |indicator_type| {
                self.expirations.validity(indicator_type)
            });
            let interval = self.renewal.interval(validity, self.refresh_took).num_seconds().max(1);
            u128::from(held) * u128::from(MONTH * 86_400) / u128::from(interval.unsigned_abs())
        });
        u64::try_from(rows.sum::<u128>()).unwrap_or(u64::MAX)
    }
}

/// A month of a lane that comes to hold `held`. What is new, changed or retracted is as much as on the whole days since
/// the first sync ended at `caught_up`, in proportion to what was held then.
pub fn forecast(
    days: &[Day],
    caught_up: Option<DateTime<Utc>>,
    held: &ByType,
    pace: &Pace,
    now: DateTime<Utc>,
) -> Forecast {
    let (today, first) = (now.date_naive(), now.date_naive() - Days::new(MONTH));
    let begin = caught_up.map(|caught_up| caught_up.date_naive());
    let is_whole =
        |row: &&Day| row.day >= first && row.day < today && begin.is_some_and(|begin| row.day > begin);
    let whole = days.iter().filter(is_whole);
    let span = begin.map_or(0, |begin| (today - begin.max(first - Days::new(1))).num_days() - 1);
    let span = span.max(0).unsigned_abs();
    let held_then = whole.clone().map(|row| u128::from(row.held.total())).sum::<u128>();
    let passes = whole.clone().count() as u128;
    let sums = sum(whole);
    let a_month = |count: u64| {
        let scaled = u128::from(count) * u128::from(MONTH) * u128::from(held.total()) * passes.max(1);
        u64::try_from(scaled / (u128::from(span.max(1)) * held_then.max(1))).unwrap_or(u64::MAX)
    };
    let rows = Rows {
        created: a_month(sums.created),
        updated: a_month(sums.updated),
        renewed: if pace.refreshes { pace.renewals(held) } else { a_month(sums.renewed) },
        retracted: a_month(sums.retracted),
    };
    let measured = Measured::of(days, now);
    let bytes =
        u128::from(rows.total()) * u128::from(measured.bytes) / u128::from(measured.rows.total().max(1));
    Forecast {
        rows_per_month: rows.total(),
        rows,
        bytes_per_month: u64::try_from(bytes).unwrap_or(u64::MAX),
        held: held.total(),
        days: span,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        filter::PerType,
        rows::{Change, grouped},
    };

    fn at(day: u32) -> DateTime<Utc> {
        format!("2026-03-{day:02}T12:00:00Z").parse().unwrap()
    }

    /// The sums of a day on which so many were created, of 100 held.
    fn day(day: u32, created: u64) -> Day {
        serde_json::from_value(serde_json::json!({
            "day": format!("2026-03-{day:02}"),
            "held": {"ipv4": 100},
            "rows": {"created": created, "displaced": 1},
            "bytes": (created + 1) * 1000,
        }))
        .unwrap()
    }

    fn pace() -> Pace {
        let expirations = Expirations(PerType { ip: 7, fqdn: 7, url: 7, hash: 90 });
        let renewal = Renewal::new(&expirations, TimeDelta::hours(48), TimeDelta::hours(1));
        Pace { expirations, renewal, refresh_took: TimeDelta::zero(), refreshes: true }
    }

    #[test]
    fn the_last_thirty_days_are_summed() {
        let days = [day(1, 7000), day(2, 100), day(20, 50)];
        let measured = Measured::of(&days, at(31));
        assert_eq!((measured.days, measured.rows.created, measured.rows.retracted), (30, 150, 2));
        assert_eq!(measured.bytes, 152_000);
        assert_eq!(Measured::of(&days, at(21)).days, 21);
        assert_eq!(Measured::of(&[], at(21)), Measured::default());
    }

    #[test]
    fn a_first_sync_is_no_measure_of_what_is_new() {
        let days = [day(1, 7000), day(2, 100), day(3, 50), day(5, 1_000_000)];
        let held = ByType { ipv4: 100, ..ByType::default() };
        let month = forecast(&days, Some(at(1)), &held, &pace(), at(5));
        assert_eq!((month.days, month.rows.created), (3, 1500), "of the 2nd, 3rd and 4th");
        assert_eq!(month.rows.retracted, 20);
        // 720 hours of a month, and a row every 118.
        assert_eq!(month.rows.renewed, 610);
        let none = forecast(&days[..1], Some(at(1)), &held, &pace(), at(1));
        assert_eq!((none.days, none.rows.created, none.rows.renewed), (0, 0, 610));
    }

    /// A source that cannot be read again does not say how much of it it repeats.
    #[test]
    fn without_refreshes_as_much_is_renewed_as_was() {
        let renewing = |day: u32| -> Day {
            let rows = serde_json::json!({"renewed": 5});
            serde_json::from_value(serde_json::json!({
                "day": format!("2026-03-{day:02}"), "held": {"ipv4": 100}, "rows": rows, "bytes": 5000,
            }))
            .unwrap()
        };
        let (days, held) = ([1, 2, 3].map(renewing), ByType { ipv4: 100, ..ByType::default() });
        let pace = Pace { refreshes: false, ..pace() };
        let month = forecast(&days, Some(at(1)), &held, &pace, at(4));
        assert_eq!((month.days, month.rows.renewed, month.held), (2, 150, 100));
    }

    #[test]
    fn twice_as_much_held_costs_twice_as_much() {
        let days = [day(1, 7000), day(2, 100), day(3, 50)];
        let held = |ipv4| ByType { ipv4, ..ByType::default() };
        let of = |held| forecast(&days, Some(at(1)), &held, &pace(), at(4));
        let change = Change::between(of(held(1000)), of(held(2000)), 1000);
        let (once, twice) = (of(held(1000)).rows_per_month, of(held(2000)).rows_per_month);
        assert_eq!(change.words(), format!("+{} rows a month", grouped(twice - once)));
        // Each cause is rounded down by itself.
        assert!(twice.abs_diff(2 * once) <= 4, "{once} and {twice}");
        let change = Change::between(of(held(2000)), of(held(1000)), 0);
        assert!(change.words().starts_with('−'), "{}", change.words());
    }
}
