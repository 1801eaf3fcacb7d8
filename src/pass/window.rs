//! One window of the source: page after page, each decided about and delivered.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{debug, warn};

use super::{halt::Halt, lane::LanePass};
use crate::{
    domain::{
        filter::DropReason,
        observable::Key,
        outcome::Change,
        plan::{Planned, Purpose, plan_page},
        progress::{Range, Task, most_retractions},
    },
    mandiant::{page::Page, reader::Reader},
    mutant::{Mutant, is_live},
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

impl LanePass<'_> {
    /// Page after page; the next one is fetched while this one uploads. Returns what was found, and what o'clock it
    /// was at the source.
    pub(super) async fn read_window(
        &mut self,
        store: &Store,
        state: &mut LaneState,
        task: &Task,
    ) -> Result<(WindowPass, Option<DateTime<Utc>>), Halt> {
        debug!(lane = self.lane.name, "reading from {} to {}", task.window.from, task.window.to);
        self.engine.gauge.enter(task.window);
        let deadline = self.deadline;
        let mut window = task.window;
        if is_live(Mutant::TiesSkipped) {
            window.from += TimeDelta::seconds(1);
        }
        if task.range != Range::Live {
            // What is read again is compared with what the destination holds in truth.
            self.look_around(state).await?;
        }
        let mut found = self.window_pass(state, task);
        let selective = !self.lane.policy.retract || state.progress.may_be_selective(task);
        let mut reader = Reader::new(Arc::clone(&self.engine.source), window, selective);
        let first = reader.next_page(deadline).await;
        let mut next = first.map_err(|failed| Halt::from(failed).unless_in_vain(!self.heard))?;
        while let Some(page) = next {
            self.heard = true;
            let (delivered, following) =
                tokio::join!(self.settle_page(store, state, page, &mut found), reader.next_page(deadline));
            delivered?;
            self.pages_lost = following.is_err() && reader.wants_a_shorter_window();
            next = match following {
                Err(_) if is_live(Mutant::ErrorEndsWindow) => None,
                following => following?,
            };
        }
        self.heard = true;
        Ok((found, reader.asked_at()))
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
        let now = self.engine.clock.now();
        let policy = &self.lane.policy;
        let mut planned =
            plan_page(page.indicators, policy, &state.manifest, found.purpose, now, &mut self.counts);
        self.hold_back(state, &mut planned, found);
        if is_live(Mutant::RetractionsIgnored) {
            let stay = planned.extract_if(.., |item| item.change == Change::Retracted);
            self.counts.unchanged += stay.count() as u64;
        }
        if is_live(Mutant::ChangesIgnored) {
            let (changed, others): (Vec<_>, Vec<_>) =
                planned.into_iter().partition(|item| item.change == Change::Updated);
            self.counts.unchanged += changed.len() as u64;
            planned = others;
        }
        self.deliver(store, state, planned).await
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
