//! What an answer of the upload API means for the records of the request.

use std::time::Duration;

use axum::http::HeaderMap;
use chrono::{DateTime, Utc};

use super::wire::{ErrorAnswer, PartialAnswer, RecordError};
use crate::{
    domain::outcome::{Delivery, Refusal},
    http::{
        error::{excerpt, retry_after, wait},
        transport::Answer,
    },
    microsoft::Verdict,
};

/// Reads the answer to an upload of `sent` records.
pub fn classify(answer: &Answer, sent: usize, now: DateTime<Utc>) -> Verdict<Vec<Delivery>> {
    let reason = reason(&answer.body);
    let id = request_id(&answer.headers);
    let asked = id.as_ref().map(|id| format!(" (request id {id})")).unwrap_or_default();
    match answer.status.as_u16() {
        200 => settled(&answer.body, sent, id),
        status @ (400 | 413) => {
            Verdict::Refused(Refusal { reason: format!("{status}: {reason}"), request_id: id })
        }
        401 if reason.contains("UnauthorizedAccess") => blocked(&reason, &asked),
        401 => Verdict::Unauthorized(format!(
            "Sentinel does not accept the token: {reason}{asked}; check that AZURE_CLOUD is the workspace's cloud"
        )),
        403 => blocked(&reason, &asked),
        404 => Verdict::Blocked(format!(
            "Sentinel knows no such workspace: {reason}{asked}; check AZURE_WORKSPACE_ID (the workspace's GUID, not its name) and AZURE_CLOUD"
        )),
        429 => Verdict::Later {
            wait: retry_after(&answer.headers, now).max(wait_in(&reason)),
            reason: format!("Sentinel throttles: {reason}"),
            throttled: true,
        },
        status @ (408 | 500..=599) => Verdict::Later {
            reason: format!("Sentinel answered {status}: {reason}{asked}"),
            wait: retry_after(&answer.headers, now),
            throttled: false,
        },
        status => Verdict::Blocked(format!(
            "Sentinel answered {status}: {reason}{asked}; check SENTINEL_BASE_URL and SENTINEL_UPLOAD_PATH"
        )),
    }
}

/// 200 does not mean accepted: an empty body does; otherwise it lists the records that were refused.
fn settled(body: &[u8], sent: usize, request_id: Option<String>) -> Verdict<Vec<Delivery>> {
    let mut deliveries = vec![Delivery::Acknowledged(None); sent];
    if body.iter().all(u8::is_ascii_whitespace) {
        return Verdict::Answered(deliveries);
    }
    let unclear = |reason: String| Verdict::Later { reason, wait: None, throttled: false };
    // A list would do for an object without errors.
    let is_object = body.trim_ascii_start().starts_with(b"{");
    let Some(answer) = serde_json::from_slice::<PartialAnswer>(body).ok().filter(|_| is_object) else {
        return unclear(format!(
            "an answer that is not Sentinel's, perhaps a proxy's in between: {}",
            excerpt(body)
        ));
    };
    for error in answer.errors.into_iter().flatten() {
        let Some(delivery) = deliveries.get_mut(error.record_index) else {
            return unclear(format!("an error for record {} of {sent}", error.record_index));
        };
        *delivery = Delivery::Rejected(Refusal { reason: text(&error), request_id: request_id.clone() });
    }
    Verdict::Answered(deliveries)
}

fn text(error: &RecordError) -> String {
    if error.error_messages.is_empty() {
        "no reason given".to_owned()
    } else {
        error.error_messages.join(" ")
    }
}

fn blocked<T>(reason: &str, asked: &str) -> Verdict<T> {
    Verdict::Blocked(format!(
        "Sentinel refuses us: {reason}{asked}; the identity that uploads needs the role Microsoft Sentinel Contributor on the workspace of AZURE_WORKSPACE_ID (a new assignment takes some minutes)"
    ))
}

/// The message out of any of the three shapes, or the beginning of the body.
pub(super) fn reason(body: &[u8]) -> String {
    let answer: ErrorAnswer = serde_json::from_slice(body).unwrap_or_default();
    if let Some(error) = answer.error {
        let parts: Vec<String> = [error.code, error.message].into_iter().flatten().collect();
        if !parts.is_empty() {
            return parts.join(": ");
        }
    }
    if let Some(errors) = answer.errors.filter(|errors| !errors.is_empty()) {
        return errors.iter().map(text).collect::<Vec<_>>().join(" ");
    }
    answer.message.unwrap_or_else(|| {
        let start = excerpt(body);
        if start.is_empty() { "no reason given".to_owned() } else { start }
    })
}

/// Microsoft's support asks for it.
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    let names = ["x-ms-request-id", "x-ms-correlation-request-id", "request-id"];
    names.iter().find_map(|name| headers.get(*name)?.to_str().ok()).map(str::to_owned)
}

/// "Rate limit is exceeded. Try again in 57 seconds."
fn wait_in(reason: &str) -> Option<Duration> {
    let (_, rest) = reason.split_once("Try again in ")?;
    wait(rest.split_whitespace().next()?)
}

#[cfg(test)]
mod tests {
    use axum::{body::Bytes, http::StatusCode};

    use super::*;

    fn verdict(status: u16, body: &str) -> Verdict<Vec<Delivery>> {
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        };
        classify(&answer, 3, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn a_200_says_which_records_were_refused() {
        use Delivery::{Acknowledged, Rejected};
        let refusal = |reason: &str| Refusal { reason: reason.to_owned(), request_id: None };
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
                Rejected(refusal("Error for Property=id: x. y")),
                Acknowledged(None)
            ])
        );
        for unclear in ["<html>", r#"{"errors":[{"recordIndex":3,"errorMessages":[]}]}"#, "7", "[]"] {
            assert!(matches!(verdict(200, unclear), Verdict::Later { .. }), "{unclear}");
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
            let Verdict::Blocked(text) = verdict(status, denied) else { panic!("{status}") };
            assert!(text.contains("Microsoft Sentinel Contributor"), "{text}");
        }
        assert!(matches!(verdict(401, ""), Verdict::Unauthorized(_)));
        assert!(matches!(verdict(404, ""), Verdict::Blocked(text) if text.contains("AZURE_WORKSPACE_ID")));
        assert!(
            matches!(verdict(400, r#"{"message":"bad"}"#), Verdict::Refused(refusal) if refusal.reason.contains("bad"))
        );
        assert!(matches!(verdict(413, ""), Verdict::Refused(_)));
    }
}
