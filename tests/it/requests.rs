//! What a person may ask for, from the terminal and over HTTP.

use std::time::Duration;

use chrono::TimeDelta;
use mati_sync::{
    domain::{outcome::End, report::Trigger, request::RunOptions},
    pass::{RunStatus, Work},
};
use sandbox::corpus::Record;

use crate::harness::world::World;

const LIMIT: Duration = Duration::from_secs(600);

fn world() -> World {
    let world = World::new();
    let at = world.ago(TimeDelta::days(5));
    world.mandiant.put_all((1..=150).map(|n| Record::ipv4(&format!("198.51.100.{n}")).updated(at)));
    world
}

#[tokio::test(start_paused = true)]
async fn a_chain_without_end_is_cut_off_and_somebody_hears_of_it() {
    let mut world = world();
    world.set("SENTINEL_REQUESTS_PER_MINUTE", "1");
    let limit = Duration::from_secs(90);
    let mut message = world.run(Work::Timer, limit).await.continuation.expect("one request fits");
    world.mandiant.put_all(
        (1..=200).map(|n| Record::ipv4(&format!("203.0.113.{n}")).updated(world.ago(TimeDelta::minutes(3)))),
    );
    message.hop = 150;
    let ended = world.run(Work::QueueMessage(message), limit).await;
    let [report] = ended.reports.as_slice() else { panic!("{ended:#?}") };
    assert_eq!((report.end, ended.continuation.is_none(), ended.is_failure()), (End::Paused, true, true));
    assert!(report.message.contains("150 continuations ends here"), "{}", report.message);
    // The timer goes on.
    let reports = world.chain(LIMIT).await;
    assert_eq!((reports.last().unwrap().end, world.held().len()), (End::CaughtUp, 350));
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_counts_and_leaves_no_trace_but_its_report() {
    let world = world();
    let report = world.command(RunOptions { dry_run: true, ..RunOptions::default() }).await;
    assert_eq!(
        (report.end, report.dry_run, report.totals().created),
        (End::CaughtUp, true, 150),
        "{report:#?}"
    );
    assert_eq!(world.sentinel.requests().len(), 0);
    assert!(!world.state.path().join("lanes").exists());
    assert!(world.state.path().join(format!("runs/{}.json", report.run_id)).exists());
    assert_eq!(world.tick().await.totals().created, 150);
}

#[tokio::test(start_paused = true)]
async fn a_lookback_reads_again_and_the_checkpoint_stays() {
    let world = world();
    let watermark = world.tick().await.lanes["sentinel"].watermark;
    // It was not in the feed when its time was read.
    world.mandiant.put(Record::ipv4("203.0.113.1").updated(world.ago(TimeDelta::days(4))));
    let report = world.command(RunOptions { lookback_days: Some(6), ..RunOptions::default() }).await;
    assert_eq!(
        (report.end, report.totals().created, report.totals().unchanged),
        (End::CaughtUp, 1, 150),
        "{report:#?}"
    );
    assert!(report.lanes["sentinel"].watermark >= watermark);
    let report = world.command(RunOptions { lookback_days: Some(2), ..RunOptions::default() }).await;
    assert_eq!(report.totals().read, 0);
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_sends_everything_again_under_the_same_ids_and_once() {
    let mut world = world();
    world.tick().await;
    let before = world.sentinel.stored().into_keys().collect::<Vec<_>>();
    world.set("SENTINEL_REQUESTS_PER_MINUTE", "1");
    // It does not fit into one invocation: what was sent again is not sent a third time.
    let order = RunOptions { rebuild: true, ..RunOptions::default() };
    let ended = world.run(Work::Command(order), Duration::from_secs(90)).await;
    assert_eq!(ended.reports[0].end, End::Paused, "{ended:#?}");
    assert_eq!(ended.reports[0].totals().updated, 100, "{ended:#?}");
    let reports = world.chain(LIMIT).await;
    assert_eq!(reports.last().unwrap().end, End::CaughtUp, "{reports:#?}");
    assert_eq!(reports.iter().map(|report| report.totals().updated).sum::<u64>(), 50);
    assert_eq!(world.sentinel.stored().into_keys().collect::<Vec<_>>(), before);
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_gets_past_a_damaged_segment() {
    let world = world();
    world.tick().await;
    let folder = world.state.path().join("lanes/sentinel/manifest");
    let segment = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&segment, bytes).unwrap();

    let report = world.tick().await;
    assert_eq!(report.end, End::Failed, "never a silent start from zero: {report:#?}");
    let name = segment.file_name().unwrap().to_string_lossy().into_owned();
    assert!(report.message.contains(&name) && report.message.contains("--rebuild"), "{}", report.message);
    let report = world.command(RunOptions { rebuild: true, ..RunOptions::default() }).await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 150), "{report:#?}");
    assert_eq!(world.tick().await.end, End::CaughtUp);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_durable_applied_once_and_can_be_followed() {
    let world = world();
    let app = world.start();
    let message =
        app.engine.accept(RunOptions { lookback_days: Some(6), ..RunOptions::default() }).await.unwrap();
    let waiting = app.engine.report_of(&message.run_id).await.unwrap();
    assert!(matches!(waiting, Some(RunStatus::Waiting(_))), "{waiting:?}");

    let ended = world.run(Work::QueueMessage(message.clone()), LIMIT).await;
    assert_eq!(ended.reports.len(), 1, "{ended:#?}");
    assert_eq!((ended.reports[0].trigger, ended.reports[0].end), (Trigger::Manual, End::CaughtUp));
    assert_eq!(ended.reports[0].run_id, message.run_id);
    let Some(RunStatus::Ended(report)) = app.engine.report_of(&message.run_id).await.unwrap() else {
        panic!()
    };
    let stored = |report| serde_json::to_value(report).unwrap();
    assert_eq!(stored(&report), stored(&ended.reports[0]));

    let read = world.mandiant.requests().len();
    let again = world.run(Work::QueueMessage(message), LIMIT).await;
    assert!(
        again.reports.is_empty() && world.mandiant.requests().len() == read,
        "a second delivery does nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_message_was_lost_is_taken_by_the_next_tick() {
    let world = world();
    world.tick().await;
    let app = world.start();
    let message = app.engine.accept(RunOptions { rebuild: true, ..RunOptions::default() }).await.unwrap();
    let ended = world.run(Work::Timer, LIMIT).await;
    let ids: Vec<&str> = ended.reports.iter().map(|report| report.run_id.as_str()).collect();
    assert_eq!(ids.len(), 2, "{ended:#?}");
    assert_eq!(ids[1], message.run_id);
    assert_eq!(ended.reports[1].totals().updated, 150);
}

#[tokio::test(start_paused = true)]
async fn a_request_for_a_dry_run_waits_for_nobody() {
    let world = world();
    let app = world.start();
    let message = app.engine.accept(RunOptions { dry_run: true, ..RunOptions::default() }).await.unwrap();
    let ended = world.run(Work::QueueMessage(message.clone()), LIMIT).await;
    assert_eq!((ended.reports.len(), ended.reports[0].dry_run), (1, true), "{ended:#?}");
    assert_eq!(ended.reports[0].run_id, message.run_id);
    assert_eq!(world.sentinel.requests().len(), 0);
    assert!(world.run(Work::QueueMessage(message), LIMIT).await.reports.is_empty());
}

#[test]
fn an_order_that_makes_no_sense_is_rejected_with_what_would() {
    let check = |order: RunOptions| order.check(&["sentinel"], "destinations").unwrap_err();
    assert!(check(RunOptions { lookback_days: Some(90), ..RunOptions::default() }).contains("1 to 89"));
    let unknown = RunOptions { destinations: Some(vec!["splunk".to_owned()]), ..RunOptions::default() };
    assert!(check(unknown).contains("sentinel"));
    assert!(check(RunOptions { destinations: Some(vec![]), ..RunOptions::default() }).contains("empty"));
}
