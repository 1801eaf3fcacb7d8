//! The network between mati-sync and the stand-ins: who answers under which name, and what goes wrong.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Method, Request, Response, StatusCode, Uri},
    serve::ListenerExt,
};
use futures::StreamExt;
use tokio::net::TcpListener;
use tower::ServiceExt;

use crate::tls::Tls;

/// One request as it left the client, for hooks and for the log of exchanges.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Counts from 0 over the life of the network.
    pub number: u64,
    pub method: Method,
    /// Host and, where not the scheme's default, port.
    pub authority: String,
    pub uri: Uri,
    pub headers: HeaderMap,
    /// Of the body, in bytes.
    pub length: usize,
}

/// What goes wrong with one exchange. `…Before` means the service never saw the request;
/// `…After` means it did all its work and the answer was lost: the case where sync services lose or double data.
#[derive(Clone, Debug)]
pub enum Fault {
    /// No server listens.
    Refuse,
    ResetBefore,
    ResetAfter,
    /// The answer's head arrives, then the given number of body bytes, then a reset.
    ResetInBody(usize),
    /// Something in between answers instead of the service (a proxy's page, a gateway's 503).
    AnswerBefore(StatusCode, HeaderMap, Bytes),
    /// The service does its work, something in between answers.
    AnswerAfter(StatusCode, HeaderMap, Bytes),
    /// The request arrives late.
    DelayBefore(Duration),
    /// The answer arrives late.
    DelayAfter(Duration),
    /// No answer ever comes.
    Hang,
}

impl Fault {
    /// A plain answer in the place of the service's, before it saw the request.
    pub fn status(status: u16) -> Self {
        let status = StatusCode::from_u16(status).expect("a status code");
        Self::AnswerBefore(status, HeaderMap::new(), Bytes::new())
    }
}

/// Why a call over [`Net`] failed, in the words a client would see.
#[derive(Debug)]
pub enum NetError {
    Rejected,
    Reset,
}

impl std::fmt::Display for NetError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Rejected => "connection refused",
            Self::Reset => "connection reset by peer",
        })
    }
}

impl std::error::Error for NetError {}

type Hook = Arc<dyn Fn(&Exchange) -> Option<Fault> + Send + Sync>;

#[derive(Default)]
struct Inner {
    hosts: HashMap<String, Router>,
    hooks: Vec<Hook>,
    log: Vec<Exchange>,
}

/// An in-process network. Cloning gives another handle on the same network.
#[derive(Clone, Default)]
pub struct Net(Arc<Mutex<Inner>>);

impl Net {
    pub fn new() -> Self {
        Self::default()
    }

    /// `router` answers under `authority` (host, or host:port where the port is not the scheme's default).
    pub fn host(&self, authority: &str, router: Router) {
        self.0.lock().unwrap().hosts.insert(authority.to_ascii_lowercase(), router);
    }

    /// Asks `hook` before every exchange; the first hook that names a fault decides.
    pub fn on_request(&self, hook: impl Fn(&Exchange) -> Option<Fault> + Send + Sync + 'static) {
        self.0.lock().unwrap().hooks.push(Arc::new(hook));
    }

    /// Every exchange so far, oldest first.
    pub fn log(&self) -> Vec<Exchange> {
        self.0.lock().unwrap().log.clone()
    }

    /// Sends one request (absolute URI) and waits for its answer.
    pub async fn call(&self, request: Request<Bytes>) -> Result<Response<Body>, NetError> {
        let (router, fault) = self.admit(&request)?;
        match fault {
            None => Ok(answer(router, request).await),
            Some(Fault::Refuse) => Err(NetError::Rejected),
            Some(Fault::ResetBefore) => Err(NetError::Reset),
            Some(Fault::ResetAfter) => {
                answer(router, request).await;
                Err(NetError::Reset)
            }
            Some(Fault::ResetInBody(length)) => {
                Ok(answer(router, request).await.map(|body| cut(body, length)))
            }
            Some(Fault::AnswerBefore(status, headers, body)) => Ok(plain(status, headers, body)),
            Some(Fault::AnswerAfter(status, headers, body)) => {
                answer(router, request).await;
                Ok(plain(status, headers, body))
            }
            Some(Fault::DelayBefore(delay)) => {
                tokio::time::sleep(delay).await;
                Ok(answer(router, request).await)
            }
            Some(Fault::DelayAfter(delay)) => {
                let response = answer(router, request).await;
                tokio::time::sleep(delay).await;
                Ok(response)
            }
            Some(Fault::Hang) => std::future::pending().await,
        }
    }

    fn admit(&self, request: &Request<Bytes>) -> Result<(Router, Option<Fault>), NetError> {
        let authority =
            request.uri().authority().map(|a| a.as_str().to_ascii_lowercase()).unwrap_or_default();
        let mut inner = self.0.lock().unwrap();
        let exchange = Exchange {
            number: inner.log.len() as u64,
            method: request.method().clone(),
            authority: authority.clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
            length: request.body().len(),
        };
        inner.log.push(exchange.clone());
        let hooks = inner.hooks.clone();
        let router = inner.hosts.get(&authority).cloned();
        drop(inner);
        let fault = hooks.iter().find_map(|hook| hook(&exchange));
        Ok((router.ok_or(NetError::Rejected)?, fault))
    }
}

async fn answer(router: Router, request: Request<Bytes>) -> Response<Body> {
    match router.oneshot(request.map(Body::from)).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn plain(status: StatusCode, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn cut(body: Body, length: usize) -> Body {
    let mut left = length;
    let mut ended = false;
    Body::from_stream(
        body.into_data_stream()
            .map(move |chunk| {
                if ended {
                    return Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
                }
                let chunk = chunk.map_err(std::io::Error::other)?;
                let taken = chunk.slice(..chunk.len().min(left));
                left -= taken.len();
                ended = left == 0;
                Ok(taken)
            })
            .chain(futures::stream::once(async {
                Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
            })),
    )
}

/// Serves `router` on a free loopback port until the runtime ends; with `tls`, over https.
pub async fn serve(router: Router, tls: Option<&Tls>) -> std::io::Result<SocketAddr> {
    serve_at(0, router, tls, &Arc::default()).await
}

/// The same on a port that is given (0: any that is free), and counts the connections.
pub async fn serve_at(
    port: u16,
    router: Router,
    tls: Option<&Tls>,
    connections: &Arc<AtomicUsize>,
) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let address = listener.local_addr()?;
    match tls {
        None => {
            let connections = Arc::clone(connections);
            let listener = listener.tap_io(move |_| {
                connections.fetch_add(1, Ordering::Relaxed);
            });
            tokio::spawn(async move { axum::serve(listener, router).await })
        }
        Some(tls) => {
            let listener = tls.listener(listener, Arc::clone(connections));
            tokio::spawn(async move { axum::serve(listener, router).await })
        }
    };
    Ok(address)
}
