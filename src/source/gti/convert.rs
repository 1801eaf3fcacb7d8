//! Google's records, each as one list shows it.

use chrono::{DateTime, Utc};

use super::{
    merge::{Part, SEVERITIES, Sighting, Standing, Topic},
    wire::{Assessment, Attributes, Data, Record, Related},
};
use crate::{
    domain::{
        filter::DropReason,
        observable::{HashType, Hashes, IndicatorType, Observable},
        page::{About, Unusable},
        spelling::Malformed,
    },
    http::text::cut,
    source::lenient::{Object, Scalar},
};

/// So much of a value is written to the log, in characters.
const LONGEST_VALUE: usize = 200;

/// Whether Google says anything of what it makes of the record.
pub fn is_assessed(record: &Record<'_>) -> bool {
    let Object(Assessment { verdict, threat_score, severity, .. }) =
        &record.data.0.attributes.0.gti_assessment;
    [verdict, threat_score, severity].iter().any(|part| part.0.value != Scalar::Absent)
}

/// Converts one record of the list called `list`, whose package ends at `end`.
///
/// # Errors
/// A type we do not know (reason `Type`), or a value that cannot be represented.
pub fn sighting(record: &Record<'_>, list: &str, end: DateTime<Utc>) -> Result<Sighting, Unusable> {
    let Object(data) = &record.data;
    let (kind, id) = (data.kind.text().unwrap_or_default(), data.id.text().unwrap_or_default());
    let value = data.attributes.0.url.text().unwrap_or(id);
    let unusable = |reason, detail| {
        let id = if id.is_empty() { "a record without id".to_owned() } else { format!("{kind}/{id}") };
        let about =
            About { value: cut(value.to_owned(), LONGEST_VALUE), kind: cut(kind.to_owned(), LONGEST_VALUE) };
        Unusable { id: cut(id, LONGEST_VALUE), about, reason, detail, held_as: None }
    };
    let malformed = |Malformed(why): Malformed| {
        unusable(DropReason::Malformed, format!("{}: {why}", cut(format!("{kind} {value:?}"), LONGEST_VALUE)))
    };
    // Where Google shows the record, beneath the address of its pages.
    let (observable, page) = match kind.to_ascii_lowercase().as_str() {
        "file" => (Observable::file(hashes(data)), format!("file/{id}")),
        "url" => (Observable::url(data.attributes.0.url.text().unwrap_or_default()), format!("url/{id}")),
        "domain" => (Observable::domain(id), format!("domain/{id}")),
        // Both kinds of addresses come under one name.
        "ip_address" if id.contains(':') => (Observable::ipv6(id), format!("ip-address/{id}")),
        "ip_address" => (Observable::ipv4(id), format!("ip-address/{id}")),
        "" => return Err(unusable(DropReason::Malformed, "no type".to_owned())),
        other => return Err(unusable(DropReason::Type, format!("type {other:?}"))),
    };
    let observable = observable.map_err(malformed)?;
    if id.is_empty() {
        return Err(unusable(DropReason::Malformed, "no id".to_owned()));
    }
    let Object(Attributes { gti_assessment: Object(assessment), ic_score, .. }) = &data.attributes;
    let Object(factors) = &assessment.contributing_factors;
    let confidence = [&factors.gti_confidence_score, &factors.older_confidence_score, ic_score];
    let word = |value: &Scalar<'_>, prefix: &str| {
        let text = value.text()?.to_ascii_lowercase();
        Some(text.strip_prefix(prefix).unwrap_or(&text).to_owned())
    };
    let is_set = |flag: &Scalar<'_>| flag.flag() == Some(true);
    let verdict = word(&assessment.verdict.0.value, "verdict_");
    Ok(Sighting {
        former: former(&observable, data),
        observable,
        page,
        standing: Standing {
            threat_score: assessment.threat_score.0.value.score(),
            confidence: confidence.into_iter().find_map(|score| score.score()),
            severity: word(&assessment.severity.0.value, "severity_")
                .and_then(|word| SEVERITIES.iter().position(|known| *known == word)),
            is_malign: verdict.as_deref() != Some("benign"),
        },
        is_benign_by_analyst: is_set(&factors.analyst_benign),
        is_pervasive: is_set(&factors.pervasive_indicator),
        is_open_source: is_set(&factors.osint),
        parts: parts(data, list),
        first_seen: date(&data.attributes.0.first_submission_date).filter(|first| *first < end),
    })
}

/// A list's record names a file by its sha256, and has its md5 beside; others may have more.
fn hashes(data: &Data<'_>) -> Hashes {
    let Object(attributes) = &data.attributes;
    let mut hashes = Hashes::default();
    for (hash_type, value) in [
        (HashType::Sha256, &attributes.sha256),
        (HashType::Sha1, &attributes.sha1),
        (HashType::Md5, &attributes.md5),
        (HashType::Sha256, &data.id),
    ] {
        // A bad one is passed over: the file is known by the others.
        let _ = hashes.add(hash_type, value.text().unwrap_or_default());
    }
    hashes
}

/// The key under which an earlier version may have sent the same value for another source.
fn former(observable: &Observable, data: &Data<'_>) -> Option<crate::domain::observable::Key> {
    let value = match observable {
        Observable::Url(_) => data.attributes.0.url.text(),
        Observable::Domain(_) | Observable::Ipv4(_) | Observable::Ipv6(_) => data.id.text(),
        Observable::File(_) => None,
    };
    let indicator_type: IndicatorType = observable.indicator_type();
    Observable::legacy(indicator_type, value?)?.former_key(observable)
}

/// What the record is related to, and in which categories it is; the list is one of them.
fn parts(data: &Data<'_>, list: &str) -> Vec<Part> {
    let named = |topic, word: &str| Part { topic, id: String::new(), name: word.to_lowercase() };
    let Object(attributes) = &data.attributes;
    let Object(factors) = &attributes.gti_assessment.0.contributing_factors;
    let mut parts = vec![named(Topic::List, list)];
    let categories = factors.normalised_categories.0.iter().filter_map(Scalar::text);
    parts.extend(categories.map(|category| named(Topic::Category, category)));
    let Object(related) = &data.relationships;
    for (topic, Object(Related { data })) in [
        (Topic::Malware, &related.malware_families),
        (Topic::Malware, &related.software_toolkits),
        (Topic::Actor, &related.threat_actors),
        (Topic::Campaign, &related.campaigns),
    ] {
        let named = data.0.iter().filter_map(|Object(collection)| {
            part(topic, collection.id.text(), collection.attributes.0.name.text())
        });
        parts.extend(named);
    }
    let Object(attribution) = &attributes.attribution;
    let families = attribution.malware_families.0.iter().map(|Object(family)| family.family.text());
    parts.extend(families.filter_map(|name| part(Topic::Malware, None, name)));
    let actors = attribution.threat_actors.0.iter().chain(&factors.associated_actor.0).map(Scalar::text);
    parts.extend(actors.filter_map(|name| part(Topic::Actor, None, name)));
    let detailed = attribution.detailed_threat_actors.0.iter();
    parts.extend(detailed.filter_map(|Object(actor)| part(Topic::Actor, actor.id.text(), actor.name.text())));
    parts
}

fn part(topic: Topic, id: Option<&str>, name: Option<&str>) -> Option<Part> {
    let name = name.filter(|name| !name.eq_ignore_ascii_case("redacted"))?;
    Some(Part { topic, id: id.unwrap_or_default().to_owned(), name: name.to_owned() })
}

/// Seconds since 1970.
fn date(seconds: &Scalar<'_>) -> Option<DateTime<Utc>> {
    let Scalar::Number(seconds) = seconds else { return None };
    #[expect(clippy::cast_possible_truncation, reason = "what does not fit is no date")]
    DateTime::from_timestamp(*seconds as i64, 0).filter(|date| *date > DateTime::UNIX_EPOCH)
}
