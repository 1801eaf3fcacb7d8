//! What a destination shows of our indicators against the manifest, page by page: what is missing, was changed, ended before
//! its time, or stands there unknown to us.
//!
//! Nothing of a page is kept but two bytes for each entry of the manifest, and the keys of what is unknown.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{
    deciding_record::{RecordVersion, seconds},
    entry::{Entry, Handle, Known, State},
    expiry::Expirations,
    fingerprint::Fingerprint,
    manifest::Manifest,
    observable::Key,
    shown::{Field, Fields, Labels, Shown, ShownPage},
};

/// An indicator that never ends counts as valid for so long once it is adopted; it is met again long before.
const UNENDING: TimeDelta = TimeDelta::days(90);
/// A time that the destination tells of its own doing may be so much later than our request.
const SLOWNESS: TimeDelta = TimeDelta::hours(1);

/// What is noted of an entry: whether the destination shows its indicator, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mark(u16);

const SEEN: u16 = 1;
/// It is shown without any label, which says something only if the destination shows labels at all.
const BARE: u16 = 2;
const ENDED: u16 = 4;
const STATE: u16 = 15;

impl Mark {
    fn has(self, bit: u16) -> bool {
        self.0 & bit != 0
    }

    fn fields(self) -> Fields {
        Fields::from_bits(self.0 & !STATE)
    }
}

/// By what the two are compared.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub expirations: Expirations,
    /// The destination shows what it took after this time at the latest.
    pub lag: TimeDelta,
    /// When the settings changed last: what was sent before is not compared with those of today.
    pub settings_changed: Option<DateTime<Utc>>,
    /// What passes themselves found to be gone since then is missing: what they found before was wanted no more, or it would
    /// have been sent again. `None`: they look for nothing that is gone.
    pub absent_since: Option<DateTime<Utc>>,
}

/// What is wrong with an indicator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// The manifest has it as held, and the destination does not show it.
    Missing,
    /// Others changed it.
    Changed,
    /// It bears our source, and the manifest does not have it as held.
    Unknown,
    /// It ended before our time.
    Expired,
}

impl Wrong {
    pub const ALL: [Self; 4] = [Self::Missing, Self::Changed, Self::Unknown, Self::Expired];

    pub fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Changed => "changed",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
        }
    }
}

/// An indicator that is not as it should be, as the manifest knows it; of one that is unknown, as it is to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amiss {
    pub known: Known,
    pub wrong: Wrong,
    pub fields: Fields,
}

/// Compares a manifest with what its destination shows.
#[derive(Clone, Debug)]
pub struct Auditor {
    pub(super) began: DateTime<Utc>,
    rules: Rules,
    /// One for each entry, by its place.
    marks: Vec<Mark>,
    pub(super) unknown: HashSet<Key>,
    pub(super) left_alone: u64,
    /// Some of ours are shown with their labels.
    pub(super) shows_labels: bool,
}

impl Auditor {
    /// Of an audit that begins at `began`.
    pub fn new(began: DateTime<Utc>, rules: Rules) -> Self {
        Self { began, rules, marks: Vec::new(), unknown: HashSet::new(), left_alone: 0, shows_labels: false }
    }

    /// When the audit began.
    pub fn began(&self) -> DateTime<Utc> {
        self.began
    }

    /// How many are shown that the manifest does not have as held.
    pub fn unknown(&self) -> u64 {
        self.unknown.len() as u64
    }

    /// How many are shown that are not to be compared.
    pub fn left_alone(&self) -> u64 {
        self.left_alone
    }

    /// Takes in what a page shows at `now`. Returns what of it is unknown, as the manifest would have it.
    pub fn take(&mut self, page: &ShownPage, manifest: &Manifest, now: DateTime<Utc>) -> Vec<Known> {
        self.marks.resize(manifest.len(), Mark::default());
        self.left_alone += page.left_alone;
        page.shown.iter().filter_map(|shown| self.compare(shown, manifest, now)).collect()
    }

    fn compare(&mut self, shown: &Shown, manifest: &Manifest, now: DateTime<Utc>) -> Option<Known> {
        let place = place_of(shown, manifest);
        let entry = place.map(|place| manifest.entries()[place]);
        match (place, entry.filter(|entry| entry.is_held(now))) {
            (Some(place), Some(entry)) => {
                self.marks[place] = self.judge(shown, &entry, now);
                self.shows_labels |= shown.labels == Labels::Some;
                None
            }
            _ => self.of_unknown(shown, entry, manifest, now),
        }
    }

    /// What is noted of `entry`, which is held and whose indicator is `shown`.
    fn judge(&self, shown: &Shown, entry: &Entry, now: DateTime<Utc>) -> Mark {
        let known = i64::from(entry.valid_until);
        let agrees = shown.valid_until.is_some_and(|until| (until.timestamp() - known).abs() <= 1);
        // The destination may still show what it held before the last upload.
        if !agrees && self.is_fresh(entry, now) {
            return Mark(SEEN);
        }
        let sent = self.sent_at(entry);
        let is_of_today =
            sent.is_some_and(|sent| self.rules.settings_changed.is_none_or(|changed| sent > changed));
        let is_edited = shown.edited.zip(sent).is_some_and(|(edited, sent)| edited > sent + SLOWNESS);
        let (mut fields, mut mark) = (Fields::default(), Mark(SEEN));
        // What another product sent first and we only adopted was never as we send it.
        if !entry.fingerprint.is_adopted() {
            fields = shown.differs.with(Field::Edited, is_edited);
            fields = if is_of_today { fields.and(shown.differs_today) } else { fields };
            mark.0 |= if shown.labels == Labels::None { BARE } else { 0 };
        } else {
            fields = fields.with(Field::Revoked, shown.differs.has(Field::Revoked));
        }
        if shown.valid_until.is_some_and(|until| until <= now) {
            mark.0 |= ENDED;
        } else {
            fields = fields.with(Field::ValidUntil, !agrees);
        }
        Mark(mark.0 | fields.bits())
    }

    /// What the manifest would say of one that it does not have as held, but perhaps as `entry`; `None`: nothing speaks
    /// for its being held.
    fn of_unknown(
        &mut self,
        shown: &Shown,
        entry: Option<Entry>,
        manifest: &Manifest,
        now: DateTime<Utc>,
    ) -> Option<Known> {
        let has_ended =
            shown.valid_until.is_some_and(|until| until <= now) || shown.differs.has(Field::Revoked);
        let Some(key) = entry.map(|entry| entry.key).or(shown.value).filter(|_| !has_ended) else {
            self.left_alone += u64::from(!has_ended);
            return None;
        };
        if let Some(other) = manifest.get(key).filter(|_| entry.is_none())
            && other.is_held(now)
        {
            // Another product's indicator for a value of ours: ours goes on, and this one ends with its validity.
            self.left_alone += 1;
            return None;
        }
        let before = manifest.get(key);
        // It was retracted just now, and the destination does not show that yet.
        if before.is_some_and(|entry| entry.valid_until() > self.settled_before())
            || !self.unknown.insert(key)
        {
            return None;
        }
        let until = shown.valid_until.unwrap_or(now + UNENDING);
        let entry = match before {
            // The record that spoke against it decides as before.
            Some(entry) => {
                let mut entry = entry.in_state(State::Held);
                (entry.fingerprint, entry.valid_until) = (shown.fingerprint, seconds(until));
                entry
            }
            None => {
                let version = RecordVersion { updated: 0, tag: shown.tag };
                Entry::new(key, shown.fingerprint, until, version, State::Held)
            }
        };
        let entry = shown.indicator_type.map_or(entry, |indicator_type| entry.of_type(indicator_type));
        Some(Known { entry, handle: shown.handle })
    }

    /// How many the manifest has as held at `now`, and those of them that are not as they should be. What is no longer
    /// wanted is not amiss, however it stands there.
    pub fn amiss(&self, manifest: &Manifest, now: DateTime<Utc>) -> (u64, Vec<Amiss>) {
        let (mut held, mut amiss) = (0, Vec::new());
        for (place, entry) in manifest.entries().iter().enumerate().filter(|(_, entry)| entry.is_held(now)) {
            held += 1;
            let mark = self.marks.get(place).copied().unwrap_or_default();
            if let Some((wrong, fields)) = self.wrong(entry, mark, now) {
                let known = Known { entry: *entry, handle: manifest.handle(entry.key) };
                amiss.push(Amiss { known, wrong, fields });
            }
        }
        amiss.extend(self.absent(manifest));
        (held, amiss)
    }

    /// What passes found to be gone and is wanted all the same.
    fn absent(&self, manifest: &Manifest) -> Vec<Amiss> {
        let Some(since) = self.rules.absent_since else { return Vec::new() };
        let is_gone = |entry: &&Entry| {
            let is_absent = entry.state() == State::Absent && entry.valid_until() >= since;
            // What made way for better ones has its content still.
            is_absent && entry.fingerprint == Fingerprint::VOID && !self.unknown.contains(&entry.key)
        };
        let gone = manifest.entries().iter().filter(is_gone);
        let amiss = |entry: &Entry| Amiss {
            known: (*entry).into(),
            wrong: Wrong::Missing,
            fields: Fields::default(),
        };
        gone.map(amiss).collect()
    }

    fn wrong(&self, entry: &Entry, mark: Mark, now: DateTime<Utc>) -> Option<(Wrong, Fields)> {
        if entry.state().is_decided_against() {
            return None;
        }
        if !mark.has(SEEN) {
            return (!self.is_fresh(entry, now)).then_some((Wrong::Missing, Fields::default()));
        }
        let fields = mark.fields().with(Field::Labels, mark.has(BARE) && self.shows_labels);
        if mark.has(ENDED) && !fields.has(Field::Revoked) {
            return Some((Wrong::Expired, Fields::default()));
        }
        (!fields.is_empty()).then_some((Wrong::Changed, fields))
    }

    /// Whether the entry was sent so shortly before the audit that the destination need not show it yet. What seems to be
    /// sent in the future was sent by a clock that was ahead, and not just now.
    fn is_fresh(&self, entry: &Entry, now: DateTime<Utc>) -> bool {
        self.sent_at(entry).is_some_and(|sent| sent > self.settled_before() && sent <= now + SLOWNESS)
    }

    fn settled_before(&self) -> DateTime<Utc> {
        self.began - self.rules.lag
    }

    /// When the entry was sent last, if it is known whose validity it has.
    fn sent_at(&self, entry: &Entry) -> Option<DateTime<Utc>> {
        let validity = self.rules.expirations.validity(entry.indicator_type()?);
        Some(entry.valid_until() - validity)
    }

    /// What was noted of each entry that was shown, to be taken up with [`Auditor::recall`].
    pub(super) fn noted<'m>(&'m self, manifest: &'m Manifest) -> impl Iterator<Item = (Key, u16)> + 'm {
        let marks = self.marks.iter().zip(manifest.entries());
        marks.filter(|(mark, _)| **mark != Mark::default()).map(|(mark, entry)| (entry.key, mark.0))
    }

    /// Takes up what was noted of an entry before.
    pub(super) fn recall(&mut self, key: Key, noted: u16, manifest: &Manifest) {
        self.marks.resize(manifest.len(), Mark::default());
        if let Some(place) = manifest.place(key) {
            self.marks[place] = Mark(noted);
        }
    }
}

/// Where the entry of an indicator stands: known by its id, or else by its value.
fn place_of(shown: &Shown, manifest: &Manifest) -> Option<usize> {
    let theirs = |handle: Option<Handle>| match handle {
        Some(Handle::Foreign(id)) => Some(id),
        _ => None,
    };
    let stands_at = |key: Key| {
        let is_by_id = shown.id == Some(key);
        let fits = match (theirs(manifest.handle(key)), theirs(shown.handle)) {
            (known, shown) if known == shown => true,
            // Its value was changed: only the id tells whose it is.
            (None, Some(_)) => is_by_id,
            _ => false,
        };
        manifest.place(key).filter(|_| fits)
    };
    shown.id.and_then(stands_at).or_else(|| shown.value.and_then(stands_at))
}
