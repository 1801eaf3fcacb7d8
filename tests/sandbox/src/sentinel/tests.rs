use std::time::Duration;

use axum::body::Body;
use tower::ServiceExt;

use super::*;
use crate::clock;

const WORKSPACE: &str = "8b014a77-4695-4ef6-96bb-6623afb121a2";
const SCOPE: &str = "https%3A%2F%2Fmanagement.azure.com%2F.default";

fn sentinel() -> Sentinel {
    Sentinel::new(clock::tokio_from("2026-01-01T00:00:00Z".parse().unwrap()), WORKSPACE)
}

fn current(workspace: &str) -> String {
    format!("/workspaces/{workspace}/threat-intelligence-stix-objects:upload?api-version=2024-02-01-preview")
}

fn indicator(number: usize) -> Value {
    json!({
        "type": "indicator", "spec_version": "2.1",
        "id": format!("indicator--{}", uuid::Uuid::from_u128(number as u128)),
        "created": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00.000Z",
        "pattern": "[ipv4-addr:value = '198.51.100.1']", "pattern_type": "stix",
        "valid_from": "2026-01-01T00:00:00Z", "valid_until": "2026-02-01T00:00:00Z",
    })
}

async fn send(
    sentinel: &Sentinel,
    uri: &str,
    token: &str,
    body: impl Into<Body>,
) -> (u16, HeaderMap, Vec<u8>) {
    let request = Request::post(uri)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(body.into())
        .unwrap();
    let response = sentinel.router().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    (head.status.as_u16(), head.headers, to_bytes(body, usize::MAX).await.unwrap().to_vec())
}

async fn upload(sentinel: &Sentinel, objects: Vec<Value>) -> (u16, HeaderMap, Vec<u8>) {
    let body = json!({"sourcesystem": "mandiant", "stixobjects": objects}).to_string();
    send(sentinel, &current(WORKSPACE), "token", body).await
}

fn parsed(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_good_upload_answers_with_nothing_and_the_last_write_wins() {
    let sentinel = sentinel();
    let (status, headers, body) = upload(&sentinel, vec![indicator(1), indicator(2)]).await;
    assert_eq!((status, body.len()), (200, 0));
    assert!(!headers.contains_key("content-type"));

    let mut changed = indicator(1);
    changed["revoked"] = json!(true);
    upload(&sentinel, vec![changed.clone()]).await;
    assert_eq!((sentinel.stored().len(), sentinel.log().len(), sentinel.requests().len()), (2, 3, 2));
    let key = ("mandiant".to_string(), changed["id"].as_str().unwrap().to_string());
    assert_eq!(sentinel.stored()[&key], changed);
}

#[tokio::test(start_paused = true)]
async fn bad_objects_are_reported_by_their_place_and_the_rest_is_stored() {
    let sentinel = sentinel();
    let broken = |name: &str, value: Value| {
        let mut object = indicator(9);
        object[name] = value;
        object
    };
    let objects = vec![
        indicator(1),
        broken("id", Value::Null),
        broken("id", json!("indicator--one")),
        broken("confidence", json!(101)),
        broken("valid_until", json!("2026-01-01T00:00:00Z")),
        broken("modified", json!("yesterday")),
        broken("type", json!("malware")),
        indicator(2),
    ];
    let (status, _, body) = upload(&sentinel, objects).await;
    let errors = parsed(&body)["errors"].as_array().unwrap().clone();
    assert_eq!(status, 200);
    assert_eq!(
        errors.iter().map(|e| e["recordIndex"].as_u64().unwrap()).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6]
    );
    let documented = "Error for Property=id: Required property is missing. Actual value: NULL.";
    assert_eq!(errors[0]["errorMessages"], json!([documented]));
    assert_eq!(sentinel.stored().len(), 2);

    sentinel.knobs(|knobs| knobs.reject = Some(Arc::new(|_| Some("No.".into()))));
    assert_eq!(upload(&sentinel, vec![indicator(3)]).await.0, 200);
    sentinel.knobs(|knobs| knobs.all_invalid_is_bad_request = true);
    let (status, _, body) = upload(&sentinel, vec![indicator(3)]).await;
    assert_eq!((status, &parsed(&body)["errors"][0]["errorMessages"]), (400, &json!(["No."])));
}

#[tokio::test(start_paused = true)]
async fn whole_requests_are_rejected() {
    let sentinel = sentinel();
    let upload_as = |source: &str| json!({"sourcesystem": source, "stixobjects": [indicator(1)]}).to_string();
    let cases = [
        (current("another"), upload_as("mandiant"), 404),
        (current(WORKSPACE), upload_as("Microsoft Sentinel"), 400),
        (current(WORKSPACE), "{\"sourcesystem\":".into(), 400),
        (current(WORKSPACE), json!({"SourceSystem": "mandiant", "stixobjects": []}).to_string(), 400),
        (current(WORKSPACE).replace("2024-02-01-preview", "2020-01-01"), upload_as("mandiant"), 404),
    ];
    for (uri, body, status) in cases {
        assert_eq!(send(&sentinel, &uri, "token", body.clone()).await.0, status, "{uri} {body}");
    }
    assert_eq!(upload(&sentinel, (0..101).map(indicator).collect()).await.0, 400);
    sentinel.knobs(|knobs| {
        knobs.reject_whole =
            Some(Arc::new(|object| (object["id"] == indicator(2)["id"]).then(|| "Bad one.".into())))
    });
    let (status, _, body) = upload(&sentinel, vec![indicator(1), indicator(2)]).await;
    assert_eq!((status, &parsed(&body)["error"]["message"]), (400, &json!("Bad one.")));
    sentinel.knobs(|knobs| knobs.max_body = Some(10));
    assert_eq!(upload(&sentinel, vec![indicator(1)]).await.0, 413);
    assert!(sentinel.stored().is_empty() && sentinel.log().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_window_slides() {
    let sentinel = sentinel();
    sentinel.knobs(|knobs| knobs.quota = 2);
    upload(&sentinel, vec![indicator(1)]).await;
    tokio::time::advance(Duration::from_millis(20_500)).await;
    upload(&sentinel, vec![indicator(1)]).await;
    let (status, headers, body) = upload(&sentinel, vec![indicator(1)]).await;
    assert_eq!((status, headers["retry-after"].to_str().unwrap()), (429, "40"));
    let expected = json!({"statusCode": 429, "message": "Rate limit is exceeded. Try again in 40 seconds."});
    assert_eq!(parsed(&body), expected);

    sentinel.knobs(|knobs| knobs.retry_after_header = false);
    assert!(!upload(&sentinel, vec![indicator(1)]).await.1.contains_key("retry-after"));
    tokio::time::advance(Duration::from_secs(40)).await;
    assert_eq!(upload(&sentinel, vec![indicator(1)]).await.0, 200);
    assert_eq!(upload(&sentinel, vec![indicator(1)]).await.0, 429);
}

#[tokio::test(start_paused = true)]
async fn tokens_are_checked() {
    let sentinel = sentinel();
    let entra = Entra::new(clock::tokio_from("2026-01-01T00:00:00Z".parse().unwrap()));
    entra.app("tenant", "app", "secret");
    let form = format!("grant_type=client_credentials&client_id=app&client_secret=secret&scope={SCOPE}");
    let request = Request::post("/tenant/oauth2/v2.0/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(form));
    let answer = entra.router().oneshot(request.unwrap()).await.unwrap();
    let answer = parsed(&to_bytes(answer.into_body(), usize::MAX).await.unwrap());
    let token = answer["access_token"].as_str().unwrap();

    sentinel.trust(&entra);
    let body = json!({"sourcesystem": "mandiant", "stixobjects": [indicator(1)]}).to_string();
    assert_eq!(send(&sentinel, &current(WORKSPACE), token, body.clone()).await.0, 200);
    assert_eq!(send(&sentinel, &current(WORKSPACE), "other", body.clone()).await.0, 401);
    sentinel.authorize(|_, _| Authorization::Forbidden);
    let (status, _, answer) = send(&sentinel, &current(WORKSPACE), token, body.clone()).await;
    assert_eq!((status, &parsed(&answer)["error"]["code"]), (403, &json!("UnauthorizedAccess")));
    sentinel.knobs(|knobs| knobs.forbidden_status = 401);
    assert_eq!(send(&sentinel, &current(WORKSPACE), token, body).await.0, 401);
}

#[tokio::test(start_paused = true)]
async fn the_legacy_apis_ignore_case_and_the_script_comes_first() {
    let sentinel = sentinel();
    let first = format!("/{WORKSPACE}/threatintelligence:upload-indicators?api-version=2022-07-01");
    let body = json!({"SourceSystem": "mandiant", "Value": [indicator(1)]}).to_string();
    assert_eq!(send(&sentinel, &first, "token", body).await.0, 200);
    let second =
        format!("/workspaces/{WORKSPACE}/threatintelligenceindicators:upload?api-version=2022-07-01");
    let body = json!({"SourceSystem": "mandiant", "Indicators": [indicator(2)]}).to_string();
    sentinel.knobs(|knobs| {
        let headers = vec![("x-test".to_string(), "yes".to_string())];
        knobs.script.push_back(Answer { status: 502, headers, body: "<html>".into() });
        knobs.delay = Duration::from_secs(3);
    });
    let (status, headers, answer) = send(&sentinel, &second, "token", body.clone()).await;
    assert_eq!((status, headers["x-test"].to_str().unwrap(), &answer[..]), (502, "yes", &b"<html>"[..]));
    assert_eq!(send(&sentinel, &second, "token", body).await.0, 200);
    let requests = sentinel.requests();
    assert_eq!(requests.iter().map(|request| request.accepted).collect::<Vec<_>>(), [1, 0, 1]);
    assert_eq!(requests[2].at - requests[1].at, TimeDelta::seconds(3));
    assert_eq!(requests[2].api, Some(Api::LegacyV2));
}
