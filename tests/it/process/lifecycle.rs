//! What becomes of indicators after they arrived, and the other ways in and out, through the executable as built.

use chrono::{DateTime, TimeDelta, Utc};
use sandbox::{
    corpus::Record,
    host::{FunctionsHost, Status, TimerFire},
    sentinel::Api,
};
use serde_json::Value;

use super::{
    Bench, PATIENCE, assert_adds_up, assert_disciplined, client, corpus::held, count, last_pass, now, tick,
};

fn address(n: usize) -> String {
    format!("198.51.100.{n}")
}

/// Addresses that Mandiant updated some hours ago.
fn fill(bench: &Bench, numbers: std::ops::RangeInclusive<usize>, mscore: i64) {
    let at = now() - TimeDelta::hours(3);
    bench.world.mandiant.put_all(numbers.map(|n| Record::ipv4(&address(n)).updated(at).mscore(mscore)));
}

/// The addresses Sentinel holds that are valid now.
fn valid(bench: &Bench) -> usize {
    let until = |object: &Value| object["valid_until"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    bench.world.sentinel.stored().values().filter(|object| now() < until(object)).count()
}

/// A request over HTTP, worked off by the queue; the report of its pass.
async fn ask(host: &FunctionsHost, body: &'static str) -> Value {
    let request = client().post(format!("{}/api/sync", host.http_base())).body(body);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let place = answer.headers()["location"].to_str().unwrap().to_owned();
    host.drain(PATIENCE).await.unwrap();
    let answer = client().get(format!("{}{place}", host.http_base())).send().await.unwrap();
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_score_that_drops_is_retracted_at_sentinel_and_deleted_at_defender() {
    let mut bench = Bench::new().await;
    bench.settings.insert("TARGET_APPLICATION".into(), "sentinel,defender".into());
    fill(&bench, 1..=5, 90);
    let host = bench.host().await;
    let report = tick(&host).await;
    assert_eq!((report["end"].as_str(), count(&report, "created")), (Some("caught_up"), 5), "{report:#}");
    assert_eq!((valid(&bench), bench.world.defender.stored().len()), (5, 5));

    // The threat score's drop is seen at once: the source is not asked to filter by it.
    let dropped = Record::ipv4(&address(3)).updated(now() - TimeDelta::minutes(3)).threat_score(Some(10));
    bench.world.mandiant.put(dropped);
    let report = tick(&host).await;
    assert_adds_up(&report);
    assert_eq!(count(&report, "retracted"), 1, "{report:#}");
    assert_eq!(report["lanes"]["defender"]["retracted"], 1, "{report:#}");
    assert_eq!(valid(&bench), 4);
    let left = bench.world.defender.stored();
    let values: Vec<_> = left.values().map(|held| held["indicatorValue"].as_str().unwrap()).collect();
    assert_eq!(values.len(), 4);
    assert!(!values.contains(&address(3).as_str()), "{values:?}");
    assert_disciplined(&host.output());
}

#[tokio::test]
async fn lost_state_is_made_up_for_by_what_the_workspace_holds() {
    let mut bench = Bench::new().await;
    bench.settings.extend(bench.world.adoption());
    fill(&bench, 1..=120, 90);
    let host = bench.host().await;
    assert_eq!(count(&tick(&host).await, "created"), 120);
    host.stop().await;
    std::fs::remove_dir_all(bench.path().join("state")).unwrap();

    let host = bench.host().await;
    let report = tick(&host).await;
    assert_adds_up(&report);
    assert_eq!(
        (count(&report, "created"), count(&report, "updated"), count(&report, "unchanged")),
        (0, 0, 120),
        "{report:#}"
    );
    let queries = bench.world.resource_manager.queries();
    // Without the looks for what was acknowledged.
    let pages = queries.iter().filter(|query| query.body["keywords"].is_null());
    let listed: usize = pages.map(|query| query.listed).sum();
    assert_eq!(listed, 120, "it was asked what it holds");
    assert_eq!(bench.world.sentinel.log().len(), 120, "nothing was sent twice");
    assert!(queries.iter().any(|query| query.listed == 1), "what was acknowledged was looked for");
    assert_disciplined(&host.output());
}

#[tokio::test]
async fn the_legacy_upload_api_takes_the_same() {
    let mut bench = Bench::new().await;
    bench.settings.insert("SENTINEL_API".into(), "upload-indicators".into());
    fill(&bench, 1..=12, 90);
    let host = bench.host().await;
    let report = tick(&host).await;
    assert_adds_up(&report);
    assert_eq!((count(&report, "created"), held(&bench.world.sentinel).len()), (12, 12), "{report:#}");
    let requests = bench.world.sentinel.requests();
    assert!(!requests.is_empty());
    assert!(requests.iter().all(|request| request.api == Some(Api::LegacyV2)), "{requests:?}");
    assert_eq!(count(&tick(&host).await, "requests"), 0);
}

#[tokio::test]
async fn a_raised_threshold_that_would_retract_too_much_waits_for_somebodys_word() {
    let mut bench = Bench::new().await;
    fill(&bench, 1..=20, 95);
    fill(&bench, 21..=150, 82);
    let host = bench.host().await;
    assert_eq!(count(&tick(&host).await, "created"), 150);
    host.stop().await;

    bench.settings.insert("MINIMUM_CONFIDENCE".into(), "90".into());
    let host = bench.host().await;
    let fired = host.fire_timer("SyncTimer", TimerFire::default()).await;
    assert!(matches!(fired.status, Status::Failed(_)), "{fired:?}");
    let report = last_pass(&host.output());
    assert_eq!((report["end"].as_str(), count(&report, "retracted")), (Some("stalled"), 0), "{report:#}");
    let message = report["message"].as_str().unwrap();
    assert!(message.contains("130 of 150") && message.contains("confirm_retraction"), "{message}");
    assert_eq!(valid(&bench), 150);

    let report = ask(&host, r#"{"confirm_retraction": true}"#).await;
    assert_eq!((report["end"].as_str(), count(&report, "retracted")), (Some("caught_up"), 130), "{report:#}");
    assert_eq!(valid(&bench), 20);
    assert_eq!(tick(&host).await["end"], "caught_up");
    assert_disciplined(&host.output());
}

#[tokio::test]
async fn googles_compatible_surface_gives_the_same_records() {
    let mut bench = Bench::new().await;
    let base = format!("{}/api/v3/mati", bench.settings["MATI_BASE_URL"]);
    bench.settings.insert("MATI_BASE_URL".into(), base);
    bench.settings.insert("MATI_AUTH".into(), "apikey".into());
    bench.settings.remove("MATI_SECRET");
    fill(&bench, 1..=8, 90);
    let host = bench.host().await;
    let report = tick(&host).await;
    assert_adds_up(&report);
    assert_eq!((count(&report, "created"), held(&bench.world.sentinel).len()), (8, 8), "{report:#}");
    let requests = bench.world.mandiant.requests();
    assert!(requests.iter().all(|request| request.path.starts_with("/api/v3/mati/")), "{requests:?}");
    assert!(requests.iter().all(|request| request.header("x-apikey").is_some()), "{requests:?}");
    assert_disciplined(&host.output());
}

#[tokio::test]
async fn what_nobody_touches_is_renewed_when_a_refresh_is_due() {
    let mut bench = Bench::new().await;
    bench.settings.insert("IP_INDICATOR_EXPIRATION".into(), "1".into());
    bench.settings.insert("SYNC_CRON".into(), "0 0 0 * * *".into());
    fill(&bench, 1..=7, 90);
    let host = bench.host().await;
    assert_eq!(count(&tick(&host).await, "created"), 7);
    assert_eq!(count(&tick(&host).await, "renewed"), 0);
    host.stop().await;
    // A refresh is due, and so much validity is not enough until the next one.
    bench.settings.insert("IP_INDICATOR_EXPIRATION".into(), "7".into());
    let host = bench.host().await;
    let report = tick(&host).await;
    assert_adds_up(&report);
    assert_eq!((count(&report, "renewed"), count(&report, "created")), (7, 0), "{report:#}");
    assert_eq!((valid(&bench), bench.world.sentinel.log().len()), (7, 14));
    assert_disciplined(&host.output());
}

#[tokio::test]
async fn another_hash_type_and_another_limit_change_what_is_held() {
    let mut bench = Bench::new().await;
    bench.settings.insert("TARGET_APPLICATION".into(), "sentinel,defender".into());
    bench.settings.insert("DEFENDER_INDICATOR_LIMIT".into(), "5".into());
    bench.settings.insert("HASH_TYPE".into(), "md5".into());
    let digits = |n: u32, length: usize| format!("{n:0>length$x}");
    let at = now() - TimeDelta::hours(3);
    bench
        .world
        .mandiant
        .put_all((1..=8).map(|n| Record::file(Some(&digits(n, 32)), None, Some(&digits(n, 64))).updated(at)));
    let host = bench.host().await;
    let report = tick(&host).await;
    assert_adds_up(&report);
    let defender = &report["lanes"]["defender"];
    assert_eq!((&defender["created"], &defender["over_limit"]), (&5.into(), &3.into()), "{report:#}");
    assert_eq!((valid(&bench), bench.world.defender.stored().len()), (8, 5));
    host.stop().await;

    bench.settings.insert("HASH_TYPE".into(), "sha256".into());
    bench.settings.insert("DEFENDER_INDICATOR_LIMIT".into(), "3".into());
    let host = bench.host().await;
    let report = tick(&host).await;
    assert_adds_up(&report);
    let sentinel = &report["lanes"]["sentinel"];
    assert_eq!((&sentinel["created"], &sentinel["displaced"]), (&8.into(), &8.into()), "{report:#}");
    assert_eq!(report["lanes"]["defender"]["displaced"], 2, "{report:#}");
    assert_eq!((valid(&bench), bench.world.defender.stored().len()), (8, 3));
}
