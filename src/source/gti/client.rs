//! One request to Google Threat Intelligence, and what its answer means.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Bytes,
    http::{HeaderValue, Request, header},
};
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::ExposeSecret;
use tracing::warn;

use super::{error::GtiError, lists::LISTS, wire::Failure};
use crate::{
    azure::secrets::{SecretStore, Secrets},
    clock::SharedClock,
    http::{
        error::{excerpt, retry_after},
        text::percent_encoded,
        transport::{Answer, Transport},
        unexpected::{page_for_people, redirect},
    },
    source::lenient::Object,
};

/// A package takes its time; OpenCTI's client waits as long.
const TIMEOUT: Duration = Duration::from_secs(120);
/// A package of 4,000 records is about 10 MB. It is not kept in memory.
const LIMIT_BYTES: usize = 256 * 1024 * 1024;
/// A list that gave a package exists for so long without being asked.
const EXISTS_FOR: TimeDelta = TimeDelta::days(1);
/// By this header Google knows the tool; without it records lack `gti_assessment`.
const TOOL: HeaderValue = HeaderValue::from_static(concat!("mati-sync-v", env!("CARGO_PKG_VERSION")));

/// The source as a lane reads it.
pub struct Client {
    base_url: String,
    transport: Transport,
    pub(super) clock: SharedClock,
    secrets: Arc<SecretStore>,
    /// Ids of the lists that are wanted; empty: all.
    wanted: Vec<String>,
    /// What the server is asked to leave out.
    pub(super) query: Option<String>,
    /// When a list was last known to exist.
    existing: Mutex<BTreeMap<String, DateTime<Utc>>>,
}

/// Stands in a path for the API key.
pub(super) const KEY: &str = "{key}";
/// Takes the body of an answer, part by part.
pub(super) type Take<'t> = &'t mut (dyn FnMut(&[u8]) + Send);

/// What an answer that is no error tells.
pub(super) enum Told {
    Answered(Answer),
    NotYet,
    Forbidden,
    NotFound,
}

impl Client {
    pub fn new(
        base_url: String,
        transport: Transport,
        clock: SharedClock,
        secrets: Arc<SecretStore>,
        wanted: Vec<String>,
        query: Option<String>,
    ) -> Self {
        let existing = Mutex::default();
        Self { base_url, transport, clock, secrets, wanted, query, existing }
    }

    /// The lists to read: those that are wanted, or every one that is documented.
    pub fn lists(&self) -> Vec<String> {
        if self.wanted.is_empty() {
            return LISTS.iter().map(|list| list.id.to_owned()).collect();
        }
        self.wanted.clone()
    }

    /// Whether the user named the lists.
    pub(super) fn names_lists(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// What the source's secrets are read from.
    pub fn secrets(&self) -> &SecretStore {
        &self.secrets
    }

    /// Sends `GET` to a path beneath the base; the body of a success goes to `take`, part by part. Where the path has
    /// [`KEY`], the API key is put in. A rejection of the key is first met with a newer one.
    ///
    /// # Errors
    /// No answer, or one that is an error for every list alike.
    pub(super) async fn get(&self, path: &str, take: Take<'_>) -> Result<Told, GtiError> {
        self.get_dated(path, take, &mut None).await
    }

    /// The same; notes `at` what time an answer of Google's came by its clock, also one that is an error.
    ///
    /// # Errors
    /// See [`Client::get`].
    pub(super) async fn get_dated(
        &self,
        path: &str,
        take: Take<'_>,
        at: &mut Option<DateTime<Utc>>,
    ) -> Result<Told, GtiError> {
        let secrets = self.secrets.get().await?;
        let rejection = match self.try_get(path, &secrets, &mut *take, at).await {
            Err(rejection @ GtiError::Unauthorized { .. }) => rejection,
            other => return other,
        };
        let Some(renewed) = self.secrets.renew(&secrets).await? else { return Err(rejection) };
        warn!("Google rejected the API key; the key vault has a newer one, which is tried now");
        self.try_get(path, &renewed, take, at).await
    }

    async fn try_get(
        &self,
        path: &str,
        secrets: &Secrets,
        take: Take<'_>,
        at: &mut Option<DateTime<Utc>>,
    ) -> Result<Told, GtiError> {
        let key = &secrets.gti_key;
        let unusable = || GtiError::Unauthorized {
            told: "the key holds characters that no header can carry".to_owned(),
        };
        let mut shown = HeaderValue::from_str(key.expose_secret().trim()).map_err(|_| unusable())?;
        shown.set_sensitive(true);
        let mut request = Request::new(Bytes::new());
        let path = path.replace(KEY, &percent_encoded(key.expose_secret().trim()));
        // The address may hold the key: no message repeats it.
        *request.uri_mut() = format!("{}/{path}", self.base_url)
            .parse()
            .map_err(|_| GtiError::BadRequest { told: "no address can be made of it".to_owned() })?;
        let headers = request.headers_mut();
        headers.insert("x-apikey", shown);
        headers.insert("x-tool", TOOL);
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let answer = self.transport.stream(request, TIMEOUT, LIMIT_BYTES, take).await?;
        if matches!(answer.status.as_u16(), 200 | 204) || !failure(&answer.body).0.is_empty() {
            *at = dated(&answer);
        }
        self.told(answer)
    }

    /// What an answer means, by its code where it has one: the status says less.
    fn told(&self, answer: Answer) -> Result<Told, GtiError> {
        let status = answer.status.as_u16();
        if let Some(target) = redirect(&answer) {
            return Err(GtiError::Redirected { status, target });
        }
        if matches!(status, 200 | 204) {
            return Ok(Told::Answered(answer));
        }
        let (code, message) = failure(&answer.body);
        let told = match (code.is_empty(), message.is_empty()) {
            (false, _) => format!("{status} {code}: {message}"),
            (true, false) => format!("{status}: {message}"),
            (true, true) => format!("{status}: {}", excerpt(&answer.body)),
        };
        let retry_after = retry_after(&answer.headers, self.clock.now());
        let is_ours = !code.is_empty();
        match (status, code.as_str()) {
            (_, "NotAvailableYet") => return Ok(Told::NotYet),
            (_, "QuotaExceededError") => {
                return Err(GtiError::QuotaUsedUp { told, at: self.clock.now() });
            }
            (400, _) if message.contains("is not available until") => return Ok(Told::NotYet),
            (429, _) | (_, "TooManyRequestsError") => return Err(GtiError::TooFast { told, retry_after }),
            (_, "TransientError" | "DeadlineExceededError") => {
                return Err(GtiError::Answer { status: 503, retry_after, body: told });
            }
            _ => {}
        }
        if let Some(page) = page_for_people(&answer).filter(|_| matches!(status, 401 | 403 | 407 | 511)) {
            return Err(GtiError::RejectedInBetween { status, page });
        }
        match status {
            407 | 511 => Err(GtiError::RejectedInBetween { status, page: excerpt(&answer.body) }),
            401 => Err(GtiError::Unauthorized { told }),
            403 => Ok(Told::Forbidden),
            404 => Ok(Told::NotFound),
            400 if is_ours => Err(GtiError::BadRequest { told }),
            _ => Err(GtiError::Answer { status, retry_after, body: excerpt(&answer.body) }),
        }
    }

    /// Notes that a list exists, because it gave something.
    pub(super) fn note_existing(&self, list: &str) {
        let mut existing = self.existing.lock().unwrap_or_else(PoisonError::into_inner);
        existing.insert(list.to_owned(), self.clock.now());
    }

    /// Whether a list was known to exist a short while ago.
    pub(super) fn is_known(&self, list: &str) -> bool {
        let existing = self.existing.lock().unwrap_or_else(PoisonError::into_inner);
        existing.get(list).is_some_and(|at| *at + EXISTS_FOR > self.clock.now())
    }
}

/// When an answer was given, by the clock of the server.
fn dated(answer: &Answer) -> Option<DateTime<Utc>> {
    let date = answer.headers.get(header::DATE)?.to_str().ok()?;
    DateTime::parse_from_rfc2822(date).ok().map(|date| date.to_utc())
}

/// The code and the message of an answer that tells of an error; empty where it is none of Google's.
fn failure(body: &[u8]) -> (String, String) {
    let Ok(Object(Failure { error: Object(told) })) = serde_json::from_slice(body) else {
        return Default::default();
    };
    let text = |text: Option<&str>| text.map(|text| excerpt(text.as_bytes())).unwrap_or_default();
    (text(told.code.text()), text(told.message.text()))
}
