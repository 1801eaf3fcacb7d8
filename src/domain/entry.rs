//! A row of the manifest: what a lane knows of one indicator it sent.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{
    deciding_record::{Decider, LastSeen, RecordVersion, Refreshes, Tag, WholeRefresh, seconds},
    fingerprint::Fingerprint,
    observable::{IndicatorType, Key},
};

/// How an indicator stands at the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The destination acknowledged it, or held it when the lane began.
    Held,
    /// The destination rejected it; it is not offered again until its content changes.
    Rejected,
    /// The destination holds an earlier content and rejected the one of the fingerprint, which is offered again at each
    /// reading.
    UpdateRejected,
    /// The destination holds nothing of it: it was retracted, or never sent. The entry is kept so that an older record
    /// of the same value does not bring it back.
    Retracted,
    /// The destination rejected its retraction and still holds it.
    RetractionRejected,
    /// The destination holds it although the deciding record speaks against it: a survey found it, or its retraction
    /// waits for confirmation.
    Unwanted,
    /// As [`State::Unwanted`], and an operator confirmed the retraction.
    Condemned,
    /// Another application holds the value at the destination, and it is not touched. Ours is delivered when that ends.
    Foreign,
    /// The destination holds nothing of it although nothing speaks against it: it was displaced by better ones, or was deleted
    /// there by hand.
    Absent,
    /// It is wanted, and the lane would create more than it does unasked: it waits for an operator, as long as the source
    /// lists it.
    Waiting,
    /// As [`State::Waiting`], and an operator confirmed the creation.
    Confirmed,
}

impl State {
    pub const ALL: [Self; 11] = [
        Self::Held,
        Self::Rejected,
        Self::UpdateRejected,
        Self::Retracted,
        Self::RetractionRejected,
        Self::Unwanted,
        Self::Condemned,
        Self::Foreign,
        Self::Absent,
        Self::Waiting,
        Self::Confirmed,
    ];

    /// Whether the destination holds some content, as long as it is valid.
    pub fn is_held(self) -> bool {
        !matches!(
            self,
            Self::Rejected | Self::Retracted | Self::Foreign | Self::Absent | Self::Waiting | Self::Confirmed
        )
    }

    /// Whether the deciding record speaks against the indicator.
    pub fn is_decided_against(self) -> bool {
        matches!(self, Self::Retracted | Self::RetractionRejected | Self::Unwanted | Self::Condemned)
    }

    /// Whether what the deciding record called for could not be done: the destination rejected it, or another application
    /// has the value there.
    pub fn is_rejection(self) -> bool {
        matches!(self, Self::Rejected | Self::UpdateRejected | Self::RetractionRejected | Self::Foreign)
    }

    /// Fixed for ever by the stored form.
    fn bits(self) -> u8 {
        match self {
            Self::Held => 0,
            Self::Rejected => 1,
            Self::UpdateRejected => 2,
            Self::Retracted => 3,
            Self::RetractionRejected => 4,
            Self::Unwanted => 5,
            Self::Condemned => 6,
            Self::Foreign => 7,
            Self::Absent => 8,
            Self::Waiting => 9,
            Self::Confirmed => 10,
        }
    }

    fn from_bits(bits: u8) -> Self {
        Self::ALL.into_iter().find(|state| state.bits() == bits).unwrap_or(Self::Held)
    }
}

/// What a lane remembers of an indicator where the destination knows it by something else than our id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handle {
    /// Sentinel: the id another product gave it, under which it is updated.
    Foreign(Uuid),
    /// Defender: the API's number for it, and its rank.
    Numbered { id: u64, rank: Rank },
}

impl Handle {
    /// The API's number, if it is one.
    pub fn number(self) -> Option<u64> {
        match self {
            Self::Numbered { id, .. } => Some(id),
            Self::Foreign(_) => None,
        }
    }
}

/// Decides which indicators a destination holds that cannot hold all. The greater is the more wanted; of equals the one
/// updated later, which the entry knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Rank {
    pub threat_score: u8,
    pub confidence: u8,
}

/// What ranks an indicator: its scores, then how recently the source updated it, in seconds since 1970.
pub(super) type Place = (Rank, u32);

/// All that is known of one indicator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    pub entry: Entry,
    pub handle: Option<Handle>,
}

impl From<Entry> for Known {
    fn from(entry: Entry) -> Self {
        Self { entry, handle: None }
    }
}

/// What is known of one indicator. 40 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: Key,
    /// Of the content last sent, or last rejected.
    pub fingerprint: Fingerprint,
    /// Seconds since 1970. An entry that expired more than a day ago leaves at compaction.
    pub valid_until: u32,
    /// Of the deciding record: seconds since 1970.
    updated: u32,
    /// Of the deciding record.
    tag: [u8; 6],
    /// Number of the newest refresh that had begun when the deciding record was last met, modulo 256. Kept up to date
    /// where it matters: while the entry is decided against, or contested.
    seen: u8,
    /// From its top: contested (1 bit), the state's highest bit (1), the type of indicator (3), the state's others (3).
    flags: u8,
}

const CONTESTED: u8 = 1 << 7;
const STATE: u8 = 1 << 6 | 7;

/// A state's bits where the mark has them.
fn in_flags(state: State) -> u8 {
    let bits = state.bits();
    (bits & 8) << 3 | bits & 7
}

impl Entry {
    pub fn new(
        key: Key,
        fingerprint: Fingerprint,
        valid_until: DateTime<Utc>,
        version: RecordVersion,
        state: State,
    ) -> Self {
        let RecordVersion { updated, tag } = version;
        let (valid_until, tag) = (seconds(valid_until), tag.to_bytes());
        Self { key, fingerprint, valid_until, updated, tag, seen: 0, flags: in_flags(state) }
    }

    /// The same entry, of an indicator of this type.
    pub fn of_type(self, indicator_type: IndicatorType) -> Self {
        Self { flags: self.flags & !(7 << 3) | type_bits(indicator_type) << 3, ..self }
    }

    /// The type of indicator; versions before segment format 2 did not keep it.
    pub fn indicator_type(&self) -> Option<IndicatorType> {
        IndicatorType::ALL
            .into_iter()
            .find(|indicator_type| type_bits(*indicator_type) == self.flags >> 3 & 7)
    }

    pub fn state(&self) -> State {
        State::from_bits(self.flags >> 3 & 8 | self.flags & 7)
    }

    /// The same entry in another state.
    pub fn in_state(self, state: State) -> Self {
        Self { flags: self.flags & !STATE | in_flags(state), ..self }
    }

    /// The deciding record.
    pub fn deciding_record(&self) -> RecordVersion {
        RecordVersion { updated: self.updated, tag: Tag::from_bytes(self.tag) }
    }

    /// The same entry, decided so.
    pub fn decided_by(self, decider: Decider) -> Self {
        let Decider { version: RecordVersion { updated, tag }, seen: LastSeen(seen), is_contested } = decider;
        let flags = self.flags & !CONTESTED | if is_contested { CONTESTED } else { 0 };
        Self { updated, tag: tag.to_bytes(), seen, flags, ..self }
    }

    /// What is known of the deciding record. Where nothing tells when it was last met, it is believed to be listed `now`.
    pub fn decider(&self, now: LastSeen) -> Decider {
        let seen = if self.tracks_sightings() { LastSeen(self.seen) } else { now };
        Decider { version: self.deciding_record(), seen, is_contested: self.is_contested() }
    }

    /// The same entry, whose deciding record was met at this time.
    pub fn seen(self, LastSeen(seen): LastSeen) -> Self {
        Self { seen, ..self }
    }

    /// Whether another record of the value is known of beside the deciding one: then it matters whether the source still
    /// lists the latter.
    pub fn is_contested(&self) -> bool {
        self.flags & CONTESTED != 0
    }

    /// The same entry: it is contested, and the deciding record is believed to be listed at this time.
    pub fn contested(self, seen: LastSeen) -> Self {
        Self { flags: self.flags | CONTESTED, ..self.seen(seen) }
    }

    /// Whether it is kept up to date when the deciding record was last met.
    pub(super) fn tracks_sightings(&self) -> bool {
        self.is_contested() || self.state().is_decided_against() || self.state() == State::Absent
    }

    /// Whether meeting the deciding record at this time is to be noted: by [`Entry::seen`].
    pub fn is_seen_anew(&self, LastSeen(seen): LastSeen) -> bool {
        self.tracks_sightings() && self.seen != seen
    }

    /// Whether the source no longer lists the deciding record: a whole refresh that began after it was last met, and
    /// reached back to it, did not meet it.
    pub fn has_lost_its_record(&self, refreshes: Refreshes) -> bool {
        // What was updated while that refresh ran was not met by it, and is met by the next reading of what is new.
        let is_over = |whole: &WholeRefresh| whole.number < refreshes.begun;
        let Some(whole) = refreshes.whole.filter(is_over).filter(|_| self.tracks_sightings()) else {
            return false;
        };
        // How many refreshes ago it was met; entries do not stay for as many as would make this ambiguous.
        let LastSeen(newest) = refreshes.last_seen();
        let ago = newest.wrapping_sub(self.seen);
        let seen = refreshes.begun.saturating_sub(u64::from(ago));
        whole.number > seen && i64::from(self.updated) >= whole.from.timestamp()
    }

    /// Whether a record decides about the value: it is the deciding one, or later than it, or the deciding one is
    /// gone. A state of the deciding record that is older than the one that decided is only a late echo.
    pub fn yields_to(&self, version: RecordVersion, refreshes: Refreshes) -> bool {
        let deciding = self.deciding_record();
        version >= deciding
            || deciding.tag == Tag::UNKNOWN && version.updated >= deciding.updated
            || version.tag == deciding.tag && version.updated == 0
            || version.tag != deciding.tag && self.has_lost_its_record(refreshes)
    }

    /// Whether the destination holds some content of the indicator at `now`.
    pub fn is_held(&self, now: DateTime<Utc>) -> bool {
        self.state().is_held() && self.lasts_beyond(now)
    }

    /// Whether the destination holds it at `now` although the deciding record speaks against it.
    pub fn is_held_unwanted(&self, now: DateTime<Utc>) -> bool {
        self.state().is_decided_against() && self.is_held(now)
    }

    /// Whether the entry is still to be kept at `seconds` since 1970. One that stands for nothing held is remembered as
    /// long as an older record of the same value, or a line about its rejection, may be read again.
    pub fn is_kept(&self, seconds: i64) -> bool {
        i64::from(self.valid_until) + self.days_kept() * 86_400 > seconds
    }

    /// How long the entry is remembered after its validity.
    fn days_kept(&self) -> i64 {
        let is_wanted = self.state().is_held() || matches!(self.state(), State::Waiting | State::Confirmed);
        if is_wanted { 1 } else { 90 }
    }

    /// Whether it waits at `now` to be created.
    pub fn is_waiting(&self, now: DateTime<Utc>) -> bool {
        self.state() == State::Waiting && self.lasts_beyond(now)
    }

    /// Whether it is valid for longer than `now`: in seconds, because each pass asks this of all entries several times.
    fn lasts_beyond(&self, now: DateTime<Utc>) -> bool {
        i64::from(self.valid_until) > now.timestamp()
    }

    pub fn valid_until(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(i64::from(self.valid_until), 0).expect("u32 seconds are a date before 2107")
    }

    /// When the source last updated the deciding record, in seconds since 1970.
    pub fn updated(&self) -> u32 {
        self.updated
    }

    /// The same entry after the destination rejected another content.
    pub fn rejecting(self, fingerprint: Fingerprint) -> Self {
        Self { fingerprint, ..self }.in_state(State::UpdateRejected)
    }

    /// The same entry of an indicator that the destination no longer holds at `now` although nothing speaks against it.
    pub fn absent(self, now: DateTime<Utc>) -> Self {
        Self { valid_until: seconds(now), ..self }.in_state(State::Absent)
    }

    /// The same, of one that the destination lost: without its content, which tells it from one that made way for others.
    pub fn missing(self, now: DateTime<Utc>) -> Self {
        Self { fingerprint: Fingerprint::VOID, ..self.absent(now) }
    }

    /// The same entry of an indicator that waited to be created until `now`, when the source gave it no more.
    pub fn given_up(self, now: DateTime<Utc>) -> Self {
        Self { valid_until: seconds(now), ..self }
    }

    /// The same entry after the indicator was retracted at `now`.
    pub fn retracted(self, now: DateTime<Utc>) -> Self {
        Self { valid_until: seconds(now), ..self }.in_state(State::Retracted)
    }

    /// The stored form of what has no public field: time and tag of the deciding record, when it was met, the mark.
    pub(super) fn stored(&self) -> (u32, [u8; 6], u8, u8) {
        (self.updated, self.tag, self.seen, self.flags)
    }

    /// An entry as stored.
    pub(super) fn from_stored(
        key: Key,
        fingerprint: Fingerprint,
        valid_until: u32,
        (updated, tag, seen, flags): (u32, [u8; 6], u8, u8),
    ) -> Self {
        Self { key, fingerprint, valid_until, updated, tag, seen, flags }
    }

    /// An entry as segment formats 2 and 3 stored it: minutes of the record's last update (27 bits), the type (3), the
    /// state (2). Whose record it was is not known.
    pub(super) fn from_stored_v3(key: Key, fingerprint: Fingerprint, valid_until: u32, flags: u32) -> Self {
        let updated = (flags >> 5).saturating_mul(60);
        let flags = (flags & 31).to_le_bytes()[0];
        let flags = flags >> 2 << 3 | flags & 3;
        Self::from_stored(key, fingerprint, valid_until, (updated, Tag::UNKNOWN.to_bytes(), 0, flags))
    }

    /// An entry as segment format 1 stored it: as in 2, without its type.
    pub(super) fn from_stored_v1(key: Key, fingerprint: Fingerprint, valid_until: u32, flags: u32) -> Self {
        Self::from_stored_v3(key, fingerprint, valid_until, (flags >> 2) << 5 | flags & 3)
    }
}

/// Fixed for ever by the stored form; 0 is for entries that do not know.
fn type_bits(indicator_type: IndicatorType) -> u8 {
    match indicator_type {
        IndicatorType::Ipv4 => 1,
        IndicatorType::Ipv6 => 2,
        IndicatorType::Fqdn => 3,
        IndicatorType::Url => 4,
        IndicatorType::Hash => 5,
    }
}

#[cfg(test)]
mod tests;
