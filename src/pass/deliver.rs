//! Uploads side by side, and a commit for everything they settled.

use std::{collections::VecDeque, pin::pin, sync::Arc};

use futures::{StreamExt, stream::FuturesUnordered};
use serde_json::json;
use tracing::warn;

use super::{halt::Halt, lane::LanePass};
use crate::{
    domain::{
        manifest::Known,
        outcome::{Change, Delivery, Refusal, UploadError},
        plan::Planned,
    },
    mutant::{Mutant, is_live},
    state::{lane::LaneState, store::Store},
};

/// Uploads in flight, or answered and not yet committed: what is sent again at worst after a kill.
const IN_FLIGHT: usize = 4;
/// So many requests refused one after another, and none accepted: then it is not the records.
const SUSPICIOUS: usize = 8;

/// What a page's delivery has come to so far.
#[derive(Default)]
struct Desk {
    waiting: VecDeque<Vec<Planned>>,
    /// Entries for the next commit.
    settled: Vec<Known>,
    /// Records whose request was refused although they were alone in it.
    suspects: Vec<(Planned, Refusal)>,
    halt: Option<Halt>,
}

impl LanePass<'_> {
    /// Delivers what a page calls for: first what is taken back, for that may make room for the others.
    ///
    /// # Errors
    /// Why the lane cannot go on; everything settled before is committed.
    pub(super) async fn deliver(
        &mut self,
        store: &Store,
        state: &mut LaneState,
        planned: Vec<Planned>,
    ) -> Result<(), Halt> {
        let (taken_back, others): (Vec<_>, Vec<_>) =
            planned.into_iter().partition(|item| item.change.takes_back());
        if !taken_back.is_empty() {
            self.upload(store, state, taken_back).await?;
        }
        let others = self.fit_in(state, others).await?;
        self.upload(store, state, others).await
    }

    /// Uploads `planned` in batches. What an upload settled is committed before another one takes its place.
    ///
    /// # Errors
    /// Why the lane cannot go on; everything settled before is committed.
    async fn upload(
        &mut self,
        store: &Store,
        state: &mut LaneState,
        planned: Vec<Planned>,
    ) -> Result<(), Halt> {
        let Some(lease) = self.lease else { return self.pretend(state, planned).await };
        let (destination, deadline, clock) = (&self.lane.destination, self.deadline, &self.engine.clock);
        let policy = &self.lane.policy;
        let mut desk = Desk { waiting: batches(planned, destination.batch()), ..Desk::default() };
        let mut uploads = FuturesUnordered::new();
        let mut arrived = Vec::new();
        loop {
            while uploads.len() + arrived.len() < IN_FLIGHT && desk.halt.is_none() {
                // Whoever took over the lease uploads now, under the same rate limit.
                if let Err(lost) = lease.check() {
                    desk.halt = Some(lost.into());
                    break;
                }
                let Some(mut batch) = desk.waiting.pop_front() else { break };
                let now = clock.now();
                for item in &mut batch {
                    item.valid_until = policy.valid_until(&item.indicator, item.change, now);
                }
                if is_live(Mutant::ManifestBeforeUpload) {
                    self.commit(state, batch.iter().map(|item| item.acknowledged(None)).collect()).await?;
                }
                let traffic = Arc::clone(&self.traffic);
                uploads.push(async move {
                    let outcome = destination.deliver(&batch, deadline, &traffic).await;
                    (batch, outcome)
                });
            }
            if arrived.is_empty() {
                arrived.extend(uploads.next().await);
            }
            if arrived.is_empty() {
                break;
            }
            for (batch, outcome) in arrived.drain(..) {
                self.take(state, &mut desk, batch, outcome);
            }
            self.judge_suspects(state, &mut desk, uploads.is_empty());
            // The others go on meanwhile: an upload that is not looked at misses its place under the rate limit.
            let mut commit = pin!(self.commit_settled(store, state, &mut desk.settled));
            loop {
                tokio::select! {
                    biased;
                    committed = &mut commit => break committed?,
                    Some(outcome) = uploads.next() => arrived.push(outcome),
                }
            }
        }
        desk.halt.map_or(Ok(()), Err)
    }

    /// Takes an upload's outcome to the desk.
    fn take(
        &mut self,
        state: &LaneState,
        desk: &mut Desk,
        mut batch: Vec<Planned>,
        outcome: Result<Vec<Delivery>, UploadError>,
    ) {
        match outcome {
            Ok(deliveries) => {
                // Records that were set aside without being sent prove nothing.
                self.accepted |= deliveries.iter().any(|delivery| !matches!(delivery, Delivery::Rejected(_)));
                for (item, delivery) in batch.into_iter().zip(deliveries) {
                    desk.settled.extend(self.settle_record(state, &item, delivery));
                }
            }
            Err(UploadError::Refused(refusal)) if batch.len() == 1 => {
                desk.suspects.extend(batch.pop().map(|item| (item, refusal)));
            }
            // One record spoils the whole request: in halves, until it stands alone.
            Err(UploadError::Refused(_)) => {
                let second = batch.split_off(batch.len() / 2);
                desk.waiting.push_front(second);
                desk.waiting.push_front(batch);
            }
            Err(UploadError::OutOfTime { after }) => {
                let halt = Halt::OutOfTime { after }.unless_in_vain(!self.accepted);
                desk.halt = desk.halt.take().or(Some(halt));
            }
            // What stands in the way outweighs that no time is left.
            Err(UploadError::Stalled(reason)) => desk.halt = Some(Halt::Stalled(reason)),
        }
    }

    /// A record that is refused alone is rejected, once the destination has shown that it accepts others. When
    /// it accepts none, something else is wrong with our requests, and no record is blamed for it.
    fn judge_suspects(&mut self, state: &LaneState, desk: &mut Desk, is_last: bool) {
        let all_in = is_last && desk.waiting.is_empty();
        if self.accepted || all_in && desk.suspects.len() == 1 {
            for (item, refusal) in std::mem::take(&mut desk.suspects) {
                desk.settled.extend(self.settle_record(state, &item, Delivery::Rejected(refusal)));
            }
        } else if desk.suspects.len() >= SUSPICIOUS || all_in && !desk.suspects.is_empty() {
            let reason = &desk.suspects[0].1.reason;
            desk.halt = Some(Halt::Stalled(format!("the destination refuses every request: {reason}")));
            desk.waiting.clear();
        }
    }

    /// Counts what became of one record; returns what is known of it now.
    fn settle_record(&mut self, state: &LaneState, item: &Planned, delivery: Delivery) -> Option<Known> {
        match delivery {
            Delivery::Acknowledged(handle) => {
                self.count(item);
                self.engine.gauge.sent(1);
                if let Some(room) = self.room.as_mut().filter(|_| item.change.takes_back()) {
                    room.leave(item.key);
                }
                Some(item.acknowledged(handle))
            }
            Delivery::OverLimit => {
                self.counts.over_limit += 1;
                None
            }
            Delivery::Rejected(Refusal { reason, request_id }) => {
                // One that is displaced is not a record that was read.
                self.counts.rejected += u64::from(item.change != Change::Displaced);
                let id = &item.indicator.source_id;
                warn!(lane = self.lane.name, "{id} was refused by {}: {reason}", self.lane.name);
                let line = json!({
                    "at": self.engine.clock.now(),
                    "destination": self.lane.name,
                    "run_id": self.pass.run_id,
                    "id": item.stix_id().to_string(),
                    "source_id": id,
                    "change": item.change,
                    "reason": reason,
                    "request_id": request_id,
                    "object": self.lane.destination.preview(item),
                    "indicator": item.indicator,
                });
                self.refused.push_str(&format!("{line}\n"));
                self.refused_unwritten = true;
                let before = state.manifest.get(item.key);
                if let Some(room) = self
                    .room
                    .as_mut()
                    .filter(|_| before.is_none_or(|entry| !entry.is_held(self.engine.clock.now())))
                {
                    room.leave(item.key);
                }
                Some(item.rejected(before))
            }
        }
    }

    fn count(&mut self, item: &Planned) {
        self.counts.settle(item.change);
        self.by_type.entry(item.indicator.observable.indicator_type()).or_default().add(item.change);
    }

    /// Makes settled records durable: the refused ones with their reasons first, so that none is known as refused
    /// without one.
    async fn commit_settled(
        &mut self,
        store: &Store,
        state: &mut LaneState,
        settled: &mut Vec<Known>,
    ) -> Result<(), Halt> {
        if settled.is_empty() {
            return Ok(());
        }
        let unwritten = self.refused_unwritten && !is_live(Mutant::RefusalsForgotten);
        if let Some(lease) = self.lease.filter(|_| unwritten) {
            if self.refused_before.is_none() {
                let before = store.rejected(self.lane.name, &self.pass.run_id).await?;
                self.refused.insert_str(0, self.refused_before.insert(before));
            }
            store.write_rejected(lease, self.lane.name, &self.pass.run_id, &self.refused).await?;
            self.refused_unwritten = false;
        }
        self.commit(state, std::mem::take(settled)).await
    }

    /// A dry run: what would be sent is counted and remembered, so that it counts once.
    async fn pretend(&mut self, state: &mut LaneState, planned: Vec<Planned>) -> Result<(), Halt> {
        let entries = planned.iter().map(|item| {
            self.count(item);
            item.acknowledged(None)
        });
        let entries = entries.collect();
        self.commit(state, entries).await
    }
}

fn batches(planned: Vec<Planned>, size: usize) -> VecDeque<Vec<Planned>> {
    let mut batches = VecDeque::with_capacity(planned.len().div_ceil(size));
    let mut rest = planned.into_iter();
    loop {
        let batch: Vec<Planned> = rest.by_ref().take(size).collect();
        if batch.is_empty() {
            return batches;
        }
        batches.push_back(batch);
    }
}
