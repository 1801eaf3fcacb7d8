//! Google's threat lists, as nature writes them: packages that are final two hours after their hour began.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::domain::feeds::NotedLoss;
use sandbox::{
    corpus::Record,
    gti::{Empty, Factors, Gti, Ioc, Rate, hour_of},
};

use super::{chaos::Chaos, dice::Dice, nature::sha256};
use crate::harness::world::World;

/// All of them give files and addresses.
const LISTS: [&str; 4] = ["malware", "threat-actor", "trending", "cryptominer"];
/// More than an answer holds.
const FULL: u64 = 4050;

type Package = (String, DateTime<Utc>);

/// What the lists say of one value, by hour and list.
type Said = BTreeMap<DateTime<Utc>, BTreeMap<&'static str, Record>>;

#[derive(Clone)]
pub struct Lists(Arc<Mutex<Written>>);

struct Written {
    gti: Gti,
    dice: Dice,
    /// Whether another source lists the same: a value then stands in one list, with what that source says.
    is_second: bool,
    said: BTreeMap<String, Said>,
    /// Packages that are never made.
    missing: BTreeSet<Package>,
}

impl Lists {
    pub fn add(world: &mut World, is_second: bool, seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x1157);
        world.set("GTI_API_KEY", "sandbox-gti-key").set("GTI_LISTS", &LISTS.join(","));
        world.gti.set(|knobs| {
            knobs.empty = dice.pick(&[Empty::List, Empty::Null, Empty::Missing]);
            knobs.factors = dice.pick(&[Factors::Of2025, Factors::Of2026]);
            knobs.gzip = dice.chance(0.5);
            knobs.quota_says_when = dice.chance(0.5);
            knobs.body_delay = Duration::from_millis(dice.below(3000));
        });
        let (said, missing) = (BTreeMap::new(), BTreeSet::new());
        Self(Arc::new(Mutex::new(Written { gti: world.gti.clone(), dice, is_second, said, missing })))
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap()
    }

    /// Lists a record in the package of its hour; now and then in two lists, with different scores.
    pub fn put(&self, record: &Record) {
        let mut written = self.written();
        if written.is_second {
            let place = record.value().bytes().map(usize::from).sum::<usize>() % LISTS.len();
            return written.put(LISTS[place], record);
        }
        let list = written.dice.pick(&LISTS);
        let by_analyst = written.dice.chance(0.02);
        let record = if by_analyst { record.clone().set("by_analyst", true) } else { record.clone() };
        written.put(list, &record);
        if written.dice.chance(0.2) {
            let (other, score) = (written.dice.pick(&LISTS), written.dice.pick(&[60, 85, 95]));
            let confidence = written.dice.between(70, 95);
            written.put(other, &record.mscore(confidence as i64).threat_score(Some(score)));
        }
    }

    /// In one world of twelve a package of one list has more records than an answer holds: these are listed, too.
    pub fn fill(&self, now: DateTime<Utc>, mut next: impl FnMut(&mut Dice) -> Record) -> Vec<Record> {
        let mut written = self.written();
        if written.is_second || !written.dice.chance(0.08) {
            return Vec::new();
        }
        let at = hour_of(now) - TimeDelta::hours(5);
        let records: Vec<Record> = (0..FULL).map(|_| next(&mut written.dice).updated(at)).collect();
        records.iter().for_each(|record| written.put(LISTS[0], record));
        records
    }

    /// Every record of every package, updated when its hour ended.
    pub fn records(&self) -> Vec<Record> {
        let written = self.written();
        let hours = written.said.values().flatten();
        hours.flat_map(|(at, lists)| lists.values().map(|record| told(record.clone(), *at))).collect()
    }

    /// What the newest hour of each value says that is not lost, all its lists together.
    pub fn deciding(&self, losses: &[NotedLoss]) -> BTreeMap<String, Record> {
        let written = self.written();
        let is_there = |list: &str, at: DateTime<Utc>| {
            !written.missing.contains(&(list.to_owned(), at)) && !is_lost(losses, list, at)
        };
        let newest = |said: &Said| {
            said.iter().rev().find_map(|(at, lists)| {
                let read = lists.iter().filter(|(list, _)| is_there(list, *at));
                merged(read.map(|(_, record)| record)).map(|record| told(record, *at))
            })
        };
        let values = written.said.iter();
        values.filter_map(|(value, said)| Some((value.clone(), newest(said)?))).collect()
    }

    /// Something at the source goes wrong, or is well again.
    pub fn disturb(&self, now: DateTime<Utc>, chaos: &Chaos, dice: &mut Dice) {
        let mut written = self.written();
        let (list, hours) = (dice.pick(&LISTS).to_owned(), dice.between(2, 30) as i64);
        let at = hour_of(now) - TimeDelta::hours(hours);
        let rate = dice.chance(0.1).then_some(Rate { per_minute: 40, retry_after: dice.chance(0.5) });
        let quota = dice.chance(0.1).then(|| dice.below(200));
        if dice.chance(0.2) {
            // No pass can have read it yet.
            written.missing.insert((list.clone(), hour_of(now)));
        }
        let missing = written.missing.clone();
        written.gti.set(|knobs| {
            match dice.below(6) {
                0 => drop(knobs.holes.insert((list, at))),
                1 => drop(knobs.late.insert((list, at))),
                // What was put together with this list is for a while put together without it.
                2 if knobs.forbidden.insert(list) => chaos.note_drops(u64::MAX / 1_000_000),
                2 => {}
                3 => knobs.holes.clear(),
                4 => knobs.late.clear(),
                _ => knobs.forbidden.clear(),
            }
            knobs.holes.extend(missing);
            (knobs.rate, knobs.daily_quota) = (rate, quota);
        });
    }

    /// Everything is well, but for packages that were never made.
    pub fn calm_down(&self) {
        let written = self.written();
        written.gti.set(|knobs| {
            knobs.holes.clone_from(&written.missing);
            knobs.late.clear();
            knobs.forbidden.clear();
            (knobs.rate, knobs.daily_quota) = (None, None);
        });
    }

    pub fn missing(&self) -> BTreeSet<Package> {
        self.written().missing.clone()
    }
}

impl Written {
    /// A list shows a value once in a package, as it is at the end of the hour.
    fn put(&mut self, list: &'static str, record: &Record) {
        let at = hour_of(record.last_updated_at());
        let value = record.value();
        let ioc = match value.len() == 32 {
            true => Ioc::file(&sha256(value), Some(value)),
            false => Ioc::address(value),
        };
        let mut ioc = ioc.score(record.indexed_threat_score()).confidence(Some(record.indexed_mscore()));
        if is_benign(record) {
            ioc = ioc.factor("mandiant_analyst_benign", true);
        }
        self.gti.replace(list, at, &ioc);
        let hours = self.said.entry(value.to_owned()).or_default();
        // A list's file has both digests.
        let record = match value.len() == 32 {
            true => Record::file(Some(value), None, Some(&sha256(value)))
                .mscore(record.indexed_mscore())
                .threat_score(record.indexed_threat_score())
                .set("by_analyst", is_benign(record)),
            false => record.clone(),
        };
        hours.entry(at).or_default().insert(list, record);
    }
}

/// Whether an analyst calls the value benign.
pub fn is_benign(record: &Record) -> bool {
    record.json().get("by_analyst").is_some_and(|told| *told == true)
}

/// A package says what holds at the end of its hour.
fn told(record: Record, at: DateTime<Utc>) -> Record {
    record.updated(at + TimeDelta::hours(1) - TimeDelta::seconds(1))
}

/// The record with the highest score speaks for an hour; an analyst's word outranks it, whichever list has it.
fn merged<'a>(records: impl Iterator<Item = &'a Record>) -> Option<Record> {
    let records: Vec<&Record> = records.collect();
    let speaks = |record: &&&Record| (record.indexed_threat_score(), record.indexed_mscore());
    let best = (*records.iter().max_by_key(speaks)?).clone();
    Some(best.set("by_analyst", records.iter().any(|record| is_benign(record))))
}

/// Whether a lane told the package as lost.
pub fn is_lost(losses: &[NotedLoss], list: &str, at: DateTime<Utc>) -> bool {
    losses
        .iter()
        .map(|noted| &noted.loss)
        .any(|loss| loss.what.split(", ").any(|name| name == list) && loss.from <= at && at < loss.to)
}
