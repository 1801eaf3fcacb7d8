//! A file is one thing with several digests: those that stand for it come, change and go together, and none that stood for
//! it before stays held.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use mati_sync::{
    domain::{observable::IndicatorType, outcome::End, request::RunOptions},
    pass::Work,
};
use sandbox::{corpus::Record, net::Fault};

use crate::harness::world::World;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: TimeDelta = TimeDelta::days(1);

fn md5() -> String {
    "a".repeat(32)
}

fn sha1() -> String {
    "b".repeat(40)
}

fn sha256() -> String {
    "c".repeat(64)
}

/// Both destinations; a file stands at Sentinel under this digest, and at Defender under its strongest.
fn world(hash_type: &str) -> World {
    let mut world = World::new();
    world.set("TARGET_APPLICATION", "sentinel,defender").set("HASH_TYPE", hash_type);
    world
}

fn at_defender(world: &World) -> Vec<String> {
    let value = |held: serde_json::Value| held["indicatorValue"].as_str().expect("a value").to_owned();
    world.defender.stored().into_values().map(value).collect()
}

/// The file as Mandiant lists it from now on.
fn put(world: &World, age: TimeDelta, sha1: Option<&str>, sha256: Option<&str>, mscore: i64) {
    world.mandiant.put(Record::file(Some(&md5()), sha1, sha256).updated(world.ago(age)).mscore(mscore));
}

const FRESH: TimeDelta = TimeDelta::minutes(10);
/// In the midst of a window: what lies on the border of two is read twice.
const BEFORE: TimeDelta = TimeDelta::hours(40);

/// An hour later, a pass.
async fn tick(world: &World) {
    let report = world.tick().await;
    assert_eq!(report.end, End::CaughtUp, "{report:#?}");
    tokio::time::advance(HOUR).await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_gains_a_digest_leaves_the_former_one() {
    let world = world("sha256");
    put(&world, DAY * 2, None, None, 90);
    tick(&world).await;
    assert_eq!((world.held(), at_defender(&world)), (vec![md5()], vec![md5()]));
    put(&world, FRESH, Some(&sha1()), None, 90);
    tick(&world).await;
    assert_eq!((world.held(), at_defender(&world)), (vec![sha1()], vec![sha1()]));
    put(&world, FRESH, Some(&sha1()), Some(&sha256()), 90);
    tick(&world).await;
    assert_eq!((world.held(), at_defender(&world)), (vec![sha256()], vec![sha256()]));
    // Mandiant clears it.
    put(&world, FRESH, Some(&sha1()), Some(&sha256()), 10);
    tick(&world).await;
    assert_eq!((world.held(), at_defender(&world)), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_cleared_when_it_gains_a_digest_is_retracted() {
    let world = world("sha256");
    put(&world, DAY * 2, None, None, 90);
    tick(&world).await;
    put(&world, FRESH, Some(&sha1()), Some(&sha256()), 10);
    tick(&world).await;
    assert_eq!((world.held(), at_defender(&world)), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_loses_its_strongest_digest_leaves_it() {
    let world = world("sha256");
    put(&world, DAY * 2, Some(&sha1()), Some(&sha256()), 90);
    tick(&world).await;
    put(&world, FRESH, None, None, 90);
    tick(&world).await;
    // The record names it no longer: a refresh at the latest finds out whose it is.
    tokio::time::advance(96 * HOUR).await;
    tick(&world).await;
    tokio::time::advance(96 * HOUR).await;
    tick(&world).await;
    assert_eq!((world.held(), at_defender(&world)), (vec![md5()], vec![md5()]));
}

#[tokio::test(start_paused = true)]
async fn a_file_gives_way_under_every_digest_at_once() {
    let world = world("sha256");
    put(&world, DAY * 2, None, None, 90);
    tick(&world).await;
    // The change comes to light in a lookback alone: a live window has not met it.
    put(&world, DAY * 2 - TimeDelta::minutes(1), None, Some(&sha256()), 90);
    let report = world.command(RunOptions { lookback_days: Some(7), ..RunOptions::default() }).await;
    assert_eq!(report.end, End::CaughtUp, "{report:#?}");
    assert_eq!((world.held(), at_defender(&world)), (vec![sha256()], vec![sha256()]));
}

#[tokio::test(start_paused = true)]
async fn a_file_updated_while_a_refresh_runs_does_not_escape_it() {
    let mut world = world("md5");
    put(&world, DAY * 2, None, Some(&sha256()), 90);
    tick(&world).await;
    assert_eq!(world.held(), [md5()]);
    world.set("HASH_TYPE", "sha256");
    // As soon as the refresh reads its first window, Mandiant updates the file: the refresh ends before that.
    let (mandiant, now, is_done) = (world.mandiant.clone(), world.now(), AtomicBool::new(false));
    let border = world.ago(DAY * 29).timestamp();
    world.net.on_request(move |exchange| {
        let query = exchange.uri.query().unwrap_or_default();
        let start = query.split('&').find_map(|pair| pair.strip_prefix("start_epoch="))?;
        if start.parse::<i64>().ok()? < border && !is_done.swap(true, Ordering::Relaxed) {
            mandiant.put(Record::file(Some(&md5()), None, Some(&sha256())).updated(now));
        }
        None
    });
    tick(&world).await;
    tick(&world).await;
    assert_eq!(world.held(), [sha256()]);
}

#[tokio::test(start_paused = true)]
async fn a_former_digest_that_another_file_is_listed_by_stays() {
    let world = world("sha256");
    put(&world, DAY * 2, None, None, 90);
    // A second record of the same md5, of which no more is known.
    let other = Record::file(Some(&md5()), None, None).set("id", "md5--another").updated(world.ago(DAY));
    world.mandiant.put(other);
    tick(&world).await;
    assert_eq!(at_defender(&world), [md5()]);
    tick(&world).await;
    assert_eq!((world.held(), at_defender(&world)), (vec![md5()], vec![md5()]));
}

/// The values Sentinel holds with this confidence.
fn held_with(world: &World, confidence: i64) -> Vec<String> {
    let values = world.held().into_iter();
    values.filter(|value| world.object(value)["confidence"] == confidence).collect()
}

#[tokio::test(start_paused = true)]
async fn several_digests_stand_for_a_file_together_and_it_counts_once() {
    let world = world("sha256,sha1");
    put(&world, BEFORE, Some(&sha1()), Some(&sha256()), 90);
    let both = [sha1(), sha256()];
    let report = world.tick().await;
    let lane = &report.lanes["sentinel"];
    assert_eq!((lane.counts.read, lane.counts.created), (1, 1), "{report:#?}");
    assert_eq!(lane.by_type[&IndicatorType::Hash].created, 2, "{report:#?}");
    assert_eq!((world.held(), at_defender(&world)), (both.to_vec(), vec![sha256()]));
    let ids: Vec<_> = both.iter().map(|value| world.object(value)["id"].clone()).collect();
    assert_ne!(ids[0], ids[1]);
    tokio::time::advance(HOUR).await;
    put(&world, FRESH, Some(&sha1()), Some(&sha256()), 95);
    let report = world.tick().await;
    assert_eq!((report.lanes["sentinel"].counts.updated, held_with(&world, 95)), (1, both.to_vec()));
    // Nothing new; then it is listed anew when the end of their validity is near.
    tokio::time::advance(HOUR).await;
    assert_eq!(world.tick().await.lanes["sentinel"].counts.updated, 0);
    tokio::time::advance(88 * 24 * HOUR).await;
    put(&world, FRESH, Some(&sha1()), Some(&sha256()), 95);
    let report = world.tick().await;
    let lane = &report.lanes["sentinel"];
    assert_eq!((lane.counts.renewed, world.held()), (1, both.to_vec()), "{report:#?}");
    tokio::time::advance(HOUR).await;
    put(&world, FRESH, Some(&sha1()), Some(&sha256()), 10);
    let report = world.tick().await;
    let lane = &report.lanes["sentinel"];
    assert_eq!((lane.counts.retracted, lane.by_type[&IndicatorType::Hash].retracted), (1, 2), "{report:#?}");
    assert_eq!((world.held(), at_defender(&world)), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_wider_and_a_narrower_choice_of_digests_change_what_it_says_and_no_more() {
    let mut world = world("md5");
    put(&world, BEFORE, Some(&sha1()), Some(&sha256()), 90);
    tick(&world).await;
    for (choice, held, created, displaced) in [
        ("md5,sha1", vec![md5(), sha1()], 1, 0),
        ("sha1,sha256", vec![sha1(), sha256()], 1, 1),
        ("sha256", vec![sha256()], 0, 1),
        ("sha256,sha1,md5", vec![md5(), sha1(), sha256()], 1, 0),
        ("md5", vec![md5()], 0, 2),
    ] {
        world.set("HASH_TYPE", choice);
        let report = world.tick().await;
        let counts = &report.lanes["sentinel"].counts;
        assert_eq!((counts.created, counts.displaced), (created, displaced), "{choice}: {report:#?}");
        assert_eq!((world.held(), counts.left), (held, 0), "{choice}");
        tokio::time::advance(HOUR).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_with_none_of_the_digests_stands_under_its_strongest_until_it_gains_them() {
    let world = world("sha256,sha1");
    put(&world, BEFORE, None, None, 90);
    tick(&world).await;
    assert_eq!(world.held(), [md5()]);
    put(&world, FRESH, Some(&sha1()), Some(&sha256()), 90);
    let report = world.tick().await;
    let counts = &report.lanes["sentinel"].counts;
    assert_eq!((counts.created, counts.displaced), (1, 1), "{report:#?}");
    assert_eq!(world.held(), [sha1(), sha256()]);
    tokio::time::advance(HOUR).await;
    put(&world, FRESH, Some(&sha1()), None, 90);
    tick(&world).await;
    assert_eq!(world.held(), [sha1()]);
}

#[tokio::test(start_paused = true)]
async fn a_record_of_which_one_digest_is_rejected_counts_as_that_and_is_mended_by_a_retry() {
    let world = world("sha256,sha1");
    put(&world, BEFORE, Some(&sha1()), Some(&sha256()), 90);
    world.sentinel.knobs(|knobs| {
        let is_it = |object: &serde_json::Value| object["name"].as_str().is_some_and(|name| name.len() == 40);
        knobs.reject = Some(Arc::new(move |object| is_it(object).then(|| "not today".to_owned())));
    });
    for _ in 0..2 {
        let report = world.tick().await;
        let counts = &report.lanes["sentinel"].counts;
        assert_eq!((counts.rejected, counts.created, counts.unchanged), (1, 0, 0), "{report:#?}");
        assert_eq!(world.held(), [sha256()]);
        // The same record is read again in the overlap.
        put(&world, FRESH, Some(&sha1()), Some(&sha256()), 90);
        tokio::time::advance(HOUR).await;
    }
    world.sentinel.knobs(|knobs| knobs.reject = None);
    let report = world.command(RunOptions { retry_rejected: true, ..RunOptions::default() }).await;
    assert_eq!(report.lanes["sentinel"].counts.created, 1, "{report:#?}");
    assert_eq!(world.held(), [sha1(), sha256()]);
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_stops_between_the_digests_of_a_record_loses_nothing_and_counts_it_later() {
    let mut world = world("sha256,sha1,md5");
    world.set("TARGET_APPLICATION", "sentinel");
    let digits = |n: u32, length: usize| format!("{n:0>length$x}");
    let at = world.ago(BEFORE);
    let file = |n| Record::file(Some(&digits(n, 32)), Some(&digits(n, 40)), Some(&digits(n, 64))).updated(at);
    world.mandiant.put_all((1..=40).map(file));
    // The first request takes 100 of the 120 objects; the border goes through a record.
    let uploads = Arc::new(AtomicU64::new(0));
    let is_down = Arc::new(AtomicBool::new(true));
    let (counted, down) = (Arc::clone(&uploads), Arc::clone(&is_down));
    world.net.on_request(move |exchange| {
        let is_upload = exchange.uri.path().ends_with(":upload") && down.load(Ordering::Relaxed);
        (is_upload && counted.fetch_add(1, Ordering::Relaxed) > 0).then(|| Fault::status(503))
    });
    let ended = world.run(Work::Timer, Duration::from_secs(600)).await;
    let counts = ended.reports[0].totals();
    assert_eq!((counts.created, counts.left, world.held().len()), (33, 7, 100), "{ended:#?}");
    is_down.store(false, Ordering::Relaxed);
    let counts = world.tick().await.totals();
    assert_eq!((counts.created, counts.unchanged, counts.left), (7, 33, 0));
    // Every object was sent once.
    assert_eq!((world.held().len(), world.sentinel.log().len()), (120, 120));
}

#[tokio::test(start_paused = true)]
async fn files_of_several_digests_are_withheld_and_confirmed_as_records() {
    let mut world = world("sha256,sha1");
    world.set("TARGET_APPLICATION", "sentinel");
    let digits = |n: u32, length: usize| format!("{n:0>length$x}");
    let fill = |world: &World, age, mscore| {
        let at = world.ago(age);
        let file =
            |n| Record::file(None, Some(&digits(n, 40)), Some(&digits(n, 64))).updated(at).mscore(mscore);
        world.mandiant.put_all((1..=60).map(file));
    };
    fill(&world, BEFORE, 90);
    tick(&world).await;
    fill(&world, FRESH, 10);
    let report = world.tick().await;
    let counts = report.totals();
    assert_eq!((report.end, counts.left, counts.retracted), (End::Stalled, 60, 0), "{report:#?}");
    assert!(report.message.contains("120 of 120 indicators"), "{report:#?}");
    let report = world.command(RunOptions { confirm_retraction: true, ..RunOptions::default() }).await;
    assert_eq!((report.end, report.totals().retracted), (End::CaughtUp, 60), "{report:#?}");
    assert!(world.held().is_empty());
}
