//! An invocation has one continuation, for every lane that paused in it.

use std::time::Duration;

use chrono::TimeDelta;
use mati_sync::{
    domain::{outcome::End, request::RunOptions},
    pass::{Ended, Work},
};
use sandbox::{corpus::Record, sentinel::Answer};

use crate::harness::world::{World, over_the_queue};

const LIMIT: Duration = Duration::from_secs(120);

/// Sentinel's lane needs many invocations for 2,000 addresses; Defender's has read all there is.
async fn world() -> World {
    let mut world = World::new();
    world
        .set("TARGET_APPLICATION", "sentinel,defender")
        .set("SENTINEL_REQUESTS_PER_MINUTE", "2")
        .set("INITIAL_LOOKBACK", "1");
    let at = world.ago(TimeDelta::hours(3));
    world.mandiant.put_all((0..2000).map(|n| {
        Record::ipv4(&format!("198.51.{}.{}", n / 200, n % 200 + 1)).updated(at + TimeDelta::seconds(n / 10))
    }));
    world
}

fn to(lane: &str, order: RunOptions) -> RunOptions {
    RunOptions { destinations: Some(vec![lane.to_owned()]), ..order }
}

/// Follows a chain to its end; every invocation in it.
async fn follow(world: &World, first: Ended) -> Vec<Ended> {
    let mut chain = vec![first];
    while let Some(message) = chain.last().expect("it is not empty").continuation.clone() {
        chain.push(world.run(Work::QueueMessage(over_the_queue(&message)), LIMIT).await);
        assert!(chain.len() < 100, "the chain does not end");
    }
    chain
}

fn summary(chain: &[Ended]) -> String {
    let ends = chain.iter().flat_map(|ended| &ended.reports).map(|report| {
        let lanes = report.lanes.iter().map(|(name, lane)| format!("{name} {:?}", lane.end));
        format!("{:?}: {}", report.trigger, lanes.collect::<Vec<_>>().join(", "))
    });
    ends.collect::<Vec<_>>().join("; ")
}

#[tokio::test(start_paused = true)]
async fn a_request_for_one_lane_leaves_the_other_lanes_continuation() {
    let world = world().await;
    // A lookback of a month takes longer than what is left of the invocation.
    world.mandiant.set(|knobs| knobs.page_delay = Duration::from_secs(2));
    let order = to("defender", RunOptions { lookback_days: Some(60), ..RunOptions::default() });
    world.start().engine.accept(order).await.expect("it is durable");
    let first = world.run(Work::Timer, LIMIT).await;
    let ends: Vec<End> = first.reports.iter().map(|report| report.end).collect();
    assert_eq!(ends, [End::Paused, End::Paused], "the tick's pass and the request's: {first:#?}");
    let chain = follow(&world, first).await;
    assert_eq!(world.held().len(), 2000, "after {} invocations: {}", chain.len(), summary(&chain));
    assert_eq!(world.defender.stored().len(), 2000);
    assert_eq!(chain.last().unwrap().reports.last().unwrap().end, End::CaughtUp, "{}", summary(&chain));
    assert!(chain.iter().all(|ended| !ended.is_failure()), "{}", summary(&chain));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_stalls_is_not_hidden_by_a_stale_message() {
    let world = world().await;
    let order = to("sentinel", RunOptions { lookback_days: Some(20), ..RunOptions::default() });
    world.start().engine.accept(order).await.expect("it is durable");
    // Three requests fit into the tick's pass; what comes after is rejected until the storm is over.
    let mandiant = world.mandiant.clone();
    let sentinel = world.sentinel.clone();
    world.net.on_request(move |_| {
        let is_late = sentinel.requests().len() >= 3;
        mandiant.set(|knobs| knobs.key = if is_late { "another".into() } else { "sandbox-key".into() });
        if is_late {
            mandiant.revoke_tokens();
        }
        None
    });
    let first = world.run(Work::Timer, LIMIT).await;
    let ends: Vec<End> = first.reports.iter().map(|report| report.end).collect();
    assert_eq!(ends, [End::Paused, End::Stalled], "the tick's pass and the request's: {first:#?}");
    let chain = follow(&world, first).await;
    assert!(chain.iter().any(Ended::is_failure), "the portal shows nothing: {}", summary(&chain));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_stalls_at_another_lane_fails_the_chain() {
    let world = world().await;
    let rejected = || Answer { status: 403, headers: Vec::new(), body: String::new() };
    let order = to("defender", RunOptions { rebuild: true, ..RunOptions::default() });
    world.start().engine.accept(order).await.expect("it is durable");
    let (sentinel, defender) = (world.sentinel.clone(), world.defender.clone());
    world.net.on_request(move |_| {
        if sentinel.requests().len() >= 3 {
            defender.knobs(|knobs| knobs.script = std::iter::repeat_n(rejected(), 1).collect());
        }
        None
    });
    let first = world.run(Work::Timer, LIMIT).await;
    let ends: Vec<End> = first.reports.iter().map(|report| report.end).collect();
    assert_eq!(ends, [End::Paused, End::Stalled], "the tick's pass and the request's: {first:#?}");
    assert!(first.continuation.is_some(), "Sentinel's lane goes on");
    let chain = follow(&world, first).await;
    assert_eq!(world.held().len(), 2000, "{}", summary(&chain));
    assert!(chain.iter().any(Ended::is_failure), "the portal shows nothing: {}", summary(&chain));
}
