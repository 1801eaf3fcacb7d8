//! Sentinel throttles, rejects, breaks, and loses its answers.

use std::{collections::BTreeSet, time::Duration};

use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode},
};
use chrono::TimeDelta;
use mati_sync::{domain::outcome::End, pass::Work};
use sandbox::{
    corpus::Record,
    net::Fault,
    sentinel::{Answer, Authorization},
};
use serde_json::Value;

use super::{LIMIT, Outage, at, fill, html, is_upload, recovers, stalls};
use crate::{
    harness::world::{WORKSPACE, World},
    protocol::{post, serve},
};

#[tokio::test(start_paused = true)]
async fn a_storm_of_throttling_is_sat_out() {
    let world = World::new();
    fill(&world, 1500);
    let throttled = Answer {
        status: 429,
        headers: Vec::new(),
        body: r#"{"statusCode":429,"message":"Rate limit is exceeded. Try again in 3 seconds."}"#.to_owned(),
    };
    world.sentinel.knobs(|knobs| knobs.script = vec![throttled; 24].into());
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().created), (End::CaughtUp, 1500), "{report:#?}");
    assert_eq!(report.totals().throttled, 24);
    recovers(&world).await;
}

#[tokio::test(start_paused = true)]
async fn throttling_without_end_ends_the_pass_in_time_and_loses_nothing() {
    for retry_after_header in [true, false] {
        let world = World::new();
        fill(&world, 1500);
        world.sentinel.knobs(|knobs| {
            knobs.quota = 0;
            knobs.retry_after_header = retry_after_header;
        });
        let began = tokio::time::Instant::now();
        let ended = world.run(Work::Timer, LIMIT).await;
        assert!(began.elapsed() < LIMIT, "{:?}", began.elapsed());
        let report = &ended.reports[0];
        assert!(matches!(report.end, End::Stalled | End::Paused), "{report:#?}");
        assert_eq!((report.totals().created, report.totals().rejected), (0, 0));
        world.sentinel.knobs(|knobs| knobs.quota = 100);
        recovers(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_no_pass_can_wait_is_left_to_the_next() {
    for (header, body) in [
        (Some("3600".to_owned()), String::new()),
        (Some(u64::MAX.to_string()), String::new()),
        (None, format!("{{\"message\":\"Try again in {} seconds.\"}}", u64::MAX)),
    ] {
        let world = World::new();
        fill(&world, 100);
        let headers = header.map(|seconds| ("retry-after".to_owned(), seconds)).into_iter().collect();
        world.sentinel.knobs(|knobs| knobs.script = [Answer { status: 429, headers, body }].into());
        let app = serve(&world);
        let (_, body) = post(&app, "SyncTimer", r#"{"Data":{"timer":{}}}"#).await;
        assert!(body["error"].as_str().is_some_and(|error| error.contains("Sentinel throttles")), "{body}");
        // Also the process that was told to wait goes on with the next tick.
        let (_, body) = post(&app, "SyncTimer", r#"{"Data":{"timer":{}}}"#).await;
        assert_eq!((&body["Outputs"]["next"], &body["error"]), (&Value::Null, &Value::Null), "{body}");
        recovers(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_stored_although_the_answer_was_lost_is_sent_again_under_the_same_ids() {
    let (bad_gateway, headers, body) = html(502);
    let unavailable = || (StatusCode::SERVICE_UNAVAILABLE, HeaderMap::new(), Bytes::new());
    let after = |(status, headers, body)| Fault::AnswerAfter(status, headers, body);
    let faults = [
        (false, Fault::Refuse),
        (false, Fault::ResetBefore),
        (false, Fault::Hang),
        (false, Fault::status(503)),
        (false, Fault::AnswerBefore(StatusCode::OK, headers.clone(), body.clone())),
        (true, Fault::ResetAfter),
        (true, Fault::ResetInBody(0)),
        (true, Fault::DelayAfter(Duration::from_secs(61))),
        (true, after(unavailable())),
        (true, after((bad_gateway, headers, body))),
    ];
    for (was_stored, fault) in faults {
        let world = World::new();
        fill(&world, 1500);
        Outage::begin(&world, at(|number| number == 3, is_upload, fault.clone()));
        let report = world.tick().await;
        assert_eq!((report.end, report.totals().created), (End::CaughtUp, 1500), "{fault:?}: {report:#?}");
        let log = world.sentinel.log();
        assert_eq!(log.len(), if was_stored { 1600 } else { 1500 }, "{fault:?}");
        let ids: BTreeSet<&str> = log.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids.len(), 1500, "{fault:?}");
        recovers(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_stores_and_never_answers_stalls_and_nothing_is_doubled() {
    let world = World::new();
    fill(&world, 1500);
    let outage = Outage::begin(&world, at(|number| number > 5, is_upload, Fault::ResetAfter));
    stalls(&world, &["Sentinel cannot be reached"]).await;
    outage.mend();
    recovers(&world).await;
    assert_eq!(world.sentinel.stored().len(), 1500);
}

/// The answer to a retraction is lost, and so is the one to an update; then the record says again what it said before. What
/// the destination holds by now, no answer has told.
#[tokio::test(start_paused = true)]
async fn a_record_that_returns_to_what_it_said_is_sent_again_after_a_lost_answer() {
    const VALUE: &str = "bad.example";
    for mscore in [10, 97] {
        let world = World::new();
        let record = |mscore: i64, ago| Record::fqdn(VALUE).mscore(mscore).updated(world.ago(ago));
        world.mandiant.put(record(95, TimeDelta::minutes(30)));
        let first = world.tick().await;
        assert_eq!((first.end, first.totals().created), (End::CaughtUp, 1));
        tokio::time::advance(Duration::from_secs(3600)).await;
        world.mandiant.put(record(mscore, TimeDelta::minutes(5)));
        let outage = Outage::begin(&world, at(|_| true, is_upload, Fault::ResetAfter));
        assert_eq!(world.tick().await.end, End::Stalled);
        outage.mend();
        world.mandiant.put(record(95, TimeDelta::minutes(4)));
        let last = world.tick().await;
        assert_eq!((last.end, last.totals().updated), (End::CaughtUp, 1), "{last:#?}");
        let stored = world.sentinel.stored();
        let object = stored.values().next().expect("it is stored");
        assert_eq!((object["confidence"].as_i64(), world.held().len()), (Some(95), 1), "{object}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_workspace_is_named() {
    let mut world = World::new();
    fill(&world, 1500);
    world.set("AZURE_WORKSPACE_ID", "00000000-0000-4000-8000-000000000001");
    stalls(&world, &["AZURE_WORKSPACE_ID", "not its name", "00000000-0000-4000-8000-000000000001"]).await;
    world.set("AZURE_WORKSPACE_ID", WORKSPACE);
    recovers(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_too_large_is_cut_until_it_fits() {
    let world = World::new();
    fill(&world, 300);
    world.sentinel.knobs(|knobs| knobs.max_body = Some(30_000));
    let report = world.tick().await;
    assert_eq!((report.totals().created, report.totals().rejected), (300, 0), "{report:#?}");
    recovers(&world).await;

    let world = World::new();
    fill(&world, 300);
    world.sentinel.knobs(|knobs| knobs.max_body = Some(10));
    let report = stalls(&world, &["413", "too large"]).await;
    assert_eq!(report.totals().rejected, 0, "no record is blamed when none fits: {report:#?}");
    world.sentinel.knobs(|knobs| knobs.max_body = None);
    recovers(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_rejected_also_when_new_stalls() {
    let world = World::new();
    fill(&world, 1500);
    world.sentinel.authorize(|_, _| Authorization::Unauthenticated);
    stalls(&world, &["does not accept the token", "AZURE_CLOUD"]).await;
    let asked = world.entra.issued().len();
    assert!((2..=5).contains(&asked), "one new token for each request under way, not {asked}");
    world.sentinel.authorize(|_, _| Authorization::Valid);
    recovers(&world).await;
}
