//! What a lane works with during a pass, and never changes.

use chrono::{DateTime, Utc};

use super::{Lane, gauge::Gauge, work::Pass};
use crate::{
    clock::{Deadline, SharedClock},
    domain::policy::Policy,
    source::Source,
    state::{lease::Lease, store::Store},
};

/// What a lane works with during a pass, and never changes.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub store: &'a Store,
    pub clock: &'a SharedClock,
    pub source: &'a Source,
    pub gauge: &'a Gauge,
    pub lane: &'a Lane,
    /// The lane's, with the lists as they stand.
    pub policy: &'a Policy,
    pub pass: &'a Pass,
    /// `None` in a dry run: then nothing is uploaded and nothing written.
    pub lease: Option<&'a Lease>,
    /// By which the lane can be continued after this invocation.
    pub continuation_id: &'a str,
    pub deadline: &'a Deadline,
}

impl Context<'_> {
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }
}
