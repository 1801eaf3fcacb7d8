//! Manual runs: accepted, run once, and dry runs.

use chrono::TimeDelta;
use tracing::{Instrument, info_span, warn};

use super::{
    engine::{Ended, Engine},
    work::{Audits, Pass, QueueMessage},
};
use crate::{
    clock::Deadline,
    domain::{
        report::{Report, Trigger},
        request::{Claim, Request, RunOptions},
    },
    state::{
        error::StateError,
        lease::Lease,
        requests::{Found, Unusable, name_of},
        store::Store,
    },
};

impl Engine {
    /// Accepts a manual rerun: it is durable when this returns, and the message only a nudge.
    ///
    /// # Errors
    /// The state cannot be written.
    pub async fn accept(&self, order: RunOptions) -> Result<QueueMessage, StateError> {
        let request =
            Request { run_id: self.new_run_id(), requested_at: self.clock.now(), order, claim: None };
        let store = (self.open_store)()?;
        store.prepare().await?;
        store.write_request(&request).await?;
        Ok(QueueMessage::for_request(&request.run_id))
    }

    /// Whether every lane of a request either knows it by its progress or had nothing to note.
    pub(super) async fn is_applied(&self, store: &Store, request: &Request) -> Result<bool, StateError> {
        if !request.order.asks_for_more() {
            return Ok(true);
        }
        for lane in self.lanes.iter().filter(|lane| request.order.includes(lane.name)) {
            let progress = store.progress(lane.name).await?;
            if !progress.is_some_and(|progress| progress.knows_request(&request.run_id)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The requests that wait and can be run, oldest first.
    pub(super) async fn waiting(&self, store: &Store) -> Result<Vec<Request>, StateError> {
        let found = store.requests().await?;
        Ok(found.into_iter().filter_map(|found| self.usable(found).ok()).collect())
    }

    /// A file that no pass can run must not block those that one can: a version that was rolled back
    /// may have written it, or it names a destination that is configured no longer.
    pub(super) fn usable(&self, found: Found) -> Found {
        let request = found?;
        match request.order.check(&self.lane_names(), "destinations") {
            Ok(()) => Ok(request),
            Err(reason) => Err(Unusable { name: name_of(&request.run_id), reason }),
        }
    }

    /// Moves what cannot be run out of the requests.
    pub(super) async fn set_aside(&self, store: &Store, lease: &Lease) -> Result<(), StateError> {
        for found in store.requests().await? {
            if let Err(unusable) = self.usable(found) {
                let aside = store.set_aside(lease, &unusable.name).await?;
                warn!(
                    "{unusable}: it is set aside as {aside}. If a newer version wrote it, deploy that version and move it back; else send the request again"
                );
            }
        }
        Ok(())
    }

    /// Requests for a dry run need no lease. They come last, for they change nothing; one that does not fit into this
    /// invocation gets another.
    pub(super) async fn dry_requests(
        &self,
        store: &Store,
        pass: &Pass,
        deadline: &Deadline,
        ended: &mut Ended,
    ) -> Result<(), StateError> {
        for request in self.waiting(store).await?.into_iter().filter(|request| request.order.dry_run) {
            let run_id = &request.run_id;
            if deadline.check().is_err() {
                ended.continuation.get_or_insert(QueueMessage::for_request(run_id));
                return Ok(());
            }
            let now = self.clock.now();
            // Some time more, for committing and answering.
            let left = deadline.left().and_then(|left| TimeDelta::from_std(left).ok());
            let until = left.map_or(Claim::LONGEST, |left| left + TimeDelta::minutes(1)).min(Claim::LONGEST);
            let claim = Claim { by: pass.run_id.clone(), until: now + until };
            if !store.claim_request(run_id, claim, now).await? {
                continue;
            }
            // One whose report is written was run, and only its deletion failed.
            if store.report(run_id).await?.is_none() {
                ended.reports.push(self.dry_run(store, &self.pass_of(&request, pass), deadline).await);
            }
            store.delete_request(run_id).await?;
        }
        Ok(())
    }

    pub(super) async fn dry_run(&self, store: &Store, pass: &Pass, deadline: &Deadline) -> Report {
        let lanes = self.lanes.iter().filter(|lane| pass.order.includes(lane.name)).collect();
        let span = info_span!("dry_run", run_id = pass.run_id);
        let lanes = self.run_lanes(store, lanes, pass, None, "", deadline).instrument(span).await;
        self.publish(store, pass, self.close(pass, lanes)).await
    }

    pub(super) fn pass_of(&self, request: &Request, invocation: &Pass) -> Pass {
        Pass {
            invocation_id: invocation.invocation_id.clone(),
            run_id: request.run_id.clone(),
            trigger: Trigger::Manual,
            order: request.order.clone(),
            audits: Audits::Never,
            started_at: self.clock.now(),
            continues: None,
        }
    }
}
