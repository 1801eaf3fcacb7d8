//! The shapes of Google Threat Intelligence's answers, as far as we use them.

use serde::Deserialize;

use crate::source::lenient::{List, Object, Scalar};

/// One record of a threat list. Every field may be missing, null or odd.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Record<'a> {
    #[serde(borrow)]
    pub data: Object<Data<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Data<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Scalar<'a>,
    pub id: Scalar<'a>,
    pub attributes: Object<Attributes<'a>>,
    pub relationships: Object<Relationships<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Attributes<'a> {
    #[serde(borrow)]
    pub gti_assessment: Object<Assessment<'a>>,
    pub url: Scalar<'a>,
    pub md5: Scalar<'a>,
    pub sha1: Scalar<'a>,
    pub sha256: Scalar<'a>,
    #[serde(rename = "mandiant_ic_score")]
    pub ic_score: Scalar<'a>,
    /// Seconds since 1970.
    pub first_submission_date: Scalar<'a>,
    pub attribution: Object<Attribution<'a>>,
}

/// What Google makes of it; missing in whole where a request lacks `x-tool`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Assessment<'a> {
    #[serde(borrow)]
    pub verdict: Object<Valued<'a>>,
    pub threat_score: Object<Valued<'a>>,
    pub severity: Object<Valued<'a>>,
    pub contributing_factors: Object<Factors<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Valued<'a> {
    #[serde(borrow)]
    pub value: Scalar<'a>,
}

/// The two generations of names stand side by side.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Factors<'a> {
    #[serde(borrow)]
    pub gti_confidence_score: Scalar<'a>,
    #[serde(rename = "mandiant_confidence_score")]
    pub older_confidence_score: Scalar<'a>,
    pub normalised_categories: List<Scalar<'a>>,
    #[serde(rename = "mandiant_analyst_benign")]
    pub analyst_benign: Scalar<'a>,
    #[serde(rename = "mandiant_osint")]
    pub osint: Scalar<'a>,
    pub pervasive_indicator: Scalar<'a>,
    /// Names, or only whether there are any.
    pub associated_actor: List<Scalar<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Attribution<'a> {
    #[serde(borrow)]
    pub malware_families: List<Object<Family<'a>>>,
    pub threat_actors: List<Scalar<'a>>,
    pub detailed_threat_actors: List<Object<Actor<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Family<'a> {
    #[serde(borrow)]
    pub family: Scalar<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Actor<'a> {
    #[serde(borrow)]
    pub id: Scalar<'a>,
    pub name: Scalar<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Relationships<'a> {
    #[serde(borrow)]
    pub malware_families: Object<Related<'a>>,
    pub software_toolkits: Object<Related<'a>>,
    pub threat_actors: Object<Related<'a>>,
    pub campaigns: Object<Related<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Related<'a> {
    #[serde(borrow)]
    pub data: List<Object<Collection<'a>>>,
}

/// A malware family, an actor or a campaign.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Collection<'a> {
    #[serde(borrow)]
    pub id: Scalar<'a>,
    pub attributes: Object<Named<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Named<'a> {
    #[serde(borrow)]
    pub name: Scalar<'a>,
}

/// An answer that is no success.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Failure<'a> {
    #[serde(borrow)]
    pub error: Object<Told<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Told<'a> {
    #[serde(borrow)]
    pub code: Scalar<'a>,
    pub message: Scalar<'a>,
}

/// Answer to `GET /users/{key}/overall_quotas`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Quotas<'a> {
    #[serde(borrow)]
    pub data: Object<Periods<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Periods<'a> {
    #[serde(borrow)]
    pub api_requests_hourly: Object<Holders<'a>>,
    pub api_requests_daily: Object<Holders<'a>>,
    pub api_requests_monthly: Object<Holders<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Holders<'a> {
    #[serde(borrow)]
    pub user: Object<Used<'a>>,
    pub group: Object<Used<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Used<'a> {
    #[serde(borrow)]
    pub used: Scalar<'a>,
    pub allowed: Scalar<'a>,
}
