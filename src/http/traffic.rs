//! Requests as they are made, counted.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::outcome::Counts;

/// What it took to deliver, counted while uploads run side by side.
#[derive(Debug, Default)]
pub struct Traffic {
    requests: AtomicU64,
    throttled: AtomicU64,
    retried: AtomicU64,
}

impl Traffic {
    pub fn requested(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub fn throttled(&self) {
        self.throttled.fetch_add(1, Ordering::Relaxed);
    }

    pub fn retried(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes the numbers into `counts`.
    pub fn report(&self, counts: &mut Counts) {
        counts.requests = self.requests.load(Ordering::Relaxed);
        counts.throttled = self.throttled.load(Ordering::Relaxed);
        counts.retried = self.retried.load(Ordering::Relaxed);
    }
}
