//! What an answer says beside what was asked for, whether the service or an intermediary gave it: errors in the body of a 200, pages of a proxy,
//! other addresses, used-up quotas.

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, LOCATION};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{error::excerpt, transport::Answer};

/// Members by which services, gateways and proxies tell of an error, in lower case.
const TELLING: [&str; 9] = [
    "error",
    "errors",
    "errormessage",
    "errormessages",
    "error_message",
    "error_description",
    "message",
    "fault",
    "exception",
];

/// Reads an object of JSON. A list that happens to hold the right fields in the right order is none.
///
/// # Errors
/// What it is instead, to be read behind a colon.
pub fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let body = without_mark(body);
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(format!("no object of JSON: {}", excerpt(body)));
    }
    serde_json::from_slice(body).map_err(|problem| {
        let members = serde_json::from_slice::<Map<String, Value>>(body).ok();
        members
            .and_then(|members| error(&members))
            .unwrap_or_else(|| format!("{problem} in {}", excerpt(body)))
    })
}

/// `body` without the byte order mark that RFC 8259 §8.1 lets a reader pass over.
pub fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

/// The error that an object tells of; `None` where it tells of none.
pub fn error(members: &Map<String, Value>) -> Option<String> {
    let member = |name: &str| {
        let found = members.iter().find(|(member, _)| member.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    };
    let told: Vec<String> = TELLING.iter().filter_map(|name| sentence(member(name)?)).collect();
    if !told.is_empty() {
        return Some(excerpt(told.join(" ").as_bytes()));
    }
    let status = ["statuscode", "status_code", "status"].iter().find_map(|name| member(name)?.as_u64());
    if let Some(status) = status.filter(|status| *status >= 400) {
        return Some(format!("status {status}"));
    }
    let failed = ["success", "ok"].iter().any(|name| member(name) == Some(&Value::Bool(false)));
    failed.then(|| "it says that it did not succeed".to_owned())
}

/// The error that a body tells of, if it is an object that does.
pub fn error_in(body: &[u8]) -> Option<String> {
    object::<Map<String, Value>>(body).ok().and_then(|members| error(&members))
}

/// A value as a sentence; `None` where nothing is in it.
pub fn sentence(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => (number.as_f64() != Some(0.0)).then(|| number.to_string()),
        Value::Bool(true) => Some("true".to_owned()),
        Value::Array(items) => {
            let parts: Vec<String> = items.iter().filter_map(sentence).collect();
            (!parts.is_empty()).then(|| parts.join(" "))
        }
        Value::Object(members) => {
            let named: Vec<String> = ["code", "message", "errorMessages"]
                .iter()
                .filter_map(|name| sentence(members.get(*name)?))
                .collect();
            match (named.is_empty(), members.is_empty()) {
                (false, _) => Some(named.join(": ")),
                (true, true) => None,
                (true, false) => Some(value.to_string()),
            }
        }
    }
}

/// Where a redirect leads to, without what may be secret in it (user, query, fragment); `None` where the answer is
/// none.
pub fn redirect(answer: &Answer) -> Option<String> {
    if !answer.status.is_redirection() || answer.status.as_u16() == 304 {
        return None;
    }
    let target = answer.headers.get(LOCATION).map(|target| String::from_utf8_lossy(target.as_bytes()));
    let Some(target) = target else { return Some("an address that it does not name".to_owned()) };
    let shown = target.split(['?', '#']).next().unwrap_or_default();
    let shown = match shown.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            format!("{scheme}://{}{path}", authority.rsplit('@').next().unwrap_or_default())
        }
        None => shown.to_owned(),
    };
    Some(excerpt(shown.as_bytes()))
}

/// By these words a message about a redirect is known.
pub const ELSEWHERE: &str = "leads elsewhere";

/// What a redirect means for the operator, to be read behind the name of the service.
pub fn redirected(status: u16, target: &str, settings: &str) -> String {
    format!(
        "{ELSEWHERE} ({status}, to {target}), where our credentials do not go: a sign-in page or a proxy in between, or a service that moved; check {settings}"
    )
}

/// The beginning of a page for people that an intermediary gave in the place of an API: APIs reject in JSON, or with an
/// empty body; proxies, firewalls and edges reject in HTML.
pub fn page_for_people(answer: &Answer) -> Option<String> {
    let is_html = answer.headers.get(CONTENT_TYPE).is_some_and(|kind| {
        kind.to_str().is_ok_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"))
    });
    let body = without_mark(&answer.body).trim_ascii_start();
    (body.starts_with(b"<") || is_html && !body.is_empty() && !body.starts_with(b"{")).then(|| excerpt(body))
}

/// The message when an intermediary rejects a request.
pub fn rejected_in_between(status: u16, service: &str, page: &str, settings: &str) -> String {
    format!(
        "An intermediary between here and {service} rejects the request ({status}) with a page of its own, not {service} itself: look at the proxy, the firewall, and whether the app's outgoing addresses are allowed; check {settings} too; it begins: {page}"
    )
}

/// Whether a rejection is about a quota that is used up; then perhaps for how long. API Management answers 403 then:
/// "Out of call volume quota. Quota will be replenished in 01:22:33." (learn.microsoft.com, "Limit call rate by
/// subscription", policy `quota`).
pub fn used_up(reason: &str) -> Option<Option<Duration>> {
    let lower = reason.to_ascii_lowercase();
    let is_quota =
        ["out of call volume quota", "out of bandwidth quota", "quota will be replenished", "quota exceeded"];
    if !is_quota.iter().any(|words| lower.contains(words)) {
        return None;
    }
    let until = lower.split_once("replenished in ").and_then(|(_, rest)| {
        let text = rest.split_whitespace().next()?.trim_end_matches('.');
        let (days, time) = match text.split_once('.') {
            Some((days, time)) => (days.parse::<u64>().ok()?, time),
            None => (0, text),
        };
        let parts: Vec<u64> = time.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
        let [hours, minutes, seconds] = parts[..] else { return None };
        let total = days.checked_mul(24)?.checked_add(hours)?.checked_mul(60)?.checked_add(minutes)?;
        Some(Duration::from_secs(total.checked_mul(60)?.checked_add(seconds)?))
    });
    Some(until)
}

#[cfg(test)]
mod tests {
    use axum::{
        body::Bytes,
        http::{HeaderMap, StatusCode},
    };

    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::from_iter(headers),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    #[test]
    fn an_error_is_found_in_whatever_form_it_is_told() {
        for (body, told) in [
            (r#"{"message":"Endpoint request timed out"}"#, "Endpoint request timed out"),
            (r#"{"Message":"An error has occurred."}"#, "An error has occurred."),
            (r#"{"error":{"code":"InternalError","message":"why"}}"#, "InternalError: why"),
            (r#"{"error":"invalid_client","error_description":"no"}"#, "invalid_client no"),
            (r#"{"errors":[{"message":"one"},"two"]}"#, "one two"),
            (r#"{"errorMessage":"Task timed out"}"#, "Task timed out"),
            (r#"{"fault":{"faultstring":"x"}}"#, r#"{"faultstring":"x"}"#),
            (r#"{"statusCode":500}"#, "status 500"),
            (r#"{"status":503,"path":"/"}"#, "status 503"),
            (r#"{"success":false}"#, "it says that it did not succeed"),
        ] {
            assert_eq!(error_in(body.as_bytes()).as_deref(), Some(told), "{body}");
        }
        for body in [
            "",
            "[]",
            "null",
            "{}",
            r#"{"value":[]}"#,
            r#"{"error":null,"errors":[],"message":"","fault":{}}"#,
            r#"{"status":"ok","statusCode":200,"success":true}"#,
        ] {
            assert_eq!(error_in(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn a_redirect_is_shown_without_what_may_be_secret() {
        let to = |target: &str| redirect(&answer(302, &[("location", target)], "")).unwrap();
        assert_eq!(to("https://login.example/sso?token=secret#x"), "https://login.example/sso");
        assert_eq!(to("https://user:secret@login.example"), "https://login.example");
        assert_eq!(to("/elsewhere?secret"), "/elsewhere");
        assert!(redirect(&answer(307, &[], "")).is_some());
        assert_eq!(redirect(&answer(304, &[("location", "/")], "")), None);
        assert_eq!(redirect(&answer(200, &[("location", "/")], "")), None);
    }

    #[test]
    fn a_page_for_people_is_told_from_an_api_s_rejection() {
        let html = [("content-type", "text/html; charset=utf-8")];
        for (headers, body) in [
            (&html[..], "<html>Access denied</html>"),
            (&[], " <!DOCTYPE html><title>Sorry</title>"),
            (&html, "Access denied"),
        ] {
            assert!(page_for_people(&answer(403, headers, body)).is_some(), "{body}");
        }
        for (headers, body) in
            [(&html[..], ""), (&[], ""), (&html, r#"{"message":"no"}"#), (&[], "Forbidden")]
        {
            assert_eq!(page_for_people(&answer(403, headers, body)), None, "{body}");
        }
    }

    #[test]
    fn a_quota_says_when_there_is_more() {
        let text = "Out of call volume quota. Quota will be replenished in 01:02:03.";
        assert_eq!(used_up(text), Some(Some(Duration::from_secs(3723))));
        let days = "Out of bandwidth quota. Quota will be replenished in 2.00:00:01.";
        assert_eq!(used_up(days), Some(Some(Duration::from_secs(172_801))));
        assert_eq!(used_up("Out of call volume quota."), Some(None));
        let beyond = format!("Quota will be replenished in {}.00:00:00", u64::MAX);
        assert_eq!(used_up(&beyond), Some(None));
        assert_eq!(used_up("The client does not have authorization"), None);
    }
}
