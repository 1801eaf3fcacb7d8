//! Why no usable answer came.

use std::{error::Error, time::Duration};

use axum::http::{HeaderMap, header::RETRY_AFTER};
use chrono::{DateTime, Utc};

/// A request that brought no answer at all, or not a whole one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// No connection: refused, no such host, TLS refused.
    #[error("no connection to {host}: {reason}")]
    Connect { host: String, reason: String },
    /// The connection broke before the answer began, perhaps while the request was still being sent.
    #[error("the connection to {host} broke before an answer came: {reason}")]
    Unanswered { host: String, reason: String },
    /// The connection broke before the answer was whole.
    #[error("the connection to {host} broke: {reason}")]
    Interrupted { host: String, reason: String },
    #[error("{host} did not answer within {}", seconds(limit))]
    Timeout { host: String, limit: Duration },
    /// The answer is longer than any sound one.
    #[error("the answer of {host} is longer than {limit_bytes} bytes; the body was not read further")]
    TooLarge { host: String, limit_bytes: usize },
}

impl HttpError {
    /// Whether the same request may go well a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Unanswered { .. }
            | Self::Interrupted { .. }
            | Self::Timeout { .. } => true,
            Self::TooLarge { .. } => false,
        }
    }
}

/// `duration` in the words of a message.
pub fn seconds(duration: &Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

/// An error with everything beneath it, as one sentence. Queries are cut from any URL in it, because a shared
/// access signature travels there.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut sentence = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let part = error.to_string();
        if !sentence.contains(&part) {
            if !sentence.is_empty() {
                sentence.push_str(": ");
            }
            sentence.push_str(&part);
        }
        next = error.source();
    }
    without_queries(&sentence)
}

/// Cuts `?…` behind every URL in `text`.
fn without_queries(text: &str) -> String {
    let mut words = Vec::new();
    for word in text.split(' ') {
        match word.split_once('?') {
            Some((url, _)) if url.contains("://") => {
                let tail = word.trim_start_matches(|character| !matches!(character, ')' | '"' | '\''));
                words.push(format!("{url}?…{tail}"));
            }
            _ => words.push(word.to_owned()),
        }
    }
    words.join(" ")
}

/// No server means a longer wait than this, and a far longer one could not be added to the time.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// How long the server asks us to wait (RFC 9110 §10.2.3: seconds or a date).
pub fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Some(wait) = wait(value) {
        return Some(wait);
    }
    let at = DateTime::parse_from_rfc2822(value).ok()?;
    (at.to_utc() - now).to_std().ok().map(|wait| wait.min(LONGEST_WAIT))
}

/// Whether an answer of this status may become another one a little later (RFC 9110 §15.5.9 and §15.6, RFC 6585 §4).
pub fn is_transient_status(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

/// The wait that a gateway of Microsoft's asks for in words: "Try again in 57 seconds."
pub fn wait_in(reason: &str) -> Option<Duration> {
    let (_, rest) = reason.split_once("again in ")?;
    wait(rest.split_whitespace().next()?)
}

/// A wait given in seconds.
pub fn wait(seconds: &str) -> Option<Duration> {
    seconds.parse().ok().map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT))
}

/// The beginning of an answer's body, for a message: one line, at most 300 characters.
pub fn excerpt(body: &[u8]) -> String {
    const LENGTH: usize = 300;
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * LENGTH)]);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_never_reach_a_message() {
        let text = "failed (https://a.blob.core.windows.net/c/x?sv=1&sig=S%3D): why? unknown";
        assert_eq!(without_queries(text), "failed (https://a.blob.core.windows.net/c/x?…): why? unknown");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let parse =
            |value: &str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]), now);
        assert_eq!(parse("57"), Some(Duration::from_secs(57)));
        assert_eq!(parse("Thu, 01 Jan 2026 00:00:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(parse("18446744073709551615"), Some(LONGEST_WAIT));
        assert_eq!(parse("Fri, 31 Dec 9999 23:59:59 GMT"), Some(LONGEST_WAIT));
        assert_eq!(parse("soon"), None);
    }
}
