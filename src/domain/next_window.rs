//! Which ranges a lane reads again, which window it reads next, and what a window that was read whole moves.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    feeds::{self, Account, Loss},
    progress::Progress,
    purpose::{Backfill, Purpose},
    window::{Limits, PlannedWindow, Range, Window, whole_second},
};

/// A step that does not continue from where the lane is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a window up to {to} does not continue from {at}")]
pub struct Discontinuous {
    pub at: DateTime<Utc>,
    pub to: DateTime<Utc>,
}

impl Progress {
    /// Calls for a refresh, if the source can be read again.
    pub fn want_refresh(&mut self, limits: Limits) {
        if limits.recalls {
            self.refreshed = None;
        }
    }

    /// Whether a refresh is due: none is under way, and the last one is `period` ago.
    pub fn wants_refresh(&self, now: DateTime<Utc>, period: TimeDelta) -> bool {
        let is_under_way = self.backfills.iter().any(|backfill| backfill.purpose.is_refresh());
        // One in the future was noted by a clock that was ahead.
        !is_under_way && self.refreshed.is_none_or(|last| last + period <= now || last > now)
    }

    /// Schedules a refresh of the last `span` instead of one that is under way: a survey or a confirmation.
    pub fn schedule_refresh(
        &mut self,
        run_id: String,
        purpose: Purpose,
        now: DateTime<Utc>,
        span: TimeDelta,
        limits: Limits,
    ) {
        self.backfills.retain(|backfill| !backfill.purpose.is_refresh());
        self.refreshed = Some(now);
        self.refreshes.begun += 1;
        self.read_again(run_id, purpose, Window { from: now - span.min(limits.reach), to: now }, now, limits);
    }

    /// Schedules at `now` that `window` is read again, as far as the source gives it yet. Of a source that keeps what it said,
    /// one range does for several, because each goes on to the present ([`Progress::start_feeds`]).
    pub fn read_again(
        &mut self,
        run_id: String,
        purpose: Purpose,
        window: Window,
        now: DateTime<Utc>,
        limits: Limits,
    ) {
        let to = window.to.min(limits.end(now));
        let from = whole_second(window.from).min(to);
        let new = Backfill { run_id, purpose, from, to, position: from };
        if !limits.recalls
            && let Some(pending) = self.backfills.iter_mut().find(|pending| pending.does_for(&new))
        {
            (pending.from, pending.position) = (pending.from.min(from), pending.position.min(from));
            pending.to = pending.to.max(to);
            let other = if new.is_of_settings() {
                std::mem::replace(&mut pending.run_id, new.run_id)
            } else {
                new.run_id
            };
            return self.mark_applied(&other);
        }
        self.backfills.push(new);
    }

    /// Begins to read what is new, a little before the watermark, because records are indexed late; goes on where an
    /// earlier pass had to leave that.
    pub fn start_live(&mut self, now: DateTime<Utc>, limits: Limits) {
        let end = limits.end(now);
        // Clocks jump: a watermark ahead of ours is not moved back, its surroundings are read again.
        let start = self.firm(limits).min(end - limits.overlap).max(self.begin.min(end));
        self.reread = Some(self.reread.map_or(start, |position| position.min(end)));
    }

    fn firm(&self, limits: Limits) -> DateTime<Utc> {
        self.firm.unwrap_or((self.watermark - limits.overlap).max(self.begin))
    }

    /// The next window to read in a pass that started at `now`: the live range up to its end, then the oldest
    /// backfill; `None` when nothing is left.
    pub fn next_window(&self, now: DateTime<Utc>, limits: Limits) -> Option<PlannedWindow> {
        let end = limits.end(now);
        if let Some((from, feeds)) = self.feeds.next(now, limits) {
            let window = Window { from, to: from + limits.grain };
            return Some(PlannedWindow { range: Range::Live, window, out_of_reach: None, feeds });
        }
        if self.feeds.is_empty() && (self.watermark < end || self.reread.is_some()) {
            let from = self.reread.unwrap_or(self.watermark);
            let length = TimeDelta::seconds(self.window_seconds);
            return Some(PlannedWindow::first_of(Range::Live, from, end, length, now, limits));
        }
        // What cannot be read is not read: it waits for the licence.
        let backfill = self.backfills.first().filter(|_| !self.feeds.are_all_closed())?;
        let length = TimeDelta::seconds(self.window_seconds).clamp(limits.grain, limits.longest);
        let range = Range::Backfill(backfill.run_id.clone());
        let window = PlannedWindow::first_of(range, backfill.position, backfill.to, length, now, limits);
        Some(PlannedWindow { feeds: self.feeds.readable(), ..window })
    }

    /// Settles a window that was read whole at `now`, with this account of its feeds. Returns what may be missing in it.
    ///
    /// # Errors
    /// As [`Progress::advance`].
    pub fn settle(
        &mut self,
        planned: &PlannedWindow,
        account: &Account,
        now: DateTime<Utc>,
        limits: Limits,
    ) -> Result<Vec<Loss>, Discontinuous> {
        let mut planned = planned.clone();
        self.feeds.note_closed(account);
        if planned.range == Range::Live && !self.feeds.is_empty() {
            self.feeds.settle(planned.window.from, &planned.feeds, account, limits);
            self.watermark = self.watermark.max(self.feeds.settled_to().unwrap_or(self.watermark));
            return Ok(self.note_incomplete(&planned, account, now, limits));
        }
        let end = limits.end(now);
        if planned.range == Range::Live {
            // What the source has yet to index is not settled, whatever our clock says.
            planned.window.to = planned.window.to.min(end);
        }
        let (firm, until) = (self.firm(limits), self.watermark.min(end));
        if let Range::Backfill(run_id) = &planned.range
            && self.feeds.is_of_the_future(planned.window.from, account)
        {
            // A clock that was ahead scheduled it. What comes from now on is read live.
            let of_range = self.backfills.iter_mut().filter(|backfill| backfill.run_id == *run_id);
            of_range.for_each(|backfill| backfill.to = backfill.to.min(planned.window.to));
        }
        self.advance(&planned)?;
        // What the range is read for is to be done with the records of every feed. What the source keeps no more within the hour
        // need not be there any more.
        if planned.window.from >= limits.earliest(now) + limits.grain {
            self.feeds.ask_later(planned.window.from, account, |_| true);
        }
        if planned.range == Range::Live {
            let Window { from, to } = planned.window;
            if planned.out_of_reach.map_or(from, |gap| gap.from.min(from)) <= firm {
                self.firm = Some(firm.max(to.min(end - limits.overlap)));
            }
            self.reread = (to < until).then_some(to);
        }
        self.double_window(limits);
        Ok(self.note_incomplete(&planned, account, now, limits))
    }

    /// Notes what may be missing in a window, unless that was noted before. Returns it.
    fn note_incomplete(
        &mut self,
        planned: &PlannedWindow,
        account: &Account,
        now: DateTime<Utc>,
        limits: Limits,
    ) -> Vec<Loss> {
        let mut lost = feeds::incomplete(planned.window.from, account, limits);
        lost.retain(|loss| self.losses.iter().all(|noted| !noted.loss.covers(loss)));
        self.note_losses(&lost, now);
        lost
    }

    /// What will come after `planned`, unless its end changes something.
    pub fn after(
        &self,
        planned: &PlannedWindow,
        account: &Account,
        now: DateTime<Utc>,
        limits: Limits,
    ) -> Option<PlannedWindow> {
        let mut ahead = self.clone();
        ahead.settle(planned, account, now, limits).ok()?;
        ahead.next_window(now, limits)
    }

    /// Notes that a window of `range` is settled whole.
    ///
    /// | the window | then |
    /// |---|---|
    /// | starts at or before where the range is, ends after it | the range moves to the window's end |
    /// | ends at or before where the range is | nothing moves: it was settled before |
    /// | starts after where the range is | rejected: what lies between would be lost |
    ///
    /// # Errors
    /// The last row; progress stays as it was.
    pub fn advance(&mut self, planned: &PlannedWindow) -> Result<(), Discontinuous> {
        let Window { from, to } = planned.window;
        // What the source no longer reaches cannot be read: the window may start after it.
        let from = planned.out_of_reach.map_or(from, |gap| gap.from.min(from));
        match &planned.range {
            Range::Live => {
                let at = self.watermark;
                if from > at {
                    return Err(Discontinuous { at, to });
                }
                self.watermark = at.max(to);
            }
            Range::Backfill(run_id) => {
                let Some(index) = self.backfills.iter().position(|backfill| backfill.run_id == *run_id)
                else {
                    return Ok(());
                };
                let backfill = &mut self.backfills[index];
                if from > backfill.position {
                    return Err(Discontinuous { at: backfill.position, to });
                }
                backfill.position = backfill.position.max(to);
                // A survey that has come to its end is judged first.
                if backfill.position >= backfill.to && backfill.purpose != Purpose::Survey {
                    self.finish(index);
                }
            }
        }
        Ok(())
    }

    /// Makes the next windows half as long as `window`, because it could not be read whole in one pass. False
    /// when it cannot be cut any further.
    pub fn halve_window(&mut self, window: Window, limits: Limits) -> bool {
        let length = (window.to - window.from).min(TimeDelta::seconds(self.window_seconds));
        self.window_seconds = (length / 2).num_seconds().max(limits.grain.num_seconds());
        length > limits.grain
    }

    /// Makes the next windows twice as long, because this one went well.
    pub fn double_window(&mut self, limits: Limits) {
        self.window_seconds = (self.window_seconds * 2).min(limits.longest.num_seconds());
    }
}
