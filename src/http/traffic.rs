//! Requests as they are made, counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// What it took to deliver, counted while uploads run side by side.
#[derive(Debug, Default)]
pub struct Traffic {
    requests: AtomicU64,
    throttled: AtomicU64,
    retried: AtomicU64,
    bytes: AtomicU64,
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

    /// A request with so many bytes was answered.
    pub fn delivered(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes of the requests that were answered, uncompressed.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Requests made; of them throttled; and made again.
    pub fn numbers(&self) -> [u64; 3] {
        [&self.requests, &self.throttled, &self.retried].map(|number| number.load(Ordering::Relaxed))
    }
}
