//! The parameters of the feed, as the public clients of the API send them.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use serde_json::{Value, json};

use super::{document::Document, knobs::LimitBehaviour};

/// A query string, decoded; of repeated parameters the last counts.
pub type Parameters = BTreeMap<String, String>;

/// The start of 2007: nothing older may be asked for.
const OLDEST_EPOCH: i64 = 1_167_609_600;
const FEED_DAYS: i64 = 90;
const DEFAULT_LIMIT: usize = 25;
const MAX_LIMIT: usize = 1000;

/// Which optional blocks a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags {
    pub threat_rating: bool,
    pub category: bool,
    pub campaigns: bool,
    pub reports: bool,
    pub misp: bool,
}

impl Default for Flags {
    fn default() -> Self {
        Self { threat_rating: false, category: false, campaigns: false, reports: false, misp: true }
    }
}

impl Flags {
    pub fn parse(parameters: &Parameters) -> Result<Self, String> {
        let plain = Self::default();
        Ok(Self {
            threat_rating: boolean(parameters, "include_threat_rating", plain.threat_rating)?,
            category: boolean(parameters, "include_category", plain.category)?,
            campaigns: boolean(parameters, "include_campaigns", plain.campaigns)?,
            reports: boolean(parameters, "include_reports", plain.reports)?,
            misp: boolean(parameters, "include_misp", plain.misp)?,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Ascending,
    Descending,
}

/// Everything about a query that its cursor carries on.
#[derive(Clone, Debug)]
pub(super) struct Filters {
    start_epoch: i64,
    end_epoch: Option<i64>,
    /// In milliseconds and inclusive: a record of 12:00:00.500 is later than an `end_epoch` of 12:00:00.
    end: i64,
    pub limit: usize,
    gte_mscore: Option<i64>,
    gte_threatscore: Option<i64>,
    exclude_osint: bool,
    unrated_pass: bool,
    pub order: Option<Order>,
}

impl Filters {
    /// The names that make a request more than a continuation.
    pub const NAMES: [&str; 8] = [
        "start_epoch",
        "end_epoch",
        "gte_mscore",
        "gte_threatscore",
        "exclude_osint",
        "limit",
        "sort_by",
        "sort_order",
    ];

    /// Reads a first request. The error is the text of a 400.
    pub fn parse(
        parameters: &Parameters,
        now: DateTime<Utc>,
        limit_behaviour: LimitBehaviour,
        unrated_pass: bool,
    ) -> Result<Self, String> {
        let start_epoch = integer(parameters, "start_epoch")?.ok_or("start_epoch is required")?;
        if start_epoch < OLDEST_EPOCH {
            return Err(format!("start_epoch must not be less than {OLDEST_EPOCH}"));
        }
        if start_epoch <= (now - Duration::days(FEED_DAYS)).timestamp() {
            return Err(format!("start_epoch must be less than {FEED_DAYS} days ago"));
        }
        let end_epoch = integer(parameters, "end_epoch")?;
        if end_epoch.is_some_and(|end| end < start_epoch) {
            return Err("end_epoch must not be before start_epoch".into());
        }
        Ok(Self {
            start_epoch,
            end_epoch,
            end: end_epoch.map_or(now.timestamp_millis(), |end| end.saturating_mul(1000)),
            limit: limit(parameters, limit_behaviour)?,
            gte_mscore: score(parameters, "gte_mscore")?,
            gte_threatscore: score(parameters, "gte_threatscore")?,
            exclude_osint: boolean(parameters, "exclude_osint", false)?,
            unrated_pass,
            order: order(parameters)?,
        })
    }

    pub fn admit(&self, document: &Document) -> bool {
        let at = document.last_updated.timestamp_millis();
        (self.start_epoch * 1000..=self.end).contains(&at)
            && self.gte_mscore.is_none_or(|least| document.mscore >= least)
            && self
                .gte_threatscore
                .is_none_or(|least| document.threat_score.map_or(self.unrated_pass, |score| score >= least))
            && !(self.exclude_osint && document.osint_only)
    }

    /// The second part of the cursor to `page`, as recorded cursors have it.
    pub fn describe(&self, page: usize) -> Value {
        let mut json = json!({
            "limit": self.limit,
            "report_limit": 25,
            "start_epoch": self.start_epoch,
            "end_epoch": self.end_epoch.unwrap_or(self.end.div_euclid(1000)),
            "next_page_index": page,
        });
        if self.exclude_osint {
            json["exclude_os_int"] = true.into();
        }
        if let Some(least) = self.gte_mscore {
            json["gte_mscore"] = least.into();
        }
        json
    }
}

fn integer(parameters: &Parameters, name: &str) -> Result<Option<i64>, String> {
    let Some(text) = parameters.get(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| format!("{name} must be an integer"))
}

fn score(parameters: &Parameters, name: &str) -> Result<Option<i64>, String> {
    match integer(parameters, name)? {
        Some(score) if !(0..=100).contains(&score) => Err(format!("{name} must be between 0 and 100")),
        score => Ok(score),
    }
}

/// Python clients send `True` and `False`.
fn boolean(parameters: &Parameters, name: &str, default: bool) -> Result<bool, String> {
    let Some(text) = parameters.get(name) else { return Ok(default) };
    text.to_ascii_lowercase().parse().map_err(|_| format!("{name} must be true or false"))
}

fn limit(parameters: &Parameters, behaviour: LimitBehaviour) -> Result<usize, String> {
    let limit = integer(parameters, "limit")?.map_or(Ok(DEFAULT_LIMIT), usize::try_from);
    match limit {
        Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        Ok(1..) if behaviour == LimitBehaviour::Clamped => Ok(MAX_LIMIT),
        _ => Err(format!("limit must be between 1 and {MAX_LIMIT}")),
    }
}

/// `sort_by=last_updated:asc`, or the older pair of `sort_by` and `sort_order`. Other fields leave the order open.
fn order(parameters: &Parameters) -> Result<Option<Order>, String> {
    let Some(sort_by) = parameters.get("sort_by") else { return Ok(None) };
    let (field, direction) = match sort_by.split_once(':') {
        Some((field, direction)) => (field, direction),
        None => (sort_by.as_str(), parameters.get("sort_order").map_or("asc", String::as_str)),
    };
    match direction {
        _ if field != "last_updated" => Ok(None),
        "asc" => Ok(Some(Order::Ascending)),
        "desc" => Ok(Some(Order::Descending)),
        _ => Err("the sort order must be asc or desc".into()),
    }
}
