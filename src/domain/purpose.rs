//! What records are read for, and the ranges that are read beside the live one.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What records are read for: decides what is done about those that are held and no longer wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Purpose {
    /// What the source updated since the checkpoint. Retracts within the limit, as all do that say nothing else.
    Live,
    /// Read again because an operator asked.
    Lookback,
    /// Send again whatever is still wanted.
    Rebuild,
    /// A refresh: everything that the source may still list, so that nothing expires that it has not touched, and
    /// nothing stays that the settings no longer call for. Takes nothing back: what is held and no longer wanted is
    /// marked and counted.
    Survey,
    /// The second reading of a refresh, which retracts what the survey marked. `allowance`: how much more it may retract
    /// back.
    Collection { allowance: u64 },
    /// A refresh that retracts what an operator confirmed.
    Confirmation,
    /// Not the source's records but those that the destination rejected, offered again.
    Retry,
}

impl Purpose {
    /// Whether everything is read that the source may still list.
    pub fn is_refresh(self) -> bool {
        matches!(self, Self::Survey | Self::Collection { .. } | Self::Confirmation)
    }

    /// A word for logs and people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Lookback => "lookback",
            Self::Rebuild => "rebuild",
            Self::Survey => "survey",
            Self::Collection { .. } => "collection",
            Self::Confirmation => "confirmation",
            Self::Retry => "retry",
        }
    }
}

/// A range to read beside the live checkpoint, which it never moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredBackfill")]
pub struct Backfill {
    /// The request it came from.
    pub run_id: String,
    #[serde(flatten)]
    pub purpose: Purpose,
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    /// Everything up to here is settled.
    pub position: DateTime<Utc>,
}

impl Backfill {
    /// What the ids of the ranges have in common that the repair of an audit reads again: it counts them.
    pub const REPAIR: &str = "-audit-";
    /// How the ids of those end that a change of settings called for.
    pub const SETTINGS: &str = "-settings";

    /// Whether the settings called for it.
    pub(super) fn is_of_settings(&self) -> bool {
        self.run_id.ends_with(Self::SETTINGS)
    }

    /// Whether this could be read instead of `other` as well, if it began early enough.
    pub(super) fn does_for(&self, other: &Self) -> bool {
        let is_counted = |range: &Self| range.run_id.contains(Self::REPAIR);
        self.purpose == Purpose::Lookback
            && other.purpose == self.purpose
            && !is_counted(self)
            && !is_counted(other)
    }

    /// Whether it is a survey that was read to its end.
    pub(super) fn is_surveyed(&self) -> bool {
        self.purpose == Purpose::Survey && self.position >= self.to
    }
}

/// A backfill in any schema.
#[derive(Deserialize)]
struct StoredBackfill {
    run_id: String,
    kind: StoredKind,
    #[serde(default)]
    allowance: u64,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    position: DateTime<Utc>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredKind {
    Live,
    Lookback,
    Rebuild,
    Survey,
    Collection,
    Confirmation,
    Retry,
    /// Until schema 3: a refresh at either reading.
    Refresh,
}

impl From<StoredBackfill> for Backfill {
    fn from(stored: StoredBackfill) -> Self {
        let StoredBackfill { run_id, kind, allowance, from, to, position } = stored;
        // What an older version's survey counted is not marked in the manifest: it begins again.
        let position = if kind == StoredKind::Refresh { from } else { position };
        let purpose = match kind {
            StoredKind::Live => Purpose::Live,
            StoredKind::Lookback => Purpose::Lookback,
            StoredKind::Rebuild => Purpose::Rebuild,
            StoredKind::Survey | StoredKind::Refresh => Purpose::Survey,
            StoredKind::Collection => Purpose::Collection { allowance },
            StoredKind::Confirmation => Purpose::Confirmation,
            StoredKind::Retry => Purpose::Retry,
        };
        Self { run_id, purpose, from, to, position }
    }
}
