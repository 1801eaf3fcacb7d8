//! What travels to the upload API (learn.microsoft.com, "Import threat intelligence to Microsoft Sentinel with the
//! upload API") and what comes back.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Body of an upload.
#[derive(Serialize)]
pub struct Upload<'a> {
    pub sourcesystem: &'a str,
    pub stixobjects: &'a [Indicator<'a>],
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
