//! What a pass does about its watchdog message: leaves it, and later judges whether it is to start another pass.

use chrono::{DateTime, TimeDelta, Utc};
use tracing::info;

use super::{
    engine::{Ended, Engine},
    watchdog::LONGEST,
    work::QueueMessage,
};
use crate::{
    clock::Deadline,
    domain::report::{Report, Trigger},
    state::{error::StateError, store::Store},
};

impl Engine {
    /// Leaves the message that wakes when two ticks should have come after the pass of `report`; returns when that is.
    pub(super) async fn leave_watchdog(&self, report: &Report, deadline: &Deadline) -> Option<DateTime<Utc>> {
        let watchdog = self.watchdog.as_ref().filter(|watchdog| watchdog.is_on)?;
        // A command is a person's, and who was overtaken leaves it to the other.
        if report.trigger == Trigger::Cli || !report.is_of_a_whole_pass() {
            return None;
        }
        let now = self.clock.now();
        let deadline = Deadline::after(deadline.spare(LONGEST));
        watchdog.leave(&report.run_id, now, watchdog.delay(now), &deadline).await
    }

    /// Whether a watchdog message is to start a pass: none ended since the one that left it.
    pub(super) async fn has_cause(
        &self,
        store: &Store,
        message: &QueueMessage,
        ended: &mut Ended,
    ) -> Result<bool, StateError> {
        let Some(watchdog) = self.watchdog.as_ref().filter(|watchdog| watchdog.is_on) else {
            info!("the timer is not meant to fire, so its watchdog does not watch");
            return Ok(false);
        };
        let Some(mut newer) = store.ended_since(&message.run_id).await? else { return Ok(true) };
        if newer.watchdog.is_some() {
            return Ok(false);
        }
        // It left no message itself, so this one goes on in its name.
        let now = self.clock.now();
        let left = newer.ended_at + watchdog.delay(newer.ended_at) - now;
        if left <= TimeDelta::zero() {
            return Ok(true);
        }
        let deadline = Deadline::after(LONGEST);
        newer.watchdog = watchdog.leave(&newer.run_id, now, left.min(watchdog.delay(now)), &deadline).await;
        match newer.watchdog {
            // A second message finds that this one goes on.
            Some(_) => store.write_report(&newer).await?,
            // The host is to deliver it again.
            None => ended.chain_failed = true,
        }
        Ok(false)
    }

    /// Leaves a watchdog message of the pass `left_by` once more. False if that failed: the host is to deliver it again.
    pub(super) async fn pass_on(&self, left_by: &str) -> bool {
        let Some(watchdog) = &self.watchdog else { return true };
        info!("another pass is at work, so a watchdog message of {left_by} is left once more");
        let now = self.clock.now();
        let deadline = Deadline::after(LONGEST);
        watchdog.leave(left_by, now, watchdog.delay(now), &deadline).await.is_some()
    }
}
