//! Proof of arrival: a sample of what was acknowledged is looked for, and what has not arrived is offered again.

mod defender;
mod silence;
mod state;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use mati_sync::{
    domain::{arrival::ArrivalReport, outcome::End, report::Report},
    pass::Work,
};
use sandbox::{corpus::Record, sentinel::Authorization};

use crate::harness::world::World;

const HOUR: Duration = Duration::from_secs(3600);

fn world() -> World {
    let mut world = World::new();
    world.verifies();
    world
}

fn address(n: usize) -> String {
    format!("198.{}.{}.{}", 51 + n / 50_000, n / 200 % 250, n % 200 + 1)
}

/// Lists so many addresses from the first on, updated just before the next pass.
fn list(world: &World, first: usize, count: usize) {
    let at = world.ago(TimeDelta::minutes(3));
    world.mandiant.put_all((first..first + count).map(|n| Record::ipv4(&address(n)).updated(at).mscore(95)));
}

/// Loses the requests of which this is the number, from one on: they are acknowledged, and nothing of them is stored.
fn lose(world: &World, lost: impl Fn(usize) -> bool + Send + Sync + 'static) {
    let number = AtomicUsize::new(0);
    world.sentinel.knobs(|knobs| {
        knobs.lose = Some(Arc::new(move |_| lost(number.fetch_add(1, Ordering::Relaxed) + 1)));
    });
}

fn lose_nothing(world: &World) {
    world.sentinel.knobs(|knobs| knobs.lose = None);
}

/// The next pass, after so long.
async fn tick_after(world: &World, pause: Duration) -> Report {
    tokio::time::advance(pause).await;
    world.tick().await
}

fn arrival(report: &Report) -> &ArrivalReport {
    assert_eq!(report.end, End::CaughtUp, "{report:#?}");
    &report.lanes["sentinel"].arrival
}

/// Looked for, seen, missing.
fn numbers(report: &Report) -> (u64, u64, u64) {
    let ArrivalReport { sampled, seen, missing, .. } = *arrival(report);
    (sampled, seen, missing)
}

fn message(report: &Report) -> &str {
    report.lanes["sentinel"].message.as_deref().unwrap_or_default()
}

/// What `status` complains of.
async fn complaints(world: &World) -> Vec<String> {
    world.start().engine.overview().await.expect("readable").complaints(None)
}

#[tokio::test(start_paused = true)]
async fn one_indicator_of_each_request_is_looked_for_and_seen() {
    let world = world();
    list(&world, 0, 250);
    let report = world.tick().await;
    assert_eq!(numbers(&report), (3, 3, 0), "{report:#?}");
    let lane = &report.lanes["sentinel"];
    assert!(lane.arrival.visible.p95_s <= 10, "{lane:#?}");
    assert!((180..400).contains(&lane.delivered.p50_s), "updated three minutes before: {lane:#?}");
    assert_eq!((lane.counts.requests, lane.message.as_deref()), (4, None), "looking is no delivering");
    // Where nothing was acknowledged and nothing is awaited, nothing is asked.
    let queries = world.resource_manager.queries().len();
    let report = tick_after(&world, HOUR).await;
    assert_eq!((numbers(&report), world.resource_manager.queries().len()), ((0, 0, 0), queries));
}

#[tokio::test(start_paused = true)]
async fn latency_lies_between_two_looks() {
    let world = world();
    world.resource_manager.knobs(|knobs| knobs.lag = TimeDelta::minutes(20));
    list(&world, 0, 5);
    let report = world.tick().await;
    assert_eq!(numbers(&report), (1, 0, 0), "{report:#?}");
    let overview = world.start().engine.overview().await.unwrap();
    let awaited = overview.lanes["sentinel"].as_ref().unwrap().arrival.as_ref().unwrap();
    assert_eq!((awaited.awaited, awaited.missing.len()), (1, 0));
    assert!(complaints(&world).await.is_empty());
    let report = tick_after(&world, Duration::from_secs(600)).await;
    assert_eq!(numbers(&report), (1, 0, 0), "{report:#?}");
    let report = tick_after(&world, HOUR).await;
    let ArrivalReport { sampled, seen, visible, after, .. } = arrival(&report);
    assert_eq!((*sampled, *seen), (1, 1), "{report:#?}");
    assert!((600..=620).contains(&after.p50_s), "not at the look after ten minutes: {report:#?}");
    assert!((4200..=4240).contains(&visible.p50_s), "but an hour after it: {report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_is_found_and_healed() {
    let world = world();
    lose(&world, |number| number == 2);
    list(&world, 0, 250);
    let report = world.tick().await;
    assert_eq!((numbers(&report), world.held().len()), ((3, 2, 0), 150), "{report:#?}");
    for _ in 0..2 {
        let report = tick_after(&world, HOUR).await;
        assert_eq!((numbers(&report), report.totals().updated), ((1, 0, 0), 0), "{report:#?}");
    }
    assert!(complaints(&world).await.is_empty());
    let report = tick_after(&world, HOUR + HOUR / 10).await;
    assert_eq!((arrival(&report).missing, report.totals().updated), (1, 100), "{report:#?}");
    let said = message(&report);
    for word in ["accepted but not arrived: Sentinel accepted 198.51.", "(indicator--", "is offered again"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert_eq!((world.held().len(), world.sentinel.log().len()), (250, 250), "nothing else is sent again");
    // It was seen at the end of the pass that healed it.
    assert!(complaints(&world).await.is_empty());
    let report = tick_after(&world, HOUR).await;
    assert_eq!((numbers(&report), report.totals().updated, message(&report)), ((0, 0, 0), 0, ""));
}

#[tokio::test(start_paused = true)]
async fn where_nothing_arrives_it_is_told_and_little_is_sent_again() {
    let world = world();
    lose(&world, |_| true);
    list(&world, 0, 300);
    world.tick().await;
    let mut sent = Vec::new();
    for hour in 1..=30 {
        list(&world, hour * 1000, 50);
        let report = tick_after(&world, HOUR).await;
        assert_eq!(arrival(&report).missing > 0, hour >= 3, "{hour}: {report:#?}");
        sent.push(report.totals().updated);
    }
    let all: u64 = sent.iter().sum();
    assert!((650..=1000).contains(&all), "ten requests, and no more until one of them is seen: {sent:?}");
    assert!(sent[15..].iter().all(|sent| *sent == 0), "{sent:?}");
    let complaints = complaints(&world).await;
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(complaints[0].starts_with("accepted but not arrived: sentinel accepted 198."), "{complaints:?}");
    // It shows again: what is read again arrives, and so does the rest, by and by.
    lose_nothing(&world);
    for _ in 0..200 {
        tick_after(&world, HOUR).await;
    }
    assert!(self::complaints(&world).await.is_empty());
    assert_eq!(world.held().iter().filter(|value| value.starts_with("198.")).count(), 300 + 30 * 50);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_lost_twice_is_offered_once_more_where_others_arrive() {
    let world = world();
    // The first of all, and what is offered again in its stead.
    world.sentinel.knobs(|knobs| {
        knobs.lose = Some(Arc::new(|objects| objects.iter().any(|object| object["name"] == address(0))));
    });
    list(&world, 0, 3);
    world.tick().await;
    let report = tick_after(&world, 3 * HOUR).await;
    assert_eq!((arrival(&report).missing, report.totals().updated), (1, 3), "{report:#?}");
    let mut sent = 0;
    for hour in 0..23 {
        list(&world, 1000 * (hour + 1), 1);
        let report = tick_after(&world, HOUR).await;
        assert_eq!(numbers(&report), (1, 1, 1), "{report:#?}");
        sent += report.totals().updated;
    }
    assert_eq!(sent, 0, "not more often than daily");
    lose_nothing(&world);
    let report = tick_after(&world, HOUR + HOUR / 10).await;
    assert_eq!((report.totals().updated, world.held().len()), (3, 3 + 23), "{report:#?}");
    assert!(complaints(&world).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_look_that_is_refused_proves_nothing() {
    let world = world();
    list(&world, 0, 1);
    world.tick().await;
    world.resource_manager.authorize(|_, _| Authorization::Forbidden);
    lose(&world, |number| number == 1);
    list(&world, 1, 5);
    for hour in 0..5 {
        let report = tick_after(&world, HOUR).await;
        assert_eq!(numbers(&report), (0, 0, 0), "{hour}: {report:#?}");
        let problem = arrival(&report).problem.as_deref().unwrap_or_default();
        assert!(
            problem.contains("could not be looked for") && message(&report).contains(problem),
            "{report:#?}"
        );
        assert_eq!(report.totals().updated, 0);
    }
    assert!(complaints(&world).await.is_empty());
    world.resource_manager.trust(&world.entra);
    let report = tick_after(&world, HOUR).await;
    assert_eq!((arrival(&report).missing, report.totals().updated), (1, 5), "{report:#?}");
    assert_eq!(world.held().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_search_that_finds_too_much_proves_nothing() {
    let world = world();
    list(&world, 0, 900);
    world.tick().await;
    world.resource_manager.knobs(|knobs| knobs.ignore_keywords = true);
    list(&world, 2000, 300);
    let report = world.tick().await;
    assert_eq!(arrival(&report).missing, 0, "{report:#?}");
    for _ in 0..5 {
        let report = tick_after(&world, HOUR).await;
        assert_eq!((arrival(&report).missing, report.totals().updated), (0, 0), "{report:#?}");
    }
    assert!(complaints(&world).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_retracted_or_ended_since_is_not_missing() {
    let world = world();
    lose(&world, |number| number <= 2);
    list(&world, 0, 1);
    world.tick().await;
    tokio::time::advance(HOUR).await;
    list(&world, 1, 1);
    assert_eq!(world.tick().await.totals().created, 1);
    world.mandiant.put(Record::ipv4(&address(0)).updated(world.ago(TimeDelta::minutes(2))).mscore(5));
    let report = tick_after(&world, HOUR).await;
    assert_eq!((report.totals().retracted, arrival(&report).missing), (1, 0), "{report:#?}");
    // The other one: no pass runs until its validity has ended, and the source lists it no more.
    world.mandiant.remove(Record::ipv4(&address(1)).key());
    let report = tick_after(&world, 8 * 24 * HOUR).await;
    assert_eq!((numbers(&report).2, message(&report)), (0, ""), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn an_update_that_is_lost_is_missing_although_the_value_is_there() {
    let world = world();
    list(&world, 0, 3);
    world.tick().await;
    tokio::time::advance(2 * HOUR).await;
    lose(&world, |number| number == 1);
    let lower = Record::ipv4(&address(1)).updated(world.ago(TimeDelta::minutes(3))).mscore(85);
    world.mandiant.put(lower);
    assert_eq!(world.tick().await.totals().updated, 1);
    assert_eq!(world.object(&address(1))["confidence"], 95);
    let report = tick_after(&world, 3 * HOUR).await;
    assert_eq!((arrival(&report).missing, report.totals().updated), (1, 1), "{report:#?}");
    assert_eq!(world.object(&address(1))["confidence"], 85);
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_again_is_looked_for_as_it_was_sent_last() {
    let world = world();
    world.resource_manager.knobs(|knobs| knobs.lag = TimeDelta::hours(2));
    for confidence in [95, 94, 93, 92, 91] {
        let at = world.ago(TimeDelta::minutes(3));
        world.mandiant.put(Record::ipv4(&address(0)).updated(at).mscore(confidence));
        let report = world.tick().await;
        assert_eq!(arrival(&report).missing, 0, "{report:#?}");
        tokio::time::advance(HOUR).await;
    }
    let report = tick_after(&world, HOUR).await;
    assert_eq!(numbers(&report), (1, 1, 0), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_large_pass_is_looked_at_by_ten_at_most() {
    let mut world = world();
    world.set("SENTINEL_REQUESTS_PER_MINUTE", "1000");
    world.sentinel.knobs(|knobs| knobs.quota = 1000);
    world.resource_manager.knobs(|knobs| knobs.lag = TimeDelta::hours(9));
    list(&world, 0, 3_000);
    let report = world.tick().await;
    let (sampled, seen, _) = numbers(&report);
    assert!((5..=10).contains(&sampled) && seen == 0, "{report:#?}");
    let queries = world.resource_manager.queries().len();
    tick_after(&world, HOUR).await;
    assert_eq!(world.resource_manager.queries().len() - queries, sampled as usize);
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_pauses_remembers_what_it_delivered() {
    let mut world = world();
    world.set("SENTINEL_REQUESTS_PER_MINUTE", "5");
    list(&world, 0, 900);
    let ended = world.run(Work::Timer, Duration::from_secs(60)).await;
    assert_eq!(ended.reports[0].end, End::Paused, "{ended:#?}");
    assert_eq!(ended.reports[0].lanes["sentinel"].arrival.sampled, 0, "there was no time to look");
    let reports = world.chain(Duration::from_secs(600)).await;
    let seen: u64 = reports.iter().map(|report| report.lanes["sentinel"].arrival.seen).sum();
    assert!(seen >= 8, "{reports:#?}");
}
