//! The storage of the state is taken over, lost, throttled, or down.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use axum::{
    body::Bytes,
    http::{Method, Request, StatusCode},
};
use mati_sync::{domain::outcome::End, pass::Work};
use sandbox::net::{Exchange, Fault};

use super::{LIMIT, Outage, at, fill, recovers, stalls};
use crate::harness::world::{STORAGE, World};

const CONTAINER: &str = "mandiant-threat-intel";
const PROGRESS: &str = "lanes/sentinel/progress.json";

fn is_storage(exchange: &Exchange) -> bool {
    exchange.authority == STORAGE
}

fn is_commit(exchange: &Exchange) -> bool {
    exchange.method == Method::PUT && exchange.uri.path().contains("progress.json")
}

#[tokio::test(start_paused = true)]
async fn a_rival_that_writes_first_fences_the_pass() {
    let (world, blobs) = World::with_blobs();
    world.tick().await;
    let blob = format!("{CONTAINER}/{PROGRESS}");
    let theirs = String::from_utf8(blobs.blobs()[&blob].clone()).unwrap() + " ";
    tokio::time::advance(Duration::from_secs(6 * 3600)).await;
    fill(&world, 1500);
    let (rival, is_first) = (blobs.clone(), AtomicBool::new(true));
    let written = theirs.clone();
    world.net.on_request(move |exchange| {
        if is_commit(exchange) && is_first.swap(false, Ordering::Relaxed) {
            rival.put(CONTAINER, PROGRESS, written.clone());
        }
        None
    });
    let ended = world.run(Work::Timer, LIMIT).await;
    let report = &ended.reports[0];
    assert_eq!(report.end, End::Fenced, "{report:#?}");
    assert!(report.message.contains(PROGRESS), "{}", report.message);
    assert!(!ended.is_failure() && ended.continuation.is_none());
    assert_eq!(blobs.blobs()[&blob], theirs.as_bytes(), "what the rival wrote stands");
    recovers(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_container_deleted_in_mid_pass_ends_it_and_is_made_anew() {
    let (mut world, _blobs) = World::with_blobs();
    world.set("SENTINEL_REQUESTS_PER_MINUTE", "10");
    fill(&world, 1500);
    let deletion = Request::builder()
        .method(Method::DELETE)
        .uri(format!("http://{STORAGE}/devstoreaccount1/{CONTAINER}?restype=container&sig=anything"))
        .body(Bytes::new())
        .unwrap();
    let (report, deleted) = tokio::join!(stalls(&world, &["not found", "STORAGE_CONTAINER_NAME"]), async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        world.net.call(deletion).await.unwrap().status()
    });
    assert_eq!(deleted, StatusCode::ACCEPTED);
    assert!(report.totals().left > 0, "{report:#?}");
    world.set("SENTINEL_REQUESTS_PER_MINUTE", "100");
    recovers(&world).await;
}

#[tokio::test(start_paused = true)]
async fn throttled_storage_goes_well() {
    for (every, status) in [(3, 503), (4, 429), (5, 500)] {
        let (world, _blobs) = World::with_blobs();
        fill(&world, 1500);
        Outage::begin(
            &world,
            at(move |number| number % every == every - 1, is_storage, Fault::status(status)),
        );
        recovers(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn storage_that_is_down_stalls_the_pass_in_time() {
    for fault in [Fault::Refuse, Fault::status(503), Fault::Hang, Fault::ResetAfter] {
        // From the start, and from somewhere in the middle of the pass.
        for first in [0, 50] {
            let (world, _blobs) = World::with_blobs();
            fill(&world, 1500);
            let outage = Outage::begin(&world, at(move |number| number >= first, is_storage, fault.clone()));
            stalls(&world, &["the storage of the state does not answer", CONTAINER]).await;
            outage.mend();
            tokio::time::sleep(Duration::from_secs(60)).await;
            recovers(&world).await;
        }
    }
}
