//! Access to Mandiant: tokens, and what a rejection means.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header},
};
use azure_core::base64;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::error::MandiantError;
use crate::{
    clock::SharedClock,
    http::{
        error::{excerpt, retry_after},
        transport::{Answer, Transport},
        unexpected::{error, object, page_for_people, redirect, used_up},
    },
};

/// A token is renewed this long before it ends.
const RENEWAL: TimeDelta = TimeDelta::seconds(60);
/// Where the answer does not say how long its token lasts.
const UNSTATED_LIFE: f64 = 600.0;

/// A page of 1,000 records takes its time.
pub const TIMEOUT: Duration = Duration::from_secs(60);
/// A page of 1,000 records is about 1 MB; with all warning lists 2.4 MB.
pub const LIMIT_BYTES: usize = 32 * 1024 * 1024;
const APP_NAME: &str = concat!("mati-sync-v", env!("CARGO_PKG_VERSION"));

/// How we show who we are; the two secrets come with every call, because they may be rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Bearer,
    Basic,
    ApiKey,
}

/// Key id and secret.
pub struct Credentials {
    pub key: SecretString,
    pub secret: SecretString,
}

/// The token in use.
pub struct Access {
    pub scheme: Scheme,
    pub base_url: String,
    pub transport: Transport,
    pub clock: SharedClock,
    token: Mutex<Option<(SecretString, DateTime<Utc>)>>,
}

impl Access {
    pub fn new(scheme: Scheme, base_url: String, transport: Transport, clock: SharedClock) -> Arc<Self> {
        let base_url = without_version(&base_url).to_owned();
        Arc::new(Self { scheme, base_url, transport, clock, token: Mutex::default() })
    }

    /// Puts on `request` what shows who we are, fetching a token where one is needed.
    ///
    /// # Errors
    /// No token could be obtained.
    pub async fn authorize(
        &self,
        request: &mut Request<Bytes>,
        credentials: &Credentials,
    ) -> Result<(), MandiantError> {
        let (name, value) = match self.scheme {
            Scheme::Bearer => {
                let token = self.token(credentials).await?;
                (header::AUTHORIZATION, format!("Bearer {}", token.expose_secret()))
            }
            Scheme::Basic => (header::AUTHORIZATION, basic(credentials)),
            Scheme::ApiKey => {
                (header::HeaderName::from_static("x-apikey"), credentials.key.expose_secret().to_owned())
            }
        };
        request.headers_mut().insert(name, sensitive(&value)?);
        Ok(())
    }

    /// Forgets the token, because it was rejected.
    pub fn forget(&self) {
        *self.held() = None;
    }

    async fn token(&self, credentials: &Credentials) -> Result<SecretString, MandiantError> {
        let now = self.clock.now();
        if let Some((token, expires_at)) = &*self.held()
            && *expires_at - RENEWAL > now
        {
            return Ok(token.clone());
        }
        let mut request = Request::new(Bytes::from_static(b"grant_type=client_credentials"));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri(&format!("{}/token", self.base_url))?;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(header::AUTHORIZATION, sensitive(&basic(credentials))?);
        common_headers(headers);
        let answer = self.transport.fetch(request, TIMEOUT, LIMIT_BYTES).await?;
        let (token, life) = self.read_token(&answer)?;
        *self.held() = Some((token.clone(), now + life));
        Ok(token)
    }

    /// A token and how long it lasts (RFC 6749 §5.1). No text of the answer reaches a message but that of an error:
    /// what looks wrong may hold a token all the same.
    fn read_token(&self, answer: &Answer) -> Result<(SecretString, TimeDelta), MandiantError> {
        if answer.status != StatusCode::OK {
            return Err(self.rejection(answer, "/token").unwrap_or_else(|| self.unexpected(answer)));
        }
        let no_token =
            |problem: &str| MandiantError::Unreadable { reason: format!("the token's answer: {problem}") };
        let Ok(members) = object::<Map<String, Value>>(&answer.body) else {
            return Err(no_token("no object of JSON"));
        };
        if let Some(told) = error(&members) {
            return Err(no_token(&told));
        }
        let token = members.get("access_token").and_then(Value::as_str).unwrap_or_default().trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(no_token("no access_token in it that a header could carry"));
        }
        // Differs from call to call, because the server hands out tokens that run already.
        let life = members.get("expires_in").and_then(|life| match life {
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_f64(),
        });
        #[expect(clippy::cast_possible_truncation, reason = "clamped to a day")]
        let life = TimeDelta::seconds(life.unwrap_or(UNSTATED_LIFE).clamp(0.0, 86_400.0) as i64);
        Ok((token.into(), life))
    }

    /// What an answer to `at` that rejects the request, or redirects it, means; `None` where it does neither.
    pub(super) fn rejection(&self, answer: &Answer, at: &'static str) -> Option<MandiantError> {
        let status = answer.status.as_u16();
        if let Some(target) = redirect(answer) {
            return Some(MandiantError::Redirected { status, target });
        }
        let page = page_for_people(answer);
        match (status, page) {
            (401 | 403, Some(page)) => Some(MandiantError::RejectedInBetween { status, page }),
            (407 | 511, page) => {
                let page = page.unwrap_or_else(|| excerpt(&answer.body));
                Some(MandiantError::RejectedInBetween { status, page })
            }
            (401 | 403, None) if used_up(&excerpt(&answer.body)).is_some() => Some(self.unexpected(answer)),
            (401 | 403, None) => {
                let told = excerpt(&answer.body);
                let told = if told.is_empty() { told } else { format!(": {told}") };
                Some(MandiantError::Unauthorized { status, at, told })
            }
            (400, None) if at == "/token" => {
                let told = format!(": {}", excerpt(&answer.body));
                Some(MandiantError::Unauthorized { status, at, told })
            }
            _ => None,
        }
    }

    /// An error for an answer that is not the one asked for.
    pub(super) fn unexpected(&self, answer: &Answer) -> MandiantError {
        MandiantError::Answer {
            status: answer.status.as_u16(),
            retry_after: retry_after(&answer.headers, self.clock.now()),
            body: excerpt(&answer.body),
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<(SecretString, DateTime<Utc>)>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The base without what every path begins with: some people copy it out of an example with the version behind it.
fn without_version(base_url: &str) -> &str {
    let base_url = base_url.trim_end_matches('/');
    let base_url = base_url.strip_suffix("/indicator").unwrap_or(base_url);
    match base_url.strip_suffix("/v4") {
        Some(host) if !host.split_once("://").is_some_and(|(_, rest)| rest.contains('/')) => host,
        _ => base_url,
    }
}

fn basic(credentials: &Credentials) -> String {
    let pair = format!("{}:{}", credentials.key.expose_secret(), credentials.secret.expose_secret());
    format!("Basic {}", base64::encode(pair))
}

/// A header that no debug print shows. It is plain text in memory, as the HTTP client needs it, for one request.
fn sensitive(value: &str) -> Result<HeaderValue, MandiantError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| MandiantError::Unauthorized {
        status: 401,
        at: "MATI_KEY or MATI_SECRET, which hold characters that no header can carry",
        told: String::new(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Sent with every request to Mandiant.
pub(super) fn common_headers(headers: &mut HeaderMap) {
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert("x-app-name", HeaderValue::from_static(APP_NAME));
}

pub(super) fn uri(text: &str) -> Result<Uri, MandiantError> {
    text.parse().map_err(|error| MandiantError::Unreadable {
        reason: format!("no URI can be made of the cursor: {error}"),
    })
}
