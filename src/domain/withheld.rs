//! What waits for an operator's confirmation.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::observable::IndicatorType;

/// Retractions that wait for confirmation because they are more than a lane retracts unasked. While they wait,
/// nothing is retracted but what was confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    /// Indicators that wait, each counted once.
    pub retractions: u64,
    /// Indicators that the lane held then.
    pub of: u64,
}

/// Creations that wait for confirmation because they are more than a lane creates unasked. Which they are, the manifest
/// knows; what else fits is created meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingCreations {
    /// How many wait, by type of indicator.
    pub by_type: BTreeMap<IndicatorType, u64>,
    /// Each was updated at the source then or later: a confirmation reads from there.
    pub oldest: DateTime<Utc>,
    /// Why the first of them was met.
    pub reason: WhyNew,
}

impl WaitingCreations {
    /// How many wait.
    pub fn total(&self) -> u64 {
        self.by_type.values().sum()
    }
}

/// Why a lane meets an indicator that it never created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyNew {
    /// The source updated its record.
    Source,
    /// The settings were changed, and everything is read again for that.
    Settings,
    /// Everything was read again, or as much as an operator asked for.
    Reading,
}

impl WhyNew {
    /// As a part of a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::Source => "the source updated it",
            Self::Settings => "the settings were changed",
            Self::Reading => "it was read again",
        }
    }
}

/// What is to be told beside what waits of a source that gives it until `until` only.
pub fn until_sentence(until: Option<DateTime<Utc>>) -> String {
    let told = until.map(|until| {
        format!(
            ". The first of them can be confirmed until {}: after that the source gives them no more",
            until.format("%Y-%m-%d %H:%M UTC")
        )
    });
    told.unwrap_or_default()
}
