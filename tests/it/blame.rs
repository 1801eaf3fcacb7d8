//! Who is at fault, and whose an indicator is: rejected records and a destination that rejects everything; values that
//! another application holds; harmful values that an earlier version delivered.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use mati_sync::{
    clock::Deadline,
    domain::{
        deciding_record::RecordVersion,
        entry::{Entry, State},
        fingerprint::Fingerprint,
        observable::{HashType, IndicatorType, Key, Observable},
        outcome::{Counts, End},
        report::Report,
    },
    source::mandiant::LIMITS,
    state::commit::{LaneState, Origin},
};
use sandbox::corpus::Record;
use serde_json::{Value, json};

use crate::harness::world::World;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn world(targets: &str) -> World {
    let mut world = World::new();
    world.set("TARGET_APPLICATION", targets);
    world
}

fn counts(report: &Report, lane: &str) -> Counts {
    report.lanes[lane].counts
}

fn recent(world: &World, value: &str) -> Record {
    Record::ipv4(value).updated(world.ago(TimeDelta::minutes(5)))
}

/// One good indicator is delivered to both; from then on every request with one of `bad` in it is rejected whole.
async fn with_one_delivered(bad: fn(&str) -> bool) -> World {
    let world = world("sentinel,defender");
    world.mandiant.put(Record::ipv4("198.51.100.1").updated(world.ago(TimeDelta::hours(3))));
    assert_eq!(world.tick().await.end, End::CaughtUp);
    reject_whole(&world, bad);
    tokio::time::advance(HOUR).await;
    world
}

fn reject_whole(world: &World, bad: fn(&str) -> bool) {
    world.sentinel.knobs(|knobs| {
        knobs.reject_whole =
            Some(Arc::new(move |object| bad(object["name"].as_str()?).then(|| "no such thing".to_owned())));
    });
    world.defender.knobs(|knobs| {
        knobs.reject_whole = Some(Arc::new(move |indicator| {
            bad(indicator["indicatorValue"].as_str()?).then(|| "no such thing".to_owned())
        }));
    });
}

#[tokio::test(start_paused = true)]
async fn records_are_at_fault_when_the_destination_takes_what_it_holds() {
    for rejected in [1, 3, 20] {
        let world = with_one_delivered(|value| value.starts_with("198.51.101.")).await;
        world.mandiant.put_all((1..=rejected).map(|n| recent(&world, &format!("198.51.101.{n}"))));
        let report = world.tick().await;
        for lane in ["sentinel", "defender"] {
            assert_eq!(report.lanes[lane].end, End::CaughtUp, "{report:#?}");
            assert_eq!(counts(&report, lane).rejected, rejected, "{lane}: {report:#?}");
        }
        let watermark = report.lanes["sentinel"].watermark;
        tokio::time::advance(HOUR).await;
        assert!(world.tick().await.lanes["sentinel"].watermark > watermark, "it goes on");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_blamed_when_the_destination_rejects_what_it_holds_as_well() {
    for count in [1, 3, 20] {
        let world = with_one_delivered(|_| true).await;
        world.mandiant.put_all((1..=count).map(|n| recent(&world, &format!("198.51.101.{n}"))));
        let before = world.tick().await;
        for lane in ["sentinel", "defender"] {
            assert_eq!(before.lanes[lane].end, End::Stalled, "{before:#?}");
            assert_eq!(
                (counts(&before, lane).rejected, counts(&before, lane).left),
                (0, count),
                "{before:#?}"
            );
        }
        reject_whole(&world, |_| false);
        tokio::time::advance(HOUR).await;
        let report = world.tick().await;
        assert_eq!(counts(&report, "sentinel").created, count, "the watermark had stayed: {report:#?}");
        assert_eq!(counts(&report, "defender").created, count, "{report:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_holds_nothing_has_no_control_and_stalls() {
    let world = world("sentinel,defender");
    reject_whole(&world, |_| true);
    world.mandiant.put(recent(&world, "198.51.100.1"));
    let report = world.tick().await;
    for lane in ["sentinel", "defender"] {
        assert_eq!(
            (report.lanes[lane].end, counts(&report, lane).rejected),
            (End::Stalled, 0),
            "{report:#?}"
        );
    }
    // What it held has run out: that proves nothing any more.
    let world = with_one_delivered(|_| true).await;
    world.mandiant.restore([]);
    tokio::time::advance(9 * DAY).await;
    world.mandiant.put(recent(&world, "198.51.101.1"));
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().rejected), (End::Stalled, 0), "{report:#?}");
}

fn theirs(value: &str) -> Value {
    json!({"indicatorValue": value, "indicatorType": "IpAddress", "action": "Audit", "title": "theirs",
        "description": "theirs", "application": "another"})
}

fn is_ours(world: &World, value: &str) -> bool {
    let mut stored = world.defender.stored().into_values();
    stored.any(|held| held["indicatorValue"] == value && held["application"] == "mati-sync")
}

#[tokio::test(start_paused = true)]
async fn what_another_application_held_is_delivered_in_the_pass_after_that_ends() {
    let world = world("defender");
    let number = world.defender.put(theirs("198.51.100.7"));
    let other = world.defender.put(theirs("198.51.100.8"));
    let at = world.ago(TimeDelta::hours(3));
    world.mandiant.put_all(
        ["198.51.100.7", "198.51.100.8", "198.51.100.9"].map(|value| Record::ipv4(value).updated(at)),
    );
    let report = world.tick().await;
    assert_eq!(
        (counts(&report, "defender").created, counts(&report, "defender").unchanged),
        (1, 2),
        "{report:#?}"
    );
    tokio::time::advance(HOUR).await;
    let report = world.tick().await;
    assert_eq!(report.totals().created, 0, "{report:#?}");
    // A touch changes nothing about that.
    world.mandiant.put(Record::ipv4("198.51.100.7").updated(world.ago(TimeDelta::minutes(5))));
    tokio::time::advance(HOUR).await;
    world.tick().await;
    assert!(world.defender.remove(number));
    tokio::time::advance(HOUR).await;
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().created), (End::CaughtUp, 1), "{report:#?}");
    assert!(is_ours(&world, "198.51.100.7") && !is_ours(&world, "198.51.100.8"));

    // What is no longer wanted meanwhile is not delivered.
    world.mandiant.put(Record::ipv4("198.51.100.8").updated(world.ago(TimeDelta::minutes(5))).mscore(3));
    tokio::time::advance(HOUR).await;
    world.tick().await;
    assert!(world.defender.remove(other));
    tokio::time::advance(HOUR).await;
    world.tick().await;
    assert!(!is_ours(&world, "198.51.100.8"));
}

#[tokio::test(start_paused = true)]
async fn the_place_of_what_gave_way_to_a_rejected_newcomer_is_filled_in_the_next_pass() {
    let mut world = world("defender");
    world.set("DEFENDER_INDICATOR_LIMIT", "3");
    let at = world.ago(TimeDelta::hours(3));
    world.mandiant.put_all(
        (1..=3).map(|n| Record::ipv4(&format!("198.51.100.{n}")).updated(at).threat_score(Some(80 + n))),
    );
    world.tick().await;
    assert_eq!(world.defender.stored().len(), 3);
    world.defender.knobs(|knobs| {
        knobs.reject = Some(Arc::new(|indicator| {
            indicator["indicatorValue"].as_str()?.starts_with("198.51.101.").then(|| "not this".to_owned())
        }));
    });
    tokio::time::advance(HOUR).await;
    world.mandiant.put(recent(&world, "198.51.101.1").threat_score(Some(99)));
    let report = world.tick().await;
    assert_eq!((report.totals().rejected, report.totals().displaced), (1, 1), "{report:#?}");
    tokio::time::advance(HOUR).await;
    world.tick().await;
    assert_eq!(world.defender.stored().len(), 3, "the one that gave way is back");
    assert!(is_ours(&world, "198.51.100.1"));
}

/// Lets the lane's manifest hold what an earlier version made of such a value.
async fn deliver_legacy(world: &World, lane: &str, indicator_type: IndicatorType, value: &str) -> Key {
    let key = Observable::legacy(indicator_type, value).expect("it was one").subject(HashType::Md5).key();
    let app = world.start();
    let store = (app.engine.open_store)().expect("a store");
    let progress = store.progress(lane).await.expect("readable").expect("the lane has run");
    let origin = Origin {
        target: progress.target.clone(),
        settings_hash: progress.settings_hash.clone(),
        begin: progress.begin,
        now: world.now(),
        first_window: LIMITS.longest,
    };
    let lease = store.lease("legacy", &Deadline::after(HOUR)).await.expect("a storage").expect("it is free");
    let mut state = LaneState::load(&store, lane, "legacy", origin, false).await.expect("sound state");
    let until = world.now() + TimeDelta::days(7);
    let entry = Entry::new(key, Fingerprint(1000), until, RecordVersion::default(), State::Held);
    state.progress.swept = 0;
    state.commit(&lease, vec![entry.into()]).await.expect("it is committed");
    lease.release().await;
    key
}

#[tokio::test(start_paused = true)]
async fn a_harmful_value_goes_from_defender_at_once_however_many_there_are() {
    let world = world("defender");
    world.mandiant.put(Record::ipv4("198.51.100.1").updated(world.ago(TimeDelta::hours(3))));
    world.tick().await;
    let key = deliver_legacy(&world, "defender", IndicatorType::Fqdn, "com").await;
    let ours = |value: &str, kind: &str, id: &str| {
        json!({"indicatorValue": value, "indicatorType": kind, "action": "Block", "title": "ours",
            "description": "ours", "application": "mati-sync", "externalId": id})
    };
    world.defender.put(ours("com", "DomainName", &key.stix_id()));
    // More than a lane retracts unasked; and of some nothing is known any more.
    for n in 0..150 {
        world.defender.put(ours(&format!("http://192.168.{n}.1/x"), "Url", "unknown"));
    }
    world.defender.put(theirs("198.51.100.200"));
    tokio::time::advance(HOUR).await;
    let report = world.tick().await;
    assert_eq!(report.end, End::CaughtUp, "{report:#?}");
    let left: Vec<Value> =
        world.defender.stored().into_values().map(|held| held["indicatorValue"].clone()).collect();
    assert_eq!(left.len(), 2, "the good one and the other application's: {left:?}");
    assert_eq!(counts(&report, "defender").displaced, 151, "{report:#?}");
    let requests = world.defender.requests().len();
    tokio::time::advance(HOUR).await;
    world.tick().await;
    assert_eq!(world.defender.requests().len(), requests, "the list is gone through once");
}

#[tokio::test(start_paused = true)]
async fn a_harmful_value_is_retracted_at_sentinel_when_it_is_read() {
    let world = world("sentinel");
    world.mandiant.put(Record::ipv4("198.51.100.1").updated(world.ago(TimeDelta::hours(3))));
    world.tick().await;
    let key = deliver_legacy(&world, "sentinel", IndicatorType::Fqdn, "printer.local").await;
    tokio::time::advance(HOUR).await;
    world.mandiant.put_all([
        Record::fqdn("printer.local").updated(world.ago(TimeDelta::minutes(5))),
        Record::fqdn("wpad").updated(world.ago(TimeDelta::minutes(5))),
    ]);
    let report = world.tick().await;
    let counts = report.totals();
    assert_eq!(
        (report.end, counts.retracted, counts.dropped.malformed),
        (End::CaughtUp, 1, 1),
        "{report:#?}"
    );
    let (_, object) =
        world.sentinel.stored().into_iter().find(|((_, id), _)| *id == key.stix_id()).expect("sent");
    let until = object["valid_until"].as_str().and_then(|text| text.parse().ok());
    assert!(until.is_some_and(|until: chrono::DateTime<chrono::Utc>| until <= world.now()), "{object}");
}

#[tokio::test(start_paused = true)]
async fn a_value_in_a_former_spelling_gives_way_to_the_present_one() {
    let world = world("sentinel");
    world.mandiant.put(Record::ipv4("198.51.100.1").updated(world.ago(TimeDelta::hours(3))));
    world.tick().await;
    let spellings = ["HTTP://Evil.Example/A", "http://evil.example:80/A"];
    let mut former = Vec::new();
    for spelling in spellings {
        former.push(deliver_legacy(&world, "sentinel", IndicatorType::Url, spelling).await);
    }
    tokio::time::advance(HOUR).await;
    let record = |(n, url): (i64, &str)| {
        Record::url(url).set("id", format!("url--{n}")).updated(world.ago(TimeDelta::minutes(5 + n)))
    };
    world.mandiant.put_all((0..).zip(spellings).map(record));
    let report = world.tick().await;
    let counts = report.totals();
    assert_eq!((counts.created, counts.displaced, counts.unchanged), (1, 2, 1), "{report:#?}");
    assert_eq!(world.held(), ["198.51.100.1", "http://evil.example/A"], "two former keys leave one");
    let app = world.start();
    let manifest = app.engine.manifest("sentinel").await.unwrap();
    assert!(
        former.iter().all(|key| manifest.get(*key).is_some_and(|entry| entry.state() == State::Retracted))
    );
    tokio::time::advance(HOUR).await;
    assert_eq!(world.tick().await.totals().displaced, 0, "once");
}

#[tokio::test(start_paused = true)]
async fn a_rejection_that_names_a_kind_speaks_about_such_records() {
    let world = with_one_delivered(|_| false).await;
    world.defender.knobs(|knobs| {
        knobs.reject_whole = Some(Arc::new(|_| Some("Indicator type FileMd5 is not supported".to_owned())));
    });
    let at = world.ago(TimeDelta::minutes(5));
    let file = |digit: &str| Record::file(Some(&digit.repeat(32)), None, None).updated(at);
    world.mandiant.put_all(["a", "b", "c"].map(file));
    let report = world.tick().await;
    assert_eq!(
        (report.lanes["defender"].end, counts(&report, "defender").rejected),
        (End::CaughtUp, 3),
        "{report:#?}"
    );
}
