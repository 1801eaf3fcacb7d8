//! What travels to the upload API (learn.microsoft.com, "Import threat intelligence to Microsoft Sentinel with the
//! upload API") and what comes back.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};

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

/// An indicator (STIX 2.1 §4.7).
#[derive(Clone, Debug, Serialize)]
pub struct Indicator<'a> {
    pub r#type: &'static str,
    pub spec_version: &'static str,
    pub id: String,
    pub created: String,
    pub modified: String,
    pub name: Cow<'a, str>,
    pub description: String,
    pub indicator_types: [&'static str; 1],
    pub pattern: String,
    pub pattern_type: &'static str,
    pub pattern_version: &'static str,
    pub valid_from: String,
    pub valid_until: String,
    pub confidence: u8,
    pub labels: Vec<String>,
    pub external_references: Vec<ExternalReference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_marking_refs: Option<[&'static str; 1]>,
}

/// A pointer to more (STIX 2.1 §2.5).
#[derive(Clone, Debug, Serialize)]
pub struct ExternalReference<'a> {
    pub source_name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<Cow<'a, str>>,
}

/// Body of a 200 that did not take everything.
#[derive(Deserialize)]
pub struct PartialAnswer {
    #[serde(default)]
    pub errors: Option<Vec<RecordError>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordError {
    /// From 0, within the request.
    pub record_index: usize,
    #[serde(default)]
    pub error_messages: Vec<String>,
}

/// The three shapes in which errors come: validation, API Management, service.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct ErrorAnswer {
    pub message: Option<String>,
    pub error: Option<ServiceError>,
    pub errors: Option<Vec<RecordError>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct ServiceError {
    pub code: Option<String>,
    pub message: Option<String>,
}
