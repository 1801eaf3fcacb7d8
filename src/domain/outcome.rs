//! What became of every record: the numbers of a report, and how lanes and passes end.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::{entry::Handle, filter::DropReason};

/// How an indicator that is sent differs from what the destination holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    Created,
    Updated,
    /// The same content with a later end of validity.
    Renewed,
    /// Revoked or removed: it is no longer wanted.
    Retracted,
    /// Revoked or removed in favour of another that stands for it now.
    Displaced,
}

impl Change {
    /// Whether it is the fate of a record that was read; what is displaced goes beside one.
    pub fn is_fate(self) -> bool {
        self != Self::Displaced
    }

    /// The fate of a record whose object was acknowledged; none if it went beside one.
    pub fn fate(self) -> Option<Fate> {
        Some(match self {
            Self::Created => Fate::Created,
            Self::Updated => Fate::Updated,
            Self::Renewed => Fate::Renewed,
            Self::Retracted => Fate::Retracted,
            Self::Displaced => return None,
        })
    }

    /// Whether the destination is to hold it no longer.
    pub fn removes(self) -> bool {
        matches!(self, Self::Retracted | Self::Displaced)
    }
}

/// What became of a record, weakest first: one that calls for several objects counts under the strongest fate of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    Dropped(DropReason),
    Unchanged,
    Retracted,
    Renewed,
    Updated,
    Created,
    OverLimit,
    Rejected,
}

/// What the destination answered for one record that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordOutcome {
    /// It holds the record; by the handle, if it gave one.
    Acknowledged(Option<Handle>),
    Rejected(Rejection),
    /// It has no room for the record.
    OverLimit,
}

/// Why a destination rejected a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Rejection {
    pub reason: String,
    /// By which the destination's support finds the request.
    pub request_id: Option<String>,
}

/// A struct of numbers that are added up field by field, named once.
macro_rules! summed {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$doc:meta])* pub $field:ident: $number:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name { $($(#[$doc])* pub $field: $number,)* }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                $(self.$field += other.$field;)*
            }
        }
    };
}

summed! {
    /// Records not wanted, by the first reason that applied.
    pub struct Dropped {
        pub confidence: u64,
        pub threat_score: u64,
        pub osint: u64,
        pub uncategorized: u64,
        #[serde(rename = "type")]
        pub type_: u64,
        pub malformed: u64,
        pub excluded: u64,
        pub benign: u64,
        pub pervasive: u64,
        pub severity: u64,
        pub attribution: u64,
    }
}

impl Dropped {
    pub fn add(&mut self, reason: DropReason) {
        *match reason {
            DropReason::Malformed => &mut self.malformed,
            DropReason::Type => &mut self.type_,
            DropReason::Excluded => &mut self.excluded,
            DropReason::Confidence => &mut self.confidence,
            DropReason::ThreatScore => &mut self.threat_score,
            DropReason::Benign => &mut self.benign,
            DropReason::Pervasive => &mut self.pervasive,
            DropReason::Severity => &mut self.severity,
            DropReason::Attribution => &mut self.attribution,
            DropReason::Osint => &mut self.osint,
            DropReason::Uncategorized => &mut self.uncategorized,
        } += 1;
    }

    pub fn total(&self) -> u64 {
        self.malformed
            + self.type_
            + self.excluded
            + self.benign
            + self.pervasive
            + self.confidence
            + self.threat_score
            + self.severity
            + self.attribution
            + self.osint
            + self.uncategorized
    }
}

summed! {
    /// The fate of every record a lane read, and what it took to get there.
    ///
    /// `read` is the sum of everything down to `left`, and of the creations that the lane withholds; the rest stands outside
    /// that sum.
    pub struct Counts {
        pub read: u64,
        pub dropped: Dropped,
        pub unchanged: u64,
        pub created: u64,
        pub updated: u64,
        pub renewed: u64,
        pub retracted: u64,
        pub rejected: u64,
        pub over_limit: u64,
        /// Read, but not settled when the pass ended.
        pub left: u64,
        /// Removed in favour of another.
        pub displaced: u64,
        /// Rejected before and offered again; they are among `read`.
        pub replayed: u64,
        /// Left the manifest because their validity ended.
        pub aged_out: u64,
        /// Requests to the destination, throttled answers among them, and requests made again.
        pub requests: u64,
        pub throttled: u64,
        pub retried: u64,
    }
}

impl Counts {
    /// Counts a record that has its fate.
    pub fn count(&mut self, fate: Fate) {
        *match fate {
            Fate::Dropped(reason) => return self.dropped.add(reason),
            Fate::Unchanged => &mut self.unchanged,
            Fate::Retracted => &mut self.retracted,
            Fate::Renewed => &mut self.renewed,
            Fate::Updated => &mut self.updated,
            Fate::Created => &mut self.created,
            Fate::OverLimit => &mut self.over_limit,
            Fate::Rejected => &mut self.rejected,
        } += 1;
    }

    /// Records with a fate other than `left`.
    pub fn settled(&self) -> u64 {
        self.dropped.total()
            + self.unchanged
            + self.created
            + self.updated
            + self.renewed
            + self.retracted
            + self.rejected
            + self.over_limit
    }
}

summed! {
    /// What was done about the indicators of one type.
    pub struct Changes {
        pub created: u64,
        pub updated: u64,
        pub renewed: u64,
        pub retracted: u64,
        pub displaced: u64,
    }
}

impl Changes {
    /// Counts one.
    pub fn add(&mut self, change: Change) {
        *match change {
            Change::Created => &mut self.created,
            Change::Updated => &mut self.updated,
            Change::Renewed => &mut self.renewed,
            Change::Retracted => &mut self.retracted,
            Change::Displaced => &mut self.displaced,
        } += 1;
    }
}

/// How a lane, or a whole pass, ended. Ordered from best to worst: a pass ends as its worst lane did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Everything there was is settled.
    CaughtUp,
    /// Another pass was running.
    Skipped,
    /// Out of time, with everything so far committed.
    Paused,
    /// Another instance took over meanwhile; nothing more was written.
    Fenced,
    /// A service, a role or a setting outside the program is the obstacle.
    Stalled,
    /// Ours to mend: settings, damaged state, a defect.
    Failed,
}

impl End {
    /// As a word in a sentence.
    pub fn word(self) -> &'static str {
        match self {
            Self::CaughtUp => "caught up",
            Self::Skipped => "skipped",
            Self::Paused => "paused",
            Self::Fenced => "fenced",
            Self::Stalled => "stalled",
            Self::Failed => "failed",
        }
    }

    /// As in the report.
    pub fn name(self) -> String {
        self.word().replace(' ', "_")
    }

    /// Whether the invocation counts as failed, so that the portal shows it.
    pub fn is_failure(self) -> bool {
        match self {
            Self::CaughtUp | Self::Skipped | Self::Paused | Self::Fenced => false,
            Self::Stalled | Self::Failed => true,
        }
    }
}
