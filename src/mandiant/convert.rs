//! Mandiant's records to our indicators.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};

use super::{
    lenient::{List, Object, Scalar},
    wire::{Association, Campaign, Hash, Record, Source},
};
use crate::domain::{
    filter::DropReason,
    indicator::{Indicator, Reference},
    observable::{HashType, Hashes, IndicatorType, Key, Malformed, Observable},
};
use crate::http::text::cut;

/// A record that is no indicator of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// Mandiant's id, or what there is of it.
    pub id: String,
    pub reason: DropReason,
    pub detail: String,
    /// The indicator that an earlier version would have made of it: a lane may still hold that.
    pub held_as: Option<Box<Indicator>>,
}

/// So much of a value is written to the log, in characters.
const LONGEST_VALUE: usize = 200;

/// Converts one record.
///
/// # Errors
/// A type we do not know (reason `Type`), or a value, score or id that cannot be represented.
pub fn indicator(record: &Record<'_>) -> Result<Indicator, Unusable> {
    let id = record.id.text().unwrap_or_default();
    let unusable = |reason, detail: String| {
        let value = record.value.text().unwrap_or_default();
        let id = if id.is_empty() { format!("without id, value {value:?}") } else { id.to_owned() };
        Unusable { id, reason, detail, held_as: None }
    };
    let kind = record.kind.text().unwrap_or_default();
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
            confidence,
            threat_score: rating.and_then(|rating| rating.threat_score.score()),
            severity: rating.and_then(|rating| rating.severity_level.text()).map(str::to_lowercase),
            severity_reasons: rating.map(|rating| words(&rating.severity_reason)).unwrap_or_default(),
            categories: categories(record),
            sources: sorted(sources().filter_map(|source| source.source_name.text()).map(str::to_owned)),
            osint_only: sources().count() > 0 && sources().all(is_osint),
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
    match kind.to_ascii_lowercase().as_str() {
        "ipv4" => Some(IndicatorType::Ipv4),
        "ipv6" => Some(IndicatorType::Ipv6),
        "fqdn" => Some(IndicatorType::Fqdn),
        "url" => Some(IndicatorType::Url),
        "md5" | "sha1" | "sha256" => Some(IndicatorType::Hash),
        _ => None,
    }
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
    match kind.to_ascii_lowercase().as_str() {
        "md5" => Some(HashType::Md5),
        "sha1" => Some(HashType::Sha1),
        "sha256" => Some(HashType::Sha256),
        _ => None,
    }
}

/// A source that does not say counts as not open.
fn is_osint(source: &Source<'_>) -> bool {
    source.osint.flag().unwrap_or(false)
}

fn categories(record: &Record<'_>) -> Vec<String> {
    let own = record.category.iter().flat_map(words);
    let of_sources = record.sources.0.iter().flat_map(|Object(source)| words(&source.category));
    sorted(own.chain(of_sources))
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
    list.0.iter().filter_map(Scalar::text).map(str::to_lowercase).collect()
}

/// Sorted and without repeats: the order in which Mandiant lists things says nothing and must not look like a
/// change.
fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    items.dedup();
    items
}

/// Any of the forms in which Mandiant writes dates: 0 to 9 digits of a fraction, and `Z`, `±hhmm` or `±hh:mm`.
pub fn date(text: &str) -> Option<DateTime<Utc>> {
    if text.len() < 20 || !text.is_ascii() {
        return None;
    }
    let (local, offset) = match text.strip_suffix(['Z', 'z']) {
        Some(local) => (local, TimeDelta::zero()),
        None => {
            // The sign of an offset stands behind the date's own dashes.
            let at = 19 + text[19..].find(['+', '-'])?;
            (&text[..at], offset(&text[at..])?)
        }
    };
    local_time(local.as_bytes())?.checked_sub_signed(offset).map(|time| time.and_utc())
}

/// `yyyy-mm-ddThh:mm:ss` and perhaps a fraction. By hand: a parser that is given the format takes ten times as long,
/// and there are two dates in every record.
fn local_time(text: &[u8]) -> Option<NaiveDateTime> {
    let (time, fraction) = text.split_at_checked(19)?;
    let number = |from: usize, digits: usize| digits_of(&time[from..from + digits]);
    if [4, 7, 10, 13, 16].map(|at| time[at]) != *b"--T::" {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(i32::try_from(number(0, 4)?).ok()?, number(5, 2)?, number(8, 2)?)?;
    let nanoseconds = match fraction.split_first() {
        None => 0,
        Some((b'.', digits @ [_, ..])) if digits.len() <= 9 => {
            digits_of(digits)? * 10_u32.pow(9 - u32::try_from(digits.len()).ok()?)
        }
        Some(_) => return None,
    };
    date.and_hms_nano_opt(number(11, 2)?, number(14, 2)?, number(17, 2)?, nanoseconds)
}

/// At most nine digits.
fn digits_of(text: &[u8]) -> Option<u32> {
    text.iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
}

fn offset(text: &str) -> Option<TimeDelta> {
    let digits: String = text[1..].chars().filter(|character| *character != ':').collect();
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let minutes = digits[..2].parse::<i64>().ok()? * 60 + digits[2..].parse::<i64>().ok()?;
    Some(TimeDelta::minutes(if text.starts_with('-') { -minutes } else { minutes }))
}

#[cfg(test)]
mod tests;
