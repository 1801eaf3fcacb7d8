//! `mati-sync check` and `GET /api/status?check=true`: each fault of a connection is told with what to do about it,
//! and keeps no other connection from being tried.

mod lists;
mod proof;

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use mati_sync::{
    check::{self, Finding, Verdict},
    pass::Work,
};
use sandbox::{
    corpus::Record,
    net::{Exchange, Fault},
};
use serde_json::json;

use crate::{
    harness::{
        vault::{VAULT, with_key_vault},
        world::{CLIENT, DEFENDER, STORAGE, World},
    },
    protocol::{answered, http, post, serve},
};

const MANDIANT: &str = "api.intelligence.mandiant.com";
const RESOURCE_MANAGER: &str = "management.azure.com";
/// What is checked on a laptop, with Sentinel alone.
const ON_A_LAPTOP: [&str; 13] = [
    "settings",
    "schedule",
    "Mandiant",
    "token for Sentinel",
    "Sentinel upload host",
    "Sentinel uploads",
    "Sentinel rules",
    "state",
    "lease",
    "exclusions",
    "changes",
    "sentinel renewal",
    "cost",
];
const ENTRA: &str = "login.microsoftonline.com";

async fn findings(world: &World) -> Vec<Finding> {
    let app = world.start();
    check::run(&app.engine, app.schedule.as_deref()).await
}

fn failed(findings: &[Finding]) -> Vec<&str> {
    findings.iter().filter(|finding| !finding.ok).map(|finding| finding.check.as_str()).collect()
}

fn of<'a>(findings: &'a [Finding], check: &str) -> &'a Finding {
    findings.iter().find(|finding| finding.check == check).unwrap_or_else(|| panic!("{check}: {findings:?}"))
}

/// Everything that can be checked, with the state in blobs.
fn world() -> World {
    let (mut world, _blobs) = World::with_blobs();
    with_key_vault(&mut world);
    world.adopts().set("TARGET_APPLICATION", "sentinel,defender").set("SYNC_CRON", "0 23 * * * *");
    world
}

const ALL: [&str; 12] = [
    "settings",
    "schedule",
    "Key Vault",
    "Mandiant",
    "token for Sentinel",
    "Sentinel upload host",
    "Sentinel workspace",
    "Sentinel uploads",
    "token for Defender for Endpoint",
    "Defender for Endpoint",
    "Sentinel rules",
    "state",
];

#[tokio::test(start_paused = true)]
async fn where_all_is_well_everything_was_tried_and_nothing_was_changed() {
    let (mut world, blobs) = World::with_blobs();
    with_key_vault(&mut world);
    world.adopts().set("TARGET_APPLICATION", "sentinel,defender").set("SYNC_CRON", "0 23 * * * *");
    let findings = findings(&world).await;
    assert_eq!(failed(&findings), [""; 0], "{findings:#?}");
    let checks: Vec<&str> = findings.iter().map(|finding| finding.check.as_str()).collect();
    let last =
        ["lease", "exclusions", "changes", "poison queue", "sentinel renewal", "defender renewal", "cost"];
    assert_eq!(checks, [&ALL[..], &last].concat());
    assert!(world.sentinel.requests().is_empty(), "an upload was tried");
    assert!(world.defender.stored().is_empty());
    let names: Vec<String> = blobs.blobs().into_keys().collect();
    assert!(names.iter().all(|name| name.ends_with("lease")), "{names:?}");
    assert!(of(&findings, "token for Sentinel").result.contains(CLIENT), "{findings:#?}");
    let unproven = |finding: &&Finding| finding.verdict == Verdict::Unproven;
    let unproven: Vec<&Finding> = findings.iter().filter(unproven).collect();
    assert_eq!(unproven.len(), 1, "{unproven:#?}");
    assert!(unproven[0].check == "Sentinel uploads" && unproven[0].result.contains("does not prove"));
    let feed = world.net.log().into_iter().filter(|exchange| exchange.authority == MANDIANT);
    let feed: Vec<String> = feed.map(|exchange| exchange.uri.to_string()).collect();
    assert!(feed.iter().any(|uri| uri.contains("limit=1&")) && feed.len() == 2, "{feed:?}");

    let laptop = World::new();
    let findings = self::findings(&laptop).await;
    let checks: Vec<&str> = findings.iter().map(|finding| finding.check.as_str()).collect();
    assert_eq!(checks, ON_A_LAPTOP);
    assert_eq!(failed(&findings), [""; 0], "{findings:#?}");
    let left: Vec<_> =
        std::fs::read_dir(laptop.state.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name == "lease" || name == "write.lock"), "{left:?}");
}

/// A service that rejects, and what is then said of it.
#[tokio::test(start_paused = true)]
async fn a_rejection_is_told_with_what_to_do_and_keeps_no_other_check_from_being_made() {
    let forbidden = |body: &str| {
        Fault::AnswerBefore(StatusCode::FORBIDDEN, HeaderMap::new(), body.as_bytes().to_vec().into())
    };
    let cases: [(&str, &[&str], &[&str]); 4] = [
        (MANDIANT, &["Mandiant"], &["MATI_KEY", "APIv4 Access and Key"]),
        (
            RESOURCE_MANAGER,
            &["Sentinel workspace"],
            &["Microsoft Sentinel Reader", "az role assignment create", "--scope"],
        ),
        (DEFENDER, &["Defender for Endpoint"], &["Ti.ReadWrite.All", "infra/grant-defender.sh"]),
        (STORAGE, &["state", "lease", "exclusions"], &["AzureWebJobsStorage", "firewall"]),
    ];
    for (service, expected, words) in cases {
        let world = world();
        let fault = forbidden(r#"{"error":{"code":"Forbidden","message":"no"}}"#);
        world
            .net
            .on_request(move |exchange: &Exchange| (exchange.authority == service).then(|| fault.clone()));
        let findings = findings(&world).await;
        assert_eq!(failed(&findings), expected, "{service}: {findings:#?}");
        for word in words {
            let result = &of(&findings, expected[0]).result;
            assert!(result.contains(word), "{service}: {word} is not in {result}");
        }
    }
    let world = world();
    world.net.on_request(|exchange: &Exchange| {
        let body = br#"{"error":{"code":"Forbidden","message":"no"}}"#.to_vec();
        let fault = Fault::AnswerBefore(StatusCode::FORBIDDEN, HeaderMap::new(), body.into());
        (exchange.authority == VAULT).then_some(fault)
    });
    let findings = findings(&world).await;
    // Nothing that needs a secret can be tried without.
    assert!(failed(&findings).starts_with(&["Key Vault", "Mandiant", "token for Sentinel"]), "{findings:#?}");
    assert!(of(&findings, "state").ok && of(&findings, "schedule").ok);
    let result = &of(&findings, "Key Vault").result;
    assert!(result.contains("Key Vault Secrets User") && result.contains("az role assignment"), "{result}");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_never_answers_costs_half_a_minute_and_no_other_check() {
    for (service, expected) in [
        (MANDIANT, &["Mandiant"][..]),
        (RESOURCE_MANAGER, &["Sentinel workspace"]),
        (DEFENDER, &["Defender for Endpoint"]),
        (STORAGE, &["state", "lease", "exclusions"]),
    ] {
        let world = world();
        world
            .net
            .on_request(move |exchange: &Exchange| (exchange.authority == service).then_some(Fault::Hang));
        let begin = tokio::time::Instant::now();
        let findings = findings(&world).await;
        assert!(begin.elapsed() <= Duration::from_secs(31), "{service}: {:?}", begin.elapsed());
        assert_eq!(failed(&findings), expected, "{service}: {findings:#?}");
        assert!(of(&findings, expected[0]).result.contains("30 s"), "{service}: {findings:#?}");
    }
    let world = world();
    world.net.on_request(|exchange: &Exchange| (exchange.authority == ENTRA).then_some(Fault::Refuse));
    let findings = findings(&world).await;
    assert!(of(&findings, "Mandiant").ok && of(&findings, "state").ok, "{findings:#?}");
    let result = &of(&findings, "token for Sentinel").result;
    assert!(result.contains("no token from Entra ID"), "{result}");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_setting_is_named() {
    let mut world = World::new();
    world.set("AZURE_CLIENT_SECRET", "another-secret-value");
    let findings = findings(&world).await;
    assert_eq!(failed(&findings), ["token for Sentinel"]);
    assert!(
        of(&findings, "token for Sentinel").result.contains("AZURE_CLIENT_SECRET is wrong"),
        "{findings:?}"
    );

    for (schedule, ok) in [
        ("0 23 * * * *", true),
        ("every hour", false),
        ("01:00:00", true),
        ("0 0 0 31 2 *", false),
        ("0 0 17-9 * * *", true),
    ] {
        let mut world = World::new();
        world.set("SYNC_CRON", schedule);
        let findings = self::findings(&world).await;
        assert_eq!(of(&findings, "schedule").ok, ok, "{schedule}");
    }
    // Under the host the timer needs one; from a terminal nothing does.
    let mut world = World::new();
    world.set("SYNC_CRON", "");
    assert!(self::findings(&world).await.iter().all(|finding| finding.check != "schedule"));
    let asked = http(None, json!({ "check": "true" }), json!({}));
    let (_, told) = answered(&post(&serve(&world), "Status", asked).await.1);
    let told = told.as_array().unwrap().iter().find(|finding| finding["check"] == "schedule").unwrap();
    assert!(told["result"].as_str().unwrap().starts_with("SYNC_CRON is not set"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_held_is_no_failure_and_its_holder_is_named() {
    for (world, _blobs) in [World::with_blobs(), {
        let (_, blobs) = World::with_blobs();
        (World::new(), blobs)
    }] {
        let store = (world.start().engine.open_store)().unwrap();
        store.prepare().await.unwrap();
        let deadline = mati_sync::clock::Deadline::after(Duration::from_secs(60));
        let lease = store.lease("20260302T110000000Z-0001", &deadline).await.unwrap().unwrap();
        let findings = findings(&world).await;
        let finding = of(&findings, "lease");
        assert!(finding.ok && finding.result.contains("20260302T110000000Z-0001 (process "), "{finding:?}");
        lease.release().await;
        assert_eq!(of(&self::findings(&world).await, "lease").result, "it was free");
        world.run(Work::Timer, Duration::from_secs(600)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_is_told_over_http() {
    let world = World::new();
    world.net.on_request(|exchange: &Exchange| (exchange.authority == MANDIANT).then_some(Fault::Refuse));
    let app = serve(&world);
    let asked = |accept: &str| http(None, json!({ "check": "true" }), json!({ "Accept": [accept] }));
    let (status, list) = answered(&post(&app, "Status", asked("application/json")).await.1);
    let checks: Vec<&str> =
        list.as_array().unwrap().iter().map(|finding| finding["check"].as_str().unwrap()).collect();
    assert_eq!((status.as_str(), checks), ("200", ON_A_LAPTOP.to_vec()));
    let mandiant = &list[2];
    assert_eq!(mandiant["ok"], false);
    assert!(mandiant["result"].as_str().unwrap().contains("MATI_BASE_URL"), "{mandiant}");
    let (status, page) = answered(&post(&app, "Status", asked("text/html")).await.1);
    assert_eq!(status, "200");
    assert!(page.as_str().unwrap().contains("MATI_BASE_URL"));
}

#[tokio::test(start_paused = true)]
async fn what_the_rules_cannot_match_and_what_a_change_of_digests_brings_is_said_beforehand() {
    let mut world = World::new();
    world.set("HASH_TYPE", "md5");
    let at = world.ago(chrono::TimeDelta::hours(40));
    let file =
        |n: u32| Record::file(Some(&format!("{n:032x}")), None, Some(&format!("{n:064x}"))).updated(at);
    world.mandiant.put_all((1..=7).map(file));
    world.tick().await;
    let before = findings(&world).await;
    let rules = of(&before, "Sentinel rules");
    assert!(rules.result.contains("with HASH_TYPE=md5 Microsoft's endpoint rules"), "{rules:?}");
    assert!(rules.result.contains("IPv6"), "{rules:?}");
    assert_eq!(of(&before, "changes").result, "nothing has changed");
    world.set("HASH_TYPE", "").set("INCLUDE_IPV6", "false");
    let after = findings(&world).await;
    assert_eq!(of(&after, "Sentinel rules").result, "at least one of them can match each indicator");
    let changes = of(&after, "changes");
    assert!(changes.result.contains("each of the 7 files held gives way"), "{changes:?}");
}
