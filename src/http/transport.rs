//! How a request travels: over the network, or into a handler in this process.
//!
//! Every client takes a [`Transport`], and so do the Azure SDK's (see [`crate::azure::sdk`]). A whole app can
//! therefore run against stand-ins in one process on tokio's paused clock, where real sockets would run into
//! time-outs that never passed.

use std::{
    error::Error,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header},
};
use futures::{StreamExt, future::BoxFuture};

use super::{
    coding::{ACCEPTED, Packed, Unpacker, unpacked},
    error::{HttpError, chain},
};

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

/// Pools of connections, made when first used: loading the root certificates takes longer than everything else at
/// start, and `GET /` must not wait for it.
#[derive(Default)]
pub struct Network {
    /// By the proxy that the environment names for a host, if it names one.
    proxied: OnceLock<Result<reqwest::Client, String>>,
    direct: OnceLock<Result<reqwest::Client, String>>,
}

/// Put on a request that no proxy may see: the platform's identity endpoint is on this machine, and what it asks for and
/// gives are secrets in plain text.
#[derive(Clone, Copy, Debug)]
pub struct Direct;

/// Edges and gateways reject requests that do not say what sends them.
const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("mati-sync/", env!("CARGO_PKG_VERSION")));

impl Network {
    fn client(&self, is_direct: bool) -> Result<&reqwest::Client, String> {
        let cell = if is_direct { &self.direct } else { &self.proxied };
        let made = cell.get_or_init(|| {
            let builder = reqwest::Client::builder()
                // For the proxy as well, which hears of a tunnel before the service hears of a request.
                .user_agent(USER_AGENT)
                // An answer elsewhere is a proxy's, not the service's; following it could carry a token away.
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(Duration::from_secs(20))
                .pool_idle_timeout(Duration::from_secs(90));
            let builder = if is_direct { builder.no_proxy() } else { builder };
            builder.build().map_err(|error| {
                format!(
                    "no connection can be made from here: {}; check SSL_CERT_FILE and SSL_CERT_DIR, if they are set, and HTTP_PROXY and HTTPS_PROXY",
                    chain(&error)
                )
            })
        });
        made.as_ref().map_err(Clone::clone)
    }
}

impl Transport {
    pub fn network() -> Self {
        Self::Network(Arc::default())
    }

    /// Sends `request` (absolute URI) and returns the answer as soon as its head is there, its body as it comes: blob
    /// storage's ETags and lengths speak of the bytes as stored.
    ///
    /// # Errors
    /// No connection, or a broken one.
    pub async fn send(&self, mut request: Request<Bytes>) -> Result<Response<Body>, HttpError> {
        request.headers_mut().entry(header::USER_AGENT).or_insert(USER_AGENT);
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        match self {
            Self::InProcess(handler) => handler(request)
                .await
                .map_err(|error| HttpError::Unanswered { host, reason: chain(error.as_ref()) }),
            Self::Network(network) => {
                let (parts, body) = request.into_parts();
                let client = network.client(parts.extensions.get::<Direct>().is_some());
                let client = client.map_err(|reason| HttpError::Connect { host: host.clone(), reason })?;
                let request =
                    client.request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body);
                let response = request.send().await.map_err(|error| {
                    let is_connect = error.is_connect();
                    let reason = in_words(chain(&error.without_url()));
                    if is_connect {
                        HttpError::Connect { host, reason }
                    } else {
                        HttpError::Unanswered { host, reason }
                    }
                })?;
                let mut answer = Response::new(());
                *answer.status_mut() = response.status();
                *answer.headers_mut() = response.headers().clone();
                Ok(answer.map(|()| Body::from_stream(response.bytes_stream())))
            }
        }
    }

    /// Sends `request` and reads the whole answer, which may come compressed.
    ///
    /// # Errors
    /// As [`Transport::send`]; an answer that is not whole within `limit`, or longer than `limit_bytes`.
    pub async fn fetch(
        &self,
        mut request: Request<Bytes>,
        limit: Duration,
        limit_bytes: usize,
    ) -> Result<Answer, HttpError> {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        request.headers_mut().entry(header::ACCEPT_ENCODING).or_insert(ACCEPTED);
        let whole = async {
            let (parts, body) = self.send(request).await?.into_parts();
            let length = parts
                .headers
                .get(header::CONTENT_LENGTH)
                .and_then(|length| length.to_str().ok()?.parse().ok());
            let body = read(body, &host, length.unwrap_or(0), limit_bytes).await?;
            let body = unpacked(&parts.headers, body, limit_bytes).map_err(|problem| match problem {
                Packed::TooLarge => HttpError::TooLarge { host: host.clone(), limit_bytes },
                Packed::Unreadable(reason) => HttpError::Interrupted { host: host.clone(), reason },
            })?;
            Ok(Answer { status: parts.status, headers: parts.headers, body: body.into() })
        };
        match tokio::time::timeout(limit, whole).await {
            Ok(answer) => answer,
            Err(_) => Err(HttpError::Timeout { host, limit }),
        }
    }
}

/// An answer that was handed on as it came has no body here; any other has its beginning.
const LONGEST_ERROR: usize = 1024 * 1024;

impl Transport {
    /// Sends `request` and hands the body of a success on to `take`, part by part as it comes, unpacked; it is never in
    /// memory as a whole. Any other answer is read whole.
    ///
    /// # Errors
    /// As [`Transport::fetch`]. What was handed on before is then the beginning of a body.
    pub async fn stream(
        &self,
        mut request: Request<Bytes>,
        limit: Duration,
        limit_bytes: usize,
        take: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Answer, HttpError> {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        request.headers_mut().entry(header::ACCEPT_ENCODING).or_insert(ACCEPTED);
        let packed = |problem: Packed| match problem {
            Packed::TooLarge => HttpError::TooLarge { host: host.clone(), limit_bytes },
            Packed::Unreadable(reason) => HttpError::Interrupted { host: host.clone(), reason },
        };
        let whole = async {
            let (parts, body) = self.send(request).await?.into_parts();
            if parts.status != StatusCode::OK {
                let body = read(body, &host, 0, LONGEST_ERROR).await?;
                let body = unpacked(&parts.headers, body, LONGEST_ERROR).map_err(packed)?;
                return Ok(Answer { status: parts.status, headers: parts.headers, body: body.into() });
            }
            let mut unpacker = Unpacker::of(&parts.headers).map_err(packed)?;
            let mut length = 0;
            let mut stream = body.into_data_stream();
            while let Some(part) = stream.next().await {
                let interrupted =
                    |error| HttpError::Interrupted { host: host.clone(), reason: chain(&error) };
                let part = part.map_err(interrupted)?;
                let handed_on = |part: &[u8]| {
                    length += part.len();
                    take(part);
                };
                unpacker.push(&part, handed_on).map_err(packed)?;
                if length > limit_bytes {
                    return Err(packed(Packed::TooLarge));
                }
            }
            unpacker.finish(&mut *take).map_err(packed)?;
            Ok(Answer { status: parts.status, headers: parts.headers, body: Bytes::new() })
        };
        match tokio::time::timeout(limit, whole).await {
            Ok(answer) => answer,
            Err(_) => Err(HttpError::Timeout { host: host.clone(), limit }),
        }
    }
}

/// Why there is no connection. What a proxy says of one is told as the proxy's: the service never heard of it.
fn in_words(reason: String) -> String {
    const OF_A_PROXY: [&str; 3] = ["tunnel", "proxy authorization", "proxy authentication"];
    let lower = reason.to_lowercase();
    if OF_A_PROXY.iter().any(|words| lower.contains(words)) {
        return format!(
            "{reason}; the proxy of HTTPS_PROXY or HTTP_PROXY does not let the app through: look at its rules for this host, and at its user and password"
        );
    }
    reason
}

/// `length` is what the body is said to have; what it has is what counts.
async fn read(body: Body, host: &str, length: usize, limit_bytes: usize) -> Result<Vec<u8>, HttpError> {
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
    Ok(bytes)
}
