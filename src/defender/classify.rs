//! What the answers of the indicators API mean.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    time::Duration,
};

use axum::http::HeaderMap;
use chrono::{DateTime, Utc};

use super::wire::{ErrorAnswer, ImportAnswer, ItemAnswer, Page};
use crate::{
    domain::{
        entry::{Handle, Rank},
        outcome::{Delivery, Refusal},
    },
    http::{
        error::{excerpt, retry_after, wait},
        transport::Answer,
    },
    microsoft::Verdict,
};

/// What the API says of an indicator for which the tenant has no room; seen in the field, not documented.
const FULL: &str = "max capacity exceeded";

/// One indicator of an import, as far as its answer is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// As it was sent.
    pub value: String,
    pub rank: Rank,
}

/// What a deletion came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    Done,
    /// At least one of the ids does not exist, and nothing was deleted.
    SomeMissing,
}

/// Reads the answer to an import of `sent`.
pub fn import(answer: &Answer, sent: &[Sent], now: DateTime<Utc>) -> Verdict<Vec<Delivery>> {
    match answer.status.as_u16() {
        200 => settled(&answer.body, sent, told(answer).1),
        // The field saw it only as the failure of single indicators. Whole or not, nothing is wrong with them.
        400 if told(answer).0.to_lowercase().contains(FULL) => {
            Verdict::Answered(vec![Delivery::OverLimit; sent.len()])
        }
        _ => otherwise(answer, now),
    }
}

/// Reads the answer to a deletion.
pub fn deletion(answer: &Answer, now: DateTime<Utc>) -> Verdict<Deletion> {
    match answer.status.as_u16() {
        200 | 204 => Verdict::Answered(Deletion::Done),
        404 => Verdict::Answered(Deletion::SomeMissing),
        _ => otherwise(answer, now),
    }
}

/// Reads a page of the list.
pub fn page(answer: &Answer, now: DateTime<Utc>) -> Verdict<Page> {
    match answer.status.as_u16() {
        200 => match serde_json::from_slice(&answer.body) {
            Ok(page) => Verdict::Answered(page),
            Err(error) => unclear(format!("{error} in {}", excerpt(&answer.body))),
        },
        _ => otherwise(answer, now),
    }
}

/// Every answer that is not the one asked for.
fn otherwise<T>(answer: &Answer, now: DateTime<Utc>) -> Verdict<T> {
    let (reason, id) = told(answer);
    let asked = id.as_ref().map(|id| format!(" (request id {id})")).unwrap_or_default();
    match answer.status.as_u16() {
        status @ (400 | 413) => {
            Verdict::Refused(Refusal { reason: format!("{status}: {reason}"), request_id: id })
        }
        401 => Verdict::Unauthorized(format!(
            "Defender for Endpoint does not accept the token: {reason}{asked}; check that AZURE_CLOUD and DEFENDER_BASE_URL are the tenant's"
        )),
        403 => Verdict::Blocked(format!(
            "Defender for Endpoint refuses us: {reason}{asked}; the identity that uploads needs the application permission Ti.ReadWrite.All of the API WindowsDefenderATP with an administrator's consent: run infra/grant-defender.sh (a managed identity's tokens are kept for some hours, so that a new permission shows late)"
        )),
        404 => Verdict::Blocked(format!(
            "Defender for Endpoint's indicators API is not there: {reason}{asked}; check DEFENDER_BASE_URL (host alone, without /api)"
        )),
        429 => Verdict::Later {
            wait: retry_after(&answer.headers, now).max(wait_in(&reason)),
            reason: format!("Defender for Endpoint throttles: {reason}"),
            throttled: true,
        },
        status @ (408 | 500..=599) => Verdict::Later {
            reason: format!("Defender for Endpoint answered {status}: {reason}{asked}"),
            wait: retry_after(&answer.headers, now),
            throttled: false,
        },
        status => Verdict::Blocked(format!(
            "Defender for Endpoint answered {status}: {reason}{asked}; check DEFENDER_BASE_URL"
        )),
    }
}

/// An answer that is the API's neither in form nor in content: perhaps the next one is.
fn unclear<T>(problem: String) -> Verdict<T> {
    let reason = format!("an answer that is not Defender's, perhaps a proxy's in between: {problem}");
    Verdict::Later { reason, wait: None, throttled: false }
}

/// 200 does not mean accepted: every indicator has an answer of its own.
fn settled(body: &[u8], sent: &[Sent], request_id: Option<String>) -> Verdict<Vec<Delivery>> {
    let answers = match serde_json::from_slice::<ImportAnswer>(body) {
        Ok(answer) => answer.value,
        Err(error) => return unclear(format!("{error} in {}", excerpt(body))),
    };
    if answers.len() != sent.len() {
        return unclear(format!("{} answers to {} indicators", answers.len(), sent.len()));
    }
    let Some(answers) = in_order(sent, answers) else {
        return unclear("the answers name other indicators than the request".to_owned());
    };
    let delivery = |(sent, answer): (&Sent, ItemAnswer)| {
        if !answer.is_failed {
            // Held, whatever the id looks like. Without a number it cannot be deleted before it ends.
            let handle = answer.id.map(|id| Handle::Numbered { id, rank: sent.rank });
            return Delivery::Acknowledged(handle);
        }
        match answer.failure_reason {
            Some(reason) if reason.to_lowercase().contains(FULL) => Delivery::OverLimit,
            reason => Delivery::Rejected(Refusal {
                reason: reason.unwrap_or_else(|| "no reason given".to_owned()),
                request_id: request_id.clone(),
            }),
        }
    };
    Verdict::Answered(sent.iter().zip(answers).map(delivery).collect())
}

/// The answers in the order in which the indicators were sent, whatever order they came in; `None` where they do
/// not fit. There are as many of both.
fn in_order(sent: &[Sent], answers: Vec<ItemAnswer>) -> Option<Vec<ItemAnswer>> {
    let wanted: Vec<String> = sent.iter().map(|sent| folded(&sent.value)).collect();
    let known: HashSet<&String> = wanted.iter().collect();
    let mut got: Vec<(String, ItemAnswer)> =
        answers.into_iter().map(|answer| (folded(&answer.indicator), answer)).collect();
    // At its own place even a value that the API spells in a way we do not foresee is known for what it is: a
    // single one must not make the whole batch unclear for ever.
    let is_in_order = wanted.iter().zip(&got).all(|(wanted, (got, _))| wanted == got || !known.contains(got));
    if !is_in_order {
        let places: HashMap<&String, usize> =
            wanted.iter().enumerate().map(|(place, value)| (value, place)).collect();
        let place = |value: &String| places.get(value).copied();
        got.sort_by_key(|(value, _)| place(value));
        // Each value once: a domain and a URL may be the same text, and then only the order tells them apart.
        let fits = wanted.iter().zip(&got).all(|(wanted, (got, _))| wanted == got);
        if !fits || places.len() != sent.len() {
            return None;
        }
    }
    Some(got.into_iter().map(|(_, answer)| answer).collect())
}

/// A value without what the API may spell differently from us.
pub(super) fn folded(value: &str) -> String {
    let value = value.trim();
    match value.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => value.trim_end_matches('/').to_lowercase(),
    }
}

/// What the body says is wrong, and the id by which Microsoft's support finds the request.
fn told(answer: &Answer) -> (String, Option<String>) {
    let error =
        serde_json::from_slice::<ErrorAnswer>(&answer.body).unwrap_or_default().error.unwrap_or_default();
    let parts: Vec<String> = [error.code, error.message].into_iter().flatten().collect();
    let reason = if parts.is_empty() { excerpt(&answer.body) } else { parts.join(": ") };
    let reason = if reason.is_empty() { "no reason given".to_owned() } else { reason };
    (reason, request_id(&answer.headers).or(error.target))
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    let names = ["x-ms-request-id", "x-ms-correlation-request-id", "request-id"];
    names.iter().find_map(|name| headers.get(*name)?.to_str().ok()).map(str::to_owned)
}

/// "You can send requests again in 8 seconds."
fn wait_in(reason: &str) -> Option<Duration> {
    let (_, rest) = reason.split_once("again in ")?;
    wait(rest.split_whitespace().next()?)
}

#[cfg(test)]
mod tests {
    use axum::{body::Bytes, http::StatusCode};
    use serde_json::json;

    use super::*;

    const RANK: Rank = Rank { threat_score: 90, confidence: 80 };

    fn answer(status: u16, body: impl ToString) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::from(body.to_string()),
        }
    }

    fn verdict(status: u16, values: &[&str], body: impl ToString) -> Verdict<Vec<Delivery>> {
        let sent: Vec<Sent> =
            values.iter().map(|value| Sent { value: (*value).to_owned(), rank: RANK }).collect();
        import(&answer(status, body), &sent, DateTime::UNIX_EPOCH)
    }

    fn item(id: &str, value: &str, failure: Option<&str>) -> serde_json::Value {
        json!({"id": id, "indicator": value, "isFailed": failure.is_some(), "failureReason": failure})
    }

    fn held(id: u64) -> Delivery {
        Delivery::Acknowledged(Some(Handle::Numbered { id, rank: RANK }))
    }

    #[test]
    fn a_200_says_of_every_indicator_what_became_of_it() {
        let full =
            "Max capacity exceeded. Current Total: 15000, Limit: 15000 (Parameter 'Capacity: 15000/15000')";
        let body = json!({"value": [
            item("2841", "a.example", None),
            item("", "b.example", Some(full)),
            item("", "c.example", Some("Invalid domain.")),
            {"id": 7, "indicator": "d.example", "isFailed": false},
            item("none", "e.example", None),
        ]});
        let refusal = Refusal { reason: "Invalid domain.".to_owned(), request_id: None };
        assert_eq!(
            verdict(200, &["a.example", "b.example", "c.example", "d.example", "e.example"], body),
            Verdict::Answered(vec![
                held(2841),
                Delivery::OverLimit,
                Delivery::Rejected(refusal),
                held(7),
                Delivery::Acknowledged(None),
            ])
        );
    }

    #[test]
    fn answers_are_matched_by_value_in_any_order_and_spelling() {
        let sent = ["2001:db8:0:0:0:0:0:1", "ABC.example", "http://a.example/x"];
        let body = |values: [&str; 3]| {
            let items = values.iter().zip(["1", "2", "3"]).map(|(value, id)| item(id, value, None));
            json!({"value": items.collect::<Vec<_>>()})
        };
        let ids = |values, [first, second, third]: [u64; 3]| {
            let expected = Verdict::Answered(vec![held(first), held(second), held(third)]);
            assert_eq!(verdict(200, &sent, body(values)), expected, "{values:?}");
        };
        ids(sent, [1, 2, 3]);
        ids(["http://a.example/x", "abc.example", "2001:DB8::1"], [3, 2, 1]);
        // A spelling nobody foresaw, at its own place.
        ids(["2001:db8::1", "abc.example", "http://a.example:80/x"], [1, 2, 3]);

        let unclear = |body: String| match verdict(200, &sent, &body) {
            Verdict::Later { throttled: false, .. } => {}
            other => panic!("{body}: {other:?}"),
        };
        unclear(body(["abc.example", "other.example", "2001:db8::1"]).to_string());
        unclear(body(["abc.example", "abc.example", "2001:db8::1"]).to_string());
        unclear(json!({"value": [item("1", "abc.example", None)]}).to_string());
        unclear(json!({"value": []}).to_string());
        for body in ["", "<html>", "[]", "{}", r#"{"value":[{"id":"1"}]}"#] {
            unclear(body.to_owned());
        }
    }

    #[test]
    fn one_text_that_is_a_domain_and_a_url_is_told_apart_by_the_order_alone() {
        let twice = ["a.example", "a.example", "b.example"];
        let body = |values: [&str; 3]| json!({"value": [item("1", values[0], None), item("2", values[1], None), item("3", values[2], None)]});
        assert_eq!(verdict(200, &twice, body(twice)), Verdict::Answered(vec![held(1), held(2), held(3)]));
        let turned = body(["b.example", "a.example", "a.example"]);
        assert!(matches!(verdict(200, &twice, turned), Verdict::Later { .. }));
    }

    fn error(code: &str, message: &str) -> serde_json::Value {
        json!({"error": {"code": code, "message": message, "target": "1fa66c0f"}})
    }

    #[test]
    fn every_other_status_says_what_to_do() {
        let later = |status, body: &str, wait| match verdict(status, &[], body) {
            Verdict::Later { wait: asked, .. } => assert_eq!(asked, wait, "{status}"),
            other => panic!("{status}: {other:?}"),
        };
        let message = "API calls quota exceeded! Maximum allowed 30 per 00:01:00 for the key Destination+TenantID+AppID. You can send requests again in 8 seconds.";
        later(429, &error("429", message).to_string(), Some(Duration::from_secs(8)));
        later(429, "", None);
        later(503, "<html>busy</html>", None);

        let mut throttled = answer(429, error("429", message));
        throttled.headers.insert("retry-after", "20".parse().unwrap());
        let verdict_of = import(&throttled, &[], DateTime::UNIX_EPOCH);
        assert!(
            matches!(verdict_of, Verdict::Later { wait: Some(wait), throttled: true, .. } if wait.as_secs() == 20)
        );

        let inactive =
            "Indicator 203.0.113.1 is inactive. (Expiration time should be set to a future date time)";
        let refusal = Refusal {
            reason: format!("400: BadRequest: {inactive}"),
            request_id: Some("1fa66c0f".to_owned()),
        };
        assert_eq!(verdict(400, &["x"], error("BadRequest", inactive)), Verdict::Refused(refusal));
        assert!(matches!(verdict(413, &["x"], ""), Verdict::Refused(_)));
        let full = error("BadRequest", "Max capacity exceeded. Current Total: 15000");
        assert_eq!(verdict(400, &["x"], full), Verdict::Answered(vec![Delivery::OverLimit]));

        assert!(matches!(verdict(401, &[], ""), Verdict::Unauthorized(_)));
        let blocked = |status, parts: &[&str]| match verdict(status, &[], error("Code", "Why")) {
            Verdict::Blocked(text) => {
                for part in parts {
                    assert!(text.contains(part), "{part} is not in {text}");
                }
            }
            other => panic!("{status}: {other:?}"),
        };
        blocked(
            403,
            &["Code: Why", "1fa66c0f", "Ti.ReadWrite.All", "WindowsDefenderATP", "infra/grant-defender.sh"],
        );
        blocked(404, &["DEFENDER_BASE_URL"]);
        blocked(302, &["DEFENDER_BASE_URL"]);
    }

    #[test]
    fn a_deletion_is_all_or_nothing() {
        let of = |status, body: serde_json::Value| deletion(&answer(status, body), DateTime::UNIX_EPOCH);
        assert_eq!(of(204, json!(null)), Verdict::Answered(Deletion::Done));
        assert_eq!(of(404, error("NotFound", "one of them")), Verdict::Answered(Deletion::SomeMissing));
        assert!(matches!(of(400, error("InvalidInput", "no")), Verdict::Refused(_)));
        assert!(matches!(of(403, error("Forbidden", "no")), Verdict::Blocked(_)));
    }

    #[test]
    fn the_list_is_read_with_all_its_oddities() {
        let body = json!({
            "@odata.context": "https://api.securitycenter.microsoft.com/api/$metadata#Indicators",
            "@odata.nextLink": "https://x.example/next",
            "value": [
                {"id": "995", "indicatorValue": "12.13.14.15", "indicatorType": "IpAddress", "action": "Alert",
                 "application": "demo-test", "expirationTime": "2020-12-12T00:00:00Z", "rbacGroupNames": []},
                {"id": "x", "indicatorValue": "b", "indicatorType": "FileSha1", "action": null,
                 "application": null, "expirationTime": null, "externalId": "indicator--1"},
                {"indicatorValue": "c", "indicatorType": "Url", "expirationTime": "2018-10-24T10:54:23.2009016"},
                {"indicatorValue": "d", "indicatorType": "Url", "expirationTime": "never"},
            ]
        });
        let Verdict::Answered(page) = page(&answer(200, body), DateTime::UNIX_EPOCH) else {
            panic!("a page")
        };
        assert_eq!(page.next_link.as_deref(), Some("https://x.example/next"));
        let ids: Vec<_> = page.value.iter().map(|listed| listed.id).collect();
        assert_eq!(ids, [Some(995), None, None, None]);
        let ends: Vec<_> =
            page.value.iter().map(|listed| listed.expiration.map(|end| end.timestamp())).collect();
        assert_eq!(ends, [Some(1_607_731_200), None, Some(1_540_378_463), None]);
        assert_eq!(page.value[1].external_id.as_deref(), Some("indicator--1"));
        assert!(matches!(super::page(&answer(200, "<html>"), DateTime::UNIX_EPOCH), Verdict::Later { .. }));
    }
}
