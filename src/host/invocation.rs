//! What the host sends: `{"Data": {…}, "Metadata": {…}}`, with oddities that are known here and nowhere else.
//!
//! A timer arrives as an object; a queue's text as a JSON string inside a JSON string; an HTTP request as an
//! object whose `Body` is missing when it came without a length.

use std::{collections::BTreeMap, fmt};

use axum::body::{Body, to_bytes};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{MESSAGE, REQUEST, TIMER, reply::HttpAnswer};
use crate::domain::request::Order;

/// The longest body of `POST /api/sync`, in bytes.
pub const LONGEST_ORDER: usize = 64 * 1024;
/// The longest invocation we read: an order's body in its worst encoding, headers and claims.
const LONGEST: usize = 2 * 1024 * 1024;

/// One invocation's data.
#[derive(Debug, Deserialize)]
pub struct Invocation {
    #[serde(rename = "Data", default)]
    data: Map<String, Value>,
}

/// An invocation that makes no sense.
#[derive(Debug)]
pub enum Unreadable {
    TooLong,
    Other(String),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the body is longer than {LONGEST_ORDER} bytes"),
            Self::Other(reason) => f.write_str(reason),
        }
    }
}

impl From<Unreadable> for HttpAnswer {
    fn from(unreadable: Unreadable) -> Self {
        let status = match unreadable {
            Unreadable::TooLong => 413,
            Unreadable::Other(_) => 400,
        };
        Self::error(status, &unreadable.to_string())
    }
}

/// Reads an invocation; the host sends it in chunks, without a length.
pub async fn read(body: Body) -> Result<Invocation, Unreadable> {
    let bytes = to_bytes(body, LONGEST).await.map_err(|_| Unreadable::TooLong)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Unreadable::Other(format!("this is no invocation of the Functions host: {error}")))
}

impl Invocation {
    /// The schedule was missed and this tick makes up for it.
    pub fn is_past_due(&self) -> bool {
        self.data
            .get(TIMER)
            .and_then(|timer| timer.get("IsPastDue"))
            .and_then(Value::as_bool)
            .unwrap_or(false)
    }

    /// The message that a queue trigger delivers.
    pub fn message<T: DeserializeOwned>(&self) -> Result<T, Unreadable> {
        let value = self.data.get(MESSAGE).cloned().unwrap_or_default();
        serde_json::from_value(unwrap(value))
            .map_err(|error| Unreadable::Other(format!("not a message of mati-sync: {error}")))
    }

    /// What the body of `POST /api/sync` orders. Without a body: everything as usual.
    pub fn order(&self) -> Result<Order, Unreadable> {
        let body = match self.http().body {
            Some(Value::String(text)) if text.len() > LONGEST_ORDER => return Err(Unreadable::TooLong),
            Some(Value::String(text)) if text.trim().is_empty() => return Ok(Order::default()),
            Some(Value::String(text)) => serde_json::from_str(&text).map_err(|error| refusal(&error))?,
            Some(other) => other,
            None => return Ok(Order::default()),
        };
        match unwrap(body) {
            body @ Value::Object(_) => serde_json::from_value(body).map_err(|error| refusal(&error)),
            other => Err(Unreadable::Other(format!("the body must be a JSON object, not {other}"))),
        }
    }

    /// The HTTP request that an HTTP trigger delivers.
    pub fn http(&self) -> HttpRequest {
        let request = self.data.get(REQUEST).cloned().unwrap_or_default();
        serde_json::from_value(request).unwrap_or_default()
    }
}

fn refusal(error: &serde_json::Error) -> Unreadable {
    Unreadable::Other(format!(
        "{error}; known are dry_run (true or false), lookback_days (1 to 89), rebuild (true or false), retry_rejected (true or false), confirm_retraction (true or false), destinations (a list of names)"
    ))
}

/// Takes JSON texts apart until something else is inside: the host wraps a queue's text once or twice.
fn unwrap(mut value: Value) -> Value {
    while let Value::String(text) = &value {
        match serde_json::from_str(text) {
            Ok(inner) => value = inner,
            Err(_) => break,
        }
    }
    value
}

/// An HTTP request as the host describes it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HttpRequest {
    query: BTreeMap<String, Value>,
    headers: BTreeMap<String, Value>,
    body: Option<Value>,
}

impl HttpRequest {
    /// A parameter of the query; empty means absent.
    pub fn query(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.and_then(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Whether a parameter of the query says yes.
    pub fn is_set(&self, name: &str) -> bool {
        self.query(name).is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"))
    }

    /// Whether whoever asks is a browser.
    pub fn wants_html(&self) -> bool {
        let accept = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("accept"));
        accept.is_some_and(|(_, value)| value.to_string().to_ascii_lowercase().contains("text/html"))
    }
}
