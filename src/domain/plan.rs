//! A page of records against the manifest: what to send, and what became of the rest.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::{
    deciding_record::{Decider, RecordVersion, Tag},
    decision::{Candidate, Decision, fate_of},
    entry::{Entry, Handle, Known, Place, Rank, State},
    filter::DropReason,
    fingerprint::Fingerprint,
    indicator::Indicator,
    manifest::Manifest,
    observable::{HashType, Key, Name, Observable, StixId, Subject},
    outcome::{Change, Counts, Fate},
    policy::{Circumstances, Named, Policy},
    purpose::Purpose,
};

/// An indicator to send, and what the manifest will hold once it is settled.
#[derive(Clone, Debug)]
pub struct Planned {
    pub indicator: Indicator,
    /// Which record of its page calls for it: a record may call for several.
    pub record: usize,
    /// The record that decides about the value from now on.
    pub decider: Decider,
    /// Which of a file's digests stands for it.
    pub hash_type: HashType,
    pub key: Key,
    /// What the destination knows it by already, if not by our id.
    pub handle: Option<Handle>,
    pub fingerprint: Fingerprint,
    pub change: Change,
    /// Why it is retracted, if it is.
    pub reason: Option<DropReason>,
    pub valid_until: DateTime<Utc>,
    /// It is created unasked, which counts once it is acknowledged.
    pub is_unasked: bool,
}

impl Planned {
    /// An indicator of which nothing is known, as it would be sent.
    pub(super) fn of_new(
        name: Name,
        indicator: Indicator,
        policy: &Policy,
        circumstances: &Circumstances,
    ) -> Self {
        let version = RecordVersion::of(&indicator, circumstances.horizon);
        let valid_until = policy.valid_until(&indicator, Change::Created, circumstances.now);
        Self {
            decider: Decider { version, seen: circumstances.refreshes.last_seen(), is_contested: false },
            key: name.key,
            fingerprint: policy.fingerprint(&indicator),
            ..Self::alone(indicator, name.hash_type, valid_until)
        }
    }

    /// An indicator as it is created, by itself: no record decides about it, and its content is not compared.
    pub fn alone(indicator: Indicator, hash_type: HashType, valid_until: DateTime<Utc>) -> Self {
        Self {
            record: 0,
            decider: Decider::default(),
            hash_type,
            key: indicator.observable.subject(hash_type).key(),
            handle: None,
            fingerprint: Fingerprint::VOID,
            change: Change::Created,
            reason: None,
            valid_until,
            indicator,
            is_unasked: false,
        }
    }

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

    /// The value that is sent, as the log names it.
    pub fn value(&self) -> String {
        self.subject().value.into_owned()
    }

    /// The type of indicator, as the log names it.
    pub fn type_name(&self) -> &'static str {
        self.indicator.observable.indicator_type().name()
    }

    /// What ranks it where a destination cannot hold all; an unrated one comes last. One that an older record only keeps
    /// from running out goes on being ranked by the deciding record, as it is known.
    pub fn rank(&self) -> Rank {
        if let Some(Handle::Numbered { rank, .. }) = self.handle
            && self.decider.version.tag != Tag::of(&self.indicator.source_id)
        {
            return rank;
        }
        let Indicator { threat_score, confidence, .. } = &self.indicator;
        Rank { threat_score: threat_score.unwrap_or(0), confidence: confidence.unwrap_or(0) }
    }

    /// What ranks it among others: its scores, then how recently the source updated it.
    pub(super) fn place(&self) -> Place {
        (self.rank(), self.acknowledged(None).entry.updated())
    }

    /// What is known once the destination acknowledged it, perhaps with a handle.
    pub fn acknowledged(&self, handle: Option<Handle>) -> Known {
        let state = if self.change.removes() { State::Retracted } else { State::Held };
        Known { entry: self.entry(state), handle: handle.or(self.handle) }
    }

    /// What is known while it waits to be created: as long as it would be valid if it had been created now.
    pub fn waiting(&self) -> Known {
        Known { entry: self.entry(State::Waiting), handle: self.handle }
    }

    /// What is known once the destination rejected it. What it held before, it still holds; a retraction that was rejected
    /// is made again at the next reading, an update when its content changes.
    pub fn rejected(&self, before: Option<&Entry>) -> Known {
        let entry = match before.filter(|entry| entry.state().is_held()) {
            Some(entry) if self.change.removes() => {
                entry.decided_by(self.decider).in_state(State::RetractionRejected)
            }
            Some(entry) => entry.decided_by(self.decider).rejecting(self.fingerprint),
            None => self.entry(State::Rejected),
        };
        Known { entry, handle: self.handle }
    }

    /// What is known of an indicator that is held as `before`, from when its update or retraction is sent until that is
    /// answered: if the answer is lost, the record is sent again at its next reading, even if it says by then what it said
    /// before. `None`: nothing that is held is at stake, or that much is known already.
    pub fn in_doubt(&self, before: &Entry) -> Option<Known> {
        let replaces = matches!(self.change, Change::Updated) || self.change.removes();
        let is_at_stake = before.state().is_held() && before.state() != State::UpdateRejected;
        let mut entry = *before;
        entry.fingerprint = Fingerprint::IN_DOUBT;
        (replaces && is_at_stake && entry != *before).then_some(Known { entry, handle: self.handle })
    }

    fn entry(&self, state: State) -> Entry {
        Entry::new(self.key, self.fingerprint, self.valid_until, self.decider.version, state)
            .of_type(self.indicator.observable.indicator_type())
            .decided_by(self.decider)
    }
}

/// What a page calls for.
#[derive(Debug, Default)]
pub struct Plan {
    pub send: Vec<Planned>,
    /// What changes in the manifest without anything being sent.
    pub notes: Vec<Known>,
    /// Fates that a record has already beside what is sent for it: one of its names is unchanged, another is new.
    pub beside: Vec<(usize, Fate)>,
    /// Records dropped as excluded, by the list.
    pub excluded_by: BTreeMap<String, u64>,
}

/// Decides about every indicator of a page, under each of its names; counts those that need no sending into `counts`,
/// returns the others.
///
/// The same value may stand on a page more than once: the record that decides among them speaks, the others count as
/// unchanged.
pub fn plan_page(
    page: Vec<Named>,
    policy: &Policy,
    manifest: &mut Manifest,
    circumstances: &Circumstances,
    counts: &mut Counts,
) -> Plan {
    let versions: Vec<RecordVersion> =
        page.iter().map(|named| RecordVersion::of(&named.indicator, circumstances.horizon)).collect();
    // Of several lines about one value that was rejected, the one decides that is the rejected one.
    let is_offered = |record: usize, name: &Name| {
        let Named { indicator, rejected_as, .. } = &page[record];
        let (version, fingerprint) = (versions[record], policy.fingerprint(indicator));
        let (rejected_as, admitted) = (*rejected_as, policy.admit(indicator));
        let candidate =
            Candidate { indicator, version, is_contested: false, fingerprint, rejected_as, admitted };
        manifest.get(name.key).is_some_and(|entry| candidate.is_what_was_rejected(entry))
    };
    let is_retry = circumstances.purpose == Purpose::Retry;
    let deciders = deciders(&page, &versions, |record, name| !is_retry || is_offered(record, name));
    let mut plan = Plan { send: Vec::with_capacity(page.len()), ..Plan::default() };
    // Former names that were dealt with: two records may share one.
    let mut displaced = HashSet::new();
    // All at once, because they wait for memory, and together they wait less.
    let names = page.iter().flat_map(|named| &named.names);
    let known: Vec<Option<Entry>> = names.map(|name| manifest.get(name.key).copied()).collect();
    let mut known = known.as_slice();
    // Of one record each; made once for all.
    let (mut sent, mut fates) = (Vec::new(), Vec::new());
    for (record, Named { indicator, names, rejected_as }) in page.into_iter().enumerate() {
        let held = known.split_off(..names.len()).expect("there is one for each name");
        let admitted = policy.admit(&indicator);
        let (fingerprint, version) = (policy.fingerprint(&indicator), versions[record]);
        let is_contested = names.iter().any(|name| deciders[&name.key].is_contested);
        let decides = |name: &Name| deciders[&name.key].record == record;
        let mut candidate =
            Candidate { indicator: &indicator, version, is_contested, fingerprint, rejected_as, admitted };
        let mut former = policy.former_names(&names, held, &candidate, manifest, circumstances);
        former.retain(|name| names.iter().any(decides) || indicator.former.contains(&name.key));
        // Another record of the page stands for it there, or another had the same former name.
        former.retain(|name| !deciders.contains_key(&name.key) && displaced.insert(name.key));
        let decider = candidate.decider(None, circumstances);
        for (name, held) in names.iter().zip(held) {
            candidate.is_contested = deciders[&name.key].is_contested;
            let decision = match decides(name) {
                true => policy.decide(held.as_ref(), &candidate, circumstances),
                false => Decision::Keep { fate: fate_of(admitted), note: None },
            };
            match decision {
                Decision::Send { change, decider } => sent.push((*name, change, decider)),
                Decision::Keep { fate, note } => {
                    fates.push(fate);
                    plan.notes.extend(note.map(|entry| noted(entry, manifest)));
                }
            }
        }
        if sent.is_empty() && admitted.is_err() && names.iter().any(decides) && !former.is_empty() {
            // What is no longer wanted stands under another name only.
            sent.push((former.remove(0), Change::Retracted, decider));
        }
        let planned = |indicator: Indicator, (name, change, decider): (Name, Change, Decider)| Planned {
            valid_until: policy.valid_until(&indicator, change, circumstances.now),
            indicator,
            record,
            decider,
            hash_type: name.hash_type,
            key: name.key,
            handle: manifest.handle(name.key),
            fingerprint,
            change,
            reason: admitted.err(),
            is_unasked: false,
        };
        // A former name stays as long as every new one is rejected.
        if !sent.is_empty() || fates.iter().any(|fate| *fate != Fate::Rejected) {
            let former = former.into_iter().map(|name| (name, Change::Displaced, decider));
            plan.send.extend(former.map(|name| planned(indicator.clone(), name)));
        }
        let fate = fates.drain(..).max();
        let Some(last) = sent.pop() else {
            if fate == Some(Fate::Dropped(DropReason::Excluded))
                && let Some(hit) = policy.exclusions.find(&indicator.observable)
            {
                *plan.excluded_by.entry(hit.list.to_owned()).or_default() += 1;
            }
            fate.into_iter().for_each(|fate| counts.count(fate));
            continue;
        };
        plan.beside.extend(fate.map(|fate| (record, fate)));
        plan.send.extend(sent.drain(..).map(|name| planned(indicator.clone(), name)));
        plan.send.push(planned(indicator, last));
    }
    plan
}

/// Adds to `plan` what retracts the indicators that an earlier version made of records which are malformed by today's
/// rules, as far as they are held. Returns of how many records.
pub fn plan_malformed(
    held_as: Vec<Indicator>,
    policy: &Policy,
    manifest: &Manifest,
    circumstances: &Circumstances,
    plan: &mut Plan,
) -> u64 {
    if !policy.retract {
        return 0;
    }
    let first_record = plan.send.iter().map(|item| item.record + 1).max().unwrap_or(0);
    let mut found = 0;
    for (place, indicator) in held_as.into_iter().enumerate() {
        let version = RecordVersion::of(&indicator, circumstances.horizon);
        let mut change = Change::Retracted;
        for Name { key, hash_type } in policy.possible_names(&indicator) {
            let is_held = manifest.get(key).is_some_and(|entry| entry.is_held(circumstances.now));
            if !is_held || plan.send.iter().any(|item| item.key == key) {
                continue;
            }
            plan.send.push(Planned {
                valid_until: circumstances.now,
                record: first_record + place,
                decider: Decider { version, seen: circumstances.refreshes.last_seen(), is_contested: false },
                hash_type,
                key,
                handle: manifest.handle(key),
                fingerprint: policy.fingerprint(&indicator),
                change,
                reason: Some(DropReason::Malformed),
                is_unasked: false,
                indicator: indicator.clone(),
            });
            found += u64::from(change.is_fate());
            change = Change::Displaced;
        }
    }
    found
}

/// What retracts the indicators among `values` that are held and that an entry of a list excludes, each as a record of
/// its own. Nothing is known of them but their values.
pub fn plan_excluded(
    values: Vec<Observable>,
    policy: &Policy,
    manifest: &Manifest,
    circumstances: &Circumstances,
) -> Plan {
    let mut plan = Plan::default();
    let mut seen = HashSet::new();
    for observable in values {
        let indicator = Indicator::bare(observable);
        for Name { key, hash_type } in policy.possible_names(&indicator) {
            let held = manifest.get(key).filter(|entry| entry.is_held(circumstances.now));
            let Some(entry) = held.filter(|_| seen.insert(key)) else { continue };
            plan.send.push(Planned {
                valid_until: circumstances.now,
                record: plan.send.len(),
                decider: entry.decider(circumstances.refreshes.last_seen()),
                hash_type,
                key,
                handle: manifest.handle(key),
                fingerprint: policy.fingerprint(&indicator),
                change: Change::Retracted,
                reason: Some(DropReason::Excluded),
                is_unasked: false,
                indicator: indicator.clone(),
            });
        }
    }
    plan
}

fn noted(entry: Entry, manifest: &Manifest) -> Known {
    Known { entry, handle: manifest.handle(entry.key) }
}

/// Which record decides about a key, of those of a page.
struct Deciding {
    /// Its place.
    record: usize,
    /// Another record of the value stands on the page.
    is_contested: bool,
}

/// Of each key: the greatest version of those that may decide.
fn deciders(
    page: &[Named],
    versions: &[RecordVersion],
    may_decide: impl Fn(usize, &Name) -> bool,
) -> HashMap<Key, Deciding> {
    let mut deciders = HashMap::with_capacity(page.len());
    for (record, Named { names, .. }) in page.iter().enumerate() {
        for name in names {
            let best = deciders.entry(name.key).or_insert(Deciding { record, is_contested: false });
            best.is_contested |= versions[best.record].tag != versions[record].tag;
            let place = |record| (may_decide(record, name), versions[record]);
            if best.record != record && place(best.record) <= place(record) {
                best.record = record;
            }
        }
    }
    deciders
}
