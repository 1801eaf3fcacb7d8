//! One lane's part in a pass: window after window, page after page, until nothing is left or no time is.

use std::{collections::HashSet, panic::AssertUnwindSafe, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use tracing::{info, warn};

use super::{
    Engine, Lane, Pass,
    halt::{Halt, described},
    window::Ahead,
};
use crate::{
    clock::Deadline,
    domain::{
        manifest::Known,
        outcome::{Counts, End},
        progress::{Progress, Withheld},
        report::{ByType, LaneReport},
        room::Room,
        task::LAG,
    },
    http::traffic::Traffic,
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
    /// Where the destination cannot hold everything, once it was looked at.
    pub(super) room: Option<Room>,
    /// What other applications hold there.
    pub(super) foreign: HashSet<String>,
    pub(super) by_type: ByType,
    /// The source has answered in this pass.
    pub(super) heard: bool,
    /// Lines of the records refused in this pass, for `rejected/<run_id>.jsonl`.
    pub(super) refused: String,
    pub(super) refused_unwritten: bool,
    /// What stood in that file already, once it was looked at.
    pub(super) refused_before: Option<String>,
    /// The window's later pages did not come, however often it was started again.
    pub(super) pages_lost: bool,
    /// What comes after the window that was read last, as far as it is known.
    pub(super) ahead: Option<Ahead>,
    /// The longest window that should fit into what is left of the pass, once that can be told.
    pub(super) longest: Option<TimeDelta>,
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
            room: None,
            foreign: HashSet::new(),
            by_type: ByType::new(),
            heard: false,
            refused: String::new(),
            refused_unwritten: false,
            refused_before: None,
            pages_lost: false,
            ahead: None,
            longest: None,
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
            now: self.pass.started_at,
        };
        LaneState::load(store, self.lane.name, &self.pass.run_id, origin, self.pass.order.rebuild).await
    }

    /// Window after window.
    async fn work(&mut self, store: &Store, state: &mut LaneState) -> Result<(), Halt> {
        self.begin(store, state).await?;
        let mut fresh = true;
        let mut now = self.pass.started_at;
        while let Some(whole) = state.progress.next_task(now, fresh) {
            let task = self.cut(whole.clone());
            self.deadline.check()?;
            if let Some(gap) = task.out_of_reach {
                warn!(
                    lane = self.lane.name,
                    "Mandiant answers only for the last 90 days: whatever it updated from {} to {} and not since is skipped",
                    gap.from,
                    gap.to
                );
            }
            match self.read_window(store, state, &task, now).await {
                Ok((found, then)) => {
                    now = then;
                    self.note_retractions(state, &task, &found);
                }
                // Its later pages do not come: a shorter window has fewer of them.
                Err(Halt::Stalled(_)) if self.pages_lost && state.progress.halve_window(task.window) => {
                    continue;
                }
                // It was a remainder that should have fitted: that says nothing about the next pass.
                Err(halt @ Halt::OutOfTime { .. }) if task != whole => return Err(halt),
                Err(halt @ Halt::OutOfTime { .. }) => return self.shorten(state, &task, fresh, halt),
                Err(halt) => return Err(halt),
            }
            state.progress.settle(&task, now).map_err(|gap| Halt::Failed(gap.to_string()))?;
            // What a survey only counted was not counted as read.
            self.counts.read += state.progress.judge_survey(state.manifest.len() as u64);
            self.commit(state, Vec::new()).await?;
            fresh = false;
        }
        match state.progress.withheld {
            None => Ok(()),
            Some(Withheld { retractions, of }) => Err(Halt::Stalled(format!(
                "{retractions} of {of} indicators are no longer wanted, which is too many to be taken back unasked: everything else is delivered. If that is what the settings, or Mandiant's scores, are meant to do, confirm it with POST /api/sync {{\"confirm_retraction\": true}} or mati-sync sync --confirm-retraction; if not, change the settings back"
            ))),
        }
    }

    /// The earlier of our time and the source's: a clock that is ahead must not make us skip what is to come.
    pub(super) fn earlier(&self, now: DateTime<Utc>, theirs: Option<DateTime<Utc>>) -> DateTime<Utc> {
        let Some(theirs) = theirs.filter(|theirs| *theirs + LAG < now) else { return now };
        warn!(
            lane = self.lane.name,
            "the clock here is ahead of Mandiant's, which says {theirs}: this pass reads only up to then"
        );
        theirs
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
        let paused = matches!(worked, Err(Halt::OutOfTime { .. }));
        let continuation_id = paused.then(|| self.continuation_id.to_owned());
        if worked.is_err() || state.progress.continuation_id != continuation_id {
            state.progress.continuation_id = continuation_id;
            match (self.commit(state, Vec::new()).await, &worked) {
                (Err(halt), Ok(()) | Err(Halt::OutOfTime { .. })) => return Err(halt),
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
        let (end, message) = match ended.map_err(Halt::end) {
            Ok(()) => (End::CaughtUp, None),
            Err((end, message)) => (end, Some(message)),
        };
        info!(lane = self.lane.name, run_id = self.pass.run_id, "lane {} ended {end:?}", self.lane.name);
        let watermark = progress.map(|progress| progress.watermark);
        LaneEnd { report: LaneReport { end, message, counts: self.counts, by_type: self.by_type, watermark } }
    }
}
