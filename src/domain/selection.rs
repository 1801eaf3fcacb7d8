//! The best of what is new, chosen before any of it is sent: pages come oldest first, and each would otherwise displace
//! what the one before brought.

use std::{cmp::Reverse, collections::HashMap};

use super::{
    capacity::{Answer, Capacity},
    deciding_record::{RecordVersion, Tag},
    entry::Place,
    indicator::Indicator,
    manifest::Manifest,
    observable::{Key, Observable},
    plan::Planned,
    policy::{Circumstances, Policy},
};

/// So many more wait than there could be room for, or a tenth more: some become weaker while they wait, and some are
/// rejected.
const RESERVE: usize = 500;

/// New indicators that wait for their turn.
#[derive(Debug)]
pub struct Selection {
    /// What the destination holds, and what waits.
    capacity: Capacity,
    /// Of each value the records that were read, oldest first.
    waiting: HashMap<Key, Vec<Indicator>>,
    records: usize,
    has_turned_away: bool,
}

/// What becomes of a page.
#[derive(Debug, Default)]
pub struct Selected {
    /// Values that have no room, and the older records of theirs that waited with them.
    pub turned_away: u64,
    pub superseded: u64,
    /// What is decided about at once, because something is known of the value already.
    pub others: Vec<(Key, Indicator)>,
}

impl Selection {
    /// Chooses what `capacity` has room for.
    pub fn new(capacity: &Capacity) -> Self {
        let capacity = capacity.with_more(RESERVE.max(capacity.size() / 10));
        Self { capacity, waiting: HashMap::new(), records: 0, has_turned_away: false }
    }

    /// Takes in a page. Those for which `is_excluded` is true wait for nothing.
    pub fn choose(
        &mut self,
        keyed: Vec<(Key, Indicator)>,
        policy: &Policy,
        manifest: &mut Manifest,
        circumstances: &Circumstances,
        is_excluded: impl Fn(&Planned) -> bool,
    ) -> Selected {
        let mut selected = Selected::default();
        for (key, mut indicator) in keyed {
            // As the version of the record is judged: later windows end later.
            indicator.last_updated = indicator.last_updated.map(|updated| updated.min(circumstances.horizon));
            let is_admitted = policy.filter.admit(&indicator).is_ok();
            if self.waiting.contains_key(&key) {
                self.add(key, indicator, is_admitted, policy, circumstances, &mut selected);
                continue;
            }
            if !is_admitted || !policy.is_new(key, &indicator, manifest) {
                self.follow(key, &indicator, is_admitted, policy, circumstances);
                selected.others.push((key, indicator));
                continue;
            }
            let planned = Planned::of_new(key, indicator, policy, circumstances);
            let (place, is_excluded) = (planned.place(), is_excluded(&planned));
            if is_excluded {
                selected.others.push((key, planned.indicator));
                continue;
            }
            let answer = self.capacity.ask(key, place);
            if answer == Answer::NoRoom {
                selected.turned_away += 1;
                self.has_turned_away = true;
                continue;
            }
            self.waiting.insert(key, vec![planned.indicator]);
            self.records += 1;
            if let Answer::Displaces(leaver) = answer
                && let Some(records) = self.waiting.remove(&leaver)
            {
                self.records -= records.len();
                selected.turned_away += 1;
                selected.superseded += records.len() as u64 - 1;
                self.has_turned_away = true;
            }
        }
        selected
    }

    /// Takes the best that wait, records of about so many values.
    pub fn take(&mut self, values: usize) -> Vec<(Key, Indicator)> {
        let mut keys: Vec<(Place, Key)> =
            self.waiting.keys().filter_map(|key| Some((self.capacity.place(*key)?, *key))).collect();
        keys.sort_unstable_by_key(|ranked| Reverse(*ranked));
        let mut taken = Vec::new();
        for (_, key) in keys.into_iter().take(values) {
            let records = self.waiting.remove(&key).unwrap_or_default();
            taken.extend(records.into_iter().map(|indicator| (key, indicator)));
        }
        self.records -= taken.len();
        taken
    }

    /// Records that wait.
    pub fn records(&self) -> u64 {
        self.records as u64
    }

    /// Whether anything had no room that would have been the next best.
    pub fn has_turned_away(&self) -> bool {
        self.has_turned_away
    }

    /// Another record of a value that waits: if it decides and is admitted, the value is ranked by it.
    fn add(
        &mut self,
        key: Key,
        indicator: Indicator,
        is_admitted: bool,
        policy: &Policy,
        circumstances: &Circumstances,
        selected: &mut Selected,
    ) {
        let records = self.waiting.entry(key).or_default();
        let version = |indicator: &Indicator| RecordVersion::of(indicator, circumstances.horizon);
        let decides = records.iter().all(|record| version(record) <= version(&indicator));
        if !is_admitted {
            // Which of them decides, the plan says at once.
            let released = self.waiting.remove(&key).unwrap_or_default();
            self.records -= released.len();
            selected.others.extend(released.into_iter().chain([indicator]).map(|record| (key, record)));
            self.capacity.leave(key);
            return;
        }
        records.push(indicator.clone());
        self.records += 1;
        if decides {
            let place = Planned::of_new(key, indicator, policy, circumstances).place();
            self.capacity.put_at(key, place);
        }
    }

    /// What a record says of a value that is held may make it weaker, or take it away.
    fn follow(
        &mut self,
        key: Key,
        indicator: &Indicator,
        is_admitted: bool,
        policy: &Policy,
        circumstances: &Circumstances,
    ) {
        let Some(before) = self.capacity.place(key) else { return };
        if is_admitted {
            let place = Planned::of_new(key, indicator.clone(), policy, circumstances).place();
            self.capacity.put_at(key, place.min(before));
        } else {
            self.capacity.leave(key);
        }
    }
}

impl Policy {
    /// Whether nothing is known of an indicator, under any of its names.
    fn is_new(&self, key: Key, indicator: &Indicator, manifest: &mut Manifest) -> bool {
        manifest.get(key).is_none()
            && self.names(indicator).iter().all(|(key, _)| manifest.get(*key).is_none())
            && (!matches!(indicator.observable, Observable::File(_))
                || manifest.files_of(Tag::of(&indicator.source_id)).next().is_none())
    }
}
