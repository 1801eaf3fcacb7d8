//! The canary: what tells a source that is silent from a destination that shows nothing.

use super::*;

fn canaries(world: &World) -> usize {
    world.sentinel.log().iter().filter(|row| row.source != "Mandiant").count()
}

#[tokio::test(start_paused = true)]
async fn a_silent_source_is_told_from_a_broken_workspace_once_a_day() {
    let world = world();
    list(&world, 0, 1);
    world.tick().await;
    for hour in 0..50 {
        let before = canaries(&world);
        let report = tick_after(&world, HOUR).await;
        let counts = report.totals();
        if counts.renewed > 0 || canaries(&world) == before {
            continue;
        }
        assert!(hour >= 22, "{hour}: {report:#?}");
        let canary = serde_json::to_value(arrival(&report)).unwrap()["canary"].clone();
        assert_eq!(canary, "seen", "{report:#?}");
        // It counts nowhere.
        assert_eq!((numbers(&report), counts.requests, counts.read, counts.created), ((0, 0, 0), 0, 0, 0));
        assert_eq!(report.lanes["sentinel"].message, None, "{report:#?}");
    }
    assert_eq!(canaries(&world), 2, "one a day");
    let row = world.sentinel.log().into_iter().find(|row| row.source != "Mandiant").unwrap();
    assert!(row.object["name"].as_str().unwrap().ends_with(".mati-sync.invalid"), "{row:?}");
    let manifest = world.start().engine.manifest("sentinel").await.unwrap();
    assert_eq!((manifest.len(), manifest.waiting(world.now()).count()), (1, 0));
    // It ends by itself.
    tokio::time::advance(60 * HOUR).await;
    assert!(!world.held().iter().any(|value| value.ends_with(".invalid")), "{:?}", world.held());
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_does_not_arrive_is_told_until_something_does() {
    let world = world();
    list(&world, 0, 1);
    world.tick().await;
    lose(&world, |_| true);
    let mut told = Vec::new();
    for hour in 0..60 {
        let report = tick_after(&world, HOUR).await;
        if report.totals().renewed > 0 {
            break;
        }
        assert_eq!(numbers(&report), (0, 0, 0), "a canary counts nowhere: {report:#?}");
        if message(&report).contains("accepted a canary") {
            told.push(hour);
        }
    }
    assert!(told.len() > 20, "{told:?}");
    let complaints = complaints(&world).await;
    assert!(complaints.len() == 1 && complaints[0].contains("canary"), "{complaints:?}");
    lose_nothing(&world);
    list(&world, 7, 1);
    let report = world.tick().await;
    assert_eq!((numbers(&report).1, message(&report)), (1, ""), "{report:#?}");
    assert!(self::complaints(&world).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_is_rejected_is_told_and_fails_nothing() {
    let world = world();
    list(&world, 0, 1);
    world.tick().await;
    world.sentinel.authorize(|_, _| Authorization::Forbidden);
    let report = tick_after(&world, 25 * HOUR).await;
    assert_eq!(report.end, End::CaughtUp, "{report:#?}");
    assert!(message(&report).contains("a canary was not accepted"), "{report:#?}");
    world.sentinel.trust(&world.entra);
    let report = tick_after(&world, HOUR).await;
    assert_eq!((message(&report), canaries(&world)), ("", 1), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_ended_before_the_next_pass_says_nothing() {
    let world = world();
    list(&world, 0, 1);
    world.tick().await;
    world.resource_manager.knobs(|knobs| knobs.lag = TimeDelta::minutes(5));
    tick_after(&world, 26 * HOUR).await;
    assert_eq!(canaries(&world), 1);
    let report = tick_after(&world, 50 * HOUR).await;
    assert_eq!(message(&report), "", "{report:#?}");
    assert!(complaints(&world).await.is_empty());
}
