//! One page of a source's records, as every source gives it.

use super::{filter::DropReason, indicator::Indicator};

/// A whole page.
#[derive(Debug, Default)]
pub struct Page {
    /// Records on it, usable or not.
    pub records: u64,
    pub indicators: Vec<Indicator>,
    pub unusable: Vec<Unusable>,
}

/// A record that is no indicator of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// The source's id, or what there is of it.
    pub id: String,
    pub reason: DropReason,
    pub detail: String,
    /// The indicator that an earlier version would have made of it: a lane may still hold that.
    pub held_as: Option<Box<Indicator>>,
}
