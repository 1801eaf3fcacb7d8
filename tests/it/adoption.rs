//! A lane without memory: after lost state, and after a move from another product.

use std::time::Duration;

use chrono::TimeDelta;
use mati_sync::{
    domain::{outcome::End, request::RunOptions},
    pass::Work,
};
use sandbox::{
    corpus::Record,
    resource_manager::planted,
    sentinel::{Answer, Authorization},
};

use crate::harness::world::World;

const DAY: Duration = Duration::from_secs(86_400);
const THEIR_ID: &str = "indicator--00000000-1111-5222-8333-444444444444";

fn world() -> World {
    let mut world = World::new();
    world.adopts();
    let at = world.ago(TimeDelta::days(2) + TimeDelta::minutes(10));
    world.mandiant.put_all((1..=250).map(|n| Record::ipv4(&format!("198.51.100.{n}")).updated(at)));
    world
}

fn lose_the_state(world: &World) {
    std::fs::remove_dir_all(world.state.path().join("lanes")).unwrap();
}

#[tokio::test(start_paused = true)]
async fn lost_state_uploads_nothing_twice() {
    let world = world();
    let first = world.tick().await;
    assert_eq!(first.totals().created, 250, "the workspace was empty: {first:#?}");
    lose_the_state(&world);
    let at = world.ago(TimeDelta::hours(1));
    world.mandiant.put(Record::ipv4("198.51.100.7").updated(at).mscore(95));
    tokio::time::advance(Duration::from_secs(600)).await;
    let again = world.tick().await;
    let counts = again.totals();
    assert_eq!((again.end, counts.created, counts.updated), (End::CaughtUp, 0, 1), "{again:#?}");
    assert_eq!((counts.unchanged, world.sentinel.log().len()), (249, 251));
    let queries = world.resource_manager.queries().len();
    world.tick().await;
    assert_eq!(world.resource_manager.queries().len(), queries, "only a lane without memory asks");
}

#[tokio::test(start_paused = true)]
async fn what_was_adopted_lives_on_like_everything_else() {
    let world = world();
    world.tick().await;
    lose_the_state(&world);
    world.tick().await;
    // Renewed in time, and retracted when it drops.
    for _ in 0..10 {
        tokio::time::advance(DAY).await;
        let report = world.tick().await;
        assert_eq!((report.end, report.totals().created), (End::CaughtUp, 0), "{report:#?}");
        assert_eq!(world.held().len(), 250);
    }
    let at = world.ago(TimeDelta::minutes(5));
    world.mandiant.put(Record::ipv4("198.51.100.9").updated(at).mscore(3));
    let report = world.tick().await;
    assert_eq!((report.totals().retracted, world.held().len()), (1, 249), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn what_dropped_before_the_state_was_lost_is_retracted() {
    let world = world();
    world.tick().await;
    lose_the_state(&world);
    let at = world.ago(TimeDelta::hours(1));
    world.mandiant.put(Record::ipv4("198.51.100.9").updated(at).mscore(3));
    let report = world.tick().await;
    assert_eq!((report.totals().retracted, world.held().len()), (1, 249), "{report:#?}");
}

fn plant_theirs(world: &World, value: &str, confidence: u8) {
    let until = (world.now() + TimeDelta::days(6)).to_rfc3339();
    let pattern = format!("[ipv4-addr:value = '{value}']");
    world.resource_manager.plant(planted("Mandiant", THEIR_ID, &pattern, confidence, &until));
}

#[tokio::test(start_paused = true)]
async fn another_products_indicators_are_updated_under_their_own_ids() {
    let world = world();
    plant_theirs(&world, "198.51.100.7", 90);
    let report = world.tick().await;
    assert_eq!((report.totals().created, report.totals().unchanged), (249, 1), "{report:#?}");
    tokio::time::advance(Duration::from_secs(7200)).await;
    let at = world.ago(TimeDelta::minutes(30));
    world.mandiant.put(Record::ipv4("198.51.100.7").updated(at).mscore(97));
    let report = world.tick().await;
    assert_eq!(report.totals().updated, 1, "{report:#?}");
    let object = world.object("198.51.100.7");
    assert_eq!((object["id"].as_str(), object["confidence"].as_i64()), (Some(THEIR_ID), Some(97)));
    // Also after the manifest was written and read, and when it is retracted.
    world.mandiant.put(Record::ipv4("198.51.100.7").updated(world.now()).mscore(7));
    tokio::time::advance(Duration::from_secs(7200)).await;
    let report = world.tick().await;
    assert_eq!((report.totals().retracted, world.held().len()), (1, 249), "{report:#?}");
    assert_eq!(world.object("198.51.100.7")["id"], THEIR_ID);
}

#[tokio::test(start_paused = true)]
async fn an_adoption_that_is_interrupted_goes_on_where_it_was() {
    let world = World::new();
    let at = world.ago(TimeDelta::days(2));
    let address = |n: u32| format!("198.{}.{}.1", 51 + n / 250, n % 250);
    world.mandiant.put_all((0..3500).map(|n| Record::ipv4(&address(n)).updated(at)));
    world.tick().await;
    assert_eq!(world.held().len(), 3500);
    lose_the_state(&world);
    let mut world = world;
    world.adopts();
    let ended = world.run(Work::Timer, Duration::from_secs(6)).await;
    assert_eq!(ended.reports[0].end, End::Paused, "{ended:#?}");
    let reports = world.chain(Duration::from_secs(600)).await;
    assert_eq!(reports.last().unwrap().end, End::CaughtUp);
    let created: u64 = reports.iter().map(|report| report.totals().created).sum();
    assert_eq!((created, world.sentinel.log().len()), (0, 3500), "{reports:#?}");
    let pages = world.resource_manager.queries().len();
    assert!((35..=47).contains(&pages), "{pages} queries for 35 pages");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_cannot_be_gone_on_with_is_read_again() {
    let mut world = world();
    world.tick().await;
    lose_the_state(&world);
    world.resource_manager.knobs(|knobs| knobs.token_pages = Some(1));
    world.set("SENTINEL_REQUESTS_PER_MINUTE", "1000");
    let report = world.tick().await;
    assert_eq!(report.end, End::Stalled, "it never gets to its end: {report:#?}");
    world.resource_manager.knobs(|knobs| knobs.token_pages = None);
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().created), (End::CaughtUp, 0), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn who_may_not_read_is_told_which_role_it_takes() {
    let world = world();
    world.resource_manager.authorize(|_, _| Authorization::Forbidden);
    let report = world.tick().await;
    assert_eq!(report.end, End::Stalled);
    assert!(report.message.contains("Microsoft Sentinel Reader"), "{}", report.message);
    assert_eq!(world.held().len(), 0, "it does not begin without");
}

#[tokio::test(start_paused = true)]
async fn throttling_is_waited_for_and_a_dry_run_adopts_nothing_for_good() {
    let world = world();
    world.tick().await;
    lose_the_state(&world);
    let busy = Answer {
        status: 429,
        headers: vec![("Retry-After".to_owned(), "17".to_owned())],
        body: r#"{"error":{"code":"TooManyRequests","message":"slow down"}}"#.to_owned(),
    };
    world.resource_manager.knobs(|knobs| knobs.script.push_back(busy));
    let dry = world.command(RunOptions { dry_run: true, ..RunOptions::default() }).await;
    assert_eq!((dry.end, dry.totals().created, dry.totals().unchanged), (End::CaughtUp, 0, 250), "{dry:#?}");
    assert!(!world.state.path().join("lanes").exists());
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_pointed_elsewhere_adopts_what_is_there() {
    let mut world = world();
    world.tick().await;
    world.set("SOURCE_SYSTEM", "Another");
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().created), (End::CaughtUp, 250), "a new source: {report:#?}");
    world.set("SOURCE_SYSTEM", "Mandiant");
    let report = world.tick().await;
    assert_eq!((report.totals().created, report.totals().unchanged), (0, 250), "{report:#?}");
}
