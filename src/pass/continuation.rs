//! What an invocation leaves to be continued, and which lanes a message continues.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{
    Engine, Lane, Pass,
    lane::LaneEnd,
    message::{Message, MessageKind},
};
use crate::{
    domain::outcome::End,
    state::{error::StateError, store::Store},
};

/// A chain of continuations ends here: at ten minutes each that is more than a day, and whatever is left then
/// is left to the timer.
pub(super) const MOST_HOPS: u32 = 150;

/// Which lanes are to be continued when an invocation ends. It has one continuation for all its passes: one for each
/// would overwrite the other's.
pub(super) struct Continuation {
    pub id: String,
    lanes: BTreeSet<&'static str>,
    /// The first pass of the chain.
    origin: Option<String>,
    hop: u32,
    /// The chain is as long as it may be.
    pub is_cut_off: bool,
}

impl Continuation {
    pub fn new() -> Self {
        let id = Uuid::new_v4().to_string();
        Self { id, lanes: BTreeSet::new(), origin: None, hop: 0, is_cut_off: false }
    }

    /// Takes in how a pass ended: what paused waits, and what ended otherwise waits no longer.
    pub fn take(&mut self, pass: &Pass, lanes: &[(&'static str, LaneEnd)]) {
        let hop = pass.hop() + 1;
        for (name, lane) in lanes {
            if lane.report.end == End::Paused && hop <= MOST_HOPS {
                self.lanes.insert(name);
                self.origin.get_or_insert_with(|| pass.origin().to_owned());
                self.hop = self.hop.max(hop);
            } else {
                self.lanes.remove(name);
                self.is_cut_off |= lane.report.end == End::Paused;
            }
        }
    }

    /// The message that continues them, if any wait.
    pub fn message(self) -> Option<Message> {
        let run_id = self.origin.filter(|_| !self.lanes.is_empty())?;
        Some(Message { kind: MessageKind::Continue, run_id, continuation_id: Some(self.id), hop: self.hop })
    }
}

impl Engine {
    /// The lanes of a pass: those it was ordered for, or those that wait for this continuation.
    pub(super) async fn take_part(&self, store: &Store, pass: &Pass) -> Vec<&Lane> {
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

    async fn waits_for(&self, store: &Store, lane: &Lane, message: &Message) -> Result<bool, StateError> {
        let progress = store.progress(lane.name).await?;
        Ok(message.continuation_id.is_some()
            && progress.is_some_and(|progress| progress.continuation_id == message.continuation_id))
    }

    /// Whether a message still has something to do: duplicates and stale ones do not, so chains never multiply.
    pub(super) async fn is_current(&self, store: &Store, message: &Message) -> Result<bool, StateError> {
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
        }
    }
}
