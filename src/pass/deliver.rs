//! Uploads side by side, and a commit for everything they settled.

use std::{collections::VecDeque, future::pending, pin::pin, sync::Arc};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use serde_json::json;
use tokio::{sync::Notify, task::yield_now};
use tracing::warn;

use super::{halt::Halt, lane::LanePass};
use crate::{
    domain::{
        entry::Known,
        handles::ByKey,
        observable::Key,
        outcome::{Change, Delivery, Refusal, UploadError},
        plan::{Plan, Planned},
        task::Range,
    },
    state::{lane::LaneState, store::Store},
};

/// Uploads in flight, or answered and not yet committed: what is sent again at worst after a kill.
const IN_FLIGHT: usize = 4;
/// So many requests refused one after another, and none accepted: then it is not the records.
const SUSPICIOUS: usize = 8;

type Outcome = (Vec<Planned>, Result<Vec<Delivery>, UploadError>);

/// What a delivery has come to so far. It outlives a page: while the last uploads of one are under way, the first of
/// the next begin, else the destination's rate would go unused at every page's end.
pub(super) struct Desk<'a> {
    /// What the records were read for.
    range: Range,
    /// Records that have no fate yet.
    open: u64,
    waiting: VecDeque<Vec<Planned>>,
    uploads: FuturesUnordered<BoxFuture<'a, Outcome>>,
    /// Answered, and not looked at yet.
    arrived: Vec<Outcome>,
    /// What was begun and is not settled: the manifest knows nothing of it yet.
    under_way: ByKey<()>,
    /// Entries for the next commit.
    settled: Vec<Known>,
    /// Records whose request was refused although they were alone in it.
    suspects: Vec<(Planned, Refusal)>,
    halt: Option<Halt>,
}

impl Desk<'_> {
    /// An empty one, for records that were read for `range`.
    pub(super) fn for_range(range: Range) -> Self {
        Self {
            range,
            open: 0,
            waiting: VecDeque::new(),
            uploads: FuturesUnordered::new(),
            arrived: Vec::new(),
            under_way: ByKey::default(),
            settled: Vec::new(),
            suspects: Vec::new(),
            halt: None,
        }
    }

    /// Records that were taken on and have no fate yet.
    pub(super) fn open(&self) -> u64 {
        self.open
    }

    /// Notes that what `item` was planned for has its fate. What is displaced is no record that was read.
    pub(super) fn close(&mut self, item: &Planned) {
        self.open -= u64::from(item.change.is_fate());
    }

    /// Whether something about `key` is under way.
    pub(super) fn knows(&self, key: Key) -> bool {
        self.under_way.contains_key(&key)
    }

    /// Takes along whatever else was answered by now, so that one commit does for all of it: a commit waits for the
    /// disk or the network, and under a destination that answers at once it would be most of the work.
    async fn gather(&mut self) {
        // The first turn lets the connections read, the second lets the uploads hear of it.
        for _ in 0..2 {
            yield_now().await;
            while let Some(Some(outcome)) = self.uploads.next().now_or_never() {
                self.arrived.push(outcome);
            }
        }
    }
}

/// How far a delivery is carried on.
#[derive(Clone, Copy)]
pub(super) enum Until<'n> {
    /// Every upload has begun.
    Begun,
    /// Every upload is settled, or somebody has more to do.
    Called(&'n Notify),
    /// Every upload is settled.
    Settled,
}

impl<'a> LanePass<'a> {
    /// Delivers what a page calls for: first what is taken back, for that may make room for the others. Of the others
    /// the last uploads may still be under way when this returns; [`LanePass::carry_on`] sees to them.
    ///
    /// # Errors
    /// Why the lane cannot go on; everything settled before is committed.
    pub(super) async fn deliver(
        &mut self,
        store: &Store,
        state: &mut LaneState,
        desk: &mut Desk<'a>,
        plan: Plan,
    ) -> Result<(), Halt> {
        desk.open += plan.send.iter().filter(|item| item.change.is_fate()).count() as u64;
        // The next page is compared with them at once; durable they become with the next commit.
        for note in plan.notes {
            state.manifest.put(note);
            desk.settled.push(note);
        }
        if self.lease.is_none() {
            return self.pretend(state, desk, plan.send).await;
        }
        let size = self.lane.destination.batch();
        let mut others = plan.send;
        let taken_back: Vec<Planned> = others.extract_if(.., |item| item.change.takes_back()).collect();
        if !taken_back.is_empty() {
            desk.waiting = batches(taken_back, size);
            self.carry_on(store, state, desk, Until::Settled).await?;
        }
        let others = self.fit_in(state, desk, others).await?;
        desk.waiting = batches(others, size);
        // Who has room is reckoned with what is settled.
        let until = if self.room.is_some() { Until::Settled } else { Until::Begun };
        self.carry_on(store, state, desk, until).await
    }

    /// Carries a delivery on. What an upload settled is committed before another one takes its place.
    ///
    /// # Errors
    /// Why the lane cannot go on; everything settled before is committed.
    pub(super) async fn carry_on(
        &mut self,
        store: &Store,
        state: &mut LaneState,
        desk: &mut Desk<'a>,
        until: Until<'_>,
    ) -> Result<(), Halt> {
        loop {
            self.begin_uploads(desk);
            let is_begun = desk.waiting.is_empty() && desk.halt.is_none();
            if matches!(until, Until::Begun) && is_begun && desk.arrived.is_empty() {
                return Ok(());
            }
            if desk.arrived.is_empty() {
                let called = async {
                    match until {
                        Until::Called(notify) if is_begun => notify.notified().await,
                        _ => pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    outcome = desk.uploads.next() => desk.arrived.extend(outcome),
                    () = called => return Ok(()),
                }
            }
            if desk.arrived.is_empty() {
                // Nothing is under way; what was only noted is committed when all is.
                if matches!(until, Until::Settled) && desk.halt.is_none() {
                    self.commit_settled(store, state, &mut desk.settled).await?;
                }
                break;
            }
            desk.gather().await;
            for (batch, outcome) in std::mem::take(&mut desk.arrived) {
                self.take(state, desk, batch, outcome);
            }
            self.judge_suspects(state, desk);
            // The others go on meanwhile: an upload that is not looked at misses its place under the rate limit.
            let Desk { uploads, arrived, settled, .. } = desk;
            let mut commit = pin!(self.commit_settled(store, state, settled));
            loop {
                tokio::select! {
                    biased;
                    committed = &mut commit => break committed?,
                    Some(outcome) = uploads.next() => arrived.push(outcome),
                }
            }
        }
        desk.halt.take().map_or(Ok(()), Err)
    }

    /// Begins as many uploads as may be under way at once.
    fn begin_uploads(&mut self, desk: &mut Desk<'a>) {
        let Some(lease) = self.lease else { return };
        let (lane, deadline) = (self.lane, self.deadline);
        while desk.uploads.len() + desk.arrived.len() < IN_FLIGHT && desk.halt.is_none() {
            // Whoever took over the lease uploads now, under the same rate limit.
            if let Err(lost) = lease.check() {
                desk.halt = Some(lost.into());
                return;
            }
            let Some(mut batch) = desk.waiting.pop_front() else { return };
            let now = self.engine.clock.now();
            for item in &mut batch {
                item.valid_until = lane.policy.valid_until(&item.indicator, item.change, now);
                desk.under_way.insert(item.key, ());
            }
            let traffic = Arc::clone(&self.traffic);
            desk.uploads.push(Box::pin(async move {
                let outcome = lane.destination.deliver(&batch, deadline, &traffic).await;
                (batch, outcome)
            }));
        }
    }

    /// Takes an upload's outcome to the desk.
    fn take(
        &mut self,
        state: &mut LaneState,
        desk: &mut Desk<'a>,
        mut batch: Vec<Planned>,
        outcome: Result<Vec<Delivery>, UploadError>,
    ) {
        match outcome {
            Ok(deliveries) => {
                // Records that were set aside without being sent prove nothing.
                self.accepted |= deliveries.iter().any(|delivery| !matches!(delivery, Delivery::Rejected(_)));
                for (item, delivery) in batch.into_iter().zip(deliveries) {
                    self.settle_record(state, desk, &item, delivery);
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
                desk.halt = desk.halt.take().or(Some(Halt::OutOfTime { after }));
            }
            // What stands in the way outweighs that no time is left.
            Err(UploadError::Stalled(reason)) => desk.halt = Some(Halt::Stalled(reason)),
        }
    }

    /// A record that is refused alone is rejected, once the destination has shown that it accepts others. When
    /// it accepts none, something else is wrong with our requests, and no record is blamed for it.
    fn judge_suspects(&mut self, state: &mut LaneState, desk: &mut Desk<'a>) {
        let all_in = desk.uploads.is_empty() && desk.waiting.is_empty();
        if self.accepted || all_in && desk.suspects.len() == 1 {
            for (item, refusal) in std::mem::take(&mut desk.suspects) {
                self.settle_record(state, desk, &item, Delivery::Rejected(refusal));
            }
        } else if desk.suspects.len() >= SUSPICIOUS || all_in && !desk.suspects.is_empty() {
            let reason = &desk.suspects[0].1.reason;
            desk.halt = Some(Halt::Stalled(format!("the destination refuses every request: {reason}")));
            desk.waiting.clear();
        }
    }

    /// Counts what became of one record, and notes what is known of it now for the next commit.
    fn settle_record(
        &mut self,
        state: &mut LaneState,
        desk: &mut Desk<'a>,
        item: &Planned,
        delivery: Delivery,
    ) {
        desk.under_way.remove(&item.key);
        desk.close(item);
        let before = state.manifest.get(item.key).copied();
        let known = match delivery {
            Delivery::Acknowledged(handle) => {
                self.count(item);
                self.engine.gauge.sent(1);
                if item.change == Change::Retracted {
                    self.note_retracted(state, before, &desk.range);
                }
                if let Some(room) = self.room.as_mut().filter(|_| item.change.takes_back()) {
                    room.leave(item.key);
                }
                Some(item.acknowledged(handle))
            }
            Delivery::OverLimit => {
                self.counts.over_limit += 1;
                self.unsettled.insert(item.key);
                None
            }
            Delivery::Rejected(Refusal { reason, request_id }) => {
                // One that is displaced is not a record that was read.
                self.counts.rejected += u64::from(item.change.is_fate());
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
                if let Some(room) = self
                    .room
                    .as_mut()
                    .filter(|_| before.is_none_or(|entry| !entry.is_held(self.engine.clock.now())))
                {
                    room.leave(item.key);
                }
                Some(item.rejected(before.as_ref()))
            }
        };
        desk.settled.extend(known);
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
        if let Some(lease) = self.lease.filter(|_| !self.refused.is_empty()) {
            let (run_id, file) = (&self.pass.run_id, &mut self.refusal_file);
            store.append_refused(lease, self.lane.name, run_id, file, &self.refused).await?;
            self.refused.clear();
        }
        self.commit(state, std::mem::take(settled)).await
    }

    /// A dry run: what would be sent is counted and remembered, so that it counts once.
    async fn pretend(
        &mut self,
        state: &mut LaneState,
        desk: &mut Desk<'a>,
        planned: Vec<Planned>,
    ) -> Result<(), Halt> {
        for item in planned {
            self.settle_record(state, desk, &item, Delivery::Acknowledged(item.handle));
        }
        self.commit(state, std::mem::take(&mut desk.settled)).await
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
