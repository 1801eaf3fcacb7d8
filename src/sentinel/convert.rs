//! Our indicators to STIX objects as Sentinel reads them.

use std::fmt::{self, Write};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    pattern::Pattern,
    wire::{ExternalReference, FullName, Indicator, Label, Timestamp},
};
use crate::domain::{
    indicator,
    observable::{Observable, Subject},
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

/// The object for `planned`, whose `subject` it is, sent at `now`.
pub fn object<'a>(
    planned: &'a Planned,
    subject: &'a Subject<'_>,
    style: &Style,
    now: DateTime<Utc>,
) -> Indicator<'a> {
    let indicator = &planned.indicator;
    // An update must not be older than its original (STIX 2.1 §3.6); all clocks but ours may be ahead.
    let created =
        indicator.first_seen.into_iter().chain(indicator.last_updated).min().unwrap_or(now).min(now);
    let valid_from = indicator.last_updated.unwrap_or(now).min(now - TimeDelta::seconds(1));
    Indicator {
        r#type: "indicator",
        spec_version: "2.1",
        id: planned.stix_id(),
        created: Timestamp(created),
        modified: Timestamp(now),
        pattern: Pattern { kind: subject.kind, value: &subject.value },
        pattern_type: "stix",
        pattern_version: "2.1",
        valid_from: Timestamp(valid_from),
        valid_until: Timestamp(planned.valid_until),
        confidence: indicator.confidence,
        indicator_types: [indicator_type(indicator.confidence)],
        description: description(indicator),
        labels: labels(indicator, style),
        external_references: references(indicator),
        object_marking_refs: style.marking.map(|marking| [marking]),
        name: &subject.value,
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
    let mut text = String::with_capacity(512);
    // Writing into memory does not fail.
    let _ = write_description(&mut text, indicator);
    cut(text, LONGEST_DESCRIPTION)
}

fn write_description(text: &mut String, indicator: &indicator::Indicator) -> fmt::Result {
    write!(text, "Mandiant: confidence (mscore) {} of 100", indicator.confidence)?;
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

/// Sentinel shows them as tags, and rules filter by them.
fn labels<'a>(indicator: &'a indicator::Indicator, style: &Style) -> Vec<Label<'a>> {
    let categories = indicator.categories.iter().map(|category| Label("category:", category));
    let named = [
        ("malware:", &indicator.malware),
        ("threat-actor:", &indicator.threat_actors),
        ("campaign:", &indicator.campaigns),
    ];
    let named = named
        .into_iter()
        .flat_map(|(kind, references)| references.iter().map(move |reference| Label(kind, &reference.name)));
    let severity = indicator.severity.iter().map(|severity| Label("severity:", severity));
    let osint = indicator.osint_only.then_some(Label("osint", ""));
    categories.chain(named).chain(severity).chain(osint).chain([Label("action:", style.action)]).collect()
}

fn references(indicator: &indicator::Indicator) -> Vec<ExternalReference<'_>> {
    let page = ExternalReference {
        source_name: SOURCE,
        description: None,
        url: Some(format!(
            "https://advantage.mandiant.com/indicator/{}",
            percent_encoded(&indicator.source_id)
        )),
        external_id: Some(&indicator.source_id),
    };
    let related = [&indicator.malware, &indicator.threat_actors, &indicator.campaigns];
    let related = related.into_iter().flatten().map(|reference| ExternalReference {
        source_name: SOURCE,
        description: Some(FullName(reference)),
        url: None,
        external_id: Some(reference.id.as_str()).filter(|id| !id.is_empty()),
    });
    std::iter::once(page).chain(related).collect()
}
