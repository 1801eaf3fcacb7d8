//! What a check proves, what it does not, and that nothing more is said.

use std::{collections::BTreeSet, time::Duration};

use axum::http::{HeaderMap, Method, StatusCode, header};
use chrono::TimeDelta;
use mati_sync::{
    check::{self, Finding, Scope, Verdict},
    pass::Work,
};
use sandbox::{
    corpus::Record,
    net::{Exchange, Fault},
};

use super::{failed, findings, of};
use crate::harness::{vault::with_key_vault, world::World};

const SENTINEL: &str = "api.ti.sentinel.azure.com";

async fn with_canary(world: &World) -> Vec<Finding> {
    let app = world.start();
    let scope = Scope { canary: true, notices: &app.notices, ..Scope::default() };
    check::run_each(&app.engine, scope, |_| ()).await
}

/// Every request to the upload host meets `fault`.
fn in_the_way(world: &World, fault: Fault) {
    world.net.on_request(move |exchange: &Exchange| (exchange.authority == SENTINEL).then(|| fault.clone()));
}

#[tokio::test(start_paused = true)]
async fn any_answer_of_the_upload_host_proves_the_way_and_a_proxy_s_own_does_not() {
    for status in [401, 404, 405, 429, 500] {
        let world = World::new();
        in_the_way(&world, Fault::status(status));
        let findings = findings(&world).await;
        let host = of(&findings, "Sentinel upload host");
        assert!(host.ok && host.result.contains(&status.to_string()), "{host:?}");
    }
    let html = HeaderMap::from_iter([(header::CONTENT_TYPE, "text/html".parse().unwrap())]);
    let page = "<html>Access denied by policy</html>".as_bytes();
    let elsewhere =
        HeaderMap::from_iter([(header::LOCATION, "https://login.example/sso?t=secret".parse().unwrap())]);
    for (fault, told) in [
        (Fault::AnswerBefore(StatusCode::FORBIDDEN, html.clone(), page.into()), "Access denied by policy"),
        (Fault::AnswerBefore(StatusCode::OK, html, page.into()), "Access denied by policy"),
        (Fault::status(407), "An intermediary between here and Sentinel"),
        (Fault::AnswerBefore(StatusCode::FOUND, elsewhere, "".into()), "https://login.example/sso)"),
        (Fault::Refuse, "connection refused"),
        (Fault::Hang, "20 s"),
    ] {
        let world = World::new();
        in_the_way(&world, fault.clone());
        let findings = findings(&world).await;
        assert_eq!(failed(&findings), ["Sentinel upload host"], "{fault:?}");
        let host = of(&findings, "Sentinel upload host");
        assert!(host.result.contains(told) && !host.result.contains("secret"), "{fault:?}: {host:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_headline_says_no_more_than_was_tried() {
    let world = World::new();
    let headline = check::headline(&findings(&world).await);
    assert_eq!(headline, "all 12 checks are well, and 1 could not be proven");
    assert_eq!(check::headline(&with_canary(&world).await), "all 12 checks are well");
    in_the_way(&world, Fault::Refuse);
    let headline = check::headline(&findings(&world).await);
    assert_eq!(headline, "1 of 12 checks failed, and 1 could not be proven");
}

#[tokio::test(start_paused = true)]
async fn a_canary_flies_only_when_asked_and_is_expired_at_once() {
    for (api, path) in [("stix-objects", "stix-objects:upload"), ("upload-indicators", "indicators:upload")] {
        let mut world = World::new();
        world.set("SENTINEL_API", api);
        findings(&world).await;
        assert!(world.sentinel.stored().is_empty() && world.sentinel.requests().is_empty());

        let findings = with_canary(&world).await;
        let uploads = of(&findings, "Sentinel uploads");
        assert_eq!(uploads.verdict, Verdict::Ok, "{uploads:?}");
        let sent: Vec<Exchange> =
            world.net.log().into_iter().filter(|sent| sent.uri.path().ends_with(path)).collect();
        assert_eq!(sent.len(), 2, "{sent:?}");
        let stored = world.sentinel.stored();
        assert_eq!(stored.len(), 1, "{stored:?}");
        let ((source, id), object) = stored.into_iter().next().unwrap();
        assert_eq!((source.as_str(), id.as_str()), ("mati-sync check", CANARY));
        let object = format!("{object:?}");
        assert!(object.contains("canary.mati-sync.invalid"), "{object}");
    }
}

const CANARY: &str = "indicator--81060400-14dd-5bb3-a732-1fa52af1e8a6";

#[tokio::test(start_paused = true)]
async fn a_canary_that_is_rejected_says_why_and_what_to_do() {
    let world = World::new();
    let body = r#"{"error":{"code":"UnauthorizedAccess","message":"no permission"}}"#;
    world.net.on_request(move |exchange: &Exchange| {
        let is_upload = exchange.authority == SENTINEL && exchange.method == Method::POST;
        is_upload.then(|| Fault::AnswerBefore(StatusCode::FORBIDDEN, HeaderMap::new(), body.into()))
    });
    let findings = with_canary(&world).await;
    let uploads = of(&findings, "Sentinel uploads");
    assert_eq!(uploads.verdict, Verdict::Failed);
    assert!(uploads.result.contains("Microsoft Sentinel Contributor"), "{uploads:?}");
    assert!(uploads.cure.as_ref().unwrap().contains("az role assignment create"), "{uploads:?}");
}

#[tokio::test(start_paused = true)]
async fn each_finding_is_told_as_soon_as_it_is_made_and_warnings_with_the_settings() {
    let mut world = World::new();
    world.set("SYNC_SCHEDULE", "4");
    in_the_way(&world, Fault::Hang);
    let app = world.start();
    let mut told = Vec::new();
    let begin = tokio::time::Instant::now();
    let scope = Scope { schedule: app.schedule.as_deref(), notices: &app.notices, canary: false };
    let findings =
        check::run_each(&app.engine, scope, |finding| told.push((finding.check.clone(), begin.elapsed())))
            .await;
    assert_eq!(told.len(), findings.len());
    let (last, waited) = told.last().unwrap();
    assert!(last == "Sentinel upload host" && waited.as_secs() >= 20, "{told:?}");
    assert!(told[..told.len() - 1].iter().all(|(_, waited)| waited.as_secs() < 5), "{told:?}");
    assert!(of(&findings, "settings").result.contains("SYNC_SCHEDULE"), "{findings:?}");
}

/// Edges and gateways reject requests that do not say what sends them.
#[tokio::test(start_paused = true)]
async fn every_request_to_anybody_says_what_sends_it() {
    let (mut world, _blobs) = World::with_blobs();
    with_key_vault(&mut world);
    world.adopts().set("TARGET_APPLICATION", "sentinel,defender");
    with_canary(&world).await;
    world.run(Work::Timer, Duration::from_secs(600)).await;
    let log = world.net.log();
    let mut hosts = BTreeSet::new();
    for Exchange { authority, headers, uri, .. } in log {
        let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        assert!(
            agent.contains("mati-sync/") || agent.contains("azsdk-rust-"),
            "{authority} {uri}: {agent:?}"
        );
        hosts.insert(authority);
    }
    assert!(hosts.len() >= 6, "{hosts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_mere_question_creates_no_container() {
    let (world, blobs) = World::with_blobs();
    let app = world.start();
    let overview = app.engine.overview().await.unwrap();
    assert!(overview.lanes.values().all(Option::is_none) && overview.runs.is_empty());
    assert_eq!(app.engine.report_of("20260302T110000000Z-0001").await.unwrap(), None);
    assert_eq!(app.engine.manifest("sentinel").await.unwrap().known().count(), 0);
    let changed = world
        .net
        .log()
        .into_iter()
        .filter(|exchange| exchange.method != Method::GET && exchange.method != Method::HEAD);
    assert_eq!(changed.map(|exchange| exchange.uri.to_string()).collect::<Vec<_>>(), [""; 0]);
    assert!(blobs.blobs().is_empty());
}

#[tokio::test(start_paused = true)]
async fn two_lanes_are_not_added_up() {
    let mut world = World::new();
    world.set("TARGET_APPLICATION", "sentinel,defender");
    world.mandiant.put(Record::fqdn("evil.example").updated(world.clock.true_time() - TimeDelta::hours(1)));
    let report = world.tick().await;
    assert!(
        report.message.contains("defender: 1 read") && report.message.contains("sentinel: 1 read"),
        "{}",
        report.message
    );
    assert!(!report.message.contains("2 read"), "{}", report.message);
    let mut alone = World::new();
    alone.set("TARGET_APPLICATION", "sentinel");
    alone.mandiant.put(Record::fqdn("evil.example").updated(alone.clock.true_time() - TimeDelta::hours(1)));
    assert!(alone.tick().await.message.starts_with("1 read, sent 1"));
}
