//! Microsoft Defender for Endpoint's indicators API: import, batch deletion, the list.
//!
//! What is documented or was recorded is kept to the letter: routes, limits, what rejects a whole request and what
//! a single indicator, the texts of a full tenant, of an indicator that has ended and of too many requests. Where
//! nothing is known the stand-in is the stricter one, or [`Knobs`] decide. Names that the API would pass over in
//! silence are rejected, because a client that sends them expects an effect.

mod check;
mod holdings;
mod knobs;
mod query;
mod quota;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Json, Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    clock::Now,
    entra::{Entra, bearer},
};
pub use holdings::Holdings;
pub use knobs::Knobs;
use quota::Quota;

/// What the API's tokens are issued for.
pub const AUDIENCE: &str = "https://api.securitycenter.microsoft.com";

/// The most indicators in one import, and ids in one deletion.
pub const MOST_PER_REQUEST: usize = 500;

/// What can be asked of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `POST /api/indicators/import`
    Import,
    /// `POST /api/indicators/BatchDelete`
    BatchDelete,
    /// `GET /api/indicators`
    List,
}

impl Operation {
    /// Every path exists with and without the version; case says nothing in it.
    fn of(method: &Method, uri: &Uri) -> Option<Self> {
        let path = uri.path().to_ascii_lowercase();
        let path = path.strip_prefix("/api")?;
        match (method.as_str(), path.strip_prefix("/v1.0").unwrap_or(path)) {
            ("POST", "/indicators/import") => Some(Self::Import),
            ("POST", "/indicators/batchdelete") => Some(Self::BatchDelete),
            ("GET", "/indicators") => Some(Self::List),
            _ => None,
        }
    }
}

/// One request as it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndicatorsRequest {
    /// When it arrived.
    pub at: DateTime<Utc>,
    /// None where the path is none of the API's.
    pub operation: Option<Operation>,
    /// Indicators or ids in it.
    pub items: usize,
    /// Of those, stored or deleted; of the list, returned.
    pub accepted: usize,
    pub bytes: usize,
    pub status: u16,
}

type Authorize = Arc<dyn Fn(&str) -> bool + Send + Sync>;

struct Inner {
    authorize: Authorize,
    knobs: Knobs,
    holdings: Holdings,
    requests: Vec<IndicatorsRequest>,
    quota: Quota,
}

/// A handle on the stand-in; clones share it.
#[derive(Clone)]
pub struct Defender {
    now: Now,
    inner: Arc<Mutex<Inner>>,
}

impl Defender {
    /// One tenant that, until told otherwise, takes any bearer token.
    pub fn new(now: Now) -> Self {
        let inner = Inner {
            authorize: Arc::new(|_| true),
            knobs: Knobs::default(),
            holdings: Holdings::default(),
            requests: Vec::new(),
            quota: Quota::default(),
        };
        Self { now, inner: Arc::new(Mutex::new(inner)) }
    }

    /// Takes only tokens `entra` issued for [`AUDIENCE`].
    pub fn trust(&self, entra: &Entra) {
        let entra = entra.clone();
        self.inner.lock().unwrap().authorize = Arc::new(move |token| entra.verify(token, AUDIENCE));
    }

    pub fn knobs(&self, change: impl FnOnce(&mut Knobs)) {
        change(&mut self.inner.lock().unwrap().knobs);
    }

    /// Every indicator that is valid now, by its number, as the list returns it.
    pub fn stored(&self) -> BTreeMap<u64, Value> {
        self.present().holdings.all().clone()
    }

    /// What the tenant holds, to be restored.
    pub fn holdings(&self) -> Holdings {
        self.present().holdings.clone()
    }

    /// Holds `holdings`, and has forgotten every request.
    pub fn restore(&self, holdings: Holdings) {
        let mut inner = self.inner.lock().unwrap();
        inner.holdings = holdings;
        inner.requests.clear();
        inner.quota = Quota::default();
    }

    /// Adds or updates an indicator as another application would, past checks, quota and capacity. Returns its number.
    pub fn put(&self, indicator: Value) -> u64 {
        let now = (self.now)();
        self.present().holdings.put(indicator, now)
    }

    /// Deletes an indicator as an operator in the portal would; whether there was one.
    pub fn remove(&self, id: u64) -> bool {
        self.present().holdings.delete(&[id])
    }

    /// Every request answered so far, in the order of the answers.
    pub fn requests(&self) -> Vec<IndicatorsRequest> {
        self.inner.lock().unwrap().requests.clone()
    }

    /// The API under every host.
    pub fn router(&self) -> Router {
        Router::new().fallback(serve).with_state(self.clone())
    }

    /// The model as it is by now.
    fn present(&self) -> MutexGuard<'_, Inner> {
        let now = (self.now)();
        let mut inner = self.inner.lock().unwrap();
        inner.holdings.expire(now);
        inner
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
        let operation = Operation::of(&head.method, &head.uri);
        let mut note =
            IndicatorsRequest { at, operation, items: 0, accepted: 0, bytes: body.len(), status: 0 };
        let response = match (forced, operation) {
            (Some(answer), _) => answer.into_response(),
            (None, Some(operation)) => self
                .perform(operation, &head.uri, &head.headers, &body, &mut note)
                .unwrap_or_else(Rejection::into_response),
            (None, None) => {
                let text =
                    format!("No HTTP resource was found that matches the request {}.", head.uri.path());
                Rejection::new(StatusCode::NOT_FOUND, "NotFound", text).into_response()
            }
        };
        note.status = response.status().as_u16();
        self.inner.lock().unwrap().requests.push(note);
        response
    }

    /// Who asks, how often, how much, and what.
    fn perform(
        &self,
        operation: Operation,
        uri: &Uri,
        headers: &HeaderMap,
        body: &Bytes,
        note: &mut IndicatorsRequest,
    ) -> Result<Response, Rejection> {
        let now = (self.now)();
        // Asked outside our lock: the check may look at anything, this model included.
        let authorize = Arc::clone(&self.inner.lock().unwrap().authorize);
        if !bearer(headers).is_some_and(|token| authorize(token)) {
            let text = "Invalid Authorization payload. Failure: the token is missing, expired or another's.";
            return Err(Rejection::new(StatusCode::UNAUTHORIZED, "Unauthorized", text));
        }
        let mut inner = self.present();
        let inner = &mut *inner;
        if !inner.knobs.permission {
            let text = "Missing application roles. API required roles: Ti.ReadWrite,Ti.ReadWrite.All, \
                        application roles: .";
            return Err(Rejection::new(StatusCode::FORBIDDEN, "Forbidden", text));
        }
        inner.quota.take(now, &inner.knobs)?;
        if inner.knobs.max_body.is_some_and(|most| body.len() > most) {
            let text = "Request body is too large.";
            return Err(Rejection::new(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge", text));
        }
        let json = headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        if operation != Operation::List && !json {
            let text = "Unsupported Media Type";
            return Err(Rejection::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", text));
        }
        match operation {
            Operation::Import => inner.import(check::indicators(body, now)?, now, note),
            Operation::BatchDelete => inner.delete(&check::ids(body)?, note),
            Operation::List => inner.list(uri, note),
        }
    }
}

impl Inner {
    fn import(
        &mut self,
        indicators: Vec<Value>,
        now: DateTime<Utc>,
        note: &mut IndicatorsRequest,
    ) -> Result<Response, Rejection> {
        note.items = indicators.len();
        let knobs = &self.knobs;
        for indicator in &indicators {
            let fault = check::fault(indicator, knobs.reject_md5).filter(|_| knobs.bad_value_is_bad_request);
            let judged = || knobs.reject_whole.as_ref()?(indicator).map(|text| ("BadRequest", text));
            if let Some((code, text)) = fault.or_else(judged) {
                return Err(Rejection::bad(code, text));
            }
        }
        let is_lost = self.knobs.lose.as_ref().is_some_and(|lose| lose(&indicators));
        let before = is_lost.then(|| self.holdings.clone());
        let mut answers = Vec::new();
        for indicator in indicators {
            let value = indicator["indicatorValue"].clone();
            let outcome = self.take(indicator, now);
            note.accepted += usize::from(outcome.is_ok());
            answers.push(json!({
                "id": outcome.as_ref().ok().map(u64::to_string),
                "indicator": value,
                "isFailed": outcome.is_err(),
                "failureReason": outcome.err(),
            }));
        }
        // The numbers that were given are not given again.
        self.holdings.restore(before);
        if self.knobs.reverse_answers {
            answers.reverse();
        }
        let context = format!("{AUDIENCE}/api/$metadata#Collection(mtp.IndicatorImportResult)");
        Ok(Json(json!({"@odata.context": context, "value": answers})).into_response())
    }

    /// Stores one indicator, or says why not.
    fn take(&mut self, indicator: Value, now: DateTime<Utc>) -> Result<u64, String> {
        if let Some((_, text)) = check::fault(&indicator, self.knobs.reject_md5) {
            return Err(text);
        }
        if let Some(text) = self.knobs.reject.as_ref().and_then(|judge| judge(&indicator)) {
            return Err(text);
        }
        let (held, capacity) = (self.holdings.all().len(), self.knobs.capacity);
        if held >= capacity && self.holdings.find(&indicator).is_none() {
            return Err(format!(
                "Max capacity exceeded. Current Total: {held}, Limit: {capacity} (Parameter 'Capacity: \
                 {held}/{capacity}')"
            ));
        }
        Ok(self.holdings.put(indicator, now))
    }

    fn delete(&mut self, ids: &[u64], note: &mut IndicatorsRequest) -> Result<Response, Rejection> {
        note.items = ids.len();
        if !self.holdings.delete(ids) {
            let text = "One or more of the indicators were not found.";
            return Err(Rejection::new(StatusCode::NOT_FOUND, "NotFound", text));
        }
        note.accepted = ids.len();
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    fn list(&self, uri: &Uri, note: &mut IndicatorsRequest) -> Result<Response, Rejection> {
        let query = query::Query::read(uri)?;
        let page = query.page(self.holdings.all(), self.knobs.page);
        note.accepted = page.values.len();
        let mut answer =
            json!({"@odata.context": format!("{AUDIENCE}/api/$metadata#Indicators"), "value": page.values});
        if let (Some(origin), Some(rest)) = (&self.knobs.next_link, page.next) {
            answer["@odata.nextLink"] = format!("{origin}/api/indicators?{rest}").into();
        }
        Ok(Json(answer).into_response())
    }
}

async fn serve(State(defender): State<Defender>, request: Request) -> Response {
    defender.answer(request).await
}

/// A whole request turned away.
struct Rejection {
    status: StatusCode,
    code: String,
    text: String,
    retry_after: Option<u64>,
}

impl Rejection {
    fn new(status: StatusCode, code: &str, text: impl Into<String>) -> Self {
        Self { status, code: code.into(), text: text.into(), retry_after: None }
    }

    fn bad(code: &str, text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, text)
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        // The target is what Microsoft's support finds the request by.
        let error = json!({"code": self.code, "message": self.text, "target": Uuid::new_v4().to_string()});
        let mut response = (self.status, Json(json!({"error": error}))).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
