//! Time from outside: what o'clock it is, and how long a pass may go on.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::{sync::watch, time::Instant};

/// What o'clock it is. Only for timestamps that leave the process or are compared with such; every wait is
/// measured on tokio's clock instead, because a wall clock jumps.
pub trait Clock: Send + Sync {
    fn now(&self) -> DateTime<Utc>;
}

/// Handle on the clock a pass lives by.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one home of the wall clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// The wait asked for does not fit before the deadline, or the process was told to stop: pause instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no time left in this pass")]
pub struct OutOfTime;

/// When a pass must have paused, and whether it was told to stop earlier. Made once per invocation and handed
/// down to the last sleep: no wait is begun that does not fit.
#[derive(Clone)]
pub struct Deadline {
    at: Option<Instant>,
    stop: watch::Receiver<bool>,
}

impl Deadline {
    /// A deadline `limit` from now; none for a run nobody will cut off. `stop` becomes true when the process is
    /// asked to end.
    pub fn new(limit: Option<Duration>, stop: watch::Receiver<bool>) -> Self {
        Self { at: limit.map(|limit| Instant::now() + limit), stop }
    }

    /// A deadline `limit` from now that nothing brings forward.
    pub fn after(limit: Duration) -> Self {
        Self::new(Some(limit), watch::channel(false).1)
    }

    /// The same stop signal, without a limit in time.
    pub fn unlimited(stop: watch::Receiver<bool>) -> Self {
        Self::new(None, stop)
    }

    /// Whether something that takes `duration` can still be begun.
    pub fn fits(&self, duration: Duration) -> bool {
        !*self.stop.borrow() && self.at.is_none_or(|at| Instant::now() + duration <= at)
    }

    /// Errors when no time is left at all.
    pub fn check(&self) -> Result<(), OutOfTime> {
        if self.fits(Duration::ZERO) { Ok(()) } else { Err(OutOfTime) }
    }

    /// Sleeps for `duration` if that fits; wakes early, with the error, when told to stop.
    pub async fn sleep(&self, duration: Duration) -> Result<(), OutOfTime> {
        if !self.fits(duration) {
            return Err(OutOfTime);
        }
        let mut stop = self.stop.clone();
        tokio::select! {
            () = tokio::time::sleep(duration) => Ok(()),
            // A sender that is gone can no longer ask anything: then only the sleep counts.
            Ok(_) = stop.wait_for(|stop| *stop) => Err(OutOfTime),
        }
    }

    /// Sleeps until `instant` under the same rule.
    pub async fn sleep_until(&self, instant: Instant) -> Result<(), OutOfTime> {
        self.sleep(instant.saturating_duration_since(Instant::now())).await
    }
}
