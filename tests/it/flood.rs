//! The limit on creations: how many a lane creates unasked, what waits, and what a confirmation covers.
//!
//! The measure is half of what the lane held when the last 24 hours began, or 2,000 where that is more, summed over those
//! hours.

use std::{ops::Range, time::Duration};

use chrono::TimeDelta;
use mati_sync::domain::{outcome::End, report::Report, request::RunOptions};
use sandbox::corpus::Record;

use crate::harness::world::World;

const HOUR: Duration = Duration::from_secs(3600);

fn address(n: usize) -> String {
    format!("198.{}.{}.{}", 51 + n / 50_000, n / 200 % 250, n % 200 + 1)
}

fn put(world: &World, numbers: Range<usize>, age: TimeDelta, mscore: i64) {
    let records = numbers.map(|n| Record::ipv4(&address(n)).updated(world.ago(age)).mscore(mscore));
    world.mandiant.put_all(records.collect::<Vec<_>>());
}

/// Lists these just before the next pass.
fn list(world: &World, numbers: Range<usize>, mscore: i64) {
    put(world, numbers, TimeDelta::minutes(3), mscore);
}

/// A lane that has held so many addresses for longer than a day.
async fn held_for_a_day(count: usize) -> World {
    let world = World::new();
    put(&world, 0..count, TimeDelta::days(2), 95);
    assert_eq!(world.tick().await.totals().created, count as u64, "a first sync is not limited");
    tokio::time::advance(25 * HOUR).await;
    assert_eq!(world.tick().await.end, End::CaughtUp);
    world
}

fn confirm() -> RunOptions {
    RunOptions { confirm_creation: true, ..RunOptions::default() }
}

/// What was created, and what was withheld.
fn created(report: &Report) -> (u64, u64) {
    let lane = &report.lanes["sentinel"];
    (lane.counts.created, lane.withheld.created)
}

fn message(report: &Report) -> &str {
    report.lanes["sentinel"].message.as_deref().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_slip_in_a_threshold_waits_and_nothing_is_lost_after_the_word() {
    let mut world = World::new();
    put(&world, 0..10, TimeDelta::days(2), 95);
    put(&world, 10..3000, TimeDelta::days(3), 70);
    world.tick().await;
    tokio::time::advance(25 * HOUR).await;
    world.tick().await;
    world.set("MINIMUM_CONFIDENCE", "60");
    let foretold = world.command(RunOptions { dry_run: true, ..RunOptions::default() }).await;
    assert_eq!(created(&foretold), (2000, 990), "a dry run says so beforehand: {foretold:#?}");
    assert_eq!(foretold.end, End::Stalled);
    assert_eq!(world.held().len(), 10);

    let report = world.tick().await;
    assert_eq!((report.end, created(&report)), (End::Stalled, (2000, 990)), "{report:#?}");
    let said = message(&report);
    for word in ["990 new indicators", "990 ipv4", "the settings were changed", "--confirm-creation"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let examples = &report.lanes["sentinel"].withheld.examples;
    assert_eq!(examples.len(), 100);
    assert!(examples[0].reason.contains("settings"), "{examples:?}");
    assert_eq!(world.held().len(), 2010);

    // Whatever the limit leaves, what waits goes on waiting, and what fits of the new is created.
    tokio::time::advance(24 * HOUR).await;
    list(&world, 3000..3005, 70);
    let report = world.tick().await;
    assert_eq!((report.end, created(&report)), (End::Stalled, (5, 0)), "{report:#?}");
    assert!(message(&report).contains("990 new indicators"), "{report:#?}");
    // One changes and another is lowered meanwhile.
    let held = world.held();
    let waiting: Vec<usize> = (10..3000).filter(|n| !held.contains(&address(*n))).collect();
    assert_eq!(waiting.len(), 990);
    list(&world, waiting[0]..waiting[0] + 1, 75);
    list(&world, waiting[1]..waiting[1] + 1, 5);
    let report = world.tick().await;
    assert_eq!(created(&report), (0, 1), "{report:#?}");
    assert!(message(&report).contains("989 new indicators"), "{report:#?}");

    let report = world.command(confirm()).await;
    assert_eq!((report.end, created(&report)), (End::CaughtUp, (989, 0)), "{report:#?}");
    assert_eq!(world.held().len(), 3004);
    let report = world.tick().await;
    assert_eq!((report.end, created(&report)), (End::CaughtUp, (0, 0)), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_flood_from_the_source_is_measured_by_half_of_what_was_held_a_day_before() {
    let world = held_for_a_day(5000).await;
    list(&world, 10_000..11_500, 95);
    assert_eq!(created(&world.tick().await), (1500, 0));
    tokio::time::advance(HOUR).await;
    list(&world, 11_500..13_000, 95);
    let report = world.tick().await;
    assert_eq!((report.end, created(&report)), (End::Stalled, (1000, 500)), "{report:#?}");
    assert!(message(&report).contains("the source updated it"), "{report:#?}");
    let report = world.command(confirm()).await;
    assert_eq!((report.end, created(&report)), (End::CaughtUp, (500, 0)), "{report:#?}");
    // What was confirmed does not count; what was created unasked does until a day has passed.
    tokio::time::advance(HOUR).await;
    list(&world, 20_000..20_001, 95);
    assert_eq!(created(&world.tick().await), (0, 1));
    tokio::time::advance(25 * HOUR).await;
    list(&world, 20_001..24_001, 95);
    let report = world.tick().await;
    assert_eq!(report.totals().created, 4000, "8,000 were held a day before: {report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_first_sync_in_many_passes_is_not_limited() {
    let mut world = World::new();
    world.set("SENTINEL_REQUESTS_PER_MINUTE", "10");
    for hours in 0..25 {
        let first = hours as usize * 200;
        put(&world, first..first + 200, TimeDelta::hours(24 + hours), 95);
    }
    let reports = world.chain(Duration::from_secs(120)).await;
    assert!(reports.len() > 2, "{}", reports.len());
    assert_eq!(reports.last().unwrap().end, End::CaughtUp, "{:#?}", reports.last());
    assert_eq!(world.held().len(), 5000);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_holds_nothing_any_more_begins_anew() {
    let world = held_for_a_day(3000).await;
    tokio::time::advance(12 * 24 * HOUR).await;
    assert!(world.held().is_empty(), "no pass for so long, and all has lapsed");
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 3000), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_is_asked_for() {
    let world = held_for_a_day(10).await;
    list(&world, 100..2200, 95);
    let report = world.tick().await;
    assert_eq!((report.end, created(&report)), (End::Stalled, (2000, 100)), "{report:#?}");
    let report = world.command(RunOptions { rebuild: true, ..RunOptions::default() }).await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 2110), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn what_waits_and_is_listed_no_more_ages_out() {
    let world = held_for_a_day(10).await;
    list(&world, 100..2150, 95);
    assert_eq!(created(&world.tick().await), (2000, 50));
    for n in 100..2150 {
        let record = Record::ipv4(&address(n));
        world.mandiant.remove(record.key());
    }
    let mut ends = Vec::new();
    for _ in 0..8 {
        tokio::time::advance(24 * HOUR).await;
        ends.push(world.tick().await.end);
    }
    assert_eq!((ends[0], ends[7]), (End::Stalled, End::CaughtUp), "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn what_waits_displaces_nothing() {
    let mut world = World::new();
    let md5 = |n: usize| format!("{n:032x}");
    let sha256 = |n: usize| format!("{n:064x}");
    let at = world.ago(TimeDelta::days(2));
    world.mandiant.put_all(
        (1..=2100).map(|n| Record::file(Some(&md5(n)), None, Some(&sha256(n))).updated(at).mscore(95)),
    );
    world.set("HASH_TYPE", "md5");
    world.tick().await;
    tokio::time::advance(25 * HOUR).await;
    world.tick().await;
    world.set("HASH_TYPE", "sha256");
    let report = world.tick().await;
    assert_eq!((report.end, created(&report)), (End::Stalled, (2000, 100)), "{report:#?}");
    assert_eq!(world.held().len(), 2100, "each file is held, under one digest");
    let report = world.command(confirm()).await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 2100), "{report:#?}");
    assert!(world.held().iter().all(|digest| digest.len() == 64));
}
