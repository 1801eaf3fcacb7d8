//! How a request travels: over the network, or into a handler in this process.
//!
//! Every client takes a [`Transport`], and so do the Azure SDK's (see [`super::azure`]). A whole app can
//! therefore run against stand-ins in one process on tokio's paused clock, where real sockets would run into
//! time-outs that never passed.

use std::{
    error::Error,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, Request, Response, StatusCode, header},
};
use futures::{StreamExt, future::BoxFuture};

use super::error::{HttpError, chain};

/// A handler that takes the network's place.
pub type Handler = Arc<
    dyn Fn(Request<Bytes>) -> BoxFuture<'static, Result<Response<Body>, Box<dyn Error + Send + Sync>>>
        + Send
        + Sync,
>;

/// Handle on the way requests go; clones share one pool of connections.
#[derive(Clone)]
pub enum Transport {
    Network(Arc<Network>),
    InProcess(Handler),
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Connection pools, made when first used: loading the root certificates takes longer than everything else at
/// start, and `GET /` must not wait for it.
#[derive(Default)]
pub struct Network {
    decompressing: OnceLock<reqwest::Client>,
    /// Blob storage's ETags and lengths speak of the bytes as stored.
    verbatim: OnceLock<reqwest::Client>,
}

impl Network {
    fn client(&self, verbatim: bool) -> &reqwest::Client {
        let slot = if verbatim { &self.verbatim } else { &self.decompressing };
        slot.get_or_init(|| {
            reqwest::Client::builder()
                .gzip(!verbatim)
                // An answer elsewhere is a proxy's, not the service's; following it could carry a token away.
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(Duration::from_secs(20))
                .pool_idle_timeout(Duration::from_secs(90))
                .build()
                .expect("the client is built from constants and the system's root certificates")
        })
    }
}

impl Transport {
    pub fn network() -> Self {
        Self::Network(Arc::default())
    }

    /// Sends `request` (absolute URI) and returns the answer as soon as its head is there. `verbatim` leaves a
    /// compressed body as it is.
    ///
    /// # Errors
    /// No connection, or a broken one.
    pub async fn send(&self, request: Request<Bytes>, verbatim: bool) -> Result<Response<Body>, HttpError> {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        match self {
            Self::InProcess(handler) => handler(request)
                .await
                .map_err(|error| HttpError::Interrupted { host, reason: chain(error.as_ref()) }),
            Self::Network(network) => {
                let (parts, body) = request.into_parts();
                let request = network
                    .client(verbatim)
                    .request(parts.method, parts.uri.to_string())
                    .headers(parts.headers)
                    .body(body);
                let response = request.send().await.map_err(|error| {
                    let is_connect = error.is_connect();
                    let reason = chain(&error.without_url());
                    if is_connect {
                        HttpError::Connect { host, reason }
                    } else {
                        HttpError::Interrupted { host, reason }
                    }
                })?;
                let mut answer = Response::new(());
                *answer.status_mut() = response.status();
                *answer.headers_mut() = response.headers().clone();
                Ok(answer.map(|()| Body::from_stream(response.bytes_stream())))
            }
        }
    }

    /// Sends `request` and reads the whole answer.
    ///
    /// # Errors
    /// As [`Transport::send`]; an answer that is not whole within `limit`, or longer than `limit_bytes`.
    pub async fn fetch(
        &self,
        request: Request<Bytes>,
        limit: Duration,
        limit_bytes: usize,
    ) -> Result<Answer, HttpError> {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let whole = async {
            let (parts, body) = self.send(request, false).await?.into_parts();
            let length = parts
                .headers
                .get(header::CONTENT_LENGTH)
                .and_then(|length| length.to_str().ok()?.parse().ok());
            let body = read(body, &host, length.unwrap_or(0), limit_bytes).await?;
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        match tokio::time::timeout(limit, whole).await {
            Ok(answer) => answer,
            Err(_) => Err(HttpError::Timeout { host, limit }),
        }
    }
}

/// `length` is what the body is said to have; what it has is what counts.
async fn read(body: Body, host: &str, length: usize, limit_bytes: usize) -> Result<Bytes, HttpError> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::with_capacity(length.min(limit_bytes));
    while let Some(chunk) = stream.next().await {
        let chunk =
            chunk.map_err(|error| HttpError::Interrupted { host: host.to_owned(), reason: chain(&error) })?;
        if bytes.len() + chunk.len() > limit_bytes {
            return Err(HttpError::TooLarge { host: host.to_owned(), limit_bytes });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.into())
}
