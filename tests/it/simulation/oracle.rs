//! What must be true.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::domain::{manifest::Manifest, observable::Key};
use sandbox::corpus::Record;
use serde_json::Value;

use super::{
    lists::is_benign,
    nature::{is_rejected, sha256, strongest},
    source::Deciding,
};
use crate::harness::{stix, world::World};

/// What the feed calls for at the end, by the settings of then. Written anew, so that it does not share our program's
/// mistakes.
pub struct Truth {
    /// By the value that records have in common.
    deciding: Deciding,
    threshold: i64,
    /// The digests under which files stand at Sentinel, as HASH_TYPE names them; at Defender it is their strongest.
    hash_type: String,
    /// Whether it is known when the records behind what is held were updated: two sources tell different times.
    knows_times: bool,
}

impl Truth {
    pub fn of(deciding: Deciding, threshold: i64, hash_type: &str, knows_times: bool) -> Self {
        Self { deciding, threshold, hash_type: hash_type.to_owned(), knows_times }
    }

    pub fn is_wanted(&self, record: &Record) -> bool {
        self.is_admitted(record) && !is_rejected(record.value())
    }

    fn is_admitted(&self, record: &Record) -> bool {
        let scores = record.indexed_mscore() >= self.threshold && record.indexed_threat_score() >= Some(80);
        scores && !is_benign(record)
    }

    /// Those about which the feed is not silent.
    fn decided(&self) -> impl Iterator<Item = &Record> {
        self.deciding.values().flatten()
    }

    /// The values whose deciding record is wanted.
    pub fn wanted(&self) -> HashSet<&str> {
        self.decided().filter(|record| self.is_wanted(record)).map(Record::value).collect()
    }

    /// What a record is held by where `hash_type` stands for files, and under which other digests it must not be.
    fn names(record: &Record, hash_type: &str) -> (Vec<String>, Vec<String>) {
        let value = record.value().to_owned();
        match strongest(record) {
            Some(digest) if hash_type.contains(',') => (vec![digest, value], Vec::new()),
            Some(digest) if hash_type == "sha256" => (vec![digest], vec![value]),
            _ if value.len() == 32 => (vec![value.clone()], vec![sha256(&value)]),
            _ => (vec![value], Vec::new()),
        }
    }
}

fn until(object: &Value) -> DateTime<Utc> {
    object["valid_until"].as_str().and_then(|text| text.parse().ok()).expect("a date")
}

/// What Sentinel holds and is valid, by value.
fn valid(world: &World) -> BTreeMap<String, Value> {
    let objects = world.sentinel.stored().into_values();
    let objects = objects.filter(|object| until(object) > world.now());
    objects.map(|object| (stix::pattern(object["pattern"].as_str().expect("a pattern")).1, object)).collect()
}

/// The destination holds what the feed calls for, with its newest content, and nothing that it speaks against; except
/// what was sent by a pass that could not note it, and dropped before the next one: that ends with its validity. Returns
/// how many those are. Values for which `is_open` is true are passed over.
pub fn check_destination(
    world: &World,
    truth: &Truth,
    listed: &[Record],
    manifest: &Manifest,
    is_open: impl Fn(&str) -> bool,
) -> u64 {
    let mut forgotten = 0;
    let held = valid(world);
    let mut is_unwanted = |value: &str, why: &str| {
        let Some(object) = held.get(value) else { return };
        forgotten += 1;
        let key = Key::of_stix_id(object["id"].as_str().expect("an id")).expect("ours");
        let is_known = manifest.get(key).is_some_and(|entry| entry.is_held(world.now()));
        assert!(!is_known, "{value} is held, known and {why}: {object}");
    };
    for record in truth.decided().filter(|record| !is_open(record.value())) {
        let (values, others) = Truth::names(record, &truth.hash_type);
        others.iter().for_each(|other| is_unwanted(other, "a former digest"));
        if !truth.is_wanted(record) {
            values.iter().for_each(|value| is_unwanted(value, "not wanted"));
            continue;
        }
        let history = |value: &String| {
            let listed = listed.iter().filter(|other| other.value() == record.value());
            let listed: Vec<_> =
                listed.map(|other| (other.last_updated_at(), other.indexed_mscore())).collect();
            let log = world.sentinel.log();
            let rows = log.iter().filter(|row| row.object["pattern"].to_string().contains(value));
            let rows: Vec<_> =
                rows.map(|row| (row.at, row.object["confidence"].clone(), until(&row.object))).collect();
            format!("{value}, updated {}; listed {listed:?}, and was sent {rows:?}", record.last_updated_at())
        };
        for value in &values {
            let object = held.get(value).unwrap_or_else(|| panic!("lost: {}", history(value)));
            let score = record.indexed_mscore();
            assert_eq!(object["confidence"], score, "another content is held of {}", history(value));
            stix::check(object);
        }
    }
    forgotten
}

/// A content is sent once, but for what was in flight when something broke.
pub fn check_resent(world: &World, allowed: u64) -> u64 {
    let mut contents: HashMap<(String, String), u64> = HashMap::new();
    for row in world.sentinel.log() {
        // A score that rises again to what it was is sent again.
        let content =
            format!("{} {} {}", row.object["confidence"], row.object["valid_from"], row.object["labels"]);
        *contents.entry((row.id, content)).or_default() += 1;
    }
    let resent: u64 = contents.values().map(|times| times - 1).sum();
    assert!(resent <= allowed, "{resent} records were sent twice; {allowed} were in doubt");
    resent
}

/// No value stands there under two ids.
pub fn check_ids(world: &World) {
    let mut patterns: HashMap<String, Value> = HashMap::new();
    // What is retracted may have been known under a digest that its record no longer tells.
    for object in world.sentinel.stored().into_values().filter(|object| until(object) > world.now()) {
        let before = patterns.insert(object["pattern"].to_string(), object.clone());
        assert!(before.is_none(), "a value has a second id: {before:?} and {object}");
    }
}

/// A lane of less than a day retracts no more than 100 unasked: when the last 24 hours began, it held nothing. Files
/// are left out, because a digest that gives way to another is not counted.
pub fn check_retraction_limit(world: &World, confirmed_at: DateTime<Utc>) {
    let log = world.sentinel.log();
    let is_file = |object: &Value| object["pattern"].as_str().is_some_and(|text| text.starts_with("[file"));
    let log = log.iter().filter(|row| row.at < confirmed_at && !is_file(&row.object));
    let unasked = log.filter(|row| until(&row.object) <= row.at);
    let ids: HashSet<&String> = unasked.map(|row| &row.id).collect();
    assert!(
        ids.len() <= 100,
        "{} were retracted in less than a day, and no operator confirmed it",
        ids.len()
    );
}

/// No 60 seconds hold more requests than permitted, wherever one starts to count.
pub fn check_pace(world: &World, per_minute: u64, zombies: u64) {
    let requests = world.sentinel.requests();
    check_times(requests.iter().map(|request| request.at).collect(), per_minute, zombies);
}

/// The same of requests made at `times`.
pub fn check_times(times: Vec<DateTime<Utc>>, per_minute: u64, zombies: u64) {
    for (index, start) in times.iter().enumerate() {
        let within =
            times[index..].iter().take_while(|at| **at < *start + TimeDelta::seconds(60)).count() as u64;
        let minute: Vec<String> =
            times[index..].iter().take(within as usize).map(|at| at.format("%T%.3f").to_string()).collect();
        assert!(
            within <= per_minute + zombies,
            "{within} requests in a minute, {minute:?}; {per_minute} are permitted"
        );
    }
}

/// Whatever was there from the start, lies before the checkpoint and is wanted still, is held or set aside.
pub fn check_checkpoint(
    world: &World,
    watermark: DateTime<Utc>,
    from_the_start: &[Record],
    wanted: &HashSet<&str>,
) {
    let held = valid(world);
    for record in from_the_start.iter().filter(|record| wanted.contains(record.value())) {
        let is_held = held.contains_key(record.value()) || held.contains_key(sha256(record.value()).as_str());
        assert!(
            is_held || record.last_updated_at() > watermark,
            "the checkpoint {watermark} stands beyond {}, updated {}, which is not settled",
            record.value(),
            record.last_updated_at()
        );
    }
}

/// The same of Defender's lane, which holds the best that there is room for.
pub fn check_defender(world: &World, truth: &Truth, limit: usize) {
    let stored = world.defender.stored();
    let by_value = |ours: bool| -> HashMap<String, &Value> {
        let of = stored.values().filter(|held| (held["application"] == "mati-sync") == ours);
        of.map(|held| (held["indicatorValue"].as_str().expect("a value").to_owned(), held)).collect()
    };
    let (held, theirs) = (by_value(true), by_value(false));
    assert!(stored.len() <= limit.max(theirs.len()), "{} are held, and {limit} may be", stored.len());
    assert!(theirs.values().all(|held| held["description"] == "theirs"), "another's indicator was changed");
    let (mut wanted, mut silent) = (Vec::new(), held.len());
    for record in truth.decided() {
        let (values, others) = Truth::names(record, "sha256");
        let [value] = <[String; 1]>::try_from(values).expect("the strongest alone");
        let is_former = others.iter().find(|other| held.contains_key(*other));
        assert!(is_former.is_none(), "{is_former:?} is held, a former digest");
        match truth.is_wanted(record) {
            false => assert!(!held.contains_key(&value), "{value} is held and is not wanted"),
            true if theirs.contains_key(&value) => {}
            true => wanted.push((value, record)),
        }
    }
    let (held_wanted, outside): (Vec<_>, Vec<_>) =
        wanted.iter().partition(|(value, _)| held.contains_key(value));
    silent -= held_wanted.len();
    let room = limit.saturating_sub(theirs.len() + silent);
    assert!(
        held_wanted.len() >= wanted.len().min(room),
        "{} are held of {} that are wanted; {silent} others, {} of another's, {limit} in all",
        held_wanted.len(),
        wanted.len(),
        theirs.len()
    );
    for (value, record) in &held_wanted {
        let description = held[value]["description"].as_str().expect("a description");
        let score = format!("Confidence {},", record.indexed_mscore());
        assert!(description.contains(&score), "another content of {value} is held: {description}");
    }
    let rank = |record: &Record| {
        let minute = if truth.knows_times { record.last_updated_at().timestamp() / 60 } else { 0 };
        (record.indexed_threat_score(), record.indexed_mscore(), minute)
    };
    let weakest = held_wanted.iter().map(|(_, record)| rank(record)).min();
    // Room is given while a reading goes on, in the order of pages. What gave way, or found none, is remembered with the
    // record that decides, so that the readings of the calm come to the best.
    let better: Vec<_> = outside
        .iter()
        .filter(|(_, record)| Some(rank(record)) > weakest)
        .map(|(value, record)| (value, rank(record)))
        .collect();
    assert!(
        better.is_empty(),
        "{} are better than the weakest that is held, {weakest:?}: {better:?}",
        better.len()
    );
}

/// Every record that decides, is wanted and is rejected is set aside with its reason. What another application holds at
/// Defender is not offered there and cannot be rejected: it is in `remembered`, to be offered when that ends.
pub fn check_rejected(world: &World, truth: &Truth, lines: &str, remembered: &str) {
    let stored = world.defender.stored();
    let is_theirs = |value: &str| {
        let mut theirs = stored.values().filter(|held| held["application"] != "mati-sync");
        theirs.any(|held| held["indicatorValue"] == value)
    };
    let admitted = truth.decided().filter(|record| truth.is_admitted(record));
    for record in admitted.filter(|record| is_rejected(record.value())) {
        let quoted = format!("\"{}\"", record.value());
        match lines.lines().find(|line| line.contains(&quoted)) {
            Some(line) => assert!(line.contains("rejected for ever"), "no reason in {line}"),
            None => assert!(
                is_theirs(record.value()) && remembered.contains(&quoted),
                "{} was rejected and is not set aside",
                record.value()
            ),
        }
    }
}
