//! What must be true.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::domain::{
    manifest::Manifest,
    observable::{HashType, Observable},
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

/// The destination holds what the feed calls for, with its newest content, and nothing else.
pub fn check_destination(world: &World) {
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
        } else {
            assert!(object.is_none(), "{value} is held and was never wanted");
        }
    }
    assert!(stored.len() <= records.len());
}

/// A content is sent once, but for what was in flight when something broke.
pub fn check_resent(world: &World, allowed: u64) -> u64 {
    let mut contents: HashMap<(String, String), u64> = HashMap::new();
    for row in world.sentinel.log() {
        *contents.entry((row.id, row.object["confidence"].to_string())).or_default() += 1;
    }
    let resent: u64 = contents.values().map(|times| times - 1).sum();
    assert!(resent <= allowed, "{resent} records were sent twice; {allowed} were in doubt");
    resent
}

/// No 60 seconds hold more requests than permitted, wherever one starts to count.
pub fn check_pace(world: &World, per_minute: u64, zombies: u64) {
    let times: Vec<DateTime<Utc>> = world.sentinel.requests().iter().map(|request| request.at).collect();
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
