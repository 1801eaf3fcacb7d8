//! When a request is made again: the longer of our own backoff and what the server asks for, as long as the
//! wait fits before the deadline and the tries are not used up.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use crate::clock::{Deadline, OutOfTime};

/// A server that asks for a longer wait than this is not asked again in this pass: going on at once in another one, which
/// is what running out of time means, would be the opposite of waiting.
pub const LONGEST_ASKED: Duration = Duration::from_secs(5 * 60);

/// What a retry loop needs to know of an error.
pub trait Transient {
    /// Whether the same request may go well a little later.
    fn is_transient(&self) -> bool;

    /// How long the other side asks us to wait.
    fn retry_after(&self) -> Option<Duration>;
}

/// How often and how patiently a request is made again.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Tries after the first.
    pub retries: usize,
    /// Before the first retry; doubles with each, plus jitter of up to the same length.
    pub first_wait: Duration,
    pub longest_wait: Duration,
}

impl Patience {
    /// For a service on the internet: about four minutes before it counts as down.
    pub const SERVICE: Self =
        Self { retries: 7, first_wait: Duration::from_secs(1), longest_wait: Duration::from_secs(60) };
    /// For our own storage: it is back within seconds, or a pass cannot go on.
    pub const STORAGE: Self =
        Self { retries: 5, first_wait: Duration::from_millis(200), longest_wait: Duration::from_secs(5) };

    fn waits(self) -> impl Iterator<Item = Duration> {
        ExponentialBuilder::default()
            .with_min_delay(self.first_wait)
            .with_max_delay(self.longest_wait)
            .with_max_times(self.retries)
            .with_jitter()
            .build()
    }
}

/// Why no try succeeded.
#[derive(Clone, Debug)]
pub enum RetryError<E> {
    /// Trying again would not help, or was tried often enough: the last try's error.
    GaveUp(E),
    /// The next wait, or the try itself, does not fit before the deadline.
    OutOfTime(OutOfTime),
}

impl<E> From<OutOfTime> for RetryError<E> {
    fn from(out_of_time: OutOfTime) -> Self {
        Self::OutOfTime(out_of_time)
    }
}

impl<E> RetryError<E> {
    /// The same with another error.
    pub fn map<F>(self, other: impl FnOnce(E) -> F) -> RetryError<F> {
        match self {
            Self::GaveUp(error) => RetryError::GaveUp(other(error)),
            Self::OutOfTime(out_of_time) => RetryError::OutOfTime(out_of_time),
        }
    }
}

/// Repeats `attempt` until it succeeds; `on_retry` is called with every failure that is tried again. An attempt that fails
/// says so with [`RetryError::GaveUp`], and whether it is worth another one is decided here.
///
/// # Errors
/// See [`RetryError`].
pub async fn retry<T, E, F>(
    patience: Patience,
    deadline: &Deadline,
    mut attempt: impl FnMut() -> F,
    mut on_retry: impl FnMut(&E, Duration),
) -> Result<T, RetryError<E>>
where
    E: Transient + ToString,
    F: Future<Output = Result<T, RetryError<E>>>,
{
    let mut waits = patience.waits();
    let mut failed_before = None;
    loop {
        let error = match attempt().await {
            Err(RetryError::GaveUp(error)) => error,
            // The try that was cut off says nothing itself; what the one before it met is why there is no time left.
            Err(RetryError::OutOfTime(OutOfTime { last_error })) => {
                return Err(OutOfTime { last_error: last_error.or(failed_before) }.into());
            }
            ended => return ended,
        };
        if !error.is_transient() {
            return Err(RetryError::GaveUp(error));
        }
        let Some(wait) = waits.next() else { return Err(RetryError::GaveUp(error)) };
        let asked = error.retry_after().unwrap_or_default();
        // Give up if the server asks for more than this.
        if asked > LONGEST_ASKED {
            return Err(RetryError::GaveUp(error));
        }
        let wait = wait.max(asked);
        on_retry(&error, wait);
        failed_before = Some(error.to_string());
        if deadline.sleep(wait).await.is_err() {
            return Err(OutOfTime { last_error: failed_before }.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits() -> Vec<Duration> {
        Patience::SERVICE.waits().collect()
    }

    /// A thread is seeded by itself, as a process is.
    fn of_a_new_thread() -> Vec<Duration> {
        std::thread::spawn(waits).join().unwrap()
    }

    #[derive(Debug)]
    struct Down;

    impl std::fmt::Display for Down {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("it is down")
        }
    }

    impl Transient for Down {
        fn is_transient(&self) -> bool {
            true
        }

        fn retry_after(&self) -> Option<Duration> {
            None
        }
    }

    /// A service that answers no request: whether the deadline falls into a wait or into a request is chance.
    #[tokio::test(start_paused = true)]
    async fn a_try_that_is_cut_off_tells_what_the_one_before_it_met() {
        for limit in [45, 90] {
            let deadline = Deadline::after(Duration::from_secs(limit));
            let attempt = || async {
                let silence = tokio::time::sleep(Duration::from_secs(40));
                deadline.within(silence).await?;
                Err::<(), _>(RetryError::GaveUp(Down))
            };
            let ended = retry(Patience::SERVICE, &deadline, attempt, |_, _| {}).await;
            let Err(RetryError::OutOfTime(out_of_time)) = ended else { panic!("{ended:?}") };
            assert_eq!(out_of_time.last_error.as_deref(), Some("it is down"), "{limit}");
        }
    }

    /// Instances that failed together must not come back together.
    #[test]
    fn every_process_waits_in_its_own_rhythm_and_a_seed_repeats_it() {
        let waits_of_others: std::collections::BTreeSet<_> = (0..8).map(|_| of_a_new_thread()).collect();
        assert_eq!(waits_of_others.len(), 8, "{waits_of_others:?}");
        assert_ne!(waits(), waits());
        fastrand::seed(7);
        let first = (waits(), waits());
        fastrand::seed(7);
        assert_eq!((waits(), waits()), first);
    }
}
