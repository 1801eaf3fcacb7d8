//! What is read next: windows on the source's `last_updated`.

use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// A window is one day at most.
pub const LONGEST_WINDOW: TimeDelta = TimeDelta::days(1);
/// A window that had to be left halves, down to this.
pub const SHORTEST_WINDOW: TimeDelta = TimeDelta::seconds(1);
/// Each pass reads this much again, because records are indexed late.
pub const OVERLAP: TimeDelta = TimeDelta::minutes(15);
/// The newest records are left to the next pass, because the source is still indexing them.
pub const LAG: TimeDelta = TimeDelta::minutes(2);
/// Mandiant answers 400 to a start 90 days ago or more.
pub const REACH: TimeDelta = TimeDelta::days(89);

/// A stretch of the source's `last_updated`: whole seconds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
}

/// Which range a window belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Range {
    Live,
    /// The backfill of this request.
    Backfill(String),
}

/// The next stretch to read, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub range: Range,
    pub window: Window,
    /// What the source no longer reaches back to: records updated in it cannot be had any more.
    pub out_of_reach: Option<Window>,
}

impl Task {
    /// The first `length` of a range, as far as the source still reaches back.
    pub fn first_of(
        range: Range,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        length: TimeDelta,
        now: DateTime<Utc>,
    ) -> Self {
        let reach = whole_second(now - REACH);
        let start = from.max(reach);
        let window = Window { from: start, to: (start + length).min(to).max(start) };
        Self { range, window, out_of_reach: (from < reach).then_some(Window { from, to: reach }) }
    }

    /// The same task, its window at most so long.
    pub fn cut(mut self, longest: TimeDelta) -> Self {
        let to = self.window.from + longest.max(SHORTEST_WINDOW);
        self.window.to = self.window.to.min(whole_second(to));
        self
    }
}

/// The length of a window that should be read within `left`, when `window` took `took`. A window that a pass cannot
/// finish is read again by the next one, which costs the destination's rate; a fifth is left for the unforeseen.
pub fn fitting(window: Window, took: Duration, left: Duration) -> TimeDelta {
    let share = 0.8 * left.as_secs_f64() / took.as_secs_f64().max(0.001);
    let seconds = (window.to - window.from).as_seconds_f64() * share;
    #[expect(clippy::cast_possible_truncation, reason = "at most a day")]
    TimeDelta::seconds(seconds.min(LONGEST_WINDOW.as_seconds_f64()) as i64)
}

/// `time` without its fraction of a second.
pub fn whole_second(time: DateTime<Utc>) -> DateTime<Utc> {
    time.duration_trunc(TimeDelta::seconds(1)).unwrap_or(time)
}
