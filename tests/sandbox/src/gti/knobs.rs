//! How the stand-in behaves where the service's behaviour varies, or was never published.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

/// A list, and the hour of one of its packages.
pub type Package = (String, DateTime<Utc>);

/// A licence; a greater one gives all that a smaller one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    Standard,
    Enterprise,
    EnterprisePlus,
}

/// How a package without records comes. All of these were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Empty {
    List,
    Null,
    Missing,
}

/// The names of contributing factors: they changed in 2026.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factors {
    Of2025,
    Of2026,
}

/// What a filter does that no document describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filters {
    Taken,
    /// 400.
    Rejected,
    /// The answer is as if it had not been asked for.
    Ignored,
}

/// So many requests are answered within any minute; the others get 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub per_minute: usize,
    /// Whether the 429 says in `Retry-After` when to come again.
    pub retry_after: bool,
}

/// Answers in the place of the service, by the number of the request, the list and the package.
pub type AnswerOverride = Arc<dyn Fn(usize, &str, &str) -> Option<(StatusCode, String)> + Send + Sync>;

/// Records of a list's package, made up when it is asked for: more than could be kept.
pub type Generate = Arc<dyn Fn(&str, DateTime<Utc>) -> Vec<Value> + Send + Sync>;

/// The settings of a [`Gti`](super::Gti); the defaults are the likeliest behaviour.
#[derive(Clone)]
pub struct Knobs {
    pub key: String,
    pub tier: Tier,
    /// Lists that the key may not read, whatever the licence is.
    pub forbidden: BTreeSet<String>,
    /// A package is ready so long after the beginning of its hour.
    pub delay: TimeDelta,
    /// And is kept for so long.
    pub kept: TimeDelta,
    /// Packages that are missing.
    pub holes: BTreeSet<Package>,
    /// Packages that are made later than the others.
    pub late: BTreeSet<Package>,
    pub empty: Empty,
    /// The most records in an answer, whatever `limit` asks for.
    pub most_records: usize,
    pub types: Filters,
    pub bands: Filters,
    pub factors: Factors,
    /// Whether records lack `gti_assessment` in answers to requests without `x-tool`.
    pub needs_tool: bool,
    /// Whether no record is assessed, as when `x-tool` is lost on the way.
    pub is_unassessed: bool,
    pub rate: Option<Rate>,
    pub daily_quota: Option<u64>,
    pub quota_says_when: bool,
    pub serves_quotas: bool,
    pub gzip: bool,
    pub body_delay: Duration,
    /// How far the service's own clock is off, as its answers tell.
    pub clock_skew: TimeDelta,
    pub answer_override: Option<AnswerOverride>,
    /// Packages in which nothing was put.
    pub generate: Option<Generate>,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            key: "sandbox-gti-key".into(),
            tier: Tier::EnterprisePlus,
            forbidden: BTreeSet::new(),
            delay: TimeDelta::hours(2),
            kept: TimeDelta::days(7),
            holes: BTreeSet::new(),
            late: BTreeSet::new(),
            empty: Empty::List,
            most_records: 4000,
            types: Filters::Taken,
            bands: Filters::Taken,
            factors: Factors::Of2026,
            needs_tool: true,
            is_unassessed: false,
            rate: None,
            daily_quota: None,
            quota_says_when: false,
            serves_quotas: true,
            gzip: false,
            body_delay: Duration::ZERO,
            clock_skew: TimeDelta::zero(),
            answer_override: None,
            generate: None,
        }
    }
}

impl Knobs {
    /// Gives a record the form that the knobs call for.
    pub(super) fn shape(&self, record: &mut Value, lacks_tool: bool) {
        let Some(attributes) = record["data"]["attributes"].as_object_mut() else { return };
        if self.is_unassessed || self.needs_tool && lacks_tool {
            attributes.remove("gti_assessment");
            return;
        }
        if self.factors == Factors::Of2026 {
            return;
        }
        let assessment = attributes.get_mut("gti_assessment").and_then(Value::as_object_mut);
        let factors =
            assessment.and_then(|it| it.get_mut("contributing_factors")).and_then(Value::as_object_mut);
        if let Some(factors) = factors {
            if let Some(score) = factors.remove("gti_confidence_score") {
                factors.insert("mandiant_confidence_score".into(), score);
            }
            factors.insert("associated_actor".into(), json!(true));
        }
        if let Some(data) = record["data"].as_object_mut() {
            data.remove("context_attributes");
        }
    }
}
