//! What a clock that was ahead noted in a lane's progress, put right.

use chrono::{DateTime, TimeDelta, Utc};

use super::{progress::Progress, window::Limits};

impl Progress {
    /// The clock was ahead of the true time by `by` when the pass `run_id` began: what it scheduled is moved to where it
    /// belongs, and nothing is known of the future. True if the lane itself began under that clock, and has read nothing
    /// yet: its history begins earlier than that clock said.
    pub fn set_back(&mut self, run_id: &str, by: TimeDelta, now: DateTime<Utc>, limits: Limits) -> bool {
        let (earliest, by) = (limits.earliest(now), TimeDelta::seconds(by.num_seconds()));
        for backfill in self.backfills.iter_mut().filter(|backfill| backfill.run_id.starts_with(run_id)) {
            backfill.from = (backfill.from - by).max(earliest);
            backfill.to = (backfill.to - by).max(backfill.from);
            backfill.position = backfill.from;
        }
        self.forget_the_future(by, now, limits)
    }

    /// The same of a pass that knew the time before it scheduled anything.
    pub fn forget_the_future(&mut self, by: TimeDelta, now: DateTime<Utc>, limits: Limits) -> bool {
        let (earliest, by) = (limits.earliest(now), TimeDelta::seconds(by.num_seconds()));
        let begins_anew = self.created.is_some_and(|created| created > now) && self.watermark == self.begin;
        if begins_anew {
            self.begin = (self.begin - by).max(earliest);
            self.watermark = self.begin;
            (self.firm, self.reread) = (None, Some(self.begin));
            self.feeds.restart(limits.floor(self.begin));
        }
        self.created = self.created.map(|created| created.min(now));
        self.refreshed = self.refreshed.map(|refreshed| refreshed.min(now));
        // How long that took, and until when it renewed, is not known under a clock that was wrong.
        self.last_refresh = None;
        self.caught_up = self.caught_up.map(|caught_up| caught_up.min(now));
        begins_anew
    }
}
