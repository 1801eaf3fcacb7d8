//! Our indicators as Defender for Endpoint takes them.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv6Addr},
};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::wire;
use crate::domain::{
    indicator::{Indicator, Provider},
    observable::{HashType, Subject, SubjectKind},
    plan::Planned,
};
use crate::http::text::{cut, percent_encoded_path};

/// What marks an indicator of the tenant as ours: [`wire::Indicator::application`].
pub const APPLICATION: &str = "mati-sync";

/// The lengths, in characters, beyond which the API was seen to reject; Microsoft documents none.
const LONGEST_VALUE: usize = 800;
const LONGEST_DESCRIPTION: usize = 99;
/// The API takes thousands of characters; a list of alerts shows about so many.
const LONGEST_TITLE: usize = 120;
/// An indicator that ends within this time may have ended by the time the API looks at it, and a single one that
/// has ended makes it reject the whole import.
const SHORTEST_VALIDITY: TimeDelta = TimeDelta::minutes(1);

/// What an endpoint does on a match. There is no `Allowed` here: it would exempt malware from protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// It reports the match, and nothing else.
    Audit,
    /// It reports the match and prevents it; a file is put into quarantine besides.
    Block,
}

impl Action {
    pub const ALL: [Self; 2] = [Self::Audit, Self::Block];

    /// learn.microsoft.com, "Indicator resource type": remediation is for files alone; `Alert` and `AlertAndBlock`, which
    /// older clients send, ended in January 2022.
    pub fn word(self, is_file: bool) -> &'static str {
        match self {
            Self::Audit => "Audit",
            Self::Block if is_file => "BlockAndRemediate",
            Self::Block => "Block",
        }
    }
}

/// What is the same for every indicator of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
    pub action: Action,
    pub provider: Provider,
}

/// `planned` as it is sent.
pub fn indicator<'a>(planned: &'a Planned, style: &Style) -> wire::Indicator<'a> {
    let Subject { kind, value } = planned.subject();
    let is_file = matches!(kind, SubjectKind::File(_));
    wire::Indicator {
        indicator_type: indicator_type(kind),
        indicator_value: spelt(kind, value),
        action: style.action.word(is_file),
        // `Audit` is rejected without it, and a block without an alert helps no analyst.
        generate_alert: true,
        severity: severity(&planned.indicator),
        title: title(&planned.indicator, kind, style.provider.name),
        description: description(&planned.indicator),
        recommended_actions: format!(
            "Find out what led to this contact. {} on the indicator: {}{}",
            style.provider.name,
            style.provider.records_at,
            percent_encoded_path(&planned.indicator.source_id)
        ),
        application: APPLICATION,
        external_id: planned.key.stix_id(),
        expiration_time: planned.valid_until.to_rfc3339_opts(SecondsFormat::Secs, true),
    }
}

/// Why the API would reject `planned` at `now`: said without asking it, because some of these make it reject
/// everything else in the request too. `None`: nothing is known against it.
pub fn unfit(planned: &Planned, now: DateTime<Utc>) -> Option<&'static str> {
    if planned.valid_until - SHORTEST_VALIDITY < now {
        return Some("its validity ends within a minute");
    }
    let Subject { kind, value } = planned.subject();
    unfit_value(kind, &value)
}

/// learn.microsoft.com, "Create indicators for IPs and URLs/domains": single external addresses only.
fn unfit_value(kind: SubjectKind, value: &str) -> Option<&'static str> {
    if value.chars().any(char::is_whitespace) {
        return Some("a value with white space");
    }
    if value.chars().count() > LONGEST_VALUE {
        return Some("a value of more than 800 characters");
    }
    let address = value.parse::<IpAddr>();
    match (kind, address) {
        (SubjectKind::Ipv4 | SubjectKind::Ipv6, Err(_)) => Some("not a single address"),
        (SubjectKind::Ipv4 | SubjectKind::Ipv6, Ok(address)) if is_local(address) => {
            Some("an address that is not on the internet")
        }
        (SubjectKind::Domain, Ok(_)) => Some("an address in the place of a domain name"),
        _ => None,
    }
}

/// Addresses that no host on the internet has (RFC 6890).
fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_multicast()
                || first == 0
                || first >= 240
                || first == 100 && second & 0xc0 == 64
        }
        IpAddr::V6(address) => {
            address.to_ipv4_mapped().is_some_and(|mapped| is_local(mapped.into()))
                || address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_unique_local()
                || address.is_unicast_link_local()
        }
    }
}

pub(super) fn indicator_type(kind: SubjectKind) -> &'static str {
    match kind {
        SubjectKind::Ipv4 | SubjectKind::Ipv6 => "IpAddress",
        SubjectKind::Domain => "DomainName",
        SubjectKind::Url => "Url",
        SubjectKind::File(HashType::Md5) => "FileMd5",
        SubjectKind::File(HashType::Sha1) => "FileSha1",
        SubjectKind::File(HashType::Sha256) => "FileSha256",
    }
}

/// The API wants IPv6 addresses with all their eight groups, and takes everything else as it is.
fn spelt(kind: SubjectKind, value: Cow<'_, str>) -> Cow<'_, str> {
    match (kind, value.parse::<Ipv6Addr>()) {
        (SubjectKind::Ipv6, Ok(address)) => {
            address.segments().map(|group| format!("{group:x}")).join(":").into()
        }
        _ => value,
    }
}

/// Mandiant's word where the API has the same; otherwise by the bands of the threat score (docs.mandiant.com,
/// "Indicator threat score methodology": above 60 an alert, from 40 suspicious, below that noise, 0 benign). Of an
/// indicator without either: `Medium`, because nothing says how bad it is.
fn severity(indicator: &Indicator) -> &'static str {
    match indicator.severity.as_deref() {
        Some("informational" | "none") => "Informational",
        Some("low") => "Low",
        Some("medium") => "Medium",
        Some("high" | "critical") => "High",
        _ => match indicator.threat_score {
            Some(0) => "Informational",
            Some(1..40) => "Low",
            Some(40..=60) | None => "Medium",
            Some(61..) => "High",
        },
    }
}

/// The title of the alert: who is behind it, if that is known, else what it is for.
fn title(indicator: &Indicator, kind: SubjectKind, provider: &str) -> String {
    let thing = match kind {
        SubjectKind::Ipv4 | SubjectKind::Ipv6 => "IP address",
        SubjectKind::Domain => "domain",
        SubjectKind::Url => "URL",
        SubjectKind::File(_) => "file",
    };
    let about = names(indicator).collect::<Vec<_>>();
    let about = if about.is_empty() { indicator.categories.join(", ") } else { about.join(", ") };
    let title = if about.is_empty() {
        format!("{provider}: malicious {thing}")
    } else {
        format!("{provider}: malicious {thing} ({about})")
    };
    cut(title, LONGEST_TITLE)
}

/// There is room for little: how sure and how bad, then who, then what for.
fn description(indicator: &Indicator) -> String {
    let mut text = match indicator.confidence {
        Some(confidence) => format!("Confidence {confidence}"),
        None => "No confidence".to_owned(),
    };
    match indicator.threat_score {
        Some(score) => text.push_str(&format!(", threat score {score}")),
        None => text.push_str(", no threat score"),
    }
    let about: Vec<&str> = names(indicator).chain(indicator.categories.iter().map(String::as_str)).collect();
    if !about.is_empty() {
        text.push_str(&format!(": {}", about.join(", ")));
    }
    cut(text, LONGEST_DESCRIPTION)
}

/// Malware, threat actors and campaigns.
fn names(indicator: &Indicator) -> impl Iterator<Item = &str> {
    let related = [&indicator.malware, &indicator.threat_actors, &indicator.campaigns];
    related.into_iter().flatten().map(|reference| reference.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::indicator::Provider;

    const PROVIDER: Provider = Provider {
        name: "Mandiant",
        product: "Mandiant Advantage",
        records_at: "https://advantage.mandiant.com/indicator/",
        confidence: "confidence (mscore)",
    };
    use crate::domain::{
        indicator::Reference,
        observable::{Hashes, Observable},
    };

    const BLOCK: Style = Style { action: Action::Block, provider: PROVIDER };
    const AUDIT: Style = Style { action: Action::Audit, provider: PROVIDER };

    fn now() -> DateTime<Utc> {
        "2026-03-02T12:00:00Z".parse().unwrap()
    }

    fn planned(observable: Observable) -> Planned {
        let (source_id, confidence) = ("ipv4--1".to_owned(), Some(92));
        let indicator = Indicator { source_id, confidence, ..Indicator::bare(observable) };
        Planned::alone(indicator, HashType::Sha256, now() + TimeDelta::days(7))
    }

    fn file(digests: &[(HashType, &str)]) -> Observable {
        let mut hashes = Hashes::default();
        digests.iter().for_each(|(hash_type, value)| hashes.add(*hash_type, value).unwrap());
        Observable::file(hashes).unwrap()
    }

    #[test]
    fn every_type_has_its_name_its_spelling_and_its_action() {
        let (md5, sha1, sha256) = ("a".repeat(32), "b".repeat(40), "c".repeat(64));
        let all = [(HashType::Md5, &*md5), (HashType::Sha1, &*sha1), (HashType::Sha256, &*sha256)];
        for (observable, indicator_type, value, block) in [
            (Observable::ipv4("203.0.113.7").unwrap(), "IpAddress", "203.0.113.7", "Block"),
            (Observable::ipv6("2001:db8::1").unwrap(), "IpAddress", "2001:db8:0:0:0:0:0:1", "Block"),
            (Observable::domain("Evil.Example").unwrap(), "DomainName", "evil.example", "Block"),
            (Observable::url("http://evil.example/A").unwrap(), "Url", "http://evil.example/A", "Block"),
            (file(&all), "FileSha256", &*sha256, "BlockAndRemediate"),
            (file(&all[..2]), "FileSha1", &*sha1, "BlockAndRemediate"),
            (file(&all[..1]), "FileMd5", &*md5, "BlockAndRemediate"),
        ] {
            let planned = planned(observable);
            let sent = indicator(&planned, &BLOCK);
            assert_eq!(
                (sent.indicator_type, &*sent.indicator_value, sent.action),
                (indicator_type, value, block)
            );
            let sent = indicator(&planned, &AUDIT);
            assert_eq!((sent.action, sent.generate_alert), ("Audit", true), "{indicator_type}");
            assert_eq!(sent.external_id, planned.key.stix_id());
            assert_eq!(unfit(&planned, now()), None);
        }
    }

    #[test]
    fn times_end_at_the_second_and_what_ends_soon_is_not_sent() {
        let mut planned = planned(Observable::ipv4("203.0.113.7").unwrap());
        planned.valid_until = now() + TimeDelta::milliseconds(60_999);
        assert_eq!(indicator(&planned, &AUDIT).expiration_time, "2026-03-02T12:01:00Z");
        assert_eq!(unfit(&planned, now()), None);
        planned.valid_until = now() + TimeDelta::milliseconds(59_999);
        assert_eq!(unfit(&planned, now()), Some("its validity ends within a minute"));
    }

    #[test]
    fn values_the_api_rejects_are_known_before() {
        let url = |length: usize| format!("http://e.example/{}", "x".repeat(length - 17));
        for (kind, value, is_fit) in [
            (SubjectKind::Ipv4, "8.8.8.8".to_owned(), true),
            (SubjectKind::Ipv4, "8.8.8.0/24".to_owned(), false),
            (SubjectKind::Ipv4, "192.168.1.1".to_owned(), false),
            (SubjectKind::Ipv4, "100.64.0.1".to_owned(), false),
            (SubjectKind::Ipv4, "100.128.0.1".to_owned(), true),
            (SubjectKind::Ipv4, "0.1.2.3".to_owned(), false),
            (SubjectKind::Ipv6, "2001:db8::1".to_owned(), true),
            (SubjectKind::Ipv6, "fe80::1".to_owned(), false),
            (SubjectKind::Ipv6, "::ffff:10.0.0.1".to_owned(), false),
            (SubjectKind::Domain, "evil.example".to_owned(), true),
            (SubjectKind::Domain, "8.8.8.8".to_owned(), false),
            (SubjectKind::Url, url(800), true),
            (SubjectKind::Url, url(801), false),
            (SubjectKind::Url, "http://e.example/a b".to_owned(), false),
        ] {
            assert_eq!(unfit_value(kind, &value).is_none(), is_fit, "{value}");
        }
    }

    #[test]
    fn what_matters_comes_first_and_all_of_it_fits() {
        let reference = |name: &str| Reference {
            id: String::new(),
            name: name.to_owned(),
            title: Some("long".to_owned()),
        };
        let mut planned = planned(Observable::domain("evil.example").unwrap());
        let sent = indicator(&planned, &AUDIT);
        assert_eq!(sent.title, "Mandiant: malicious domain");
        assert_eq!(sent.description, "Confidence 92, no threat score");

        planned.indicator.categories = vec!["phishing".to_owned()];
        planned.indicator.threat_score = Some(85);
        let sent = indicator(&planned, &AUDIT);
        assert_eq!(sent.title, "Mandiant: malicious domain (phishing)");
        assert_eq!(sent.description, "Confidence 92, threat score 85: phishing");

        planned.indicator.malware = (0..60).map(|number| reference(&format!("MÄLWARE{number}"))).collect();
        planned.indicator.threat_actors = vec![reference("APT99")];
        let sent = indicator(&planned, &AUDIT);
        assert!(sent.title.starts_with("Mandiant: malicious domain (MÄLWARE0, MÄLWARE1"), "{}", sent.title);
        assert_eq!((sent.title.chars().count(), sent.description.chars().count()), (120, 99));
        assert!(sent.title.ends_with('…') && sent.description.ends_with('…'));
        assert!(sent.recommended_actions.ends_with("/indicator/ipv4--1"), "{}", sent.recommended_actions);
    }

    #[test]
    fn severity_is_mandiant_s_word_or_follows_from_the_threat_score() {
        for (word, score, expected) in [
            (Some("high"), Some(10), "High"),
            (Some("medium"), None, "Medium"),
            (Some("low"), Some(100), "Low"),
            (Some("none"), None, "Informational"),
            (Some("unheard-of"), Some(61), "High"),
            (None, Some(60), "Medium"),
            (None, Some(40), "Medium"),
            (None, Some(39), "Low"),
            (None, Some(0), "Informational"),
            (None, None, "Medium"),
        ] {
            let mut planned = planned(Observable::ipv4("203.0.113.7").unwrap());
            planned.indicator.severity = word.map(str::to_owned);
            planned.indicator.threat_score = score;
            assert_eq!(severity(&planned.indicator), expected, "{word:?} {score:?}");
        }
    }
}
