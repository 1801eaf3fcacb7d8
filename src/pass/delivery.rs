//! Uploads side by side, what the destination answered for each record, and a commit for what it settled.

use std::{
    collections::{HashSet, VecDeque},
    future::pending,
    pin::pin,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{sync::Notify, task::yield_now};
use tracing::warn;

use super::{
    control::Control,
    halt::Halt,
    ledger::Ledger,
    reconciliation::{Admission, Reconciler},
    retractions,
    selecting::Selecting,
};
use crate::{
    destination::ApiError,
    domain::{
        entry::Known,
        fates::Fates,
        observable::{Key, Name},
        outcome::{Change, Fate, RecordOutcome, Rejection},
        plan::{Plan, Planned},
        window::Range,
    },
};

/// Uploads in flight, or answered and not yet committed: what is sent again at worst after a kill.
const IN_FLIGHT: usize = 4;

/// What came of the upload of a batch.
type Uploaded = (Vec<Planned>, Result<Vec<RecordOutcome>, ApiError>);

/// How far a delivery goes on.
#[derive(Clone, Copy)]
pub(super) enum Until<'n> {
    /// Every upload has begun.
    Begun,
    /// Every upload is settled, or the caller has more to do.
    Called(&'n Notify),
    /// Every upload is settled.
    Settled,
}

/// The deliveries of a lane during a pass. One outlives its page: while the last uploads of a page are under way, the first
/// of the next begin, because the destination's rate would go unused at every page's end otherwise.
pub(super) struct Delivery<'a> {
    /// What the records were read for.
    range: Range,
    /// Records that have no fate yet.
    pub(super) fates: Fates,
    pub(super) selecting: Selecting,
    waiting: VecDeque<Vec<Planned>>,
    uploads: FuturesUnordered<BoxFuture<'a, Uploaded>>,
    /// Answered, and not looked at yet.
    arrived: Vec<Uploaded>,
    /// What was begun and is not settled: the manifest knows nothing of it yet.
    under_way: HashSet<Key>,
    /// Entries for the next commit.
    pub(super) settled: Vec<Known>,
    control: Control,
    pub(super) reconciler: Reconciler,
    halt: Option<Halt>,
}

impl<'a> Delivery<'a> {
    pub fn new() -> Self {
        Self {
            range: Range::Live,
            fates: Fates::default(),
            selecting: Selecting::default(),
            waiting: VecDeque::new(),
            uploads: FuturesUnordered::new(),
            arrived: Vec::new(),
            under_way: HashSet::new(),
            settled: Vec::new(),
            control: Control::default(),
            reconciler: Reconciler::default(),
            halt: None,
        }
    }

    /// Begins with the records that are read for `range`.
    pub fn begin(&mut self, range: Range) {
        self.range = range;
    }

    /// Compares the manifest with what the destination holds, if it can be asked at any time and was not in this pass.
    ///
    /// # Errors
    /// Why the lane cannot go on.
    pub async fn reconcile(&mut self, ledger: &mut Ledger<'a>) -> Result<(), Halt> {
        self.reconciler.reconcile(ledger).await
    }

    pub fn reconciler(&mut self) -> &mut Reconciler {
        &mut self.reconciler
    }

    /// Stores the control object that was kept in this pass.
    ///
    /// # Errors
    /// The lease is lost, or the storage fails.
    pub async fn store_control(&mut self, ledger: &mut Ledger<'a>) -> Result<(), Halt> {
        self.control.store(ledger).await
    }

    /// Whether an upload about one of `names` is under way.
    pub fn knows(&self, names: &[Name]) -> bool {
        names.iter().any(|name| self.under_way.contains(&name.key))
    }

    /// Delivers what a page calls for: first what is removed, because that may make room for the others. Of the others
    /// the last uploads may still be under way when this returns; [`Delivery::go_on`] sees to them.
    ///
    /// # Errors
    /// Why the lane cannot go on; everything settled before is committed.
    pub async fn deliver(&mut self, ledger: &mut Ledger<'a>, mut plan: Plan) -> Result<(), Halt> {
        self.fates.await_page(&mut plan);
        for (list, count) in plan.excluded_by {
            *ledger.excluded_by.entry(list).or_default() += count;
        }
        // The next page is compared with them at once; the next commit makes them durable.
        for note in plan.notes {
            ledger.state.manifest.put(note);
            self.settled.push(note);
        }
        if ledger.context.lease.is_none() {
            return self.count_only(ledger, plan.send).await;
        }
        ledger.doubt(&plan.send).await?;
        let size = ledger.context.lane.destination.limits().batch;
        let mut others = plan.send;
        let removed: Vec<Planned> = others.extract_if(.., |item| item.change.removes()).collect();
        if !removed.is_empty() {
            self.waiting = batches(removed, size);
            self.go_on(ledger, Until::Settled).await?;
        }
        let others = self.admit(ledger, others).await?;
        self.waiting = batches(others, size);
        // What the destination has room for is reckoned with what is settled.
        let until = if self.reconciler.is_limited() { Until::Settled } else { Until::Begun };
        self.go_on(ledger, until).await
    }

    /// Goes on with a delivery. What an upload settled is committed before another one takes its place.
    ///
    /// # Errors
    /// Why the lane cannot go on; everything settled before is committed.
    pub async fn go_on(&mut self, ledger: &mut Ledger<'a>, until: Until<'_>) -> Result<(), Halt> {
        loop {
            self.start_uploads(ledger);
            let is_begun = self.waiting.is_empty() && self.halt.is_none();
            if matches!(until, Until::Begun) && is_begun && self.arrived.is_empty() {
                return Ok(());
            }
            if self.arrived.is_empty() {
                let called = async {
                    match until {
                        Until::Called(notify) if is_begun => notify.notified().await,
                        _ => pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    uploaded = self.uploads.next() => self.arrived.extend(uploaded),
                    () = called => return Ok(()),
                }
            }
            if self.arrived.is_empty() {
                // Nothing is under way; what was only noted is committed when all is.
                if matches!(until, Until::Settled) && self.halt.is_none() {
                    ledger.commit_settled(&mut self.settled).await?;
                }
                break;
            }
            self.gather().await;
            for (batch, answer) in std::mem::take(&mut self.arrived) {
                self.take(ledger, batch, answer);
            }
            for (item, rejection) in self.control.convicted(ledger) {
                self.settle(ledger, &item, RecordOutcome::Rejected(rejection));
            }
            let all_in = self.uploads.is_empty() && self.waiting.is_empty();
            if self.halt.is_none() && self.control.is_wanted(all_in) {
                self.ask_control(ledger).await?;
            }
            // The others go on meanwhile: an upload that is not looked at misses its place under the rate limit.
            let Self { uploads, arrived, settled, .. } = self;
            let mut commit = pin!(ledger.commit_settled(settled));
            loop {
                tokio::select! {
                    biased;
                    committed = &mut commit => break committed?,
                    Some(uploaded) = uploads.next() => arrived.push(uploaded),
                }
            }
        }
        self.halt.take().map_or(Ok(()), Err)
    }

    /// Begins as many uploads as may be under way at once.
    fn start_uploads(&mut self, ledger: &Ledger<'a>) {
        let (context, traffic) = (ledger.context, ledger.traffic);
        let Some(lease) = context.lease else { return };
        while self.uploads.len() + self.arrived.len() < IN_FLIGHT && self.halt.is_none() {
            // The instance that took over the lease uploads now, under the same rate limit.
            if let Err(lost) = lease.check() {
                self.halt = Some(lost.into());
                return;
            }
            let Some(mut batch) = self.waiting.pop_front() else { return };
            let now = context.now();
            for item in &mut batch {
                item.valid_until = context.policy.valid_until(&item.indicator, item.change, now);
                self.under_way.insert(item.key);
            }
            self.uploads.push(Box::pin(async move {
                let answer = context.lane.destination.deliver(&batch, context.deadline, traffic).await;
                (batch, answer)
            }));
        }
    }

    /// Takes along every other upload that was answered by now, so that one commit does for all of them: a commit waits
    /// for the disk or the network, and under a destination that answers at once it would be most of the work.
    async fn gather(&mut self) {
        // The first turn lets the connections read, the second lets the uploads notice.
        for _ in 0..2 {
            yield_now().await;
            while let Some(Some(uploaded)) = self.uploads.next().now_or_never() {
                self.arrived.push(uploaded);
            }
        }
    }

    /// Takes the answer to an upload.
    fn take(
        &mut self,
        ledger: &mut Ledger<'a>,
        mut batch: Vec<Planned>,
        answer: Result<Vec<RecordOutcome>, ApiError>,
    ) {
        if self.control.answers(&batch) {
            return self.take_control(&batch[0], answer);
        }
        match answer {
            Ok(outcomes) => {
                self.control.note(&outcomes);
                ledger.arrival.note(&self.range, &batch, &outcomes, ledger.context.now());
                for (item, outcome) in batch.into_iter().zip(outcomes) {
                    self.settle(ledger, &item, outcome);
                }
            }
            Err(ApiError::Rejected(rejection)) if batch.len() == 1 => {
                self.control.suspect(batch.remove(0), rejection);
            }
            // One record spoils the whole request: halve it until the record stands alone.
            Err(ApiError::Rejected(_)) => {
                let second = batch.split_off(batch.len() / 2);
                self.waiting.push_front(second);
                self.waiting.push_front(batch);
            }
            Err(ApiError::OutOfTime(out_of_time)) => {
                self.halt = self.halt.take().or(Some(Halt::OutOfTime(out_of_time)));
            }
            // A stall takes precedence over running out of time.
            Err(ApiError::Stalled(problem)) => self.halt = Some(Halt::Stalled(problem.message)),
        }
    }

    /// Puts the control object before everything that waits, or halts if there is none.
    async fn ask_control(&mut self, ledger: &mut Ledger<'a>) -> Result<(), Halt> {
        match self.control.ask(ledger).await? {
            Some(item) => self.waiting.push_front(vec![item]),
            None => self.halt_for(self.control.stall()),
        }
        Ok(())
    }

    /// Takes the answer to the control object.
    fn take_control(&mut self, item: &Planned, answer: Result<Vec<RecordOutcome>, ApiError>) {
        match answer {
            Ok(outcomes) => match outcomes.into_iter().next() {
                Some(acknowledged @ RecordOutcome::Acknowledged(handle)) => {
                    self.control.note(&[acknowledged]);
                    self.note(item.acknowledged(handle));
                }
                _ => self.halt_for(self.control.stall()),
            },
            Err(ApiError::Rejected(Rejection { reason, .. })) => {
                let (value, kind) = (item.value(), item.type_name());
                warn!(
                    value,
                    "type" = kind,
                    "the destination rejects {value} as well, which it holds: {reason}"
                );
                self.halt_for(self.control.stall());
            }
            Err(error) => self.halt_for(error.into()),
        }
    }

    /// Nothing more is begun.
    fn halt_for(&mut self, halt: Halt) {
        self.halt = Some(halt);
        self.waiting.clear();
    }

    /// Counts what became of one record, and notes what is known of it now for the next commit.
    pub(super) fn settle(&mut self, ledger: &mut Ledger<'a>, item: &Planned, outcome: RecordOutcome) {
        self.under_way.remove(&item.key);
        let before = ledger.state.manifest.get(item.key).copied();
        let was_held = before.is_some_and(|entry| entry.is_held(ledger.now()));
        let known = match outcome {
            RecordOutcome::Acknowledged(handle) => {
                self.close(ledger, item, item.change.fate());
                ledger.note_sent(item);
                ledger.context.gauge.sent(ledger.context.lane.name, 1);
                if item.change.removes() {
                    self.reconciler.free(item.key);
                } else {
                    self.control.keep(ledger, item);
                }
                if item.change == Change::Retracted {
                    retractions::note(ledger, item, before, &self.range);
                }
                Some(item.acknowledged(handle))
            }
            RecordOutcome::OverLimit => {
                self.close(ledger, item, Some(Fate::OverLimit));
                ledger.unsettled.insert(item.key);
                None
            }
            RecordOutcome::Rejected(rejection) => {
                self.close(ledger, item, Some(Fate::Rejected));
                ledger.reject(item, &rejection);
                if !self.reconciler.made_way().is_empty() && !item.change.removes() {
                    // The best of those that made way take its place when all are offered again.
                    ledger.state.progress.want_refresh(ledger.context.source.limits());
                }
                if !was_held {
                    self.reconciler.free(item.key);
                }
                Some(item.rejected(before.as_ref()))
            }
        };
        // To be told the same again is no progress; nor is what is sent whether it is held or not.
        let is_new = known.is_some_and(|known| before != Some(known.entry));
        if is_new && (item.change != Change::Renewed || ledger.context.policy.deduplicate) {
            ledger.note_movement();
        }
        self.settled.extend(known);
    }

    /// Admits what the destination has room for, and what no other application holds there.
    ///
    /// # Errors
    /// Why the lane cannot go on.
    pub(super) async fn admit(
        &mut self,
        ledger: &mut Ledger<'a>,
        planned: Vec<Planned>,
    ) -> Result<Vec<Planned>, Halt> {
        if planned.is_empty() {
            return Ok(planned);
        }
        let Admission { admitted, settled, kept } = self.reconciler.admit(ledger, planned).await?;
        for (item, fate) in &settled {
            self.close(ledger, item, Some(*fate));
        }
        for known in kept {
            self.note(known);
        }
        Ok(admitted)
    }

    /// Notes what is known of an indicator, for the next commit.
    fn note(&mut self, known: Known) {
        self.under_way.remove(&known.entry.key);
        self.settled.push(known);
    }

    /// Notes what became of `item`, and counts its record if that has its fate now.
    fn close(&mut self, ledger: &mut Ledger<'a>, item: &Planned, fate: Option<Fate>) {
        let fate = fate.and_then(|fate| self.fates.close(item, fate));
        fate.into_iter().for_each(|fate| ledger.counts.count(fate));
    }
}

fn batches(planned: Vec<Planned>, size: usize) -> VecDeque<Vec<Planned>> {
    let mut rest = planned.into_iter();
    let next = || Some(rest.by_ref().take(size).collect()).filter(|batch: &Vec<Planned>| !batch.is_empty());
    std::iter::from_fn(next).collect()
}
