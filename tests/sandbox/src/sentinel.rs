//! Microsoft Sentinel's upload API for threat intelligence, current and legacy. What is documented is kept to the
//! letter, and what is not can be set with [`Knobs`].

mod answer;
mod check;
mod hands;
mod knobs;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::{
    clock::Now,
    entra::{Entra, bearer},
};
use answer::{Rejection, gateway, service};
pub use check::Api;
use hands::Hand;
pub use knobs::Knobs;

/// The audiences the upload API accepts, each with and without a trailing slash.
pub const AUDIENCES: [&str; 2] = ["https://management.azure.com", "https://management.core.windows.net"];

/// The most objects one request may carry.
pub const MOST_OBJECTS: usize = 100;

/// What a bearer token is worth to Sentinel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorization {
    Valid,
    Unauthenticated,
    /// The token is good, but its owner has no role on the workspace.
    Forbidden,
}

/// A row of the workspace's log: every accepted object adds one, changed or not.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRow {
    pub at: DateTime<Utc>,
    pub source: String,
    pub id: String,
    pub object: Value,
}

/// One request as it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadRequest {
    /// When it arrived.
    pub at: DateTime<Utc>,
    /// None where the path is none of the API's.
    pub api: Option<Api>,
    pub source: Option<String>,
    pub objects: usize,
    pub accepted: usize,
    pub bytes: usize,
    pub status: u16,
}

/// An answer given in the place of Sentinel's own.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

type Authorize = Arc<dyn Fn(&str, DateTime<Utc>) -> Authorization + Send + Sync>;

struct Inner {
    authorize: Authorize,
    knobs: Knobs,
    stored: BTreeMap<(String, String), Value>,
    log: Vec<LogRow>,
    /// What somebody did by hand.
    hands: Vec<Hand>,
    requests: Vec<UploadRequest>,
    /// When each request inside the current window was let through.
    window: VecDeque<DateTime<Utc>>,
}

/// A handle on the stand-in; clones share it.
#[derive(Clone)]
pub struct Sentinel {
    now: Now,
    workspace: String,
    inner: Arc<Mutex<Inner>>,
}

impl Sentinel {
    /// One workspace that, until told otherwise, takes any bearer token.
    pub fn new(now: Now, workspace_id: &str) -> Self {
        let inner = Inner {
            authorize: Arc::new(|_, _| Authorization::Valid),
            knobs: Knobs::default(),
            stored: BTreeMap::new(),
            log: Vec::new(),
            hands: Vec::new(),
            requests: Vec::new(),
            window: VecDeque::new(),
        };
        Self { now, workspace: workspace_id.into(), inner: Arc::new(Mutex::new(inner)) }
    }

    /// Asks `check` about every bearer token.
    pub fn authorize(&self, check: impl Fn(&str, DateTime<Utc>) -> Authorization + Send + Sync + 'static) {
        self.inner.lock().unwrap().authorize = Arc::new(check);
    }

    /// Takes only tokens `entra` issued for one of [`AUDIENCES`].
    pub fn trust(&self, entra: &Entra) {
        let entra = entra.clone();
        self.authorize(move |token, _| {
            match AUDIENCES.iter().any(|audience| entra.verify(token, audience)) {
                true => Authorization::Valid,
                false => Authorization::Unauthenticated,
            }
        });
    }

    pub fn knobs(&self, change: impl FnOnce(&mut Knobs)) {
        change(&mut self.inner.lock().unwrap().knobs);
    }

    /// The newest object under each source and id: a second upload of the pair replaces the first.
    pub fn stored(&self) -> BTreeMap<(String, String), Value> {
        self.inner.lock().unwrap().stored.clone()
    }

    /// Holds what [`Sentinel::stored`] gave, and has forgotten every request.
    pub fn restore(&self, stored: BTreeMap<(String, String), Value>) {
        let mut inner = self.inner.lock().unwrap();
        (inner.stored, inner.log, inner.requests, inner.window) = (stored, vec![], vec![], VecDeque::new());
        inner.hands.clear();
    }

    /// Every object accepted so far, oldest first.
    pub fn log(&self) -> Vec<LogRow> {
        self.inner.lock().unwrap().log.clone()
    }

    /// Every upload answered so far, in their order; other requests are not counted.
    pub fn requests(&self) -> Vec<UploadRequest> {
        self.inner.lock().unwrap().requests.clone()
    }

    /// The API under every host: paths are read by hand, as a colon inside a segment is no router's.
    pub fn router(&self) -> Router {
        Router::new().fallback(serve).with_state(self.clone())
    }

    async fn answer(&self, request: Request) -> Response {
        let at = (self.now)();
        let (head, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
        let (delay, forced) = {
            let mut inner = self.inner.lock().unwrap();
            (inner.knobs.delay, inner.knobs.script.pop_front())
        };
        // Even a sleep of nothing may move a paused clock.
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let place = check::place(head.uri.path(), head.uri.query().unwrap_or_default());
        let mut note = UploadRequest {
            at,
            api: place.as_ref().map(|(api, _)| *api),
            source: None,
            objects: 0,
            accepted: 0,
            bytes: body.len(),
            status: 0,
        };
        let response = match (forced, place) {
            (Some(answer), _) => answer.into_response(),
            (None, Some((api, workspace))) if head.method == Method::POST => self
                .upload(api, &workspace, &head.headers, &body, &mut note)
                .unwrap_or_else(Rejection::into_response),
            (None, _) => gateway(StatusCode::NOT_FOUND, "Resource not found").into_response(),
        };
        note.status = response.status().as_u16();
        if head.method == Method::POST {
            self.inner.lock().unwrap().requests.push(note);
        }
        response
    }

    /// The gateway's checks come first, then the service's: who asks, how often, how much, and what.
    fn upload(
        &self,
        api: Api,
        workspace: &str,
        headers: &HeaderMap,
        body: &Bytes,
        note: &mut UploadRequest,
    ) -> Result<Response, Rejection> {
        let now = (self.now)();
        // Asked outside our lock: the check may look at anything, this model included.
        let authorize = Arc::clone(&self.inner.lock().unwrap().authorize);
        let token = bearer(headers);
        let authorization = token.map_or(Authorization::Unauthenticated, |token| authorize(token, now));
        if authorization == Authorization::Unauthenticated {
            return Err(gateway(
                StatusCode::UNAUTHORIZED,
                "Unauthorized. Access token is missing or invalid.",
            ));
        }
        let mut inner = self.inner.lock().unwrap();
        inner.take_from_quota(now)?;
        if inner.knobs.max_body.is_some_and(|most| body.len() > most) {
            return Err(gateway(StatusCode::PAYLOAD_TOO_LARGE, "Request body is too large."));
        }
        if !workspace.eq_ignore_ascii_case(&self.workspace) {
            let text = format!("The workspace [{workspace}] was not found.");
            return Err(service(StatusCode::NOT_FOUND, "WorkspaceNotFound", &text));
        }
        if authorization == Authorization::Forbidden {
            let status = StatusCode::from_u16(inner.knobs.forbidden_status).expect("a status code");
            let text = format!(
                "The Object ID [00000000-0000-4000-8000-000000000000] does not have required permission to \
                 perform this action on the workspace [{workspace}]."
            );
            return Err(service(status, "UnauthorizedAccess", &text));
        }
        let json = headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        if !json {
            return Err(gateway(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type"));
        }
        let bad = |text: &str| service(StatusCode::BAD_REQUEST, "BadRequest", text);
        let upload = check::read(api, body).map_err(|text| bad(&text))?;
        note.source = Some(upload.source.clone());
        note.objects = upload.objects.len();
        if upload.source.eq_ignore_ascii_case("Microsoft Sentinel") {
            return Err(bad("The source system 'Microsoft Sentinel' is restricted."));
        }
        if upload.objects.len() > MOST_OBJECTS {
            return Err(bad(&format!("A request may carry at most {MOST_OBJECTS} objects.")));
        }
        if let Some(judge) = &inner.knobs.reject_whole
            && let Some(text) = upload.objects.iter().find_map(|object| judge(object))
        {
            return Err(bad(&text));
        }
        Ok(inner.store(api, upload, now, note))
    }
}

impl Inner {
    /// Lets a request through unless the window is full. A request that is turned away does not count.
    fn take_from_quota(&mut self, now: DateTime<Utc>) -> Result<(), Rejection> {
        let length = TimeDelta::seconds(60);
        while self.window.front().is_some_and(|first| now - *first >= length) {
            self.window.pop_front();
        }
        if self.window.len() < self.knobs.quota {
            self.window.push_back(now);
            return Ok(());
        }
        // With no quota at all there is nothing to wait for, and a whole window is as good an answer as any.
        let free = self.window.front().map_or(length, |first| *first + length - now);
        let seconds = (free.num_milliseconds() as u64).div_ceil(1000).max(1);
        let text = format!("Rate limit is exceeded. Try again in {seconds} seconds.");
        let retry_after = self.knobs.retry_after_header.then_some(seconds);
        Err(Rejection { retry_after, ..gateway(StatusCode::TOO_MANY_REQUESTS, &text) })
    }

    /// Stores the good objects and reports the others by their place in the request.
    fn store(
        &mut self,
        api: Api,
        upload: check::Upload,
        at: DateTime<Utc>,
        note: &mut UploadRequest,
    ) -> Response {
        let mut errors = Vec::new();
        let is_lost = self.knobs.lose.as_ref().is_some_and(|lose| lose(&upload.objects));
        for (index, object) in upload.objects.into_iter().enumerate() {
            let mut messages = check::object(api, &object);
            messages.extend(self.knobs.reject.as_ref().and_then(|judge| judge(&object)));
            if !messages.is_empty() {
                errors.push(json!({"recordIndex": index, "errorMessages": messages}));
                continue;
            }
            note.accepted += 1;
            if is_lost || !self.knobs.keep {
                continue;
            }
            let id = object["id"].as_str().unwrap_or_default().to_string();
            let source = upload.source.clone();
            self.stored.insert((source.clone(), id.clone()), object.clone());
            self.log.push(LogRow { at, source, id, object });
        }
        if errors.is_empty() {
            return StatusCode::OK.into_response();
        }
        let status = match note.accepted == 0 && self.knobs.all_invalid_is_bad_request {
            true => StatusCode::BAD_REQUEST,
            false => StatusCode::OK,
        };
        (status, Json(json!({"errors": errors}))).into_response()
    }
}

async fn serve(State(sentinel): State<Sentinel>, request: Request) -> Response {
    sentinel.answer(request).await
}
