//! What a request says.

use std::collections::BTreeMap;

use axum::{
    body::Bytes,
    http::{HeaderMap, Method, header, request::Parts},
};

use super::{
    Credentials,
    answer::{BAD_TOKEN, Error, NO_CREDENTIALS, NO_ROLE},
};
use crate::entra::bearer;

/// A request, taken apart.
pub struct Call {
    pub method: Method,
    pub container: String,
    /// None for operations on the container.
    pub blob: Option<String>,
    query: BTreeMap<String, String>,
    headers: HeaderMap,
    pub body: Bytes,
}

impl Call {
    pub fn new(head: &Parts, body: Bytes) -> Self {
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.or(head.uri.authority().map(|authority| authority.as_str())).unwrap_or_default();
        let mut path = head.uri.path().trim_start_matches('/');
        // Under the account's own name the path starts with the container, elsewhere with the account.
        if !host.contains(".blob.") {
            path = path.split_once('/').map_or("", |(_, rest)| rest);
        }
        let (container, blob) = path.split_once('/').unwrap_or((path, ""));
        let query = head.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let query = query.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name, true).to_ascii_lowercase(), decoded(value, true))
        });
        Self {
            method: head.method.clone(),
            container: decoded(container, false),
            blob: (!blob.is_empty()).then(|| decoded(blob, false)),
            query: query.collect(),
            headers: head.headers.clone(),
            body,
        }
    }

    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn lease_id(&self) -> Option<&str> {
        self.header("x-ms-lease-id")
    }

    /// The metadata the headers carry; names ignore case.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let name = |name: &header::HeaderName| name.as_str().strip_prefix("x-ms-meta-").map(String::from);
        let pairs =
            self.headers.iter().filter_map(|(key, value)| Some((name(key)?, value.to_str().ok()?.into())));
        pairs.collect()
    }

    /// The request as the log tells it.
    pub fn operation(&self) -> String {
        let mut text = self.container.clone();
        if let Some(blob) = &self.blob {
            text = format!("{text}/{blob}");
        }
        let parts = [("restype", self.query("restype")), ("comp", self.query("comp"))];
        let parts = parts.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
        let parts = parts.collect::<Vec<_>>().join("&");
        if parts.is_empty() { text } else { format!("{text}?{parts}") }
    }

    pub fn admit(&self, check: impl Fn(Credentials<'_>) -> bool, forbidden: bool) -> Result<(), Error> {
        let shared_key = self.header("authorization").and_then(|value| value.strip_prefix("SharedKey "));
        let credentials = bearer(&self.headers)
            .map(Credentials::Bearer)
            .or(self.query("sig").map(Credentials::Signature))
            .or(shared_key.map(Credentials::SharedKey))
            .ok_or(NO_CREDENTIALS)?;
        match (check(credentials), credentials) {
            (true, _) if forbidden => Err(NO_ROLE),
            (true, _) => Ok(()),
            (false, Credentials::Bearer(_)) => Err(BAD_TOKEN),
            (false, _) => Err(NO_CREDENTIALS),
        }
    }

    /// The range asked for, as its first and last byte; `x-ms-range` goes before `Range`.
    pub fn range(&self) -> Option<(u64, u64)> {
        let range = self.header("x-ms-range").or(self.header("range"))?.strip_prefix("bytes=")?;
        let (first, last) = range.split_once('-')?;
        let last = if last.is_empty() { u64::MAX } else { last.parse().ok()? };
        Some((first.parse().ok()?, last))
    }
}

/// Takes the percent signs out; in a query a plus is a space.
fn decoded(text: &str, query: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = text.get(at + 1..at + 3).and_then(|code| u8::from_str_radix(code, 16).ok());
        match (bytes[at], code) {
            (b'%', Some(code)) => {
                out.push(code);
                at += 2;
            }
            (b'+', _) if query => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}
