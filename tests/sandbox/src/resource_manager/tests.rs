use axum::body::Body;
use tower::ServiceExt;

use super::*;
use crate::clock;

const PATH: &str = "/subscriptions/S-1/resourceGroups/my%20group/providers/Microsoft.OperationalInsights/workspaces/W-1/providers/Microsoft.SecurityInsights/threatIntelligence/main/queryIndicators";

fn manager() -> ResourceManager {
    let now = clock::tokio_from("2026-01-01T00:00:00Z".parse().unwrap());
    let sentinel = Sentinel::new(now.clone(), "workspace");
    let place =
        Place { subscription: "s-1".into(), resource_group: "my group".into(), workspace: "w-1".into() };
    ResourceManager::new(now, place, sentinel)
}

fn plant(manager: &ResourceManager, source: &str, count: u32) {
    for number in 0..count {
        let id = format!("indicator--{}", uuid::Uuid::from_u128(number.into()));
        let pattern = format!("[ipv4-addr:value = '198.51.100.{number}']");
        manager.plant(planted(source, &id, &pattern, 70, "2026-02-01T00:00:00Z"));
    }
}

async fn send(manager: &ResourceManager, uri: &str, body: &Value) -> (u16, Option<u64>, Value) {
    let request = Request::post(uri).header("authorization", "Bearer token");
    let request = request.body(Body::from(body.to_string())).unwrap();
    let (head, body) = manager.router().oneshot(request).await.unwrap().into_parts();
    let wait = head.headers.get("retry-after").map(|wait| wait.to_str().unwrap().parse().unwrap());
    let body = to_bytes(body, usize::MAX).await.unwrap();
    (head.status.as_u16(), wait, serde_json::from_slice(&body).unwrap_or_default())
}

async fn query(manager: &ResourceManager, body: Value) -> (u16, Option<u64>, Value) {
    send(manager, &format!("{PATH}?api-version=2025-09-01"), &body).await
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["value"].as_array().unwrap().iter();
    items.map(|item| item["properties"]["externalId"].as_str().unwrap().to_owned()).collect()
}

fn next(page: &Value) -> Option<String> {
    let (_, token) = page["nextLink"].as_str()?.split_once("$skipToken=")?;
    Some(listing::percent_decoded(token))
}

async fn upload(manager: &ResourceManager, id: &str, confidence: u8) {
    let object = json!({
        "type": "indicator", "id": id, "created": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z",
        "pattern": "[url:value = 'http://x']", "pattern_type": "stix", "confidence": confidence,
        "valid_from": "2026-01-01T00:00:00Z", "valid_until": "2026-03-01T00:00:00Z",
    });
    let uri = "/workspaces/workspace/threat-intelligence-stix-objects:upload?api-version=2024-02-01-preview";
    let body = json!({"sourcesystem": "Mandiant", "stixobjects": [object]}).to_string();
    let request = Request::post(uri)
        .header("authorization", "Bearer token")
        .header("content-type", "application/json")
        .body(Body::from(body))
        .unwrap();
    assert_eq!(manager.sentinel.router().oneshot(request).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_token_leads_from_page_to_page_and_a_page_has_its_limit() {
    let manager = manager();
    plant(&manager, "Mandiant", 250);
    let (mut found, mut token, mut sizes) = (Vec::new(), None, Vec::new());
    loop {
        let mut body = json!({"pageSize": 1000, "sources": ["Mandiant"]});
        if let Some(token) = token {
            body = json!({"skipToken": token});
        }
        let (status, _, page) = query(&manager, body).await;
        assert_eq!(status, 200, "{page}");
        sizes.push(ids(&page).len());
        found.extend(ids(&page));
        token = next(&page);
        if token.is_none() {
            break;
        }
        assert!(token.as_ref().is_some_and(|token| token.contains(['+', '/'])), "{token:?}");
    }
    found.dedup();
    assert_eq!((sizes, found.len()), (vec![100, 100, 50], 250));
    let listed: Vec<usize> = manager.queries().iter().map(|query| query.listed).collect();
    assert_eq!(listed, [100, 100, 50]);
    assert_eq!(query(&manager, json!({"skipToken": "nonsense"})).await.0, 400);
    assert_eq!(query(&manager, json!([])).await.0, 400);
}

#[tokio::test(start_paused = true)]
async fn what_is_uploaded_shows_after_the_lag_and_takes_the_place_of_what_was_planted() {
    let manager = manager();
    plant(&manager, "Mandiant", 1);
    manager.knobs(|knobs| knobs.lag = TimeDelta::seconds(30));
    let id = "indicator--00000000-0000-0000-0000-000000000000";
    upload(&manager, id, 91).await;
    upload(&manager, "indicator--a2b6a95e-2108-4a38-bd49-ef95811bbcd7", 5).await;
    let confidences = async || -> Vec<u64> {
        let (_, _, page) = query(&manager, json!({})).await;
        let items = page["value"].as_array().unwrap().iter();
        items.map(|item| item["properties"]["confidence"].as_u64().unwrap()).collect()
    };
    assert_eq!(confidences().await, [70]);
    tokio::time::sleep(std::time::Duration::from_secs(30)).await;
    assert_eq!(confidences().await, [91, 5]);
    let (_, _, page) = query(&manager, json!({})).await;
    let properties = &page["value"][1]["properties"];
    assert_eq!((&properties["patternType"], &properties["revoked"]), (&json!("url"), &json!(false)));
    assert_eq!(properties["validUntil"], "2026-03-01T00:00:00Z");
}

#[tokio::test(start_paused = true)]
async fn the_filter_names_sources_and_the_knobs_change_what_is_listed() {
    let manager = manager();
    plant(&manager, "Mandiant", 3);
    plant(&manager, "Another", 2);
    let listed = async |body: Value| ids(&query(&manager, body).await.2).len();
    assert_eq!(listed(json!({})).await, 5);
    assert_eq!(listed(json!({"sources": ["mandiant"]})).await, 3);
    manager.knobs(|knobs| knobs.ignore_sources = true);
    assert_eq!(listed(json!({"sources": ["mandiant"]})).await, 5);

    manager.knobs(|knobs| (knobs.largest_page, knobs.token_pages) = (1, Some(2)));
    let (_, _, first) = query(&manager, json!({})).await;
    let (_, _, second) = query(&manager, json!({"skipToken": next(&first)})).await;
    assert_ne!(next(&first), next(&second));
    assert_eq!(query(&manager, json!({"skipToken": next(&second)})).await.0, 400);
    manager.knobs(|knobs| (knobs.token_pages, knobs.loops) = (None, true));
    let (_, _, again) = query(&manager, json!({"skipToken": next(&second)})).await;
    assert_eq!(next(&again), next(&second));
}

#[tokio::test(start_paused = true)]
async fn whoever_may_not_or_asks_for_something_else_is_told() {
    let manager = manager();
    let good = format!("{PATH}?api-version=2025-09-01");
    for (uri, status, code) in [
        (good.replace("S-1", "S-2"), 404, "SubscriptionNotFound"),
        (good.replace("my%20group", "other"), 404, "ResourceGroupNotFound"),
        (good.replace("W-1", "5a9d1c3e-0000-4000-8000-000000000001"), 404, "ResourceNotFound"),
        (good.replace("main/", ""), 404, "NotFound"),
        (good.clone() + "-preview", 400, "InvalidApiVersionParameter"),
        (PATH.to_owned(), 400, "MissingApiVersionParameter"),
    ] {
        let (told, _, body) = send(&manager, &uri, &json!({})).await;
        assert_eq!((told, body["error"]["code"].as_str()), (status, Some(code)), "{uri}");
    }
    manager.authorize(|_, _| Authorization::Forbidden);
    let (status, _, body) = query(&manager, json!({})).await;
    assert_eq!((status, body["error"]["code"].as_str()), (403, Some("AuthorizationFailed")));
    manager.trust(&Entra::new(manager.now.clone()));
    assert_eq!(query(&manager, json!({})).await.0, 401);
    manager.knobs(|knobs| knobs.script.push_back(Answer { status: 503, ..Answer::default() }));
    assert_eq!(query(&manager, json!({})).await.0, 503);
}

#[tokio::test(start_paused = true)]
async fn the_bucket_is_refilled() {
    let manager = manager();
    manager.knobs(|knobs| (knobs.bucket, knobs.refill) = (2, TimeDelta::seconds(10)));
    assert_eq!(query(&manager, json!({})).await.0, 200);
    assert_eq!(query(&manager, json!({})).await.0, 200);
    let (status, wait, body) = query(&manager, json!({})).await;
    assert_eq!((status, wait, body["error"]["code"].as_str()), (429, Some(10), Some("TooManyRequests")));
    tokio::time::sleep(std::time::Duration::from_secs(9)).await;
    assert_eq!(query(&manager, json!({})).await.1, Some(1));
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(query(&manager, json!({})).await.0, 200);
}
