//! What Mandiant has is more than a pass can read, or does not come.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
};
use chrono::TimeDelta;
use mati_sync::{
    app::App,
    clock::{Deadline, SharedClock},
    domain::outcome::End,
    pass::Work,
    source::mandiant::LIMITS,
};
use sandbox::{
    corpus::Record,
    net::{Exchange, Fault},
};

use super::{HOUR, LIMIT, follow, progress, put};
use crate::harness::world::World;

fn is_page(exchange: &Exchange) -> bool {
    exchange.uri.path().ends_with("/indicator")
}

fn is_later_page(exchange: &Exchange) -> bool {
    is_page(exchange) && exchange.uri.query().is_some_and(|query| query.contains("next="))
}

fn is_upload(exchange: &Exchange) -> bool {
    exchange.uri.path().ends_with(":upload")
}

fn later(seconds: u32) -> Fault {
    let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from(seconds))]);
    Fault::AnswerBefore(StatusCode::TOO_MANY_REQUESTS, headers, Bytes::new())
}

#[tokio::test(start_paused = true)]
async fn a_burst_within_the_overlap_is_delivered() {
    let mut world = World::new();
    put(&world, 0..10, TimeDelta::hours(2));
    world.tick().await;
    tokio::time::advance(HOUR).await;
    // Nearly two thousand records in the last minutes, for a lane creates no more unasked. A pass delivers four hundred, and cannot so much as read the others.
    world.set("SENTINEL_REQUESTS_PER_MINUTE", "2");
    world.mandiant.set(|knobs| {
        knobs.longest_page = 100;
        knobs.page_delay = Duration::from_secs(10);
    });
    put(&world, 10..810, TimeDelta::minutes(2));
    put(&world, 810..1960, TimeDelta::seconds(130));
    // While they are read, others are indexed, a quarter of an hour late.
    let (mandiant, clock, uploads) = (world.mandiant.clone(), Arc::clone(&world.clock), AtomicUsize::new(0));
    world.net.on_request(move |exchange| {
        if is_upload(exchange) && uploads.fetch_add(1, Ordering::Relaxed) == 6 {
            let at = mati_sync::clock::Clock::now(&*clock) - TimeDelta::minutes(14);
            mandiant.put_all((1..=30).map(|n| Record::ipv4(&format!("203.0.113.{n}")).updated(at)));
        }
        None
    });
    let limit = Duration::from_secs(150);
    let first = world.run(Work::Timer, limit).await;
    let chain = follow(&world, first, limit, 60).await;
    let last = &chain.last().unwrap().reports[0];
    assert_eq!(last.end, End::CaughtUp, "after {} passes: {last:#?}", chain.len());
    let behind = world.now() - last.lanes["sentinel"].watermark.unwrap();
    assert!(behind < TimeDelta::minutes(6), "the watermark is {behind} behind");
    world.set("SENTINEL_REQUESTS_PER_MINUTE", "100");
    assert_eq!(world.tick().await.end, End::CaughtUp);
    assert_eq!(world.held().len(), 1990, "those that were indexed late as well");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_wants_a_longer_wait_than_there_is_stalls_the_lane_with_that_cause() {
    // Longer than is ever waited for, and longer than this invocation lasts.
    for (wait, limit) in [(900, LIMIT), (250, LIMIT / 4)] {
        let world = World::new();
        put(&world, 0..2500, TimeDelta::hours(2));
        let lasts = Arc::new(AtomicBool::new(true));
        let holds = Arc::clone(&lasts);
        world.net.on_request(move |exchange| {
            (holds.load(Ordering::Relaxed) && is_later_page(exchange)).then(|| later(wait))
        });
        let first = world.run(Work::Timer, limit).await;
        let chain = follow(&world, first, limit, 4).await;
        let report = &chain.last().unwrap().reports[0];
        assert_eq!(report.end, End::Stalled, "{report:#?}");
        assert!(report.message.contains("Mandiant answered 429"), "{}", report.message);
        assert!(!report.message.contains("functionTimeout"), "{}", report.message);
        assert_eq!(
            progress(&world).await.window_seconds,
            LIMITS.longest.num_seconds(),
            "a shorter one is no help"
        );
        lasts.store(false, Ordering::Relaxed);
        assert_eq!(world.tick().await.end, End::CaughtUp);
        assert_eq!(world.held().len(), 2500);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_under_which_no_pass_can_upload_stalls_and_is_named() {
    let mut world = World::new();
    world.set("SENTINEL_REQUESTS_PER_MINUTE", "1");
    put(&world, 0..300, TimeDelta::hours(2));
    // The first place under the limit comes a minute after the process started.
    let limit = Duration::from_secs(50);
    let first = world.run(Work::Timer, limit).await;
    let chain = follow(&world, first, limit, 5).await;
    let report = &chain.last().unwrap().reports[0];
    assert_eq!(report.end, End::Stalled, "{report:#?}");
    assert!(
        report.message.contains("functionTimeout") && report.message.contains("rate limit"),
        "{}",
        report.message
    );
    assert_eq!(
        progress(&world).await.window_seconds,
        LIMITS.longest.num_seconds(),
        "a shorter one is no help"
    );
    // With a little more time there is one upload in each pass, and that is enough.
    let limit = Duration::from_secs(90);
    let first = world.run(Work::Timer, limit).await;
    let chain = follow(&world, first, limit, 20).await;
    assert_eq!(chain.last().unwrap().reports[0].end, End::CaughtUp, "{chain:#?}");
    assert_eq!(world.held().len(), 300);
}

#[tokio::test(start_paused = true)]
async fn an_uploads_stall_after_lost_pages_leaves_the_windows_as_long_as_they_are() {
    let world = World::new();
    // In the first half of a window of a day.
    put(&world, 0..2500, TimeDelta::hours(20));
    // The later pages are lost, and the window starts again three times. Then some that were indexed late stand at both
    // of its ends, and Sentinel rejects us.
    const TRIES: usize = 4;
    let (pages, is_rejecting) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(true)));
    let (rejecting, mandiant) = (Arc::clone(&is_rejecting), world.mandiant.clone());
    let ends = [20 * 60 - 1, 20 * 60 + 43].map(|age| world.ago(TimeDelta::minutes(age)));
    world.net.on_request(move |exchange| {
        if is_later_page(exchange) {
            let page = pages.fetch_add(1, Ordering::Relaxed);
            if page + 1 == TRIES {
                mandiant.put_all(
                    ends.into_iter()
                        .enumerate()
                        .map(|(n, end)| Record::ipv4(&format!("203.0.113.{}", n + 1)).updated(end)),
                );
            }
            return (page < TRIES).then(|| Fault::status(400));
        }
        let has_lost = pages.load(Ordering::Relaxed) >= TRIES;
        (is_upload(exchange) && has_lost && rejecting.load(Ordering::Relaxed)).then(|| Fault::status(403))
    });
    let report = world.tick().await;
    assert_eq!(report.end, End::Stalled, "{report:#?}");
    assert!(report.message.contains("Sentinel"), "{}", report.message);
    let seconds = progress(&world).await.window_seconds;
    assert!(seconds >= LIMITS.longest.num_seconds() / 4, "windows of {seconds} s");
    is_rejecting.store(false, Ordering::Relaxed);
    assert_eq!(world.chain(LIMIT).await.last().unwrap().end, End::CaughtUp);
    assert_eq!(world.held().len(), 2502);
}

/// Retractions wait for a confirmation for weeks, and meanwhile everything else goes on.
#[tokio::test(start_paused = true)]
async fn what_waits_for_confirmation_stops_neither_compaction_nor_tidying() {
    const STATE: &str = "mandiant-threat-intel";
    let (world, blobs) = World::with_blobs();
    put(&world, 0..2000, TimeDelta::hours(4));
    world.tick().await;
    for _ in 0..26 {
        tokio::time::advance(HOUR).await;
        world.tick().await;
    }
    let low = world.ago(TimeDelta::minutes(5));
    world.mandiant.put_all((0..500).map(|n| Record::ipv4(&super::address(n)).updated(low).mscore(10)));
    let report = world.tick().await;
    assert_eq!(report.end, End::Stalled, "{report:#?}");
    assert!(progress(&world).await.withheld.is_some());
    blobs.put(STATE, "lanes/sentinel/manifest/orphan", "left behind by a commit that was not finished");
    // The others change from hour to hour.
    for hour in 0..12 {
        tokio::time::advance(3 * HOUR).await;
        let at = world.ago(TimeDelta::minutes(5));
        world.mandiant.put_all(
            (500..2000).map(|n| {
                Record::ipv4(&super::address(n)).updated(at).mscore(80 + (hour + i64::from(n)) % 20)
            }),
        );
        let report = world.tick().await;
        assert_eq!(report.end, End::Stalled, "{report:#?}");
    }
    let progress = progress(&world).await;
    let stored: u64 = progress.segments.iter().map(|segment| segment.entries).sum();
    assert!(stored < 4 * progress.manifest_entries, "{stored} are stored for {}", progress.manifest_entries);
    assert!(!blobs.blobs().keys().any(|name| name.ends_with("/orphan")), "nothing was tidied");
}

thread_local! {
    static ANNOUNCED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// The storage hangs once a pass is reported: the invocation is cut off, and its pass must not end a second time.
#[tokio::test(start_paused = true)]
async fn one_end_is_announced_for_one_pass() {
    let (world, _blobs) = World::with_blobs();
    put(&world, 0..20, TimeDelta::hours(2));
    let is_reported = AtomicBool::new(false);
    world.net.on_request(move |exchange| {
        let was_reported = is_reported.load(Ordering::Relaxed);
        if exchange.method == Method::PUT && exchange.uri.path().contains("/runs") {
            is_reported.store(true, Ordering::Relaxed);
        }
        (was_reported && exchange.authority == crate::harness::world::STORAGE).then_some(Fault::Hang)
    });
    let clock: SharedClock = Arc::clone(&world.clock) as _;
    let announce = |report: &mati_sync::domain::report::Report, _: Option<&str>| {
        ANNOUNCED.with_borrow_mut(|ids| ids.push(report.run_id.clone()));
    };
    let app = App::build(world.vars(), &world.transport(), &clock, announce).unwrap();
    let (_sender, stop) = tokio::sync::watch::channel(false);
    let deadline = Deadline::for_invocation(Duration::from_secs(20), stop);
    let ended = app.engine.run(Work::Timer, None, &deadline).await;
    let announced = ANNOUNCED.take();
    assert_eq!(announced.len(), 1, "{announced:?}: {ended:#?}");
    assert_eq!((ended.reports.len(), ended.reports[0].end), (1, End::CaughtUp), "{ended:#?}");
}
