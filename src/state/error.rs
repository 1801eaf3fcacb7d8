//! What can go wrong with state.

use crate::domain::{manifest_format::SegmentError, problem::Problem};

/// Why state could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Another writer wrote meanwhile.
    #[error("{name} was changed by another writer")]
    Conflict { name: String },
    /// The storage cannot be reached, or is not well.
    #[error("the storage of the state does not answer: {0}")]
    Unavailable(String),
    /// The storage rejects the request; the sentence says what to do.
    #[error("{0}")]
    Rejected(Problem),
    #[error(
        "{name} cannot be read: {source}. To go on without it, run once with --rebuild (or POST /api/sync with \"rebuild\": true): what is still wanted is sent again under the same ids"
    )]
    DamagedSegment { name: String, source: SegmentError },
    #[error("{name} cannot be read: {reason}")]
    Damaged { name: String, reason: String },
    #[error(
        "{name} was written by a newer version of mati-sync (schema {found}, this one reads up to {known}): deploy that version again"
    )]
    Newer { name: String, found: u32, known: u32 },
    /// The lease is no longer ours.
    #[error("another instance took over the lease")]
    LeaseLost,
    /// The lease ran out, and no other instance is known to have taken it.
    #[error(
        "the lease ran out, because the storage of the state answered no renewal in time; no other instance took over, and what is left follows with the next pass"
    )]
    LeaseLapsed,
}

impl StateError {
    /// The storage rejects the request.
    pub fn rejected(problem: impl Into<Problem>) -> Self {
        Self::Rejected(problem.into())
    }

    /// What the operator can do.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Rejected(problem) => problem.clone(),
            other => other.to_string().into(),
        }
    }

    /// Whether the same operation may go well a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Conflict { .. }
            | Self::Rejected(_)
            | Self::DamagedSegment { .. }
            | Self::Damaged { .. }
            | Self::Newer { .. }
            | Self::LeaseLost
            | Self::LeaseLapsed => false,
        }
    }

    /// Whether it says that another instance works in our place.
    pub fn is_fencing(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::LeaseLost)
    }
}
