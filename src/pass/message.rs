//! What makes a pass run.

use serde::{Deserialize, Serialize};

use crate::domain::request::Order;

/// What an invocation is for.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    Timer,
    Command(Order),
    /// A message of our own from the queue.
    Message(Message),
}

/// What travels through the queue: a nudge and no state, because messages are lost and delivered twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub kind: MessageKind,
    /// The request, or the pass that is continued.
    pub run_id: String,
    /// Must be the one in `progress.json`, or the message is stale.
    #[serde(default)]
    pub continuation_id: Option<String>,
    #[serde(default)]
    pub hop: u32,
}

impl Message {
    /// The nudge for a request that waits.
    pub(super) fn for_request(run_id: &str) -> Self {
        Self { kind: MessageKind::Request, run_id: run_id.to_owned(), continuation_id: None, hop: 0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// There is a request to work off.
    Request,
    /// A pass paused and wants to go on.
    Continue,
}
