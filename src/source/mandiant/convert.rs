//! Mandiant's records to our indicators.

use std::borrow::Cow;

use super::{
    date::date,
    wire::{Association, Campaign, Hash, Judgement, Record, Source, Verdict},
};
use crate::domain::{
    filter::{DropReason, is_osint_only},
    indicator::{Indicator, Reference},
    observable::{HashType, Hashes, IndicatorType, Key, Observable},
    spelling::Malformed,
};
use crate::source::lenient::{List, Object, Scalar};
use crate::{
    domain::page::{About, Unusable},
    http::text::cut,
};

/// So much of a value is written to the log, in characters.
const LONGEST_VALUE: usize = 200;

/// Converts one record.
///
/// # Errors
/// A type we do not know (reason `Type`), or a value, score or id that cannot be represented.
pub fn indicator(record: &Record<'_>) -> Result<Indicator, Unusable> {
    let id = record.id.text().unwrap_or_default();
    let kind = record.kind.text().unwrap_or_default();
    let unusable = |reason, detail: String| {
        let value = record.value.text().unwrap_or_default();
        let id = if id.is_empty() { format!("without id, value {value:?}") } else { id.to_owned() };
        let about =
            About { value: cut(value.to_owned(), LONGEST_VALUE), kind: cut(kind.to_owned(), LONGEST_VALUE) };
        Unusable { id, about, reason, detail, held_as: None }
    };
    let Some(indicator_type) = indicator_type(kind) else {
        let reason = if kind.is_empty() { DropReason::Malformed } else { DropReason::Type };
        return Err(unusable(reason, format!("type {kind:?}")));
    };
    let (observable, legacy) = observables(indicator_type, record);
    let whole = |observable: Observable, former: Vec<Key>, confidence: u8| {
        let rating = record.threat_rating.as_ref().map(|Object(rating)| rating);
        let sources = || record.sources.0.iter().map(|Object(source)| source);
        Indicator {
            source_id: id.to_owned(),
            observable,
            former,
            confidence: Some(confidence),
            threat_score: rating.and_then(|rating| rating.threat_score.score()),
            is_benign: is_benign(&record.verdict.0),
            is_pervasive: false,
            severity: rating.and_then(|rating| rating.severity_level.text()).map(str::to_lowercase),
            severity_reasons: rating.map(|rating| words(&rating.severity_reason)).unwrap_or_default(),
            categories: categories(record),
            sources: owned(sorted(sources().filter_map(|source| source.source_name.text()))),
            osint_only: is_osint_only(sources().map(is_osint)),
            malware: references(&record.attributed_associations, &["malware", "malware-family"]),
            threat_actors: references(&record.attributed_associations, &["threat-actor"]),
            campaigns: record.campaigns.as_ref().map(campaigns).unwrap_or_default(),
            first_seen: record.first_seen.text().and_then(date),
            last_updated: record.last_updated.text().and_then(date),
        }
    };
    // No version made anything of a record without id or score.
    let confidence = record.mscore.score().filter(|_| !id.is_empty());
    match (observable, confidence) {
        (Ok(observable), Some(confidence)) => {
            let former = legacy.and_then(|legacy| legacy.former_key(&observable));
            Ok(whole(observable, former.into_iter().collect(), confidence))
        }
        (Err(malformed), confidence) => {
            let value = record.value.text().unwrap_or_default();
            let detail = format!("{}: {malformed}", cut(format!("{kind} {value:?}"), LONGEST_VALUE));
            let held_as = legacy.zip(confidence).map(|(legacy, score)| whole(legacy, Vec::new(), score));
            Err(Unusable { held_as: held_as.map(Box::new), ..unusable(DropReason::Malformed, detail) })
        }
        (Ok(_), None) if id.is_empty() => Err(unusable(DropReason::Malformed, "no id".to_owned())),
        (Ok(_), None) => {
            Err(unusable(DropReason::Malformed, "mscore is not a number from 0 to 100".to_owned()))
        }
    }
}

/// The feed knows files by md5; the other digests occur among `associated_hashes`, and perhaps one day alone.
fn indicator_type(kind: &str) -> Option<IndicatorType> {
    if hash_type(kind).is_some() {
        return Some(IndicatorType::Hash);
    }
    let others = [IndicatorType::Ipv4, IndicatorType::Ipv6, IndicatorType::Fqdn, IndicatorType::Url];
    others.into_iter().find(|other| other.name().eq_ignore_ascii_case(kind))
}

/// What the record is about, and what earlier versions made of its value.
fn observables(
    indicator_type: IndicatorType,
    record: &Record<'_>,
) -> (Result<Observable, Malformed>, Option<Observable>) {
    let value = record.value.text().unwrap_or_default();
    let observable = match indicator_type {
        IndicatorType::Ipv4 => Observable::ipv4(value),
        IndicatorType::Ipv6 => Observable::ipv6(value),
        IndicatorType::Fqdn => Observable::domain(value),
        IndicatorType::Url => Observable::url(value),
        IndicatorType::Hash => {
            let hashes = hashes(record, value);
            return (Observable::file(hashes.clone()), Observable::legacy_file(hashes));
        }
    };
    (observable, Observable::legacy(indicator_type, value))
}

/// The record's own digest and its associated ones. A bad one is passed over: the file is known by the others.
fn hashes(record: &Record<'_>, value: &str) -> Hashes {
    let mut hashes = Hashes::default();
    let associated =
        record.associated_hashes.0.iter().map(|Object(Hash { kind, value })| (kind.text(), value.text()));
    for (kind, value) in associated.chain([(record.kind.text(), Some(value))]) {
        if let (Some(hash_type), Some(value)) = (kind.and_then(hash_type), value) {
            let _ = hashes.add(hash_type, value);
        }
    }
    hashes
}

fn hash_type(kind: &str) -> Option<HashType> {
    HashType::ALL.into_iter().find(|hash_type| hash_type.name().eq_ignore_ascii_case(kind))
}

/// Whether an analyst calls it benign, or a model does which no analyst contradicts.
fn is_benign(verdict: &Verdict<'_>) -> bool {
    let is_benign = |Object(Judgement { verdict }): &Object<Judgement<'_>>| {
        verdict.text().is_some_and(|word| word.eq_ignore_ascii_case("benign"))
    };
    let by_model = verdict.authoritative_verdict.text() == Some("mlVerdict");
    is_benign(&verdict.analyst_verdict) || by_model && is_benign(&verdict.ml_verdict)
}

/// A source that does not say counts as not open.
fn is_osint(source: &Source<'_>) -> bool {
    source.osint.flag().unwrap_or(false)
}

fn categories(record: &Record<'_>) -> Vec<String> {
    let own = record.category.iter().flat_map(lower);
    let of_sources = record.sources.0.iter().flat_map(|Object(source)| lower(&source.category));
    owned(sorted(own.chain(of_sources)))
}

fn references(associations: &List<Object<Association<'_>>>, kinds: &[&str]) -> Vec<Reference> {
    let of_kind = associations.0.iter().filter_map(|Object(association)| {
        let wanted = association.kind.text().is_some_and(|kind| kinds.contains(&kind));
        wanted.then(|| reference(&association.id, &association.name, None)).flatten()
    });
    sorted(of_kind)
}

fn campaigns(campaigns: &List<Object<Campaign<'_>>>) -> Vec<Reference> {
    let known = campaigns
        .0
        .iter()
        .filter_map(|Object(campaign)| reference(&campaign.id, &campaign.name, campaign.title.text()));
    sorted(known)
}

/// A key without the right to a product gets the word `redacted` in the place of names.
fn reference(id: &Scalar<'_>, name: &Scalar<'_>, title: Option<&str>) -> Option<Reference> {
    let readable = |text: &&str| !text.eq_ignore_ascii_case("redacted");
    let name = name.text().filter(readable)?;
    let id = id.text().filter(readable).unwrap_or_default();
    Some(Reference {
        id: id.to_owned(),
        name: name.to_owned(),
        title: title.filter(readable).map(str::to_owned),
    })
}

fn words(list: &List<Scalar<'_>>) -> Vec<String> {
    owned(lower(list))
}

/// The texts of a list in lower case, copied where they are not: most are, and most come again and again.
fn lower<'a>(list: &'a List<Scalar<'_>>) -> impl Iterator<Item = Cow<'a, str>> {
    let is_lower = |text: &str| text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    list.0.iter().filter_map(Scalar::text).map(move |text| match is_lower(text) {
        true => text.into(),
        false => text.to_lowercase().into(),
    })
}

fn owned<'a>(texts: impl IntoIterator<Item = impl Into<Cow<'a, str>>>) -> Vec<String> {
    texts.into_iter().map(|text| text.into().into_owned()).collect()
}

/// Sorted and without repeats: the order in which Mandiant lists things says nothing and must not look like a
/// change.
fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    items.dedup();
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::observable::{Subject, SubjectKind};

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
            // A record that was stored by an earlier version, e.g. as rejected, is brought to the same.
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
            assert!(
                unusable.detail.contains(value) && unusable.detail.contains(reason),
                "{}",
                unusable.detail
            );
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
        assert_eq!((odd.confidence, odd.threat_score), (Some(95), None));
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
}
