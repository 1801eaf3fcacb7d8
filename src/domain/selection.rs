//! The best of what is new, chosen before any of it is sent: pages come oldest first, and each would otherwise displace
//! what the one before brought.

use std::{cmp::Reverse, collections::HashMap};

use super::{
    capacity::{Answer, Capacity},
    deciding_record::{RecordVersion, Tag},
    entry::Place,
    manifest::Manifest,
    observable::{Key, Name, Observable},
    plan::Planned,
    policy::{Circumstances, Named, Policy},
};

/// So many more wait than there could be room for, or a tenth more: some become weaker while they wait, and some are
/// rejected.
const RESERVE: usize = 500;

/// New indicators that wait for their turn. Files that are to be held under several digests wait for nothing.
#[derive(Debug)]
pub struct Selection {
    /// What the destination holds, and what waits.
    capacity: Capacity,
    /// Of each value the records that were read, oldest first.
    waiting: HashMap<Key, Vec<Named>>,
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
    pub others: Vec<Named>,
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
        page: Vec<Named>,
        policy: &Policy,
        manifest: &mut Manifest,
        circumstances: &Circumstances,
        is_excluded: impl Fn(&Planned) -> bool,
    ) -> Selected {
        let mut selected = Selected::default();
        for mut named in page {
            let indicator = &mut named.indicator;
            // As the version of the record is judged: later windows end later.
            indicator.last_updated = indicator.last_updated.map(|updated| updated.min(circumstances.horizon));
            let is_admitted = policy.filter.admit(&named.indicator).is_ok();
            let [name] = named.names[..] else {
                self.release(named, &mut selected);
                continue;
            };
            if self.waiting.contains_key(&name.key) {
                match is_admitted {
                    true => self.add(name, named, policy, circumstances),
                    // Which of them decides, the plan says at once.
                    false => self.release(named, &mut selected),
                }
                continue;
            }
            if !is_admitted || !policy.is_new(&named, manifest) {
                self.follow(name, &named, is_admitted, policy, circumstances);
                selected.others.push(named);
                continue;
            }
            let planned = Planned::of_new(name, named.indicator.clone(), policy, circumstances);
            if is_excluded(&planned) {
                selected.others.push(named);
                continue;
            }
            let answer = self.capacity.ask(name.key, planned.place());
            if answer == Answer::NoRoom {
                selected.turned_away += 1;
                self.has_turned_away = true;
                continue;
            }
            self.waiting.insert(name.key, vec![named]);
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

    /// Takes the best that wait, the records of so many values.
    pub fn take(&mut self, values: usize) -> Vec<Named> {
        let mut keys: Vec<(Place, Key)> =
            self.waiting.keys().filter_map(|key| Some((self.capacity.place(*key)?, *key))).collect();
        keys.sort_unstable_by_key(|ranked| Reverse(*ranked));
        let best = keys.into_iter().take(values);
        let taken: Vec<Named> = best.filter_map(|(_, key)| self.waiting.remove(&key)).flatten().collect();
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

    /// Another admitted record of a value that waits: if it decides, the value is ranked by it.
    fn add(&mut self, name: Name, named: Named, policy: &Policy, circumstances: &Circumstances) {
        let records = self.waiting.entry(name.key).or_default();
        let version = |named: &Named| RecordVersion::of(&named.indicator, circumstances.horizon);
        if records.iter().all(|record| version(record) <= version(&named)) {
            let planned = Planned::of_new(name, named.indicator.clone(), policy, circumstances);
            self.capacity.put_at(name.key, planned.place());
        }
        records.push(named);
        self.records += 1;
    }

    /// Lets a record be decided about at once, and with it those that wait under its names.
    fn release(&mut self, named: Named, selected: &mut Selected) {
        for name in &named.names {
            if let Some(records) = self.waiting.remove(&name.key) {
                self.capacity.leave(name.key);
                self.records -= records.len();
                selected.others.extend(records);
            }
        }
        selected.others.push(named);
    }

    /// What a record says of a value that is held may make it weaker, or take it away.
    fn follow(
        &mut self,
        name: Name,
        named: &Named,
        is_admitted: bool,
        policy: &Policy,
        circumstances: &Circumstances,
    ) {
        let Some(before) = self.capacity.place(name.key) else { return };
        if is_admitted {
            let place = Planned::of_new(name, named.indicator.clone(), policy, circumstances).place();
            self.capacity.put_at(name.key, place.min(before));
        } else {
            self.capacity.leave(name.key);
        }
    }
}

impl Policy {
    /// Whether nothing is known of an indicator, under any name that it may have.
    fn is_new(&self, named: &Named, manifest: &mut Manifest) -> bool {
        let Named { indicator, names, .. } = named;
        let is_unknown = |name: &Name| manifest.get(name.key).is_none();
        names.iter().all(is_unknown)
            && self.possible_names(indicator).iter().all(is_unknown)
            && (!matches!(indicator.observable, Observable::File(_))
                || manifest.files_of(Tag::of(&indicator.source_id)).is_empty())
    }
}
