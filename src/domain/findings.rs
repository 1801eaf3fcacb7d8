//! What came of an audit, what its repair changes in the manifest, and the stored form of one that is under way.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{
    audit::{Amiss, Auditor, Rules, Wrong},
    entry::{Entry, Known, State},
    fingerprint::Fingerprint,
    manifest::Manifest,
    observable::Key,
    shown::Field,
    window::{Limits, Window},
};

/// So many indicators are named.
const EXAMPLES: usize = 20;
/// A repair reads at most so many ranges again.
const RANGES: usize = 8;

/// `audit.json`: what the last audit of each lane found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    pub lanes: BTreeMap<String, Findings>,
}

/// What an audit of one lane found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// When it began.
    pub at: DateTime<Utc>,
    /// By the manifest.
    pub held: u64,
    pub missing: u64,
    pub changed: u64,
    pub unknown: u64,
    pub expired: u64,
    /// Of these, so many were sent again or adopted.
    pub repaired: u64,
    /// Of these, so many are no longer to be sent: the source or the settings speak against them, or another application
    /// has their value.
    #[serde(default)]
    pub unwanted: u64,
    /// Indicators under our source's name that are not of a form that we send, or that stand beside one of ours.
    #[serde(default)]
    pub left_alone: u64,
    /// How many differ in what, of those that were changed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<Field, u64>,
    /// Some of those that are amiss.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Example>,
    #[serde(default)]
    pub repair: Repair,
    /// Why the destination was not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Whether what is amiss is repaired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repair {
    /// It was not asked for.
    #[default]
    No,
    /// What is to be sent again is read again.
    UnderWay,
    Done,
}

/// An indicator that is amiss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Our id, which `explain` takes.
    pub id: String,
    pub wrong: Wrong,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
}

impl Findings {
    /// Of an audit that began at `at` and found so much.
    pub fn of(at: DateTime<Utc>, held: u64, amiss: &[Amiss], left_alone: u64) -> Self {
        let mut findings = Self { at, held, left_alone, ..Self::default() };
        for Amiss { known, wrong, fields } in amiss {
            *findings.count(*wrong) += 1;
            for field in fields.iter() {
                *findings.fields.entry(field).or_default() += 1;
            }
            if findings.examples.len() < EXAMPLES {
                let (id, fields) = (known.entry.key.stix_id(), fields.iter().collect());
                findings.examples.push(Example { id, wrong: *wrong, fields });
            }
        }
        findings
    }

    /// Of a lane whose destination could not be compared.
    pub fn unread(at: DateTime<Utc>, error: String) -> Self {
        Self { at, error: Some(error), ..Self::default() }
    }

    fn count(&mut self, wrong: Wrong) -> &mut u64 {
        match wrong {
            Wrong::Missing => &mut self.missing,
            Wrong::Changed => &mut self.changed,
            Wrong::Unknown => &mut self.unknown,
            Wrong::Expired => &mut self.expired,
        }
    }

    /// How many are not as they should be.
    pub fn amiss(&self) -> u64 {
        self.missing + self.changed + self.unknown + self.expired
    }

    /// How many still are.
    pub fn open(&self) -> u64 {
        self.amiss().saturating_sub(self.repaired + self.unwanted)
    }

    /// Whether nothing is amiss, or all was repaired.
    pub fn is_well(&self) -> bool {
        self.error.is_none() && self.open() == 0
    }

    /// Counts what became of each that was to be repaired, as `manifest` has it at `now`.
    pub fn recount(&mut self, marked: &[(Key, Wrong)], manifest: &Manifest, now: DateTime<Utc>) {
        (self.repaired, self.unwanted) = (0, 0);
        for (key, wrong) in marked {
            match became(*wrong, manifest.get(*key), now) {
                Became::Repaired => self.repaired += 1,
                Became::Unwanted => self.unwanted += 1,
                Became::Open => {}
            }
        }
    }

    /// What was found, in one sentence. `reach`: so far back the source can be read again.
    pub fn sentence(&self, reach: TimeDelta) -> String {
        if let Some(error) = &self.error {
            return format!("the audit could not be made: {error}");
        }
        let counts = [
            (self.missing, "missing"),
            (self.changed, "changed by others"),
            (self.unknown, "unknown to the manifest"),
            (self.expired, "ended before their time"),
        ];
        let found: Vec<String> =
            counts.iter().filter(|(count, _)| *count > 0).map(|(n, word)| format!("{n} {word}")).collect();
        if found.is_empty() {
            return format!("the audit found all {} indicators as they were sent", self.held);
        }
        let mut sentence = format!("of {} indicators the audit found {}", self.held, found.join(", "));
        if !self.fields.is_empty() {
            let fields = self.fields.iter().map(|(field, count)| format!("{}: {count}", field.word()));
            sentence.push_str(&format!(" ({})", fields.collect::<Vec<_>>().join(", ")));
        }
        if self.repair == Repair::No {
            sentence.push_str("; mati-sync audit --repair sends again or adopts what is wanted");
            return sentence;
        }
        sentence.push_str(&format!("; {} are repaired", self.repaired));
        if self.unwanted > 0 {
            sentence.push_str(&format!(", {} are no longer to be sent", self.unwanted));
        }
        match (self.open(), self.repair) {
            (0, _) => {}
            (open, Repair::UnderWay) => sentence.push_str(&format!(", {open} follow with the next pass")),
            (open, _) => sentence.push_str(&format!(
                ", {open} could not be sent again: the source no longer lists them, or not in the {} days that it can be read back, or the destination did not take them; they are sent when the source lists them again",
                reach.num_days()
            )),
        }
        sentence
    }
}

/// What became of one that was to be repaired.
enum Became {
    Repaired,
    Unwanted,
    Open,
}

fn became(wrong: Wrong, entry: Option<&Entry>, now: DateTime<Utc>) -> Became {
    match entry.map(|entry| (entry.state(), entry)) {
        // What the lane knows it goes on with, whatever that comes to.
        _ if wrong == Wrong::Unknown => Became::Repaired,
        Some((State::Held, entry)) => {
            let is_in_doubt = matches!(entry.fingerprint, Fingerprint::VOID | Fingerprint::IN_DOUBT);
            if is_in_doubt || !entry.is_held(now) { Became::Open } else { Became::Repaired }
        }
        Some((state, _)) if state.is_decided_against() || state == State::Foreign => Became::Unwanted,
        _ => Became::Open,
    }
}

/// What the manifest has to say at `now` so that the next reading sends what is wanted: a missing indicator is created, one
/// that was changed or that ended is updated, and one that is unknown is known.
pub fn mended(amiss: &Amiss, now: DateTime<Utc>) -> Known {
    let Amiss { known: Known { mut entry, handle }, wrong, .. } = *amiss;
    match wrong {
        Wrong::Missing => entry.missing(now).into(),
        Wrong::Changed | Wrong::Expired => {
            entry.fingerprint = Fingerprint::VOID;
            Known { entry, handle }
        }
        Wrong::Unknown => Known { entry, handle },
    }
}

/// The ranges in which the source updated the records of `amiss`, in whole days: what is read again. Where that is not
/// known, and of a source that cannot be asked by when it updated a record, the last `span` is.
pub fn ranges(amiss: &[Amiss], span: TimeDelta, limits: Limits, now: DateTime<Utc>) -> Vec<Window> {
    let (earliest, end) = (limits.earliest(now), limits.end(now));
    let updated = |amiss: &Amiss| DateTime::from_timestamp(amiss.known.entry.updated().into(), 0);
    let is_dated = |updated: &DateTime<Utc>| limits.recalls && *updated > DateTime::UNIX_EPOCH;
    let of_one = |amiss: &Amiss| match updated(amiss).filter(is_dated) {
        Some(updated) => {
            let midnight = updated.date_naive().and_time(NaiveTime::MIN).and_utc();
            Window { from: midnight, to: midnight + TimeDelta::days(1) }
        }
        None => Window { from: end - span, to: end },
    };
    let within = |window: Window| Window {
        from: limits.floor(window.from.clamp(earliest.min(end), end)),
        to: window.to.clamp(earliest.min(end), end),
    };
    let days: HashSet<_> = amiss.iter().map(|amiss| within(of_one(amiss))).collect();
    let mut days: Vec<Window> = days.into_iter().filter(|day| day.from < day.to).collect();
    days.sort_by_key(|day| day.from);
    let mut ranges: Vec<Window> = Vec::new();
    for day in days {
        match ranges.last_mut() {
            Some(last) if day.from <= last.to => last.to = last.to.max(day.to),
            _ => ranges.push(day),
        }
    }
    // What lies in the smallest gaps is read along.
    while ranges.len() > RANGES {
        let gap = |at: &usize| ranges[at + 1].from - ranges[*at].to;
        let at = (0..ranges.len() - 1).min_by_key(gap).expect("several ranges");
        ranges[at].to = ranges.remove(at + 1).to;
    }
    ranges
}

/// How far a lane is with comparing the manifest with what its destination shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditProgress {
    /// When the last audit by itself began, or the lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<DateTime<Utc>>,
    /// One is under way, or its repair, and stands in `audit.bin`.
    #[serde(default)]
    pub is_under_way: bool,
}

impl AuditProgress {
    pub(super) fn is_new(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an audit is due at `now` if there is to be one `every` so often.
    pub fn is_due(&self, every: TimeDelta, now: DateTime<Utc>) -> bool {
        // One in the future was noted by a clock that was ahead.
        self.last.is_none_or(|last| last + every <= now || last > now)
    }
}

/// `lanes/<lane>/audit.bin`: an audit that is under way, either of its two parts.
#[derive(Clone, Debug, PartialEq)]
pub enum Unfinished {
    /// The destination's list is being read.
    Listing(Box<Listing>),
    /// What was found is being repaired.
    Repairing { findings: Findings, marked: Vec<(Key, Wrong)> },
}

/// How far the destination's list was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    pub began: DateTime<Utc>,
    /// What the next page is asked for with.
    pub next: Option<String>,
    /// How often the list was begun again.
    pub restarts: u32,
    left_alone: u64,
    shows_labels: bool,
    noted: Vec<(Key, u16)>,
}

impl Listing {
    /// Of `auditor`, before the page of `next`.
    pub fn of(auditor: &Auditor, manifest: &Manifest, next: Option<String>, restarts: u32) -> Self {
        let unknown = auditor.unknown.iter().map(|key| (*key, 0));
        Self {
            began: auditor.began,
            next,
            restarts,
            left_alone: auditor.left_alone,
            shows_labels: auditor.shows_labels,
            noted: auditor.noted(manifest).chain(unknown).collect(),
        }
    }

    /// The auditor that goes on.
    pub fn resumed(&self, rules: Rules, manifest: &Manifest) -> Auditor {
        let mut auditor = Auditor::new(self.began, rules);
        (auditor.left_alone, auditor.shows_labels) = (self.left_alone, self.shows_labels);
        for (key, noted) in &self.noted {
            match noted {
                0 => _ = auditor.unknown.insert(*key),
                _ => auditor.recall(*key, *noted, manifest),
            }
        }
        auditor
    }
}

/// The first line of the file; behind it stand the keys, 18 bytes each with what is noted of them.
#[derive(Serialize, Deserialize)]
#[serde(tag = "part", rename_all = "snake_case")]
enum Header {
    Listing { began: DateTime<Utc>, next: Option<String>, restarts: u32, left_alone: u64, shows_labels: bool },
    Repairing { findings: Findings },
}

impl Unfinished {
    pub fn to_bytes(&self) -> Vec<u8> {
        let (header, noted) = match self {
            Self::Listing(listing) => {
                let Listing { began, next, restarts, left_alone, shows_labels, noted } = (**listing).clone();
                (Header::Listing { began, next, restarts, left_alone, shows_labels }, noted)
            }
            Self::Repairing { findings, marked } => {
                let noted = marked.iter().map(|(key, wrong)| (*key, *wrong as u16));
                (Header::Repairing { findings: findings.clone() }, noted.collect())
            }
        };
        let mut bytes = serde_json::to_vec(&header).expect("our own types are JSON");
        bytes.push(b'\n');
        for (key, noted) in noted {
            bytes.extend_from_slice(key.0.as_bytes());
            bytes.extend_from_slice(&noted.to_le_bytes());
        }
        bytes
    }

    /// `None`: it is damaged.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let line = bytes.iter().position(|byte| *byte == b'\n')?;
        let (header, rows) = (serde_json::from_slice(&bytes[..line]).ok()?, &bytes[line + 1..]);
        let (rows, []) = rows.as_chunks::<18>() else { return None };
        let noted = rows.iter().map(|row| {
            let (key, noted) = row.split_first_chunk::<16>().expect("18 bytes");
            (Key::from(*key), u16::from_le_bytes([noted[0], noted[1]]))
        });
        Some(match header {
            Header::Listing { began, next, restarts, left_alone, shows_labels } => {
                let noted = noted.collect();
                let listing = Listing { began, next, restarts, left_alone, shows_labels, noted };
                Self::Listing(Box::new(listing))
            }
            Header::Repairing { findings } => {
                let wrong = |noted: u16| Wrong::ALL.into_iter().find(|wrong| *wrong as u16 == noted);
                let marked = noted.map(|(key, noted)| Some((key, wrong(noted)?))).collect::<Option<_>>()?;
                Self::Repairing { findings, marked }
            }
        })
    }
}
