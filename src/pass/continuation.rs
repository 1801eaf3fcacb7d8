//! What an invocation leaves to be continued, and whether a pause is worth it.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{
    halt::Halt,
    work::{Pass, QueueMessage},
};
use crate::{
    clock::OutOfTime,
    domain::{outcome::End, report::LaneReport},
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

/// Decides whether a pause is worth its message: only if the next pass can do something, because passes would chase one
/// another otherwise. A pause that a service made by asking for a longer wait than there is time, and before which nothing
/// was settled, ends as that service's fault; so does the second in a row that settles nothing. `before` is how many passes
/// in a row settled nothing; the same is returned for the next pass.
pub fn worth_a_continuation(
    worked: Result<(), Halt>,
    is_fruitful: bool,
    before: u32,
    lane: &str,
) -> (u32, Result<(), Halt>) {
    let halt = match worked {
        Err(halt) if halt.is_pause() && !is_fruitful => halt,
        worked => return (0, worked),
    };
    let halt = match halt {
        Halt::OutOfTime(OutOfTime { last_error: Some(reason) }) => Halt::Stalled(reason),
        Halt::Interrupted(reason) if before > 0 => Halt::Stalled(reason),
        _ if before > 0 => Halt::Stalled(format!(
            "two passes in a row could settle nothing in the time they had: raise functionTimeout in host.json, or the rate limit of {lane} if it was lowered"
        )),
        halt => halt,
    };
    (before + 1, Err(halt))
}
