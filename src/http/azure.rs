//! The Azure SDK on our transport.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use axum::{body::Bytes, http::Request};
use azure_core::{
    cloud::{CloudConfiguration, CustomConfiguration},
    error::{Error, ErrorKind},
    http::{
        AsyncRawResponse, Body, ClientOptions, HttpClient, RetryOptions,
        headers::{HeaderName, HeaderValue, Headers},
    },
};
use futures::TryStreamExt;

use super::transport::Transport;

/// Options under which every SDK client works: our transport, and no retries inside the SDK. A retry there
/// would turn the lost reply to a conditional write into a conflict with our own write, and the retry of a
/// refused connection outlasts a pass's patience; the callers retry with their deadline in hand.
pub fn client_options(transport: &Transport) -> ClientOptions {
    ClientOptions {
        transport: Some(azure_core::http::Transport::new(Arc::new(Client(transport.clone())))),
        retry: RetryOptions::none(),
        ..ClientOptions::default()
    }
}

/// The same, with tokens from the given authority (scheme and host).
pub fn client_options_with_authority(transport: &Transport, authority_host: &str) -> ClientOptions {
    let mut cloud = CustomConfiguration::default();
    authority_host.clone_into(&mut cloud.authority_host);
    ClientOptions { cloud: Some(Arc::new(CloudConfiguration::from(cloud))), ..client_options(transport) }
}

struct Client(Transport);

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
        let mut builder = Request::builder().method(request.method().as_ref()).uri(request.url().as_str());
        for (name, value) in request.headers().iter() {
            builder = builder.header(name.as_str(), value.as_str());
        }
        let request = builder.body(body).map_err(|error| Error::new(ErrorKind::Other, error))?;
        let response =
            self.0.send(request, true).await.map_err(|error| Error::new(ErrorKind::Io, error))?;
        let (parts, body) = response.into_parts();
        let headers: HashMap<HeaderName, HeaderValue> = parts
            .headers
            .iter()
            .filter_map(|(name, value)| {
                let value = value.to_str().ok()?.to_owned();
                Some((HeaderName::from(name.as_str().to_owned()), HeaderValue::from(value)))
            })
            .collect();
        let body = body.into_data_stream().map_err(|error| Error::new(ErrorKind::Io, error));
        Ok(AsyncRawResponse::new(parts.status.as_u16().into(), Headers::from(headers), Box::pin(body)))
    }
}

async fn read_all(
    mut stream: Box<dyn azure_core::stream::SeekableStream>,
) -> azure_core::Result<Bytes> {
    use futures::AsyncReadExt;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.map_err(|error| Error::new(ErrorKind::Io, error))?;
    Ok(bytes.into())
}
