//! What a lane does about one record.
//!
//! Of the records of one value that the source still lists, the one updated last decides, for or against. A record that
//! does not decide changes nothing; but any that admits a held indicator keeps it from running out.

use std::{cmp::Ordering, collections::HashSet};

use super::{
    deciding_record::{Decider, RecordVersion, Tag},
    entry::{Entry, State},
    filter::DropReason,
    fingerprint::Fingerprint,
    indicator::Indicator,
    manifest::Manifest,
    observable::{HashType, Key, Name, Observable},
    outcome::{Change, Fate},
    policy::{Circumstances, Policy},
    purpose::Purpose,
};

/// What a lane does about one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Send {
        change: Change,
        /// The record that decides from now on.
        decider: Decider,
    },
    /// Nothing is sent; perhaps something is noted.
    Keep { fate: Fate, note: Option<Entry> },
}

/// A record of the page that speaks for its value.
pub(super) struct Candidate<'a> {
    pub indicator: &'a Indicator,
    pub version: RecordVersion,
    /// Another record of the value stands on the page.
    pub is_contested: bool,
    pub fingerprint: Fingerprint,
    /// See [`Named::rejected_as`](super::policy::Named::rejected_as).
    pub rejected_as: Option<Fingerprint>,
    pub admitted: Result<(), DropReason>,
}

impl Candidate<'_> {
    /// What is known of this record once it decides in place of the one that `held` knows.
    pub(super) fn decider(&self, held: Option<&Entry>, circumstances: &Circumstances) -> Decider {
        let seen = circumstances.refreshes.last_seen();
        let is_contested = held.is_some_and(|entry| {
            let before = entry.deciding_record();
            match self.version.tag == before.tag {
                true => entry.is_contested(),
                // The older one may be listed still.
                false => before.tag != Tag::UNKNOWN && self.version > before,
            }
        });
        Decider { version: self.version, seen, is_contested: self.is_contested || is_contested }
    }

    /// Whether `entry` knows this as what was rejected, or something before it. A rejection is judged again only if nothing
    /// else has spoken since; that the record was touched says nothing, nor that it would be sent in another form by now.
    pub(super) fn is_what_was_rejected(&self, entry: &Entry) -> bool {
        let is_retraction = match entry.state() {
            State::RetractionRejected => true,
            state if state.is_rejection() => false,
            _ => return false,
        };
        let is_known_as = |fingerprint| entry.fingerprint == fingerprint;
        let is_same = match is_retraction {
            true => self.admitted.is_err(),
            false => is_known_as(self.fingerprint) || self.rejected_as.is_some_and(is_known_as),
        };
        match self.version.cmp(&entry.deciding_record()) {
            Ordering::Greater => true,
            // A package time that was read again with more of its feeds gave another content of the same time.
            Ordering::Equal => {
                let is_told =
                    self.rejected_as.is_some() && (is_retraction || entry.fingerprint.is_of_content());
                is_same || !is_told
            }
            Ordering::Less => is_same && !is_retraction,
        }
    }
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
                Ok(()) => Decision::Send {
                    change: Change::Created,
                    decider: candidate.decider(None, circumstances),
                },
                Err(_) => nothing,
            };
        };
        let mut hears = entry.yields_to(version, circumstances.refreshes);
        let mut decider = candidate.decider(held, circumstances);
        if circumstances.purpose == Purpose::Retry {
            if !candidate.is_what_was_rejected(entry) {
                return nothing;
            }
            hears = true;
            if version <= entry.deciding_record() {
                // A line on file does not tell that the source still lists the record.
                decider = entry.decider(decider.seen);
            }
        }
        match (hears, admitted) {
            (true, Ok(())) => self.decide_for(entry, candidate, decider, circumstances),
            (true, Err(reason)) => self.decide_against(entry, candidate, decider, reason, circumstances),
            (false, Ok(())) => self.support(entry, candidate, circumstances),
            (false, Err(reason)) => {
                let may_decide = self.retracts(candidate.indicator, reason);
                let note = may_decide.then(|| contested(entry, candidate, circumstances));
                Decision::Keep {
                    fate: Fate::Dropped(reason),
                    note: note.and_then(|after| changed(entry, after)),
                }
            }
        }
    }

    /// The deciding record is admitted.
    fn decide_for(
        &self,
        entry: &Entry,
        candidate: &Candidate<'_>,
        decider: Decider,
        circumstances: &Circumstances,
    ) -> Decision {
        let same = entry.fingerprint.covers(candidate.fingerprint, candidate.indicator);
        let ends_soon = entry.valid_until() < circumstances.renew_before;
        let is_retry = circumstances.purpose == Purpose::Retry;
        let heard = heard(entry, decider);
        let keep = |fate, entry_then: Entry| Decision::Keep { fate, note: changed(entry, entry_then) };
        let send = |change| Decision::Send { change, decider };
        match entry.state() {
            State::Rejected if same && !is_retry => keep(Fate::Rejected, heard),
            State::Rejected
            | State::Retracted
            | State::Foreign
            | State::Absent
            | State::Waiting
            | State::Confirmed => send(Change::Created),
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
        decider: Decider,
        reason: DropReason,
        circumstances: &Circumstances,
    ) -> Decision {
        let heard = heard(entry, decider);
        let fate = Fate::Dropped(reason);
        if !self.retracts(candidate.indicator, reason) {
            let is_listed = candidate.version.tag == entry.deciding_record().tag;
            let note = is_listed.then(|| changed(entry, seen(entry, decider)));
            return Decision::Keep { fate, note: note.flatten() };
        }
        if entry.is_held(circumstances.now) {
            return Decision::Send { change: Change::Retracted, decider };
        }
        // Nothing is held; an older record, or the line about an earlier rejection, must not bring it back.
        Decision::Keep { fate, note: changed(entry, heard.in_state(State::Retracted)) }
    }

    /// A record that does not decide is admitted: it keeps what is held from running out. What the destination lost, or shows
    /// otherwise than it was sent, it brings back. It goes on yielding to the deciding record, as an earlier state of that
    /// does, so that nothing is heard that was said between the two. Only where another source gave the deciding record, and
    /// the present one will never tell that it is gone, it decides from now on.
    fn support(&self, entry: &Entry, candidate: &Candidate<'_>, circumstances: &Circumstances) -> Decision {
        // The deciding record goes on deciding, until it is known that the source lists it no more.
        let after = contested(entry, candidate, circumstances);
        let is_void = entry.fingerprint == Fingerprint::VOID;
        let yields = circumstances.recalls || candidate.version.tag == entry.deciding_record().tag;
        let yielding = || after.decider(circumstances.refreshes.last_seen());
        let taking_over = || candidate.decider(Some(entry), circumstances);
        match entry.state() {
            State::Held | State::UpdateRejected if is_void => {
                let decider = if yields { yielding() } else { taking_over() };
                Decision::Send { change: Change::Updated, decider }
            }
            State::Absent if is_void && !yields => {
                Decision::Send { change: Change::Created, decider: taking_over() }
            }
            State::Held | State::UpdateRejected if entry.valid_until() < circumstances.renew_before => {
                Decision::Send { change: Change::Renewed, decider: yielding() }
            }
            _ => Decision::Keep { fate: Fate::Unchanged, note: changed(entry, after) },
        }
    }

    /// Under which names other than the `wanted` ones, of which so much is known, the destination holds what `candidate` is
    /// about: former spellings of the value, and, if it decides about one that is wanted, other digests of the same file,
    /// in the record or not any more.
    pub(super) fn former_names(
        &self,
        wanted: &[Name],
        known: &[Option<Entry>],
        candidate: &Candidate<'_>,
        manifest: &mut Manifest,
        circumstances: &Circumstances,
    ) -> Vec<Name> {
        let Candidate { indicator, version, admitted, .. } = *candidate;
        if admitted.is_err_and(|reason| !self.retracts(indicator, reason)) {
            return Vec::new();
        }
        let held = |manifest: &Manifest, key: Key| {
            let is_wanted = wanted.iter().any(|name| name.key == key);
            manifest.get(key).copied().filter(|entry| !is_wanted && entry.is_held(circumstances.now))
        };
        // No record's value is spelt so any more: whichever record lists it, it is retracted.
        let spellings = indicator.former.iter().filter(|key| held(manifest, **key).is_some());
        let mut names: Vec<Name> = spellings.map(|key| self.former_name(*key)).collect();
        let yields = |entry: &Entry| entry.yields_to(version, circumstances.refreshes);
        let decides = known.iter().any(|known| known.as_ref().is_none_or(yields));
        if let Observable::File(hashes) = &indicator.observable
            && decides
        {
            let is_other =
                |(hash_type, _): &(HashType, &str)| wanted.iter().all(|name| name.hash_type != *hash_type);
            let name =
                |(hash_type, _)| Name { key: indicator.observable.subject(hash_type).key(), hash_type };
            let former = manifest.files_of(version.tag).into_iter().map(|key| self.former_name(key));
            let mut digests: Vec<Name> = hashes.all().filter(is_other).map(name).chain(former).collect();
            digests.retain(|name| held(manifest, name.key).as_ref().is_some_and(yields));
            names.append(&mut digests);
        }
        // Each once; of two names for one digest that of the record, which knows its kind.
        let mut seen = HashSet::new();
        names.retain(|name| seen.insert(name.key));
        names
    }
}

/// `entry` once `decider` was met.
fn heard(entry: &Entry, decider: Decider) -> Entry {
    let known = (entry.deciding_record(), entry.is_contested());
    if known == (decider.version, decider.is_contested) {
        seen(entry, decider)
    } else {
        entry.decided_by(decider)
    }
}

/// `entry` once its deciding record was met.
fn seen(entry: &Entry, Decider { seen, .. }: Decider) -> Entry {
    if entry.is_seen_anew(seen) { entry.seen(seen) } else { *entry }
}

/// `entry` once another record was met than the deciding one, which may decide when that is gone. From then on it is
/// kept up to date when the deciding one was last met; a state of it that is no longer listed tells nothing.
fn contested(entry: &Entry, candidate: &Candidate<'_>, circumstances: &Circumstances) -> Entry {
    if entry.tracks_sightings() || candidate.version.tag == entry.deciding_record().tag {
        return *entry;
    }
    entry.contested(circumstances.refreshes.last_seen())
}

fn changed(before: &Entry, after: Entry) -> Option<Entry> {
    (*before != after).then_some(after)
}
