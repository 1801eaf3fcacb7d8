//! How fast requests may go.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::clock::{Deadline, OutOfTime};

/// Timers are no finer than this: a shorter sleep would only come too late.
const GRAIN: Duration = Duration::from_millis(1);
/// The part of the permitted rate that is left unused, because the server counts arrivals and not departures.
const UNUSED: f64 = 0.005;
/// A request may leave so much after its place in the row. A minute that begins with a late request is followed by
/// requests in time, so more than the unused part of a minute would make it hold one too many.
const LATEST: Duration = Duration::from_millis(60_000 / 200);

/// Spaces requests evenly, so that no 60 seconds hold more than the permitted number, wherever one starts to
/// count.
///
/// The first request of a pass waits too, see [`Limiter::take_over`]: passes of several processes, one of them
/// killed perhaps, keep one pace.
#[derive(Debug)]
pub struct Limiter {
    interval: Duration,
    row: Mutex<Row>,
}

#[derive(Debug)]
struct Row {
    /// When the next request may go.
    next: Instant,
    /// Until when the server wants no request at all.
    held_until: Instant,
}

impl Limiter {
    /// # Panics
    /// If `per_minute` is 0; settings reject that.
    pub fn new(per_minute: u32) -> Self {
        assert!(per_minute > 0, "a limit of no requests at all");
        let interval = Duration::from_secs(60).mul_f64(1.0 + UNUSED) / per_minute;
        let now = Instant::now();
        Self { interval, row: Mutex::new(Row { next: now + interval, held_until: now }) }
    }

    /// Waits for the next place in the row.
    ///
    /// # Errors
    /// That place does not come before the deadline; it is left to others.
    pub async fn slot(&self, deadline: &Deadline) -> Result<(), OutOfTime> {
        loop {
            let at = self.reserve(deadline)?;
            if at.saturating_duration_since(Instant::now()) >= GRAIN {
                deadline.sleep_until(at).await?;
            }
            // What the deadline permitted when we began to wait, it may not permit any more.
            deadline.check()?;
            // The server may have asked for a pause while we slept, or we overslept: then take a new place.
            let overslept = at.elapsed() > LATEST;
            if self.lock().held_until <= at && !overslept {
                return Ok(());
            }
        }
    }

    /// Starts a new row: the instance that held the lease before us may have made a request just now.
    pub fn take_over(&self) {
        let mut row = self.lock();
        row.next = row.next.max(Instant::now() + self.interval);
    }

    /// Delays every request until `pause` is over: the server asked for it.
    pub fn pause(&self, pause: Duration) {
        let mut row = self.lock();
        row.held_until = row.held_until.max(Instant::now() + pause);
        row.next = row.next.max(row.held_until);
    }

    /// How long a request that asks now has to wait.
    pub fn wait(&self) -> Duration {
        self.lock().next.saturating_duration_since(Instant::now())
    }

    fn reserve(&self, deadline: &Deadline) -> Result<Instant, OutOfTime> {
        let mut row = self.lock();
        let at = row.next.max(Instant::now());
        if !deadline.fits(at.saturating_duration_since(Instant::now())) {
            return Err(OutOfTime::default());
        }
        row.next = at + self.interval;
        Ok(at)
    }

    fn lock(&self) -> MutexGuard<'_, Row> {
        self.row.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_minute_holds_more_than_the_limit() {
        let limiter = Limiter::new(100);
        let deadline = Deadline::after(Duration::from_secs(600));
        let mut times = Vec::new();
        while limiter.slot(&deadline).await.is_ok() {
            times.push(Instant::now());
        }
        let fullest = times.iter().map(|start| {
            times.iter().filter(|at| *at >= start && **at < *start + Duration::from_secs(60)).count()
        });
        assert_eq!(fullest.max(), Some(100));
        assert!(times.len() >= 980, "{} of 1000 permitted requests were made", times.len());
    }

    /// Its caller was busy elsewhere when the place came.
    #[tokio::test(start_paused = true)]
    async fn a_minute_that_begins_with_a_late_request_holds_no_more() {
        let limiter = Limiter::new(6);
        let deadline = Deadline::after(Duration::from_secs(600));
        let mut times = Vec::new();
        let late = limiter.slot(&deadline);
        tokio::pin!(late);
        assert!(late.as_mut().now_or_never().is_none());
        // It is asked again 8 seconds after its place.
        tokio::time::advance(Duration::from_secs(18)).await;
        late.await.unwrap();
        times.push(Instant::now());
        while limiter.slot(&deadline).await.is_ok() {
            times.push(Instant::now());
        }
        let first = times.iter().filter(|at| **at < times[0] + Duration::from_secs(60)).count();
        assert!(first <= 6, "{first} in the first minute");
    }

    #[tokio::test(start_paused = true)]
    async fn what_waited_is_not_sent_once_it_is_no_longer_permitted() {
        let limiter = Limiter::new(6);
        let end = Instant::now() + Duration::from_secs(5);
        let deadline =
            Deadline::after(Duration::from_secs(600)).while_permitted(move || Instant::now() < end);
        assert_eq!(limiter.slot(&deadline).await, Err(OutOfTime::default()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_for_those_who_wait_already() {
        let limiter = Limiter::new(60);
        let deadline = Deadline::after(Duration::from_secs(600));
        let start = Instant::now();
        let held = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            limiter.pause(Duration::from_secs(30));
        };
        let (slot, ()) = tokio::join!(limiter.slot(&deadline), held);
        assert_eq!(slot, Ok(()));
        assert!(start.elapsed() >= Duration::from_millis(30_500));
    }

    /// Places that lie closer together than timers can tell are taken all the same.
    #[tokio::test]
    async fn a_limit_finer_than_timers_does_not_stand_still() {
        let limiter = Limiter::new(1_000_000);
        let deadline = Deadline::after(Duration::from_secs(60));
        let slots = async {
            for _ in 0..2000 {
                limiter.slot(&deadline).await?;
            }
            Ok(())
        };
        assert_eq!(tokio::time::timeout(Duration::from_secs(30), slots).await, Ok(Ok::<_, OutOfTime>(())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_does_not_fit_is_not_begun() {
        let limiter = Limiter::new(1);
        let start = Instant::now();
        assert_eq!(limiter.slot(&Deadline::after(Duration::from_secs(10))).await, Err(OutOfTime::default()));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
