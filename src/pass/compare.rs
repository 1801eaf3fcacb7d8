//! The source of the settings compared with another one, before it takes its place. Both are read for the same span and
//! judged as in a pass; nothing is sent.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{debug, info, warn};

use super::{engine::Engine, lists::ListError};
use crate::{
    clock::{Deadline, OutOfTime},
    destination::Limits,
    domain::{
        comparison::{self, Comparer, Comparison, Counted, Side},
        feeds::Account,
        next_window::Discontinuous,
        policy::Policy,
        progress::{DestinationId, Progress},
        window::{PlannedWindow, Window},
    },
    source::{Source, SourceError},
    state::error::StateError,
};

/// Why two sources could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The other source cannot be read with these settings, and why.
    #[error("{0}")]
    Unusable(String),
    #[error("SOURCE is {0} already: compare it with the other source")]
    Same(&'static str),
    #[error(transparent)]
    Lists(#[from] ListError),
    #[error("{label} could not be read, so there is nothing to compare with: {reason}")]
    Unread { label: &'static str, reason: String },
    #[error("the comparison was stopped before both sources were read")]
    Stopped,
}

impl From<StateError> for CompareError {
    fn from(error: StateError) -> Self {
        Self::Lists(error.into())
    }
}

/// Why one of the sources was not read to its end.
enum Halted {
    OutOfTime,
    Unread(String),
}

impl From<OutOfTime> for Halted {
    fn from(out_of_time: OutOfTime) -> Self {
        out_of_time.last_error.map_or(Self::OutOfTime, Self::Unread)
    }
}

impl From<SourceError> for Halted {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::OutOfTime(out_of_time) => out_of_time.into(),
            SourceError::PagesLost(problem) | SourceError::Stalled(problem) => Self::Unread(problem.message),
        }
    }
}

impl From<Discontinuous> for Halted {
    fn from(gap: Discontinuous) -> Self {
        Self::Unread(gap.to_string())
    }
}

impl Engine {
    /// Compares the source of the settings with the one called `with`, over the last `length` that both give, and keeps
    /// the result.
    ///
    /// # Errors
    /// One of them, or the state, cannot be read.
    pub async fn compare(
        &self,
        with: &str,
        length: TimeDelta,
        deadline: &Deadline,
    ) -> Result<Comparison, CompareError> {
        let here = &self.source;
        if here.name() == with {
            return Err(CompareError::Same(here.name()));
        }
        let there = self.other.as_ref().map_err(|reason| CompareError::Unusable(reason.clone()))?;
        let store = (self.open_store)()?;
        store.prepare().await?;
        let lanes: Vec<_> = self.lanes.iter().collect();
        let policies = self.policies(&store, &lanes).await?;
        let at = self.clock.now();
        let span = span([here, there], length, at);
        let (mut comparer, mut gaps) = (Comparer::default(), BTreeSet::new());
        for (side, source) in [(Side::Here, here), (Side::There, there)] {
            info!("{} is read from {} to {}", source.label(), span.from, span.to);
            comparer.expect(&source.feeds());
            let reading = Comparing { source, side, policies: &policies, span, deadline };
            gaps.append(&mut reading.read(&mut comparer).await.map_err(|halted| match halted {
                Halted::OutOfTime => CompareError::Stopped,
                Halted::Unread(reason) => CompareError::Unread { label: source.label(), reason },
            })?);
        }
        let lanes = self.lanes.iter().map(|lane| {
            let Limits { batch, capacity, billed, .. } = lane.destination.limits();
            let (batch, capacity) = (batch as u64, capacity.map(|capacity| capacity as u64));
            comparison::Lane { name: lane.name, batch, capacity, is_billed: billed }
        });
        let Counted { types, scores, lists, lanes } = comparer.count(&lanes.collect::<Vec<_>>());
        let (here, there) = (here.name().to_owned(), there.name().to_owned());
        let comparison = Comparison { at, here, there, span, types, scores, lists, lanes, gaps };
        if let Err(error) = store.write_comparison(&comparison).await {
            warn!("the comparison was not kept: {error}");
        }
        Ok(comparison)
    }
}

/// The last `length` that both sources give at `now`.
fn span(sources: [&Source; 2], length: TimeDelta, now: DateTime<Utc>) -> Window {
    let limits = sources.map(Source::limits);
    let to = limits.map(|limits| limits.end(now)).into_iter().min().unwrap_or(now);
    let earliest = limits.map(|limits| limits.earliest(now)).into_iter().max().unwrap_or(to);
    Window { from: (to - length).max(earliest), to }
}

/// The reading of one of the two.
struct Comparing<'a> {
    source: &'a Source,
    side: Side,
    policies: &'a [Policy],
    span: Window,
    deadline: &'a Deadline,
}

impl Comparing<'_> {
    /// Reads the span window after window, as a lane without state would. Returns what could not be read.
    async fn read(&self, comparer: &mut Comparer) -> Result<BTreeSet<String>, Halted> {
        let Self { source, span, deadline, .. } = self;
        let limits = source.limits();
        // A time at which what can be read ends where the span does.
        let now = span.to + limits.lag;
        let nowhere = DestinationId { place: String::new(), name: String::new() };
        let mut progress = Progress::new(nowhere, String::new(), span.from, now, limits.longest);
        match source.feeds() {
            feeds if feeds.is_empty() => progress.start_live(now, limits),
            feeds => _ = progress.start_feeds(&feeds, now, limits),
        }
        while let Some(planned) = progress.next_window(now, limits) {
            deadline.check()?;
            let Window { from, to } = planned.window;
            debug!("reading {} from {from} to {to}", source.label());
            match self.read_window(&planned, comparer).await {
                Ok(account) => _ = progress.settle(&planned, &account, now, limits)?,
                // A shorter window has fewer later pages.
                Err(SourceError::PagesLost(_)) if progress.halve_window(planned.window, limits) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let gaps = self.gaps(&progress);
        if progress.feeds.are_all_closed() {
            return Err(Halted::Unread(gaps.into_iter().collect::<Vec<_>>().join("; ")));
        }
        Ok(gaps)
    }

    async fn read_window(
        &self,
        planned: &PlannedWindow,
        comparer: &mut Comparer,
    ) -> Result<Account, SourceError> {
        // As in a pass: what is not admitted may speak against an older record of the same value.
        let selective = !self.policies.iter().any(|policy| policy.retract);
        let mut reader = self.source.open(planned, selective);
        while let Some(page) = reader.next_page(self.deadline).await? {
            for (place, indicator) in page.indicators.iter().enumerate() {
                let feeds = page.feeds.get(place).map(Vec::as_slice).unwrap_or_default();
                comparer.hear(self.side, indicator, feeds, planned.window.to, self.policies);
            }
        }
        Ok(reader.account())
    }

    /// What the source did not give of the span.
    fn gaps(&self, progress: &Progress) -> BTreeSet<String> {
        let mut gaps = BTreeSet::new();
        for (name, feed) in progress.feeds.iter() {
            if let Some(why) = &feed.closed {
                gaps.insert(format!("{name}: {why}"));
                continue;
            }
            gaps.extend(feed.holes.iter().map(|at| format!("{name}: the package of {at} is missing")));
            if feed.position < self.span.to {
                gaps.insert(format!("{name}: nothing is there yet from {} on", feed.position));
            }
        }
        gaps.extend(progress.losses.iter().map(|noted| format!("{} ({})", noted.loss.what, noted.loss.from)));
        gaps
    }
}
