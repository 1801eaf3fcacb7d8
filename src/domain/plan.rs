//! A page of records against the manifest: what to send, and what became of the rest.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    expiry::Expirations,
    filter::Filter,
    fingerprint::Fingerprint,
    indicator::Indicator,
    manifest::{Entry, Handle, Known, Manifest, State},
    observable::{HashType, Key, Subject},
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
    /// What is the same for every object of the lane, see [`Fingerprint::of`].
    pub salt: u64,
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
    pub fn stix_id(&self) -> String {
        match self.handle {
            Some(Handle::Foreign(id)) => Key(id).stix_id(),
            _ => self.key.stix_id(),
        }
    }

    /// The single comparison that is sent.
    pub fn subject(&self) -> Subject<'_> {
        self.indicator.observable.subject(self.hash_type)
    }

    /// What is known once the destination acknowledged it, perhaps with a handle.
    pub fn acknowledged(&self, handle: Option<Handle>) -> Known {
        let state = if self.change == Change::Retracted { State::Retracted } else { State::Held };
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
    }
}

/// What a lane does about one admitted record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Send(Change),
    Unchanged,
    /// Refused before, with the same content.
    StillRejected,
}

/// Decides about every indicator of a page; counts those that need no sending into `counts`, returns the others.
///
/// The same observable may stand on a page more than once; only the record updated last speaks for it, the
/// others count as unchanged, since they change nothing any more.
pub fn plan_page(
    indicators: Vec<Indicator>,
    policy: &Policy,
    manifest: &Manifest,
    now: DateTime<Utc>,
    counts: &mut Counts,
) -> Vec<Planned> {
    let keys: Vec<Key> =
        indicators.iter().map(|indicator| indicator.observable.subject(policy.hash_type).key()).collect();
    let newest = newest_of_each(&indicators, &keys);
    let mut planned = Vec::new();
    for (place, (indicator, key)) in indicators.into_iter().zip(keys).enumerate() {
        if let Err(reason) = policy.filter.admit(&indicator) {
            counts.dropped.add(reason);
            continue;
        }
        if newest[&key] != place {
            counts.unchanged += 1;
            continue;
        }
        let fingerprint = Fingerprint::of(&indicator, policy.salt);
        match decide(manifest.get(key), &indicator, fingerprint, policy, now) {
            Decision::Unchanged => counts.unchanged += 1,
            Decision::StillRejected => counts.rejected += 1,
            Decision::Send(change) => {
                let valid_until = policy.expirations.valid_until(indicator.observable.indicator_type(), now);
                let (hash_type, handle) = (policy.hash_type, manifest.handle(key));
                planned.push(Planned { indicator, hash_type, key, handle, fingerprint, change, valid_until });
            }
        }
    }
    planned
}

/// The place of the record updated last, for each key; of equals the later one.
fn newest_of_each(indicators: &[Indicator], keys: &[Key]) -> HashMap<Key, usize> {
    let mut newest: HashMap<Key, usize> = HashMap::with_capacity(keys.len());
    for (place, key) in keys.iter().enumerate() {
        let best = newest.entry(*key).or_insert(place);
        if indicators[*best].last_updated <= indicators[place].last_updated {
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
    now: DateTime<Utc>,
) -> Decision {
    let Some(entry) = held else { return Decision::Send(Change::Created) };
    let same = entry.fingerprint == fingerprint;
    let void = entry.fingerprint == Fingerprint::VOID;
    let ends_soon = entry.valid_until() - policy.renewal_margin <= now;
    match entry.state() {
        // Mandiant may list one value under two ids: the record updated last speaks for it, wherever it is read.
        State::Held if entry.is_newer_than(indicator.last_updated) && !void => Decision::Unchanged,
        State::Held if !same => Decision::Send(Change::Updated),
        State::Held if ends_soon || !policy.deduplicate => Decision::Send(Change::Renewed),
        State::Held => Decision::Unchanged,
        State::Rejected | State::UpdateRejected if same => Decision::StillRejected,
        State::Rejected | State::Retracted => Decision::Send(Change::Created),
        State::UpdateRejected => Decision::Send(Change::Updated),
    }
}
