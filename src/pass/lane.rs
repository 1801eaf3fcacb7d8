//! One lane's part in a pass: window after window, page after page, until nothing is left or no time is.

use std::{collections::HashSet, panic::AssertUnwindSafe, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use tracing::{info, warn};

use super::{
    Engine, Lane, Pass,
    halt::{Halt, described},
    retractions::{Retractions, withheld_message},
    window::Ahead,
};
use crate::{
    clock::Deadline,
    domain::{
        entry::Known,
        indicator::Indicator,
        observable::Key,
        outcome::{Counts, End},
        progress::{Adoption, Progress},
        report::{ByType, LaneReport},
        room::Room,
        task::{LAG, Task},
    },
    http::traffic::Traffic,
    state::{
        error::StateError,
        lane::{LaneState, Origin},
        lease::Lease,
        refusals::RefusalFile,
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
    /// The pass that the lane goes on with in this one.
    continues: Option<String>,
    pub(super) deadline: &'a Deadline,
    pub(super) traffic: Arc<Traffic>,
    pub(super) counts: Counts,
    pub(super) retractions: Retractions,
    /// What was wanted and could not be done, of the records offered last: withheld, or without room.
    pub(super) unsettled: HashSet<Key>,
    /// Acknowledged in this pass, to be the lane's control.
    pub(super) control: Option<Indicator>,
    /// The destination has accepted a request in this pass.
    pub(super) accepted: bool,
    /// Where the destination cannot hold everything, once it was looked at.
    pub(super) room: Option<Room>,
    /// Some of ours gave way to better ones in this pass.
    pub(super) gave_way: bool,
    /// What other applications hold there.
    pub(super) foreign: HashSet<String>,
    pub(super) by_type: ByType,
    /// Where the lane stood when it was looked at last, and whether it has moved in this pass.
    position: Option<Position>,
    pub(super) has_moved: bool,
    /// Lines of refused records that are not on file yet.
    pub(super) refused: String,
    /// The file that this pass appends them to, once it has begun one.
    pub(super) refusal_file: Option<RefusalFile>,
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
            continues: None,
            deadline,
            traffic: Arc::default(),
            counts: Counts::default(),
            retractions: Retractions::default(),
            unsettled: HashSet::new(),
            control: None,
            accepted: false,
            room: None,
            gave_way: false,
            foreign: HashSet::new(),
            by_type: ByType::new(),
            position: None,
            has_moved: false,
            refused: String::new(),
            refusal_file: None,
            ahead: None,
            longest: None,
        }
    }

    /// The lane's whole part, and how it ended.
    pub async fn run(mut self, store: &Store) -> (&'static str, LaneEnd) {
        let mut progress = None;
        // A defect ends this lane with a report, and no other lane. What is committed stays; the rest is forgotten.
        let ended = AssertUnwindSafe(self.take_part(store, &mut progress)).catch_unwind().await;
        let ended = ended.unwrap_or_else(|defect| {
            // What the others were to become died with it.
            self.counts.left = self.counts.read.saturating_sub(self.counts.settled());
            Err(Halt::Failed(described(&*defect)))
        });
        (self.lane.name, self.end(ended, progress.as_ref()))
    }

    async fn take_part(&mut self, store: &Store, progress: &mut Option<Progress>) -> Result<(), Halt> {
        let mut state = self.load(store).await?;
        self.note_position(&state);
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
        let mut now = self.pass.started_at;
        // The first pass of the lane had a clock that was ahead, and heard nothing from the source that set it right.
        let ahead = state.progress.created.map(|created| created - now);
        if let Some(ahead) = ahead.filter(|ahead| *ahead > TimeDelta::zero()) {
            state.progress.set_back(&self.pass.run_id, ahead, now);
        }
        self.begin(store, state).await?;
        self.note_position(state);
        state.progress.begin_live(now);
        self.position = Some(Position::of(&state.progress));
        while let Some(whole) = state.progress.next_task(now) {
            let task = self.cut(whole.clone());
            self.deadline.check()?;
            self.lease.map_or(Ok(()), Lease::check)?;
            if let Some(gap) = task.out_of_reach {
                warn!(
                    lane = self.lane.name,
                    "Mandiant answers only for the last 90 days: whatever it updated from {} to {} and not since is skipped",
                    gap.from,
                    gap.to
                );
            }
            match self.read_window(store, state, &task, now).await {
                Ok(then) if then < now => {
                    let begins_anew = state.progress.set_back(&self.pass.run_id, now - then, then);
                    now = then;
                    if begins_anew {
                        continue;
                    }
                }
                Ok(_) => {}
                // A shorter window has fewer later pages.
                Err(Halt::PagesLost(_)) if state.progress.halve_window(task.window) => continue,
                // It was a remainder that should have fitted: that says nothing about the next pass.
                Err(halt @ Halt::OutOfTime { after: None }) if task == whole && !self.has_sent_nothing() => {
                    return Err(shortened(state, &task, halt));
                }
                Err(halt) => return Err(halt),
            }
            state.progress.settle(&task, now).map_err(|gap| Halt::Failed(gap.to_string()))?;
            self.judge_survey(state);
            self.recount_withheld(state);
            self.commit(state, Vec::new()).await?;
        }
        match state.progress.withheld {
            None => Ok(()),
            Some(withheld) => Err(Halt::Withheld(withheld_message(withheld))),
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
        let worked = self.worth_a_continuation(state, worked);
        let paused = matches!(worked, Err(Halt::OutOfTime { .. } | Halt::Interrupted(_)));
        let now = self.engine.clock.now();
        let before = state.progress.clone();
        self.recount_withheld(state);
        if let Err(halt) = self.store_control(store, state).await {
            warn!(lane = self.lane.name, "the control was not stored: {halt:?}");
        }
        let progress = &mut state.progress;
        self.continues = progress.continues.take().filter(|_| self.pass.continued().is_some());
        progress.continuation_id = paused.then(|| self.continuation_id.to_owned());
        progress.continues =
            paused.then(|| self.continues.clone().unwrap_or_else(|| self.pass.origin().to_owned()));
        progress.brake.note_held(now, state.manifest.held(now));
        if worked.is_err() || state.progress != before {
            match (self.commit(state, Vec::new()).await, &worked) {
                (Err(halt), Ok(()) | Err(Halt::OutOfTime { .. } | Halt::Interrupted(_))) => return Err(halt),
                // What stalled the lane is told; the rest is in the log.
                (Err(halt), _) => warn!(lane = self.lane.name, "the lane's end was not committed: {halt:?}"),
                (Ok(()), _) => {}
            }
        }
        // Nothing is left to read, whatever waits for confirmation.
        if matches!(worked, Ok(()) | Err(Halt::Withheld(_))) {
            if state.wants_compaction(now) {
                self.counts.aged_out += state.compact(lease, now).await? as u64;
            }
            if let Err(error) = store.tidy(lease, self.lane.name, &state.listed(), now).await {
                warn!(lane = self.lane.name, "what is kept no longer was not removed: {error}");
            }
        }
        worked
    }

    /// A pause is worth its message only if the next pass can do something: otherwise passes would chase one another. One
    /// that a service made by asking for a longer wait than there is time, and that settled nothing before, ends as that
    /// service's fault; so does the second in a row that settles nothing.
    fn worth_a_continuation(&mut self, state: &mut LaneState, worked: Result<(), Halt>) -> Result<(), Halt> {
        let Err(halt @ (Halt::OutOfTime { .. } | Halt::Interrupted(_))) = worked else {
            state.progress.fruitless = 0;
            return worked;
        };
        let is_stopped = self.deadline.is_stopped();
        self.note_position(state);
        if is_stopped || self.has_moved {
            state.progress.fruitless = 0;
            return Err(halt);
        }
        let before = if self.pass.continued().is_some() { state.progress.fruitless } else { 0 };
        state.progress.fruitless = before + 1;
        match halt {
            Halt::OutOfTime { after: Some(reason) } => Err(Halt::Stalled(reason)),
            Halt::Interrupted(reason) if before > 0 => Err(Halt::Stalled(reason)),
            _ if before > 0 => Err(Halt::Stalled(format!(
                "two passes in a row could settle nothing in the time they had: raise functionTimeout in host.json, or the rate limit of {} if it was lowered",
                self.lane.name
            ))),
            halt => Err(halt),
        }
    }

    /// Records wait, and no request was made: what was missing is a place under the rate limit, and a shorter window
    /// gives none.
    fn has_sent_nothing(&self) -> bool {
        let [requests, ..] = self.traffic.numbers();
        requests == 0 && self.counts.left > 0
    }

    fn note_position(&mut self, state: &LaneState) {
        let position = Position::of(&state.progress);
        self.has_moved |= self.position.replace(position.clone()).is_some_and(|before| before != position);
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
        self.leave_surveyed();
        let caught_up = ended.is_ok();
        let (end, message) = match ended.map_err(Halt::end) {
            Ok(()) => (End::CaughtUp, None),
            Err((end, message)) => (end, Some(message)),
        };
        // A defect of ours that nothing else shows: the numbers are left as they are, for they are the evidence.
        let adds_up = self.counts.add_up() && (!caught_up || self.counts.left == 0);
        let (end, message) = match end {
            End::CaughtUp | End::Paused | End::Stalled if !adds_up => {
                (End::Failed, Some(unaccounted(&self.counts)))
            }
            _ => (end, message),
        };
        info!(lane = self.lane.name, run_id = self.pass.run_id, "lane {} ended {end:?}", self.lane.name);
        let watermark = progress.map(|progress| progress.watermark);
        let (counts, by_type, continues) = (self.counts, self.by_type, self.continues);
        LaneEnd { report: LaneReport { end, message, counts, by_type, watermark, continues } }
    }
}

/// How far a lane's ranges are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Position {
    watermark: DateTime<Utc>,
    reread: Option<DateTime<Utc>>,
    window_seconds: i64,
    backfills: Vec<(String, DateTime<Utc>)>,
    adoption: Option<Adoption>,
}

impl Position {
    fn of(progress: &Progress) -> Self {
        let backfills =
            progress.backfills.iter().map(|backfill| (backfill.run_id.clone(), backfill.position));
        Self {
            watermark: progress.watermark,
            reread: progress.reread,
            window_seconds: progress.window_seconds,
            backfills: backfills.collect(),
            adoption: progress.adoption.clone(),
        }
    }
}

/// The window could not be read whole in the time of this pass: the next ones are shorter.
fn shortened(state: &mut LaneState, task: &Task, out_of_time: Halt) -> Halt {
    if state.progress.halve_window(task.window) {
        return out_of_time;
    }
    Halt::Stalled(format!(
        "a single second of Mandiant's feed ({}) cannot be read within one pass: raise functionTimeout in host.json, or SENTINEL_REQUESTS_PER_MINUTE",
        task.window.to
    ))
}

/// That records have no fate, or more than one.
fn unaccounted(counts: &Counts) -> String {
    format!(
        "mati-sync met a defect, which its maintainers should hear of: of {} records that were read, {} have a fate and {} are left",
        counts.read,
        counts.settled(),
        counts.left
    )
}
