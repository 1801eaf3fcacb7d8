//! What a repair sends again and adopts, within the rate and the limits; and how it goes on after a pause.

use std::time::Duration;

use chrono::TimeDelta;
use mati_sync::{
    domain::{findings::Repair, outcome::End, request::RunOptions},
    pass::Work,
};
use sandbox::{corpus::Record, resource_manager::planted};
use serde_json::json;

use super::{
    HOUR, numbers, of,
    sentinel::{address, held},
};
use crate::harness::world::{World, over_the_queue};

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_sent_again_once_and_alone() {
    let world = held().await;
    world.delete_by_hand(&address(7));
    world.delete_by_hand(&address(200));
    let uploads = world.sentinel.log().len();
    let report = world.repair().await;
    let findings = of(&report, "sentinel");
    assert_eq!((report.end, numbers(&findings)), (End::CaughtUp, ([2, 0, 0, 0], 2)), "{report:#?}");
    assert!(findings.is_well() && findings.repair == Repair::Done);
    assert_eq!(report.totals().created, 2);
    assert_eq!((world.held().len(), world.sentinel.log().len()), (250, uploads + 2));
    assert_eq!(world.kept().unwrap().lanes["sentinel"], findings);
    let again = world.repair().await;
    assert_eq!(numbers(&of(&again, "sentinel")), ([0; 4], 0), "{again:#?}");
    assert_eq!(world.sentinel.log().len(), uploads + 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_changed_or_ended_is_sent_again_as_it_was() {
    let world = held().await;
    let before: Vec<_> = (1..=5).map(|n| world.object(&address(n))).collect();
    world.change_by_hand(&address(1), "confidence", json!(10));
    world.change_by_hand(&address(2), "labels", json!(["reviewed"]));
    world.change_by_hand(&address(3), "valid_until", json!(world.now().to_rfc3339()));
    world.change_by_hand(&address(4), "revoked", json!(true));
    world.change_by_hand(&address(5), "pattern", json!("[ipv4-addr:value = '192.0.2.99']"));
    let report = world.repair().await;
    assert_eq!(numbers(&of(&report, "sentinel")), ([0, 4, 0, 1], 5), "{report:#?}");
    assert_eq!(report.totals().updated, 5);
    for (before, n) in before.iter().zip(1..) {
        let after = world.object(&address(n));
        for field in ["confidence", "labels", "pattern", "revoked", "id"] {
            assert_eq!(after[field], before[field], "{field} of {n}");
        }
    }
    tokio::time::advance(4 * HOUR).await;
    assert!(world.audit().await.lanes["sentinel"].is_well());
}

/// What the source no longer wants is not brought back, and what it no longer lists cannot be.
#[tokio::test(start_paused = true)]
async fn what_is_no_longer_wanted_or_listed_is_not_sent() {
    let world = held().await;
    let at = world.ago(TimeDelta::minutes(5));
    world.delete_by_hand(&address(1));
    world.delete_by_hand(&address(2));
    world.delete_by_hand(&address(3));
    world.mandiant.put(Record::ipv4(&address(1)).updated(at - TimeDelta::days(2)).mscore(3));
    world.mandiant.remove(Record::ipv4(&address(2)).key());
    let report = world.repair().await;
    let findings = of(&report, "sentinel");
    assert_eq!(numbers(&findings), ([3, 0, 0, 0], 1), "{report:#?}");
    assert_eq!((findings.unwanted, findings.open(), findings.is_well()), (1, 1, false));
    assert!(report.message.contains("1 could not be sent again"), "{}", report.message);
    assert!(world.held().iter().all(|value| *value != address(1) && *value != address(2)));
    // It is sent as soon as the source lists it again.
    world.mandiant.put(Record::ipv4(&address(2)).updated(world.ago(TimeDelta::minutes(3))).mscore(90));
    assert_eq!(world.tick().await.totals().created, 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_unknown_is_adopted_and_then_judged_like_everything_else() {
    let world = held().await;
    let until = (world.now() + TimeDelta::days(5)).to_rfc3339();
    for value in ["203.0.113.1", "203.0.113.2"] {
        let pattern = format!("[ipv4-addr:value = '{value}']");
        world.resource_manager.plant(planted("Mandiant", &World::id(value), &pattern, 90, &until));
    }
    // The source speaks against one of them, in a time that the lane has read long ago.
    world.mandiant.put(Record::ipv4("203.0.113.2").updated(world.ago(TimeDelta::days(9))).mscore(3));
    let report = world.repair().await;
    assert_eq!(numbers(&of(&report, "sentinel")), ([0, 0, 2, 0], 2), "{report:#?}");
    assert_eq!((report.totals().retracted, report.totals().created), (1, 0), "{report:#?}");
    tokio::time::advance(4 * HOUR).await;
    let findings = world.audit().await.lanes["sentinel"].clone();
    assert_eq!((findings.held, findings.is_well()), (251, true), "{findings:#?}");
}

/// What was retracted and stands there again retracts within the limit, as any other.
#[tokio::test(start_paused = true)]
async fn retractions_of_a_repair_keep_to_the_limit() {
    let world = held().await;
    let until = (world.now() + TimeDelta::days(5)).to_rfc3339();
    for n in 1..=120 {
        let value = format!("203.0.113.{n}");
        let pattern = format!("[ipv4-addr:value = '{value}']");
        world.resource_manager.plant(planted("Mandiant", &World::id(&value), &pattern, 90, &until));
        world.mandiant.put(Record::ipv4(&value).updated(world.ago(TimeDelta::days(9))).mscore(3));
    }
    let report = world.repair().await;
    let lane = &report.lanes["sentinel"];
    assert_eq!(numbers(&of(&report, "sentinel")), ([0, 0, 120, 0], 120), "{report:#?}");
    assert_eq!(report.end, End::Stalled, "{report:#?}");
    assert!(lane.counts.retracted + lane.withheld.retracted == 120 && lane.counts.retracted <= 100);
    assert!(lane.message.as_deref().unwrap().contains("confirm_retraction"), "{report:#?}");
}

/// 2,500 are more than a lane creates unasked.
#[tokio::test(start_paused = true)]
async fn a_repair_does_not_count_against_the_creation_limit_and_keeps_to_the_rate() {
    let mut world = World::new();
    world.adopts();
    let address = |n: u32| format!("198.{}.{}.1", 51 + n / 250, n % 250);
    let at = world.ago(TimeDelta::days(2));
    world.mandiant.put_all((0..2500).map(|n| Record::ipv4(&address(n)).updated(at)));
    world.tick().await;
    tokio::time::advance(30 * HOUR).await;
    world.tick().await;
    for n in 0..2500 {
        world.delete_by_hand(&address(n));
    }
    world.set("SENTINEL_REQUESTS_PER_MINUTE", "5");
    let before = world.sentinel.requests().len();
    let report = world.repair().await;
    assert_eq!(numbers(&of(&report, "sentinel")), ([2500, 0, 0, 0], 2500), "{report:#?}");
    assert_eq!((report.end, report.lanes["sentinel"].withheld.created), (End::CaughtUp, 0), "{report:#?}");
    let requests = &world.sentinel.requests()[before..];
    let took = requests.last().unwrap().at - requests[0].at;
    assert!(requests.len() == 25 && took >= TimeDelta::minutes(4), "{} in {took}", requests.len());
}

#[tokio::test(start_paused = true)]
async fn a_repair_that_is_interrupted_goes_on_and_counts_each_once() {
    let mut world = World::new();
    world.adopts();
    let address = |n: u32| format!("198.{}.{}.1", 51 + n / 250, n % 250);
    let at = world.ago(TimeDelta::days(2));
    world.mandiant.put_all((0..2000).map(|n| Record::ipv4(&address(n)).updated(at)));
    world.tick().await;
    tokio::time::advance(4 * HOUR).await;
    for n in 0..2000 {
        world.delete_by_hand(&address(n));
    }
    world.set("SENTINEL_REQUESTS_PER_MINUTE", "5");
    let mut ended = world.run(Work::Repair, Duration::from_secs(120)).await;
    let first = of(&ended.reports[0], "sentinel");
    assert_eq!((ended.reports[0].end, first.missing, first.repair), (End::Paused, 2000, Repair::UnderWay));
    assert!(first.repaired > 0 && first.repaired < 2000, "{first:#?}");
    let mut last = first;
    while let Some(message) = ended.continuation.take() {
        ended = world.run(Work::QueueMessage(over_the_queue(&message)), Duration::from_secs(120)).await;
        let findings = of(&ended.reports[0], "sentinel");
        assert!(findings.repaired > last.repaired && findings.missing == 2000, "{findings:#?}");
        last = findings;
    }
    assert_eq!((last.repaired, last.repair, world.held().len()), (2000, Repair::Done, 2000));
    assert_eq!(world.kept().unwrap().lanes["sentinel"], last);
    assert_eq!(world.sentinel.log().len(), 4000, "each once");
}

#[tokio::test(start_paused = true)]
async fn only_what_the_missing_ones_need_is_read_again() {
    let mut world = World::new();
    world.adopts().set("INITIAL_LOOKBACK", "60");
    for (n, days) in [(1, 55), (2, 20), (3, 3)] {
        world.mandiant.put(Record::ipv4(&address(n)).updated(world.ago(TimeDelta::days(days))).mscore(90));
    }
    world.mandiant.put_all(
        (10..200).map(|n| Record::ipv4(&address(n)).updated(world.ago(TimeDelta::days(30))).mscore(90)),
    );
    world.tick().await;
    tokio::time::advance(4 * HOUR).await;
    world.delete_by_hand(&address(1));
    world.delete_by_hand(&address(3));
    let report = world.repair().await;
    assert_eq!(numbers(&of(&report, "sentinel")), ([2, 0, 0, 0], 2), "{report:#?}");
    assert_eq!(report.totals().read, 2, "the others lie on other days: {report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_and_a_lane_without_state_are_no_trouble() {
    let world = held().await;
    world.delete_by_hand(&address(1));
    let dry = world.command(RunOptions { dry_run: true, ..RunOptions::default() }).await;
    assert!(dry.lanes["sentinel"].audit.is_none());
    std::fs::remove_dir_all(world.state.path().join("lanes")).unwrap();
    let findings = world.audit().await.lanes["sentinel"].clone();
    assert_eq!((findings.held, numbers(&findings)), (0, ([0, 0, 249, 0], 0)), "{findings:#?}");
    let report = world.repair().await;
    assert_eq!((report.totals().created, world.held().len()), (1, 250), "it adopts first: {report:#?}");
}
