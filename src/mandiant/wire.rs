//! The shapes of Mandiant's answers, as far as we use them.

use std::borrow::Cow;

use secrecy::SecretString;
use serde::Deserialize;

use super::lenient::{List, Object, Scalar};

/// Answer to `POST /token` (RFC 6749 §5.1).
#[derive(Deserialize)]
pub struct Token {
    pub access_token: SecretString,
    /// Seconds; differs from call to call, because the server hands out tokens that run already.
    pub expires_in: Option<f64>,
}

/// Answer to `GET /v4/indicator`, its records read as `R`.
#[derive(Default, Deserialize)]
#[serde(bound(deserialize = "R: Deserialize<'de>"))]
pub struct Page<'a, R> {
    #[serde(default = "Option::default")]
    pub indicators: Option<R>,
    #[serde(borrow, default)]
    pub next: Option<Cow<'a, str>>,
}

/// One indicator. Key order varies, and every field may be missing, null or odd.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Record<'a> {
    #[serde(borrow)]
    pub id: Scalar<'a>,
    #[serde(borrow, rename = "type")]
    pub kind: Scalar<'a>,
    #[serde(borrow)]
    pub value: Scalar<'a>,
    pub mscore: Scalar<'a>,
    pub first_seen: Scalar<'a>,
    pub last_updated: Scalar<'a>,
    pub sources: List<Object<Source<'a>>>,
    pub associated_hashes: List<Object<Hash<'a>>>,
    pub attributed_associations: List<Object<Association<'a>>>,
    /// These three come only when asked for; whether they came is told by [`Option`].
    pub threat_rating: Option<Object<ThreatRating<'a>>>,
    pub category: Option<List<Scalar<'a>>>,
    pub campaigns: Option<List<Object<Campaign<'a>>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Source<'a> {
    #[serde(borrow)]
    pub source_name: Scalar<'a>,
    pub osint: Scalar<'a>,
    pub category: List<Scalar<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Hash<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Scalar<'a>,
    pub value: Scalar<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Association<'a> {
    #[serde(borrow)]
    pub id: Scalar<'a>,
    pub name: Scalar<'a>,
    #[serde(rename = "type")]
    pub kind: Scalar<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct ThreatRating<'a> {
    #[serde(borrow)]
    pub threat_score: Scalar<'a>,
    pub severity_level: Scalar<'a>,
    pub severity_reason: List<Scalar<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Campaign<'a> {
    #[serde(borrow)]
    pub id: Scalar<'a>,
    pub name: Scalar<'a>,
    pub title: Scalar<'a>,
}
