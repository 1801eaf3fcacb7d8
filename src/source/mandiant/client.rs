//! One request to the feed, and one whole answer or an error.

use std::sync::Arc;

use axum::{
    body::Bytes,
    http::{HeaderValue, Method, Request, header::CONTENT_TYPE},
};
use tracing::warn;

use super::{
    access::{Access, Credentials, LIMIT_BYTES, TIMEOUT, common_headers, uri},
    error::MandiantError,
};
use crate::{
    azure::secrets::{SecretStore, Secrets},
    http::transport::Answer,
};

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

    /// Answers `GET` of the feed, see [`Client::ask`].
    ///
    /// # Errors
    /// No answer, or a rejection that holds.
    pub(super) async fn get(&self, parameters: &str) -> Result<Answer, MandiantError> {
        self.ask(&format!("{}?{parameters}", self.feed()), None).await
    }

    /// Answers a request, whatever the status, except that a rejection is first met with a new token and then with new
    /// secrets. With a body, which is JSON, it is a `POST`.
    ///
    /// # Errors
    /// No answer, or a rejection that holds.
    pub(super) async fn ask(&self, url: &str, body: Option<&Bytes>) -> Result<Answer, MandiantError> {
        let secrets = self.secrets.get().await?;
        match self.try_ask(url, body, &secrets).await {
            Err(MandiantError::Unauthorized { .. }) => {}
            other => return other,
        }
        self.access.forget();
        let rejection = match self.try_ask(url, body, &secrets).await {
            Err(rejection @ MandiantError::Unauthorized { .. }) => rejection,
            other => return other,
        };
        let Some(renewed) = self.secrets.renew(&secrets).await? else { return Err(rejection) };
        warn!("Mandiant rejected the API key; the key vault has a newer one, which is tried now");
        self.access.forget();
        self.try_ask(url, body, &renewed).await
    }

    async fn try_ask(
        &self,
        url: &str,
        body: Option<&Bytes>,
        secrets: &Secrets,
    ) -> Result<Answer, MandiantError> {
        let credentials = Credentials { key: secrets.mati_key.clone(), secret: secrets.mati_secret.clone() };
        let mut request = Request::new(body.cloned().unwrap_or_default());
        *request.uri_mut() = uri(url)?;
        common_headers(request.headers_mut());
        if body.is_some() {
            *request.method_mut() = Method::POST;
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        self.access.authorize(&mut request, &credentials).await?;
        let answer = self.access.transport.fetch(request, TIMEOUT, LIMIT_BYTES).await?;
        match self.access.rejection(&answer, "/v4/indicator") {
            Some(rejection) => Err(rejection),
            None => Ok(answer),
        }
    }

    /// Google's compatible API serves the feed right beneath its base path; Mandiant's own has a version there.
    pub(super) fn feed(&self) -> String {
        let base = &self.access.base_url;
        let has_path = base.split("://").nth(1).is_some_and(|rest| rest.contains('/'));
        if has_path { format!("{base}/indicator") } else { format!("{base}/v4/indicator") }
    }

    /// What the source's secrets are read from.
    pub fn secrets(&self) -> &SecretStore {
        &self.secrets
    }

    /// An error for an answer that is no page.
    pub(super) fn unexpected(&self, answer: &Answer) -> MandiantError {
        self.access.unexpected(answer)
    }
}
