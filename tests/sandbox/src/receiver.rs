//! Whoever takes what is posted: a webhook, or a collector of metrics. It keeps everything as it came.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: String,
    /// With the query.
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

#[derive(Default)]
struct Inner {
    received: Vec<Received>,
    /// What the next ones are answered with; afterwards 200.
    statuses: VecDeque<u16>,
}

/// A handle; clones share it.
#[derive(Clone, Default)]
pub struct Receiver(Arc<Mutex<Inner>>);

impl Receiver {
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers the next requests with these statuses.
    pub fn answer_with(&self, statuses: impl IntoIterator<Item = u16>) {
        self.0.lock().unwrap().statuses.extend(statuses);
    }

    /// Everything so far.
    pub fn received(&self) -> Vec<Received> {
        self.0.lock().unwrap().received.clone()
    }

    /// Every path, with any method.
    pub fn router(&self) -> Router {
        Router::new().fallback(serve).with_state(self.clone())
    }
}

async fn serve(State(receiver): State<Receiver>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 16 << 20).await.unwrap_or_default();
    let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let received = Received { method: head.method.to_string(), path, headers: head.headers, body };
    let mut inner = receiver.0.lock().unwrap();
    inner.received.push(received);
    let status = inner.statuses.pop_front().unwrap_or(200);
    StatusCode::from_u16(status).expect("a status").into_response()
}
