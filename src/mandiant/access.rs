//! Access to Mandiant: tokens, and what a refusal means.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    body::Bytes,
    http::{HeaderValue, Method, Request, header},
};
use azure_core::base64;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};

use super::{client::SourceError, wire::Token};
use crate::{
    clock::SharedClock,
    http::{
        error::{excerpt, retry_after},
        transport::{Answer, Transport},
    },
};

/// A token is renewed this long before it ends.
const RENEWAL: TimeDelta = TimeDelta::seconds(60);
/// Where the answer does not say how long its token lasts.
const UNSTATED_LIFE: f64 = 600.0;

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
        Arc::new(Self { scheme, base_url, transport, clock, token: Mutex::default() })
    }

    /// Puts on `request` what shows who we are, fetching a token where one is needed.
    ///
    /// # Errors
    /// No token could be had.
    pub async fn authorize(
        &self,
        request: &mut Request<Bytes>,
        credentials: &Credentials,
    ) -> Result<(), SourceError> {
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

    /// Forgets the token, because it was refused.
    pub fn forget(&self) {
        *self.held() = None;
    }

    async fn token(&self, credentials: &Credentials) -> Result<SecretString, SourceError> {
        let now = self.clock.now();
        if let Some((token, expires_at)) = &*self.held()
            && *expires_at - RENEWAL > now
        {
            return Ok(token.clone());
        }
        let mut request = Request::new(Bytes::from_static(b"grant_type=client_credentials"));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = super::client::uri(&format!("{}/token", self.base_url))?;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(header::AUTHORIZATION, sensitive(&basic(credentials))?);
        super::client::common_headers(headers);
        let answer =
            self.transport.fetch(request, super::client::TIMEOUT, super::client::LIMIT_BYTES).await?;
        let token = self.read_token(&answer)?;
        let life = token.expires_in.unwrap_or(UNSTATED_LIFE).clamp(0.0, 86_400.0);
        #[expect(clippy::cast_possible_truncation, reason = "clamped to a day")]
        let expires_at = now + TimeDelta::seconds(life as i64);
        *self.held() = Some((token.access_token.clone(), expires_at));
        Ok(token.access_token)
    }

    fn read_token(&self, answer: &Answer) -> Result<Token, SourceError> {
        match answer.status.as_u16() {
            200 => serde_json::from_slice(&answer.body)
                .map_err(|error| SourceError::Unreadable { reason: format!("the token's answer: {error}") }),
            status @ (400 | 401 | 403) => Err(SourceError::Unauthorized { status, at: "/token" }),
            status => Err(SourceError::Answer {
                status,
                retry_after: retry_after(&answer.headers, self.clock.now()),
                body: excerpt(&answer.body),
            }),
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<(SecretString, DateTime<Utc>)>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn basic(credentials: &Credentials) -> String {
    let pair = format!("{}:{}", credentials.key.expose_secret(), credentials.secret.expose_secret());
    format!("Basic {}", base64::encode(pair))
}

/// A header that no debug print shows. It is plain text in memory, as the HTTP client needs it, for one request.
fn sensitive(value: &str) -> Result<HeaderValue, SourceError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| SourceError::Unauthorized {
        status: 401,
        at: "MATI_KEY or MATI_SECRET, which hold characters that no header can carry",
    })?;
    value.set_sensitive(true);
    Ok(value)
}
