//! What a destination held over the last days, as one line over a time axis.

use std::fmt::Write;

use chrono::{DateTime, Days, NaiveDate, Utc};

use super::words::count;
use crate::domain::days::Day;

/// Days on the axis.
const SPAN: u64 = 30;
pub const WIDTH: u32 = 600;
pub const HEIGHT: u32 = 160;
/// Intervals that the axis is divided into.
const TICKS: u64 = 3;

/// A chart, ready to be drawn.
pub struct Trend {
    pub id: String,
    /// All numbers in words.
    pub title: String,
    /// The line, and the same down to the ground.
    pub line: String,
    pub area: String,
    /// Where the line is only a point, because the days beside it have no row.
    pub points: String,
    /// The numbers at the top, in the middle and at the ground.
    pub scale: [String; 3],
    /// The days at even distances, from the left edge to the right one.
    pub axis: Vec<NaiveDate>,
}

/// The trend of `days`; `None` while there are not two points to make a line of.
pub fn of(lane: &str, days: &[Day], now: DateTime<Utc>) -> Option<Trend> {
    let last = now.date_naive();
    let first = last - Days::new(SPAN);
    let shown: Vec<(i64, u64)> = days
        .iter()
        .filter(|row| (first..=last).contains(&row.day))
        .map(|row| ((row.day - first).num_days(), row.held.total()))
        .collect();
    let most = shown.iter().map(|(_, held)| *held).max().filter(|most| *most > 0 && shown.len() > 1)?;
    let top = top_of(most);
    let (mut line, mut area, mut points) = (String::new(), String::new(), String::new());
    // Days without a row leave a gap: nothing is known of them.
    for run in shown.chunk_by(|(left, _), (right, _)| right - left == 1) {
        let places: Vec<String> = run.iter().map(|(day, held)| place(*day, *held, top)).collect();
        let edge = |point: Option<&(i64, u64)>| point.map_or(0, |(day, _)| across(*day));
        if let [point] = places.as_slice() {
            write!(points, "M{point}h0").expect("writing into a String cannot fail");
            continue;
        }
        let path = places.join("L");
        write!(line, "M{path}").expect("writing into a String cannot fail");
        write!(area, "M{} {HEIGHT}L{path}L{} {HEIGHT}Z", edge(run.first()), edge(run.last()))
            .expect("writing into a String cannot fail");
    }
    let numbers = days.iter().filter(|row| (first..=last).contains(&row.day));
    let numbers: Vec<String> =
        numbers.map(|row| format!("{} {}", row.day, count(row.held.total()))).collect();
    Some(Trend {
        id: format!("trend-{lane}"),
        title: format!("Indicators held at the end of each day: {}", numbers.join(", ")),
        line,
        area,
        points,
        scale: [top, top / 2, 0].map(count),
        axis: (0..=TICKS).map(|tick| first + Days::new(SPAN * tick / TICKS)).collect(),
    })
}

fn across(day: i64) -> i64 {
    day * i64::from(WIDTH) / SPAN.cast_signed()
}

fn place(day: i64, held: u64, top: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "the chart is a hundred and sixty points high")]
    let up = held as f64 / top as f64 * f64::from(HEIGHT);
    format!("{} {:.1}", across(day), f64::from(HEIGHT) - up)
}

/// A round even number that is no less.
fn top_of(most: u64) -> u64 {
    let mut unit: u64 = 1;
    loop {
        for step in [2, 4, 6, 8] {
            let top = unit.saturating_mul(step);
            if top >= most || top == u64::MAX {
                return top;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tally::ByType;

    fn day(day: &str, held: u64) -> Day {
        let held = ByType { ipv4: held, ..ByType::default() };
        let row = format!("{{\"day\":\"{day}\"}}");
        Day { held, ..serde_json::from_str(&row).unwrap() }
    }

    #[test]
    fn the_line_has_gaps_where_no_pass_ran() {
        let now = "2026-03-31T10:00:00Z".parse().unwrap();
        let days = [
            day("2026-02-01", 9),
            day("2026-03-01", 100),
            day("2026-03-02", 200),
            day("2026-03-16", 50),
            day("2026-03-30", 150),
            day("2026-03-31", 0),
        ];
        let trend = of("sentinel", &days, now).expect("a trend");
        assert_eq!(trend.line, "M0 80.0L20 0.0M580 40.0L600 160.0");
        assert_eq!(trend.area, "M0 160L0 80.0L20 0.0L20 160ZM580 160L580 40.0L600 160.0L600 160Z");
        assert_eq!(trend.points, "M300 120.0h0");
        assert_eq!(trend.scale, ["200", "100", "0"]);
        let axis: Vec<String> = trend.axis.iter().map(ToString::to_string).collect();
        assert_eq!(axis, ["2026-03-01", "2026-03-11", "2026-03-21", "2026-03-31"]);
        assert!(trend.title.contains("2026-03-02 200, 2026-03-16 50") && !trend.title.contains("2026-02-01"));
    }

    #[test]
    fn what_shows_nothing_is_left_out() {
        let now = "2026-03-31T10:00:00Z".parse().unwrap();
        for days in [vec![], vec![day("2026-03-31", 9)], vec![day("2026-03-30", 0), day("2026-03-31", 0)]] {
            assert!(of("sentinel", &days, now).is_none());
        }
        let far = [day("2026-03-30", u64::MAX), day("2026-03-31", 1)];
        assert!(of("sentinel", &far, now).is_some_and(|trend| !trend.line.contains("NaN")));
    }

    #[test]
    fn the_scale_is_round_and_high_enough() {
        let tops = [1, 2, 3, 61, 80, 81, 14_980, u64::MAX].map(top_of);
        assert_eq!(tops, [2, 2, 4, 80, 80, 200, 20_000, u64::MAX]);
    }
}
