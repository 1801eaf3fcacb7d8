//! What both homes of state share: versions of named bytes, conditions on writing them, listed names.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::report::begun_at;

/// Which content of a name was read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(pub String);

/// What must be true for a write to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    Always,
    Absent,
    Is(Version),
}

/// A listed name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub name: String,
    pub modified: DateTime<Utc>,
}

/// Who took a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Of the pass, which says when it began.
    pub run_id: String,
    /// The process.
    pub holder: String,
    pub since: Option<DateTime<Utc>>,
}

impl Holder {
    pub(super) fn new(run_id: &str, holder: &str) -> Self {
        Self { run_id: run_id.to_owned(), holder: holder.to_owned(), since: begun_at(run_id) }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.run_id, self.holder)
    }
}
