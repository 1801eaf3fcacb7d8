//! Live progress counters for the command line.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use crate::domain::window::Window;

/// Written by a pass, read by a progress bar.
#[derive(Debug, Default)]
pub struct Gauge {
    read: AtomicU64,
    sent: AtomicU64,
    window: Mutex<Option<Window>>,
}

impl Gauge {
    pub fn read(&self, records: u64) {
        self.read.fetch_add(records, Ordering::Relaxed);
    }

    pub fn sent(&self, records: u64) {
        self.sent.fetch_add(records, Ordering::Relaxed);
    }

    pub fn enter(&self, window: Window) {
        *self.window.lock().unwrap_or_else(PoisonError::into_inner) = Some(window);
    }

    /// Records read and sent so far, and the window being read.
    pub fn look(&self) -> (u64, u64, Option<Window>) {
        let window = *self.window.lock().unwrap_or_else(PoisonError::into_inner);
        (self.read.load(Ordering::Relaxed), self.sent.load(Ordering::Relaxed), window)
    }
}
