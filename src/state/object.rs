//! What both homes of state share: versions of named bytes, conditions on writing them, listed names.

use chrono::{DateTime, Utc};

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

/// The holder of a lease, in words.
pub(super) fn held_by(run_id: &str, holder: &str) -> String {
    format!("{run_id} ({holder})")
}
