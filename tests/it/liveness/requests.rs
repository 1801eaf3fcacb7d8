//! Requests that cannot be used, and requests for a dry run.

use std::fs;

use chrono::TimeDelta;
use mati_sync::{
    domain::{outcome::End, request::RunOptions},
    pass::{RunStatus, Work},
};
use serde_json::{Value, json};

use super::{HOUR, LIMIT, follow, put};
use crate::{
    harness::world::World,
    protocol::{http, post, serve},
};

const UNKNOWN_KEY: &str = "20260302T115900000Z-00aa";
const CONFUSED: &str = "20260302T115900000Z-00bb";
const UNKNOWN_LANE: &str = "20260302T115900000Z-00cc";

async fn status(world: &World, query: Value) -> (String, Value) {
    let (_, body) = post(&serve(world), "Status", http(None, query, json!({}))).await;
    let response = &body["Outputs"]["response"];
    let content = &response["body"];
    let content =
        content.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or(content.clone());
    (response["statusCode"].as_str().expect("a status").to_owned(), content)
}

fn request(run_id: &str, order: &Value) -> String {
    json!({"run_id": run_id, "requested_at": "2026-03-02T11:59:00Z", "order": order}).to_string()
}

/// Everything that may lie among the requests and cannot be used.
fn unusable() -> [(String, String); 5] {
    let newer = request(UNKNOWN_KEY, &json!({"confirm_everything": true}));
    [
        (format!("{UNKNOWN_KEY}.json"), newer),
        // It would never be found again under the name that its id gives, and be worked off for ever.
        (format!("{CONFUSED}.json"), request("20260302T115900000Z-ffff", &json!({"lookback_days": 3}))),
        (format!("{UNKNOWN_LANE}.json"), request(UNKNOWN_LANE, &json!({"destinations": ["splunk"]}))),
        ("empty.json".to_owned(), String::new()),
        ("notes.txt".to_owned(), "not a request".to_owned()),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_used_is_set_aside_and_the_others_go_on() {
    let world = World::new();
    put(&world, 0..20, TimeDelta::hours(2));
    world.tick().await;
    let folder = world.state.path().join("requests");
    fs::create_dir_all(&folder).unwrap();
    let unusable = unusable();
    for (name, content) in &unusable {
        fs::write(folder.join(name), content).unwrap();
    }
    let engine = world.start().engine;
    let good = engine.accept(RunOptions { rebuild: true, ..RunOptions::default() }).await.unwrap();

    // The status page names them, before and after.
    let (code, body) = status(&world, json!({})).await;
    assert_eq!((code, &body["requests"]), ("200".to_owned(), &json!([good.run_id])), "{body:#}");
    assert_eq!(body["aside"].as_array().map(Vec::len), Some(unusable.len()), "{body:#}");
    let ended = world.run(Work::QueueMessage(good.clone()), LIMIT).await;
    assert_eq!((ended.reports.len(), ended.reports[0].end), (1, End::CaughtUp), "{ended:#?}");
    assert_eq!((&ended.reports[0].run_id, ended.reports[0].totals().updated), (&good.run_id, 20));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing is left");
    for (name, content) in &unusable {
        let aside = world.state.path().join("aside").join(name);
        assert_eq!(fs::read_to_string(aside).unwrap(), *content, "{name} is kept as it was");
    }
    let (code, body) = status(&world, json!({})).await;
    assert_eq!((code, &body["requests"]), ("200".to_owned(), &json!([])), "{body:#}");
    let names: Vec<&str> = body["aside"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for (name, _) in &unusable {
        assert!(names.contains(&format!("aside/{name}").as_str()), "{name} is not among {names:?}");
    }
    let (code, body) = status(&world, json!({"run": UNKNOWN_KEY})).await;
    let message = body["message"].as_str().unwrap_or_default();
    assert!(code == "200" && message.contains("confirm_everything"), "{code} {body:#}");
    assert_eq!(world.tick().await.end, End::CaughtUp);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_whose_message_was_lost_is_worked_off_by_the_next_pass() {
    let world = World::new();
    put(&world, 0..20, TimeDelta::hours(2));
    let engine = world.start().engine;
    let message = engine.accept(RunOptions { dry_run: true, ..RunOptions::default() }).await.unwrap();
    let ended = world.run(Work::Timer, LIMIT).await;
    let ids: Vec<&str> = ended.reports.iter().map(|report| report.run_id.as_str()).collect();
    assert!(ids.len() == 2 && ids[1] == message.run_id, "{ended:#?}");
    assert!(ended.reports[1].dry_run && ended.reports[1].end == End::CaughtUp, "{ended:#?}");
    assert_eq!(world.run(Work::Timer, LIMIT).await.reports.len(), 1, "and once");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_that_finds_no_time_gets_an_invocation_of_its_own() {
    let mut world = World::new();
    world.set("SENTINEL_REQUESTS_PER_MINUTE", "1");
    put(&world, 0..300, TimeDelta::hours(2));
    let engine = world.start().engine;
    let message = engine.accept(RunOptions { dry_run: true, ..RunOptions::default() }).await.unwrap();
    let first = world.run(Work::Timer, LIMIT.mul_f64(0.2)).await;
    let chain = follow(&world, first, LIMIT, 9).await;
    let reports: Vec<_> = chain.iter().flat_map(|ended| &ended.reports).collect();
    let dry: Vec<_> = reports.iter().filter(|report| report.run_id == message.run_id).collect();
    assert!(dry.len() == 1 && dry[0].end == End::CaughtUp, "{chain:#?}");
    assert_eq!(world.held().len(), 300);
}

#[tokio::test(start_paused = true)]
async fn of_two_instances_that_get_a_dry_run_one_works_it_off() {
    for is_blob in [false, true] {
        let world = if is_blob { World::with_blobs().0 } else { World::new() };
        put(&world, 0..20, TimeDelta::hours(2));
        world.mandiant.set(|knobs| knobs.page_delay = std::time::Duration::from_secs(1));
        let engine = world.start().engine;
        let message = engine.accept(RunOptions { dry_run: true, ..RunOptions::default() }).await.unwrap();
        let work = || Work::QueueMessage(message.clone());
        let (one, other) = tokio::join!(world.run(work(), LIMIT), world.run(work(), LIMIT));
        assert_eq!(one.reports.len() + other.reports.len(), 1, "{one:#?} {other:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_whose_instance_died_is_worked_off_by_another() {
    let world = World::new();
    put(&world, 0..20, TimeDelta::hours(2));
    world.mandiant.set(|knobs| knobs.page_delay = std::time::Duration::from_secs(1));
    let engine = world.start().engine;
    let message = engine.accept(RunOptions { dry_run: true, ..RunOptions::default() }).await.unwrap();
    let killed = world.run(Work::QueueMessage(message.clone()), LIMIT);
    assert!(tokio::time::timeout(std::time::Duration::from_secs(5), killed).await.is_err());
    let soon = world.run(Work::QueueMessage(message.clone()), LIMIT).await;
    assert!(soon.reports.is_empty(), "it may be at work: {soon:#?}");
    tokio::time::advance(HOUR).await;
    let later = world.run(Work::QueueMessage(message.clone()), LIMIT).await;
    assert_eq!((later.reports.len(), &later.reports[0].run_id), (1, &message.run_id), "{later:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_against_another_workspace_writes_its_report_and_nothing_else() {
    let mut world = World::new();
    put(&world, 0..20, TimeDelta::hours(2));
    world.tick().await;
    world.set("SOURCE_SYSTEM", "Mandiant feed");
    let lane = world.state.path().join("lanes/sentinel");
    let before = fs::read(lane.join("progress.json")).unwrap();
    let report = world.command(RunOptions { dry_run: true, ..RunOptions::default() }).await;
    assert_eq!((report.end, report.totals().created), (End::CaughtUp, 20), "{report:#?}");
    assert!(!lane.join("aside").exists(), "a dry run set something aside");
    assert_eq!(fs::read(lane.join("progress.json")).unwrap(), before);
    // A pass that delivers there does.
    assert_eq!(world.tick().await.totals().created, 20);
    let aside = fs::read_dir(lane.join("aside")).unwrap().next().expect("one file").unwrap();
    let kept: Value = serde_json::from_slice(&fs::read(aside.path()).unwrap()).unwrap();
    assert_eq!(kept["target"]["name"], "Mandiant");
}

#[tokio::test(start_paused = true)]
async fn a_chain_whose_first_hop_had_a_stalled_lane_is_shown_whole() {
    let mut world = World::new();
    world.set("TARGET_APPLICATION", "sentinel,defender").set("SENTINEL_REQUESTS_PER_MINUTE", "2");
    put(&world, 0..1000, TimeDelta::hours(2));
    world.defender.knobs(|knobs| {
        let rejected = || sandbox::sentinel::Answer { status: 403, headers: Vec::new(), body: String::new() };
        knobs.script = std::iter::repeat_with(rejected).take(3).collect();
    });
    let limit = LIMIT.mul_f64(0.2);
    let first = world.run(Work::Timer, limit).await;
    let run_id = first.reports[0].run_id.clone();
    assert_eq!(first.reports[0].end, End::Stalled, "{first:#?}");
    let chain = follow(&world, first, limit, 30).await;
    assert!(chain.len() > 2, "{chain:#?}");
    let Some(RunStatus::Ended(whole)) = world.start().engine.report_of(&run_id).await.unwrap() else {
        panic!()
    };
    assert_eq!(whole.lanes["sentinel"].counts.created, 1000, "{whole:#?}");
    assert_eq!(whole.lanes["sentinel"].end, End::CaughtUp);
    assert_eq!((whole.lanes["defender"].end, whole.end), (End::Stalled, End::Stalled), "it never went on");
    let (_, body) = status(&world, json!({"run": run_id})).await;
    assert_eq!(body["lanes"]["sentinel"]["created"], 1000);
    // A report that cannot be read does not hide it.
    let damaged = world.state.path().join("runs/20990101T000000000Z-0000.json");
    fs::write(damaged, "{").unwrap();
    let (code, _) = status(&world, json!({"run": run_id})).await;
    assert_eq!(code, "200");
}
