//! Azure Blob Storage: the part of its REST service that keeps state needs, in memory.
//!
//! Statuses and error codes follow the service's reference and what its emulator answers; whatever is
//! not modelled answers 501, so that a test notices. Nothing here is ever lost: faults are the network's.

mod answer;
mod append;
mod lease;
mod model;
mod request;
mod serve;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::Method,
    response::Response,
};

use crate::{clock::Now, entra::Entra};
use model::Account;
use request::Call;

/// What storage's tokens are issued for.
pub const AUDIENCE: &str = "https://storage.azure.com";

/// What a request shows to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials<'a> {
    Bearer(&'a str),
    /// The signature of a shared access signature, from the query.
    Signature(&'a str),
    /// An account key's signature, from the header.
    SharedKey(&'a str),
}

type Authorize = Arc<dyn Fn(Credentials<'_>) -> bool + Send + Sync>;

struct Inner {
    account: Account,
    authorize: Authorize,
    /// Whether callers lack the role for the data, as right after a deployment.
    forbidden: bool,
    operations: Vec<(Method, String)>,
}

/// A handle on one storage account; clones share it.
#[derive(Clone)]
pub struct BlobService {
    now: Now,
    inner: Arc<Mutex<Inner>>,
}

impl BlobService {
    /// An empty account that, until told otherwise, takes any credentials but not none.
    pub fn new(now: Now) -> Self {
        let inner = Inner {
            account: Account::default(),
            authorize: Arc::new(|_| true),
            forbidden: false,
            operations: Vec::new(),
        };
        Self { now, inner: Arc::new(Mutex::new(inner)) }
    }

    /// Asks `check` about the credentials of every request.
    pub fn authorize(&self, check: impl Fn(Credentials<'_>) -> bool + Send + Sync + 'static) {
        self.lock().authorize = Arc::new(check);
    }

    /// Takes only tokens `entra` issued for storage.
    pub fn trust(&self, entra: &Entra) {
        let entra = entra.clone();
        self.authorize(move |credentials| match credentials {
            Credentials::Bearer(token) => entra.verify(token, AUDIENCE),
            Credentials::Signature(_) | Credentials::SharedKey(_) => false,
        });
    }

    /// Whether every caller is rejected for want of a role (403 AuthorizationPermissionMismatch).
    pub fn forbid(&self, forbidden: bool) {
        self.lock().forbidden = forbidden;
    }

    /// Every blob's content, by `container/name`.
    pub fn blobs(&self) -> BTreeMap<String, Vec<u8>> {
        let inner = self.lock();
        let named = |container: &str, name: &str| format!("{container}/{name}");
        let containers = inner.account.containers.iter();
        containers
            .flat_map(|(container, held)| {
                held.blobs.iter().map(move |(name, blob)| (named(container, name), blob.content.to_vec()))
            })
            .collect()
    }

    /// Puts a blob there as if someone else had written it: no lease or condition stands in the way,
    /// and the counts of writes stay as they are.
    pub fn put(&self, container: &str, name: &str, content: impl Into<Vec<u8>>) {
        let now = (self.now)();
        let mut inner = self.lock();
        inner.account.create_container(container, now);
        inner.account.write(container, name, Bytes::from(content.into()), now);
    }

    /// Takes a blob away as if someone else had deleted it.
    pub fn remove(&self, container: &str, name: &str) {
        if let Some(container) = self.lock().account.containers.get_mut(container) {
            container.blobs.remove(name);
        }
    }

    /// How many writes were accepted: Put Blob, Put Block, Put Block List, Append Block and Set Blob Metadata.
    pub fn writes(&self) -> u64 {
        self.lock().account.writes
    }

    /// How many bytes Put Blob, Put Block and Append Block brought in.
    pub fn bytes_written(&self) -> u64 {
        self.lock().account.bytes_written
    }

    /// Every request so far as its method and `container/name?comp=…`, without account and credentials.
    pub fn operations(&self) -> Vec<(Method, String)> {
        self.lock().operations.clone()
    }

    /// The service under every host: `{account}.blob.core.windows.net/container/name`, or with the
    /// account as the first segment of the path under any other host.
    pub fn router(&self) -> Router {
        Router::new().fallback(serve).with_state(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    async fn answer(&self, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
        let call = Call::new(&head, body);
        let (authorize, forbidden) = {
            let mut inner = self.lock();
            inner.operations.push((call.method.clone(), call.operation()));
            (Arc::clone(&inner.authorize), inner.forbidden)
        };
        // Asked outside our lock: the check may look at anything, this model included.
        let allowed = call.admit(|credentials| authorize(credentials), forbidden);
        let now = (self.now)();
        let answer = allowed.and_then(|()| self.lock().account.serve(&call, now));
        answer.unwrap_or_else(|error| error.answer(&call.method, now))
    }
}

async fn serve(State(service): State<BlobService>, request: Request) -> Response {
    service.answer(request).await
}
