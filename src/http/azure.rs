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
use futures::TryStreamExt;

use super::{
    error::{excerpt, seconds},
    transport::Transport,
};

/// More than any refusal of Entra's.
const REFUSAL_BYTES: usize = 64 * 1024;
/// Headers by which the SDK's clients show who we are.
const CREDENTIALS: [&str; 2] = ["authorization", "x-identity-header"];
/// For a token or a secret, which others wait for.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Options under which every SDK client works: our transport, and no retries inside the SDK. A retry there
/// would turn the lost reply to a conditional write into a conflict with our own write, and the retry of a
/// refused connection outlasts a pass's patience; the callers retry with their deadline in hand.
pub fn client_options(transport: &Transport) -> ClientOptions {
    ClientOptions {
        transport: Some(sdk_transport(transport, false)),
        retry: RetryOptions::none(),
        ..ClientOptions::default()
    }
}

/// The same for credentials, with tokens from the given authority (scheme and host).
pub fn credential_options(transport: &Transport, authority_host: &str) -> ClientOptions {
    let mut cloud = CustomConfiguration::default();
    authority_host.clone_into(&mut cloud.authority_host);
    ClientOptions {
        transport: Some(sdk_transport(transport, true)),
        cloud: Some(Arc::new(CloudConfiguration::from(cloud))),
        ..client_options(transport)
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
    let itself = match error.kind() {
        ErrorKind::Io | ErrorKind::Connection => true,
        ErrorKind::HttpResponse { status, .. } => matches!(u16::from(*status), 408 | 429 | 500..=599),
        _ => false,
    };
    let beneath = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Error>());
    itself || beneath.is_some_and(is_transient)
}

fn sdk_transport(transport: &Transport, plain_refusals: bool) -> azure_core::http::Transport {
    azure_core::http::Transport::new(Arc::new(Client { transport: transport.clone(), plain_refusals }))
}

struct Client {
    transport: Transport,
    plain_refusals: bool,
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
        if self.plain_refusals && !parts.status.is_success() {
            let bytes = axum::body::to_bytes(body, REFUSAL_BYTES).await;
            let bytes = bytes.map_err(|error| Error::new(ErrorKind::Io, error))?;
            // The SDK reads a gateway's page as a refusal of Entra's in a wrong form.
            if parts.status.is_server_error() {
                let reason = format!("it answered {}: {}", parts.status.as_u16(), excerpt(&bytes));
                return Err(Error::with_message(ErrorKind::Io, reason));
            }
            return Ok(AsyncRawResponse::from_bytes(status, Headers::from(headers), plain(&bytes)));
        }
        let body = body.into_data_stream().map_err(|error| Error::new(ErrorKind::Io, error));
        Ok(AsyncRawResponse::new(status, Headers::from(headers), Box::pin(body)))
    }
}

/// A refusal of Entra's without escapes in its description. azure_identity 1.0.0 borrows that text from the
/// body, which fails for every real one (it has `\r\n` in it), and then the reason would be lost.
fn plain(refusal: &[u8]) -> Vec<u8> {
    let Ok(mut refusal) = serde_json::from_slice::<serde_json::Value>(refusal) else {
        return refusal.to_vec();
    };
    if let Some(description) = refusal.get_mut("error_description") {
        let first_line = description.as_str().and_then(|text| text.lines().next()).unwrap_or_default();
        *description = first_line.replace(['"', '\\'], "'").replace(char::is_control, " ").into();
    }
    serde_json::to_vec(&refusal).unwrap_or_default()
}

async fn read_all(mut stream: Box<dyn azure_core::stream::SeekableStream>) -> azure_core::Result<Bytes> {
    use futures::AsyncReadExt;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.map_err(|error| Error::new(ErrorKind::Io, error))?;
    Ok(bytes.into())
}
