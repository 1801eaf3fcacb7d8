//! One window of the source: page after page, each decided about and delivered.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::{sync::Notify, time::Instant};
use tracing::{debug, warn};

use super::{deliver::Until, desk::Desk, halt::Halt, lane::LanePass};
use crate::{
    domain::{
        filter::DropReason,
        plan::{plan_malformed, plan_page},
        policy::Reading,
        task::{Range, Task, Window, fitting},
    },
    http::retry::Failed,
    source::mandiant::{error::SourceError, page::Page, reader::Reader},
    state::{lane::LaneState, store::Store},
};

/// The first page of the window that comes next, fetched while the last uploads of this one were under way.
pub(super) struct Ahead {
    task: Task,
    reader: Reader,
    first: Result<Option<Page>, Failed<SourceError>>,
}

impl<'a> LanePass<'a> {
    /// Page after page; the next one is fetched while this one uploads, and at the end the next window's first. Returns
    /// the time, by our clock or the source's, whichever is behind.
    ///
    /// # Errors
    /// Why the lane cannot go on. What was read and is not settled then counts as left.
    pub(super) async fn read_window(
        &mut self,
        store: &Store,
        state: &mut LaneState,
        task: &Task,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, Halt> {
        let mut desk = Desk::for_range(task.range.clone());
        let read = self.read_pages(store, state, &mut desk, task, now).await;
        self.counts.left += desk.open();
        read
    }

    async fn read_pages(
        &mut self,
        store: &Store,
        state: &mut LaneState,
        desk: &mut Desk<'a>,
        task: &Task,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, Halt> {
        let purpose = state.progress.purpose(&task.range).word();
        debug!(lane = self.lane.name, purpose, "reading from {} to {}", task.window.from, task.window.to);
        self.engine.gauge.enter(task.window);
        let (deadline, began, window) = (self.deadline, Instant::now(), task.window);
        if task.range != Range::Live {
            // What is read again is compared with what the destination holds in truth.
            self.look_around(state).await?;
        }
        let ahead = self.ahead.take().filter(|ahead| ahead.task == *task);
        let Ahead { mut reader, first, .. } = match ahead {
            Some(ahead) => ahead,
            None => self.look_ahead(task.clone(), window).await,
        };
        let mut next = first.map_err(Halt::from)?;
        while let Some(page) = next {
            let fetched = Notify::new();
            let settled = async {
                self.settle_page(store, state, desk, page, task).await?;
                self.carry_on(store, state, desk, Until::Called(&fetched)).await
            };
            let following = async {
                let following = reader.next_page(deadline).await;
                fetched.notify_one();
                following
            };
            let (settled, following) = tokio::join!(settled, following);
            settled?;
            next = match following {
                Err(failed) => {
                    self.carry_on(store, state, desk, Until::Settled).await?;
                    return Err(match Halt::from(failed) {
                        Halt::Stalled(reason) if reader.wants_a_shorter_window() => Halt::PagesLost(reason),
                        halt => halt,
                    });
                }
                Ok(page) => page,
            };
        }
        let now = self.earlier(now, reader.asked_at());
        self.longest = deadline.left().map(|left| fitting(task.window, began.elapsed(), left));
        let coming = state.progress.after(task, now).map(|task| self.cut(task));
        let coming = coming.map(|task| self.look_ahead(task.clone(), task.window));
        let ahead = async { Some(coming?.await) };
        let (settled, ahead) = tokio::join!(self.carry_on(store, state, desk, Until::Settled), ahead);
        self.ahead = ahead;
        settled?;
        Ok(now)
    }

    /// Opens the window of `task` and fetches its first page.
    fn look_ahead(&self, task: Task, window: Window) -> impl Future<Output = Ahead> + use<'a> {
        // A record that is not admitted may speak against what is held, or against an older record of the same value.
        let selective = !self.lane.policy.retract;
        let (engine, deadline) = (self.engine, self.deadline);
        async move {
            let mut reader = Reader::new(Arc::clone(&engine.source), window, selective);
            let first = reader.next_page(deadline).await;
            Ahead { task, reader, first }
        }
    }

    /// Counts a page, decides about its records and delivers what is to be sent.
    async fn settle_page(
        &mut self,
        store: &Store,
        state: &mut LaneState,
        desk: &mut Desk<'a>,
        page: Page,
        task: &Task,
    ) -> Result<(), Halt> {
        let policy = &self.lane.policy;
        let keyed = policy.keyed(page.indicators);
        // The plan compares with what is known, and of what is under way nothing is known yet.
        if keyed.iter().any(|(key, _)| desk.knows(*key)) {
            self.carry_on(store, state, desk, Until::Settled).await?;
        }
        self.counts.read += page.records;
        self.engine.gauge.read(page.records);
        let mut held_as = Vec::new();
        for unusable in page.unusable {
            self.counts.dropped.add(unusable.reason);
            held_as.extend(unusable.held_as.map(|indicator| *indicator));
            match unusable.reason {
                DropReason::Type => {
                    debug!(lane = self.lane.name, "{} is passed over: {}", unusable.id, unusable.detail)
                }
                _ => warn!(lane = self.lane.name, "{} cannot be used: {}", unusable.id, unusable.detail),
            }
        }
        let reading = Reading {
            purpose: state.progress.purpose(&task.range),
            refreshes: state.progress.refreshes,
            horizon: task.window.to,
            now: self.engine.clock.now(),
        };
        let mut plan = plan_page(keyed, policy, &mut state.manifest, &reading, &mut self.counts);
        // `retracted` wins over `dropped`: what is taken back is no longer counted as that.
        self.counts.dropped.malformed -=
            plan_malformed(held_as, policy, &state.manifest, &reading, &mut plan);
        self.withhold(state, &mut plan, &reading);
        self.deliver(store, state, desk, plan).await
    }

    /// The task, cut to what should fit into the pass.
    pub(super) fn cut(&self, task: Task) -> Task {
        match self.longest {
            Some(longest) => task.cut(longest),
            None => task,
        }
    }
}
