//! Our indicators to STIX objects as Sentinel reads them.

use std::fmt::{self, Write};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    lists::{labels, references},
    pattern::Pattern,
    wire::{FullName, Indicator, Timestamp},
};
use crate::domain::{
    indicator::{self, Provider},
    observable::{Observable, Subject},
    plan::Planned,
};
use crate::http::text::cut;

/// Sentinel cuts descriptions off here (learn.microsoft.com, "Work with STIX objects and indicators").
const LONGEST_DESCRIPTION: usize = 1000;
/// Words that Microsoft's rules act on: they pass over an indicator whose description has one of them behind `State: ` and
/// before a semicolon. The source's texts must not mute it by chance.
const MUTING: [&str; 2] = ["inactive", "falsepos"];

/// `created` of every object (STIX 2.1 §3.2: "the object creator MUST NOT change the created property when creating a
/// new version"). It has to be the same for one id at every sending, although Mandiant moves `first_seen`, although
/// two records may speak for one value, and after all state was lost. Only the id is as lasting, and so the objects of
/// the namespace from which ids follow count as created with it. When an indicator was first seen, its description says.
const CREATED: DateTime<Utc> = DateTime::from_timestamp(1_767_225_600, 0).expect("2026-01-01T00:00:00Z");

/// What is the same for every object of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
    /// Label `action:<x>`.
    pub action: &'static str,
    /// STIX id of the TLP marking.
    pub marking: Option<&'static str>,
    pub provider: Provider,
}

/// The object for `planned`, whose `subject` it is, sent at `now`.
pub fn object<'a>(
    planned: &'a Planned,
    subject: &'a Subject<'_>,
    style: &Style,
    now: DateTime<Utc>,
) -> Indicator<'a> {
    let indicator = &planned.indicator;
    // An update must not be older than its original (STIX 2.1 §3.6), whatever our clock says.
    let modified = now.max(CREATED);
    // A time before there were computers to be attacked is a way to say nothing.
    let updated = indicator.last_updated.filter(|updated| *updated > DateTime::UNIX_EPOCH);
    let valid_from = updated.unwrap_or(now).min(now - TimeDelta::seconds(1));
    let (labels, references) = (labels(indicator, style.action), references(indicator, style.provider));
    let description = description(indicator, style.provider, labels.left_out, references.left_out);
    Indicator {
        r#type: "indicator",
        spec_version: "2.1",
        id: planned.stix_id(),
        created: Timestamp(CREATED),
        modified: Timestamp(modified),
        pattern: Pattern { kind: subject.kind, value: &subject.value },
        pattern_type: "stix",
        pattern_version: "2.1",
        valid_from: Timestamp(valid_from),
        valid_until: Timestamp(planned.valid_until),
        confidence: indicator.confidence,
        indicator_types: [indicator_type(indicator)],
        description,
        labels: labels.kept,
        external_references: references.kept,
        object_marking_refs: style.marking.map(|marking| [marking]),
        name: &subject.value,
    }
}

/// By the bands of the source's confidence (docs.mandiant.com, "Understanding IC-Score"); of an indicator without one by
/// those of its threat score ("Indicator threat score methodology").
fn indicator_type(indicator: &indicator::Indicator) -> &'static str {
    match (indicator.confidence, indicator.threat_score) {
        (Some(0..=40), _) | (None, Some(0)) => "benign",
        (Some(41..=59), _) | (None, Some(1..=59)) => "anomalous-activity",
        (Some(60..), _) | (None, Some(60..)) => "malicious-activity",
        (None, None) => "unknown",
    }
}

fn description(
    indicator: &indicator::Indicator,
    provider: Provider,
    labels: usize,
    references: usize,
) -> String {
    let mut text = String::with_capacity(512);
    // Writing into memory does not fail.
    let _ = write_description(&mut text, indicator, provider);
    unmute(&mut text);
    if labels + references == 0 {
        return cut(text, LONGEST_DESCRIPTION);
    }
    let note = format!(
        " For lack of room {labels} labels and {references} references are left out; {}'s page has them all.",
        provider.name
    );
    let mut text = cut(text, LONGEST_DESCRIPTION - note.len());
    text.push_str(&note);
    text
}

/// Takes the meaning from what Microsoft's rules would read as "this indicator is off", in whatever case and with whatever
/// blanks, because rules differ in how they compare: its semicolon becomes a comma.
pub(super) fn unmute(text: &mut String) {
    let semicolon = |(colon, _): (usize, &str)| {
        let before = text.as_bytes()[..colon]
            .last_chunk()
            .filter(|word: &&[u8; 5]| word.eq_ignore_ascii_case(b"state"));
        let after = before.map(|_| text[colon + 1..].trim_start())?;
        let behind = |word: &&str| {
            after.split_at_checked(word.len()).filter(|(begin, _)| begin.eq_ignore_ascii_case(word))
        };
        let (_, rest) = MUTING.iter().find_map(behind)?;
        let rest = rest.trim_start();
        rest.starts_with(';').then(|| text.len() - rest.len())
    };
    let semicolons: Vec<usize> = text.match_indices(':').filter_map(semicolon).collect();
    semicolons.into_iter().for_each(|place| text.replace_range(place..=place, ","));
}

/// The confidence of which a description of ours speaks, if it does: of whichever source, because what the source before
/// gave is held until it ends.
pub(super) fn stated_confidence(description: &str) -> Option<u8> {
    let (words, _) = description.split_once(": ")?.1.split_once(" of 100")?;
    let (name, number) = words.rsplit_once(' ')?;
    let is_confidence = name.starts_with("confidence") && !name.contains(',');
    number.parse().ok().filter(|_| is_confidence)
}

fn write_description(text: &mut String, indicator: &indicator::Indicator, provider: Provider) -> fmt::Result {
    match indicator.confidence {
        // Read again by `stated_confidence`.
        Some(confidence) => write!(text, "{}: {} {confidence} of 100", provider.name, provider.confidence)?,
        None => write!(text, "{}: no confidence", provider.name)?,
    }
    match indicator.threat_score {
        Some(score) => write!(text, ", threat score {score} of 100")?,
        None => text.push_str(", no threat score"),
    }
    if let Some(severity) = &indicator.severity {
        write!(text, ", severity {severity}")?;
        if !indicator.severity_reasons.is_empty() {
            write_list(text, " (", &indicator.severity_reasons)?;
            text.push(')');
        }
    }
    text.push('.');
    if let Some(first_seen) = indicator.first_seen.filter(|seen| *seen > DateTime::UNIX_EPOCH) {
        write!(text, " First seen {}.", first_seen.date_naive())?;
    }
    if !indicator.sources.is_empty() {
        let kind = if indicator.osint_only { "open source only" } else { "not only open source" };
        write!(text, " Sources ({kind}): ")?;
        write_list(text, "", &indicator.sources)?;
        text.push('.');
    }
    if let Observable::File(hashes) = &indicator.observable {
        for (hash_type, value) in hashes.all() {
            write!(text, " {} {value}.", hash_type.name())?;
        }
    }
    for (begin, references) in [
        (" Malware: ", &indicator.malware),
        (" Threat actors: ", &indicator.threat_actors),
        (" Campaigns: ", &indicator.campaigns),
    ] {
        if !references.is_empty() {
            write_list(text, begin, references.iter().map(FullName))?;
            text.push('.');
        }
    }
    Ok(())
}

fn write_list(
    text: &mut String,
    begin: &str,
    items: impl IntoIterator<Item = impl fmt::Display>,
) -> fmt::Result {
    let mut before = begin;
    for item in items {
        write!(text, "{before}{item}")?;
        before = ", ";
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        observable::{HashType, Observable},
        outcome::Change,
    };

    fn now() -> DateTime<Utc> {
        "2026-03-02T12:00:00Z".parse().unwrap()
    }

    fn planned() -> Planned {
        let indicator = indicator::Indicator {
            source_id: "ipv4--1".to_owned(),
            confidence: Some(92),
            severity: Some("high".to_owned()),
            osint_only: true,
            ..indicator::Indicator::bare(Observable::ipv4("203.0.113.7").unwrap())
        };
        Planned::alone(indicator, HashType::Md5, now() + TimeDelta::days(7))
    }

    fn sent(planned: &Planned, now: DateTime<Utc>) -> serde_json::Value {
        let style = Style { action: "alert", marking: None, provider: PROVIDER };
        serde_json::to_value(object(planned, &planned.subject(), &style, now)).unwrap()
    }

    fn named(names: Vec<String>) -> Vec<Reference> {
        names.into_iter().map(|name| Reference { id: format!("x--{name}"), name, title: None }).collect()
    }

    #[test]
    fn created_is_the_same_whatever_a_record_says_and_whenever_it_is_sent() {
        let mut planned = planned();
        let created = sent(&planned, now())["created"].clone();
        assert_eq!(created, "2026-01-01T00:00:00.000Z");
        for first_seen in ["0001-01-01T00:00:00Z", "2019-05-06T07:08:09Z", "2026-03-01T00:00:00Z"] {
            planned.indicator.first_seen = Some(first_seen.parse().unwrap());
            planned.indicator.last_updated = planned.indicator.first_seen;
            for change in [Change::Updated, Change::Renewed, Change::Retracted] {
                planned.change = change;
                for days in [-900, 0, 400] {
                    let object = sent(&planned, now() + TimeDelta::days(days));
                    assert_eq!(object["created"], created, "{first_seen} {change:?}");
                    assert!(object["modified"].as_str() >= created.as_str(), "{object}");
                    assert!(object["valid_from"].as_str() > Some("1970"), "{object}");
                }
            }
            let description = sent(&planned, now())["description"].as_str().unwrap().to_owned();
            assert_eq!(description.contains("First seen"), first_seen > "1970", "{description}");
        }
    }

    #[test]
    fn what_is_left_out_is_told_and_what_rules_need_stays() {
        let mut planned = planned();
        planned.indicator.categories = (0..400).map(|n| format!("category-{n}")).collect();
        planned.indicator.malware = named((0..1500).map(|n| format!("FAMILY-{n:06}")).collect());
        planned.indicator.threat_actors = named(vec!["APT99".to_owned()]);
        let object = sent(&planned, now());
        let labels: Vec<&str> =
            object["labels"].as_array().unwrap().iter().map(|label| label.as_str().unwrap()).collect();
        for label in [
            "severity:high",
            "osint",
            "action:alert",
            "threat-actor:APT99",
            "ActivityGroup:APT99",
            "category:category-0",
            "malware:FAMILY-000000",
        ] {
            assert!(labels.contains(&label), "{label}");
        }
        let left_out = 400 + 1500 + 1 + 1 + 3 - labels.len();
        let description = object["description"].as_str().unwrap();
        assert!(
            left_out > 0 && description.contains(&format!("{left_out} labels")),
            "{left_out}: {description}"
        );
        planned.indicator.malware.truncate(3);
        planned.indicator.categories.truncate(3);
        assert!(!sent(&planned, now())["description"].as_str().unwrap().contains("left out"));
    }

    #[test]
    fn an_actor_is_named_as_the_rules_read_it() {
        let mut planned = planned();
        let labels = |planned: &Planned| sent(planned, now())["labels"].to_string();
        assert!(!labels(&planned).contains("ActivityGroup"));
        planned.indicator.threat_actors =
            named(["redacted", "Fancy\u{a0}Bear 28", "UNC1234", " ", "REDACTED"].map(str::to_owned).to_vec());
        planned.indicator.malware = named(vec!["ActivityGroup:None".to_owned()]);
        let text = labels(&planned);
        assert!(text.ends_with(r#","ActivityGroup:Fancy_Bear_28","ActivityGroup:UNC1234"]"#), "{text}");
        assert!(
            text.contains("malware:ActivityGroup None") && text.contains("threat-actor:UNC1234"),
            "{text}"
        );
    }

    proptest! {
        /// Whatever the source writes, and wherever, no rule reads that the indicator is off.
        #[test]
        fn no_text_of_the_source_mutes_an_indicator(
            texts in prop::collection::vec("(?i)(state:|State: ?|in|active|inactive|falsepos|;|; |\\PC){1,9}", 5),
        ) {
            let mut planned = planned();
            let [severity, reason, source, name, title] = <[String; 5]>::try_from(texts).unwrap();
            planned.indicator.severity = Some(severity);
            planned.indicator.severity_reasons = vec![reason];
            planned.indicator.sources = vec![source];
            planned.indicator.threat_actors =
                vec![Reference { id: "x".to_owned(), name: name.clone(), title: Some(title.clone()) }];
            planned.indicator.campaigns = vec![Reference { id: "x".to_owned(), name: title, title: Some(name) }];
            let object = sent(&planned, now());
            let description = object["description"].as_str().unwrap();
            let lower = description.to_lowercase();
            for mute in ["state: inactive;", "state:inactive;", "state: inactive ;", "state: falsepos;"] {
                prop_assert!(!lower.contains(mute), "{}", description);
            }
            prop_assert_eq!(&object["indicator_types"], &serde_json::json!(["malicious-activity"]));
        }

        #[test]
        fn no_list_and_no_object_is_longer_than_its_bound(
            // A few texts are repeated until there are as many, because it is slow to make each of them.
            kinds in prop::array::uniform3((
                prop::collection::vec("\\PC{0,40}|[\"\\\\]{0,40}|ü{1,300}", 1..9),
                0_usize..400,
            )),
            longest in "\\PC{0,3000}",
        ) {
            let mut planned = planned();
            let [categories, malware, campaigns] = kinds.map(|(texts, count)| {
                let text = |n: usize| format!("{}{}", texts[n % texts.len()], n / texts.len());
                (0..count).map(text).collect::<Vec<String>>()
            });
            (planned.indicator.categories, planned.indicator.severity) = (categories, Some(longest));
            (planned.indicator.malware, planned.indicator.campaigns) = (named(malware), named(campaigns));
            let object = sent(&planned, now());
            let ascii = |value: &serde_json::Value| {
                let text = value.to_string();
                text.chars().map(|c| if c.is_ascii() { 1 } else { 6 * c.len_utf16() }).sum::<usize>()
                    + value.as_array().map_or(0, Vec::len)
            };
            prop_assert!(ascii(&object["labels"]) <= 32_700);
            prop_assert!(ascii(&object["external_references"]) <= 40_000);
            prop_assert!(object["description"].as_str().unwrap().chars().count() <= 1000);
            let labels = object["labels"].as_array().unwrap();
            prop_assert_eq!(&labels[labels.len() - 1], "action:alert");
            prop_assert!(labels.contains(&"osint".into()));
        }
    }
}
