//! The form and the length of windows on the source's `last_updated`, and a source's limits. Which window is next,
//! [`next_window`](super::next_window) chooses.

use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// What limits the windows that a source can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The source answers for records that it updated at most this long ago.
    pub reach: TimeDelta,
    /// The newest records are left to the next pass, because the source is still indexing them.
    pub lag: TimeDelta,
    /// Each pass reads this much again, because records are indexed late.
    pub overlap: TimeDelta,
    /// The shortest window. One that had to be left is halved, down to this.
    pub grain: TimeDelta,
    /// The longest window.
    pub longest: TimeDelta,
    /// Whether all that the source lists can be read again. If not, what it says nothing of ends with its validity.
    pub recalls: bool,
}

impl Limits {
    /// Up to where the source is read at `now`.
    pub fn end(self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.floor(now - self.lag)
    }

    /// The earliest time that the source is asked for at `now`.
    pub fn earliest(self, now: DateTime<Utc>) -> DateTime<Utc> {
        let earliest = now - self.reach;
        let floor = self.floor(earliest);
        // A package that began before is no longer there in whole; of seconds one more or less does not matter.
        if self.grain > TimeDelta::seconds(1) && floor < earliest { floor + self.grain } else { floor }
    }

    /// Until when what was updated at `time` can be read again, where not all that the source lists can be.
    pub fn readable_until(self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        (!self.recalls).then(|| self.floor(time) + self.reach)
    }

    /// The beginning of the shortest window that `time` lies in.
    pub fn floor(self, time: DateTime<Utc>) -> DateTime<Utc> {
        time.duration_trunc(self.grain).unwrap_or(time)
    }
}

/// A stretch of the source's `last_updated`: whole seconds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
}

/// The feeds that one window is read for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Those whose package is to be settled.
    pub due: Vec<String>,
    /// Those whose package of the same time was settled before, and is read again if one that is due has records.
    pub beside: Vec<String>,
}

/// Which range a window belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Range {
    Live,
    /// The backfill of this request.
    Backfill(String),
}

/// The next window to read, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedWindow {
    pub range: Range,
    pub window: Window,
    /// What the source no longer reaches back to: records updated in it cannot be obtained any more.
    pub out_of_reach: Option<Window>,
    /// The feeds to read, of a source that has several.
    pub feeds: Choice,
}

impl PlannedWindow {
    /// The first `length` of a range, as far as the source still reaches back.
    pub fn first_of(
        range: Range,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        length: TimeDelta,
        now: DateTime<Utc>,
        limits: Limits,
    ) -> Self {
        let reach = limits.earliest(now);
        let start = limits.floor(from.max(reach));
        let window = Window { from: start, to: (start + length).min(to).max(start) };
        let out_of_reach = (from < reach).then_some(Window { from, to: reach });
        Self { range, window, out_of_reach, feeds: Choice::default() }
    }

    /// The same, its window at most so long.
    pub fn cut(mut self, longest: TimeDelta, limits: Limits) -> Self {
        let to = self.window.from + longest.max(limits.grain);
        self.window.to = self.window.to.min(whole_second(to));
        self
    }
}

/// The length of a window that should be read within `left`, when `window` took `took`. A window that a pass cannot
/// finish is read again by the next one, which costs the destination's rate; a fifth is left for the unforeseen.
pub fn fitting(window: Window, took: Duration, left: Duration, limits: Limits) -> TimeDelta {
    let share = 0.8 * left.as_secs_f64() / took.as_secs_f64().max(0.001);
    let seconds = (window.to - window.from).as_seconds_f64() * share;
    #[expect(clippy::cast_possible_truncation, reason = "at most a day")]
    TimeDelta::seconds(seconds.min(limits.longest.as_seconds_f64()) as i64)
}

/// `time` without its fraction of a second.
pub fn whole_second(time: DateTime<Utc>) -> DateTime<Utc> {
    time.duration_trunc(TimeDelta::seconds(1)).unwrap_or(time)
}
