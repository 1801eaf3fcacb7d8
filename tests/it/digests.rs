//! A file is one thing with several digests: none that stood for it before stays held.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use chrono::TimeDelta;
use mati_sync::domain::{outcome::End, request::RunOptions};
use sandbox::corpus::Record;

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
async fn a_file_that_is_cleared_when_it_gains_a_digest_is_taken_back() {
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
