//! What starts a pass: a timer, a command, or a message of the queue, which is made here alone.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::{report::Trigger, request::RunOptions};

/// What an invocation is for.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    Timer,
    Command(RunOptions),
    /// A command: every lane's pass, then its audit, and the repair of what that finds.
    Repair,
    /// A message of our own from the queue.
    QueueMessage(QueueMessage),
}

/// What travels through the queue: a nudge and no state, because messages are lost and delivered twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueMessage {
    pub kind: MessageKind,
    /// The request, the pass that is continued, or the one that left a watchdog message.
    pub run_id: String,
    /// Must be the one in `progress.json`, or the message is stale.
    #[serde(default)]
    pub continuation_id: Option<String>,
    #[serde(default)]
    pub hop: u32,
}

impl QueueMessage {
    /// The nudge for a request that waits.
    pub(super) fn for_request(run_id: &str) -> Self {
        Self { kind: MessageKind::Request, run_id: run_id.to_owned(), continuation_id: None, hop: 0 }
    }

    /// Wakes when two ticks of the timer should have come after the pass `run_id`.
    pub fn watchdog(run_id: &str) -> Self {
        Self { kind: MessageKind::Watchdog, run_id: run_id.to_owned(), continuation_id: None, hop: 0 }
    }

    /// Continues the chain of passes that `run_id` began.
    pub(super) fn to_continue(run_id: String, continuation_id: String, hop: u32) -> Self {
        Self { kind: MessageKind::Continue, run_id, continuation_id: Some(continuation_id), hop }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// A request waits to be run.
    Request,
    /// A pass paused and wants to go on.
    Continue,
    /// A pass ended some time ago, and one should have ended since.
    Watchdog,
}

/// Whether a pass compares what the destinations show with the manifests, once everything is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audits {
    Never,
    /// If the last one is long enough ago.
    WhenDue,
    /// And repairs what is amiss.
    Repair,
}

/// One pass of an invocation.
pub(super) struct Pass {
    pub run_id: String,
    pub trigger: Trigger,
    pub order: RunOptions,
    pub audits: Audits,
    pub started_at: DateTime<Utc>,
    /// The host's id of the invocation.
    pub invocation_id: Option<String>,
    /// The pass that began the chain, and which lanes take part in it.
    pub continues: Option<QueueMessage>,
}

impl Pass {
    /// How many passes went before in its chain.
    pub fn hop(&self) -> u32 {
        self.continues.as_ref().map_or(0, |message| message.hop)
    }

    /// The first pass of its chain.
    pub fn origin(&self) -> &str {
        self.continued().map_or(&self.run_id, |message| &message.run_id)
    }

    /// The message by which it continues others.
    pub fn continued(&self) -> Option<&QueueMessage> {
        self.continues.as_ref().filter(|message| message.kind == MessageKind::Continue)
    }
}
