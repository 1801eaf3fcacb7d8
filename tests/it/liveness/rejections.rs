//! Rejected records on file are appended.

use std::sync::Arc;

use chrono::TimeDelta;
use mati_sync::{
    domain::{outcome::End, request::RunOptions},
    pass::Work,
};
use sandbox::{blob::BlobService, corpus::Record};
use serde_json::Value;

use super::{LIMIT, put};
use crate::harness::world::World;

const FOLDER: &str = "mandiant-threat-intel/lanes/sentinel/rejected/";

/// Sentinel takes of every twenty objects one.
fn reject(world: &World) {
    world.sentinel.knobs(|knobs| {
        knobs.reject = Some(Arc::new(|object: &Value| {
            let is_taken = object["name"].as_str()?.ends_with("0");
            (!is_taken).then(|| "not here".to_owned())
        }));
    });
}

fn files(blobs: &BlobService) -> Vec<(String, String)> {
    let files = blobs.blobs().into_iter().filter(|(name, _)| name.starts_with(FOLDER));
    files.map(|(name, bytes)| (name, String::from_utf8(bytes).expect("text"))).collect()
}

fn retry() -> RunOptions {
    RunOptions { retry_rejected: true, ..RunOptions::default() }
}

#[tokio::test(start_paused = true)]
async fn what_is_rejected_is_written_once() {
    let (world, blobs) = World::with_blobs();
    reject(&world);
    put(&world, 0..5000, TimeDelta::hours(2));
    let report = world.tick().await;
    let rejected = report.totals().rejected;
    assert!(report.end == End::CaughtUp && rejected > 4000, "{report:#?}");
    let size: usize = files(&blobs).iter().map(|(_, content)| content.len()).sum();
    let lines: usize = files(&blobs).iter().map(|(_, content)| content.lines().count()).sum();
    assert_eq!(lines as u64, rejected, "each has its line");
    let written = blobs.bytes_written();
    assert!(written < size as u64 * 3 / 2, "{written} bytes were written for {size} of rejected records");

    // Nor is what is left of a file written again with each page that is offered.
    world.sentinel.knobs(|knobs| knobs.reject = None);
    let report = world.command(retry()).await;
    assert_eq!((report.end, report.totals().created), (End::CaughtUp, rejected), "{report:#?}");
    assert_eq!((world.held().len(), files(&blobs)), (5000, Vec::new()));
    let again = blobs.bytes_written() - written;
    assert!(again < size as u64 / 2, "{again} bytes were written for {size} of records that were accepted");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_runs_again_begins_another_file() {
    let (world, blobs) = World::with_blobs();
    put(&world, 0..40, TimeDelta::hours(2));
    reject(&world);
    world.tick().await;
    // Its first try died, and left a file as earlier versions wrote it: nothing can be added to it.
    let message =
        world.start().engine.accept(RunOptions { rebuild: true, ..RunOptions::default() }).await.unwrap();
    let first = format!("{FOLDER}{}.jsonl", message.run_id);
    let (_, left) = files(&blobs).remove(0);
    let (container, name) = first.split_once('/').unwrap();
    blobs.put(container, name, left.clone());

    let ended = world.run(Work::QueueMessage(message.clone()), LIMIT).await;
    assert_eq!((ended.reports[0].end, ended.reports[0].totals().rejected), (End::CaughtUp, 36), "{ended:#?}");
    let second = format!("{FOLDER}{}.2.jsonl", message.run_id);
    assert_eq!(blobs.blobs()[&first], left.as_bytes(), "what stood there stands there");
    assert_eq!(String::from_utf8_lossy(&blobs.blobs()[&second]).lines().count(), 36);
    // All of them are found, and go.
    world.sentinel.knobs(|knobs| knobs.reject = None);
    let report = world.command(retry()).await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 40), "{report:#?}");
    assert_eq!(files(&blobs), Vec::new());
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_runs_out_of_time_leaves_what_it_did_not_offer() {
    let (mut world, blobs) = World::with_blobs();
    reject(&world);
    put(&world, 0..2500, TimeDelta::hours(2));
    let rejected = world.tick().await.totals().rejected as usize;
    world.sentinel.knobs(|knobs| knobs.reject = None);
    world.set("SENTINEL_REQUESTS_PER_MINUTE", "2");
    let message = world.start().engine.accept(retry()).await.unwrap();
    let ended = world.run(Work::QueueMessage(message), LIMIT).await;
    assert_eq!(ended.reports[0].end, End::Paused, "{ended:#?}");
    let sent = ended.reports[0].totals().created as usize;
    let left: usize = files(&blobs).iter().map(|(_, content)| content.lines().count()).sum();
    assert!(left < rejected && left + sent >= rejected, "{left} and {sent} of {rejected}");
    world.set("SENTINEL_REQUESTS_PER_MINUTE", "100");
    let ended = world.run(Work::Timer, LIMIT).await;
    assert!(ended.reports.iter().all(|report| report.end == End::CaughtUp), "{ended:#?}");
    assert_eq!((world.held().len(), files(&blobs)), (2500, Vec::new()));
}

/// Touched without a change since it was rejected, so that the line on file is of an earlier state; and the settings have
/// changed, so that it would be sent in another form. No refresh reaches back to it: the line is all there is.
#[tokio::test(start_paused = true)]
async fn a_retry_after_a_change_of_settings_offers_what_was_touched_meanwhile() {
    let (mut world, blobs) = World::with_blobs();
    let hours_ago = |world: &World, hours| world.ago(TimeDelta::hours(hours));
    let value = "touched.example";
    let at = hours_ago(&world, 40);
    world.mandiant.put_all([Record::fqdn(value).updated(at), Record::fqdn("control.example").updated(at)]);
    world.sentinel.knobs(|knobs| {
        knobs.reject = Some(Arc::new(|object: &Value| {
            object["pattern"].as_str()?.contains("touched").then(|| "not here".to_owned())
        }));
    });
    assert_eq!(world.tick().await.totals().rejected, 1);
    tokio::time::advance(std::time::Duration::from_secs(3600)).await;
    world.mandiant.put(Record::fqdn(value).updated(hours_ago(&world, 0) - TimeDelta::minutes(5)));
    world.tick().await;
    for _ in 0..40 {
        tokio::time::advance(std::time::Duration::from_secs(86_400)).await;
        world.tick().await;
    }
    assert_eq!(files(&blobs).len(), 1, "it waits on file");
    world.sentinel.knobs(|knobs| knobs.reject = None);
    world.set("TLP_LEVEL", "green");
    let report = world.command(retry()).await;
    assert_eq!((report.end, report.totals().created), (End::CaughtUp, 1), "{report:#?}");
    assert_eq!(files(&blobs), Vec::new());
    assert!(world.held().iter().any(|held| held == value));
}
