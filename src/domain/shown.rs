//! An indicator of ours as a destination shows it, and what of it can be told to differ from what was sent.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    deciding_record::Tag,
    entry::Handle,
    fingerprint::Fingerprint,
    observable::{IndicatorType, Key},
};

/// What of an indicator can be told to differ from what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    ValidUntil,
    Revoked,
    Confidence,
    Labels,
    Pattern,
    Description,
    Action,
    GenerateAlert,
    /// Something that cannot be compared: the destination says that somebody else edited the indicator.
    Edited,
}

impl Field {
    pub const ALL: [Self; 9] = [
        Self::ValidUntil,
        Self::Revoked,
        Self::Confidence,
        Self::Labels,
        Self::Pattern,
        Self::Description,
        Self::Action,
        Self::GenerateAlert,
        Self::Edited,
    ];

    /// As people read it.
    pub fn word(self) -> &'static str {
        match self {
            Self::ValidUntil => "end of validity",
            Self::Revoked => "revoked",
            Self::Confidence => "confidence",
            Self::Labels => "labels",
            Self::Pattern => "pattern",
            Self::Description => "description",
            Self::Action => "action",
            Self::GenerateAlert => "alert switched off",
            Self::Edited => "edited by somebody else",
        }
    }

    fn bit(self) -> u16 {
        1 << (4 + self as u16)
    }
}

/// Some of the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields(u16);

impl Fields {
    /// The same, and `field` if `differs`.
    #[must_use]
    pub fn with(self, field: Field, differs: bool) -> Self {
        if differs { Self(self.0 | field.bit()) } else { self }
    }

    pub fn has(self, field: Field) -> bool {
        self.0 & field.bit() != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// In the order of [`Field::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Field> {
        Field::ALL.into_iter().filter(move |field| self.has(*field))
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Above the lowest four, which are others' to use.
    pub(super) fn bits(self) -> u16 {
        self.0
    }

    pub(super) fn from_bits(bits: u16) -> Self {
        Self(bits)
    }
}

/// A page of what a destination shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownPage {
    pub shown: Vec<Shown>,
    /// Indicators under our source's name that cannot be compared with what we send.
    pub left_alone: u64,
    /// What the next page is asked for with; `None`: this was the last.
    pub next: Option<String>,
}

/// An indicator of ours as a destination shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Which of our keys its id is, if it may be one.
    pub id: Option<Key>,
    /// The key of its value, if that is one that we would send.
    pub value: Option<Key>,
    /// What the destination knows it by, if not by our id.
    pub handle: Option<Handle>,
    /// `None`: it stays until it is removed.
    pub valid_until: Option<DateTime<Utc>>,
    /// Of its content, as far as that is known.
    pub fingerprint: Fingerprint,
    /// Of the record that it was made of, if that is known.
    pub tag: Tag,
    pub indicator_type: Option<IndicatorType>,
    /// What cannot be as we sent it, whatever that was.
    pub differs: Fields,
    /// What is not as we send it by today's settings.
    pub differs_today: Fields,
    pub labels: Labels,
    /// When somebody else edited it last, as the destination says.
    pub edited: Option<DateTime<Utc>>,
}

/// Which labels a destination shows of an indicator. One of ours always has labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Labels {
    /// The destination has no such thing.
    #[default]
    Untold,
    None,
    Some,
}
