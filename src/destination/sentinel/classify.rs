//! What an answer of the upload API means for the records of the request.

use axum::http::HeaderMap;
use chrono::{DateTime, Utc};

use serde_json::{Map, Value};

use crate::{
    azure::api::Verdict,
    domain::{
        outcome::{RecordOutcome, Rejection},
        problem::{Problem, Role},
    },
    http::{
        error::excerpt,
        transport::Answer,
        unexpected::{error, error_in, object, sentence},
    },
};

/// Reads the answer to an upload of `sent` records.
pub fn classify(answer: &Answer, sent: usize, now: DateTime<Utc>) -> Verdict<Vec<RecordOutcome>> {
    let reason = reason(&answer.body);
    let id = request_id(&answer.headers);
    let asked = id.as_ref().map(|id| format!(" (request id {id})")).unwrap_or_default();
    if let Some(later) = Verdict::later("Sentinel", answer, &format!("{reason}{asked}"), now) {
        return later;
    }
    match answer.status.as_u16() {
        200 => settled(&answer.body, sent, id),
        status @ (400 | 413) => {
            Verdict::Rejected(Rejection { reason: format!("{status}: {reason}"), request_id: id })
        }
        401 if reason.contains("UnauthorizedAccess") => blocked(&reason, &asked),
        401 => Verdict::Unauthorized(format!(
            "Sentinel does not accept the token: {reason}{asked}; check that AZURE_CLOUD is the workspace's cloud"
        )),
        403 => blocked(&reason, &asked),
        404 => Verdict::blocked(format!(
            "Sentinel knows no such workspace: {reason}{asked}; check AZURE_WORKSPACE_ID (the workspace's GUID, not its name) and AZURE_CLOUD"
        )),
        status => Verdict::blocked(format!(
            "Sentinel answered {status}: {reason}{asked}; check SENTINEL_BASE_URL and SENTINEL_UPLOAD_PATH"
        )),
    }
}

/// 200 does not mean accepted: an empty body does, or a list of the records that were rejected, with nothing else in the
/// body that tells of an error.
fn settled(body: &[u8], sent: usize, request_id: Option<String>) -> Verdict<Vec<RecordOutcome>> {
    let mut deliveries = vec![RecordOutcome::Acknowledged(None); sent];
    if body.iter().all(u8::is_ascii_whitespace) {
        return Verdict::Answered(deliveries);
    }
    let unclear = |problem: String| Verdict::Later {
        reason: format!("an answer that is not Sentinel's, perhaps a proxy's in between: {problem}"),
        wait: None,
        throttled: false,
    };
    let mut members = match object::<Map<String, Value>>(body) {
        Ok(members) => members,
        Err(problem) => return unclear(problem),
    };
    let has_list = member(&members, "errors").is_some();
    let entries = match members.remove("errors") {
        Some(Value::Array(entries)) => entries,
        None | Some(Value::Null) => Vec::new(),
        Some(other) => {
            return unclear(format!("errors is no list but {}", excerpt(other.to_string().as_bytes())));
        }
    };
    if !entries.is_empty() {
        // A sentence about the list, which says more.
        members.remove("message");
    }
    if let Some(told) = error(&members) {
        return unclear(told);
    }
    if !has_list && !members.is_empty() {
        return unclear(excerpt(body));
    }
    for entry in entries {
        let place = match entry.as_object().and_then(|entry| member(entry, "recordIndex")) {
            Some(index) => whole(index),
            // It is about no record: something else went wrong.
            None => return unclear(sentence(&entry).unwrap_or_else(|| excerpt(body))),
        };
        let reason = entry.as_object().map(text).unwrap_or_default();
        let rejection = Rejection { reason, request_id: request_id.clone() };
        match place.or((sent == 1).then_some(0)) {
            Some(place) => match deliveries.get_mut(place) {
                Some(RecordOutcome::Rejected(before)) => {
                    before.reason = format!("{} {}", before.reason, rejection.reason)
                }
                Some(delivery) => *delivery = RecordOutcome::Rejected(rejection),
                None => return unclear(format!("an error for record {place} of {sent}")),
            },
            // One record was rejected, and which one shows when the request is cut in halves.
            None => return Verdict::Rejected(rejection),
        }
    }
    Verdict::Answered(deliveries)
}

/// A member by its name, whose case the API does not mind either.
fn member<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    members.iter().find(|(member, _)| member.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// A whole number, also where it comes as a text or with an empty fraction.
fn whole(value: &Value) -> Option<usize> {
    let number = match value {
        Value::String(text) => text.trim().parse().ok()?,
        other => other.as_f64()?,
    };
    // So many records no request has, and above it a float has gaps.
    let is_whole = number.fract() == 0.0 && (0.0..1e9).contains(&number);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1e9 fits")]
    is_whole.then_some(number as usize)
}

/// Why a record was rejected.
fn text(entry: &Map<String, Value>) -> String {
    let messages =
        ["errorMessages", "errorMessage", "message"].iter().find_map(|name| sentence(member(entry, name)?));
    messages.unwrap_or_else(|| "no reason given".to_owned())
}

fn blocked<T>(reason: &str, asked: &str) -> Verdict<T> {
    let role = Role::SentinelContributor;
    let message = format!(
        "Sentinel rejected the request: {reason}{asked}; the identity that uploads needs the role {} on the workspace of AZURE_WORKSPACE_ID (a new assignment takes some minutes)",
        role.name()
    );
    Verdict::blocked(Problem::from(message).needs(role))
}

/// The message out of any of the three shapes in which errors come (validation, API Management, service), or the
/// beginning of the body.
pub(super) fn reason(body: &[u8]) -> String {
    error_in(body).unwrap_or_else(|| {
        let start = excerpt(body);
        if start.is_empty() { "no reason given".to_owned() } else { start }
    })
}

/// Microsoft's support asks for it.
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    let names = ["x-ms-request-id", "x-ms-correlation-request-id", "request-id"];
    names.iter().find_map(|name| headers.get(*name)?.to_str().ok()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::{body::Bytes, http::StatusCode};

    use super::*;

    fn verdict(status: u16, body: &str) -> Verdict<Vec<RecordOutcome>> {
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        };
        classify(&answer, 3, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn a_200_says_which_records_were_rejected() {
        use RecordOutcome::{Acknowledged, Rejected};
        let rejection = |reason: &str| Rejection { reason: reason.to_owned(), request_id: None };
        let all = vec![Acknowledged(None); 3];
        assert_eq!(verdict(200, ""), Verdict::Answered(all.clone()));
        assert_eq!(verdict(200, r#"{"errors":[]}"#), Verdict::Answered(all));
        assert_eq!(
            verdict(
                200,
                r#"{"errors":[{"recordIndex":1,"errorMessages":["Error for Property=id: x.","y"]}]}"#
            ),
            Verdict::Answered(vec![
                Acknowledged(None),
                Rejected(rejection("Error for Property=id: x. y")),
                Acknowledged(None)
            ])
        );
        for unclear in ["<html>", r#"{"errors":[{"recordIndex":3,"errorMessages":[]}]}"#, "7", "[]"] {
            assert!(matches!(verdict(200, unclear), Verdict::Later { .. }), "{unclear}");
        }
    }

    #[test]
    fn an_odd_entry_is_read_where_its_meaning_is_plain() {
        for (index, messages, reason) in [
            ("1", r#"["x","y"]"#, "x y"),
            (r#""1""#, r#"["x"]"#, "x"),
            (r#"" 1 ""#, r#""x""#, "x"),
            ("1.0", "null", "no reason given"),
            ("1", "[null,7]", "7"),
            ("1e0", "[]", "no reason given"),
        ] {
            let body = format!(r#"{{"errors":[{{"recordIndex":{index},"errorMessages":{messages}}}]}}"#);
            let Verdict::Answered(deliveries) = verdict(200, &body) else { panic!("{body}") };
            let rejection = Rejection { reason: reason.to_owned(), request_id: None };
            let expected = [
                RecordOutcome::Acknowledged(None),
                RecordOutcome::Rejected(rejection),
                RecordOutcome::Acknowledged(None),
            ];
            assert_eq!(deliveries, expected, "{body}");
        }
        let twice = r#"{"message":"2 errors","errors":[{"RecordIndex":0,"ErrorMessages":"a"},{"recordIndex":0,"errorMessages":"b"}]}"#;
        let Verdict::Answered(deliveries) = verdict(200, twice) else { panic!() };
        assert!(
            matches!(&deliveries[0], RecordOutcome::Rejected(rejection) if rejection.reason == "a b"),
            "{deliveries:?}"
        );
        // Which record it is, halves show.
        for index in ["null", "1.5", "-1", r#""first""#, "[1]"] {
            let body = format!(r#"{{"errors":[{{"recordIndex":{index},"errorMessages":["x"]}}]}}"#);
            assert!(
                matches!(verdict(200, &body), Verdict::Rejected(rejection) if rejection.reason == "x"),
                "{body}"
            );
        }
    }

    #[test]
    fn a_200_with_an_error_inside_accepts_nothing() {
        for body in [
            r#"{"statusCode":500,"message":"Internal server error"}"#,
            r#"{"error":{"code":"ServiceUnavailable","message":"later"}}"#,
            r#"{"errors":[],"error":{"code":"InternalError"}}"#,
            r#"{"errors":null,"message":"The request timed out"}"#,
            r#"{"errors":["the backend is gone"]}"#,
            r#"{"errors":[{"message":"the backend is gone"}]}"#,
            r#"{"errors":"the backend is gone"}"#,
            r#"{"status":"accepted"}"#,
            r#"{"value":[]}"#,
            "null",
            "\"ok\"",
        ] {
            assert!(matches!(verdict(200, body), Verdict::Later { .. }), "{body}");
        }
        for body in ["", " ", "{}", r#"{"errors":[]}"#, r#"{"errors":null}"#, "\u{feff}{}"] {
            assert!(matches!(verdict(200, body), Verdict::Answered(_)), "{body}");
        }
    }

    #[test]
    fn every_other_status_says_what_to_do() {
        let later = |status, body, wait| match verdict(status, body) {
            Verdict::Later { wait: asked, .. } => assert_eq!(asked, wait, "{status}"),
            other => panic!("{status}: {other:?}"),
        };
        let message = r#"{"statusCode":429,"message":"Rate limit is exceeded. Try again in 57 seconds."}"#;
        later(429, message, Some(Duration::from_secs(57)));
        later(429, "", None);
        later(503, "<html>busy</html>", None);
        let denied = r#"{"error":{"code":"UnauthorizedAccess","message":"The Object ID [x] does not have required permission"}}"#;
        for status in [401, 403] {
            let Verdict::Blocked(problem) = verdict(status, denied) else { panic!("{status}") };
            let text = problem.message;
            assert!(text.contains("Microsoft Sentinel Contributor"), "{text}");
        }
        assert!(matches!(verdict(401, ""), Verdict::Unauthorized(_)));
        assert!(
            matches!(verdict(404, ""), Verdict::Blocked(problem) if problem.message.contains("AZURE_WORKSPACE_ID"))
        );
        assert!(
            matches!(verdict(400, r#"{"message":"bad"}"#), Verdict::Rejected(rejection) if rejection.reason.contains("bad"))
        );
        assert!(matches!(verdict(413, ""), Verdict::Rejected(_)));
    }
}
