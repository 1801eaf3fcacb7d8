//! What an invocation leaves to be continued.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::work::{Pass, QueueMessage};
use crate::domain::{outcome::End, report::LaneReport};

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
    pub fn take(&mut self, pass: &Pass, lanes: &[(&'static str, LaneReport)]) {
        let hop = pass.hop() + 1;
        for (name, lane) in lanes {
            if lane.end == End::Paused && hop <= MOST_HOPS {
                self.lanes.insert(name);
                self.origin.get_or_insert_with(|| pass.origin().to_owned());
                self.hop = self.hop.max(hop);
            } else {
                self.lanes.remove(name);
                self.is_cut_off |= lane.end == End::Paused;
            }
        }
    }

    /// The message that continues them, if any wait.
    pub fn message(self) -> Option<QueueMessage> {
        let run_id = self.origin.filter(|_| !self.lanes.is_empty())?;
        Some(QueueMessage::to_continue(run_id, self.id, self.hop))
    }
}
