//! Azure Resource Manager, as far as one workspace's threat indicators are listed through it.
//!
//! It lists what [`Sentinel`] stores and what a test planted in the name of another product. The route, the fields
//! and the shape of errors are those of the REST reference's "Query Indicators"; what is not documented can be set
//! with [`Knobs`].

mod listing;
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
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::{
    clock::Now,
    entra::{Entra, bearer},
    sentinel::{AUDIENCES, Answer, Authorization, Sentinel},
};
pub use listing::planted;

/// The most indicators on a page. Nothing says so but clients of the API: the documentation is silent.
pub const LARGEST_PAGE: usize = 100;

/// Where a workspace stands. Names are compared without case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub subscription: String,
    pub resource_group: String,
    /// The workspace's name, not its GUID.
    pub workspace: String,
}

/// One request as it was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// When it arrived.
    pub at: DateTime<Utc>,
    /// Null where it was no JSON.
    pub body: Value,
    /// Indicators on the page that was answered.
    pub listed: usize,
    pub status: u16,
}

/// What a test may change while the stand-in runs.
#[derive(Clone, Debug)]
pub struct Knobs {
    /// Requests that may come at once: what the bucket of a caller holds.
    pub bucket: u32,
    /// After which time the bucket has one request more.
    pub refill: TimeDelta,
    /// Whether `sources` in a request is passed over.
    pub ignore_sources: bool,
    /// Whether `keywords` in a request is passed over.
    pub ignore_keywords: bool,
    /// How long after it was uploaded an indicator shows.
    pub lag: TimeDelta,
    /// Whether it lists only what is valid, unless asked for more.
    pub hides_disabled: bool,
    /// A page is never larger than this.
    pub largest_page: usize,
    /// Pages after which the token of a listing is not taken any more; `None`: it lasts for ever.
    pub token_pages: Option<usize>,
    /// Every page's link leads to that page again.
    pub loops: bool,
    /// Scheme and host of the link to the next page, which need not be those that were asked.
    pub link_host: String,
    /// Given instead of our own answers, one per request.
    pub script: VecDeque<Answer>,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            // learn.microsoft.com, "Understand how Azure Resource Manager throttles requests": writes.
            bucket: 200,
            refill: TimeDelta::milliseconds(100),
            ignore_sources: false,
            ignore_keywords: false,
            lag: TimeDelta::zero(),
            hides_disabled: false,
            largest_page: LARGEST_PAGE,
            token_pages: None,
            loops: false,
            link_host: "https://westeurope.management.azure.com".into(),
            script: VecDeque::new(),
        }
    }
}

type Authorize = Arc<dyn Fn(&str, DateTime<Utc>) -> Authorization + Send + Sync>;

struct Inner {
    authorize: Authorize,
    knobs: Knobs,
    /// By source and STIX id.
    planted: BTreeMap<(String, String), Value>,
    listings: Vec<listing::Listing>,
    queries: Vec<Query>,
    /// When the bucket is full again, if no request comes.
    full_at: DateTime<Utc>,
}

/// A handle on the stand-in; clones share it.
#[derive(Clone)]
pub struct ResourceManager {
    now: Now,
    place: Place,
    sentinel: Sentinel,
    inner: Arc<Mutex<Inner>>,
}

impl ResourceManager {
    /// The workspace of `sentinel` at `place`; until told otherwise any bearer token will do.
    pub fn new(now: Now, place: Place, sentinel: Sentinel) -> Self {
        let inner = Inner {
            authorize: Arc::new(|_, _| Authorization::Valid),
            knobs: Knobs::default(),
            planted: BTreeMap::new(),
            listings: Vec::new(),
            queries: Vec::new(),
            full_at: now(),
        };
        Self { now, place, sentinel, inner: Arc::new(Mutex::new(inner)) }
    }

    /// Asks `check` about every bearer token.
    pub fn authorize(&self, check: impl Fn(&str, DateTime<Utc>) -> Authorization + Send + Sync + 'static) {
        self.inner.lock().unwrap().authorize = Arc::new(check);
    }

    /// Takes only tokens `entra` issued for Resource Manager, which are the upload API's too.
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

    /// Lists `resource`, made with [`planted`] perhaps, beside what Sentinel stores. An upload under the same source
    /// and id takes its place.
    pub fn plant(&self, resource: Value) {
        let properties = &resource["properties"];
        let text = |name: &str| properties[name].as_str().unwrap_or_default().to_owned();
        let key = (text("source"), text("externalId"));
        self.inner.lock().unwrap().planted.insert(key, resource);
    }

    /// Every request answered so far, in the order of the answers.
    pub fn queries(&self) -> Vec<Query> {
        self.inner.lock().unwrap().queries.clone()
    }

    /// The API under every host.
    pub fn router(&self) -> Router {
        Router::new().fallback(serve).with_state(self.clone())
    }

    async fn answer(&self, request: Request) -> Response {
        let at = (self.now)();
        let (head, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
        let forced = self.inner.lock().unwrap().knobs.script.pop_front();
        let mut listed = 0;
        let response = match forced {
            Some(answer) => answer.into_response(),
            None => match self.query(&head.method, &head.uri, &head.headers, &body) {
                Ok(page) => {
                    listed = page["value"].as_array().map_or(0, Vec::len);
                    Json(page).into_response()
                }
                Err(rejection) => rejection.into_response(),
            },
        };
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let query = Query { at, body, listed, status: response.status().as_u16() };
        self.inner.lock().unwrap().queries.push(query);
        response
    }

    /// In the order of the real one: who asks, how often, for what, and whether they may.
    fn query(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Value, Rejection> {
        let now = (self.now)();
        // Asked outside our lock: the check may look at anything, this model included.
        let authorize = Arc::clone(&self.inner.lock().unwrap().authorize);
        let authorization =
            bearer(headers).map_or(Authorization::Unauthenticated, |token| authorize(token, now));
        if authorization == Authorization::Unauthenticated {
            let text = "The access token is missing, invalid or expired.";
            return Err(rejection(StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken", text));
        }
        self.inner.lock().unwrap().take_from_bucket(now)?;
        self.find(uri)?;
        if method != Method::POST {
            let text = format!("The requested resource does not support http method '{method}'.");
            return Err(rejection(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", &text));
        }
        if authorization == Authorization::Forbidden {
            let text = format!(
                "The client '00000000-0000-4000-8000-000000000000' with object id \
                 '00000000-0000-4000-8000-000000000000' does not have authorization to perform action \
                 'Microsoft.SecurityInsights/threatIntelligence/queryIndicators/action' over scope '{}' or the \
                 scope is invalid. If access was recently granted, please refresh your credentials.",
                self.scope()
            );
            return Err(rejection(StatusCode::FORBIDDEN, "AuthorizationFailed", &text));
        }
        let body: Value = serde_json::from_slice(body)
            .ok()
            .filter(Value::is_object)
            .ok_or_else(|| bad_request("The request content was invalid and could not be deserialized."))?;
        self.list(&body, now)
    }

    fn scope(&self) -> String {
        let Place { subscription, resource_group, workspace } = &self.place;
        format!(
            "/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/\
             Microsoft.OperationalInsights/workspaces/{workspace}"
        )
    }

    fn path(&self) -> String {
        self.scope() + "/providers/Microsoft.SecurityInsights/threatIntelligence/main/queryIndicators"
    }

    /// Whether a URL leads to our workspace's list, or which part of it leads nowhere.
    fn find(&self, uri: &Uri) -> Result<(), Rejection> {
        let not_found = |code: &str, text: String| Err(rejection(StatusCode::NOT_FOUND, code, &text));
        let path = listing::percent_decoded(uri.path());
        let (ours, theirs) = (self.path(), path.split('/').collect::<Vec<_>>());
        let ours: Vec<&str> = ours.split('/').collect();
        let differs = (0..ours.len().max(theirs.len())).find(|index| {
            !ours
                .get(*index)
                .zip(theirs.get(*index))
                .is_some_and(|(our, their)| our.eq_ignore_ascii_case(their))
        });
        match differs {
            None => {}
            Some(2) => {
                let text = format!("The subscription '{}' could not be found.", theirs[2]);
                return not_found("SubscriptionNotFound", text);
            }
            Some(4) => {
                let text = format!("Resource group '{}' could not be found.", theirs[4]);
                return not_found("ResourceGroupNotFound", text);
            }
            Some(8) => {
                let text = format!(
                    "The Resource 'Microsoft.OperationalInsights/workspaces/{}' under resource group '{}' was not \
                     found.",
                    theirs[8], theirs[4]
                );
                return not_found("ResourceNotFound", text);
            }
            Some(_) => return not_found("NotFound", format!("No route leads to '{path}'.")),
        }
        let version =
            uri.query().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("api-version="));
        match version {
            Some("2025-09-01") => Ok(()),
            Some(version) => Err(rejection(
                StatusCode::BAD_REQUEST,
                "InvalidApiVersionParameter",
                &format!("The api-version '{version}' is invalid."),
            )),
            None => Err(rejection(
                StatusCode::BAD_REQUEST,
                "MissingApiVersionParameter",
                "The api-version query parameter (?api-version=) is required for all requests.",
            )),
        }
    }
}

impl Inner {
    fn take_from_bucket(&mut self, now: DateTime<Utc>) -> Result<(), Rejection> {
        let refill = self.knobs.refill;
        let full_at = self.full_at.max(now) + refill;
        let wait = full_at - refill * i32::try_from(self.knobs.bucket).expect("a small bucket") - now;
        if wait <= TimeDelta::zero() {
            self.full_at = full_at;
            return Ok(());
        }
        let seconds = (wait.num_milliseconds() as u64).div_ceil(1000);
        let text = "Number of requests for the subscription and the operation exceeded its limit. Please try again \
                    later.";
        let rejection = rejection(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", text);
        Err(Rejection { retry_after: Some(seconds), ..rejection })
    }
}

async fn serve(State(manager): State<ResourceManager>, request: Request) -> Response {
    manager.answer(request).await
}

/// A request turned away.
struct Rejection {
    status: StatusCode,
    retry_after: Option<u64>,
    body: Value,
}

fn rejection(status: StatusCode, code: &str, message: &str) -> Rejection {
    Rejection { status, retry_after: None, body: json!({"error": {"code": code, "message": message}}) }
}

fn bad_request(message: &str) -> Rejection {
    rejection(StatusCode::BAD_REQUEST, "BadRequest", message)
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
