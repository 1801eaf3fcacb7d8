//! One lane's part in a pass: window after window, page after page, until nothing is left or no time is.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use tracing::{debug, info, warn};

use super::{Engine, Lane, Pass};
use crate::{
    clock::{Deadline, OutOfTime},
    domain::{
        filter::DropReason,
        manifest::Known,
        outcome::{Change, Counts, End},
        plan::plan_page,
        progress::{Backfill, BackfillKind, LAG, Progress, Range, Task, whole_second},
        report::LaneReport,
    },
    http::{retry::Failed, traffic::Traffic},
    mandiant::{
        client::SourceError,
        reader::{Page, Reader},
    },
    mutant::{Mutant, is_live},
    state::{
        error::StateError,
        lane::{LaneState, Origin},
        lease::Lease,
        store::Store,
    },
};

/// How a lane ended.
pub struct LaneEnd {
    pub report: LaneReport,
}

/// Why a lane cannot go on.
#[derive(Debug)]
pub enum Halt {
    OutOfTime,
    /// Somebody else took over: write nothing more.
    Fenced(String),
    Stalled(String),
    Failed(String),
}

impl From<OutOfTime> for Halt {
    fn from(OutOfTime: OutOfTime) -> Self {
        Self::OutOfTime
    }
}

impl From<Failed<SourceError>> for Halt {
    fn from(failed: Failed<SourceError>) -> Self {
        match failed {
            Failed::OutOfTime(_) | Failed::For(SourceError::OutOfTime) => Self::OutOfTime,
            Failed::For(error) => Self::Stalled(error.to_string()),
        }
    }
}

impl From<StateError> for Halt {
    fn from(error: StateError) -> Self {
        let message = error.to_string();
        match end_of(&error) {
            End::Fenced => Self::Fenced(message),
            End::Stalled => Self::Stalled(message),
            _ => Self::Failed(message),
        }
    }
}

/// How a pass ends that meets this error.
pub fn end_of(error: &StateError) -> End {
    match error {
        StateError::Conflict { .. } | StateError::LeaseLost => End::Fenced,
        StateError::Unavailable(_) | StateError::Refused(_) => End::Stalled,
        StateError::DamagedSegment { .. } | StateError::Damaged { .. } | StateError::Newer { .. } => {
            End::Failed
        }
    }
}

/// A defect of ours in the words it left.
fn described(defect: &(dyn Any + Send)) -> String {
    let words =
        defect.downcast_ref::<String>().map(String::as_str).or(defect.downcast_ref::<&str>().copied());
    format!(
        "mati-sync met a defect, which its maintainers should hear of: {}",
        words.unwrap_or("without words")
    )
}

/// What a lane works with during a pass.
pub struct LanePass<'a> {
    pub(super) engine: &'a Engine,
    pub(super) lane: &'a Lane,
    pub(super) pass: &'a Pass,
    /// `None` in a dry run: then nothing is uploaded and nothing written.
    pub(super) lease: Option<&'a Lease>,
    continuation_id: &'a str,
    pub(super) deadline: &'a Deadline,
    pub(super) traffic: Arc<Traffic>,
    pub(super) counts: Counts,
    /// The destination has accepted a request in this pass.
    pub(super) accepted: bool,
    /// Lines of the records refused in this pass, for `rejected/<run_id>.jsonl`.
    pub(super) refused: String,
    pub(super) refused_unwritten: bool,
    /// What stood in that file already, once it was looked at.
    pub(super) refused_before: Option<String>,
    /// The window's later pages did not come, however often it was started again.
    pages_lost: bool,
}

impl<'a> LanePass<'a> {
    pub fn new(
        engine: &'a Engine,
        lane: &'a Lane,
        pass: &'a Pass,
        lease: Option<&'a Lease>,
        continuation_id: &'a str,
        deadline: &'a Deadline,
    ) -> Self {
        Self {
            engine,
            lane,
            pass,
            lease,
            continuation_id,
            deadline,
            traffic: Arc::default(),
            counts: Counts::default(),
            accepted: false,
            refused: String::new(),
            refused_unwritten: false,
            refused_before: None,
            pages_lost: false,
        }
    }

    /// The lane's whole part, and how it ended.
    pub async fn run(mut self, store: &Store) -> (&'static str, LaneEnd) {
        let mut progress = None;
        // A defect ends this lane with a report, and no other lane. What is committed stays; the rest is forgotten.
        let ended = AssertUnwindSafe(self.take_part(store, &mut progress)).catch_unwind().await;
        let ended = ended.unwrap_or_else(|defect| Err(Halt::Failed(described(&*defect))));
        (self.lane.name, self.end(ended, progress.as_ref()))
    }

    async fn take_part(&mut self, store: &Store, progress: &mut Option<Progress>) -> Result<(), Halt> {
        let mut state = self.load(store).await?;
        let worked = self.work(store, &mut state).await;
        let ended = self.settle(store, &mut state, worked).await;
        *progress = Some(state.progress);
        ended
    }

    async fn load(&self, store: &Store) -> Result<LaneState, StateError> {
        let origin = Origin {
            target: self.lane.target.clone(),
            settings_hash: self.lane.settings_hash.clone(),
            begin: self.pass.started_at - self.lane.initial_lookback,
        };
        LaneState::load(store, self.lane.name, &self.pass.run_id, origin, self.pass.order.rebuild).await
    }

    /// Window after window.
    async fn work(&mut self, store: &Store, state: &mut LaneState) -> Result<(), Halt> {
        self.begin(state).await?;
        let mut fresh = !is_live(Mutant::OverlapDropped);
        let mut now = self.pass.started_at;
        while let Some(mut task) = state.progress.next_task(now, fresh) {
            self.deadline.check()?;
            if let Some(gap) = task.out_of_reach {
                warn!(
                    lane = self.lane.name,
                    "Mandiant answers only for the last 90 days: whatever it updated from {} to {} and not since is skipped",
                    gap.from,
                    gap.to
                );
            }
            match self.read_window(store, state, &task).await {
                Ok(asked_at) => now = self.earlier(now, asked_at),
                Err(Halt::Stalled(_)) if is_live(Mutant::CheckpointBeforeAcknowledgement) => {}
                Err(Halt::OutOfTime) if is_live(Mutant::LeftoversSettled) => {}
                // Its later pages do not come: a shorter window has fewer of them.
                Err(Halt::Stalled(_)) if self.pages_lost && state.progress.halve_window(task.window) => {
                    continue;
                }
                Err(Halt::OutOfTime) => return self.shorten(state, &task, fresh),
                Err(halt) => return Err(halt),
            }
            if task.range == Range::Live {
                // What the source has yet to index is not settled, whatever our clock says.
                task.window.to = task.window.to.min(whole_second(now - LAG));
            }
            state.progress.advance(&task).map_err(|gap| Halt::Failed(gap.to_string()))?;
            state.progress.double_window();
            self.commit(state, Vec::new()).await?;
            fresh = false;
        }
        Ok(())
    }

    /// The earlier of our time and the source's: a clock that is ahead must not make us skip what is to come.
    fn earlier(&self, now: DateTime<Utc>, theirs: Option<DateTime<Utc>>) -> DateTime<Utc> {
        let Some(theirs) = theirs.filter(|theirs| *theirs + LAG < now) else { return now };
        warn!(
            lane = self.lane.name,
            "the clock here is ahead of Mandiant's, which says {theirs}: this pass reads only up to then"
        );
        theirs
    }

    /// Notes the pass's request in the lane's progress, once.
    async fn begin(&mut self, state: &mut LaneState) -> Result<(), Halt> {
        self.lane.destination.take_over();
        state.progress.settings_hash.clone_from(&self.lane.settings_hash);
        let order = &self.pass.order;
        if !order.wants_backfill() || state.progress.knows_request(&self.pass.run_id) {
            return Ok(());
        }
        let lookback =
            order.lookback_days.map_or(self.lane.initial_lookback, |days| TimeDelta::days(days.into()));
        let from = whole_second(self.pass.started_at - lookback);
        state.progress.backfills.push(Backfill {
            run_id: self.pass.run_id.clone(),
            kind: if order.rebuild { BackfillKind::Rebuild } else { BackfillKind::Lookback },
            from,
            to: whole_second(self.pass.started_at - LAG),
            position: from,
        });
        if order.rebuild {
            // Void what is known of the contents, durably and at once: then a rebuild that is interrupted goes on
            // like any other reading, and sends nothing twice.
            state.manifest.void();
            if let Some(lease) = self.lease {
                state.compact(lease, self.pass.started_at).await?;
            }
            return Ok(());
        }
        self.commit(state, Vec::new()).await
    }

    /// Page after page; the next one is fetched while this one uploads. Returns what o'clock it was at the source.
    async fn read_window(
        &mut self,
        store: &Store,
        state: &mut LaneState,
        task: &Task,
    ) -> Result<Option<DateTime<Utc>>, Halt> {
        debug!(lane = self.lane.name, "reading from {} to {}", task.window.from, task.window.to);
        self.engine.gauge.enter(task.window);
        let deadline = self.deadline;
        let mut window = task.window;
        if is_live(Mutant::TiesSkipped) {
            window.from += TimeDelta::seconds(1);
        }
        let mut reader = Reader::new(Arc::clone(&self.engine.source), window);
        let mut next = reader.next_page(deadline).await?;
        while let Some(page) = next {
            let (delivered, following) =
                tokio::join!(self.settle_page(store, state, page), reader.next_page(deadline));
            delivered?;
            self.pages_lost = following.is_err() && reader.wants_a_shorter_window();
            next = match following {
                Err(_) if is_live(Mutant::ErrorEndsWindow) => None,
                following => following?,
            };
        }
        Ok(reader.asked_at())
    }

    /// Counts a page, decides about its records and delivers what is to be sent.
    async fn settle_page(&mut self, store: &Store, state: &mut LaneState, page: Page) -> Result<(), Halt> {
        self.counts.read += page.records;
        self.engine.gauge.read(page.records);
        for unusable in page.unusable {
            self.counts.dropped.add(unusable.reason);
            match unusable.reason {
                DropReason::Type => {
                    debug!(lane = self.lane.name, "{} is passed over: {}", unusable.id, unusable.detail)
                }
                _ => warn!(lane = self.lane.name, "{} cannot be used: {}", unusable.id, unusable.detail),
            }
        }
        let now = self.engine.clock.now();
        let planned = plan_page(page.indicators, &self.lane.policy, &state.manifest, now, &mut self.counts);
        if is_live(Mutant::ChangesIgnored) {
            let (changed, planned): (Vec<_>, Vec<_>) =
                planned.into_iter().partition(|item| item.change == Change::Updated);
            self.counts.unchanged += changed.len() as u64;
            return self.deliver(store, state, planned).await;
        }
        self.deliver(store, state, planned).await
    }

    /// The window could not be read whole in this pass: the next ones are shorter.
    fn shorten(&self, state: &mut LaneState, task: &Task, first: bool) -> Result<(), Halt> {
        let can_be_cut = state.progress.halve_window(task.window);
        if first && !can_be_cut {
            return Err(Halt::Stalled(format!(
                "a single second of Mandiant's feed ({}) cannot be read within one pass: raise functionTimeout in host.json, or SENTINEL_REQUESTS_PER_MINUTE",
                task.window.to
            )));
        }
        Err(Halt::OutOfTime)
    }

    /// Makes the end durable: what a pause needs to be continued, or that nothing is to be continued.
    async fn settle(
        &mut self,
        store: &Store,
        state: &mut LaneState,
        worked: Result<(), Halt>,
    ) -> Result<(), Halt> {
        let Some(lease) = self.lease else { return worked };
        if matches!(worked, Err(Halt::Fenced(_) | Halt::Failed(_))) {
            return worked;
        }
        let paused = matches!(worked, Err(Halt::OutOfTime));
        let continuation_id = paused.then(|| self.continuation_id.to_owned());
        if worked.is_err() || state.progress.continuation_id != continuation_id {
            state.progress.continuation_id = continuation_id;
            match (self.commit(state, Vec::new()).await, &worked) {
                (Err(halt), Ok(()) | Err(Halt::OutOfTime)) => return Err(halt),
                // What stalled the lane is told; the rest is in the log.
                (Err(halt), _) => warn!(lane = self.lane.name, "the lane's end was not committed: {halt:?}"),
                (Ok(()), _) => {}
            }
        }
        if worked.is_ok() {
            let now = self.engine.clock.now();
            if state.wants_compaction(now) {
                self.counts.aged_out += state.compact(lease, now).await? as u64;
            }
            if let Err(error) = store.tidy(lease, self.lane.name, &state.listed(), now).await {
                warn!(lane = self.lane.name, "what is kept no longer was not removed: {error}");
            }
        }
        worked
    }

    /// Commits, except in a dry run, where the manifest in memory alone remembers.
    pub(super) async fn commit(&self, state: &mut LaneState, entries: Vec<Known>) -> Result<(), Halt> {
        match self.lease {
            Some(lease) => state.commit(lease, entries).await?,
            None => entries.into_iter().for_each(|known| state.manifest.put(known)),
        }
        Ok(())
    }

    fn end(mut self, ended: Result<(), Halt>, progress: Option<&Progress>) -> LaneEnd {
        [self.counts.requests, self.counts.throttled, self.counts.retried] = self.traffic.numbers();
        self.counts.close();
        let (end, message) = match ended {
            Ok(()) => (End::CaughtUp, None),
            Err(Halt::OutOfTime) => (
                End::Paused,
                Some("out of time, or told to stop; what is left follows with the next pass".to_owned()),
            ),
            Err(Halt::Fenced(message)) => (End::Fenced, Some(message)),
            Err(Halt::Stalled(message)) => (End::Stalled, Some(message)),
            Err(Halt::Failed(message)) => (End::Failed, Some(message)),
        };
        info!(lane = self.lane.name, run_id = self.pass.run_id, "lane {} ended {end:?}", self.lane.name);
        let watermark = progress.map(|progress| progress.watermark);
        LaneEnd { report: LaneReport { end, message, counts: self.counts, watermark } }
    }
}
