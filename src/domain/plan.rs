//! A page of records against the manifest: what to send, and what became of the rest.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    expiry::Expirations,
    filter::{DropReason, Filter},
    fingerprint::Fingerprint,
    handles::ByKey,
    indicator::Indicator,
    manifest::{Entry, Handle, Known, Manifest, Rank, State},
    observable::{HashType, Key, Observable, StixId, Subject, SubjectKind},
    outcome::{Change, Counts},
};

/// The user's choices that decide about a record, fixed for a pass.
#[derive(Clone, Debug)]
pub struct Policy {
    pub filter: Filter,
    pub expirations: Expirations,
    /// Unchanged indicators with less validity left than this are renewed.
    pub renewal_margin: TimeDelta,
    pub hash_type: HashType,
    /// `false`: send every admitted record again, held or not.
    pub deduplicate: bool,
    /// `EXPIRE_RETRACTED`: what is held and no longer wanted is taken back.
    pub retract: bool,
    /// What is the same for every object of the lane, see [`Fingerprint::of`].
    pub salt: u64,
}

/// What a page is read for, beside what is new.
#[derive(Clone, Copy, Debug, Default)]
pub struct Purpose {
    /// Settings changed: a file that stood under another digest, before `HASH_TYPE` did, is taken back there.
    pub settings_changed: bool,
    /// Offers again what was refused before.
    pub retry: bool,
}

/// An indicator to send, and what the manifest will hold once it is settled.
#[derive(Clone, Debug)]
pub struct Planned {
    pub indicator: Indicator,
    /// Which of a file's digests stands for it.
    pub hash_type: HashType,
    pub key: Key,
    /// What the destination knows it by already, if not by our id.
    pub handle: Option<Handle>,
    pub fingerprint: Fingerprint,
    pub change: Change,
    pub valid_until: DateTime<Utc>,
}

impl Planned {
    /// The id under which Sentinel knows it.
    pub fn stix_id(&self) -> StixId {
        match self.handle {
            Some(Handle::Foreign(id)) => StixId(Key(id)),
            _ => StixId(self.key),
        }
    }

    /// The single comparison that is sent.
    pub fn subject(&self) -> Subject<'_> {
        self.indicator.observable.subject(self.hash_type)
    }

    /// What ranks it where a destination cannot hold all; an unrated one comes last.
    pub fn rank(&self) -> Rank {
        Rank { threat_score: self.indicator.threat_score.unwrap_or(0), confidence: self.indicator.confidence }
    }

    /// What is known once the destination acknowledged it, perhaps with a handle.
    pub fn acknowledged(&self, handle: Option<Handle>) -> Known {
        let state = if self.change.takes_back() { State::Retracted } else { State::Held };
        Known { entry: self.entry(state), handle: handle.or(self.handle) }
    }

    /// What is known once the destination refused it. What it held before, it still holds.
    pub fn rejected(&self, before: Option<&Entry>) -> Known {
        let entry = match before {
            Some(entry) if matches!(entry.state(), State::Held | State::UpdateRejected) => {
                entry.refusing(self.fingerprint)
            }
            _ => self.entry(State::Rejected),
        };
        Known { entry, handle: self.handle }
    }

    fn entry(&self, state: State) -> Entry {
        Entry::new(self.key, self.fingerprint, self.valid_until, self.indicator.last_updated, state)
            .of_type(self.indicator.observable.indicator_type())
    }
}

/// What a lane does about one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Send(Change),
    Unchanged,
    /// Refused before, with the same content.
    StillRejected,
    Drop(DropReason),
}

/// Decides about every indicator of a page; counts those that need no sending into `counts`, returns the others.
///
/// The same observable may stand on a page more than once; only the record updated last speaks for it, the
/// others count as unchanged, since they change nothing any more.
pub fn plan_page(
    indicators: Vec<(Key, Indicator)>,
    policy: &Policy,
    manifest: &Manifest,
    purpose: Purpose,
    now: DateTime<Utc>,
    counts: &mut Counts,
) -> Vec<Planned> {
    let newest = newest_of_each(&indicators);
    let mut planned = Vec::new();
    // All at once, because they wait for memory, and together they wait less.
    let known: Vec<Option<Entry>> = indicators.iter().map(|(key, _)| manifest.get(*key).copied()).collect();
    for (place, ((key, indicator), held)) in indicators.into_iter().zip(known).enumerate() {
        let speaks = newest[&key] == place;
        let admitted = policy.filter.admit(&indicator);
        if !speaks {
            match admitted {
                Ok(()) => counts.unchanged += 1,
                Err(reason) => counts.dropped.add(reason),
            }
            continue;
        }
        let fingerprint = Fingerprint::of(&indicator, policy.salt);
        let hash_type = policy.hash_type;
        if purpose.settings_changed && policy.retract {
            let before = formerly(&indicator, fingerprint, policy, manifest, now);
            // Another record may stand for it there.
            planned.extend(before.into_iter().filter(|item| !newest.contains_key(&item.key)));
        }
        let decision = match admitted {
            Ok(()) => decide(held.as_ref(), &indicator, fingerprint, policy, purpose, now),
            Err(reason) => decide_unwanted(held.as_ref(), &indicator, fingerprint, policy, reason, now),
        };
        match decision {
            Decision::Unchanged => counts.unchanged += 1,
            Decision::StillRejected => counts.rejected += 1,
            Decision::Drop(reason) => counts.dropped.add(reason),
            Decision::Send(change) => {
                let valid_until = policy.valid_until(&indicator, change, now);
                let handle = manifest.handle(key);
                planned.push(Planned { indicator, hash_type, key, handle, fingerprint, change, valid_until });
            }
        }
    }
    planned
}

impl Policy {
    /// Each indicator with the key under which it is known.
    pub fn keyed(&self, indicators: Vec<Indicator>) -> Vec<(Key, Indicator)> {
        let key = |indicator: &Indicator| indicator.observable.subject(self.hash_type).key();
        indicators.into_iter().map(|indicator| (key(&indicator), indicator)).collect()
    }

    /// The end of validity of what is sent at `now`; what is taken back ends at once.
    pub fn valid_until(&self, indicator: &Indicator, change: Change, now: DateTime<Utc>) -> DateTime<Utc> {
        if change.takes_back() {
            return now;
        }
        self.expirations.valid_until(indicator.observable.indicator_type(), now)
    }
}

/// The place of the record updated last, for each key; of equals the later one.
fn newest_of_each(indicators: &[(Key, Indicator)]) -> ByKey<usize> {
    let mut newest = ByKey::with_capacity_and_hasher(indicators.len(), Default::default());
    for (place, (key, indicator)) in indicators.iter().enumerate() {
        let best = newest.entry(*key).or_insert(place);
        if indicators[*best].1.last_updated <= indicator.last_updated {
            *best = place;
        }
    }
    newest
}

fn decide(
    held: Option<&Entry>,
    indicator: &Indicator,
    fingerprint: Fingerprint,
    policy: &Policy,
    purpose: Purpose,
    now: DateTime<Utc>,
) -> Decision {
    let Some(entry) = held else { return Decision::Send(Change::Created) };
    let same = entry.fingerprint.covers(fingerprint, indicator);
    let void = entry.fingerprint == Fingerprint::VOID;
    let ends_soon = entry.valid_until() - policy.renewal_margin <= now;
    let is_older = entry.is_newer_than(indicator.last_updated) && !void;
    match entry.state() {
        // Mandiant may list one value under two ids: the record updated last speaks for it, wherever it is read.
        State::Held | State::Retracted if is_older => Decision::Unchanged,
        State::Held if !same => Decision::Send(Change::Updated),
        State::Held if ends_soon || !policy.deduplicate => Decision::Send(Change::Renewed),
        State::Held => Decision::Unchanged,
        State::Rejected | State::UpdateRejected if same && !purpose.retry => Decision::StillRejected,
        State::Rejected | State::Retracted => Decision::Send(Change::Created),
        State::UpdateRejected => Decision::Send(Change::Updated),
    }
}

/// What is held and no longer wanted is taken back, if the record says itself what speaks against it: a field that is
/// missing says nothing.
fn decide_unwanted(
    held: Option<&Entry>,
    indicator: &Indicator,
    fingerprint: Fingerprint,
    policy: &Policy,
    reason: DropReason,
    now: DateTime<Utc>,
) -> Decision {
    match held {
        Some(entry)
            if policy.retract
                && entry.is_held(now)
                && !entry.is_newer_than(indicator.last_updated)
                && policy.filter.is_stated(indicator, reason) =>
        {
            let refused = entry.state() == State::UpdateRejected && entry.fingerprint == fingerprint;
            if refused { Decision::StillRejected } else { Decision::Send(Change::Retracted) }
        }
        _ => Decision::Drop(reason),
    }
}

/// A file's indicators under other digests than the one that stands for it now.
fn formerly(
    indicator: &Indicator,
    fingerprint: Fingerprint,
    policy: &Policy,
    manifest: &Manifest,
    now: DateTime<Utc>,
) -> Vec<Planned> {
    let Observable::File(hashes) = &indicator.observable else { return Vec::new() };
    let current = indicator.observable.subject(policy.hash_type).kind;
    let others = hashes.all().filter(|(hash_type, _)| SubjectKind::File(*hash_type) != current);
    others
        .filter_map(|(hash_type, _)| {
            let key = indicator.observable.subject(hash_type).key();
            let entry = manifest.get(key).filter(|entry| entry.is_held(now))?;
            (!entry.is_newer_than(indicator.last_updated)).then(|| Planned {
                indicator: indicator.clone(),
                hash_type,
                key,
                handle: manifest.handle(key),
                fingerprint,
                change: Change::Displaced,
                valid_until: now,
            })
        })
        .collect()
}
