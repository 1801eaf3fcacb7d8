//! Which lanes a pass has, and whether a message of the queue still has something to do.

use super::{
    Lane,
    engine::{Ended, Engine},
    work::{MessageKind, Pass, QueueMessage},
};
use crate::state::{error::StateError, store::Store};

impl Engine {
    /// The lanes of a pass: those it was ordered for, or those that wait for this continuation.
    pub(super) async fn lanes_of(&self, store: &Store, pass: &Pass) -> Vec<&Lane> {
        let mut lanes = Vec::new();
        for lane in self.lanes.iter().filter(|lane| pass.order.includes(lane.name)) {
            let waits = match &pass.continues {
                Some(message) if message.kind == MessageKind::Continue => {
                    self.waits_for(store, lane, message).await.unwrap_or(true)
                }
                _ => true,
            };
            if waits {
                lanes.push(lane);
            }
        }
        lanes
    }

    async fn waits_for(
        &self,
        store: &Store,
        lane: &Lane,
        message: &QueueMessage,
    ) -> Result<bool, StateError> {
        let progress = store.progress(lane.name).await?;
        Ok(message.continuation_id.is_some()
            && progress.is_some_and(|progress| progress.continuation_id == message.continuation_id))
    }

    /// Whether a message still has something to do: duplicates and stale ones do not, so chains never multiply.
    pub(super) async fn is_current(
        &self,
        store: &Store,
        message: &QueueMessage,
        ended: &mut Ended,
    ) -> Result<bool, StateError> {
        match message.kind {
            MessageKind::Request => {
                let found = store.request(&message.run_id).await?.and_then(|found| self.usable(found).ok());
                Ok(found.is_some_and(|request| !request.order.dry_run))
            }
            MessageKind::Continue => {
                for lane in &self.lanes {
                    if self.waits_for(store, lane, message).await? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            MessageKind::Watchdog => self.has_cause(store, message, ended).await,
        }
    }
}
