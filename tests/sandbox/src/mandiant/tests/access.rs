//! Tokens, credentials, the quota, and what is told of requests.

use super::*;

#[tokio::test(start_paused = true)]
async fn tokens_are_given_expire_and_can_be_revoked() {
    let mandiant = service(1);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let ask = async |secret: &str, body: &str| {
        let headers = [("authorization", &*basic(secret)), form];
        let (status, _, body) = call(&mandiant, Method::POST, "/token", &headers, body).await;
        assert!(status != StatusCode::OK || body.ends_with(b"\n"));
        (status, serde_json::from_slice::<Value>(&body).unwrap())
    };
    let (status, rejection) = ask("wrong", "grant_type=client_credentials").await;
    assert_eq!((status, &rejection["error"]), (StatusCode::UNAUTHORIZED, &json!("invalid_client")));
    assert_eq!(ask("sandbox-secret", "grant_type=password").await.0, StatusCode::BAD_REQUEST);
    let (_, granted) = ask("sandbox-secret", "grant_type=client_credentials&scope=").await;
    let token = granted["access_token"].as_str().unwrap();
    let life = granted["expires_in"].as_u64().unwrap();
    assert!(token.len() == 64 && (8000..=43200).contains(&life));
    assert_eq!(mandiant.token_requests(), 3);

    let status =
        async |uri: &str, header: (&str, &str)| call(&mandiant, Method::GET, uri, &[header], "").await.0;
    let bearer = format!("Bearer {token}");
    let feed = format!("/v4/indicator?{}", since(60));
    assert_eq!(status(&feed, ("authorization", &bearer)).await, StatusCode::OK);
    assert_eq!(status("/v4/entitlements", ("authorization", &bearer)).await, StatusCode::OK);
    assert_eq!(status(&feed, ("x-apikey", "sandbox-key")).await, StatusCode::OK);
    assert_eq!(status(&feed, ("authorization", &basic("wrong"))).await, StatusCode::UNAUTHORIZED);
    let compatible = format!("/api/v3/mati/indicator?{}", since(60));
    assert_eq!(status(&compatible, ("x-apikey", "sandbox-key")).await, StatusCode::OK);
    assert_eq!(status(&compatible, ("authorization", &bearer)).await, StatusCode::UNAUTHORIZED);
    tokio::time::advance(Duration::from_secs(life)).await;
    assert_eq!(status(&feed, ("authorization", &bearer)).await, StatusCode::UNAUTHORIZED);
    let (_, granted) = ask("sandbox-secret", "grant_type=client_credentials").await;
    let bearer = format!("Bearer {}", granted["access_token"].as_str().unwrap());
    assert_eq!(status(&feed, ("authorization", &bearer)).await, StatusCode::OK);
    mandiant.revoke_tokens();
    mandiant.set(|knobs| knobs.unauthorized_status = StatusCode::FORBIDDEN);
    assert_eq!(status(&feed, ("authorization", &bearer)).await, StatusCode::FORBIDDEN);
    mandiant.set(|knobs| knobs.require_app_name = true);
    assert_eq!(status(&feed, ("x-apikey", "sandbox-key")).await, StatusCode::BAD_REQUEST);
}

#[tokio::test(start_paused = true)]
async fn the_quota_counts_a_minute() {
    let mandiant = service(1);
    mandiant.set(|knobs| knobs.quota = Some(Quota { per_minute: 2, retry_after: true }));
    let ask = async || {
        let uri = format!("/v4/indicator?{}", since(60));
        let (status, headers, _) =
            call(&mandiant, Method::GET, &uri, &[("x-apikey", "sandbox-key")], "").await;
        (status.as_u16(), headers.get("retry-after").map(|value| value.to_str().unwrap().to_owned()))
    };
    assert_eq!(ask().await.0, 200);
    tokio::time::advance(Duration::from_secs(20)).await;
    assert_eq!(ask().await.0, 200);
    assert_eq!(ask().await, (429, Some("40".into())));
    mandiant.set(|knobs| knobs.quota = Some(Quota { per_minute: 2, retry_after: false }));
    assert_eq!(ask().await, (429, None));
    tokio::time::advance(Duration::from_secs(40)).await;
    assert_eq!(ask().await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn requests_are_kept_and_answers_can_be_packed_delayed_or_replaced() {
    let mandiant = service(3);
    mandiant.set(|knobs| (knobs.gzip, knobs.page_delay) = (true, Duration::from_secs(7)));
    let uri = format!("/v4/indicator?{}&limit=2", since(900_000));
    let headers = [("x-apikey", "sandbox-key"), ("accept-encoding", "gzip, br"), ("x-app-name", "mati-sync")];
    let began = tokio::time::Instant::now();
    let (_, answered, body) = call(&mandiant, Method::GET, &uri, &headers, "").await;
    assert!(began.elapsed() >= Duration::from_secs(7));
    assert_eq!(answered["content-encoding"], "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    mandiant.set(|knobs| {
        knobs.answer_override = Some(Arc::new(|number| {
            (number == 1).then(|| (StatusCode::BAD_GATEWAY, HeaderMap::new(), Bytes::from_static(b"<html>")))
        }));
    });
    assert_eq!(get(&mandiant, &cursor(&answer).unwrap()).await.0, StatusCode::BAD_GATEWAY);
    assert_eq!(get(&mandiant, &cursor(&answer).unwrap()).await.0, StatusCode::OK);

    let requests = mandiant.requests();
    let [first, second, third] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!((first.app_name(), first.accept_encoding()), (Some("mati-sync"), Some("gzip, br")));
    assert_eq!((first.parameter("limit"), first.next(), first.records), (Some("2"), None, 2));
    assert_eq!((second.next(), second.status), (answer["next"].as_str(), StatusCode::BAD_GATEWAY));
    assert_eq!((third.records, third.status), (1, StatusCode::OK));
}
