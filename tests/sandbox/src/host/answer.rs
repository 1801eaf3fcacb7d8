//! What the host makes of the handler's answer to an invocation.
//!
//! The rules are those of `DefaultHttpWorkerService.ProcessDefaultInvocationRequest` and of the serializer
//! behind it (Newtonsoft): a 2xx answer is read as `{Outputs, Logs, ReturnValue}`, anything else is a failure. What
//! "seen" is said of was seen under the real Functions host 4.1037.

use axum::http::StatusCode;
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::function::{Output, Target};

/// An answer as it came over the wire.
pub(super) struct Reply {
    pub status: u16,
    pub content_type: Option<String>,
    pub body: Vec<u8>,
}

/// What the host takes from a good answer.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Answer {
    /// Values of declared outputs only.
    pub outputs: Map<String, Value>,
    /// Whether `Outputs` was there and not null.
    pub has_outputs: bool,
    pub logs: Vec<String>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    Success(Answer),
    Failure(String),
    /// The answer was read as null: the host never completes the invocation, which then runs into its timeout.
    Hang,
}

impl Reply {
    /// The body for a person to look at, whatever the host makes of it.
    pub fn body(&self) -> Option<Value> {
        let text = || Value::String(String::from_utf8_lossy(&self.body).into_owned());
        (!self.body.is_empty()).then(|| serde_json::from_slice(&self.body).unwrap_or_else(|_| text()))
    }

    pub fn judge(&self, outputs: &[Output]) -> Verdict {
        if !(200..300).contains(&self.status) {
            let status = StatusCode::from_u16(self.status).ok();
            let reason = status.and_then(|status| status.canonical_reason()).unwrap_or_default();
            // Body and logs of a failed answer are thrown away.
            return Verdict::Failure(format!(
                "HttpRequestException: Response status code does not indicate success: {} ({reason}).",
                self.status
            ));
        }
        if self.body.trim_ascii().is_empty() {
            return Verdict::Hang;
        }
        let content_type = self.content_type.as_deref().unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !matches!(media_type.as_str(), "application/json" | "text/json") {
            return self.invalid("UnsupportedMediaTypeException");
        }
        match serde_json::from_slice(&self.body) {
            Ok(Value::Null) => Verdict::Hang,
            Ok(Value::Object(members)) => match read(members, outputs) {
                Ok(answer) => Verdict::Success(answer),
                Err(why) => self.invalid(&why),
            },
            Ok(_) => self.invalid("JsonSerializationException: not an object"),
            Err(error) => self.invalid(&format!("JsonReaderException: {error}")),
        }
    }

    fn invalid(&self, inner: &str) -> Verdict {
        let content_type = self.content_type.as_deref().unwrap_or_default();
        let body = String::from_utf8_lossy(&self.body);
        let headers = format!("Content-Type: {content_type}\nContent-Length: {}", self.body.len());
        Verdict::Failure(format!(
            "InvalidOperationException: Invalid HttpResponseMessage:\n{headers}\n {body} ---> {inner}"
        ))
    }
}

fn read(members: Map<String, Value>, declared: &[Output]) -> Result<Answer, String> {
    let mut outputs = None;
    let mut logs = Vec::new();
    let mut returned = Value::Null;
    // Names of members are matched in any case; those the host does not know are ignored.
    for (name, value) in members {
        match name.to_ascii_lowercase().as_str() {
            "outputs" => {
                outputs = match value {
                    Value::Object(members) => Some(members),
                    Value::Null => None,
                    _ => return Err("JsonSerializationException: Outputs is not an object".into()),
                };
            }
            "logs" => {
                logs = match value {
                    Value::Array(items) => items.into_iter().map(log).collect::<Result<_, _>>()?,
                    Value::Null => Vec::new(),
                    _ => return Err("JsonSerializationException: Logs is not an array".into()),
                };
            }
            "returnvalue" => returned = value,
            _ => {}
        }
    }
    let has_outputs = outputs.is_some();
    let mut outputs = outputs.unwrap_or_default();
    if declared.iter().any(|output| output.name == "$return") {
        outputs.insert("$return".into(), returned);
    } else if let Value::Object(members) = returned {
        // Without a `$return` binding the members of an object override the outputs (`HandleOutputDictionary`).
        outputs.extend(members);
    }
    let mut answer = Answer { outputs: Map::new(), has_outputs, logs };
    for output in declared {
        let Some(mut value) = outputs.remove(&output.name) else { continue };
        if let (Value::String(text), false) = (&value, output.binary)
            && let Some(decoded) = trapped(text)
        {
            value = Value::String(decoded);
        }
        match (&output.target, &mut value) {
            (Target::Http, Value::Object(response)) => normalise_response(response),
            (Target::Http, _) => {
                return Err("Failed while trying to Deserialize to httpOutputBindingResponse. \
                            Output is not in expected format"
                    .into());
            }
            (Target::Queue(_), value) => normalise_times(value),
        }
        answer.outputs.insert(output.name.clone(), value);
    }
    Ok(answer)
}

fn log(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        // Seen.
        Value::Null => Ok("[null]".into()),
        Value::Array(_) | Value::Object(_) => Err("JsonReaderException: Unexpected token in Logs".into()),
        scalar => Ok(scalar.to_string()),
    }
}

/// The base64 trap: a text that happens to be valid base64 (`test`, `run1`, the empty text) is taken for bytes.
fn trapped(text: &str) -> Option<String> {
    let packed = text.split_whitespace().collect::<String>();
    STANDARD.decode(packed).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The messages that the value of a queue output becomes.
pub(super) fn queue_messages(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items.iter().filter(|item| !item.is_null()).map(message).collect(),
        // JSON in a text is read and printed again, an array in a text becomes several messages.
        Value::String(text) if text.trim_start().starts_with(['{', '[']) => {
            match serde_json::from_str(text) {
                Ok(mut inner) => {
                    normalise_times(&mut inner);
                    queue_messages(&inner)
                }
                Err(_) => vec![text.clone()],
            }
        }
        other => vec![message(other)],
    }
}

fn message(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => format!("{other:#}"),
    }
}

/// The response of an HTTP output: a body that is a text is never touched, times in one that is an object are printed
/// anew, and those in headers by the rules of the invariant culture (seen).
fn normalise_response(response: &mut Map<String, Value>) {
    for (name, value) in response {
        match (name.to_ascii_lowercase().as_str(), value) {
            ("body", Value::String(_)) => {}
            ("headers", Value::Object(headers)) => {
                for value in headers.values_mut() {
                    if let Some(time) = value.as_str().and_then(time) {
                        *value = Value::String(time.format("%m/%d/%Y %H:%M:%S").to_string());
                    }
                }
            }
            (_, value) => normalise_times(value),
        }
    }
}

/// Newtonsoft takes texts that look like ISO-8601 times for times and prints them its own way.
fn normalise_times(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(time) = time(text) {
                *text = print_time(time, if text.ends_with('Z') { "Z" } else { "+00:00" });
            }
        }
        Value::Array(items) => items.iter_mut().for_each(normalise_times),
        Value::Object(members) => members.values_mut().for_each(normalise_times),
        _ => {}
    }
}

/// What Newtonsoft takes for a time: at most 7 digits of a second's fraction (seen).
fn time(text: &str) -> Option<DateTime<Utc>> {
    let separated = text.len() > 19 && text.as_bytes()[10] == b'T';
    let fraction = text.split_once('.').map_or("", |(_, rest)| rest);
    let digits = fraction.chars().take_while(char::is_ascii_digit).count();
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    (separated && digits <= 7).then(|| time.to_utc())
}

/// A time as Newtonsoft prints it: ticks of 100 ns without trailing zeros.
pub(super) fn print_time(time: DateTime<Utc>, suffix: &str) -> String {
    let ticks = format!("{:07}", time.timestamp_subsec_nanos() % 1_000_000_000 / 100);
    let fraction = ticks.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}{suffix}", time.format("%Y-%m-%dT%H:%M:%S"))
}

#[cfg(test)]
mod tests;
