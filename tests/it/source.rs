//! Reading the feed: windows, pages, cursors, and the forms in which they end and fail.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use axum::http::HeaderMap;
use chrono::TimeDelta;
use mati_sync::domain::outcome::End;
use sandbox::{
    corpus::Record,
    mandiant::{EndOfData, FeedRequest, LaterFlags},
    net::Fault,
};

use crate::harness::world::World;

/// `count` records of the last hours, all wanted.
fn records(world: &World, count: u32) -> impl Iterator<Item = Record> + use<> {
    let newest = world.ago(TimeDelta::hours(2));
    (0..count).map(move |n| {
        Record::ipv4(&format!("198.{}.{}.{}", n / 62_500, n / 250 % 250, n % 250 + 1))
            .updated(newest - TimeDelta::seconds(i64::from(n) * 3))
    })
}

#[tokio::test(start_paused = true)]
async fn every_form_of_the_end_of_data_is_understood() {
    for end in EndOfData::ALL {
        let world = World::new();
        world.mandiant.put_all(records(&world, 2500));
        world.mandiant.set(|knobs| {
            knobs.end_of_data = end;
            knobs.empty_window = end;
        });
        let report = world.tick().await;
        assert_eq!((report.end, report.totals().created), (End::CaughtUp, 2500), "{end:?}: {report:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_requests_are_those_of_the_fact_sheet() {
    let mut world = World::new();
    // Where nothing is retracted, the source may leave out what the settings do not admit.
    world.set("URL_MINIMUM_CONFIDENCE", "65").set("INITIAL_LOOKBACK", "-1").set("EXPIRE_RETRACTED", "false");
    world.mandiant.put_all(records(&world, 1500));
    world.tick().await;
    let requests = world.mandiant.requests();
    let first = &requests[0];
    assert_eq!(first.parameter("gte_mscore"), Some("65"), "the lowest threshold of any type");
    assert_eq!(first.parameter("exclude_osint"), Some("true"));
    assert_eq!(first.parameter("gte_threatscore"), None, "it may hide unrated records");
    assert_eq!(first.parameter("sort_by"), Some("last_updated:asc"));
    assert_eq!(first.parameter("limit"), Some("1000"));
    assert_eq!(first.app_name(), Some(concat!("mati-sync-v", env!("CARGO_PKG_VERSION"))));
    let now = mati_sync_start().timestamp();
    let ago =
        |request: &FeedRequest, name: &str| now - request.parameter(name).unwrap().parse::<i64>().unwrap();
    assert_eq!((ago(first, "start_epoch"), ago(first, "end_epoch")), (86_400, 120));
    let second = requests.iter().find(|request| request.next().is_some()).unwrap();
    for flag in ["include_threat_rating", "include_category", "include_campaigns"] {
        assert_eq!(second.parameter(flag), Some("true"), "the cursor does not keep {flag}");
    }
    assert_eq!((second.parameter("start_epoch"), second.parameter("include_misp")), (None, Some("false")));
    assert_eq!(world.mandiant.token_requests(), 1, "one token a pass");
}

#[tokio::test(start_paused = true)]
async fn where_drops_are_retracted_the_source_leaves_nothing_out() {
    let world = World::new();
    world.mandiant.put_all(records(&world, 10));
    world.tick().await;
    for request in world.mandiant.requests().iter().filter(|request| request.next().is_none()) {
        let filters = (request.parameter("gte_mscore"), request.parameter("exclude_osint"));
        assert_eq!(filters, (Some("0"), None), "drops are seen");
    }
}

fn mati_sync_start() -> chrono::DateTime<chrono::Utc> {
    crate::harness::world::START.parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_where_the_last_pass_ended_and_reads_late_records() {
    let world = World::new();
    world.mandiant.put_all(records(&world, 10));
    let report = world.tick().await;
    let watermark = report.lanes["sentinel"].watermark.unwrap();
    assert_eq!((report.started_at - watermark).num_seconds(), 120, "{report:#?}");
    tokio::time::advance(Duration::from_secs(3600)).await;
    // Indexed after the pass although dated before its end.
    world.mandiant.put(Record::ipv4("203.0.113.1").updated(watermark - TimeDelta::minutes(10)));
    // Dated within the last two minutes: left to the next pass.
    world.mandiant.put(Record::ipv4("203.0.113.2").updated(world.ago(TimeDelta::minutes(1))));
    let asked = world.mandiant.requests().len();
    let report = world.tick().await;
    assert_eq!((report.totals().created, world.held().len()), (1, 11), "{report:#?}");
    let start: i64 = world.mandiant.requests()[asked].parameter("start_epoch").unwrap().parse().unwrap();
    assert_eq!(start, (watermark - TimeDelta::minutes(15)).timestamp());
}

#[tokio::test(start_paused = true)]
async fn later_pages_without_the_fields_asked_for_stall_the_lane() {
    let world = World::new();
    world.mandiant.put_all(records(&world, 1500));
    world.mandiant.set(|knobs| knobs.later_flags = LaterFlags::Dropped);
    let report = world.tick().await;
    assert_eq!(report.end, End::Stalled, "{report:#?}");
    assert!(report.message.contains("threat_rating"), "{}", report.message);
    world.mandiant.set(|knobs| knobs.later_flags = LaterFlags::Kept);
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 1500), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_cursor_that_ran_out_starts_the_window_again() {
    let world = World::new();
    world.mandiant.put_all(records(&world, 2500));
    world.mandiant.set(|knobs| knobs.cursor_ttl = Some(Duration::from_secs(3)));
    let broken = AtomicU32::new(0);
    world.net.on_request(move |exchange| {
        let late = exchange.uri.query().is_some_and(|query| query.contains("next="));
        (late && broken.fetch_add(1, Ordering::Relaxed) == 0)
            .then(|| Fault::DelayBefore(Duration::from_secs(10)))
    });
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().created), (End::CaughtUp, 2500), "{report:#?}");
    assert!(report.totals().unchanged >= 1000, "the window was read again: {report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_cursor_that_does_not_move_on_ends_the_lane() {
    let world = World::new();
    world.mandiant.put_all(records(&world, 2500));
    world.mandiant.set(|knobs| knobs.cursor_loop_from = Some(1));
    let report = world.tick().await;
    assert_eq!(report.end, End::Stalled, "{report:#?}");
    assert!(report.message.contains("cursor"), "{}", report.message);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_renewed_once_and_then_both_causes_are_named() {
    for status in [401, 403] {
        let world = World::new();
        world.mandiant.put_all(records(&world, 1500));
        world
            .mandiant
            .set(|knobs| knobs.unauthorized_status = axum::http::StatusCode::from_u16(status).unwrap());
        let (mandiant, pages) = (world.mandiant.clone(), AtomicU32::new(0));
        world.net.on_request(move |exchange| {
            let is_page = exchange.uri.path().ends_with("/indicator");
            if is_page && pages.fetch_add(1, Ordering::Relaxed) == 31 {
                mandiant.revoke_tokens();
            }
            None
        });
        let report = world.tick().await;
        assert_eq!((report.end, world.held().len()), (End::CaughtUp, 1500), "{status}: {report:#?}");
        assert_eq!(world.mandiant.token_requests(), 2);

        world.mandiant.set(|knobs| knobs.secret = "another".to_owned());
        let report = world.tick().await;
        assert_eq!(report.end, End::Stalled);
        for cause in ["MATI_SECRET", "no right"] {
            assert!(report.message.contains(cause), "{cause} is not in {}", report.message);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn basic_and_api_key_work_too() {
    for auth in ["basic", "apikey"] {
        let mut world = World::new();
        world.set("MATI_AUTH", auth);
        if auth == "apikey" {
            world.set("MATI_SECRET", "").set("MATI_BASE_URL", "https://www.virustotal.com/api/v3/mati");
            world.net.host("www.virustotal.com", world.mandiant.router());
        }
        world.mandiant.put_all(records(&world, 1200));
        let report = world.tick().await;
        assert_eq!((report.end, report.totals().created), (End::CaughtUp, 1200), "{auth}: {report:#?}");
        assert_eq!(world.mandiant.token_requests(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_is_whole_or_an_error() {
    type Make = fn() -> Fault;
    let faults: [(&str, Make); 6] = [
        ("reset before", || Fault::ResetBefore),
        ("reset in the body", || Fault::ResetInBody(5000)),
        ("hang", || Fault::Hang),
        ("server error", || Fault::status(502)),
        ("a proxy's page", || {
            Fault::AnswerBefore(axum::http::StatusCode::OK, HeaderMap::new(), "<html>Sign in</html>".into())
        }),
        ("half a page", || {
            Fault::AnswerBefore(
                axum::http::StatusCode::OK,
                HeaderMap::new(),
                r#"{"indicators":[{"id":"#.into(),
            )
        }),
    ];
    for (name, fault) in faults {
        let world = World::new();
        world.mandiant.put_all(records(&world, 1500));
        let nth = AtomicU32::new(0);
        world.net.on_request(move |exchange| {
            let is_page = exchange.uri.path().ends_with("/indicator");
            (is_page && nth.fetch_add(1, Ordering::Relaxed) == 31).then(fault)
        });
        let report = world.tick().await;
        assert_eq!((report.end, report.totals().created), (End::CaughtUp, 1500), "{name}: {report:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_down_stalls_the_lane_and_nothing_is_lost() {
    let world = World::new();
    world.mandiant.put_all(records(&world, 1500));
    world.mandiant.set(|knobs| {
        knobs.answer_override = Some(std::sync::Arc::new(|_| {
            Some((
                axum::http::StatusCode::SERVICE_UNAVAILABLE,
                HeaderMap::new(),
                "down for maintenance".into(),
            ))
        }));
    });
    let report = world.tick().await;
    assert_eq!(report.end, End::Stalled, "{report:#?}");
    assert!(report.message.contains("down for maintenance"));
    world.mandiant.set(|knobs| knobs.answer_override = None);
    assert_eq!(world.tick().await.totals().created, 1500);
}

#[tokio::test(start_paused = true)]
async fn what_the_source_no_longer_reaches_is_skipped_and_the_rest_is_read() {
    let world = World::new();
    world.mandiant.put_all(records(&world, 5));
    world.tick().await;
    tokio::time::advance(Duration::from_secs(100 * 86_400)).await;
    world.mandiant.put(Record::ipv4("203.0.113.1").updated(world.ago(TimeDelta::days(3))));
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().created), (End::CaughtUp, 1), "{report:#?}");
}
