//! Wall-clock time and invocation deadlines.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::{sync::watch, time::Instant};

/// Wall-clock time. Only for timestamps that leave the process or are compared with such; every wait is
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

/// The wait asked for does not fit before the deadline, or the process was told to stop: pause instead. Every error that
/// can mean this carries this one type.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("no time left in this pass")]
pub struct OutOfTime {
    /// The error of the last try, if one failed.
    pub last_error: Option<String>,
}

/// What is under way when the process is told to stop may go on for this long.
const STOPPING: Duration = Duration::from_secs(5);

/// When a pass must have paused, and whether it was told to stop earlier. Made once per invocation and handed
/// down to the last sleep: no wait is begun that does not fit.
#[derive(Clone)]
pub struct Deadline {
    /// Nothing new is begun after this.
    at: Option<Instant>,
    /// What is under way is given up then, to leave time to commit.
    given_up_at: Option<Instant>,
    /// The invocation must be answered by then, whatever is left undone.
    answered_at: Option<Instant>,
    stop: watch::Receiver<bool>,
    /// Nothing new is begun once it says no.
    permission: Option<Permission>,
}

/// Says whether anything new may still be begun, whatever time is left.
type Permission = Arc<dyn Fn() -> bool + Send + Sync>;

impl Deadline {
    /// The deadline of an invocation that the host cuts off `limit` from now: a margin of a tenth, 30 s at most,
    /// is kept for committing and answering: a third of it for what is under way, the last sixth for the answer
    /// alone. `stop` becomes true when the process is asked to end.
    pub fn for_invocation(limit: Duration, stop: watch::Receiver<bool>) -> Self {
        let margin = (limit / 10).min(Duration::from_secs(30));
        let at = Instant::now() + (limit - margin);
        Self {
            at: Some(at),
            given_up_at: Some(at + margin / 3),
            answered_at: Some(at + margin * 5 / 6),
            stop,
            permission: None,
        }
    }

    /// A deadline `limit` from now that nothing brings forward.
    pub fn after(limit: Duration) -> Self {
        let at = Instant::now() + limit;
        Self {
            at: Some(at),
            given_up_at: Some(at),
            answered_at: None,
            stop: watch::channel(false).1,
            permission: None,
        }
    }

    /// The stop signal alone, for a run without a time limit.
    pub fn unlimited(stop: watch::Receiver<bool>) -> Self {
        Self { at: None, given_up_at: None, answered_at: None, stop, permission: None }
    }

    /// The same deadline, which also ends as soon as `permission` says no.
    pub fn while_permitted(&self, permission: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { permission: Some(Arc::new(permission)), ..self.clone() }
    }

    /// The same deadline, but at most `limit` from now, for what is not worth more time.
    pub fn at_most(&self, limit: Duration) -> Self {
        let at = Instant::now() + limit;
        let earlier = |deadline: Option<Instant>| Some(deadline.map_or(at, |deadline| deadline.min(at)));
        Self { at: earlier(self.at), given_up_at: earlier(self.given_up_at), ..self.clone() }
    }

    /// Whether something that takes `duration` can still be begun.
    pub fn fits(&self, duration: Duration) -> bool {
        let is_permitted = self.permission.as_ref().is_none_or(|permission| permission());
        is_permitted && !*self.stop.borrow() && self.at.is_none_or(|at| Instant::now() + duration <= at)
    }

    /// Whether the run was told to stop.
    pub fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// How long there is until nothing new is begun; `None` if the run has no time limit.
    pub fn left(&self) -> Option<Duration> {
        self.at.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// How long what comes after a pass may take, at most `longest`: the answer must not wait for it.
    pub fn spare(&self, longest: Duration) -> Duration {
        const STOPPED: Duration = Duration::from_secs(1);
        if *self.stop.borrow() {
            return longest.min(STOPPED);
        }
        let left = self.answered_at.map(|at| at.saturating_duration_since(Instant::now()) / 2);
        left.map_or(longest, |left| left.min(longest))
    }

    /// Errors when no time is left at all.
    pub fn check(&self) -> Result<(), OutOfTime> {
        if self.fits(Duration::ZERO) { Ok(()) } else { Err(OutOfTime::default()) }
    }

    /// Sleeps for `duration` if that fits; wakes early, with the error, when told to stop.
    pub async fn sleep(&self, duration: Duration) -> Result<(), OutOfTime> {
        if !self.fits(duration) {
            return Err(OutOfTime::default());
        }
        let mut stop = self.stop.clone();
        tokio::select! {
            () = tokio::time::sleep(duration) => Ok(()),
            // A sender that is gone can no longer ask anything: then only the sleep counts.
            Ok(_) = stop.wait_for(|stop| *stop) => Err(OutOfTime::default()),
        }
    }

    /// Sleeps until `instant` under the same rule.
    pub async fn sleep_until(&self, instant: Instant) -> Result<(), OutOfTime> {
        self.sleep(instant.saturating_duration_since(Instant::now())).await
    }

    /// Lets `invocation` finish unless it must be answered before.
    ///
    /// # Errors
    /// It was dropped where it stood, which is safe at any moment.
    pub async fn in_time<F: Future>(&self, invocation: F) -> Result<F::Output, OutOfTime> {
        match self.answered_at {
            Some(at) => tokio::time::timeout_at(at, invocation).await.map_err(|_| OutOfTime::default()),
            None => Ok(invocation.await),
        }
    }

    /// Lets `work` finish unless the time for what is under way runs out.
    ///
    /// # Errors
    /// It did; the work was dropped where it stood.
    pub async fn within<F: Future>(&self, work: F) -> Result<F::Output, OutOfTime> {
        let mut stop = self.stop.clone();
        let stopped = async {
            let told = stop.wait_for(|stop| *stop).await.is_ok();
            if told {
                tokio::time::sleep(STOPPING).await;
            } else {
                std::future::pending().await
            }
        };
        let over = async {
            match self.given_up_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            output = work => Ok(output),
            () = over => Err(OutOfTime::default()),
            () = stopped => Err(OutOfTime::default()),
        }
    }
}
