//! One invocation, from the lease to the reports: its own pass, then the requests that wait.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tracing::{Instrument, info, info_span, warn};
use uuid::Uuid;

use super::{
    Lane, audit,
    context::Context,
    continuation::{Continuation, MOST_HOPS},
    gauge::Gauge,
    halt, lane,
    watchdog::{self, Watchdog},
    work::{Audits, MessageKind, Pass, QueueMessage, Work},
};
use crate::{
    clock::{Deadline, OutOfTime, SharedClock},
    domain::{
        findings::Audit,
        outcome::End,
        report::{LaneReport, Report, Trigger, run_id},
        request::RunOptions,
    },
    signals::Signals,
    source::Source,
    state::{error::StateError, lease::Lease, store::Store},
};

/// Opens the state; done anew for every invocation, because a signature for it runs out.
pub type OpenStore = Box<dyn Fn() -> Result<Store, StateError> + Send + Sync>;

/// Everything a pass needs.
pub struct Engine {
    pub clock: SharedClock,
    pub source: Source,
    /// The source that this one can be compared with, or why the settings do not give access to it.
    pub other: Result<Source, String>,
    pub lanes: Vec<Lane>,
    /// The values of `EXCLUDE`.
    pub exclude: String,
    pub open_store: OpenStore,
    /// What makes up for a timer that does not fire; `None` where the settings give no queue of the host's.
    pub watchdog: Option<Watchdog>,
    /// Who is told of passes that ended.
    pub signals: Signals,
    pub gauge: Arc<Gauge>,
    /// Called with every pass that ended, and the host's id of the invocation.
    pub announce: fn(&Report, Option<&str>),
}

/// How an invocation ended.
#[derive(Debug, Default)]
pub struct Ended {
    /// One report per pass; empty when there was nothing to do.
    pub reports: Vec<Report>,
    /// To be put on the queue.
    pub continuation: Option<QueueMessage>,
    /// A chain of continuations ended here that did not deliver everything: some lane stalled on the way, or the
    /// chain was cut off. Or a watchdog message could not be passed on.
    pub chain_failed: bool,
}

impl Ended {
    /// Whether the host is to show a failed invocation. With a continuation it is too early to tell.
    pub fn is_failure(&self) -> bool {
        self.continuation.is_none()
            && (self.chain_failed || self.reports.iter().any(|report| report.end.is_failure()))
    }
}

impl Engine {
    /// Runs one invocation.
    pub async fn run(&self, work: Work, invocation_id: Option<&str>, deadline: &Deadline) -> Ended {
        let pass = self.pass(&work, invocation_id);
        let mut ended = Ended::default();
        let trouble = match deadline.in_time(self.invoke(work, &pass, deadline, &mut ended)).await {
            Ok(Ok(())) => return ended,
            Ok(Err(error)) if ended.reports.iter().any(|report| report.run_id == pass.run_id) => {
                // The pass itself is reported; the requests that wait are found again by the next one.
                warn!(run_id = pass.run_id, "the requests that wait were not run: {error}");
                return ended;
            }
            Ok(Err(error)) => self.report(&pass, halt::end_of(&error), error.to_string()),
            Err(OutOfTime { .. }) if ended.reports.iter().any(|report| report.run_id == pass.run_id) => {
                // The pass itself is reported; what came behind it is found again by the next one.
                warn!(run_id = pass.run_id, "the invocation was answered before its last requests were run");
                return ended;
            }
            Err(OutOfTime { .. }) => {
                let message = "the storage did not take the last commit in time; what it lacks is sent again under the same ids";
                self.report(&pass, End::Stalled, message.to_owned())
            }
        };
        (self.announce)(&trouble, invocation_id);
        ended.reports.push(trouble);
        ended
    }

    pub(super) fn pass(&self, work: &Work, invocation_id: Option<&str>) -> Pass {
        let order = RunOptions::default;
        let (trigger, order, audits, continues) = match work {
            Work::Timer => (Trigger::Timer, order(), Audits::WhenDue, None),
            Work::Command(order) => (Trigger::Cli, order.clone(), Audits::Never, None),
            Work::Repair => (Trigger::Cli, order(), Audits::Repair, None),
            Work::QueueMessage(message) => {
                let trigger = match message.kind {
                    MessageKind::Watchdog => Trigger::Watchdog,
                    MessageKind::Request | MessageKind::Continue => Trigger::Continuation,
                };
                (trigger, order(), Audits::WhenDue, Some(message.clone()))
            }
        };
        let started_at = self.clock.now();
        let invocation_id = invocation_id.map(str::to_owned);
        Pass { run_id: self.new_run_id(), trigger, order, audits, started_at, invocation_id, continues }
    }

    async fn invoke(
        &self,
        work: Work,
        pass: &Pass,
        deadline: &Deadline,
        ended: &mut Ended,
    ) -> Result<(), StateError> {
        let store = (self.open_store)()?;
        store.prepare().await?;
        if pass.order.dry_run {
            ended.reports.push(self.dry_run(&store, pass, deadline).await);
            return Ok(());
        }
        self.run_with_lease(&store, &work, pass, deadline, ended).await?;
        self.dry_requests(&store, pass, deadline, ended).await
    }

    /// Runs what needs the lease, once it is acquired.
    async fn run_with_lease(
        &self,
        store: &Store,
        work: &Work,
        pass: &Pass,
        deadline: &Deadline,
        ended: &mut Ended,
    ) -> Result<(), StateError> {
        let message = match work {
            Work::QueueMessage(message) => Some(message),
            Work::Timer | Work::Command(_) | Work::Repair => None,
        };
        if let Some(message) = message
            && !self.is_current(store, message, ended).await?
        {
            info!("a message of {} has nothing left to do", message.run_id);
            return Ok(());
        }
        let lease = store.lease_telling(&pass.run_id, deadline, |holder| self.gauge.wait_for(Some(holder)));
        let lease = lease.await;
        self.gauge.wait_for(None);
        let Some(lease) = lease? else {
            if let Some(message) = message.filter(|message| message.kind == MessageKind::Watchdog) {
                // The pass at work leaves a message of its own, unless it dies.
                ended.chain_failed |= !self.pass_on(&message.run_id).await;
                return Ok(());
            }
            let message = "another pass is still at work; nothing is lost, it or the next one goes on";
            ended
                .reports
                .push(self.publish(store, pass, self.report(pass, End::Skipped, message.to_owned())).await);
            return Ok(());
        };
        let under_lease = self.under_lease(store, &lease, work, pass, deadline, ended).await;
        lease.release().await;
        under_lease
    }

    /// The invocation's own pass, then the requests that wait.
    async fn under_lease(
        &self,
        store: &Store,
        lease: &Lease,
        work: &Work,
        pass: &Pass,
        deadline: &Deadline,
        ended: &mut Ended,
    ) -> Result<(), StateError> {
        let mut continuation = Continuation::new();
        let worked = self.run_passes(store, lease, work, pass, deadline, ended, &mut continuation).await;
        let is_cut_off = continuation.is_cut_off;
        ended.continuation = continuation.message().or(ended.continuation.take());
        if ended.continuation.is_none()
            && let Some(message) = pass.continued()
        {
            ended.chain_failed = is_cut_off || self.has_failed(store, &message.run_id).await;
        }
        worked
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one invocation")]
    async fn run_passes(
        &self,
        store: &Store,
        lease: &Lease,
        work: &Work,
        pass: &Pass,
        deadline: &Deadline,
        ended: &mut Ended,
        continuation: &mut Continuation,
    ) -> Result<(), StateError> {
        if let Work::QueueMessage(message) = work
            && message.kind == MessageKind::Watchdog
            && !self.is_current(store, message, ended).await?
        {
            info!("a pass ended while the watchdog message of {} waited for the lease", message.run_id);
            return Ok(());
        }
        let is_request = matches!(work, Work::QueueMessage(QueueMessage { kind: MessageKind::Request, .. }));
        if !is_request {
            let report = self.run_pass(store, lease, pass, deadline, continuation).await;
            // The message that started it is all there is: the host is to deliver it again, and it goes on then.
            let is_last = pass.trigger == Trigger::Watchdog && report.is_of_a_whole_pass();
            ended.chain_failed |= is_last && report.watchdog.is_none();
            ended.reports.push(report);
        }
        if lease.check().is_ok() {
            self.set_aside(store, lease).await?;
        }
        while let Some(request) =
            self.waiting(store).await?.into_iter().find(|request| !request.order.dry_run)
        {
            if ended.reports.iter().any(|report| report.end == End::Fenced) {
                return Ok(());
            }
            if deadline.check().is_err() || lease.check().is_err() {
                ended.continuation.get_or_insert(QueueMessage::for_request(&request.run_id));
                return Ok(());
            }
            let pass = self.pass_of(&request, pass);
            ended.reports.push(self.run_pass(store, lease, &pass, deadline, continuation).await);
            if !self.is_applied(store, &request).await? {
                // It could not even be noted in the lanes' progress: it stays for the next pass.
                return Ok(());
            }
            store.delete_request(&request.run_id).await?;
        }
        Ok(())
    }

    /// One pass: all lanes side by side, then the report.
    async fn run_pass(
        &self,
        store: &Store,
        lease: &Lease,
        pass: &Pass,
        deadline: &Deadline,
        continuation: &mut Continuation,
    ) -> Report {
        let lanes = self.lanes_of(store, pass).await;
        let invocation = deadline;
        let deadline = lease.bound(deadline);
        let span = info_span!("pass", run_id = pass.run_id);
        let run = self.run_lanes(store, lanes, pass, Some(lease), &continuation.id, &deadline);
        let lanes = run.instrument(span).await;
        continuation.take(pass, &lanes);
        let mut report = self.close(pass, lanes);
        let audited =
            report.lanes.iter().filter_map(|(name, lane)| Some((name.clone(), lane.audit.clone()?)));
        audit::keep(store, &Audit { lanes: audited.collect() }).await;
        report.watchdog = self.leave_watchdog(&report, invocation).await;
        let report = self.publish(store, pass, report).await;
        self.tell_others(store, lease, &report, invocation).await;
        report
    }

    /// All lanes side by side, by the lists of exclusions as they stand; without those, none.
    pub(super) async fn run_lanes(
        &self,
        store: &Store,
        lanes: Vec<&Lane>,
        pass: &Pass,
        lease: Option<&Lease>,
        continuation_id: &str,
        deadline: &Deadline,
    ) -> Vec<(&'static str, LaneReport)> {
        let policies = match self.policies(store, &lanes).await {
            Ok(policies) => policies,
            Err(error) => {
                let ended = |lane: &Lane| (lane.name, lane::halted(error.clone().into()));
                return lanes.into_iter().map(ended).collect();
            }
        };
        let Self { clock, source, gauge, .. } = self;
        let context = |(lane, policy)| Context {
            store,
            clock,
            source,
            gauge,
            lane,
            policy,
            pass,
            lease,
            continuation_id,
            deadline,
        };
        let lanes = lanes.into_iter().zip(&policies).map(|lane| lane::run(context(lane)));
        futures::future::join_all(lanes).await
    }

    /// Whether a lane ended badly since the chain began, and has not ended well since: in an earlier pass of the chain,
    /// or in a request that an invocation of it ran.
    async fn has_failed(&self, store: &Store, origin: &str) -> bool {
        match store.last_ends_since(origin).await {
            Ok(ends) => ends.values().any(|end| end.is_failure()),
            Err(error) => {
                warn!("how the passes before this one ended cannot be read: {error}");
                false
            }
        }
    }

    /// Puts the lanes' ends together.
    pub(super) fn close(&self, pass: &Pass, lanes: Vec<(&'static str, LaneReport)>) -> Report {
        let is_cut_off = pass.hop() >= MOST_HOPS && lanes.iter().any(|(_, lane)| lane.end == End::Paused);
        let end = lanes.iter().map(|(_, lane)| lane.end).max().unwrap_or(End::CaughtUp);
        let mut report = self.report(pass, end, String::new());
        for (_, lane) in &lanes {
            // Each lane reads the source for itself, and finds the same.
            let new = lane.losses.iter().filter(|loss| !report.losses.contains(loss));
            let new: Vec<_> = new.cloned().collect();
            report.losses.extend(new);
        }
        report.lanes = lanes.into_iter().map(|(name, lane)| (name.to_owned(), lane)).collect();
        report.message = report.sentence();
        if pass.trigger == Trigger::Watchdog
            && let Some(message) = &pass.continues
        {
            report.message = format!("{}. {}", watchdog::why(&message.run_id), report.message);
        }
        if is_cut_off {
            report.message.push_str(&format!(
                ". The chain of {MOST_HOPS} continuations ends here, and the timer goes on: if it cannot keep up, ask for less (higher thresholds, fewer types, a shorter INITIAL_LOOKBACK)"
            ));
        }
        report
    }

    /// Writes the report and announces it.
    pub(super) async fn publish(&self, store: &Store, pass: &Pass, report: Report) -> Report {
        if let Err(error) = store.write_report(&report).await {
            warn!(run_id = pass.run_id, "the report of {} was not written: {error}", pass.run_id);
        }
        (self.announce)(&report, pass.invocation_id.as_deref());
        report
    }

    fn report(&self, pass: &Pass, end: End, message: String) -> Report {
        let continues = pass.continued();
        Report {
            run_id: pass.run_id.clone(),
            trigger: pass.trigger,
            dry_run: pass.order.dry_run,
            started_at: pass.started_at,
            ended_at: self.clock.now().max(pass.started_at),
            end,
            message,
            continues: continues.map(|message| message.run_id.clone()),
            losses: Vec::new(),
            watchdog: None,
            lanes: BTreeMap::new(),
        }
    }

    /// A new id for a pass or a request.
    pub fn new_run_id(&self) -> String {
        let (random, ..) = Uuid::new_v4().as_fields();
        #[expect(clippy::cast_possible_truncation, reason = "any 16 bits of it will do")]
        run_id(self.clock.now(), random as u16)
    }

    /// How long the next upload has to wait for its place under the rate limit.
    pub fn wait(&self) -> Duration {
        self.lanes.iter().map(|lane| lane.destination.wait()).max().unwrap_or_default()
    }

    /// Names of the lanes there are.
    pub fn lane_names(&self) -> Vec<&'static str> {
        self.lanes.iter().map(|lane| lane.name).collect()
    }
}
