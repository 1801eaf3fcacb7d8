//! Records to indicators, and what is wrong with some.

use super::*;
use crate::domain::observable::{Subject, SubjectKind};

#[test]
fn every_date_form_is_read() {
    for (text, expected) in [
        ("2022-02-23T10:10:01.828+0000", "2022-02-23T10:10:01.828Z"),
        ("2021-06-19T23:34:03.000Z", "2021-06-19T23:34:03Z"),
        ("2022-07-05T19:37:47Z", "2022-07-05T19:37:47Z"),
        ("2023-01-26T08:19:49.77Z", "2023-01-26T08:19:49.770Z"),
        ("2023-01-26T08:19:49.123456789+02:00", "2023-01-26T06:19:49.123456789Z"),
        ("2023-01-26T08:19:49-0130", "2023-01-26T09:49:49Z"),
    ] {
        assert_eq!(date(text), Some(expected.parse().unwrap()), "{text}");
    }
    for text in [
        "",
        "yesterday",
        "2023-01-26 08:19:49Z",
        "2023-01-26T08:19:49.Z",
        "2023-01-26T08:60:49Z",
        "2023-01-26T08:19:4xZ",
        "2023-13-26T08:19:49Z",
        "2023-01-26T08:19:49",
        "2023-01-26T08:19:49+1",
    ] {
        assert_eq!(date(text), None, "{text}");
    }
}

fn made(kind: &str, value: &str) -> Result<Indicator, Unusable> {
    let json = serde_json::json!({"id": "x--1", "type": kind, "value": value, "mscore": 90});
    indicator(&serde_json::from_str(&json.to_string()).unwrap())
}

fn key(kind: SubjectKind, value: &str) -> Key {
    Subject { kind, value: value.into() }.key()
}

#[test]
fn a_value_that_was_spelt_otherwise_comes_with_its_former_key() {
    let (domain, url) = (SubjectKind::Domain, SubjectKind::Url);
    for (kind, value, subject, spelt, former) in [
        ("url", "HTTP://Evil.Example", url, "http://evil.example/", Some((url, "HTTP://Evil.Example"))),
        (
            "url",
            "http://evil.example./A",
            url,
            "http://evil.example/A",
            Some((url, "http://evil.example./A")),
        ),
        ("url", "http://evil.example/A", url, "http://evil.example/A", None),
        ("fqdn", "Bücher.example", domain, "xn--bcher-kva.example", Some((domain, "bücher.example"))),
        ("fqdn", "Evil.Example.", domain, "evil.example", None),
        // Earlier versions took it for malformed.
        ("fqdn", "evil。example", domain, "evil.example", None),
        ("fqdn", "203.0.113.77", SubjectKind::Ipv4, "203.0.113.77", Some((domain, "203.0.113.77"))),
        ("fqdn", "2001:DB8::7", SubjectKind::Ipv6, "2001:db8::7", None),
        (
            "ipv6",
            "::ffff:203.0.113.7",
            SubjectKind::Ipv4,
            "203.0.113.7",
            Some((SubjectKind::Ipv6, "::ffff:203.0.113.7")),
        ),
        ("ipv4", "203.0.113.7", SubjectKind::Ipv4, "203.0.113.7", None),
    ] {
        let indicator = made(kind, value).unwrap();
        assert_eq!(indicator.observable.subject(HashType::Md5).key(), key(subject, spelt), "{value}");
        let former: Vec<Key> = former.into_iter().map(|(kind, value)| key(kind, value)).collect();
        assert_eq!(indicator.former, former, "{value}");
        // A record that was stored by an earlier version, e.g. as refused, is brought to the same.
        let legacy = indicator_type(kind).and_then(|kind| Observable::legacy(kind, value));
        if let Some(observable) = legacy {
            let stored = Indicator { observable, former: Vec::new(), ..indicator.clone() };
            assert_eq!(stored.respelt(), Ok(indicator), "{value}");
        }
    }
}

#[test]
fn a_local_or_absurd_value_is_told_with_its_reason_and_what_it_may_be_held_as() {
    for (kind, value, reason, held_as) in [
        ("fqdn", "com", "single label", Some((SubjectKind::Domain, "com"))),
        ("fqdn", "GitHub.io", "public suffix", Some((SubjectKind::Domain, "github.io"))),
        ("fqdn", "printer.local", "local network", Some((SubjectKind::Domain, "printer.local"))),
        ("fqdn", "192.168.1.1", "private", Some((SubjectKind::Domain, "192.168.1.1"))),
        ("fqdn", "evil[.]example", "not a host name", None),
        ("ipv4", "100.64.1.1", "carriers", Some((SubjectKind::Ipv4, "100.64.1.1"))),
        ("ipv6", "fec0::1", "site-local", Some((SubjectKind::Ipv6, "fec0::1"))),
        ("url", "http://192.168.1.1/A", "private", Some((SubjectKind::Url, "http://192.168.1.1/A"))),
        ("url", "hxxp://evil.example/", "scheme", Some((SubjectKind::Url, "hxxp://evil.example/"))),
        ("url", "evil.example/a", "scheme", Some((SubjectKind::Url, "evil.example/a"))),
        (
            "md5",
            "D41D8CD98F00B204E9800998ECF8427E",
            "an empty file",
            Some((SubjectKind::File(HashType::Md5), "d41d8cd98f00b204e9800998ecf8427e")),
        ),
    ] {
        let unusable = made(kind, value).unwrap_err();
        assert_eq!(unusable.reason, DropReason::Malformed, "{value}");
        assert!(unusable.detail.contains(value) && unusable.detail.contains(reason), "{}", unusable.detail);
        let held = unusable.held_as.map(|held| held.observable.subject(HashType::Md5).key());
        assert_eq!(held, held_as.map(|(kind, value)| key(kind, value)), "{value}");
    }
    let long = made("url", &format!("hxxp://evil.example/{}", "a".repeat(9000))).unwrap_err();
    assert!(long.detail.len() < 300, "{}", long.detail);
    for incomplete in
        [r#"{"type":"fqdn","value":"com","mscore":90}"#, r#"{"id":"x","type":"fqdn","value":"com"}"#]
    {
        let unusable = indicator(&serde_json::from_str(incomplete).unwrap()).unwrap_err();
        assert_eq!(unusable.held_as, None, "no version made anything of it: {incomplete}");
    }
}

#[test]
fn an_ill_formed_digest_costs_itself_and_a_trivial_one_the_record() {
    let file = |value: &str, associated: &str| {
        let hashes = serde_json::json!([{"type": "sha256", "value": associated}]);
        let json = serde_json::json!({"id": "x--1", "type": "md5", "value": value, "mscore": 90, "associated_hashes": hashes});
        indicator(&serde_json::from_str(&json.to_string()).unwrap())
    };
    let (md5, sha256) = ("a".repeat(32), "c".repeat(64));
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let by = |made: Indicator| made.observable.subject(HashType::Md5).value.into_owned();
    assert_eq!(by(file(&md5[1..], &sha256).unwrap()), sha256);
    assert_eq!(by(file(&md5, &sha256[1..]).unwrap()), md5);
    assert_eq!(file(&md5[1..], &sha256[1..]).unwrap_err().held_as, None);
    let condemned = file(&md5, empty).unwrap_err();
    assert_eq!(by(*condemned.held_as.unwrap()), md5);
    assert!(file(&md5[1..], empty).is_err());
}

#[test]
fn odd_fields_are_absent_and_never_an_error() {
    let record = |json: &str| {
        let record = serde_json::from_str(json).expect("every field takes anything");
        indicator(&record)
    };
    let odd = r#"{"id":"url--1","type":"url","value":"https://e.example/'\\","mscore":"95.5","sources":[null,{"osint":"TRUE","category":null},7],
        "threat_rating":{"threat_score":"high","severity_level":3},"category":["Phishing",null,"phishing"],"campaigns":{"a":1},
        "attributed_associations":[{"id":1,"name":"redacted","type":"malware"},{"id":"malware--x","name":"BAD","type":"malware"}],
        "last_updated":12,"first_seen":null,"associated_hashes":"none"}"#;
    let odd = record(odd).unwrap();
    assert_eq!((odd.confidence, odd.threat_score), (95, None));
    assert_eq!(odd.categories, ["phishing"]);
    assert_eq!(odd.malware.len(), 1);
    assert!(!odd.osint_only, "sources that do not say are not open");
    for (json, reason) in [
        (r#"{"id":"email--1","type":"email","value":"a@b.example","mscore":90}"#, DropReason::Type),
        (r#"{"id":"ipv4--1","type":"ipv4","value":"10.1.2.3","mscore":90}"#, DropReason::Malformed),
        (r#"{"id":"ipv4--1","type":"ipv4","value":"203.0.113.9","mscore":null}"#, DropReason::Malformed),
        (r#"{"type":"ipv4","value":"203.0.113.9","mscore":90}"#, DropReason::Malformed),
        (
            r#"{"id":"md5--1","type":"md5","value":"","mscore":90,"associated_hashes":[{"type":"sha1","value":""}]}"#,
            DropReason::Malformed,
        ),
    ] {
        assert_eq!(record(json).unwrap_err().reason, reason, "{json}");
    }
}
