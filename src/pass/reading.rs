//! Windows of the source, read ahead of their delivery, and as long as should fit into the pass.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::warn;

use crate::{
    clock::Deadline,
    domain::{
        page::Page,
        window::{Limits, PlannedWindow, Window, fitting},
    },
    source::{Reader, Source, SourceError},
};

/// Reads windows of a source.
pub(super) struct Reading<'a> {
    source: &'a Source,
    deadline: &'a Deadline,
    /// The source may leave out what the settings do not admit.
    selective: bool,
    /// What comes after the window that was read last, as far as it is known.
    ahead: Option<Opened>,
    /// The longest window that should fit into what is left of the pass, once that can be told.
    longest: Option<TimeDelta>,
}

/// A window whose first page was asked for.
pub(super) struct Opened {
    planned: PlannedWindow,
    pub reader: Reader,
    pub first: Result<Option<Page>, SourceError>,
}

impl<'a> Reading<'a> {
    /// With `selective`, the source may leave out what the settings do not admit.
    pub fn new(source: &'a Source, deadline: &'a Deadline, selective: bool) -> Self {
        Self { source, deadline, selective, ahead: None, longest: None }
    }

    pub fn limits(&self) -> Limits {
        self.source.limits()
    }

    /// The window as it was opened ahead, or opened now.
    pub async fn take(&mut self, planned: &PlannedWindow) -> Opened {
        match self.ahead.take().filter(|ahead| ahead.planned == *planned) {
            Some(ahead) => ahead,
            None => self.open(planned.clone()).await,
        }
    }

    /// Opens a window and fetches its first page.
    pub fn open(&self, planned: PlannedWindow) -> impl Future<Output = Opened> + use<'a> {
        let (source, deadline, selective) = (self.source, self.deadline, self.selective);
        async move {
            let mut reader = source.open(&planned, selective);
            let first = reader.next_page(deadline).await;
            Opened { planned, reader, first }
        }
    }

    /// Keeps a window that was opened ahead.
    pub fn keep(&mut self, ahead: Option<Opened>) {
        self.ahead = ahead;
    }

    /// Notes how long a window took, so that the next ones fit into what is left of the pass.
    pub fn measure(&mut self, window: Window, took: Duration) {
        let left = self.deadline.left();
        self.longest = left.map(|left| fitting(window, took, left, self.limits()));
    }

    /// The window, cut to what should fit into the pass.
    pub fn cut(&self, planned: PlannedWindow) -> PlannedWindow {
        match self.longest {
            Some(longest) => planned.cut(longest, self.limits()),
            None => planned,
        }
    }

    /// The earlier of our time and the source's: a clock that is ahead must not make us skip what is to come.
    pub fn earlier(&self, now: DateTime<Utc>, reader: &Reader) -> DateTime<Utc> {
        let lag = self.limits().lag;
        let Some(theirs) = reader.asked_at().filter(|theirs| *theirs + lag < now) else { return now };
        warn!(
            "the clock here is ahead of {}'s, which says {theirs}: this pass reads only up to then",
            self.source.label()
        );
        theirs
    }
}
