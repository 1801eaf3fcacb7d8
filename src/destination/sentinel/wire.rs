//! What travels to the upload API (learn.microsoft.com, "Import threat intelligence to Microsoft Sentinel with the
//! upload API").

use std::fmt::{self, Write};

use chrono::{DateTime, Datelike, SecondsFormat, Timelike, Utc};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::pattern::Pattern;
use crate::{
    domain::{indicator::Reference, observable::StixId},
    http::text::percent_encoded_path,
};

/// What the upload API calls the objects of a request.
pub const STIX_OBJECTS: &str = "stixobjects";
/// What the legacy API calls them (learn.microsoft.com, "Import threat indicators to Microsoft Sentinel with the
/// legacy upload indicators API").
pub const INDICATORS: &str = "indicators";

/// Body of an upload.
pub struct Upload<'a> {
    pub source_system: &'a str,
    /// [`STIX_OBJECTS`] or [`INDICATORS`].
    pub array: &'static str,
    pub objects: &'a [Indicator<'a>],
}

impl Serialize for Upload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut body = serializer.serialize_map(Some(2))?;
        body.serialize_entry("sourcesystem", self.source_system)?;
        body.serialize_entry(self.array, self.objects)?;
        body.end()
    }
}

/// An indicator (STIX 2.1 §4.7). Its texts are written straight into the body, without a copy of each before.
#[derive(Clone, Debug, Serialize)]
pub struct Indicator<'a> {
    pub r#type: &'static str,
    pub spec_version: &'static str,
    #[serde(serialize_with = "written")]
    pub id: StixId,
    pub created: Timestamp,
    pub modified: Timestamp,
    pub name: &'a str,
    pub description: String,
    pub indicator_types: [&'static str; 1],
    #[serde(serialize_with = "written")]
    pub pattern: Pattern<'a>,
    pub pattern_type: &'static str,
    pub pattern_version: &'static str,
    pub valid_from: Timestamp,
    pub valid_until: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<u8>,
    pub labels: Vec<Label<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external_references: Vec<ExternalReference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_marking_refs: Option<[&'static str; 1]>,
}

/// A pointer to more (STIX 2.1 §2.5).
#[derive(Clone, Debug, Serialize)]
pub struct ExternalReference<'a> {
    pub source_name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<FullName<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<RecordPage<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<&'a str>,
}

/// A tag: what kind, and of what.
#[derive(Clone, Copy, Debug)]
pub struct Label<'a>(pub &'static str, pub &'a str);

/// The kind of label from which Microsoft's rules take the name of an actor for their alerts: from the first that stands
/// in the list, up to the next blank.
pub const ACTIVITY_GROUP: &str = "ActivityGroup:";

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(kind, text) = *self;
        f.write_str(kind)?;
        if kind == ACTIVITY_GROUP {
            let blank = |character: char| if character.is_whitespace() { '_' } else { character };
            text.chars().try_for_each(|character| f.write_char(blank(character)))
        } else if text.contains(ACTIVITY_GROUP) {
            // No name of anything else passes for one.
            f.write_str(&text.replace(ACTIVITY_GROUP, "ActivityGroup "))
        } else {
            f.write_str(text)
        }
    }
}

impl Serialize for Label<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A malware family, actor or campaign with its title.
#[derive(Clone, Copy, Debug)]
pub struct FullName<'a>(pub &'a Reference);

impl fmt::Display for FullName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name)?;
        match &self.0.title {
            Some(title) => write!(f, " ({title})"),
            None => Ok(()),
        }
    }
}

impl Serialize for FullName<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where the provider shows a record.
#[derive(Clone, Copy, Debug)]
pub struct RecordPage<'a> {
    pub at: &'static str,
    pub id: &'a str,
}

impl fmt::Display for RecordPage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, id } = self;
        write!(f, "{at}{}", percent_encoded_path(id))
    }
}

impl Serialize for RecordPage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// RFC 3339 in milliseconds, as STIX 2.1 §2.16 wants it.
#[derive(Clone, Copy, Debug)]
pub struct Timestamp(pub DateTime<Utc>);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = self.0.naive_utc();
        if !(0..=9999).contains(&time.year()) {
            return serializer.serialize_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true));
        }
        // Four of them in every object: by hand it takes a tenth of the time.
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let fields = [
            (0..4, time.year().unsigned_abs()),
            (5..7, time.month()),
            (8..10, time.day()),
            (11..13, time.hour()),
            (14..16, time.minute()),
            (17..19, time.second()),
            (20..23, (time.nanosecond() / 1_000_000).min(999)),
        ];
        for (place, mut number) in fields {
            for digit in text[place].iter_mut().rev() {
                *digit = b'0' + u8::try_from(number % 10).expect("a digit");
                number /= 10;
            }
        }
        serializer.serialize_str(str::from_utf8(&text).expect("digits"))
    }
}

fn written<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
