//! Mandiant rejects, throttles, breaks, or is slow.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::Response,
};
use futures::StreamExt;
use mati_sync::domain::outcome::End;
use sandbox::{mandiant::Quota, net::Fault};

use super::{Outage, at, fill, html, is_page, recovers, stalls};
use crate::harness::world::World;

/// The pages of the empty days before the first record's.
const EMPTY_DAYS: usize = 29;

#[tokio::test(start_paused = true)]
async fn a_rejection_in_the_middle_of_a_window_keeps_what_was_delivered() {
    for status in [401, 403] {
        let world = World::new();
        fill(&world, 2500);
        let outage =
            Outage::begin(&world, at(|number| number >= EMPTY_DAYS + 2, is_page, Fault::status(status)));
        let report = stalls(&world, &["MATI_KEY", "MATI_SECRET", "no right"]).await;
        assert_eq!(report.totals().created, 2000, "{status}: two pages had come: {report:#?}");
        outage.mend();
        recovers(&world).await;
        assert_eq!(world.sentinel.log().len(), 2500, "nothing was sent twice");
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_is_waited_out_whether_or_not_it_says_for_how_long() {
    for retry_after in [true, false] {
        let world = World::new();
        fill(&world, 1500);
        world.mandiant.set(|knobs| knobs.quota = Some(Quota { per_minute: 10, retry_after }));
        let began = world.now();
        recovers(&world).await;
        let waited = (world.now() - began).num_seconds();
        assert!((180..=420).contains(&waited), "60 requests at 10 a minute took {waited} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_until_a_date_is_kept() {
    let world = World::new();
    fill(&world, 10);
    let date =
        (world.now() + chrono::TimeDelta::seconds(100)).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_str(&date).unwrap())]);
    let throttled = Fault::AnswerBefore(StatusCode::TOO_MANY_REQUESTS, headers, Bytes::new());
    let began = world.now();
    Outage::begin(&world, at(|number| number == 0, is_page, throttled));
    recovers(&world).await;
    assert!((world.now() - began).num_seconds() >= 100);
}

#[tokio::test(start_paused = true)]
async fn a_server_error_is_met_with_patience_in_whatever_form() {
    for status in [408, 500, 502, 503, 504] {
        let (status, headers, body) = html(status);
        let fault = Fault::AnswerBefore(status, headers, body);
        let world = World::new();
        fill(&world, 1500);
        let passing = Outage::begin(&world, at(|number| number % 5 < 2, is_page, fault.clone()));
        recovers(&world).await;
        passing.mend();
        let lasting = Outage::begin(&world, at(|_| true, is_page, fault));
        stalls(&world, &["Mandiant answered", status.as_str(), "<h1>Bad gateway</h1>"]).await;
        lasting.mend();
        recovers(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_no_pass_can_wait_is_left_to_the_next() {
    let world = World::new();
    fill(&world, 10);
    let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from(u64::MAX))]);
    let throttled = Fault::AnswerBefore(StatusCode::TOO_MANY_REQUESTS, headers, Bytes::new());
    Outage::begin(&world, at(|number| number == 0, is_page, throttled));
    stalls(&world, &["Mandiant answered 429"]).await;
    recovers(&world).await;
}

/// Every page's first bytes come at once, and the others only after more than a minute.
async fn slow_body(request: Request, next: Next) -> Response {
    let is_page = request.uri().path().ends_with("/indicator");
    let response = next.run(request).await;
    if !is_page {
        return response;
    }
    response.map(|body| {
        let late = futures::stream::once(async {
            tokio::time::sleep(Duration::from_secs(61)).await;
            Ok::<_, Infallible>(Bytes::from_static(b" "))
        });
        let first = futures::stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b" ")) });
        Body::from_stream(
            first.chain(late).map(|part| part.map_err(axum::Error::new)).chain(body.into_data_stream()),
        )
    })
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_is_given_up() {
    let world = World::new();
    fill(&world, 1500);
    let host = "api.intelligence.mandiant.com";
    let slow: Router = world.mandiant.router().layer(middleware::from_fn(slow_body));
    world.net.host(host, slow);
    let ended = world.run(mati_sync::pass::Work::Timer, super::LIMIT).await;
    assert_eq!(
        ended.reports[0].end,
        End::Stalled,
        "eight tries of a minute are more than a pass has, and no answer came: {ended:#?}"
    );
    world.net.host(host, world.mandiant.router());
    recovers(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_page_beyond_every_measure_is_not_read_to_its_end() {
    let world = World::new();
    fill(&world, 1500);
    let endless =
        Fault::AnswerBefore(StatusCode::OK, HeaderMap::new(), vec![b' '; 32 * 1024 * 1024 + 1].into());
    let outage = Outage::begin(&world, at(|number| number > EMPTY_DAYS, is_page, endless));
    stalls(&world, &["longer than 33554432 bytes"]).await;
    outage.mend();
    recovers(&world).await;
}

#[tokio::test(start_paused = true)]
async fn every_form_of_an_empty_window_is_an_empty_window() {
    for body in [
        "",
        " \r\n",
        "null",
        "{}",
        r#"{"indicators":[]}"#,
        r#"{"indicators":null,"next":null}"#,
        r#"{"indicators":[],"next":"x"}"#,
    ] {
        for status in [200, 204] {
            let world = World::new();
            let empty =
                Fault::AnswerBefore(StatusCode::from_u16(status).unwrap(), HeaderMap::new(), body.into());
            let outage = Outage::begin(&world, at(|_| true, is_page, empty));
            let report = world.tick().await;
            assert_eq!(
                (report.end, report.totals().read),
                (End::CaughtUp, 0),
                "{status} {body:?}: {report:#?}"
            );
            let settled_up_to = report.lanes["sentinel"].watermark.unwrap();
            assert_eq!((report.started_at - settled_up_to).num_seconds(), 120);
            outage.mend();
            tokio::time::advance(Duration::from_secs(6 * 3600)).await;
            fill(&world, 100);
            recovers(&world).await;
        }
    }
}
