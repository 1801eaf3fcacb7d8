//! One pass, from the lease to the report.
//!
//! # Consistency
//! A lane's checkpoint moves only over windows of which every record is settled: acknowledged by the destination,
//! or rejected by it and kept with the reason. After a crash anywhere the batches in flight are sent again at worst, under
//! the same ids.
//!
//! # Retries
//! The clients repeat requests as long as that may help and the deadline allows. What still fails then stalls its lane;
//! the other lanes finish.
//!
//! # Cancellation
//! No wait is begun that does not fit before the deadline. A pass that runs out of time, or is told to stop,
//! commits what is settled, releases the lease and asks to be continued.

mod acknowledged;
mod arrival;
mod asked;
mod audit;
mod auditing;
mod begin;
mod compare;
mod context;
mod continuation;
mod control;
mod cost;
mod creations;
mod days;
mod delivery;
mod engine;
mod exclusions;
mod explain;
mod explained;
mod feeds;
mod forecast;
mod foreign;
pub mod gauge;
mod halt;
mod lane;
mod ledger;
mod lists;
mod pages;
mod participation;
mod reading;
mod reconciliation;
mod rehearsal;
mod rejections;
mod reruns;
mod retractions;
mod selecting;
mod signals;
mod soundness;
mod standing;
mod status;
mod status_body;
mod waking;
mod watchdog;
mod windows;
mod work;

use chrono::TimeDelta;

use crate::{
    destination::Destination,
    domain::{policy::Policy, progress::DestinationId},
};

pub use self::{
    auditing::AuditError,
    compare::CompareError,
    cost::{Cost, LaneCost},
    engine::{Ended, Engine, OpenStore},
    explained::Explanation,
    lists::ListError,
    status::{LaneDetail, LaneOverview, Overview, RunStatus},
    watchdog::Watchdog,
    work::{MessageKind, QueueMessage, Work},
};
/// Who is at work, and why state cannot be asked.
pub use crate::state::{error::StateError, object::Holder};

/// One source-to-destination path with its own progress and manifest.
pub struct Lane {
    pub name: &'static str,
    pub destination: Destination,
    /// Whether it is looked for what the destination acknowledged.
    pub verifies_arrival: bool,
    pub policy: Policy,
    pub target: DestinationId,
    pub settings_hash: String,
    pub initial_lookback: TimeDelta,
    /// How long after an audit the next one runs by itself; `None`: never.
    pub audit_every: Option<TimeDelta>,
}
