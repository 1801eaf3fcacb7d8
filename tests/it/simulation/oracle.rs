//! What must be true.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::domain::{
    manifest::Manifest,
    observable::{HashType, Key, Observable},
};
use sandbox::corpus::Record;
use serde_json::Value;

use super::chaos::is_refused;
use crate::harness::{stix, world::World};

/// By the settings of these worlds: confidence and threat score from 80, no OSINT alone. Written anew, so that it
/// does not share our filter's mistakes.
pub fn is_wanted(record: &Record) -> bool {
    record.indexed_mscore() >= 80
}

fn stored(world: &World) -> BTreeMap<String, Value> {
    let by_value = |object: Value| (stix::pattern(object["pattern"].as_str().expect("a pattern")).1, object);
    world.sentinel.stored().into_values().map(by_value).collect()
}

/// The destination holds what the feed calls for, with its newest content, and nothing else; except what was sent by a
/// pass that could not note it, and dropped before the next one: that ends with its validity. Returns how many those
/// are.
pub fn check_destination(world: &World, manifest: &Manifest) -> u64 {
    let mut forgotten = 0;
    let stored = stored(world);
    let records = world.mandiant.records();
    for record in &records {
        let value = record.value();
        let object = stored.get(value);
        if is_wanted(record) && !is_refused(value) {
            let object =
                object.unwrap_or_else(|| panic!("lost: {value}, updated {}", record.last_updated_at()));
            assert_eq!(
                object["confidence"],
                record.indexed_mscore(),
                "an earlier content of {value} is held"
            );
            stix::check(object);
        } else if let Some(object) = object {
            let until: DateTime<Utc> =
                object["valid_until"].as_str().and_then(|text| text.parse().ok()).expect("a date");
            if until > world.now() {
                forgotten += 1;
                let key = Key::of_stix_id(object["id"].as_str().expect("an id")).expect("ours");
                assert!(manifest.get(key).is_none(), "{value} is held, known and not wanted");
            }
        }
    }
    assert!(stored.len() <= records.len());
    forgotten
}

/// A content is sent once, but for what was in flight when something broke.
pub fn check_resent(world: &World, allowed: u64) -> u64 {
    let mut contents: HashMap<(String, String), u64> = HashMap::new();
    for row in world.sentinel.log() {
        // A score that rises again to what it was is sent again.
        let content = format!("{} {}", row.object["confidence"], row.object["valid_from"]);
        *contents.entry((row.id, content)).or_default() += 1;
    }
    let resent: u64 = contents.values().map(|times| times - 1).sum();
    assert!(resent <= allowed, "{resent} records were sent twice; {allowed} were in doubt");
    resent
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

/// Whatever was there from the start and lies before the checkpoint is known to the manifest.
pub fn check_checkpoint(manifest: &Manifest, watermark: DateTime<Utc>, from_the_start: &[Record]) {
    for record in
        from_the_start.iter().filter(|record| is_wanted(record) && record.last_updated_at() <= watermark)
    {
        let observable = Observable::ipv4(record.value()).expect("an address");
        let key = observable.subject(HashType::Md5).key();
        assert!(
            manifest.get(key).is_some(),
            "the checkpoint {watermark} stands beyond {}, updated {}, which is not settled",
            record.value(),
            record.last_updated_at()
        );
    }
}

/// The same of Defender's lane, which holds the best that there is room for.
pub fn check_defender(world: &World, limit: usize) {
    let held: HashMap<String, Value> = world
        .defender
        .stored()
        .into_values()
        .map(|held| (held["indicatorValue"].as_str().expect("a value").to_owned(), held))
        .collect();
    let records = world.mandiant.records();
    let (wanted, others): (Vec<&Record>, Vec<&Record>) =
        records.iter().partition(|record| is_wanted(record) && !is_refused(record.value()));
    for record in others {
        assert!(!held.contains_key(record.value()), "{} is held and is not wanted", record.value());
    }
    assert_eq!(held.len(), wanted.len().min(limit), "of {} that are wanted", wanted.len());
    for record in wanted.iter().filter(|record| held.contains_key(record.value())) {
        let description = held[record.value()]["description"].as_str().expect("a description");
        let score = format!("Confidence {},", record.indexed_mscore());
        assert!(
            description.contains(&score),
            "an earlier content of {} is held: {description}",
            record.value()
        );
    }
    let rank = |record: &Record| (record.indexed_mscore(), record.last_updated_at().timestamp() / 60);
    let weakest =
        wanted.iter().filter(|record| held.contains_key(record.value())).map(|record| rank(record)).min();
    for record in wanted.iter().filter(|record| !held.contains_key(record.value())) {
        assert!(Some(rank(record)) <= weakest, "{} is better than the weakest that is held", record.value());
    }
}

/// Every refused record is set aside with its reason.
pub fn check_refused(world: &World, lines: &str) {
    for record in
        world.mandiant.records().iter().filter(|record| is_wanted(record) && is_refused(record.value()))
    {
        let line = lines.lines().find(|line| line.contains(&format!("\"{}\"", record.value())));
        let line = line.unwrap_or_else(|| {
            let about: Vec<&str> = lines.lines().filter(|line| line.contains(record.value())).collect();
            panic!("{} was refused and is not set aside: {about:?}", record.value())
        });
        assert!(line.contains("refused for ever"), "no reason in {line}");
    }
}
