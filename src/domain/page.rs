//! One page of a source's records, as every source gives it.

use uuid::Uuid;

use super::{filter::DropReason, indicator::Indicator};

/// A whole page.
#[derive(Debug, Default)]
pub struct Page {
    /// Records on it, usable or not.
    pub records: u64,
    pub indicators: Vec<Indicator>,
    /// The feeds that name each of the indicators, in their order; empty where the source has one feed alone.
    pub feeds: Vec<Vec<String>>,
    pub unusable: Vec<Unusable>,
}

/// The kind of a record that cannot be read.
pub const UNREADABLE: &str = "unreadable";

/// What a record of the source or of a destination is about, as it is written there, for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    pub value: String,
    pub kind: String,
}

/// A record that is no indicator of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// The source's id, or what there is of it.
    pub id: String,
    pub about: About,
    pub reason: DropReason,
    pub detail: String,
    /// The indicator that an earlier version would have made of it: a lane may still hold that.
    pub held_as: Option<Box<Indicator>>,
}

/// An id of the source's, such as `ipv4--…`; ours begin otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceId(pub String);

impl SourceId {
    /// `text`, if it has the form of one.
    pub fn of(text: &str) -> Option<Self> {
        let (kind, id) = text.split_once("--")?;
        let is_word = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (is_word && kind != "indicator" && Uuid::try_parse(id).is_ok()).then(|| Self(text.to_owned()))
    }
}
