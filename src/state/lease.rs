//! The right to write: one pass at a time.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{task::AbortHandle, time::Instant};
use tracing::warn;

use super::{blob::LEASE_SECONDS, directory::DirectoryLease, error::StateError, home::Home};
use crate::clock::Deadline;

/// An invocation waits this long for the one before it.
pub const LONGEST_WAIT: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_secs(2);
const RENEWAL: Duration = Duration::from_secs(10);

/// Proof that this pass is the only one. Whoever writes a lane's state asks for it; nobody else can make one.
pub struct Lease {
    hold: Hold,
}

enum Hold {
    /// The operating system keeps it as long as the file is open.
    Directory {
        _lock: DirectoryLease,
    },
    Blob {
        lease_id: String,
        home: Arc<Home>,
        term: Arc<Term>,
        renewal: AbortHandle,
    },
}

/// How long a blob lease is certainly ours.
struct Term {
    lost: AtomicBool,
    until: Mutex<Instant>,
}

impl Term {
    fn extend(&self, asked_at: Instant) {
        let length = Duration::from_secs(LEASE_SECONDS.unsigned_abs().into());
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = asked_at + length;
    }

    fn is_over(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
            || Instant::now() >= *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// Waits up to [`LONGEST_WAIT`], and not beyond the deadline, for the lease; `None` when somebody else is
    /// still at work then.
    ///
    /// # Errors
    /// The storage refuses, or does not answer.
    pub async fn acquire(
        home: &Arc<Home>,
        run_id: &str,
        deadline: &Deadline,
    ) -> Result<Option<Self>, StateError> {
        let patience = Instant::now() + LONGEST_WAIT;
        loop {
            if let Some(lease) = Self::try_acquire(home, run_id).await? {
                return Ok(Some(lease));
            }
            if Instant::now() + POLL > patience || deadline.sleep(POLL).await.is_err() {
                return Ok(None);
            }
        }
    }

    /// The lease, if nobody holds it at this moment.
    ///
    /// # Errors
    /// As [`Lease::acquire`].
    pub async fn try_acquire(home: &Arc<Home>, run_id: &str) -> Result<Option<Self>, StateError> {
        let hold = match &**home {
            Home::Directory(directory) => {
                let Some(lock) = directory.try_lease(run_id)? else { return Ok(None) };
                Hold::Directory { _lock: lock }
            }
            Home::Blob(blob) => {
                let asked_at = Instant::now();
                let Some(lease_id) = blob.try_lease(run_id).await? else { return Ok(None) };
                let term = Arc::new(Term { lost: AtomicBool::new(false), until: Mutex::new(asked_at) });
                term.extend(asked_at);
                let renewal =
                    tokio::spawn(keep(Arc::clone(home), lease_id.clone(), Arc::clone(&term))).abort_handle();
                Hold::Blob { lease_id, home: Arc::clone(home), term, renewal }
            }
        };
        Ok(Some(Self { hold }))
    }

    /// # Errors
    /// [`StateError::LeaseLost`] once the lease may be somebody else's.
    pub fn check(&self) -> Result<(), StateError> {
        match &self.hold {
            Hold::Directory { .. } => Ok(()),
            Hold::Blob { term, .. } if term.is_over() => Err(StateError::LeaseLost),
            Hold::Blob { .. } => Ok(()),
        }
    }

    /// Gives the lease back. When that does not succeed it runs out by itself.
    pub async fn release(mut self) {
        if let Hold::Blob { lease_id, home, renewal, .. } = &mut self.hold {
            renewal.abort();
            if let Home::Blob(blob) = &**home
                && let Err(error) = blob.release_lease(lease_id).await
            {
                warn!("the lease was not given back and ends by itself within {LEASE_SECONDS} s: {error}");
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Hold::Blob { renewal, .. } = &self.hold {
            renewal.abort();
        }
    }
}

/// Renews the lease until it is lost. A renewal that fails otherwise is tried again at the next turn; three fit
/// into the lease's length.
async fn keep(home: Arc<Home>, lease_id: String, term: Arc<Term>) {
    let Home::Blob(blob) = &*home else { return };
    loop {
        tokio::time::sleep(RENEWAL).await;
        let asked_at = Instant::now();
        match tokio::time::timeout(RENEWAL, blob.renew_lease(&lease_id)).await {
            Ok(Ok(())) => term.extend(asked_at),
            Ok(Err(StateError::LeaseLost)) => {
                term.lost.store(true, Ordering::Relaxed);
                warn!("another instance took over the lease");
                return;
            }
            Ok(Err(error)) => warn!("the lease was not renewed: {error}"),
            Err(_) => warn!("the lease was not renewed: the storage did not answer"),
        }
    }
}
