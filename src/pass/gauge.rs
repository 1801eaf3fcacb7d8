//! Live progress for the command line.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{domain::window::Window, state::object::Holder};

/// Written by a pass, read by a progress bar. Each lane reads the source for itself, so lanes are not added up.
#[derive(Debug, Default)]
pub struct Gauge(Mutex<Stand>);

/// Where an invocation stands.
#[derive(Clone, Debug, Default)]
pub struct Stand {
    /// The pass that is waited for.
    pub waits_for: Option<Holder>,
    pub lanes: BTreeMap<&'static str, LaneStand>,
}

/// Where a lane stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct LaneStand {
    /// Records read and sent so far.
    pub read: u64,
    pub sent: u64,
    /// The window being read.
    pub window: Option<Window>,
}

impl Gauge {
    pub fn read(&self, lane: &'static str, records: u64) {
        self.stand().lanes.entry(lane).or_default().read += records;
    }

    pub fn sent(&self, lane: &'static str, records: u64) {
        self.stand().lanes.entry(lane).or_default().sent += records;
    }

    pub fn enter(&self, lane: &'static str, window: Window) {
        self.stand().lanes.entry(lane).or_default().window = Some(window);
    }

    /// Notes which pass is waited for; `None` once none is.
    pub fn wait_for(&self, holder: Option<Holder>) {
        self.stand().waits_for = holder;
    }

    pub fn look(&self) -> Stand {
        self.stand().clone()
    }

    fn stand(&self) -> MutexGuard<'_, Stand> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
