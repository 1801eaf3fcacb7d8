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

use super::{blob::lease::LENGTH, directory::DirectoryLease, error::StateError, home::Home};
use crate::clock::Deadline;

/// An invocation waits this long for the one before it.
pub const LONGEST_WAIT: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_secs(2);
/// A lease is renewed this long after it was asked for last. Three tries that get no answer then fit into its length.
const RENEWAL: Duration = Duration::from_secs(8);
/// How long a try waits for its answer.
const TRY: Duration = Duration::from_secs(6);
/// From a try that failed to the next.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a lease that ran out is asked for again.
const LONGEST_REGAIN: Duration = Duration::from_secs(10);

/// Proof that this pass is the only one. Every function that writes a lane's state asks for it, and only acquiring makes one.
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
    /// Another instance holds the lease.
    lost: AtomicBool,
    /// The lease ran out once, because no renewal was answered in time.
    lapsed: AtomicBool,
    until: Mutex<Instant>,
}

impl Term {
    fn from(asked_at: Instant) -> Self {
        Self {
            lost: AtomicBool::new(false),
            lapsed: AtomicBool::new(false),
            until: Mutex::new(asked_at + LENGTH),
        }
    }

    fn extend(&self, asked_at: Instant) {
        self.note_lapse();
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = asked_at + LENGTH;
    }

    fn lose(&self) {
        self.lost.store(true, Ordering::Relaxed);
        warn!("another instance took over the lease");
    }

    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        Instant::now() >= *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the lease has ever run out.
    fn note_lapse(&self) -> bool {
        if self.is_over() && !self.lapsed.swap(true, Ordering::Relaxed) {
            warn!("the lease ran out: the storage answered no renewal in time");
        }
        self.lapsed.load(Ordering::Relaxed)
    }
}

impl Lease {
    /// Waits up to [`LONGEST_WAIT`], and not beyond the deadline, for the lease; `None` if another instance is
    /// still at work then.
    ///
    /// # Errors
    /// The storage rejects, or does not answer.
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

    /// The lease, if no instance holds it at this moment.
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
                let term = Arc::new(Term::from(asked_at));
                let renewal =
                    tokio::spawn(keep(Arc::clone(home), lease_id.clone(), Arc::clone(&term))).abort_handle();
                Hold::Blob { lease_id, home: Arc::clone(home), term, renewal }
            }
        };
        Ok(Some(Self { hold }))
    }

    /// Whether the pass may begin anything new. It may not once the lease ran out, even if it was regained: the pass
    /// commits what is settled and is continued.
    ///
    /// # Errors
    /// [`StateError::LeaseLost`] when another instance took over, [`StateError::LeaseLapsed`] when the lease ran out.
    pub fn check(&self) -> Result<(), StateError> {
        match &self.hold {
            Hold::Directory { .. } => Ok(()),
            Hold::Blob { term, .. } if term.is_lost() => Err(StateError::LeaseLost),
            Hold::Blob { term, .. } if term.note_lapse() => Err(StateError::LeaseLapsed),
            Hold::Blob { .. } => Ok(()),
        }
    }

    /// `deadline`, and not beyond the time for which the pass may begin anything new: what waited for its place under a
    /// rate limit is not sent either once another instance may be sending under the same limit.
    pub fn bound(&self, deadline: &Deadline) -> Deadline {
        let Hold::Blob { term, .. } = &self.hold else { return deadline.clone() };
        let term = Arc::clone(term);
        deadline.while_permitted(move || !term.is_lost() && !term.note_lapse())
    }

    /// Makes sure that the lease is held, before a write. One that ran out is acquired again, which succeeds unless
    /// another instance took over.
    ///
    /// # Errors
    /// [`StateError::LeaseLost`] when another instance took over; or the storage fails.
    pub async fn hold(&self) -> Result<(), StateError> {
        let Hold::Blob { lease_id, home, term, .. } = &self.hold else { return Ok(()) };
        let Home::Blob(blob) = &**home else { return Ok(()) };
        if term.is_lost() {
            return Err(StateError::LeaseLost);
        }
        if !term.is_over() {
            return Ok(());
        }
        term.note_lapse();
        let asked_at = Instant::now();
        match tokio::time::timeout(LONGEST_REGAIN, blob.regain_lease(lease_id)).await {
            Ok(Ok(())) => {
                term.extend(asked_at);
                Ok(())
            }
            Ok(Err(StateError::LeaseLost)) => {
                term.lose();
                Err(StateError::LeaseLost)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StateError::Unavailable(format!("{} does not give the lease again", blob.place()))),
        }
    }

    /// Gives the lease back. When that does not succeed it runs out by itself.
    pub async fn release(mut self) {
        if let Hold::Blob { lease_id, home, renewal, .. } = &mut self.hold {
            renewal.abort();
            if let Home::Blob(blob) = &**home
                && let Err(error) = blob.release_lease(lease_id).await
            {
                warn!("the lease was not given back and ends by itself within {LENGTH:?}: {error}");
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

/// Renews the lease until it is lost.
async fn keep(home: Arc<Home>, lease_id: String, term: Arc<Term>) {
    let Home::Blob(blob) = &*home else { return };
    let mut next = Instant::now() + RENEWAL;
    loop {
        tokio::time::sleep_until(next).await;
        let asked_at = Instant::now();
        let renewed = tokio::time::timeout(TRY, blob.renew_lease(&lease_id)).await;
        next = match &renewed {
            Ok(Ok(())) => asked_at + RENEWAL,
            _ => Instant::now() + PAUSE,
        };
        match renewed {
            Ok(Ok(())) => term.extend(asked_at),
            // Whether another instance has one that ran out, the next write finds out.
            Ok(Err(StateError::LeaseLost)) if term.note_lapse() => {}
            Ok(Err(StateError::LeaseLost)) => return term.lose(),
            Ok(Err(error)) => warn!("the lease was not renewed: {error}"),
            Err(_) => warn!("the lease was not renewed: the storage did not answer"),
        }
    }
}
