//! The Functions host's protocol, with the bodies that hosts have been seen to send.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use chrono::TimeDelta;
use mati_sync::{
    host::{Server, router},
    settings::Settings,
};
use sandbox::corpus::Record;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::harness::world::World;

/// The server of a newly started process.
pub fn serve(world: &World) -> Router {
    let (_, stop) = tokio::sync::watch::channel(false);
    let app = world.start();
    router(Arc::new(Server {
        engine: Ok(app.engine),
        schedule: app.schedule,
        function_timeout: Duration::from_secs(600),
        stop,
    }))
}

/// Posts an invocation as the host does: in chunks, without a length.
pub async fn post(app: &Router, function: &str, body: impl AsRef<[u8]>) -> (StatusCode, Value) {
    let chunks: Vec<Result<_, std::io::Error>> =
        body.as_ref().chunks(7).map(|chunk| Ok(axum::body::Bytes::copy_from_slice(chunk))).collect();
    let request = Request::post(format!("/{function}"))
        .header("content-type", "application/json; charset=utf-8")
        .header("x-azure-functions-invocationid", "83a33220-a921-460a-bec0-b3f043dcf1ff")
        .body(Body::from_stream(futures::stream::iter(chunks)))
        .unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let body: Value = serde_json::from_slice(&body).expect("every answer is JSON");
    assert!(content_type.starts_with("application/json"), "{content_type}");
    assert!(body.is_object(), "anything but an object hangs the invocation: {body}");
    (status, body)
}

/// An invocation of an HTTP function.
pub fn http(body: Option<&str>, query: Value, headers: Value) -> String {
    let mut request = json!({
        "Url": "http://localhost:7071/api/sync", "Method": "POST", "Query": query, "Headers": headers,
        "Params": {}, "Identities": [{"Claims": [], "IsAuthenticated": true}],
    });
    if let Some(body) = body {
        request["Body"] = body.into();
    }
    json!({ "Data": { "request": request }, "Metadata": { "sys": { "MethodName": "SyncNow" } } }).to_string()
}

fn sync_now(body: Option<&str>) -> String {
    http(body, json!({}), json!({ "Content-Type": ["application/json"] }))
}

/// The inner answer of an HTTP function.
pub fn answered(body: &Value) -> (String, Value) {
    let response = &body["Outputs"]["response"];
    let text = response["body"].as_str().expect("a text");
    (
        response["statusCode"].as_str().expect("a status").to_owned(),
        serde_json::from_str(text).unwrap_or(json!(text)),
    )
}

#[tokio::test(start_paused = true)]
async fn every_form_of_a_timer_runs_a_pass() {
    let world = World::new();
    world.mandiant.put(Record::ipv4("198.51.100.1").updated(world.ago(TimeDelta::hours(3))));
    let app = serve(&world);
    for timer in [
        json!({ "Schedule": { "AdjustForDST": true }, "ScheduleStatus": null, "IsPastDue": false }),
        json!({ "Schedule": {}, "ScheduleStatus": { "Last": "0001-01-01T00:00:00", "Next": "2026-03-02T13:00:00", "LastUpdated": "0001-01-01T00:00:00+00:00" }, "IsPastDue": true }),
        json!({}),
    ] {
        let invocation =
            json!({ "Data": { "timer": timer }, "Metadata": { "sys": {}, "Unknown": "\"1\"" }, "More": 1 });
        let (status, body) = post(&app, "SyncTimer", &invocation.to_string()).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert_eq!(body["ReturnValue"], Value::Null);
        assert!(body["Outputs"].is_object() && body["Logs"][0].is_string(), "{body}");
    }
    assert_eq!(world.held(), ["198.51.100.1"]);
}

#[tokio::test(start_paused = true)]
async fn a_manual_rerun_goes_through_the_queue() {
    let world = World::new();
    let app = serve(&world);
    let (status, body) = post(&app, "SyncNow", &sync_now(Some(r#"{"lookback_days": 3}"#))).await;
    assert_eq!(status, StatusCode::OK);
    let (inner, answer) = answered(&body);
    let run_id = answer["run_id"].as_str().unwrap().to_owned();
    assert_eq!(inner, "202");
    assert_eq!(body["Outputs"]["response"]["headers"]["Location"], format!("/api/status?run={run_id}"));
    let message = &body["Outputs"]["next"];
    assert!(message.is_object(), "a text could be taken for base64");
    assert!(world.state.path().join(format!("requests/{run_id}.json")).exists());

    let status_of = |run: &str| http(None, json!({ "run": run }), json!({ "Accept": ["*/*"] }));
    let (inner, answer) = answered(&post(&app, "Status", &status_of(&run_id)).await.1);
    assert_eq!((inner.as_str(), &answer["end"]), ("200", &Value::Null), "accepted, not yet applied");

    // A queue's text arrives as JSON in JSON; a message that is JSON itself once more.
    let twice = Value::String(Value::String(message.to_string()).to_string());
    let invocation =
        json!({ "Data": { "message": twice }, "Metadata": { "DequeueCount": "1", "Id": "\"52d5\"" } });
    let (status, body) = post(&app, "SyncContinue", &invocation.to_string()).await;
    assert_eq!((status, &body["Outputs"]["next"]), (StatusCode::OK, &Value::Null), "{body}");
    let (inner, answer) = answered(&post(&app, "Status", &status_of(&run_id)).await.1);
    assert_eq!(
        (inner.as_str(), &answer["end"], &answer["trigger"]),
        ("200", &json!("caught_up"), &json!("manual"))
    );
    assert_eq!(answered(&post(&app, "Status", &status_of("20260101T000000000Z-0000")).await.1).0, "404");
    assert_eq!(answered(&post(&app, "Status", &status_of("../../etc/passwd")).await.1).0, "404");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_makes_no_sense_is_rejected_with_what_is_known() {
    let world = World::new();
    let app = serve(&world);
    let long = format!("{{\"dry_run\": {}true}}", " ".repeat(70_000));
    let longer = format!("{{\"dry_run\": {}true}}", " ".repeat(3_000_000));
    for (body, expected) in [
        ("{\"unknown\": 1}", "400"),
        ("{\"dry_run\": \"yes\"}", "400"),
        ("{\"lookback_days\": 90}", "400"),
        ("{\"lookback_days\": -3}", "400"),
        ("{\"destinations\": [\"splunk\"]}", "400"),
        ("[1]", "400"),
        ("not json", "400"),
        (&long, "413"),
        (&longer, "413"),
    ] {
        let (status, answer) = post(&app, "SyncNow", &sync_now(Some(body))).await;
        let (inner, reason) = answered(&answer);
        assert_eq!((status, inner.as_str()), (StatusCode::OK, expected), "{}", &body[..body.len().min(40)]);
        assert!(reason["error"].is_string() && answer["Outputs"]["next"].is_null());
        let told = reason["error"].as_str().unwrap();
        assert!(told.matches("confirm_creation").count() < 2, "what is known is told once: {told}");
    }
    assert!(!world.state.path().join("requests").exists(), "nothing was accepted");
    for body in [None, Some(""), Some("{}")] {
        assert_eq!(answered(&post(&app, "SyncNow", &sync_now(body)).await.1).0, "202");
    }
}

#[tokio::test(start_paused = true)]
async fn status_is_json_for_programs_and_a_table_for_people() {
    let world = World::new();
    world.mandiant.put(Record::ipv4("198.51.100.1").updated(world.ago(TimeDelta::hours(3))));
    world.tick().await;
    let app = serve(&world);
    let (_, body) =
        post(&app, "Status", &http(None, json!({}), json!({ "Accept": ["application/json"] }))).await;
    let (_, overview) = answered(&body);
    assert_eq!(overview["runs"][0]["lanes"]["sentinel"]["created"], 1, "{overview:#}");
    let lane = &overview["lanes"]["sentinel"];
    assert_eq!((&lane["manifest"], &lane["counts"]["held"]["total"]), (&json!(1), &json!(1)));
    assert_eq!(lane["health"]["end"], "caught_up");
    assert_eq!((&overview["healthy"], &overview["complaints"]), (&json!(true), &json!([])));
    let (_, body) =
        post(&app, "Status", &http(None, json!({}), json!({ "accept": ["text/html,*/*"] }))).await;
    assert_eq!(body["Outputs"]["response"]["headers"]["Content-Type"], "text/html; charset=utf-8");
    assert!(body["Outputs"]["response"]["body"].as_str().unwrap().contains("<table "));
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_stands_in_the_json_for_monitoring() {
    let world = World::new();
    world.mandiant.set(|knobs| knobs.secret = "another".into());
    world.tick().await;
    let (_, status) = answered(&post(&serve(&world), "Status", &http(None, json!({}), json!({}))).await.1);
    assert_eq!(status["healthy"], false, "{status:#}");
    let complaint = status["complaints"][0].as_str().unwrap();
    assert!(complaint.contains("sentinel is stalled since"), "{complaint}");
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_can_never_fire_is_wrong_before_the_first_pass() {
    let mut world = World::new();
    for (schedule, told) in [
        ("61 * * * * *", "SYNC_CRON is \"61 * * * * *\", which the Functions host cannot read"),
        ("0 0 0 31 2 *", "which names a day that never comes"),
        ("", "SYNC_CRON is not set"),
    ] {
        world.set("SYNC_CRON", schedule);
        let (_, status) =
            answered(&post(&serve(&world), "Status", &http(None, json!({}), json!({}))).await.1);
        assert_eq!(status["healthy"], false, "{status:#}");
        assert!(status["complaints"][0].as_str().unwrap().contains(told), "{status:#}");
        assert_eq!(status["complaints"][0], status["schedule"]["fault"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_ours_is_answered_and_never_hangs() {
    let world = World::new();
    let app = serve(&world);
    let (status, body) = post(&app, "Unknown", "{\"Data\":{},\"Metadata\":{}}").await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{body}");
    for message in ["\"\\\"hello!!\\\"\"", "null", "{\"kind\":\"other\"}", "7"] {
        let (status, _) =
            post(&app, "SyncContinue", &format!("{{\"Data\":{{\"message\":{message}}}}}")).await;
        assert_eq!(status, StatusCode::OK, "dropped, and not delivered again: {message}");
    }
    let (status, _) = post(&app, "SyncContinue", "this is no JSON").await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_pass_fails_the_invocation_and_a_paused_one_asks_to_go_on() {
    let mut world = World::new();
    world.mandiant.put_all(
        (1..=250).map(|n| Record::ipv4(&format!("198.51.100.{n}")).updated(world.ago(TimeDelta::hours(3)))),
    );
    world.set("SENTINEL_REQUESTS_PER_MINUTE", "1");
    let (_, stop) = tokio::sync::watch::channel(false);
    let limit = Duration::from_secs(90);
    let server = Server { engine: Ok(world.start().engine), schedule: None, function_timeout: limit, stop };
    let app = router(Arc::new(server));
    let (status, body) = post(&app, "SyncTimer", "{\"Data\":{\"timer\":{}}}").await;
    assert_eq!(status, StatusCode::OK);
    let next = &body["Outputs"]["next"];
    assert_eq!((&next["kind"], &next["hop"]), (&json!("continue"), &json!(1)), "{body}");
    assert!(next["run_id"].is_string() && next["continuation_id"].is_string());

    world.sentinel.authorize(|_, _| sandbox::sentinel::Authorization::Forbidden);
    let (status, body) = post(&app, "SyncTimer", "{\"Data\":{\"timer\":{}}}").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{body}");
}

/// An invocation of `SyncNow` whose request has these members.
fn request(members: Value) -> String {
    json!({ "Data": { "request": members }, "Metadata": { "sys": {} } }).to_string()
}

#[tokio::test(start_paused = true)]
async fn a_body_that_the_host_lost_is_asked_for_with_a_length_and_starts_nothing() {
    let world = World::new();
    let app = serve(&world);
    let chunked = |name: &str, value: Value| request(json!({ "Method": "POST", "Headers": { name: value } }));
    for lost in [
        chunked("Transfer-Encoding", json!(["chunked"])),
        chunked("transfer-encoding", json!(["Chunked"])),
        chunked("TRANSFER-ENCODING", json!("gzip, chunked")),
        request(json!({ "Headers": { "Transfer-Encoding": ["chunked"] }, "Body": null })),
        request(json!({ "Headers": { "Transfer-Encoding": ["chunked"] }, "Body": "" })),
        request(json!({ "Headers": { "Transfer-Encoding": ["chunked"] }, "Query": null, "Params": null })),
    ] {
        let (status, answer) = post(&app, "SyncNow", &lost).await;
        let (inner, reason) = answered(&answer);
        assert_eq!((status, inner.as_str()), (StatusCode::OK, "411"), "{lost}");
        assert!(reason["error"].as_str().unwrap().contains("Content-Length"), "{reason}");
        assert!(answer["Outputs"]["next"].is_null(), "{answer}");
    }
    for unclear in [
        request(json!({ "Headers": { "Content-Length": ["17"] } })),
        request(json!({ "Query": { "dry_run": "true" }, "Headers": {} })),
        request(json!({ "Query": { "DRY_RUN": "" }, "Headers": {} })),
        request(json!("POST /api/sync")),
        json!({ "Data": {}, "Metadata": {} }).to_string(),
        json!({ "Metadata": {} }).to_string(),
        "not even JSON".to_owned(),
    ] {
        let (status, answer) = post(&app, "SyncNow", &unclear).await;
        assert_eq!((status, answered(&answer).0.as_str()), (StatusCode::OK, "400"), "{unclear}");
    }
    assert!(!world.state.path().join("requests").exists(), "nothing was accepted");

    for whole in [
        request(json!({ "Headers": { "Content-Length": ["0"], "Content-Type": ["application/json"] } })),
        request(json!({ "Headers": null, "Query": { "code": "a-key", "clientId": "default" } })),
        // A host that passes on such bodies after all.
        request(json!({ "Headers": { "Transfer-Encoding": ["chunked"] }, "Body": "{\"dry_run\": true}" })),
    ] {
        assert_eq!(answered(&post(&app, "SyncNow", &whole).await.1).0, "202", "{whole}");
    }
}

/// No settings at all.
fn faulty_server() -> Router {
    let faults = Settings::parse(&std::collections::BTreeMap::<String, String>::new()).unwrap_err();
    let (_, stop) = tokio::sync::watch::channel(false);
    let limit = Duration::from_secs(600);
    router(Arc::new(Server { engine: Err(faults), schedule: None, function_timeout: limit, stop }))
}

#[tokio::test(start_paused = true)]
async fn bad_settings_are_told_by_every_function_in_its_own_way_and_stop_nothing_else() {
    const NAMES: [&str; 4] = ["MATI_KEY", "MATI_SECRET", "AZURE_WORKSPACE_ID", "STORAGE_ACCOUNT_NAME"];
    let app = faulty_server();
    let up = app.clone().oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(up.status(), StatusCode::OK);
    for function in ["SyncTimer", "SyncContinue"] {
        let message = json!({ "kind": "request", "run_id": "x" });
        let invocation = json!({ "Data": { "timer": {}, "message": message } });
        let (status, body) = post(&app, function, &invocation.to_string()).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{function}");
        for name in NAMES {
            assert!(body["error"].as_str().unwrap().contains(name), "{name} is not in {body}");
        }
    }
    // The host keeps the body of our own 500 to itself, so an HTTP function answers through its output.
    for (function, request, expected) in [
        ("SyncNow", sync_now(None), "500"),
        ("SyncNow", sync_now(Some("{\"dry_run\": true}")), "500"),
        ("Status", http(None, json!({}), json!({})), "200"),
        ("Status", http(None, json!({ "run": "x" }), json!({})), "200"),
    ] {
        let (status, body) = post(&app, function, &request).await;
        assert_eq!(status, StatusCode::OK, "{function}: {body}");
        let (inner, answer) = answered(&body);
        assert_eq!(inner, expected, "{function}");
        assert!(body["Outputs"]["next"].is_null());
        let faults = answer["faults"].as_array().unwrap();
        let of_the_timer = faults.iter().any(|fault| fault.as_str().unwrap().starts_with("SYNC_CRON"));
        assert_eq!(of_the_timer, function == "Status", "{answer}");
        for name in NAMES {
            let told = faults.iter().filter(|fault| fault.as_str().unwrap().starts_with(name)).count();
            assert_eq!(told, 1, "{name} in {answer}");
        }
    }
    let page = http(None, json!({}), json!({ "Accept": ["text/html"] }));
    let (inner, page) = answered(&post(&app, "Status", &page).await.1);
    assert_eq!(inner, "200");
    assert!(NAMES.iter().all(|name| page.as_str().unwrap().contains(name)), "{page}");
    let asked = http(None, json!({ "check": "true" }), json!({}));
    let (inner, findings) = answered(&post(&app, "Status", &asked).await.1);
    assert_eq!(inner, "200");
    for name in NAMES {
        let of_it =
            |finding: &Value| finding["ok"] == false && finding["result"].as_str().unwrap().starts_with(name);
        assert_eq!(findings.as_array().unwrap().iter().filter(|finding| of_it(finding)).count(), 1, "{name}");
    }
}
