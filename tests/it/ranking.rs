//! More than Defender can hold: the best are chosen before any is sent, and never is a better one left outside.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use mati_sync::{
    domain::{
        outcome::{Counts, End},
        report::Report,
        request::RunOptions,
    },
    pass::Work,
};
use sandbox::{corpus::Record, defender::Operation, net::Fault};

use crate::harness::world::World;

const LIMIT: usize = 1500;
const CANDIDATES: usize = 10_000;

fn world() -> World {
    let mut world = World::new();
    world.set("TARGET_APPLICATION", "defender").set("DEFENDER_INDICATOR_LIMIT", &LIMIT.to_string());
    world
}

fn address(n: usize) -> String {
    format!("198.51.{}.{}", 100 + n / 250, n % 250 + 1)
}

/// Candidates over three days, oldest first, each with the score that `score` gives it.
fn fill(world: &World, numbers: std::ops::Range<usize>, score: impl Fn(usize) -> usize) {
    let at = world.ago(TimeDelta::hours(72));
    world.mandiant.put_all(numbers.map(|n| {
        let record = Record::ipv4(&address(n)).threat_score(Some(score(n) as i64));
        record.updated(at + TimeDelta::seconds(n as i64 * 25)).mscore(90)
    }));
}

fn counts(report: &Report) -> Counts {
    report.lanes["defender"].counts
}

/// The numbers of the candidates that are held.
fn held(world: &World) -> Vec<usize> {
    let numbers: BTreeMap<String, usize> = (0..2 * CANDIDATES).map(|n| (address(n), n)).collect();
    let stored = world.defender.stored().into_values();
    let mut held: Vec<usize> =
        stored.filter_map(|held| numbers.get(held["indicatorValue"].as_str()?).copied()).collect();
    held.sort_unstable();
    held
}

/// The best by score, then by how recently they were updated.
fn best(numbers: impl Iterator<Item = usize>, score: impl Fn(usize) -> usize, most: usize) -> Vec<usize> {
    let mut ranked: Vec<(usize, usize)> = numbers.map(|n| (score(n), n)).collect();
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    let mut best: Vec<usize> = ranked.into_iter().take(most).map(|(_, n)| n).collect();
    best.sort_unstable();
    best
}

/// Requests so far, and what they imported and deleted.
fn work(world: &World) -> (usize, usize, usize) {
    let requests = world.defender.requests();
    let items = |operation| {
        let of_it = requests.iter().filter(move |request| request.operation == Some(operation));
        of_it.map(|request| request.items).sum()
    };
    (requests.len(), items(Operation::Import), items(Operation::BatchDelete))
}

fn rising(n: usize) -> usize {
    80 + n * 20 / CANDIDATES
}

fn mixed(n: usize) -> usize {
    80 + n * 7919 % 20
}

/// Nothing is sent that makes way for another, in whatever order the source lists the candidates.
#[tokio::test(start_paused = true)]
async fn the_best_are_chosen_before_any_is_sent() {
    for score in [rising, mixed, |n| 99 - n * 20 / CANDIDATES, |_| 90] {
        let world = world();
        fill(&world, 0..CANDIDATES, score);
        let report = world.tick().await;
        let counts = counts(&report);
        assert_eq!(report.end, End::CaughtUp, "{report:#?}");
        assert_eq!(counts.created, LIMIT as u64, "{report:#?}");
        // What lies between two windows is read in both.
        assert!(counts.over_limit >= (CANDIDATES - LIMIT) as u64, "{report:#?}");
        assert_eq!(held(&world), best(0..CANDIDATES, score, LIMIT));
        let (requests, imported, deleted) = work(&world);
        assert!(requests <= LIMIT / 500 + 2, "{requests} requests");
        assert_eq!((imported, deleted), (LIMIT, 0));
        // What is read again moves no indicator.
        let again = RunOptions { lookback_days: Some(5), ..RunOptions::default() };
        world.command(again).await;
        let (_, imported, deleted) = work(&world);
        assert_eq!((imported, deleted), (LIMIT, 0));
    }
}

/// Later ones are chosen against what is held: each import displaces one, and none is displaced again.
#[tokio::test(start_paused = true)]
async fn what_comes_later_displaces_only_what_is_weaker_than_all_of_it() {
    let world = world();
    fill(&world, 0..CANDIDATES, mixed);
    world.tick().await;
    let (_, before, _) = work(&world);
    tokio::time::advance(Duration::from_secs(3 * 86_400)).await;
    let at = world.ago(TimeDelta::hours(60));
    let later = CANDIDATES..2 * CANDIDATES;
    let score = |n: usize| if n < CANDIDATES { mixed(n) } else { 70 + n % 31 };
    world.mandiant.put_all(later.map(|n| {
        let record = Record::ipv4(&address(n)).threat_score(Some(score(n) as i64)).mscore(90);
        record.updated(at + TimeDelta::seconds((n - CANDIDATES) as i64 * 20))
    }));
    let report = world.tick().await;
    assert_eq!(report.end, End::CaughtUp, "{report:#?}");
    let ideal = best(0..2 * CANDIDATES, score, LIMIT);
    assert_eq!(held(&world), ideal);
    let (_, imported, deleted) = work(&world);
    let new = ideal.iter().filter(|n| **n >= CANDIDATES).count();
    assert_eq!(deleted, new);
    // Those that are still held and run out soon are imported once more.
    assert!(imported - before <= LIMIT, "{}", imported - before);
}

/// Other records of a value that waits: the newest decides, whether it raises the value, lowers it or speaks against it.
#[tokio::test(start_paused = true)]
async fn a_value_that_waits_is_ranked_by_the_record_that_decides() {
    let mut world = world();
    world.set("DEFENDER_INDICATOR_LIMIT", "20");
    let record = |n: usize, hours: i64, score: i64, mscore: i64| {
        let record = Record::ipv4(&address(n)).set("id", format!("ipv4--{n}-{hours}"));
        record.updated(world.ago(TimeDelta::hours(hours))).threat_score(Some(score)).mscore(mscore)
    };
    world.mandiant.put_all((0..40).map(|n| record(n, 60 - n as i64 % 10, 80 + n as i64 % 20, 90)));
    // Raised, lowered and no longer wanted, a day and a window later.
    world.mandiant.put_all((0..5).map(|n| record(n, 20, 100, 90)));
    world.mandiant.put(record(17, 19, 80, 90));
    world.mandiant.put(record(19, 18, 99, 10));
    let report = world.tick().await;
    assert_eq!(report.end, End::CaughtUp, "{report:#?}");
    let is_wanted = |n: &usize| *n != 19;
    let score = |n: usize| match n {
        0..5 => 100,
        17 => 80,
        _ => 80 + n % 20,
    };
    let weakest_inside = held(&world).into_iter().map(score).min().unwrap();
    let outside = (0..40).filter(is_wanted).filter(|n| !held(&world).contains(n));
    let best_outside = outside.map(score).max().unwrap();
    assert_eq!(held(&world).len(), 20);
    assert!(held(&world).iter().all(is_wanted));
    assert!(best_outside <= weakest_inside, "{best_outside} outside, {weakest_inside} inside");
    let (requests, imported, deleted) = work(&world);
    assert!((requests, imported, deleted) <= (3, 20, 0), "{requests} {imported} {deleted}");
}

/// What Defender rejects of the best leaves room for the next best.
#[tokio::test(start_paused = true)]
async fn what_is_rejected_leaves_no_room_empty() {
    let world = world();
    fill(&world, 0..CANDIDATES, mixed);
    let rejected = |n: usize| n % 25 == 24;
    let harmless: Vec<String> = (0..CANDIDATES).filter(|n| rejected(*n)).map(address).collect();
    world.defender.knobs(|knobs| {
        knobs.reject = Some(Arc::new(move |indicator| {
            let value = indicator["indicatorValue"].as_str()?;
            harmless.iter().any(|rejected| rejected == value).then(|| "no".to_owned())
        }));
    });
    let report = world.tick().await;
    assert_eq!(report.end, End::CaughtUp, "{report:#?}");
    assert_eq!(held(&world), best((0..CANDIDATES).filter(|n| !rejected(*n)), mixed, LIMIT));
}

/// Where the source fails half-way, what was chosen until then is delivered, and is not read again.
#[tokio::test(start_paused = true)]
async fn a_source_that_fails_keeps_nothing_waiting() {
    let world = world();
    fill(&world, 0..CANDIDATES, rising);
    let pages = AtomicUsize::new(0);
    world.net.on_request(move |exchange| {
        let goes_on = exchange.uri.query().is_some_and(|query| query.contains("next="));
        let before = pages.fetch_add(usize::from(goes_on), Ordering::Relaxed);
        (before > 5 && exchange.uri.path().ends_with("/indicator")).then(|| Fault::status(500))
    });
    let report = world.tick().await;
    assert_eq!(report.end, End::Stalled, "{report:#?}");
    assert_eq!(held(&world).len(), LIMIT, "{report:#?}");
    let watermark = report.lanes["defender"].watermark.unwrap();
    assert!(watermark > world.ago(TimeDelta::hours(72)), "{report:#?}");
}

/// Passes too short for the whole feed choose from what they read, and go on from there.
#[tokio::test(start_paused = true)]
async fn short_passes_choose_from_what_they_read() {
    let world = world();
    world.mandiant.set(|knobs| knobs.page_delay = Duration::from_secs(40));
    fill(&world, 0..CANDIDATES, rising);
    let reports = world.chain(Duration::from_secs(300)).await;
    assert!(reports.len() > 1, "{reports:#?}");
    assert_eq!(reports.last().unwrap().end, End::CaughtUp, "{reports:#?}");
    assert_eq!(held(&world), best(0..CANDIDATES, rising, LIMIT));
}

/// A pass that is killed while all of it waits has lost nothing.
#[tokio::test(start_paused = true)]
async fn a_pass_that_ends_while_records_wait_reads_them_again() {
    let world = world();
    world.mandiant.set(|knobs| knobs.page_delay = Duration::from_secs(20));
    fill(&world, 0..CANDIDATES, mixed);
    let app = world.start();
    let deadline = mati_sync::clock::Deadline::after(Duration::from_secs(3600));
    let killed = app.engine.run(Work::Timer, None, &deadline);
    assert!(tokio::time::timeout(Duration::from_secs(120), killed).await.is_err(), "it is dropped");
    assert_eq!(work(&world).1, 0);
    world.mandiant.set(|knobs| knobs.page_delay = Duration::ZERO);
    tokio::time::advance(Duration::from_secs(600)).await;
    let report = world.tick().await;
    assert_eq!((report.end, held(&world).len()), (End::CaughtUp, LIMIT), "{report:#?}");
    assert_eq!(held(&world), best(0..CANDIDATES, mixed, LIMIT));
}
