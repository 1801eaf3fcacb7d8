//! One window of the source: page after page, each decided about and delivered.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, Utc};
use tokio::{sync::Notify, time::Instant};
use tracing::{debug, warn};

use super::{
    deliver::{Desk, Until},
    halt::Halt,
    lane::LanePass,
};
use crate::{
    domain::{
        filter::DropReason,
        observable::Key,
        outcome::Change,
        plan::{Planned, Purpose, plan_page},
        progress::{Progress, most_retractions},
        task::{Range, Task, fitting},
    },
    http::retry::Failed,
    mandiant::{client::SourceError, page::Page, reader::Reader},
    state::{lane::LaneState, store::Store},
};

/// What is done about records that are held and no longer wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retractions {
    /// They are only counted: the survey of a refresh.
    Counted,
    /// They are taken back, up to what a pass may take back of its own accord.
    Bounded,
    /// They are taken back: surveyed, or confirmed by somebody.
    Free,
}

/// What a window is read with, and what it found beside its pages.
pub struct WindowPass {
    purpose: Purpose,
    retractions: Retractions,
    /// Keys, because a window that starts again is read twice.
    pub surveyed: HashSet<Key>,
    pub withheld: HashSet<Key>,
}

/// The first page of the window that comes next, fetched while the last uploads of this one were under way.
pub(super) struct Ahead {
    task: Task,
    reader: Reader,
    first: Result<Option<Page>, Failed<SourceError>>,
}

impl<'a> LanePass<'a> {
    /// Page after page; the next one is fetched while this one uploads, and at the end the next window's first. Returns
    /// what was found, and what o'clock it is, by our clock or the source's, whichever is behind.
    pub(super) async fn read_window(
        &mut self,
        store: &Store,
        state: &mut LaneState,
        task: &Task,
        now: DateTime<Utc>,
    ) -> Result<(WindowPass, DateTime<Utc>), Halt> {
        debug!(lane = self.lane.name, "reading from {} to {}", task.window.from, task.window.to);
        self.engine.gauge.enter(task.window);
        let (deadline, began) = (self.deadline, Instant::now());
        if task.range != Range::Live {
            // What is read again is compared with what the destination holds in truth.
            self.look_around(state).await?;
        }
        let mut found = self.window_pass(state, task);
        let ahead = self.ahead.take().filter(|ahead| ahead.task == *task);
        let Ahead { mut reader, first, .. } = match ahead {
            Some(ahead) => ahead,
            None => self.look_ahead(&state.progress, task.clone()).await,
        };
        let mut next = first.map_err(|failed| Halt::from(failed).unless_in_vain(!self.heard))?;
        let mut desk = Desk::default();
        while let Some(page) = next {
            self.heard = true;
            let fetched = Notify::new();
            let settled = async {
                self.settle_page(store, state, &mut desk, page, &mut found).await?;
                self.carry_on(store, state, &mut desk, Until::Called(&fetched)).await
            };
            let following = async {
                let following = reader.next_page(deadline).await;
                fetched.notify_one();
                following
            };
            let (settled, following) = tokio::join!(settled, following);
            settled?;
            self.pages_lost = following.is_err() && reader.wants_a_shorter_window();
            next = match following {
                Err(failed) => {
                    self.carry_on(store, state, &mut desk, Until::Settled).await?;
                    return Err(failed.into());
                }
                Ok(page) => page,
            };
        }
        self.heard = true;
        let now = self.earlier(now, reader.asked_at());
        self.longest = deadline.left().map(|left| fitting(task.window, began.elapsed(), left));
        let coming = state.progress.after(task, now).map(|task| self.cut(task));
        let coming = coming.map(|task| self.look_ahead(&state.progress, task.clone()));
        let ahead = async { Some(coming?.await) };
        let (settled, ahead) = tokio::join!(self.carry_on(store, state, &mut desk, Until::Settled), ahead);
        self.ahead = ahead;
        settled?;
        Ok((found, now))
    }

    /// Opens the window of `task` and fetches its first page.
    fn look_ahead(&self, progress: &Progress, task: Task) -> impl Future<Output = Ahead> + use<'a> {
        // What is read for drops must show them.
        let selective = !self.lane.policy.retract || progress.may_be_selective(&task);
        let (engine, deadline) = (self.engine, self.deadline);
        async move {
            let mut reader = Reader::new(Arc::clone(&engine.source), task.window, selective);
            let first = reader.next_page(deadline).await;
            Ahead { task, reader, first }
        }
    }

    fn window_pass(&self, state: &mut LaneState, task: &Task) -> WindowPass {
        let refresh = state.progress.refresh(&task.range);
        let settings_changed = refresh.as_ref().is_some_and(|refresh| refresh.settings_changed);
        let purpose = Purpose { settings_changed, retry: false };
        let retractions = match refresh.map(|refresh| refresh.survey) {
            Some(Some(_)) => Retractions::Counted,
            Some(None) => Retractions::Free,
            // A dry run tells what there would be to take back.
            None if self.pass.order.confirm_retraction || self.lease.is_none() => Retractions::Free,
            None => Retractions::Bounded,
        };
        WindowPass { purpose, retractions, surveyed: HashSet::new(), withheld: HashSet::new() }
    }

    /// Counts a page, decides about its records and delivers what is to be sent.
    async fn settle_page(
        &mut self,
        store: &Store,
        state: &mut LaneState,
        desk: &mut Desk<'a>,
        page: Page,
        found: &mut WindowPass,
    ) -> Result<(), Halt> {
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
        let policy = &self.lane.policy;
        let keyed = policy.keyed(page.indicators);
        // The plan compares with what is known, and of what is under way nothing is known yet.
        if keyed.iter().any(|(key, _)| desk.knows(*key)) || found.purpose.settings_changed {
            self.carry_on(store, state, desk, Until::Settled).await?;
        }
        let now = self.engine.clock.now();
        let mut planned = plan_page(keyed, policy, &state.manifest, found.purpose, now, &mut self.counts);
        self.hold_back(state, &mut planned, found);
        self.deliver(store, state, desk, planned).await
    }

    /// Takes out of `planned` the retractions that are not to be made now.
    fn hold_back(&mut self, state: &LaneState, planned: &mut Vec<Planned>, found: &mut WindowPass) {
        let is_retraction = |item: &Planned| item.change == Change::Retracted;
        let retractions = planned.iter().filter(|item| is_retraction(item)).count() as u64;
        let known = state.manifest.len() as u64;
        let too_many = || self.counts.retracted + retractions > most_retractions(known);
        let keys = match found.retractions {
            Retractions::Counted => {
                // They are read, and counted, once more.
                self.counts.read -= retractions;
                &mut found.surveyed
            }
            Retractions::Bounded if too_many() => &mut found.withheld,
            Retractions::Bounded | Retractions::Free => return,
        };
        keys.extend(planned.extract_if(.., |item| is_retraction(item)).map(|item| item.key));
    }

    /// Notes what a window that was read whole found to take back.
    pub(super) fn note_retractions(&mut self, state: &mut LaneState, task: &Task, found: &WindowPass) {
        let surveyed = found.surveyed.len() as u64;
        if let Some(count) = state.progress.refresh(&task.range).and_then(|refresh| refresh.survey.as_mut()) {
            *count += surveyed;
        }
        if !found.withheld.is_empty() {
            state.progress.withhold(found.withheld.len() as u64, state.manifest.len() as u64);
        }
    }

    /// The task, cut to what should fit into the pass.
    pub(super) fn cut(&self, task: Task) -> Task {
        match self.longest {
            Some(longest) => task.cut(longest),
            None => task,
        }
    }

    /// The window could not be read whole in this pass: the next ones are shorter.
    pub(super) fn shorten(
        &self,
        state: &mut LaneState,
        task: &Task,
        first: bool,
        out_of_time: Halt,
    ) -> Result<(), Halt> {
        let can_be_cut = state.progress.halve_window(task.window);
        if first && !can_be_cut {
            return Err(Halt::Stalled(format!(
                "a single second of Mandiant's feed ({}) cannot be read within one pass: raise functionTimeout in host.json, or SENTINEL_REQUESTS_PER_MINUTE",
                task.window.to
            )));
        }
        Err(out_of_time)
    }
}
