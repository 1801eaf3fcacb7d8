//! Answers as the API gives them, and as it should not.

use std::time::Duration;

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

fn verdict(status: u16, values: &[&str], body: impl ToString) -> Verdict<Vec<RecordOutcome>> {
    let sent: Vec<Sent> =
        values.iter().map(|value| Sent { value: (*value).to_owned(), rank: RANK }).collect();
    import(&answer(status, body), &sent, DateTime::UNIX_EPOCH)
}

fn item(id: &str, value: &str, failure: Option<&str>) -> serde_json::Value {
    json!({"id": id, "indicator": value, "isFailed": failure.is_some(), "failureReason": failure})
}

fn held(id: u64) -> RecordOutcome {
    RecordOutcome::Acknowledged(Some(Handle::Numbered { id, rank: RANK }))
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
    let rejection = Rejection { reason: "Invalid domain.".to_owned(), request_id: None };
    assert_eq!(
        verdict(200, &["a.example", "b.example", "c.example", "d.example", "e.example"], body),
        Verdict::Answered(vec![
            held(2841),
            RecordOutcome::OverLimit,
            RecordOutcome::Rejected(rejection),
            held(7),
            RecordOutcome::Acknowledged(None),
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
    // A spelling that was not foreseen, at its own place.
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

#[test]
fn values_are_compared_as_the_tenant_compares_them() {
    for (one, other) in [
        ("HTTP://Evil.Example/A", "http://evil.example/A"),
        ("http://u:P@Evil.example:80/?Q=A#F", "http://u:P@evil.EXAMPLE:80/?Q=A#F"),
        ("HTTP://Evil.Example", "http://evil.example"),
        ("Evil.Example/Path", "EVIL.example/Path"),
        ("Evil.Example", "evil.example"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("ABCDEF", "abcdef"),
    ] {
        assert_eq!(folded(one), folded(other));
    }
    for (one, other) in [
        ("http://evil.example/login", "http://evil.example/LOGIN"),
        ("http://evil.example/x", "http://evil.example/x/"),
        ("http://evil.example", "http://evil.example/"),
        ("http://evil.example?a", "http://evil.example?A"),
        ("http://User@evil.example", "http://user@evil.example"),
        ("evil.example/a", "evil.example/A"),
    ] {
        assert_ne!(folded(one), folded(other));
    }
}

#[test]
fn a_200_with_an_error_inside_is_no_answer() {
    let inside = r#""error":{"code":"InternalServerError","message":"later"}"#;
    let (alone, beside) = (format!("{{{inside}}}"), format!("{{\"value\":[],{inside}}}"));
    for body in [&*alone, &beside, r#"{"message":"timed out"}"#, "[[]]", "<html>", "null", "7", "[]"] {
        assert!(matches!(verdict(200, &[], body), Verdict::Later { .. }), "import {body}");
        let list = page(&answer(200, body), DateTime::UNIX_EPOCH);
        assert!(matches!(list, Verdict::Later { .. }), "list {body}");
        let deleted = deletion(&answer(200, body), DateTime::UNIX_EPOCH);
        assert!(matches!(deleted, Verdict::Later { .. }), "deletion {body}");
    }
    let deleted = deletion(&answer(200, ""), DateTime::UNIX_EPOCH);
    assert_eq!(deleted, Verdict::Answered(Deletion::Done));
}

#[test]
fn one_odd_answer_of_an_import_and_one_odd_entry_of_the_list_hide_no_other() {
    let body = json!({"value": [
        {"id": "1", "indicator": "a.example", "isFailed": false},
        {"id": null, "indicator": null, "isFailed": true, "failureReason": {"message": "Invalid."}},
    ]});
    let rejection = Rejection { reason: "Invalid.".to_owned(), request_id: None };
    let expected = Verdict::Answered(vec![held(1), RecordOutcome::Rejected(rejection)]);
    assert_eq!(verdict(200, &["a.example", "b.example"], body), expected);
    let body = json!({"value": [null, 7, {"indicatorValue": null, "indicatorType": "Url"},
        {"id": "4", "indicatorValue": "d", "indicatorType": "Url"}]});
    let Verdict::Answered(page) = page(&answer(200, body), DateTime::UNIX_EPOCH) else { panic!("a page") };
    assert_eq!((page.count, page.value.len()), (4, 1));
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

    let inactive = "Indicator 203.0.113.1 is inactive. (Expiration time should be set to a future date time)";
    let rejection =
        Rejection { reason: format!("400: BadRequest: {inactive}"), request_id: Some("1fa66c0f".to_owned()) };
    assert_eq!(verdict(400, &["x"], error("BadRequest", inactive)), Verdict::Rejected(rejection));
    assert!(matches!(verdict(413, &["x"], ""), Verdict::Rejected(_)));
    let full = error("BadRequest", "Max capacity exceeded. Current Total: 15000");
    assert_eq!(verdict(400, &["x"], full), Verdict::Answered(vec![RecordOutcome::OverLimit]));

    assert!(matches!(verdict(401, &[], ""), Verdict::Unauthorized(_)));
    let blocked = |status, parts: &[&str]| match verdict(status, &[], error("Code", "Why")) {
        Verdict::Blocked(problem) => {
            for part in parts {
                assert!(problem.message.contains(part), "{part} is not in {problem}");
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
    assert!(matches!(of(400, error("InvalidInput", "no")), Verdict::Rejected(_)));
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
    let Verdict::Answered(page) = page(&answer(200, body), DateTime::UNIX_EPOCH) else { panic!("a page") };
    assert_eq!(page.next_link.as_deref(), Some("https://x.example/next"));
    let ids: Vec<_> = page.value.iter().map(|listed| listed.id).collect();
    assert_eq!(ids, [Some(995), None, None, None]);
    let ends: Vec<_> = page.value.iter().map(|listed| listed.expiration.map(|end| end.timestamp())).collect();
    assert_eq!(ends, [Some(1_607_731_200), None, Some(1_540_378_463), None]);
    assert_eq!(page.value[1].external_id.as_deref(), Some("indicator--1"));
    assert!(matches!(super::page(&answer(200, "<html>"), DateTime::UNIX_EPOCH), Verdict::Later { .. }));
}
