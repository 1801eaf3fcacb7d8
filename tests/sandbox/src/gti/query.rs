//! What a request asks for.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::knobs::{Filters, Knobs};

/// The parameters of a query string, decoded.
pub(super) fn parameters(query: &str) -> BTreeMap<String, String> {
    let uri = format!("http://unused/?{query}");
    let parsed = uri.parse().ok().and_then(|uri| axum::extract::Query::try_from_uri(&uri).ok());
    parsed.map(|axum::extract::Query(parameters)| parameters).unwrap_or_default()
}

/// By which the service knows a URL.
pub(super) fn url_id(url: &str) -> String {
    URL_SAFE_NO_PAD.encode(url)
}

/// A sound request of a package.
pub(super) struct Question {
    pub limit: usize,
    kind: Option<String>,
    low: i64,
    high: i64,
}

impl Question {
    pub fn of(parameters: &BTreeMap<String, String>, knobs: &Knobs) -> Result<Self, String> {
        let limit = parameters.get("limit").map_or(Ok(10), |limit| limit.parse::<usize>());
        let limit = limit.ok().filter(|limit| (1..=4000).contains(limit)).ok_or("Invalid argument: limit")?;
        let mut question = Self { limit: limit.min(knobs.most_records), kind: None, low: 0, high: 100 };
        if let Some(kind) = parameters.get("type") {
            if !["file", "url", "domain", "ip_address"].contains(&kind.as_str()) {
                return Err("Invalid argument: type".into());
            }
            match knobs.types {
                Filters::Taken => question.kind = Some(kind.clone()),
                Filters::Rejected => return Err("Invalid argument: type".into()),
                Filters::Ignored => {}
            }
        }
        for term in parameters.get("query").into_iter().flat_map(|query| query.split_whitespace()) {
            let Some(bound) = term.strip_prefix("gti_score:") else { continue };
            match knobs.bands {
                Filters::Taken => {}
                Filters::Rejected => return Err(format!("Invalid argument: query {term}")),
                Filters::Ignored => continue,
            }
            match (bound.strip_suffix('+'), bound.strip_suffix('-')) {
                (Some(low), _) => question.low = low.parse().map_err(|_| "Invalid argument: query")?,
                (_, Some(high)) => question.high = high.parse().map_err(|_| "Invalid argument: query")?,
                _ => return Err("Invalid argument: query".into()),
            }
        }
        Ok(question)
    }

    pub fn holds(&self, record: &Value) -> bool {
        let data = &record["data"];
        let score = data["attributes"]["gti_assessment"]["threat_score"]["value"].as_i64();
        let is_kind = self.kind.as_deref().is_none_or(|kind| data["type"] == kind);
        let is_all = self.low == 0 && self.high == 100;
        is_kind && (is_all || score.is_some_and(|score| (self.low..=self.high).contains(&score)))
    }
}
