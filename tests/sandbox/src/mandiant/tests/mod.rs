//! The stand-in as a client sees it.

mod access;
mod paging;
mod query;

use std::{collections::HashSet, io::Read, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, Method, Request, StatusCode},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::{
    clock,
    corpus::{CorpusSettings, generate},
};

fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 6, 30, 12, 0, 0).unwrap()
}

fn ago(seconds: i64) -> DateTime<Utc> {
    start() - TimeDelta::seconds(seconds)
}

/// A service on tokio's clock, with that many generated records of the last ten days.
fn service(count: usize) -> Mandiant {
    let mandiant = Mandiant::new(clock::tokio_from(start()));
    mandiant.put_all(generate(&CorpusSettings::new(1, count, ago(864_000), start())));
    mandiant
}

fn basic(secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("sandbox-key:{secret}")))
}

async fn call(
    mandiant: &Mandiant,
    method: Method,
    uri: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (StatusCode, HeaderMap, Bytes) {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response =
        mandiant.router().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status, parts.headers, body.collect().await.unwrap().to_bytes())
}

async fn get(mandiant: &Mandiant, query: &str) -> (StatusCode, Value) {
    let headers = [("authorization", &*basic("sandbox-secret")), ("x-app-name", "test")];
    let (status, _, body) =
        call(mandiant, Method::GET, &format!("/v4/indicator?{query}"), &headers, "").await;
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

fn since(seconds: i64) -> String {
    format!("start_epoch={}", ago(seconds).timestamp())
}

fn ids(answer: &Value) -> Vec<String> {
    let indicators = answer["indicators"].as_array().into_iter().flatten();
    indicators.map(|indicator| indicator["id"].as_str().unwrap().to_owned()).collect()
}

fn cursor(answer: &Value) -> Option<String> {
    answer["next"]
        .as_str()
        .filter(|next| !next.is_empty())
        .map(|next| format!("next={}", next.replace('=', "%3D")))
}

/// All ids of a query in the order of its pages.
async fn read_all(mandiant: &Mandiant, query: &str) -> Vec<String> {
    let (mut all, mut query) = (Vec::new(), query.to_owned());
    loop {
        let (status, answer) = get(mandiant, &query).await;
        assert!(status.is_success(), "{status} {answer}");
        all.extend(ids(&answer));
        match cursor(&answer) {
            Some(next) => query = next,
            None => return all,
        }
    }
}
