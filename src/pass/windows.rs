//! The end of windows, and what waits for it: what is new waits until it is known which of it is the best, where the
//! destination cannot hold everything. Then it is delivered, and the windows that it came in are settled.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::{
    creations, delivery::Delivery, feeds, halt::Halt, ledger::Ledger, retractions, selecting::Waiting,
};
use crate::domain::{
    feeds::Account,
    plan::plan_page,
    policy::{Circumstances, Named},
    selection::{Selected, Selection},
    window::{Limits, PlannedWindow},
};

/// So many values are decided about and delivered at a time, the best first: what the destination rejects of them leaves
/// room for the next.
const PORTION: usize = 1000;
/// A pass with less time than this delivers page by page.
const LEAST: Duration = Duration::from_secs(60);

impl<'a> Delivery<'a> {
    /// Records that have no fate yet.
    pub fn open(&self) -> u64 {
        self.fates.open() + self.selecting.records()
    }

    /// Keeps of a page what is new and may be among the best, and returns the rest, which is decided about at once.
    ///
    /// # Errors
    /// Why the lane cannot go on; nothing of the page was counted.
    pub async fn choose(
        &mut self,
        ledger: &mut Ledger<'a>,
        named: Vec<Named>,
        circumstances: &Circumstances,
    ) -> Result<Vec<Named>, Halt> {
        let context = ledger.context;
        let (destination, policy) = (&context.lane.destination, context.policy);
        let left = context.deadline.left();
        let is_short = self.selecting.waiting.is_none() && left.is_some_and(|left| left < LEAST);
        if destination.limits().capacity.is_none() || is_short {
            return Ok(named);
        }
        if self.selecting.waiting.is_none() {
            // What is asked of the destination is asked only if there is something for it.
            let is_wanted = |Named { indicator, names, .. }: &Named| {
                let manifest = &ledger.state.manifest;
                let is_unknown = names.iter().all(|name| manifest.get(name.key).is_none());
                is_unknown && policy.filter.admit(indicator).is_ok()
            };
            if !named.iter().any(is_wanted) {
                return Ok(named);
            }
            Box::pin(self.reconcile(ledger)).await?;
            let Some(capacity) = self.reconciler().capacity() else { return Ok(named) };
            let selection = Selection::new(capacity);
            let until = left.map(|left| Instant::now() + left / 2);
            self.selecting.waiting = Some(Waiting { selection, circumstances: *circumstances, until });
        }
        let Some(waiting) = &mut self.selecting.waiting else { return Ok(named) };
        waiting.circumstances = *circumstances;
        let (now, reconciler) = (ledger.now(), &self.reconciler);
        let is_excluded = |item: &_| {
            destination.is_unfit(item, now) || reconciler.is_foreign(&destination.compared_as(item))
        };
        let manifest = &mut ledger.state.manifest;
        let Selected { turned_away, superseded, others } =
            waiting.selection.choose(named, policy, manifest, circumstances, is_excluded);
        ledger.counts.over_limit += turned_away;
        ledger.counts.unchanged += superseded;
        Ok(others)
    }

    /// Delivers what waits, the best first, and settles the windows that it came in.
    ///
    /// # Errors
    /// Why the lane cannot go on; what was settled before is committed.
    pub async fn deliver_chosen(
        &mut self,
        ledger: &mut Ledger<'a>,
        now: DateTime<Utc>,
        limits: Limits,
    ) -> Result<(), Halt> {
        // On the heap, because it is called in many places and each would make room for all of it.
        Box::pin(self.deliver_all(ledger, now, limits)).await
    }

    async fn deliver_all(
        &mut self,
        ledger: &mut Ledger<'a>,
        now: DateTime<Utc>,
        limits: Limits,
    ) -> Result<(), Halt> {
        while let Some(Waiting { selection, circumstances, .. }) = &mut self.selecting.waiting {
            let circumstances = Circumstances { now: ledger.now(), ..*circumstances };
            let portion = selection.take(PORTION);
            if portion.is_empty() {
                let has_room = self.reconciler.capacity().is_some_and(|capacity| capacity.has_room());
                if selection.has_turned_away() && has_room {
                    // More was rejected than waited in reserve: the next best come when all are offered again.
                    ledger.state.progress.want_refresh(limits);
                }
                self.selecting.waiting = None;
                break;
            }
            let (policy, manifest) = (ledger.context.policy, &mut ledger.state.manifest);
            let mut plan = plan_page(portion, policy, manifest, &circumstances, &mut ledger.counts);
            retractions::withhold(ledger, &mut plan, &circumstances);
            creations::withhold(ledger, &mut plan, &circumstances);
            self.deliver(ledger, plan).await?;
        }
        self.selecting.ahead = None;
        let windows = std::mem::take(&mut self.selecting.windows);
        if windows.is_empty() {
            return Ok(());
        }
        for (planned, account) in &windows {
            settle(ledger, planned, account, now, limits)?;
        }
        ledger.commit(Vec::new()).await
    }

    /// Settles a window that was read whole; or leaves it open as long as some of it waits.
    ///
    /// # Errors
    /// Why the lane cannot go on.
    pub async fn end_window(
        &mut self,
        ledger: &mut Ledger<'a>,
        planned: PlannedWindow,
        account: Account,
        now: DateTime<Utc>,
        limits: Limits,
    ) -> Result<(), Halt> {
        if self.selecting.waiting.is_none() && !self.selecting.has_windows() {
            settle(ledger, &planned, &account, now, limits)?;
            return ledger.commit(Vec::new()).await;
        }
        let mut ahead = self.selecting.position(&ledger.state.progress).clone();
        ahead.settle(&planned, &account, now, limits).map_err(|gap| Halt::Failed(gap.to_string()))?;
        let is_judged_next = ahead.has_survey_to_judge();
        self.selecting.ahead = Some(ahead);
        self.selecting.windows.push((planned, account));
        if is_judged_next { self.deliver_chosen(ledger, now, limits).await } else { Ok(()) }
    }
}

/// Notes that everything of a window is settled.
fn settle(
    ledger: &mut Ledger<'_>,
    planned: &PlannedWindow,
    account: &Account,
    now: DateTime<Utc>,
    limits: Limits,
) -> Result<(), Halt> {
    let settled = ledger.state.progress.settle(planned, account, now, limits);
    let lost = settled.map_err(|gap| Halt::Failed(gap.to_string()))?;
    feeds::note_losses(ledger, &lost);
    retractions::judge_survey(ledger);
    retractions::recount(ledger);
    creations::recount(ledger);
    Ok(())
}
