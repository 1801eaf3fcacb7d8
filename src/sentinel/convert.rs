//! Our indicators to STIX objects as Sentinel reads them.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::{
    pattern,
    wire::{ExternalReference, Indicator},
};
use crate::domain::{
    indicator::{self, Reference},
    observable::Observable,
    plan::Planned,
};
use crate::http::text::{cut, percent_encoded};

const SOURCE: &str = "Mandiant Advantage";
/// Sentinel cuts descriptions off here (learn.microsoft.com, "Work with STIX objects and indicators").
const LONGEST_DESCRIPTION: usize = 1000;

/// What is the same for every object of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
    /// Label `action:<x>`.
    pub action: &'static str,
    /// STIX id of the TLP marking.
    pub marking: Option<&'static str>,
}

/// The object for `planned`, sent at `now`.
pub fn object<'a>(planned: &'a Planned, style: &Style, now: DateTime<Utc>) -> Indicator<'a> {
    let indicator = &planned.indicator;
    let subject = planned.subject();
    // An update must not be older than its original (STIX 2.1 §3.6); all clocks but ours may be ahead.
    let created =
        indicator.first_seen.into_iter().chain(indicator.last_updated).min().unwrap_or(now).min(now);
    let valid_from = indicator.last_updated.unwrap_or(now).min(now - TimeDelta::seconds(1));
    Indicator {
        r#type: "indicator",
        spec_version: "2.1",
        id: planned.stix_id(),
        created: timestamp(created),
        modified: timestamp(now),
        pattern: pattern::write(&subject),
        pattern_type: "stix",
        pattern_version: "2.1",
        valid_from: timestamp(valid_from),
        valid_until: timestamp(planned.valid_until),
        confidence: indicator.confidence,
        indicator_types: [indicator_type(indicator.confidence)],
        description: description(indicator),
        labels: labels(indicator, style),
        external_references: references(indicator),
        object_marking_refs: style.marking.map(|marking| [marking]),
        name: subject.value,
    }
}

/// By the bands of Mandiant's confidence (docs.mandiant.com, "Understanding IC-Score").
fn indicator_type(confidence: u8) -> &'static str {
    match confidence {
        0..=40 => "benign",
        41..=59 => "anomalous-activity",
        _ => "malicious-activity",
    }
}

fn description(indicator: &indicator::Indicator) -> String {
    let mut text = format!("Mandiant: confidence (mscore) {} of 100", indicator.confidence);
    match indicator.threat_score {
        Some(score) => text.push_str(&format!(", threat score {score} of 100")),
        None => text.push_str(", no threat score"),
    }
    if let Some(severity) = &indicator.severity {
        text.push_str(&format!(", severity {severity}"));
        if !indicator.severity_reasons.is_empty() {
            text.push_str(&format!(" ({})", indicator.severity_reasons.join(", ")));
        }
    }
    text.push('.');
    if !indicator.sources.is_empty() {
        let kind = if indicator.osint_only { "open source only" } else { "not only open source" };
        text.push_str(&format!(" Sources ({kind}): {}.", indicator.sources.join(", ")));
    }
    if let Observable::File(hashes) = &indicator.observable {
        for (hash_type, value) in hashes.all() {
            text.push_str(&format!(" {} {value}.", hash_type.name()));
        }
    }
    for (word, references) in [
        ("Malware", &indicator.malware),
        ("Threat actors", &indicator.threat_actors),
        ("Campaigns", &indicator.campaigns),
    ] {
        if !references.is_empty() {
            let names: Vec<String> = references.iter().map(full_name).collect();
            text.push_str(&format!(" {word}: {}.", names.join(", ")));
        }
    }
    cut(text, LONGEST_DESCRIPTION)
}

fn full_name(reference: &Reference) -> String {
    match &reference.title {
        Some(title) => format!("{} ({title})", reference.name),
        None => reference.name.clone(),
    }
}

/// Sentinel shows them as tags, and rules filter by them.
fn labels(indicator: &indicator::Indicator, style: &Style) -> Vec<String> {
    let mut labels: Vec<String> =
        indicator.categories.iter().map(|category| format!("category:{category}")).collect();
    for (prefix, references) in [
        ("malware", &indicator.malware),
        ("threat-actor", &indicator.threat_actors),
        ("campaign", &indicator.campaigns),
    ] {
        labels.extend(references.iter().map(|reference| format!("{prefix}:{}", reference.name)));
    }
    labels.extend(indicator.severity.iter().map(|severity| format!("severity:{severity}")));
    labels.extend(indicator.osint_only.then(|| "osint".to_owned()));
    labels.push(format!("action:{}", style.action));
    labels
}

fn references(indicator: &indicator::Indicator) -> Vec<ExternalReference<'_>> {
    let page = ExternalReference {
        source_name: SOURCE,
        description: None,
        url: Some(format!(
            "https://advantage.mandiant.com/indicator/{}",
            percent_encoded(&indicator.source_id)
        )),
        external_id: Some(indicator.source_id.as_str().into()),
    };
    let related = [&indicator.malware, &indicator.threat_actors, &indicator.campaigns];
    let related = related.into_iter().flatten().map(|reference| ExternalReference {
        source_name: SOURCE,
        description: Some(full_name(reference)),
        url: None,
        external_id: (!reference.id.is_empty()).then(|| reference.id.as_str().into()),
    });
    std::iter::once(page).chain(related).collect()
}

/// RFC 3339 in milliseconds, as STIX 2.1 §2.16 wants it.
fn timestamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
