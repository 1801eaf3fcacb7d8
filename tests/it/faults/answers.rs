//! Mandiant answers, and its answer is not what was asked for.

use std::io::Write;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use flate2::{Compression, write::GzEncoder};
use mati_sync::domain::outcome::End;
use sandbox::net::{Exchange, Fault};

use super::{Outage, at, fill, is_page, recovers, stalls};
use crate::harness::world::World;

fn answer(status: u16, headers: &[(&'static str, &str)], body: impl Into<axum::body::Bytes>) -> Fault {
    let headers = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value")));
    Fault::AnswerBefore(StatusCode::from_u16(status).expect("a status"), headers.collect(), body.into())
}

fn is_token(exchange: &Exchange) -> bool {
    exchange.uri.path() == "/token"
}

fn is_later_page(exchange: &Exchange) -> bool {
    is_page(exchange) && exchange.uri.query().is_some_and(|query| query.contains("next="))
}

/// What has the status of a page and not its form, and what of it the operator must see.
const NO_PAGES: [(&str, &str); 12] = [
    (r#"{"message":"Endpoint request timed out"}"#, "Endpoint request timed out"),
    (r#"{"error":{"code":"InternalError","message":"try later"}}"#, "InternalError: try later"),
    (r#"{"errors":["no shard available"]}"#, "no shard available"),
    (r#"{"indicators":[],"error":"search failed"}"#, "search failed"),
    (r#"{"indicators":null,"next":null,"errorMessage":"Task timed out"}"#, "Task timed out"),
    (r#"{"indicators":[],"statusCode":503}"#, "503"),
    (r#"{"status":"maintenance"}"#, "maintenance"),
    (r#"{"objects":[],"next":null}"#, "objects"),
    ("[]", "it begins"),
    (r#"{"indicators":{}}"#, "it begins"),
    (r#"{"indicators":"none"}"#, "it begins"),
    (r#""ok""#, "it begins"),
];

#[tokio::test(start_paused = true)]
async fn a_200_that_is_no_page_is_asked_again_and_stalls_and_the_watermark_stays() {
    for (body, told) in NO_PAGES {
        let world = World::new();
        let before = world.tick().await.lanes["sentinel"].watermark.unwrap();
        tokio::time::advance(std::time::Duration::from_secs(6 * 3600)).await;
        fill(&world, 100);
        let asked = world.mandiant.requests().len();
        let outage = Outage::begin(&world, at(|_| true, is_page, answer(200, &[], body)));
        let report = stalls(&world, &[told]).await;
        let lane = &report.lanes["sentinel"];
        assert_eq!((lane.watermark, report.totals().read), (Some(before), 0), "{body}: {report:#?}");
        assert_eq!(world.mandiant.requests().len(), asked, "no answer was the service's");
        outage.mend();
        recovers(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_page_that_is_none_is_not_the_end_of_the_window() {
    for (body, told) in NO_PAGES {
        let world = World::new();
        fill(&world, 2500);
        let outage = Outage::begin(&world, at(|_| true, is_later_page, answer(200, &[], body)));
        let report = stalls(&world, &[told]).await;
        assert_eq!(report.totals().created, 1000, "{body}: the first page had come: {report:#?}");
        outage.mend();
        recovers(&world).await;
        // And when it passes by itself, the pass goes on.
        let world = World::new();
        fill(&world, 2500);
        Outage::begin(&world, at(|number| number < 2, is_later_page, answer(200, &[], body)));
        recovers(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_that_nobody_knows_is_asked_again() {
    let world = World::new();
    fill(&world, 100);
    let outage = Outage::begin(&world, at(|_| true, is_page, answer(202, &[], r#"{"indicators":[]}"#)));
    stalls(&world, &["Mandiant answered 202"]).await;
    outage.mend();
    Outage::begin(&world, at(|number| number < 3, is_page, answer(206, &[], "")));
    recovers(&world).await;
}

#[tokio::test(start_paused = true)]
async fn one_record_that_is_no_json_costs_itself_alone() {
    let record = |value: &[u8]| {
        let sound: &[u8] =
            br#","type":"fqdn","mscore":95,"threat_rating":{"threat_score":90},"category":[]}"#;
        [br#"{"id":"fqdn--1","value":"#, value, sound].concat()
    };
    for odd in [
        &b"\"caf\xe9.example\""[..],
        b"\"\xff\xfe\"",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"undefined",
        b"01",
        br#""\x41.example""#,
        b"\"a\nb.example\"",
        br#""a.example","value":"b.example""#,
    ] {
        let world = World::new();
        let page = [
            &br#"{"indicators":["#[..],
            &record(br#""good-one.example""#),
            b",",
            &record(odd),
            b",",
            &record(br#""good-two.example""#),
            br#"],"next":null}"#,
        ]
        .concat();
        Outage::begin(&world, at(|number| number == 0, is_page, answer(200, &[], page)));
        let report = world.tick().await;
        let odd = String::from_utf8_lossy(odd);
        assert_eq!((report.end, report.totals().read), (End::CaughtUp, 3), "{odd}: {report:#?}");
        assert_eq!(report.totals().dropped.malformed, 1, "{odd}: {report:#?}");
        assert_eq!(world.held(), ["good-one.example", "good-two.example"], "{odd}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_named_with_its_target_and_its_setting() {
    for interest in [is_page, is_token, is_later_page] {
        for status in [301, 302, 307] {
            let world = World::new();
            fill(&world, 1500);
            let location = [("location", "https://user:hush@login.example/sso?state=hush-hush")];
            let outage = Outage::begin(&world, at(|_| true, interest, answer(status, &location, "")));
            let report =
                stalls(&world, &["https://login.example/sso", "MATI_BASE_URL", &status.to_string()]).await;
            assert!(!report.message.contains("hush"), "{}", report.message);
            outage.mend();
            recovers(&world).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_of_a_proxy_or_an_edge_blames_no_key() {
    let html = [("content-type", "text/html; charset=UTF-8"), ("server", "cloudflare")];
    for interest in [is_page, is_token, is_later_page] {
        for (status, body) in [
            (403, "<!DOCTYPE html><title>Access denied</title>"),
            (401, "<html>Log in to the proxy</html>"),
            (407, ""),
        ] {
            let world = World::new();
            fill(&world, 1500);
            let outage = Outage::begin(&world, at(|_| true, interest, answer(status, &html, body)));
            let report = stalls(&world, &["between here and Mandiant", "proxy", "MATI_BASE_URL"]).await;
            assert!(!report.message.contains("MATI_KEY"), "{}", report.message);
            outage.mend();
            recovers(&world).await;
        }
    }
    let world = World::new();
    fill(&world, 10);
    Outage::begin(&world, at(|_| true, is_page, answer(403, &[], r#"{"message":"explicit deny"}"#)));
    stalls(&world, &["MATI_KEY", "explicit deny"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_is_used_up_is_told_as_one() {
    let body =
        r#"{"statusCode":403,"message":"Out of call volume quota. Quota will be replenished in 01:22:33."}"#;
    let world = World::new();
    fill(&world, 10);
    let outage = Outage::begin(&world, at(|_| true, is_page, answer(403, &[], body)));
    let report = stalls(&world, &["Out of call volume quota"]).await;
    assert!(!report.message.contains("MATI_KEY"), "{}", report.message);
    outage.mend();
    recovers(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_is_a_token_and_nothing_else_is() {
    for body in [
        r#"{"error":"temporarily_unavailable","error_description":"try later"}"#,
        r#"{"message":"Endpoint request timed out"}"#,
        r#"{"access_token":"","expires_in":9000}"#,
        r#"{"access_token":null}"#,
        r#"{"access_token":"hush\nhush"}"#,
        r#"["hush-hush",9000]"#,
        r#"{"accessToken":"hush-hush"}"#,
        "<html>Sign in</html>",
        "",
    ] {
        let world = World::new();
        fill(&world, 100);
        let outage = Outage::begin(&world, at(|_| true, is_token, answer(200, &[], body)));
        let report = stalls(&world, &["the token's answer"]).await;
        assert!(!report.message.contains("hush"), "{body}: {}", report.message);
        outage.mend();
        Outage::begin(&world, at(|number| number == 0, is_token, answer(200, &[], body)));
        recovers(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_base_url_with_the_version_behind_it_is_understood() {
    for base in [
        "https://api.intelligence.mandiant.com/v4",
        "https://api.intelligence.mandiant.com/v4/",
        "https://api.intelligence.mandiant.com/v4/indicator",
    ] {
        let mut world = World::new();
        world.set("MATI_BASE_URL", base);
        fill(&world, 100);
        recovers(&world).await;
    }
    let world = World::new();
    fill(&world, 10);
    Outage::begin(
        &world,
        at(|_| true, |exchange| is_page(exchange) || is_token(exchange), answer(404, &[], "")),
    );
    stalls(&world, &["Mandiant answered 404", "MATI_BASE_URL"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_unpacked_however_its_coding_is_spelt() {
    let page = br#"{"indicators":[{"id":"fqdn--1","value":"packed.example","type":"fqdn","mscore":95}]}"#;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(page).unwrap();
    let packed = encoder.finish().unwrap();
    for coding in ["gzip", "GZIP", "x-gzip"] {
        let world = World::new();
        let headers = HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_static(coding))]);
        let fault = Fault::AnswerBefore(StatusCode::OK, headers, packed.clone().into());
        Outage::begin(&world, at(|number| number == 0, is_page, fault));
        let report = world.tick().await;
        assert_eq!(
            (report.end, world.held()),
            (End::CaughtUp, vec!["packed.example".to_owned()]),
            "{coding}: {report:#?}"
        );
    }
}
