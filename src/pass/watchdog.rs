//! The second clock: each pass under the Functions host leaves a message that becomes visible when two ticks of the timer
//! should have come. If no pass ended by then, the message starts one.
//!
//! A message that finds a newer pass ends, because that pass left its own. Chains therefore never multiply: one message
//! comes in, and one goes out at most. Only where the newer pass left none, such as a command's, the message is passed on.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use super::{
    engine::{Ended, Engine},
    work::QueueMessage,
};
use crate::{
    azure::host_queue::{HostQueue, LONGEST_DELAY, QueueError},
    clock::Deadline,
    domain::{
        report::{Report, Trigger, begun_at},
        schedule::Schedule,
    },
    http::retry::{Patience, RetryError, retry},
    signals::Trouble,
    state::{error::StateError, store::Store},
};

/// Between two ticks where the schedule is not told, or in a form that we do not read.
const DAILY: TimeDelta = TimeDelta::days(1);
/// How long a message is kept that nobody fetches, after it became visible.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long the pass's end may wait for the queue.
const LONGEST: Duration = Duration::from_secs(5);
/// The host is told at once whether the message is safe, so this takes no longer.
const PATIENCE: Patience =
    Patience { retries: 3, first_wait: Duration::from_millis(200), longest_wait: Duration::from_secs(1) };

/// What makes up for a timer that does not fire.
pub struct Watchdog {
    pub queue: HostQueue,
    /// When the timer fires, as far as that can be read.
    pub schedule: Option<Schedule>,
    /// The host started this process, and its timer is meant to fire.
    pub is_on: bool,
    /// Whether leaving a message failed last.
    pub trouble: Trouble,
}

/// Why there is a pass that the timer did not start, as its report says.
pub(super) fn why(left_by: &str) -> String {
    let since = begun_at(left_by).map(|at| at.format(" since %Y-%m-%d %H:%M UTC").to_string());
    format!(
        "no pass ended{}, so a watchdog message started this one: the timer does not fire. Restart the function app, and look at the function SyncTimer",
        since.unwrap_or_default()
    )
}

impl Watchdog {
    /// How long after `now` a message is to wake.
    fn delay(&self, now: DateTime<Utc>) -> TimeDelta {
        let two_ticks = self.schedule.as_ref().and_then(|schedule| schedule.two_ticks_after(now));
        let most = i64::try_from(LONGEST_DELAY).map_or(TimeDelta::MAX, TimeDelta::seconds);
        two_ticks.unwrap_or(DAILY * 2).min(most)
    }

    /// Leaves a message for the pass `run_id`; returns when it wakes.
    async fn leave(
        &self,
        run_id: &str,
        now: DateTime<Utc>,
        delay: TimeDelta,
        deadline: &Deadline,
    ) -> Option<DateTime<Utc>> {
        let text = serde_json::to_string(&QueueMessage::watchdog(run_id)).expect("a message is JSON");
        let wait = delay.to_std().unwrap_or_default();
        let attempt = || async {
            let put = deadline.within(self.queue.put(&text, wait, wait + KEPT)).await?;
            put.map(drop).map_err(RetryError::GaveUp)
        };
        let left = retry(PATIENCE, deadline, attempt, |_: &QueueError, _| {}).await;
        let problem = match left {
            Ok(()) => {
                self.trouble.is_over();
                return Some(now + delay);
            }
            Err(RetryError::GaveUp(error)) => error.to_string(),
            Err(RetryError::OutOfTime(out_of_time)) => {
                out_of_time.last_error.unwrap_or_else(|| "it did not answer in time".to_owned())
            }
        };
        if self.trouble.is_new() {
            warn!(
                run_id,
                "no watchdog message could be left, so a timer that dies now is not noticed: {problem}"
            );
        }
        None
    }
}

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
