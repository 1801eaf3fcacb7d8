//! Which of a value's records decides about it: the greatest [`RecordVersion`]. Applied in
//! [`Entry::yields_to`](super::entry::Entry::yields_to) against what is held, and in [`plan`](super::plan) on one page.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::indicator::Indicator;

/// Names a record of the source within a manifest: 48 bits of the hash of its id. Two records of one value share a tag
/// once in 10¹⁴ times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(u64);

impl Tag {
    /// Of a record that is not known: the entry was adopted, or written before segment format 4.
    pub const UNKNOWN: Self = Self(0);
    const BITS: u32 = 48;

    pub fn of(source_id: &str) -> Self {
        Self((xxh3_64(source_id.as_bytes()) >> (u64::BITS - Self::BITS)).max(1))
    }

    /// As a number, which is as good as random.
    pub(super) fn number(self) -> u64 {
        self.0
    }

    pub(super) fn to_bytes(self) -> [u8; 6] {
        let [.., a, b, c, d, e, f] = self.0.to_be_bytes();
        [a, b, c, d, e, f]
    }

    pub(super) fn from_bytes([a, b, c, d, e, f]: [u8; 6]) -> Self {
        Self(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }
}

/// A record of the source as one of those that speak for or against a value. Of all that the source lists, the greatest
/// decides: the one updated last, to the second, and of several in one second the one with the greater tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordVersion {
    /// Seconds since 1970; 0 where the record does not say when it was updated.
    pub updated: u32,
    pub tag: Tag,
}

impl RecordVersion {
    /// The record behind `indicator`. The source's times are not believed beyond `horizon`: it gave the record in a
    /// window that ends there, so a later time is a mistake that would silence every other record for good.
    pub fn of(indicator: &Indicator, horizon: DateTime<Utc>) -> Self {
        let updated = indicator.last_updated.map_or(0, |updated| seconds(updated.min(horizon)));
        Self { updated, tag: Tag::of(&indicator.source_id) }
    }
}

/// The deciding record of a value, as a lane knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decider {
    pub version: RecordVersion,
    /// When it was last met.
    pub seen: LastSeen,
    /// Another record of the value is known of: then it matters whether the source still lists this one.
    pub is_contested: bool,
}

/// The refreshes of a lane: what a whole one did not meet, the source no longer lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refreshes {
    /// Refreshes begun so far.
    pub begun: u64,
    /// The newest one that was read whole, and the time it read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<WholeRefresh>,
}

impl Refreshes {
    /// A meeting at this time.
    pub fn last_seen(self) -> LastSeen {
        LastSeen(self.begun.to_le_bytes()[0])
    }
}

/// When a record was met: the number of the newest refresh that had begun, modulo 256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastSeen(pub(super) u8);

/// A refresh that was read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WholeRefresh {
    pub number: u64,
    pub from: DateTime<Utc>,
}

/// Whole seconds since 1970, in 32 bits: enough until the year 2106.
pub(super) fn seconds(time: DateTime<Utc>) -> u32 {
    let seconds = time.timestamp().clamp(0, i64::from(u32::MAX));
    u32::try_from(seconds).expect("clamped to the range of u32")
}
