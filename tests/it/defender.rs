//! The lane to Defender for Endpoint: what it sends, how it keeps to the tenant's limit, and how it lives beside
//! Sentinel's.

use std::{collections::BTreeMap, time::Duration};

use chrono::TimeDelta;
use mati_sync::domain::{
    outcome::{Counts, End},
    report::Report,
    request::RunOptions,
};
use sandbox::{corpus::Record, defender::Operation, sentinel::Authorization};
use serde_json::{Value, json};

use crate::harness::world::World;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn world(targets: &str) -> World {
    let mut world = World::new();
    world.set("TARGET_APPLICATION", targets);
    world
}

fn address(n: usize) -> String {
    format!("198.51.{}.{}", 100 + n / 250, n % 250 + 1)
}

/// Addresses whose threat scores are their numbers modulo 20, from 80.
fn fill(world: &World, numbers: std::ops::Range<usize>) {
    let at = world.ago(TimeDelta::hours(30));
    world.mandiant.put_all(numbers.map(|n| {
        let score = 80 + n as i64 % 20;
        Record::ipv4(&address(n)).updated(at + TimeDelta::seconds(n as i64)).threat_score(Some(score))
    }));
}

/// What the tenant holds of ours, by value.
fn held(world: &World) -> BTreeMap<String, Value> {
    let ours = world.defender.stored().into_values().filter(|held| held["application"] == "mati-sync");
    ours.map(|held| (held["indicatorValue"].as_str().expect("a value").to_owned(), held)).collect()
}

fn counts(report: &Report) -> Counts {
    report.lanes["defender"].counts
}

#[tokio::test(start_paused = true)]
async fn every_type_arrives_once_and_is_updated_under_its_number() {
    let world = world("defender");
    let at = world.ago(TimeDelta::hours(3));
    let digest = |digit: &str, length| digit.repeat(length);
    world.mandiant.put_all([
        Record::ipv4("198.51.100.1").updated(at),
        Record::ipv6("2001:4860:4860::8888").updated(at),
        Record::fqdn("bad.example").updated(at),
        Record::url("https://bad.example/a?b=c").updated(at),
        Record::file(Some(&digest("a", 32)), Some(&digest("a", 40)), Some(&digest("a", 64))).updated(at),
        Record::file(Some(&digest("b", 32)), Some(&digest("b", 40)), None).updated(at),
        Record::file(Some(&digest("c", 32)), None, None).updated(at),
    ]);
    let report = world.tick().await;
    assert_eq!(
        (report.end, counts(&report).created, report.lanes.len()),
        (End::CaughtUp, 7, 1),
        "{report:#?}"
    );
    assert_eq!(world.sentinel.requests().len(), 0, "it is no target");
    let first = held(&world);
    let kinds: Vec<&Value> = first.values().map(|held| &held["indicatorType"]).collect();
    for kind in ["IpAddress", "DomainName", "Url", "FileSha256", "FileSha1", "FileMd5"] {
        assert!(kinds.iter().any(|held| *held == kind), "{kind} of {kinds:?}");
    }
    assert!(first.values().all(|held| held["action"] == "Audit" && held["generateAlert"] == true));

    tokio::time::advance(HOUR).await;
    world.mandiant.put(Record::fqdn("bad.example").updated(world.ago(TimeDelta::minutes(9))).mscore(99));
    let report = world.tick().await;
    assert_eq!((counts(&report).updated, counts(&report).created), (1, 0), "{report:#?}");
    assert_eq!(held(&world)["bad.example"]["id"], first["bad.example"]["id"]);
    assert_eq!(world.tick().await.totals().requests, 0, "nothing new costs nothing");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_longer_wanted_is_deleted_and_what_expires_is_renewed() {
    let world = world("defender");
    fill(&world, 0..40);
    world.tick().await;
    for _ in 0..12 {
        tokio::time::advance(DAY).await;
        let report = world.tick().await;
        assert_eq!((report.end, held(&world).len()), (End::CaughtUp, 40), "{report:#?}");
    }
    let at = world.ago(TimeDelta::minutes(5));
    world.mandiant.put_all((0..3).map(|n| Record::ipv4(&address(n)).updated(at).mscore(1)));
    let report = world.tick().await;
    assert_eq!((counts(&report).retracted, held(&world).len()), (3, 37), "{report:#?}");
    // An operator deleted one by hand: the next deletion among others goes through all the same.
    let gone = held(&world)[&address(10)]["id"].as_str().unwrap().parse().unwrap();
    assert!(world.defender.remove(gone));
    tokio::time::advance(HOUR).await;
    let at = world.ago(TimeDelta::minutes(5));
    world.mandiant.put_all((10..13).map(|n| Record::ipv4(&address(n)).updated(at).mscore(1)));
    let report = world.tick().await;
    assert_eq!((counts(&report).retracted, held(&world).len()), (3, 34), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn the_best_are_held_and_only_the_strictly_better_displace_the_weakest() {
    let mut world = world("defender");
    world.set("DEFENDER_INDICATOR_LIMIT", "100");
    let foreign = |n: usize| {
        json!({"indicatorValue": format!("theirs{n}.example"), "indicatorType": "DomainName",
        "action": "Audit", "title": "theirs", "description": "theirs", "application": "another"})
    };
    for n in 0..20 {
        world.defender.put(foreign(n));
    }
    fill(&world, 0..200);
    let report = world.tick().await;
    let first = counts(&report);
    assert_eq!((report.end, first.created, first.over_limit), (End::CaughtUp, 80, 120), "{report:#?}");
    let scores = |world: &World| -> Vec<i64> {
        let held = held(world);
        let mut scores: Vec<i64> =
            (0..400).filter(|n| held.contains_key(&address(*n))).map(|n| 80 + n as i64 % 20).collect();
        scores.sort_unstable();
        scores
    };
    assert_eq!(scores(&world)[0], 92, "ten of each score: the best eight scores");
    assert_eq!(world.defender.stored().len(), 100);

    // Ten of a score of 99 come, and ten of 80.
    tokio::time::advance(HOUR).await;
    let at = world.ago(TimeDelta::minutes(9));
    let score = |n: usize| if n < 310 { 99 } else { 80 };
    world
        .mandiant
        .put_all((300..320).map(|n| Record::ipv4(&address(n)).updated(at).threat_score(Some(score(n)))));
    let report = world.tick().await;
    let second = counts(&report);
    assert_eq!((second.created, second.displaced, second.over_limit), (10, 10, 10), "{report:#?}");
    assert_eq!((world.defender.stored().len(), held(&world).len()), (100, 80));
    assert!((300..310).all(|n| held(&world).contains_key(&address(n))));
    assert!(world.defender.stored().values().filter(|held| held["application"] == "another").count() == 20);

    // The next refresh moves no indicator: nothing that stands outside is better than the weakest inside.
    tokio::time::advance(4 * DAY).await;
    let report = world.tick().await;
    assert_eq!((counts(&report).displaced, counts(&report).created), (0, 0), "{report:#?}");
    // Those of another application leave: the next refresh fills their place.
    let theirs: Vec<u64> = world
        .defender
        .stored()
        .iter()
        .filter(|(_, held)| held["application"] == "another")
        .map(|(id, _)| *id)
        .collect();
    theirs.into_iter().for_each(|id| assert!(world.defender.remove(id)));
    tokio::time::advance(4 * DAY).await;
    let report = world.tick().await;
    assert_eq!((report.end, held(&world).len()), (End::CaughtUp, 100), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn another_applications_indicators_are_never_touched() {
    let world = world("defender");
    fill(&world, 0..5);
    let foreign = json!({"indicatorValue": address(3), "indicatorType": "IpAddress", "action": "Allowed",
        "title": "theirs", "description": "theirs", "application": "another"});
    let number = world.defender.put(foreign);
    let before = world.defender.stored()[&number].clone();
    let report = world.tick().await;
    assert_eq!(
        (report.end, counts(&report).created, counts(&report).unchanged),
        (End::CaughtUp, 4, 1),
        "{report:#?}"
    );
    tokio::time::advance(HOUR).await;
    world.mandiant.put(Record::ipv4(&address(3)).updated(world.ago(TimeDelta::minutes(9))).mscore(2));
    world.tick().await;
    assert_eq!(world.defender.stored()[&number], before);
}

#[tokio::test(start_paused = true)]
async fn another_applications_entry_for_another_path_keeps_nothing_out() {
    let world = world("defender");
    for theirs in ["http://evil.example/LOGIN", "http://evil.example/x", "HTTP://Evil.Example/same"] {
        world.defender.put(json!({"indicatorValue": theirs, "indicatorType": "Url", "action": "Allowed",
            "title": "theirs", "description": "theirs", "application": "another"}));
    }
    let at = world.ago(TimeDelta::hours(3));
    let ours = ["http://evil.example/login", "http://evil.example/x/", "http://evil.example/same"];
    world.mandiant.put_all(ours.map(|url| Record::url(url).updated(at)));
    let report = world.tick().await;
    assert_eq!((counts(&report).created, counts(&report).unchanged), (2, 1), "{report:#?}");
    assert_eq!(held(&world).into_keys().collect::<Vec<_>>(), &ours[..2]);
}

/// A value's newer record ranks it lower, on the very page for which it makes way.
#[tokio::test(start_paused = true)]
async fn what_makes_way_is_not_brought_back_by_an_older_record_at_each_reading() {
    let mut world = world("defender");
    world.set("DEFENDER_INDICATOR_LIMIT", "2");
    world.mandiant.set(|knobs| knobs.longest_page = 2);
    let record = |id: &str, address: usize, hours, mscore| {
        let record = Record::ipv4(&self::address(address)).set("id", format!("ipv4--{id}"));
        record.updated(world.ago(TimeDelta::hours(hours))).mscore(mscore)
    };
    world.mandiant.put_all([
        record("older", 1, 9, 97),
        record("other", 2, 8, 90),
        record("newer", 1, 7, 85),
        record("better", 3, 6, 88),
    ]);
    world.tick().await;
    let ideal = [address(2), address(3)];
    assert_eq!(held(&world).into_keys().collect::<Vec<_>>(), ideal);
    let report = world.command(RunOptions { lookback_days: Some(2), ..RunOptions::default() }).await;
    assert_eq!((counts(&report).created, counts(&report).displaced), (0, 0), "{report:#?}");
    assert_eq!(held(&world).into_keys().collect::<Vec<_>>(), ideal);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_fails_leaves_each_record_one_fate() {
    let mut world = world("defender");
    world.set("DEFENDER_INDICATOR_LIMIT", "3");
    let at = world.ago(TimeDelta::hours(3));
    let record = |number: usize, mscore| Record::ipv4(&address(number)).updated(at).mscore(mscore);
    world.mandiant.put_all([record(1, 85), record(2, 86)]);
    world.tick().await;
    world.defender.put(json!({
        "indicatorValue": address(3), "indicatorType": "IpAddress", "action": "Audit", "title": "theirs",
        "description": "theirs", "application": "another", "generateAlert": true,
    }));
    world.net.on_request(|exchange| {
        exchange.uri.path().ends_with("/BatchDelete").then(|| sandbox::net::Fault::status(500))
    });
    // One that displaces another, one without room, and one that another application has there.
    world.mandiant.put_all([record(3, 99), record(4, 98), record(5, 80)]);
    let report = world.command(RunOptions { lookback_days: Some(2), ..RunOptions::default() }).await;
    assert_eq!(report.end, End::Stalled, "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_lowered_limit_is_kept_to_at_once() {
    let mut world = world("defender");
    fill(&world, 0..100);
    world.tick().await;
    world.set("DEFENDER_INDICATOR_LIMIT", "30");
    let report = world.tick().await;
    assert_eq!(
        (report.end, counts(&report).displaced, held(&world).len()),
        (End::CaughtUp, 70, 30),
        "{report:#?}"
    );
    world.set("DEFENDER_INDICATOR_LIMIT", "60");
    let report = world.tick().await;
    assert_eq!((counts(&report).created, held(&world).len()), (30, 60), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_is_full_of_others_is_no_error() {
    let mut world = world("defender");
    world.defender.knobs(|knobs| knobs.capacity = 10);
    world.set("DEFENDER_INDICATOR_LIMIT", "50");
    fill(&world, 0..30);
    let report = world.tick().await;
    let counts = counts(&report);
    assert_eq!(
        (report.end, counts.created, counts.over_limit, counts.rejected),
        (End::CaughtUp, 10, 20, 0),
        "{report:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn lost_state_finds_its_indicators_again() {
    let world = world("defender");
    fill(&world, 0..50);
    world.tick().await;
    let numbers: Vec<u64> = world.defender.stored().into_keys().collect();
    std::fs::remove_dir_all(world.state.path().join("lanes")).unwrap();
    world.mandiant.put(Record::ipv4(&address(4)).updated(world.ago(TimeDelta::minutes(9))).mscore(2));
    let report = world.tick().await;
    assert_eq!(report.end, End::CaughtUp, "{report:#?}");
    assert!(world.defender.stored().into_keys().all(|id| numbers.contains(&id)), "nothing is there twice");
    tokio::time::advance(4 * DAY).await;
    world.tick().await;
    assert_eq!(held(&world).len(), 49, "also what dropped while the manifest did not know it");
}

#[tokio::test(start_paused = true)]
async fn blocking_is_asked_for_by_settings_and_passive_wins() {
    for (passive, domain, file) in [("false", "Block", "BlockAndRemediate"), ("true", "Audit", "Audit")] {
        let mut world = world("defender");
        world.set("DEFAULT_ACTION", "block").set("PASSIVE_ONLY", passive);
        let at = world.ago(TimeDelta::hours(3));
        let digest = "d".repeat(64);
        world.mandiant.put_all([
            Record::fqdn("bad.example").updated(at),
            Record::file(Some(&"d".repeat(32)), None, Some(&digest)).updated(at),
        ]);
        assert_eq!(world.tick().await.totals().created, 2);
        let held = held(&world);
        assert_eq!(
            (&held["bad.example"]["action"], &held[&digest]["action"]),
            (&json!(domain), &json!(file))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn both_lanes_run_side_by_side_and_neither_waits_for_the_other() {
    let world = world("sentinel,defender");
    fill(&world, 0..300);
    world.sentinel.authorize(|_, _| Authorization::Forbidden);
    let report = world.tick().await;
    assert_eq!(report.end, End::Stalled, "{report:#?}");
    assert_eq!(report.lanes["sentinel"].end, End::Stalled);
    assert_eq!((report.lanes["defender"].end, held(&world).len()), (End::CaughtUp, 300));
    assert!(report.message.contains("Microsoft Sentinel Contributor"), "{}", report.message);
    world.sentinel.authorize(|_, _| Authorization::Valid);
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 300), "{report:#?}");
    assert_eq!(counts(&report).created, 0, "each has its own progress");

    let only = RunOptions {
        destinations: Some(vec!["sentinel".to_owned()]),
        rebuild: true,
        ..RunOptions::default()
    };
    let report = world.command(only).await;
    assert_eq!(report.lanes.keys().collect::<Vec<_>>(), ["sentinel"]);
    assert_eq!(report.totals().updated, 300);
}

#[tokio::test(start_paused = true)]
async fn a_chain_in_which_one_lane_paused_and_the_other_stalled_fails_at_its_end() {
    let mut world = world("sentinel,defender");
    world.set("SENTINEL_REQUESTS_PER_MINUTE", "2");
    fill(&world, 0..900);
    world.defender.knobs(|knobs| {
        let rejection = sandbox::sentinel::Answer { status: 403, headers: Vec::new(), body: String::new() };
        knobs.script = std::iter::repeat_n(rejection, 50).collect();
    });
    let limit = Duration::from_secs(120);
    let mut ended = world.run(mati_sync::pass::Work::Timer, limit).await;
    assert_eq!(ended.reports[0].lanes["defender"].end, End::Stalled, "{ended:#?}");
    assert_eq!(ended.reports[0].lanes["sentinel"].end, End::Paused);
    assert!(!ended.is_failure(), "it is too early to tell");
    let mut hops = 0;
    while let Some(message) = ended.continuation.take() {
        ended = world.run(mati_sync::pass::Work::QueueMessage(message), limit).await;
        assert!(!ended.reports[0].lanes.contains_key("defender"), "it waits for the next tick: {ended:#?}");
        hops += 1;
    }
    assert!(hops >= 2 && ended.reports[0].end == End::CaughtUp, "{hops} {ended:#?}");
    assert!(ended.is_failure(), "the operator must hear of Defender");
    assert_eq!(world.held().len(), 900);
}

#[tokio::test(start_paused = true)]
async fn the_pace_is_kept_over_imports_deletions_and_the_list() {
    let mut world = world("defender");
    world.set("DEFENDER_INDICATOR_LIMIT", "3000");
    let at = world.ago(TimeDelta::hours(3));
    let name = |n: u32| format!("n{n}.bad.example");
    world.mandiant.put_all((0..9000).map(|n| {
        let at = at + TimeDelta::seconds(i64::from(n) / 5);
        Record::fqdn(&name(n)).updated(at).threat_score(Some(80 + i64::from(n) / 500))
    }));
    let reports = world.chain(Duration::from_secs(600)).await;
    assert_eq!(reports.last().unwrap().end, End::CaughtUp, "{reports:#?}");
    assert_eq!(held(&world).len(), 3000);
    tokio::time::advance(HOUR).await;
    let at = world.ago(TimeDelta::minutes(9));
    let better = |n| Record::fqdn(&name(n)).updated(at).threat_score(Some(99));
    world.mandiant.put_all((9000..9800).map(better));
    let reports = world.chain(Duration::from_secs(600)).await;
    assert_eq!(
        (reports[0].lanes["defender"].counts.displaced, held(&world).len()),
        (800, 3000),
        "{reports:#?}"
    );
    let requests = world.defender.requests();
    assert!(requests.iter().any(|request| request.operation == Some(Operation::BatchDelete)));
    assert!(requests.iter().all(|request| request.status != 429), "{requests:#?}");
    for (index, first) in requests.iter().enumerate() {
        let within = requests[index..].iter().take_while(|other| other.at < first.at + TimeDelta::minutes(1));
        assert!(within.count() <= 25);
    }
}
