//! What travels to the indicators API (learn.microsoft.com, "Indicator resource type", "Import Indicators API",
//! "Batch delete indicators", "List Indicators API") and what comes back. The API compares names with their case.

use std::{borrow::Cow, net::IpAddr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::{
    domain::{
        indicator::Provider,
        observable::{HashType, SubjectKind},
    },
    http::unexpected::sentence,
};

/// Body of an import.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Import<'a> {
    pub indicators: &'a [Indicator<'a>],
}

/// One indicator as it is sent.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Indicator<'a> {
    pub indicator_value: Cow<'a, str>,
    pub indicator_type: &'static str,
    pub action: &'static str,
    /// Whether a match makes an alert.
    pub generate_alert: bool,
    pub severity: &'static str,
    pub title: String,
    pub description: String,
    pub recommended_actions: String,
    /// Who made it. An update does not change it.
    pub application: &'static str,
    /// Our id for it.
    pub external_id: String,
    /// RFC 3339. The API deletes the indicator then.
    pub expiration_time: String,
}

/// Body of a 200 to an import.
#[derive(Deserialize)]
pub struct ImportAnswer {
    pub value: Vec<ItemAnswer>,
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// What became of one indicator of an import.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemAnswer {
    #[serde(default, deserialize_with = "number")]
    pub id: Option<u64>,
    /// Its value; empty where the answer does not name it.
    #[serde(default, deserialize_with = "text")]
    pub indicator: String,
    pub is_failed: bool,
    #[serde(default, deserialize_with = "reason")]
    pub failure_reason: Option<String>,
}

/// Body of a deletion.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct BatchDelete {
    /// Numbers, written as texts.
    pub indicator_ids: Vec<String>,
}

/// Body of a page of the list.
#[derive(Deserialize)]
pub struct PageAnswer {
    /// Whatever it is: one that cannot be read, which another application made, must not hide the others.
    pub value: Vec<Value>,
    #[serde(default, rename = "@odata.nextLink")]
    pub next_link: Option<String>,
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// A page of the list.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    pub value: Vec<Listed>,
    /// How many there were, readable or not.
    pub count: usize,
    pub next_link: Option<String>,
}

/// An indicator that the tenant holds, whichever application made it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    #[serde(default, deserialize_with = "number")]
    pub id: Option<u64>,
    /// Ours is a STIX id; other makers have other ones or none.
    #[serde(default)]
    pub external_id: Option<String>,
    #[serde(default)]
    pub application: Option<String>,
    #[serde(rename = "indicatorValue")]
    pub value: String,
    pub indicator_type: String,
    /// `None`: it stays until it is deleted.
    #[serde(default, rename = "expirationTime", deserialize_with = "date")]
    pub expiration: Option<DateTime<Utc>>,
    #[serde(default)]
    pub action: Option<String>,
    /// Of ours it has the address of the record.
    #[serde(default)]
    pub recommended_actions: Option<String>,
    #[serde(default)]
    pub generate_alert: Option<bool>,
    /// Which application or person made it, by name and by id.
    #[serde(default)]
    pub source: Option<String>,
    #[serde(default)]
    pub created_by: Option<String>,
    #[serde(default)]
    pub last_updated_by: Option<String>,
    #[serde(default, rename = "lastUpdateTime", deserialize_with = "date")]
    pub last_updated: Option<DateTime<Utc>>,
}

impl Listed {
    /// The source's id of the record that it was made of, if it is ours and says so.
    pub fn source_id(&self, provider: Provider) -> Option<&str> {
        let (_, id) = self.recommended_actions.as_deref()?.rsplit_once(provider.records_at)?;
        // A source's ids need no encoding; what does is none of them.
        Some(id.trim()).filter(|id| !id.is_empty() && !id.contains('%'))
    }

    /// What its value is compared with; `None`: a kind that is never ours.
    pub fn kind(&self) -> Option<SubjectKind> {
        match self.indicator_type.as_str() {
            "IpAddress" if self.value.contains(':') => Some(SubjectKind::Ipv6),
            "IpAddress" => Some(SubjectKind::Ipv4),
            "DomainName" => Some(SubjectKind::Domain),
            "Url" => Some(SubjectKind::Url),
            "FileMd5" => Some(SubjectKind::File(HashType::Md5)),
            "FileSha1" => Some(SubjectKind::File(HashType::Sha1)),
            "FileSha256" => Some(SubjectKind::File(HashType::Sha256)),
            _ => None,
        }
    }

    /// Type and value, by which the tenant tells its indicators apart, whichever application made them.
    pub fn compared_as(&self) -> String {
        compared_as(&self.indicator_type, &self.value)
    }
}

pub(super) fn compared_as(indicator_type: &str, value: &str) -> String {
    format!("{indicator_type} {}", folded(value))
}

/// A value in the spelling in which the tenant compares it: of a URL scheme and host without case and everything behind
/// them as it is (RFC 3986 §6.2.2.1), for another path is another page; everything else without case.
pub(super) fn folded(value: &str) -> String {
    let value = value.trim();
    if let Ok(address) = value.parse::<IpAddr>() {
        return address.to_string();
    }
    let start = value.find("://").map_or(0, |at| at + 3);
    let end = value[start..].find(['/', '?', '#', '\\']).map_or(value.len(), |at| start + at);
    // A name and a password before the host have their case.
    let host = value[start..end].rfind('@').map_or(start, |at| start + at + 1);
    let (scheme, user) = (value[..start].to_lowercase(), &value[start..host]);
    format!("{scheme}{user}{}{}", value[host..end].to_lowercase(), &value[end..])
}

/// The API's errors.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct ErrorAnswer {
    pub error: Option<ServiceError>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct ServiceError {
    pub code: Option<String>,
    pub message: Option<String>,
    /// By which Microsoft's support finds the request.
    pub target: Option<String>,
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value.as_str().unwrap_or_default().to_owned())
}

fn reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(sentence(&Value::deserialize(deserializer)?))
}

/// An id: a number as a text, by all samples; a plain number does as well. Any other is none.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value.as_u64().or_else(|| value.as_str()?.trim().parse().ok()))
}

/// A date with or without a zone: the samples have `Z` and up to seven digits of a fraction. What is no date must
/// not keep the rest of the list from being read.
fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().or_else(|_| format!("{text}Z").parse()).ok()))
}
