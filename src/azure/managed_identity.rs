//! Tokens of a managed identity from the endpoint that App Service and Functions give an app (learn.microsoft.com, "How
//! to use managed identities for App Service", version 2019-08-01).
//!
//! The SDK's own credential takes the endpoint from the process's environment alone, and would not know one from a
//! settings file.

use std::fmt;

use async_trait::async_trait;
use axum::{
    body::Bytes,
    http::{HeaderName, HeaderValue, Request, header},
};
use azure_core::{
    credentials::{AccessToken, TokenCredential, TokenRequestOptions},
    error::{Error, ErrorKind},
    http::Url,
    time::OffsetDateTime,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::sdk::{ANSWER_BYTES, NotYet, Service, TIMEOUT, checked};
use crate::http::{
    error::excerpt,
    transport::{Direct, Transport},
    unexpected::{redirect, redirected},
};

const SECRET: HeaderName = HeaderName::from_static("x-identity-header");

/// Where the platform gives tokens, and by what it knows the app.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub url: Url,
    pub header: SecretString,
}

/// A managed identity's credential.
pub struct PlatformCredential {
    pub endpoint: Endpoint,
    /// Picks a user-assigned identity.
    pub client_id: Option<String>,
    pub transport: Transport,
}

impl fmt::Debug for PlatformCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlatformCredential")
            .field("endpoint", &self.endpoint.url.as_str())
            .finish_non_exhaustive()
    }
}

/// A token in the form that [`checked`] gives every answer.
#[derive(Deserialize)]
struct Token {
    access_token: String,
    /// Seconds since 1970.
    expires_on: String,
}

#[async_trait]
impl TokenCredential for PlatformCredential {
    async fn get_token(
        &self,
        scopes: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let rejected = |told: String| Error::with_message(ErrorKind::Credential, told);
        let scope = scopes.first().copied().unwrap_or_default();
        let mut url = self.endpoint.url.clone();
        url.query_pairs_mut()
            .append_pair("api-version", "2019-08-01")
            .append_pair("resource", scope.strip_suffix("/.default").unwrap_or(scope))
            .extend_pairs(self.client_id.iter().map(|client_id| ("client_id", client_id)));
        let mut secret = HeaderValue::from_str(self.endpoint.header.expose_secret())
            .map_err(|_| rejected("IDENTITY_HEADER cannot be carried by a header".to_owned()))?;
        secret.set_sensitive(true);
        let request = Request::get(url.as_str())
            .header(SECRET, secret)
            .header(header::ACCEPT, HeaderValue::from_static("application/json"))
            .extension(Direct)
            .body(Bytes::new())
            .map_err(|error| Error::new(ErrorKind::Other, error))?;
        let answer = self.transport.fetch(request, TIMEOUT, ANSWER_BYTES).await;
        let answer = answer.map_err(|error| Error::new(ErrorKind::Io, error))?;
        let (status, service) = (answer.status.as_u16(), Service::Identity);
        if let Some(target) = redirect(&answer) {
            return Err(rejected(format!(
                "{} {}",
                service.name(),
                redirected(status, &target, service.settings())
            )));
        }
        let body =
            checked(service, &answer).map_err(|problem| Error::new(ErrorKind::Other, NotYet(problem)))?;
        if !answer.status.is_success() {
            let told = match status {
                400 => format!("the identity is not assigned to this app: {}", excerpt(&body)),
                _ => format!("{} answered {status}: {}", service.name(), excerpt(&body)),
            };
            let kind =
                ErrorKind::HttpResponse { status: status.into(), error_code: None, raw_response: None };
            return Err(Error::with_message(kind, told));
        }
        // Checked by then: nothing of it is quoted.
        let unreadable = || rejected("a token with an impossible expiry".to_owned());
        let Token { access_token, expires_on } = serde_json::from_slice(&body).map_err(|_| unreadable())?;
        let until = expires_on.parse().ok().and_then(|until| OffsetDateTime::from_unix_timestamp(until).ok());
        Ok(AccessToken::new(access_token, until.ok_or_else(unreadable)?))
    }
}
