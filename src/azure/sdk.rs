//! The Azure SDK on our transport.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{body::Bytes, http};
use azure_core::{
    cloud::{CloudConfiguration, CustomConfiguration},
    error::{Error, ErrorKind},
    http::{
        AsyncRawResponse, Body, ClientOptions, HttpClient, RetryOptions,
        headers::{HeaderName, HeaderValue, Headers},
    },
};
use chrono::DateTime;
use futures::TryStreamExt;
use serde_json::{Map, Value};

use crate::http::{
    error::{excerpt, is_transient_status, seconds},
    transport::{Answer, Direct, Transport},
    unexpected::{error, object, page_for_people, redirect, redirected, rejected_in_between},
};

/// More than any token, secret or rejection has.
pub(super) const ANSWER_BYTES: usize = 256 * 1024;
/// How long a token is kept that does not say how long it lasts.
const UNSTATED_LIFE: i64 = 600;
/// Headers by which the SDK's clients show who we are.
const CREDENTIALS: [&str; 2] = ["authorization", "x-identity-header"];
/// For a token or a secret, which others wait for.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);

/// Whose answers an SDK client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Storage,
    KeyVault,
    Entra,
    /// The endpoint that the platform gives an app for its managed identity.
    Identity,
}

impl Service {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Storage => "the storage",
            Self::KeyVault => "Key Vault",
            Self::Entra => "Entra ID",
            Self::Identity => "the platform's identity endpoint",
        }
    }

    /// The settings that say where it is.
    pub(super) fn settings(self) -> &'static str {
        match self {
            Self::Storage => "STORAGE_ACCOUNT_NAME, STORAGE_BLOB_ENDPOINT or AzureWebJobsStorage",
            Self::KeyVault => "KEY_VAULT_URL",
            Self::Entra => "AZURE_AUTHORITY_HOST and AZURE_CLOUD",
            Self::Identity => "IDENTITY_ENDPOINT, which the platform sets",
        }
    }
}

/// Options under which every SDK client works: our transport, and no retries inside the SDK. A retry there
/// would turn the lost reply to a conditional write into a conflict with our own write, and the retry of a
/// refused connection outlasts a pass's patience; the callers retry with their deadline in hand.
pub fn client_options(transport: &Transport, service: Service) -> ClientOptions {
    ClientOptions {
        transport: Some(sdk_transport(transport, service)),
        retry: RetryOptions::none(),
        ..ClientOptions::default()
    }
}

/// The same for credentials, with tokens from the given authority (scheme and host).
pub fn credential_options(transport: &Transport, authority_host: &str) -> ClientOptions {
    let mut cloud = CustomConfiguration::default();
    authority_host.clone_into(&mut cloud.authority_host);
    ClientOptions {
        cloud: Some(Arc::new(CloudConfiguration::from(cloud))),
        ..client_options(transport, Service::Entra)
    }
}

/// Lets an SDK client's `work` go on for half a minute: the SDK itself sets no limit.
///
/// # Errors
/// The work's own, or that the time is over.
pub async fn within_limit<T>(work: impl Future<Output = azure_core::Result<T>>) -> azure_core::Result<T> {
    match tokio::time::timeout(TIMEOUT, work).await {
        Ok(result) => result,
        Err(_) => Err(Error::with_message(ErrorKind::Io, format!("no answer within {}", seconds(&TIMEOUT)))),
    }
}

/// Whether the same request may go well a little later.
pub fn is_transient(error: &Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        let sdk = error.downcast_ref::<Error>();
        let may_pass = sdk.is_some_and(|error| match error.kind() {
            ErrorKind::Io | ErrorKind::Connection => true,
            ErrorKind::HttpResponse { status, .. } => is_transient_status(u16::from(*status)),
            _ => false,
        });
        if may_pass || error.is::<NotYet>() {
            return true;
        }
        next = error.source();
    }
    false
}

fn sdk_transport(transport: &Transport, service: Service) -> azure_core::http::Transport {
    azure_core::http::Transport::new(Arc::new(Client { transport: transport.clone(), service }))
}

struct Client {
    transport: Transport,
    service: Service,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transport")
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn execute_request(
        &self,
        request: &azure_core::http::Request,
    ) -> azure_core::Result<AsyncRawResponse> {
        let body = match request.body() {
            Body::Bytes(bytes) => bytes.clone(),
            Body::SeekableStream(stream) => {
                let mut stream = stream.clone();
                azure_core::stream::SeekableStream::reset(&mut *stream).await?;
                read_all(stream).await?
            }
        };
        let mut builder =
            http::Request::builder().method(request.method().as_ref()).uri(request.url().as_str());
        for (name, value) in request.headers().iter() {
            let value = http::HeaderValue::from_str(value.as_str());
            let mut value = value.map_err(|error| Error::new(ErrorKind::Other, error))?;
            // No debug print shows who we are.
            value.set_sensitive(CREDENTIALS.contains(&name.as_str()));
            builder = builder.header(name.as_str(), value);
        }
        if self.service == Service::Identity {
            builder = builder.extension(Direct);
        }
        let request = builder.body(body).map_err(|error| Error::new(ErrorKind::Other, error))?;
        let response =
            self.transport.send(request).await.map_err(|error| Error::new(ErrorKind::Io, error))?;
        let (parts, body) = response.into_parts();
        let headers: HashMap<HeaderName, HeaderValue> = parts
            .headers
            .iter()
            .filter_map(|(name, value)| {
                let value = value.to_str().ok()?.to_owned();
                Some((HeaderName::from(name.as_str().to_owned()), HeaderValue::from(value)))
            })
            .collect();
        let status = parts.status.as_u16().into();
        let mut answer = Answer { status: parts.status, headers: parts.headers, body: Bytes::new() };
        if let Some(target) = redirect(&answer) {
            let (status, service) = (answer.status.as_u16(), self.service);
            let told = format!("{} {}", service.name(), redirected(status, &target, service.settings()));
            return Err(Error::with_message(ErrorKind::Other, told));
        }
        if self.service == Service::Storage {
            let body = body.into_data_stream().map_err(|error| Error::new(ErrorKind::Io, error));
            return Ok(AsyncRawResponse::new(status, Headers::from(headers), Box::pin(body)));
        }
        let bytes = axum::body::to_bytes(body, ANSWER_BYTES).await;
        answer.body = bytes.map_err(|error| Error::new(ErrorKind::Io, error))?;
        // What is no answer of the service's is none yet: it is asked again, and no setting is blamed.
        match checked(self.service, &answer) {
            Ok(body) => Ok(AsyncRawResponse::from_bytes(status, Headers::from(headers), body)),
            Err(problem) => Err(Error::new(ErrorKind::Other, NotYet(problem))),
        }
    }
}

/// Something answered, and it was not the service, or not yet. Not an error of input and output: those the SDK's
/// credential for virtual machines tries again by itself, for longer than we wait.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NotYet(pub(super) String);

/// The body as the SDK reads it, if it is an answer of the service's. A body that may hold a secret is never quoted.
pub(super) fn checked(service: Service, answer: &Answer) -> Result<Vec<u8>, String> {
    let status = answer.status.as_u16();
    if matches!(status, 407 | 511) || matches!(status, 401 | 403) && page_for_people(answer).is_some() {
        return Err(rejected_in_between(status, service.name(), &excerpt(&answer.body), service.settings()));
    }
    let members = object::<Map<String, Value>>(&answer.body);
    if answer.status.is_success() {
        let no_answer = |problem: &str| {
            format!("the answer is not one of {}, perhaps a proxy's in between: {problem}", service.name())
        };
        let members = members.map_err(|_| no_answer("no object of JSON"))?;
        if let Some(told) = error(&members) {
            return Err(no_answer(&told));
        }
        return match service {
            Service::Entra | Service::Identity => {
                token(members).ok_or_else(|| no_answer("no access_token in it"))
            }
            Service::KeyVault if !members.get("value").is_some_and(Value::is_string) => {
                Err(no_answer("no value in it"))
            }
            Service::KeyVault | Service::Storage => Ok(answer.body.to_vec()),
        };
    }
    match service {
        // The SDK reads a gateway's page as a rejection of Entra's in a wrong form.
        Service::Entra => match members {
            Ok(members) if members.contains_key("error") && !answer.status.is_server_error() => {
                Ok(plain(members))
            }
            _ => Err(format!("it answered {status}: {}", excerpt(&answer.body))),
        },
        _ => Ok(answer.body.to_vec()),
    }
}

/// An answer with a token, as the SDK reads it: it takes the life of a token in one form alone, and the endpoints of
/// several generations of the platform give it in others.
fn token(mut members: Map<String, Value>) -> Option<Vec<u8>> {
    let token = members.get("access_token").and_then(Value::as_str).unwrap_or_default();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let now = azure_core::time::OffsetDateTime::now_utc().unix_timestamp();
    let life = members.get("expires_in").and_then(seconds_in);
    let until = members.get("expires_on").and_then(|until| seconds_in(until).or_else(|| date_in(until)));
    let until = until.or(life.map(|life| now.saturating_add(life))).unwrap_or(now + UNSTATED_LIFE);
    let life = life.unwrap_or(until.saturating_sub(now));
    members.insert("expires_on".to_owned(), until.to_string().into());
    for name in ["expires_in", "ext_expires_in"] {
        members.insert(name.to_owned(), life.into());
    }
    for (name, default) in [("token_type", "Bearer"), ("resource", "")] {
        let given = members.entry(name).or_insert(Value::Null);
        if !given.is_string() {
            *given = default.into();
        }
    }
    serde_json::to_vec(&members).ok()
}

/// Seconds, as a number or as a text.
fn seconds_in(value: &Value) -> Option<i64> {
    let seconds = match value {
        Value::String(text) => text.trim().parse().ok()?,
        other => other.as_f64()?,
    };
    // What lies beyond is no time that anybody could mean.
    #[expect(clippy::cast_possible_truncation, reason = "it fits")]
    (0.0..=1e11).contains(&seconds).then_some(seconds as i64)
}

/// A date, by RFC 3339 or as the identity endpoint's version of 2017 writes it (learn.microsoft.com, "How to use
/// managed identities for App Service": `09/14/2017 00:00:00 PM +00:00`).
fn date_in(value: &Value) -> Option<i64> {
    let text = value.as_str()?.trim();
    let date = DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%m/%d/%Y %I:%M:%S %p %z"))
        .or_else(|_| {
            DateTime::parse_from_str(&text.replace(" AM", "").replace(" PM", ""), "%m/%d/%Y %H:%M:%S %z")
        });
    date.ok().map(|date| date.timestamp())
}

/// A rejection of Entra's without escapes in its description. azure_identity 1.0.0 borrows that text from the
/// body, which fails for every real one (it has `\r\n` in it), and then the reason would be lost.
fn plain(mut rejection: Map<String, Value>) -> Vec<u8> {
    if let Some(description) = rejection.get_mut("error_description") {
        let first_line = description.as_str().and_then(|text| text.lines().next()).unwrap_or_default();
        *description = first_line.replace(['"', '\\'], "'").replace(char::is_control, " ").into();
    }
    serde_json::to_vec(&rejection).unwrap_or_default()
}

async fn read_all(mut stream: Box<dyn azure_core::stream::SeekableStream>) -> azure_core::Result<Bytes> {
    use futures::AsyncReadExt;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.map_err(|error| Error::new(ErrorKind::Io, error))?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn until(members: Value) -> i64 {
        let Value::Object(members) = members else { panic!("an object") };
        let token: Value = serde_json::from_slice(&token(members).unwrap()).unwrap();
        assert!(token["expires_in"].is_i64() && token["token_type"].is_string(), "{token}");
        token["expires_on"].as_str().unwrap().parse().unwrap()
    }

    #[test]
    fn the_end_of_a_token_is_read_in_every_form() {
        for end in [
            json!("1586984735"),
            json!(1_586_984_735),
            json!(1_586_984_735.0),
            json!("2020-04-15T21:05:35Z"),
            json!("2020-04-15T23:05:35+02:00"),
            json!("04/15/2020 09:05:35 PM +00:00"),
            json!("4/15/2020 9:05:35 PM +00:00"),
            json!("04/15/2020 21:05:35 +00:00"),
            json!("04/15/2020 21:05:35 PM +00:00"),
        ] {
            assert_eq!(until(json!({"access_token": "x", "expires_on": end})), 1_586_984_735, "{end}");
        }
        let now = azure_core::time::OffsetDateTime::now_utc().unix_timestamp();
        for (members, life) in [
            (json!({"access_token": "x", "expires_in": "3599"}), 3599),
            (json!({"access_token": "x", "expires_in": 3599, "expires_on": null}), 3599),
            (json!({"access_token": "x", "expires_on": "soon"}), UNSTATED_LIFE),
            (json!({"access_token": "x", "expires_on": 1e300}), UNSTATED_LIFE),
        ] {
            assert!((until(members.clone()) - now - life).abs() <= 2, "{members}");
        }
        for none in [
            json!({}),
            json!({"access_token": ""}),
            json!({"access_token": 7}),
            json!({"access_token": "a\nb"}),
        ] {
            assert_eq!(none.as_object().cloned().and_then(token), None, "{none}");
        }
    }
}
