use std::time::Duration;

use axum::body::Body;
use chrono::TimeDelta;
use tower::ServiceExt;

use super::*;
use crate::{clock, sentinel::Answer};

const START: &str = "2026-01-01T00:00:00Z";
const IMPORT: &str = "/api/indicators/import";
const DELETE: &str = "/api/indicators/BatchDelete";

fn defender() -> Defender {
    Defender::new(clock::tokio_from(START.parse().unwrap()))
}

fn indicator(value: &str) -> Value {
    json!({
        "indicatorValue": value, "indicatorType": "DomainName", "action": "Audit", "generateAlert": true,
        "title": "a title", "description": "a description", "application": "test",
        "expirationTime": "2026-01-02T00:00:00Z", "severity": "High",
    })
}

/// The same with one name changed.
fn with(mut indicator: Value, name: &str, value: impl Into<Value>) -> Value {
    indicator[name] = value.into();
    indicator
}

fn typed(kind: &str, value: &str) -> Value {
    with(indicator(value), "indicatorType", kind)
}

async fn ask(
    defender: &Defender,
    request: axum::http::request::Builder,
    body: Body,
) -> (u16, HeaderMap, Value) {
    let request = request.header("authorization", "Bearer token").body(body).unwrap();
    let (head, body) = defender.router().oneshot(request).await.unwrap().into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    (head.status.as_u16(), head.headers, serde_json::from_slice(&body).unwrap_or_default())
}

async fn post(defender: &Defender, path: &str, body: Value) -> (u16, Value) {
    let request = Request::post(path).header("content-type", "application/json");
    let (status, _, body) = ask(defender, request, body.to_string().into()).await;
    (status, body)
}

async fn import(defender: &Defender, indicators: Vec<Value>) -> (u16, Value) {
    post(defender, IMPORT, json!({"Indicators": indicators})).await
}

async fn get(defender: &Defender, path: &str) -> (u16, Value) {
    let (status, _, body) = ask(defender, Request::get(path), Body::empty()).await;
    (status, body)
}

fn failures(answer: &Value) -> Vec<Option<&str>> {
    answer["value"].as_array().unwrap().iter().map(|item| item["failureReason"].as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn one_value_and_type_is_one_indicator_whoever_sends_it() {
    let defender = defender();
    let (status, answer) = import(&defender, vec![indicator("a.example"), indicator("b.example")]).await;
    let first = json!({"id": "1", "indicator": "a.example", "isFailed": false, "failureReason": null});
    assert_eq!((status, &answer["value"][0]), (200, &first));

    tokio::time::advance(Duration::from_secs(60)).await;
    let theirs = with(with(indicator("a.example"), "application", "another"), "title", "changed");
    let (status, answer) =
        post(&defender, "/api/v1.0/indicators/import", json!({"Indicators": [theirs]})).await;
    assert_eq!((status, &answer["value"][0]["id"]), (200, &json!("1")));
    let stored = defender.stored();
    assert_eq!(stored.len(), 2);
    let entity = &stored[&1];
    assert_eq!((&entity["title"], &entity["application"]), (&json!("changed"), &json!("test")));
    assert_eq!(entity["creationTimeDateTimeUtc"], "2026-01-01T00:00:00.000000Z");
    assert_eq!(entity["lastUpdateTime"], "2026-01-01T00:01:00.000000Z");

    let digest = "AB".repeat(20);
    import(&defender, vec![typed("FileSha1", &digest)]).await;
    let (_, answer) = import(&defender, vec![typed("FileSha1", &digest.to_lowercase())]).await;
    assert_eq!(answer["value"][0]["id"], "3");
    let (_, answer) = import(&defender, vec![typed("Url", "a.example")]).await;
    assert_eq!(answer["value"][0]["id"], "4");
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_is_gone_and_spoils_an_import() {
    let defender = defender();
    import(
        &defender,
        vec![indicator("a.example"), with(indicator("b.example"), "expirationTime", Value::Null)],
    )
    .await;
    let ended = with(indicator("c.example"), "expirationTime", START);
    let (status, answer) = import(&defender, vec![indicator("d.example"), ended]).await;
    let text = "Indicator c.example is inactive. (Expiration time should be set to a future date time)";
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("BadRequest")));
    assert_eq!(answer["error"]["message"], text);
    assert_eq!(defender.stored().len(), 2);

    tokio::time::advance(Duration::from_secs(24 * 3600)).await;
    assert_eq!(defender.stored().into_keys().collect::<Vec<_>>(), [2]);
    let later = with(indicator("a.example"), "expirationTime", Value::Null);
    assert_eq!(import(&defender, vec![later]).await.1["value"][0]["id"], "3");
}

#[tokio::test(start_paused = true)]
async fn bad_values_fail_alone_or_all_together() {
    let defender = defender();
    let long = |name: &str, length: usize| with(indicator("a.example"), name, "x".repeat(length));
    let bad = [
        with(indicator("a.example"), "generateAlert", false),
        with(indicator("a.example"), "action", "BlockAndRemediate"),
        indicator("a.example "),
        indicator("10.0.0.1"),
        long("indicatorValue", 801),
        long("title", 4001),
        long("description", 100),
        typed("IpAddress", "10.1.2.3"),
        typed("IpAddress", "8.8.8.0/24"),
        typed("IpAddress", "2001:db8::1"),
        typed("FileSha256", "abc"),
    ];
    let good = [
        typed("IpAddress", "8.8.8.8"),
        typed("IpAddress", "2001:db8:0:0:0:0:0:1"),
        typed("FileMd5", &"a".repeat(32)),
        with(typed("FileSha256", &"a".repeat(64)), "action", "BlockAndRemediate"),
        long("title", 4000),
    ];
    let (status, answer) = import(&defender, [&bad[..], &good[..]].concat()).await;
    let failed: Vec<bool> = failures(&answer).iter().map(Option::is_some).collect();
    assert_eq!((status, failed), (200, [[true; 11].to_vec(), [false; 5].to_vec()].concat()), "{answer:#}");
    assert_eq!((defender.stored().len(), defender.requests()[0].accepted), (5, 5));

    defender.knobs(|knobs| (knobs.bad_value_is_bad_request, knobs.reject_md5) = (true, true));
    for indicator in bad.iter().chain([&good[2]]) {
        let (status, answer) = import(&defender, vec![good[0].clone(), indicator.clone()]).await;
        assert_eq!(status, 400, "{answer:#}");
    }
    defender.knobs(|knobs| {
        *knobs = Knobs { per_minute: 1000, ..Knobs::default() };
        knobs.reject = Some(Arc::new(|indicator| (indicator["title"] == "no").then(|| "Not this.".into())));
        knobs.reverse_answers = true;
    });
    let two = vec![with(indicator("z.example"), "title", "no"), indicator("a.example")];
    let (_, answer) = import(&defender, two.clone()).await;
    assert_eq!(failures(&answer), [None, Some("Not this.")]);
    defender.knobs(|knobs| knobs.reject_whole = Some(Arc::new(|_| Some("None of them.".into()))));
    assert_eq!(import(&defender, two).await.1["error"]["message"], "None of them.");
}

#[tokio::test(start_paused = true)]
async fn names_have_a_case_and_batches_an_end() {
    let defender = defender();
    let one = || vec![indicator("a.example")];
    let renamed = |from: &str, to: &str| {
        let mut indicator = indicator("a.example");
        let value = indicator.as_object_mut().unwrap().remove(from).unwrap();
        json!({"Indicators": [with(indicator, to, value)]})
    };
    let many: Vec<Value> = (0..501).map(|number| indicator(&format!("{number}.example"))).collect();
    for (body, code) in [
        (json!({"indicators": one()}), "InvalidRequestBody"),
        (renamed("indicatorValue", "IndicatorValue"), "MissingRequiredParameter"),
        (renamed("expirationTime", "expirationtime"), "InvalidRequestBody"),
        (json!({"Indicators": [with(indicator("a.example"), "action", "Alert")]}), "InvalidRequestBody"),
        (json!({"Indicators": [with(indicator("a.example"), "severity", "high")]}), "InvalidRequestBody"),
        (json!({"Indicators": []}), "InvalidInput"),
        (json!({"Indicators": many}), "MaximumBatchSizeExceeded"),
    ] {
        let (status, answer) = post(&defender, IMPORT, body).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(code)));
    }
    assert_eq!(import(&defender, many[..500].to_vec()).await.0, 200);
    assert_eq!(defender.stored().len(), 500);
}

#[tokio::test(start_paused = true)]
async fn a_full_tenant_takes_updates_alone() {
    let defender = defender();
    defender.knobs(|knobs| knobs.capacity = 2);
    defender.put(indicator("theirs.example"));
    let (status, answer) = import(&defender, vec![indicator("a.example"), indicator("b.example")]).await;
    let full = "Max capacity exceeded. Current Total: 2, Limit: 2 (Parameter 'Capacity: 2/2')";
    assert_eq!((status, failures(&answer)), (200, vec![None, Some(full)]));
    assert_eq!(failures(&import(&defender, vec![indicator("a.example")]).await.1), [None]);
    assert!(defender.remove(1));
    assert_eq!(failures(&import(&defender, vec![indicator("b.example")]).await.1), [None]);
}

#[tokio::test(start_paused = true)]
async fn deletion_is_for_all_or_none() {
    let defender = defender();
    import(&defender, vec![indicator("a.example"), indicator("b.example"), indicator("c.example")]).await;
    assert_eq!(post(&defender, DELETE, json!({"IndicatorIds": ["1", "9"]})).await.0, 404);
    assert_eq!(defender.stored().len(), 3);
    assert_eq!(post(&defender, DELETE, json!({"IndicatorIds": ["1", "3"]})).await.0, 204);
    assert_eq!(defender.stored().into_keys().collect::<Vec<_>>(), [2]);
    let many: Vec<String> = (0..501).map(|number| number.to_string()).collect();
    for bad in [json!([]), json!([2]), json!(["two"]), json!(many)] {
        assert_eq!(post(&defender, DELETE, json!({"IndicatorIds": bad})).await.0, 400, "{bad}");
    }
    assert_eq!(post(&defender, DELETE, json!({"indicatorIds": ["2"]})).await.0, 400);
}

#[tokio::test(start_paused = true)]
async fn the_list_comes_in_pages() {
    let defender = defender();
    let own: Vec<Value> =
        ["a", "b", "it's"].iter().map(|name| indicator(&format!("{name}.example"))).collect();
    import(&defender, own).await;
    defender.put(json!({"indicatorValue": "x", "indicatorType": "Url", "application": "another"}));
    let values = |answer: &Value| {
        let values = answer["value"].as_array().unwrap().iter();
        values.map(|item| item["indicatorValue"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (_, all) = get(&defender, "/api/indicators").await;
    assert_eq!(values(&all), ["a.example", "b.example", "it's.example", "x"]);
    assert!(all["@odata.nextLink"].is_null());
    let (_, page) = get(&defender, "/api/v1.0/indicators?$top=2&$skip=1").await;
    assert_eq!(values(&page), ["b.example", "it's.example"]);
    let ours = "/api/indicators?$filter=application%20eq%20%27test%27&$top=2";
    assert_eq!(values(&get(&defender, ours).await.1), ["a.example", "b.example"]);
    let quoted = "/api/indicators?$filter=indicatorValue%20eq%20%27it%27%27s.example%27";
    assert_eq!(values(&get(&defender, quoted).await.1), ["it's.example"]);
    for bad in ["$top=10001", "$top=x", "$stop=1", "$filter=indicatorValue%20eq%20%27it%27s%27"] {
        assert_eq!(get(&defender, &format!("/api/indicators?{bad}")).await.0, 400, "{bad}");
    }

    defender.knobs(|knobs| (knobs.page, knobs.next_link) = (2, Some("https://host.example".into())));
    let (_, page) = get(&defender, "/api/indicators?$filter=application%20eq%20%27test%27").await;
    let link = page["@odata.nextLink"].as_str().unwrap();
    let rest = link.strip_prefix("https://host.example").unwrap();
    let (_, page) = get(&defender, rest).await;
    assert_eq!((values(&page), &page["@odata.nextLink"]), (vec!["it's.example".to_owned()], &Value::Null));
}

#[tokio::test(start_paused = true)]
async fn thirty_a_minute_and_fifteen_hundred_an_hour() {
    let defender = defender();
    for _ in 0..30 {
        assert_eq!(get(&defender, "/api/indicators").await.0, 200);
    }
    tokio::time::advance(Duration::from_millis(51_500)).await;
    let (status, headers, body) = ask(&defender, Request::get("/api/indicators"), Body::empty()).await;
    assert_eq!((status, headers["retry-after"].to_str().unwrap()), (429, "9"));
    let text = "API calls quota exceeded! Maximum allowed 30 per 00:01:00 for the key \
                Destination+TenantID+AppID. You can send requests again in 9 seconds.";
    assert_eq!((&body["error"]["code"], &body["error"]["message"]), (&json!("429"), &json!(text)));
    tokio::time::advance(Duration::from_secs(9)).await;
    assert_eq!(get(&defender, "/api/indicators").await.0, 200);

    defender.knobs(|knobs| (knobs.per_hour, knobs.retry_after_header) = (31, false));
    tokio::time::advance(Duration::from_secs(100)).await;
    let (status, headers, body) = ask(&defender, Request::get("/api/indicators"), Body::empty()).await;
    assert!(status == 429 && !headers.contains_key("retry-after"));
    assert!(body["error"]["message"].as_str().unwrap().contains("31 per 01:00:00"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn tokens_permission_script_and_delay() {
    let defender = defender();
    let entra = Entra::new(clock::tokio_from(START.parse().unwrap()));
    defender.knobs(|knobs| knobs.permission = false);
    let (status, body) = import(&defender, vec![indicator("a.example")]).await;
    assert_eq!((status, &body["error"]["code"]), (403, &json!("Forbidden")));
    defender.trust(&entra);
    assert_eq!(import(&defender, vec![indicator("a.example")]).await.0, 401);

    entra.app("tenant", "app", "secret");
    let form = "grant_type=client_credentials&client_id=app&client_secret=secret\
                &scope=https%3A%2F%2Fapi.securitycenter.microsoft.com%2F.default";
    let request = Request::post("/tenant/oauth2/v2.0/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(form));
    let answer = entra.router().oneshot(request.unwrap()).await.unwrap();
    let answer = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let bearer = format!("Bearer {}", answer["access_token"].as_str().unwrap());
    let list =
        || Request::get("/api/indicators").header("authorization", &bearer).body(Body::empty()).unwrap();
    defender.knobs(|knobs| knobs.permission = true);
    assert_eq!(defender.router().oneshot(list()).await.unwrap().status(), 200);

    defender.knobs(|knobs| {
        knobs.script.push_back(Answer { status: 502, body: "<html>".into(), ..Answer::default() });
        knobs.delay = Duration::from_secs(3);
        knobs.max_body = Some(0);
    });
    assert_eq!(defender.router().oneshot(list()).await.unwrap().status(), 502);
    assert_eq!(defender.router().oneshot(list()).await.unwrap().status(), 200);
    let requests = defender.requests();
    assert_eq!(requests[4].at - requests[3].at, TimeDelta::seconds(3));
    assert_eq!(requests.iter().map(|request| request.status).collect::<Vec<_>>(), [403, 401, 200, 502, 200]);
    assert_eq!(get(&defender, "/api/machines").await.0, 404);
}
