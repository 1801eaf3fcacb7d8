//! One request to the feed, and one whole answer or an error.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue, Request, Uri, header},
};
use tracing::warn;

use super::access::{Access, Credentials};
use crate::{
    http::{
        error::HttpError,
        retry::Transient,
        told::{redirected, refused_in_between},
        transport::Answer,
    },
    secrets::{SecretStore, Secrets, SecretsError},
};

/// A page of 1,000 records takes its time.
pub const TIMEOUT: Duration = Duration::from_secs(60);
/// A page of 1,000 records is about 1 MB; with all warning lists 2.4 MB.
pub const LIMIT_BYTES: usize = 32 * 1024 * 1024;
/// What to wait after a 429 without `Retry-After`; others' clients wait as long.
const UNSTATED_WAIT: Duration = Duration::from_secs(30);
/// The setting that says where Mandiant is.
const BASE_URL: &str = "MATI_BASE_URL";
const APP_NAME: &str = concat!("mati-sync-v", env!("CARGO_PKG_VERSION"));

/// Why there is no page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    #[error("Mandiant cannot be reached: {0}")]
    Http(#[from] HttpError),
    #[error(
        "Mandiant refuses us ({status} at {at}), also with a new token: either MATI_KEY or MATI_SECRET is wrong or expired (Mandiant Advantage → Settings → APIv4 Access and Key), or the key has no right to indicators; Mandiant's answer does not tell which{told}"
    )]
    Unauthorized {
        status: u16,
        at: &'static str,
        /// What the answer says all the same, behind a colon; or empty.
        told: String,
    },
    #[error("{}", refused_in_between(*status, "Mandiant", page, BASE_URL))]
    RefusedInBetween { status: u16, page: String },
    #[error("Mandiant's address {}", redirected(*status, target, BASE_URL))]
    Redirected { status: u16, target: String },
    #[error("Mandiant answered {status}: {body}{}", if *status == 404 { "; check MATI_BASE_URL" } else { "" })]
    Answer { status: u16, retry_after: Option<Duration>, body: String },
    #[error("Mandiant's answer is not what its API promises, perhaps a proxy's in between: {reason}")]
    Unreadable { reason: String },
    #[error("Mandiant gave the same page twice: the cursor does not move on")]
    Loop,
    #[error(
        "Mandiant leaves threat_rating, category and campaigns out of later pages although they were asked for; records are not judged by absent fields. Ask Mandiant's support, or try MATI_BASE_URL of another endpoint"
    )]
    FieldsLost,
    #[error("{0}")]
    Secrets(#[from] SecretsError),
    #[error("there was no time left to ask Mandiant")]
    OutOfTime,
}

impl Transient for SourceError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Http(error) => error.is_transient(),
            // A success other than those that are known is not an answer yet.
            Self::Answer { status, .. } => matches!(status, 200..=299 | 408 | 429 | 500..=599),
            Self::Unreadable { .. } | Self::RefusedInBetween { .. } => true,
            Self::Secrets(error) => error.is_transient,
            Self::Unauthorized { .. }
            | Self::Redirected { .. }
            | Self::Loop
            | Self::FieldsLost
            | Self::OutOfTime => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answer { status: 429, retry_after, .. } => Some(retry_after.unwrap_or(UNSTATED_WAIT)),
            Self::Answer { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// The source as a lane reads it.
pub struct Client {
    pub(super) access: Arc<Access>,
    pub(super) secrets: Arc<SecretStore>,
    pub(super) query: Query,
}

/// What the server is asked to leave out; everything is judged again here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// The lowest confidence any type is wanted with.
    pub minimum_confidence: u8,
    pub exclude_osint: bool,
}

impl Client {
    pub fn new(access: Arc<Access>, secrets: Arc<SecretStore>, query: Query) -> Self {
        Self { access, secrets, query }
    }

    /// Answers `GET {path}`, whatever its status, except that a refusal is first met with a new token and then
    /// with new secrets.
    ///
    /// # Errors
    /// No answer, or a refusal that holds.
    pub(super) async fn get(&self, parameters: &str) -> Result<Answer, SourceError> {
        let secrets = self.secrets.get().await?;
        match self.try_get(parameters, &secrets).await {
            Err(SourceError::Unauthorized { .. }) => {}
            other => return other,
        }
        self.access.forget();
        let refusal = match self.try_get(parameters, &secrets).await {
            Err(refusal @ SourceError::Unauthorized { .. }) => refusal,
            other => return other,
        };
        let Some(renewed) = self.secrets.renew(&secrets).await? else { return Err(refusal) };
        warn!("Mandiant refused the API key; the key vault has a newer one, which is tried now");
        self.access.forget();
        self.try_get(parameters, &renewed).await
    }

    async fn try_get(&self, parameters: &str, secrets: &Secrets) -> Result<Answer, SourceError> {
        let credentials = Credentials { key: secrets.mati_key.clone(), secret: secrets.mati_secret.clone() };
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = uri(&format!("{}?{parameters}", self.feed()))?;
        common_headers(request.headers_mut());
        self.access.authorize(&mut request, &credentials).await?;
        let answer = self.access.transport.fetch(request, TIMEOUT, LIMIT_BYTES).await?;
        match self.access.refusal(&answer, "/v4/indicator") {
            Some(refusal) => Err(refusal),
            None => Ok(answer),
        }
    }

    /// Google's compatible API serves the feed right beneath its base path; Mandiant's own has a version there.
    fn feed(&self) -> String {
        let base = &self.access.base_url;
        let has_path = base.split("://").nth(1).is_some_and(|rest| rest.contains('/'));
        if has_path { format!("{base}/indicator") } else { format!("{base}/v4/indicator") }
    }

    /// An error for an answer that is no page.
    pub(super) fn unexpected(&self, answer: &Answer) -> SourceError {
        self.access.unexpected(answer)
    }
}

/// Sent with every request to Mandiant.
pub(super) fn common_headers(headers: &mut HeaderMap) {
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert("x-app-name", HeaderValue::from_static(APP_NAME));
}

pub(super) fn uri(text: &str) -> Result<Uri, SourceError> {
    text.parse().map_err(|error| SourceError::Unreadable {
        reason: format!("no URI can be made of the cursor: {error}"),
    })
}
