//! Sentinel, Defender and Azure Resource Manager answer 200, or something in between answers for them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::http::{HeaderMap, StatusCode, header};
use chrono::TimeDelta;
use mati_sync::domain::outcome::End;
use sandbox::{
    corpus::Record,
    net::{Exchange, Fault},
    sentinel::Answer,
};
use serde_json::{Value, json};

use super::{Outage, at, fill, is_upload, recovers, stalls};
use crate::harness::world::{DEFENDER, World};

fn answer(status: u16, body: &str) -> Fault {
    let status = StatusCode::from_u16(status).expect("a status");
    Fault::AnswerBefore(status, HeaderMap::new(), body.to_owned().into())
}

fn is_defender(exchange: &Exchange) -> bool {
    exchange.authority == DEFENDER
}

fn is_import(exchange: &Exchange) -> bool {
    exchange.uri.path().ends_with("/import")
}

fn is_deletion(exchange: &Exchange) -> bool {
    exchange.uri.path().ends_with("/BatchDelete")
}

fn is_list(exchange: &Exchange) -> bool {
    exchange.uri.path().ends_with("/indicators")
}

fn is_arm(exchange: &Exchange) -> bool {
    exchange.uri.path().ends_with("/queryIndicators")
}

/// With the status of a success, and an error inside or nothing that the API would say.
const NO_ANSWERS: [(&str, &str); 5] = [
    (r#"{"statusCode":500,"message":"Internal server error"}"#, "Internal server error"),
    (r#"{"error":{"code":"ServiceUnavailable","message":"try later"}}"#, "ServiceUnavailable: try later"),
    (r#"{"status":"ok"}"#, "status"),
    ("[]", "[]"),
    ("<html>Sign in</html>", "Sign in"),
];

#[tokio::test(start_paused = true)]
async fn sentinel_s_200_with_an_error_inside_accepts_nothing() {
    for (body, told) in NO_ANSWERS {
        let world = World::new();
        fill(&world, 300);
        let outage = Outage::begin(&world, at(|_| true, is_upload, answer(200, body)));
        let report = stalls(&world, &[told]).await;
        assert_eq!((report.totals().created, report.totals().rejected), (0, 0), "{body}: {report:#?}");
        outage.mend();
        recovers(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_odd_entry_of_sentinel_s_errors_costs_one_record_and_no_storm() {
    for (index, messages) in [
        (json!("7"), json!(["bad"])),
        (json!(7.0), json!("bad")),
        (json!(7), Value::Null),
        (Value::Null, json!(["bad"])),
        (json!("?"), json!(["bad"])),
    ] {
        let world = World::new();
        fill(&world, 100);
        // Sentinel takes all but one, and says so in its odd way, however the request is cut.
        let bad = "198.0.0.8";
        let rejection = (index.clone(), messages.clone());
        world.net.host("api.ti.sentinel.azure.com", odd_entries(&world, bad, rejection));
        let report = world.tick().await;
        let totals = report.totals();
        assert_eq!(
            (report.end, totals.created, totals.rejected),
            (End::CaughtUp, 99, 1),
            "{index} {messages}: {report:#?}"
        );
        assert!(totals.requests <= 15, "{index}: {} requests", totals.requests);
        assert!(!world.held().contains(&bad.to_owned()));
    }
}

/// Sentinel, which rejects the object of `value`, and whose list of errors is odd.
fn odd_entries(world: &World, value: &'static str, (index, messages): (Value, Value)) -> axum::Router {
    world.sentinel.knobs(|knobs| {
        knobs.reject =
            Some(Arc::new(move |object: &Value| (object["name"] == value).then(|| "bad".to_owned())));
    });
    let rewrite = move |response: axum::response::Response| {
        let (index, messages) = (index.clone(), messages.clone());
        async move {
            let (parts, body) = response.into_parts();
            let bytes = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
            let Ok(mut told) = serde_json::from_slice::<Value>(&bytes) else {
                return axum::response::Response::from_parts(parts, axum::body::Body::from(bytes));
            };
            for entry in told["errors"].as_array_mut().into_iter().flatten() {
                if index.is_null() || index == "?" {
                    entry["recordIndex"] = index.clone();
                } else {
                    let number = entry["recordIndex"].as_u64().expect("an index");
                    entry["recordIndex"] =
                        if index.is_string() { json!(number.to_string()) } else { json!(number as f64) };
                }
                entry["errorMessages"] = messages.clone();
            }
            let mut parts = parts;
            parts.headers.remove(header::CONTENT_LENGTH);
            axum::response::Response::from_parts(parts, axum::body::Body::from(told.to_string()))
        }
    };
    world.sentinel.router().layer(axum::middleware::map_response(rewrite))
}

#[tokio::test(start_paused = true)]
async fn defender_s_200_with_an_error_inside_is_no_import_no_deletion_and_no_list() {
    for interest in [is_import, is_deletion, is_list] {
        for (body, told) in NO_ANSWERS {
            let mut world = World::new();
            world.set("TARGET_APPLICATION", "defender");
            let at_first = world.ago(TimeDelta::hours(3));
            let name = |n: usize| format!("n{n}.example");
            world.mandiant.put_all((0..40).map(|n| Record::fqdn(&name(n)).updated(at_first)));
            if interest as fn(&Exchange) -> bool as usize == is_deletion as fn(&Exchange) -> bool as usize {
                world.tick().await;
                tokio::time::advance(std::time::Duration::from_secs(3600)).await;
                let low = Record::fqdn(&name(3)).updated(world.ago(TimeDelta::minutes(9))).mscore(1);
                world.mandiant.put(low);
            }
            let before = world.defender.stored().len();
            let outage = Outage::begin(&world, at(|_| true, interest, answer(200, body)));
            let report = stalls(&world, &[told]).await;
            let totals = report.totals();
            assert_eq!((totals.created, totals.retracted, totals.rejected), (0, 0, 0), "{body}: {report:#?}");
            outage.mend();
            let report = world.tick().await;
            assert_eq!(report.end, End::CaughtUp, "{report:#?}");
            assert_eq!(world.defender.stored().len(), if before == 0 { 40 } else { 39 }, "{body}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn resource_manager_s_200_with_an_error_inside_is_no_empty_workspace() {
    for (body, told) in NO_ANSWERS {
        let mut world = World::new();
        world.adopts();
        fill(&world, 10);
        let outage = Outage::begin(&world, at(|_| true, is_arm, answer(200, body)));
        let report = stalls(&world, &[told]).await;
        assert_eq!(report.totals().created, 0, "{body}: what is there is not known: {report:#?}");
        outage.mend();
        recovers(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn redirects_and_pages_of_an_edge_are_told_from_each_api_s_rejections() {
    let location =
        HeaderMap::from_iter([(header::LOCATION, "https://login.example/sso?x=hush".parse().unwrap())]);
    let redirect = Fault::AnswerBefore(StatusCode::FOUND, location, Default::default());
    for (interest, setting) in [
        (is_upload as fn(&Exchange) -> bool, "SENTINEL_BASE_URL"),
        (is_arm, "AZURE_RESOURCE_MANAGER_URL"),
        (is_defender, "DEFENDER_BASE_URL"),
    ] {
        let edge = answer(403, "<html><title>Access denied</title></html>");
        let quota = answer(
            403,
            r#"{"statusCode":403,"message":"Out of call volume quota. Quota will be replenished in 02:00:00."}"#,
        );
        for (fault, words) in [
            (redirect.clone(), ["https://login.example/sso", setting]),
            (edge, ["between here and", setting]),
            (quota, ["quota of", "02:00:00"]),
        ] {
            let mut world = World::new();
            world.adopts().set("TARGET_APPLICATION", "sentinel,defender");
            fill(&world, 100);
            let outage = Outage::begin(&world, at(|_| true, interest, fault));
            let report = stalls(&world, &words).await;
            for word in ["Contributor", "Ti.ReadWrite.All", "hush"] {
                assert!(!report.message.contains(word), "{}", report.message);
            }
            outage.mend();
            let report = world.tick().await;
            assert_eq!(report.end, End::CaughtUp, "{report:#?}");
            assert_eq!(world.held().len(), 100);
        }
    }
}

/// Something in between that breaks every connection over which more than `longest` bytes come.
fn resets_above(world: &World, longest: usize) -> Arc<AtomicUsize> {
    let broken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&broken);
    world.net.on_request(move |exchange| {
        let length = exchange.length;
        (is_upload(exchange) && length > longest).then(|| {
            counter.fetch_add(1, Ordering::Relaxed);
            Fault::ResetBefore
        })
    });
    broken
}

#[tokio::test(start_paused = true)]
async fn a_request_over_which_the_connection_breaks_is_cut_in_halves() {
    let world = World::new();
    fill(&world, 1000);
    let broken = resets_above(&world, 30_000);
    let report = world.tick().await;
    assert_eq!(
        (report.end, report.totals().created, report.totals().rejected),
        (End::CaughtUp, 1000, 0),
        "{report:#?}"
    );
    assert!(broken.load(Ordering::Relaxed) >= 3, "each is tried more than once before it is cut");
    recovers(&world).await;
    // Where nothing gets through, whatever its length, no record is to blame.
    let world = World::new();
    fill(&world, 1000);
    let outage = Outage::begin(&world, at(|_| true, is_upload, Fault::ResetBefore));
    let report = stalls(&world, &["Sentinel cannot be reached"]).await;
    assert_eq!((report.totals().created, report.totals().rejected), (0, 0), "{report:#?}");
    outage.mend();
    recovers(&world).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_api_management_s_quota_stalls_until_it_is_over_and_is_no_missing_role() {
    let world = World::new();
    fill(&world, 10);
    let body =
        r#"{"statusCode":403,"message":"Out of call volume quota. Quota will be replenished in 00:00:40."}"#;
    let rejection = Answer { status: 403, headers: Vec::new(), body: body.to_owned() };
    world.sentinel.knobs(|knobs| knobs.script = [rejection].into());
    let began = world.now();
    recovers(&world).await;
    assert!((world.now() - began).num_seconds() >= 40, "it was waited for");
}
