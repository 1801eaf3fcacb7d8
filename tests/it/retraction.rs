//! The limit on retractions: how much a lane retracts unasked, what waits, and what a confirmation covers.
//!
//! The measure is a fifth of what the lane held when the last 24 hours began, or 100 where that is more, summed over
//! those hours.

use std::{
    collections::HashSet,
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::domain::{outcome::End, report::Report, request::RunOptions};
use sandbox::{corpus::Record, mandiant::Mandiant};

use crate::harness::world::World;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: TimeDelta = TimeDelta::days(1);
const SOURCE: &str = "api.intelligence.mandiant.com";

fn address(n: usize) -> String {
    format!("198.{}.{}.{}", 51 + n / 50_000, n / 200 % 250, n % 200 + 1)
}

fn scored(numbers: Range<usize>, at: DateTime<Utc>, mscore: i64) -> Vec<Record> {
    numbers.map(|n| Record::ipv4(&address(n)).updated(at).mscore(mscore)).collect()
}

fn put(world: &World, numbers: Range<usize>, age: TimeDelta, mscore: i64) {
    world.mandiant.put_all(scored(numbers, world.ago(age), mscore));
}

/// Mandiant lowers the scores of these just before the next pass reads them.
fn lower(world: &World, numbers: Range<usize>) {
    put(world, numbers, TimeDelta::minutes(3), 10);
}

/// Advances the clock by hours, with a pass in each.
async fn live(world: &World, hours: u32) {
    for _ in 0..hours {
        tokio::time::advance(HOUR).await;
        let report = world.tick().await;
        assert_eq!(report.end, End::CaughtUp, "{report:#?}");
    }
}

/// A lane that has held so many addresses for longer than a day. Their updates are spread over a week.
async fn held_for_a_day(count: usize) -> World {
    let world = World::new();
    for n in 0..count {
        put(&world, n..n + 1, TimeDelta::days(1 + n as i64 % 7) + TimeDelta::minutes(20), 95);
    }
    world.tick().await;
    assert_eq!(world.held().len(), count);
    live(&world, 26).await;
    world
}

/// Whether the lane tells this number, and not as a part of another one.
fn tells(report: &Report, number: usize) -> bool {
    let message = report.lanes["sentinel"].message.as_deref().unwrap_or_default();
    let is_other = |character: char| !character.is_ascii_digit();
    message.split(is_other).any(|word| word == number.to_string())
}

fn confirm() -> RunOptions {
    RunOptions { confirm_retraction: true, ..RunOptions::default() }
}

/// Runs `change` when a window that begins a month back is opened for the second time: a refresh surveys in its first
/// reading and retracts in its second.
fn before_the_second_reading(world: &World, change: impl FnOnce(&Mandiant) + Send + 'static) {
    let opened = Mutex::new(HashSet::new());
    let change = Mutex::new(Some(change));
    let (mandiant, border) = (world.mandiant.clone(), world.ago(DAY * 29).timestamp());
    world.net.on_request(move |exchange| {
        let query = exchange.uri.query().unwrap_or_default();
        let start = query.split('&').find_map(|pair| pair.strip_prefix("start_epoch="))?;
        let is_first_window = exchange.authority == SOURCE && start.parse::<i64>().ok()? < border;
        if is_first_window
            && !opened.lock().unwrap().insert(start.to_owned())
            && let Some(change) = change.lock().unwrap().take()
        {
            change(&mandiant);
        }
        None
    });
}

#[tokio::test(start_paused = true)]
async fn a_second_reading_retracts_what_was_surveyed_and_a_tenth() {
    let mut world = World::new();
    put(&world, 0..990, DAY * 2, 95);
    put(&world, 990..1000, DAY * 3, 82);
    world.tick().await;
    live(&world, 26).await;
    // Ten are below the new threshold. Six hundred fall while the survey runs, in time for the second reading.
    world.set("MINIMUM_CONFIDENCE", "85");
    let fallen = scored(0..600, world.ago(TimeDelta::minutes(4)), 10);
    before_the_second_reading(&world, move |mandiant| mandiant.put_all(fallen));
    let report = world.tick().await;
    let counts = report.totals();
    assert!(counts.retracted <= 11, "ten were surveyed: {report:#?}");
    assert!(world.held().len() >= 989);
    assert_eq!(report.end, End::Stalled, "the rest waits for a confirmation: {report:#?}");
    let report = world.command(confirm()).await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 390), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_second_reading_retracts_no_more_than_that_although_the_limit_would_let_it() {
    let mut world = World::new();
    put(&world, 0..990, DAY * 2, 95);
    put(&world, 990..1000, DAY * 3, 82);
    world.tick().await;
    live(&world, 26).await;
    world.set("MINIMUM_CONFIDENCE", "85");
    let fallen = scored(0..50, world.ago(TimeDelta::minutes(4)), 10);
    before_the_second_reading(&world, move |mandiant| mandiant.put_all(fallen));
    let report = world.tick().await;
    assert!(report.totals().retracted <= 11, "ten were surveyed: {report:#?}");
    assert_eq!(report.end, End::Stalled, "the rest waits for a confirmation: {report:#?}");
}

/// Has held 550 addresses for two days, and remembers 3,000 that expired more than a day ago.
async fn with_many_expired() -> World {
    let world = World::new();
    put(&world, 0..3000, DAY * 2, 95);
    world.tick().await;
    for record in world.mandiant.records() {
        world.mandiant.remove(record.key());
    }
    for _ in 0..6 {
        live(&world, 1).await;
        tokio::time::advance(23 * HOUR).await;
    }
    put(&world, 3000..3050, TimeDelta::minutes(10), 95);
    put(&world, 3050..3550, TimeDelta::minutes(10), 82);
    live(&world, 54).await;
    assert_eq!(world.held().len(), 550, "the 3,000 have expired");
    let app = world.start();
    let known = app.engine.manifest("sentinel").await.expect("readable").len();
    assert_eq!(known, 3550, "and are not forgotten yet");
    world
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_does_not_widen_the_limit_of_the_live_feed() {
    let world = with_many_expired().await;
    lower(&world, 3050..3550);
    let report = world.tick().await;
    let counts = report.totals();
    assert!(counts.retracted <= 110, "a fifth of 550: {report:#?}");
    assert_eq!((report.end, counts.retracted + counts.left), (End::Stalled, 500), "{report:#?}");
    assert!(world.held().len() >= 440);
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_does_not_widen_the_limit_of_a_refresh() {
    let mut world = with_many_expired().await;
    world.set("MINIMUM_CONFIDENCE", "90");
    let report = world.tick().await;
    assert!(report.totals().retracted <= 110, "a fifth of 550: {report:#?}");
    assert_eq!(report.end, End::Stalled, "{report:#?}");
    assert!(world.held().len() >= 440);
}

#[tokio::test(start_paused = true)]
async fn what_was_rejected_or_retracted_does_not_widen_the_limit() {
    let world = World::new();
    world.sentinel.knobs(|knobs| {
        knobs.reject = Some(Arc::new(|object| {
            object["name"].as_str()?.starts_with("198.52.").then(|| "not here".to_owned())
        }));
    });
    // Not on the border of two windows, which is read with both.
    put(&world, 0..300, DAY - TimeDelta::minutes(5), 95);
    put(&world, 50_000..52_000, DAY - TimeDelta::minutes(5), 95);
    let report = world.tick().await;
    assert_eq!((report.totals().rejected, world.held().len()), (2000, 300), "{report:#?}");
    live(&world, 26).await;
    lower(&world, 0..250);
    let report = world.tick().await;
    assert!(report.totals().retracted <= 100 && world.held().len() >= 200, "300 were held: {report:#?}");
    assert_eq!(report.end, End::Stalled, "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn the_limit_holds_over_many_passes() {
    let world = held_for_a_day(1000).await;
    let mut ends = Vec::new();
    for hour in 0..6 {
        tokio::time::advance(HOUR).await;
        let from = hour * 190;
        lower(&world, from..(from + 190).min(1000));
        ends.push(world.tick().await.end);
    }
    assert!(world.held().len() >= 800, "{} are left of 1,000 after six hours: {ends:?}", world.held().len());
    assert_eq!(ends[0], End::CaughtUp, "190 are fewer than a fifth");
    assert!(ends[1..].iter().all(|end| *end == End::Stalled), "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_was_used_up_is_free_again_a_day_later() {
    let world = held_for_a_day(1000).await;
    lower(&world, 0..190);
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().retracted), (End::CaughtUp, 190), "{report:#?}");
    live(&world, 25).await;
    // A fifth of 810 is 162.
    lower(&world, 190..350);
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().retracted), (End::CaughtUp, 160), "{report:#?}");
    live(&world, 2).await;
    lower(&world, 350..360);
    let report = world.tick().await;
    assert_eq!(report.end, End::Stalled, "170 in 24 hours are too many: {report:#?}");
    assert!(world.held().len() >= 648);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_waits_takes_nothing_back_in_the_next_pass() {
    let world = held_for_a_day(600).await;
    lower(&world, 470..600);
    put(&world, 600..800, TimeDelta::minutes(4), 95);
    let first = world.tick().await;
    let waiting = 130 - first.totals().retracted as usize;
    assert_eq!((first.end, first.totals().created), (End::Stalled, 200), "{first:#?}");
    assert!(waiting >= 10 && tells(&first, waiting), "a fifth of 600 are 120: {first:#?}");
    for _ in 0..3 {
        tokio::time::advance(4 * MINUTE).await;
        let next = world.tick().await;
        assert_eq!((next.end, next.totals().retracted), (End::Stalled, 0), "{next:#?}");
        assert!(tells(&next, waiting), "{waiting} wait: {}", next.message);
    }
    assert_eq!(world.held().len(), 670 + waiting);
    // Not even one that would fit by itself.
    tokio::time::advance(HOUR).await;
    lower(&world, 0..5);
    let next = world.tick().await;
    assert_eq!((next.end, next.totals().retracted), (End::Stalled, 0), "{next:#?}");
    assert!(tells(&next, waiting + 5), "{} wait: {}", waiting + 5, next.message);
    // Nor does a refresh, which meets all of them again.
    tokio::time::advance(96 * HOUR).await;
    let refresh = world.tick().await;
    assert_eq!((refresh.end, refresh.totals().retracted), (End::Stalled, 0), "{refresh:#?}");
    assert_eq!(world.held().len(), 670 + waiting);

    let confirmed = world.command(confirm()).await;
    assert_eq!((confirmed.end, world.held().len()), (End::CaughtUp, 665), "{confirmed:#?}");
    // What was confirmed uses nothing up of the next 24 hours.
    tokio::time::advance(HOUR).await;
    lower(&world, 5..55);
    let next = world.tick().await;
    assert_eq!((next.end, next.totals().retracted), (End::CaughtUp, 50), "{next:#?}");
}

#[tokio::test(start_paused = true)]
async fn the_limit_holds_over_the_pages_of_one_second() {
    let world = held_for_a_day(2500).await;
    world.mandiant.set(|knobs| knobs.longest_page = 450);
    lower(&world, 0..900);
    let mut ends = Vec::new();
    for _ in 0..3 {
        ends.push(world.tick().await.end);
        tokio::time::advance(4 * MINUTE).await;
    }
    assert!(world.held().len() >= 2000, "{} are left of 2,500: {ends:?}", world.held().len());
    assert!(ends.iter().all(|end| *end == End::Stalled), "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn the_number_told_is_that_of_the_indicators_that_wait() {
    let world = held_for_a_day(401).await;
    lower(&world, 0..101);
    let first = world.tick().await;
    let waiting = 101 - first.totals().retracted as usize;
    assert!(first.end == End::Stalled && tells(&first, waiting), "{first:#?}");
    for _ in 0..3 {
        tokio::time::advance(3 * MINUTE).await;
        let next = world.tick().await;
        assert!(next.end == End::Stalled && tells(&next, waiting), "{waiting} wait: {}", next.message);
    }
    // One of them is wanted again: what is retracted is that much less.
    put(&world, 0..1, TimeDelta::minutes(3), 95);
    let report = world.command(confirm()).await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 301), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_waits_goes_on_when_the_source_takes_it_all_back() {
    let world = held_for_a_day(600).await;
    lower(&world, 0..400);
    assert_eq!(world.tick().await.end, End::Stalled);
    tokio::time::advance(HOUR).await;
    put(&world, 0..400, TimeDelta::minutes(3), 95);
    world.tick().await;
    // A refresh at the latest finds that nothing waits any more.
    tokio::time::advance(96 * HOUR).await;
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 600), "{report:#?}");
}

/// The pass that withheld retractions reads further records, which admit the same indicators: nothing waits in the end, and
/// nothing is left.
#[tokio::test(start_paused = true)]
async fn what_was_withheld_and_then_spoken_for_in_the_same_pass_is_not_left() {
    let world = held_for_a_day(600).await;
    tokio::time::advance(HOUR).await;
    let another = |numbers: Range<usize>, word: &str, age: i64, mscore: i64| {
        let records = scored(numbers, world.ago(TimeDelta::minutes(age)), mscore).into_iter();
        let named = records.map(|record| {
            let id = format!("ipv4--{word}-{}", record.value());
            record.set("id", id)
        });
        world.mandiant.put_all(named);
    };
    another(0..150, "against", 50, 10);
    // More than a page holds, so that the two are not weighed against each other at once.
    put(&world, 1000..2000, TimeDelta::minutes(30), 95);
    another(0..150, "for", 10, 95);
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().left), (End::CaughtUp, 0), "{report:#?}");
    assert_eq!(world.held().len(), 1600);
}
