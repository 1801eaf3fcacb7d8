//! What the host sends: `{"Data": {…}, "Metadata": {…}}`, with oddities that are known here and nowhere else.
//!
//! A timer arrives as an object; a queue's text as a JSON string inside a JSON string; an HTTP request as an
//! object whose `Body` is missing when the caller sent it in chunks.

use std::fmt;

use axum::body::Body;
use futures::StreamExt;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{MESSAGE, REQUEST, TIMER, reply::HttpAnswer};
use crate::domain::request::RunOptions;

/// The longest body of `POST /api/sync`, in bytes.
pub const LONGEST_ORDER: usize = 64 * 1024;
/// The longest invocation that is kept: an order's body in its worst encoding, headers and claims.
const LONGEST: usize = 2 * 1024 * 1024;
/// The longest invocation that is read to its end, in bytes. The host takes request bodies of up to 100 MiB, and its
/// encoding of one (a JSON text, and the members once more as metadata) can be several times as long.
const LONGEST_DISCARDED: usize = 1024 * 1024 * 1024;
/// The keys of a manual rerun's body.
const OPTIONS: [&str; 7] = [
    "dry_run",
    "lookback_days",
    "rebuild",
    "retry_rejected",
    "confirm_retraction",
    "confirm_creation",
    "destinations",
];

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
    /// The caller sent a body that the host does not pass on.
    BodyLost,
    Other(String),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the body is longer than {LONGEST_ORDER} bytes"),
            Self::BodyLost => f.write_str(
                "the body was sent with Transfer-Encoding: chunked, and the Functions host does not pass such bodies on; send it with a Content-Length",
            ),
            Self::Other(reason) => f.write_str(reason),
        }
    }
}

impl From<Unreadable> for HttpAnswer {
    fn from(unreadable: Unreadable) -> Self {
        let status = match unreadable {
            Unreadable::TooLong => 413,
            Unreadable::BodyLost => 411,
            Unreadable::Other(_) => 400,
        };
        Self::error(status, &unreadable.to_string())
    }
}

/// Reads an invocation; the host sends it in chunks, without a length.
///
/// What is too long is read on and discarded: if the handler answers and closes before the host has sent everything,
/// the host gives its caller a bare 500 instead of our answer (seen from 4 MB on, Functions host 4.1037).
pub async fn read(body: Body) -> Result<Invocation, Unreadable> {
    let mut chunks = body.into_data_stream();
    let (mut bytes, mut length) = (Vec::new(), 0);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk
            .map_err(|error| Unreadable::Other(format!("the invocation's body was cut off: {error}")))?;
        length += chunk.len();
        if length <= LONGEST {
            bytes.extend_from_slice(&chunk);
        } else if length > LONGEST_DISCARDED {
            break;
        }
    }
    if length > LONGEST {
        return Err(Unreadable::TooLong);
    }
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

    /// What the body of `POST /api/sync` orders. A request that has no body means everything as usual; one that had a
    /// body is never taken for that, because a lost `{"dry_run": true}` would become a live pass.
    ///
    /// # Errors
    /// An order that cannot be read, or whose body did not arrive.
    pub fn order(&self) -> Result<RunOptions, Unreadable> {
        let request = self
            .http()
            .ok_or_else(|| Unreadable::Other(format!("the invocation has no HTTP request {REQUEST:?}")))?;
        if let Some(option) = OPTIONS.iter().find(|option| request.query.has(option)) {
            return Err(Unreadable::Other(format!(
                "{option} stands in the address; options are read from the body alone, a JSON object"
            )));
        }
        let body = match request.body {
            Some(Value::String(text)) if text.len() > LONGEST_ORDER => return Err(Unreadable::TooLong),
            Some(Value::String(text)) if text.trim().is_empty() => None,
            Some(Value::String(text)) => Some(serde_json::from_str(text).map_err(|error| rejection(&error))?),
            Some(Value::Null) | None => None,
            Some(other) => Some(other.clone()),
        };
        match body.map(unwrap) {
            Some(body @ Value::Object(_)) => serde_json::from_value(body).map_err(|error| rejection(&error)),
            Some(other) => Err(Unreadable::Other(format!("the body must be a JSON object, not {other}"))),
            None if request.is_chunked() => Err(Unreadable::BodyLost),
            None if request.has_length() => {
                Err(Unreadable::Other("the Content-Length announces a body, and none arrived".to_owned()))
            }
            None => Ok(RunOptions::default()),
        }
    }

    /// The HTTP request that an HTTP trigger delivers.
    pub fn http(&self) -> Option<HttpRequest<'_>> {
        let request = self.data.get(REQUEST)?.as_object()?;
        let member = |name: &str| Named(request.get(name).and_then(Value::as_object));
        Some(HttpRequest { query: member("Query"), headers: member("Headers"), body: request.get("Body") })
    }
}

fn rejection(error: &serde_json::Error) -> Unreadable {
    let error = error.to_string();
    // The keys stand behind it, with what each of them takes.
    let problem = error.split_once(", expected one of ").map_or(&*error, |(problem, _)| problem);
    Unreadable::Other(format!(
        "{problem}; known are dry_run (true or false), lookback_days (1 to 89), rebuild (true or false), retry_rejected (true or false), confirm_retraction (true or false), confirm_creation (true or false), destinations (a list of names)"
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

/// Values by names that are compared without case: the host keeps the case in which the caller wrote them.
struct Named<'a>(Option<&'a Map<String, Value>>);

impl Named<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        let members = self.0.into_iter().flatten();
        members.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether the value, a text or a list of texts, contains `text`.
    fn mentions(&self, name: &str, text: &str) -> bool {
        self.get(name).is_some_and(|value| value.to_string().to_ascii_lowercase().contains(text))
    }
}

/// An HTTP request as the host describes it.
pub struct HttpRequest<'a> {
    query: Named<'a>,
    headers: Named<'a>,
    body: Option<&'a Value>,
}

impl HttpRequest<'_> {
    /// A parameter of the query; empty means absent.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).and_then(Value::as_str).filter(|value| !value.is_empty())
    }

    /// Whether a parameter of the query says yes.
    pub fn is_set(&self, name: &str) -> bool {
        self.query(name).is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"))
    }

    /// Whether the caller is a browser.
    pub fn wants_html(&self) -> bool {
        self.headers.mentions("accept", "text/html")
    }

    /// Whether the caller sent the body in chunks. The Functions host (4.1037, and every one before) then passes on
    /// neither the body nor a length.
    fn is_chunked(&self) -> bool {
        self.headers.mentions("transfer-encoding", "chunked")
    }

    /// Whether the caller announced a body that is not empty.
    fn has_length(&self) -> bool {
        self.headers
            .get("content-length")
            .is_some_and(|value| value.to_string().contains(|character: char| matches!(character, '1'..='9')))
    }
}
