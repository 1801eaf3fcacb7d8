//! What waits during a pass: records that may be among the best, and the windows that they came in.
//!
//! # Consistency
//! A window whose records wait is not settled: progress stays where it was, and a pass that dies reads the window again.
//! It is read ahead by a copy of the progress.

use tokio::time::Instant;

use crate::domain::{
    feeds::Account, policy::Circumstances, progress::Progress, selection::Selection, window::PlannedWindow,
};

/// What waits during a pass.
#[derive(Default)]
pub(super) struct Selecting {
    pub waiting: Option<Waiting>,
    /// Windows that were read and are not settled, oldest first.
    pub windows: Vec<(PlannedWindow, Account)>,
    /// Where the lane would be if they were.
    pub ahead: Option<Progress>,
}

/// Records that wait.
pub(super) struct Waiting {
    pub selection: Selection,
    /// As of the page read last.
    pub circumstances: Circumstances,
    /// Half of the time that was left: the other half is for the delivery.
    pub until: Option<Instant>,
}

impl Selecting {
    /// Records that wait.
    pub fn records(&self) -> u64 {
        self.waiting.as_ref().map_or(0, |waiting| waiting.selection.records())
    }

    /// Whether it is time to deliver what waits.
    pub fn is_due(&self) -> bool {
        let until = self.waiting.as_ref().and_then(|waiting| waiting.until);
        until.is_some_and(|until| until <= Instant::now())
    }

    /// Where reading goes on.
    pub fn position<'p>(&'p self, progress: &'p Progress) -> &'p Progress {
        self.ahead.as_ref().unwrap_or(progress)
    }

    /// Whether windows wait that were read for something else than `planned`.
    pub fn differs_from(&self, planned: &PlannedWindow) -> bool {
        self.windows.last().is_some_and(|(last, _)| last.range != planned.range)
    }

    /// Whether windows wait.
    pub fn has_windows(&self) -> bool {
        !self.windows.is_empty()
    }
}
