//! The lease is lost to another instance, or to a storage that does not answer: the second is not the first.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use chrono::TimeDelta;
use mati_sync::{clock::Clock, domain::outcome::End, pass::Work};
use sandbox::net::{Exchange, Fault};

use super::{LIMIT, follow, put};
use crate::harness::world::World;

fn is_renewal(exchange: &Exchange) -> bool {
    exchange.headers.get("x-ms-lease-action").is_some_and(|action| action == "renew")
}

/// Several minutes of uploads.
fn world() -> (World, sandbox::blob::BlobService) {
    let (mut world, blobs) = World::with_blobs();
    world.set("SENTINEL_REQUESTS_PER_MINUTE", "5");
    put(&world, 0..1500, TimeDelta::hours(2));
    (world, blobs)
}

/// Renewals meet `fault` from the first to the fifth minute.
fn no_renewals(world: &World, fault: Fault) {
    let (start, clock) = (world.now(), Arc::clone(&world.clock));
    world.net.on_request(move |exchange| {
        let age = (clock.now() - start).num_seconds();
        (is_renewal(exchange) && (60..300).contains(&age)).then(|| fault.clone())
    });
}

#[tokio::test(start_paused = true)]
async fn two_renewals_in_a_row_may_go_unanswered() {
    let (world, _blobs) = world();
    let renewals = AtomicU32::new(0);
    world.net.on_request(move |exchange| {
        let is_lost = is_renewal(exchange) && renewals.fetch_add(1, Ordering::Relaxed) % 3 < 2;
        is_lost.then_some(Fault::Hang)
    });
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 1500), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_pass_whose_lease_ran_out_says_so_and_is_continued() {
    for fault in [Fault::Hang, Fault::status(503), Fault::ResetBefore] {
        let (world, _blobs) = world();
        no_renewals(&world, fault);
        let first = world.run(Work::Timer, LIMIT).await;
        let report = &first.reports[0];
        assert_eq!(report.end, End::Paused, "{report:#?}");
        assert!(report.message.contains("the lease ran out"), "{}", report.message);
        let chain = follow(&world, first, LIMIT, 9).await;
        let last = &chain.last().unwrap().reports[0];
        assert_eq!((last.end, world.held().len()), (End::CaughtUp, 1500), "{last:#?}");
        assert_eq!(world.sentinel.log().len(), 1500, "what was settled was committed");
    }
}

/// Four uploads are under way, and three of them wait for their place under the rate limit. Another instance may hold the
/// lease by then, and sends under the same limit.
#[tokio::test(start_paused = true)]
async fn what_waits_for_its_place_is_not_sent_once_the_lease_ran_out() {
    let (world, _blobs) = world();
    no_renewals(&world, Fault::Hang);
    let start = world.now();
    let first = world.run(Work::Timer, LIMIT).await;
    assert_eq!(first.reports[0].end, End::Paused, "{first:#?}");
    // The last renewal was answered within the first minute, and a lease is half a minute long.
    let late: Vec<_> = world.sentinel.requests().iter().map(|request| request.at - start).collect();
    let last = late.iter().max().unwrap();
    assert!(*last <= TimeDelta::seconds(90), "sent {} s after the start", last.num_seconds());
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_are_left_to_a_pass_that_holds_the_lease() {
    let (world, _blobs) = world();
    no_renewals(&world, Fault::Hang);
    let order = mati_sync::domain::request::RunOptions { lookback_days: Some(3), ..Default::default() };
    let message = world.start().engine.accept(order).await.unwrap();
    let first = world.run(Work::Timer, LIMIT).await;
    assert_eq!(first.reports.len(), 1, "{first:#?}");
    let chain = follow(&world, first, LIMIT, 9).await;
    let request =
        chain.iter().flat_map(|ended| &ended.reports).find(|report| report.run_id == message.run_id);
    assert_eq!(request.map(|report| report.end), Some(End::CaughtUp), "{chain:#?}");
}
