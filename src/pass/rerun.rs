//! Manual reruns: accepted, worked off once, and the dry ones.

use tracing::{Instrument, info_span};

use super::{Ended, Engine, Message, MessageKind, Pass, lane::LanePass};
use crate::{
    clock::Deadline,
    domain::{
        report::{Report, Trigger},
        request::{Order, Request},
    },
    state::{error::StateError, store::Store},
};

impl Engine {
    /// Accepts a manual rerun: it is durable when this returns, and the message only a nudge.
    ///
    /// # Errors
    /// The state cannot be written.
    pub async fn accept(&self, order: Order) -> Result<Message, StateError> {
        let request = Request { run_id: self.new_run_id(), requested_at: self.clock.now(), order };
        let store = (self.open_store)()?;
        store.prepare().await?;
        store.write_request(&request).await?;
        Ok(Message { kind: MessageKind::Request, run_id: request.run_id, continuation_id: None, hop: 0 })
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

    /// Requests for a dry run need no lease, and nobody waits for them.
    pub(super) async fn dry_requests(
        &self,
        store: &Store,
        pass: &Pass,
        deadline: &Deadline,
        ended: &mut Ended,
    ) -> Result<(), StateError> {
        for request in store.requests().await?.into_iter().filter(|request| request.order.dry_run) {
            ended.reports.push(self.dry_run(store, &self.pass_of(&request, pass), deadline).await);
            store.delete_request(&request.run_id).await?;
        }
        Ok(())
    }

    pub(super) async fn dry_run(&self, store: &Store, pass: &Pass, deadline: &Deadline) -> Report {
        let lanes = self.lanes.iter().filter(|lane| pass.order.includes(lane.name));
        let lanes = lanes.map(|lane| LanePass::new(self, lane, pass, None, "", deadline).run(store));
        let span = info_span!("dry_run", run_id = pass.run_id);
        let lanes = futures::future::join_all(lanes).instrument(span).await;
        self.close(store, pass, lanes).await
    }

    pub(super) fn pass_of(&self, request: &Request, invocation: &Pass) -> Pass {
        Pass {
            invocation_id: invocation.invocation_id.clone(),
            run_id: request.run_id.clone(),
            trigger: Trigger::Manual,
            order: request.order.clone(),
            started_at: self.clock.now(),
            continues: None,
        }
    }
}
