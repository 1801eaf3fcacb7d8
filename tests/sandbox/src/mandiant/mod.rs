//! The stand-in of Mandiant Advantage's API v4: tokens, and the feed of indicators with its pages.
//!
//! What the service does in public is followed; where its behaviour varies or is unknown, [`Knobs`] decide.
//! The feed changes while it is read: [`Mandiant::put`] and its siblings work at any time, and a query keeps
//! the snapshot of its first page. A record whose `last_updated` lies ahead appears when the clock gets there.

mod access;
mod cursor;
mod document;
mod feed;
mod knobs;
mod query;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io::Write,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Form, Router,
    body::{Body, Bytes},
    extract::{self, rejection::FormRejection},
    http::{
        HeaderMap, HeaderValue, Response, StatusCode, Uri,
        header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, DATE, RETRY_AFTER, VARY},
    },
    routing::{get, post},
};
use chrono::{DateTime, Utc};
use flate2::{Compression, write::GzEncoder};
use rand::{SeedableRng, rngs::Xoshiro256PlusPlus};

use self::{document::Document, feed::Snapshot};
use crate::{clock::Now, corpus::Record};

pub use self::knobs::{
    AnswerOverride, EndOfData, FiltersBesideNext, Knobs, LaterFlags, LimitBehaviour, Quota, UsedCursor,
};

/// One `GET` of the feed, and what came of it.
#[derive(Clone, Debug)]
pub struct FeedRequest {
    pub at: DateTime<Utc>,
    pub path: String,
    /// The query string, decoded.
    pub parameters: BTreeMap<String, String>,
    pub headers: HeaderMap,
    pub status: StatusCode,
    /// How many records the answer had.
    pub records: usize,
}

impl FeedRequest {
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The cursor, on every page after the first.
    pub fn next(&self) -> Option<&str> {
        self.parameter("next")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn app_name(&self) -> Option<&str> {
        self.header("x-app-name")
    }

    pub fn accept_encoding(&self) -> Option<&str> {
        self.header("accept-encoding")
    }
}

/// The service. Cloning gives another handle on the same one.
#[derive(Clone)]
pub struct Mandiant(Arc<Mutex<Service>>);

struct Service {
    now: Now,
    /// For tokens, cursors and the order of unsorted answers.
    dice: Xoshiro256PlusPlus,
    knobs: Knobs,
    documents: BTreeMap<String, Arc<Document>>,
    /// When each token given out ends.
    tokens: HashMap<String, DateTime<Utc>>,
    token_requests: usize,
    requests: Vec<FeedRequest>,
    /// The times of the requests the quota counts.
    counted: VecDeque<DateTime<Utc>>,
    /// The queries that can be continued, the oldest first.
    snapshots: VecDeque<Snapshot>,
}

impl Mandiant {
    pub fn new(now: Now) -> Self {
        Self::seeded(now, 0)
    }

    /// Like [`Mandiant::new`] with other tokens, token lives and orders of unsorted answers.
    pub fn seeded(now: Now, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Service {
            now,
            dice: Xoshiro256PlusPlus::seed_from_u64(seed),
            knobs: Knobs::default(),
            documents: BTreeMap::new(),
            tokens: HashMap::new(),
            token_requests: 0,
            requests: Vec::new(),
            counted: VecDeque::new(),
            snapshots: VecDeque::new(),
        })))
    }

    /// The service's routes: its own, and those of the Google Threat Intelligence layer that is compatible
    /// with it and takes an `x-apikey` only.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/token", post(token))
            .route("/v4/indicator", get(answer).post(by_values))
            .route("/v4/indicator/{id}", get(answer))
            .route("/v4/entitlements", get(answer))
            .route("/api/v3/mati/indicator", get(answer).post(by_values))
            .route("/api/v3/mati/indicator/{id}", get(answer))
            .route("/api/v3/mati/v4/indicator", get(answer))
            .with_state(self.clone())
    }

    /// Adds a record, or replaces the one with its id.
    pub fn put(&self, record: Record) {
        self.put_all([record]);
    }

    pub fn put_all(&self, records: impl IntoIterator<Item = Record>) {
        for record in records {
            let document = Arc::new(Document::new(&record));
            self.service().documents.insert(document.key.clone(), document);
        }
    }

    /// Gives the record another `last_updated`, as when Mandiant looks at it again. False if there is none.
    pub fn touch(&self, id: &str, last_updated: DateTime<Utc>) -> bool {
        let document = self.service().documents.get(id).cloned();
        document.map(|document| self.put(document.record().updated(last_updated))).is_some()
    }

    /// Takes the record out of the feed. False if there is none.
    pub fn remove(&self, id: &str) -> bool {
        self.service().documents.remove(id).is_some()
    }

    /// Lists these records alone, and has forgotten every query.
    pub fn restore(&self, records: impl IntoIterator<Item = Record>) {
        let mut service = self.service();
        service.documents.clear();
        service.snapshots.clear();
        service.requests.clear();
        drop(service);
        self.put_all(records);
    }

    /// Everything in the feed, in the order of the ids.
    pub fn records(&self) -> Vec<Record> {
        let documents: Vec<_> = self.service().documents.values().cloned().collect();
        documents.iter().map(|document| document.record()).collect()
    }

    /// So many of the records that were updated first.
    pub fn oldest(&self, count: usize) -> Vec<Record> {
        let mut documents: Vec<_> = self.service().documents.values().cloned().collect();
        documents.sort_by_key(|document| document.last_updated);
        documents.iter().take(count).map(|document| document.record()).collect()
    }

    /// Every request of the feed so far, the oldest first.
    pub fn requests(&self) -> Vec<FeedRequest> {
        self.service().requests.clone()
    }

    /// How often a token was asked for, rejections included.
    pub fn token_requests(&self) -> usize {
        self.service().token_requests
    }

    pub fn set(&self, change: impl FnOnce(&mut Knobs)) {
        change(&mut self.service().knobs);
    }

    /// No token given out so far is accepted any longer.
    pub fn revoke_tokens(&self) {
        self.service().tokens.clear();
    }

    fn service(&self) -> MutexGuard<'_, Service> {
        self.0.lock().unwrap()
    }
}

/// Why a request is not served. The service's own texts were never published; no client should read anything
/// from these.
struct Rejection {
    status: StatusCode,
    body: String,
    retry_after: Option<u64>,
}

impl Rejection {
    fn new(status: StatusCode, message: &str) -> Self {
        Self { status, body: serde_json::json!({"error": message}).to_string(), retry_after: None }
    }

    fn bad_request(message: impl AsRef<str>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message.as_ref())
    }
}

/// An answer before it is on its way.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    /// How many records are in it.
    records: usize,
}

impl Answer {
    fn new(status: StatusCode, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
        Self { status, headers, body: body.into(), records: 0 }
    }

    fn into_response(mut self, gzip: bool) -> Response<Body> {
        if gzip && !self.body.is_empty() {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            let packed = encoder.write_all(&self.body).and_then(|()| encoder.finish());
            self.body = packed.expect("writing to memory").into();
            self.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            self.headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

impl From<Rejection> for Answer {
    fn from(rejection: Rejection) -> Self {
        let mut answer = Self::new(rejection.status, rejection.body);
        if let Some(seconds) = rejection.retry_after {
            answer.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }
}

async fn token(
    extract::State(mandiant): extract::State<Mandiant>,
    headers: HeaderMap,
    form: Result<Form<HashMap<String, String>>, FormRejection>,
) -> Response<Body> {
    let form = form.map(|Form(form)| form).unwrap_or_default();
    mandiant.service().token(&headers, &form).into_response(false)
}

/// Single values, of which the body names several.
async fn by_values(
    extract::State(mandiant): extract::State<Mandiant>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    mandiant.service().by_values(&uri, &headers, &body).into_response(false)
}

async fn answer(
    extract::State(mandiant): extract::State<Mandiant>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let (answer, delay, gzip) = {
        let mut service = mandiant.service();
        let mut answer = service.answer(&uri, &headers);
        let date = (service.now)().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        answer.headers.insert(DATE, HeaderValue::try_from(date).expect("a date is ASCII"));
        (answer, service.knobs.page_delay, service.knobs.gzip)
    };
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let accepted = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    answer.into_response(gzip && accepted.contains("gzip"))
}
