//! What a lane does about one record.
//!
//! Of the records of one value that the source still lists, the one updated last decides, for or against. A record that
//! does not decide changes nothing; but any that admits a held indicator keeps it from running out.

use std::collections::HashSet;

use super::{
    deciding_record::RecordVersion,
    entry::{Entry, State},
    filter::DropReason,
    fingerprint::Fingerprint,
    indicator::Indicator,
    manifest::Manifest,
    observable::{HashType, Key, Observable},
    outcome::Change,
    policy::{Circumstances, Policy},
    purpose::Purpose,
};

/// What a lane does about one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Send {
        change: Change,
        /// The record that decides from now on.
        version: RecordVersion,
    },
    /// Nothing is sent; perhaps something is noted.
    Keep { fate: Fate, note: Option<Entry> },
}

/// What becomes of a record for which nothing is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Unchanged,
    /// Rejected before, with the same content.
    StillRejected,
    Dropped(DropReason),
}

/// A record of the page that speaks for its value.
pub(super) struct Candidate<'a> {
    pub indicator: &'a Indicator,
    pub version: RecordVersion,
    pub fingerprint: Fingerprint,
    pub admitted: Result<(), DropReason>,
}

/// The fate of a record that changes nothing.
pub(super) fn fate_of(admitted: Result<(), DropReason>) -> Fate {
    match admitted {
        Ok(()) => Fate::Unchanged,
        Err(reason) => Fate::Dropped(reason),
    }
}

impl Policy {
    /// What is done about the value of `candidate`, of which so much is known.
    pub(super) fn decide(
        &self,
        held: Option<&Entry>,
        candidate: &Candidate<'_>,
        circumstances: &Circumstances,
    ) -> Decision {
        let Candidate { version, admitted, .. } = *candidate;
        let nothing = Decision::Keep { fate: fate_of(admitted), note: None };
        let Some(entry) = held else {
            return match admitted {
                Ok(()) => Decision::Send { change: Change::Created, version },
                Err(_) => nothing,
            };
        };
        let mut hears = entry.yields_to(version, circumstances.refreshes);
        if circumstances.purpose == Purpose::Retry {
            // A rejection is judged again only if nothing else has spoken since; that the record was touched says nothing.
            let is_the_rejected =
                entry.fingerprint == candidate.fingerprint || version >= entry.deciding_record();
            if !entry.state().is_rejection() || !is_the_rejected {
                return nothing;
            }
            hears = true;
        }
        let version = if circumstances.purpose == Purpose::Retry {
            version.max(entry.deciding_record())
        } else {
            version
        };
        let candidate = &Candidate { version, ..*candidate };
        match (hears, admitted) {
            (true, Ok(())) => self.decide_for(entry, candidate, circumstances),
            (true, Err(reason)) => self.decide_against(entry, candidate, reason, circumstances),
            (false, Ok(())) => self.support(entry, circumstances),
            (false, Err(reason)) => {
                let speaks_against = self.retract
                    && !entry.state().is_decided_against()
                    && entry.is_held(circumstances.now)
                    && self.filter.is_stated(candidate.indicator, reason);
                let note = speaks_against.then(|| contest(entry, circumstances)).flatten();
                Decision::Keep { fate: Fate::Dropped(reason), note }
            }
        }
    }

    /// The deciding record is admitted.
    fn decide_for(
        &self,
        entry: &Entry,
        candidate: &Candidate<'_>,
        circumstances: &Circumstances,
    ) -> Decision {
        let version = candidate.version;
        let same = entry.fingerprint.covers(candidate.fingerprint, candidate.indicator);
        let ends_soon = self.ends_soon(entry, circumstances);
        let is_retry = circumstances.purpose == Purpose::Retry;
        let heard = heard(entry, version, circumstances);
        let keep = |fate, entry_then: Entry| Decision::Keep { fate, note: changed(entry, entry_then) };
        let send = |change| Decision::Send { change, version };
        match entry.state() {
            State::Rejected if same && !is_retry => keep(Fate::StillRejected, heard),
            State::Rejected | State::Retracted | State::Foreign | State::Absent => send(Change::Created),
            // What is held is not what the source says: that is tried at each reading, as a rejected retraction is.
            State::UpdateRejected => send(Change::Updated),
            _ if !same => send(Change::Updated),
            _ if ends_soon || !self.deduplicate => send(Change::Renewed),
            _ => keep(Fate::Unchanged, heard.in_state(State::Held)),
        }
    }

    /// The deciding record is not admitted: what is held is retracted, if the record says itself what speaks against it;
    /// a field that is missing says nothing.
    fn decide_against(
        &self,
        entry: &Entry,
        candidate: &Candidate<'_>,
        reason: DropReason,
        circumstances: &Circumstances,
    ) -> Decision {
        let heard = heard(entry, candidate.version, circumstances);
        let fate = Fate::Dropped(reason);
        if !self.retract || !self.filter.is_stated(candidate.indicator, reason) {
            let seen = (candidate.version.tag == entry.deciding_record().tag)
                .then(|| changed(entry, seen(entry, circumstances)));
            return Decision::Keep { fate, note: seen.flatten() };
        }
        if entry.is_held(circumstances.now) {
            return Decision::Send { change: Change::Retracted, version: candidate.version };
        }
        // Nothing is held; an older record, or the line about an earlier rejection, must not bring it back.
        Decision::Keep { fate, note: changed(entry, heard.in_state(State::Retracted)) }
    }

    /// A record that does not decide is admitted: it keeps what is held from running out.
    fn support(&self, entry: &Entry, circumstances: &Circumstances) -> Decision {
        // The deciding record goes on deciding.
        let send = |change| Decision::Send { change, version: entry.deciding_record() };
        let is_void = entry.fingerprint == Fingerprint::VOID;
        match entry.state() {
            State::Held | State::UpdateRejected if is_void => send(Change::Updated),
            State::Held | State::UpdateRejected if self.ends_soon(entry, circumstances) => {
                send(Change::Renewed)
            }
            _ => Decision::Keep { fate: Fate::Unchanged, note: None },
        }
    }

    fn ends_soon(&self, entry: &Entry, circumstances: &Circumstances) -> bool {
        entry.valid_until() - self.renewal_margin <= circumstances.now
    }

    /// Under which other keys the destination holds what `candidate` is about: former spellings of the value, and, if it
    /// decides, other digests of the same file, in the record or not any more. With each the digest that stands for it.
    pub(super) fn former_names(
        &self,
        current: Key,
        held: Option<&Entry>,
        candidate: &Candidate<'_>,
        manifest: &mut Manifest,
        circumstances: &Circumstances,
    ) -> Vec<(Key, HashType)> {
        let Candidate { indicator, version, admitted, .. } = *candidate;
        if admitted.is_err_and(|reason| !self.retract || !self.filter.is_stated(indicator, reason)) {
            return Vec::new();
        }
        let is_held = |manifest: &Manifest, key: &Key| {
            manifest.get(*key).copied().filter(|entry| *key != current && entry.is_held(circumstances.now))
        };
        // No record's value is spelt so any more: whichever record lists it, it is retracted.
        let spellings = indicator.former.iter().filter(|key| is_held(manifest, key).is_some());
        let mut names: Vec<(Key, HashType)> = spellings.map(|key| (*key, self.hash_type)).collect();
        let decides = held.is_none_or(|entry| entry.yields_to(version, circumstances.refreshes));
        if let Observable::File(hashes) = &indicator.observable
            && decides
        {
            let key = |digest| indicator.observable.subject(digest).key();
            let digests = hashes.all().map(|(digest, _)| (key(digest), digest));
            let former = manifest.files_of(version.tag).map(|key| (key, self.hash_type));
            let mut digests: Vec<(Key, HashType)> = digests.chain(former).collect();
            digests.retain(|(key, _)| {
                is_held(manifest, key).is_some_and(|entry| entry.yields_to(version, circumstances.refreshes))
            });
            names.append(&mut digests);
        }
        // Each once; of two entries for one digest that of the record, which knows its kind.
        let mut seen = HashSet::new();
        names.retain(|(key, _)| seen.insert(*key));
        names
    }
}

/// `entry` once the deciding record `voice` was met.
fn heard(entry: &Entry, version: RecordVersion, circumstances: &Circumstances) -> Entry {
    if version == entry.deciding_record() {
        seen(entry, circumstances)
    } else {
        entry.decided_by(version, circumstances.refreshes.last_seen())
    }
}

/// `entry` once its deciding record was met.
fn seen(entry: &Entry, circumstances: &Circumstances) -> Entry {
    let now = circumstances.refreshes.last_seen();
    if entry.is_seen_anew(now) { entry.seen(now) } else { *entry }
}

/// What is to be noted where an older record speaks against what the deciding one admits.
fn contest(entry: &Entry, circumstances: &Circumstances) -> Option<Entry> {
    (!entry.is_contested()).then(|| entry.contested(circumstances.refreshes.last_seen()))
}

fn changed(before: &Entry, after: Entry) -> Option<Entry> {
    (*before != after).then_some(after)
}
