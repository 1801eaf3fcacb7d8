//! What is told to others after a pass: a webhook hears of every change, a collector gets metrics. Neither can make a pass
//! fail, and what fails of it is said once.

pub mod metrics;
mod protobuf;
pub mod webhook;

use std::sync::atomic::{AtomicBool, Ordering};

use self::{metrics::Metrics, webhook::Webhook};

/// Everybody who is told.
#[derive(Default)]
pub struct Signals {
    pub webhook: Option<Webhook>,
    pub metrics: Option<Metrics>,
}

/// Whether something fails for the first time since it went well, in this process.
#[derive(Debug, Default)]
pub struct Trouble(AtomicBool);

impl Trouble {
    /// Notes a failure; true if it is worth a line in the log.
    pub fn is_new(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }

    /// Notes that it went well.
    pub fn is_over(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
