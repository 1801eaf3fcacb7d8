//! What a person may ask of a pass.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// Days a manual lookback may reach: Mandiant answers for the last 90.
pub const LOOKBACK_DAYS: std::ops::RangeInclusive<u32> = 1..=89;

/// The body of `POST /api/sync` and the options of `mati-sync sync`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunOptions {
    /// Read, decide and count; upload and write nothing but the report.
    pub dry_run: bool,
    /// Read again from this many days ago, beside the live checkpoint.
    pub lookback_days: Option<u32>,
    /// Upload again whatever is still wanted.
    pub rebuild: bool,
    /// Offer rejected records again.
    pub retry_rejected: bool,
    /// Retract what is no longer wanted, however much it is.
    pub confirm_retraction: bool,
    /// Create what waits because it is more than a lane creates unasked.
    pub confirm_creation: bool,
    /// The lanes to run; all when absent.
    pub destinations: Option<Vec<String>>,
}

impl RunOptions {
    /// Whether it can be done with these `lanes`; `destinations` is what the person who asked calls them.
    ///
    /// # Errors
    /// A sentence for that person.
    pub fn check(&self, lanes: &[&str], destinations: &str) -> Result<(), String> {
        if let Some(days) = self.lookback_days
            && !LOOKBACK_DAYS.contains(&days)
        {
            return Err(format!("lookback_days is {days}; accepted are whole days from 1 to 89"));
        }
        for name in self.destinations.iter().flatten() {
            if !lanes.contains(&name.as_str()) {
                return Err(format!(
                    "{destinations} names {name:?}; TARGET_APPLICATION configures: {}",
                    lanes.join(", ")
                ));
            }
        }
        if self.destinations.as_ref().is_some_and(Vec::is_empty) {
            return Err(format!("{destinations} is empty; leave it out to run all"));
        }
        Ok(())
    }

    /// Whether a lane takes part.
    pub fn includes(&self, lane: &str) -> bool {
        self.destinations.as_ref().is_none_or(|names| names.iter().any(|name| name == lane))
    }

    /// Whether it asks for more than a pass does anyway, which must be done once.
    pub fn asks_for_more(&self) -> bool {
        let confirms = self.confirm_retraction || self.confirm_creation;
        self.rebuild || self.lookback_days.is_some() || self.retry_rejected || confirms
    }
}

/// `requests/<run_id>.json`: a manual rerun that was accepted and not yet applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub run_id: String,
    pub requested_at: DateTime<Utc>,
    pub order: RunOptions,
    /// Only of requests that need no lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
}

/// An instance's claim on a request, so that a second one does not run it too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The pass that claims it.
    pub by: String,
    /// It is done by then, or its instance is dead.
    pub until: DateTime<Utc>,
}

impl Claim {
    /// No claim is made for longer.
    pub const LONGEST: TimeDelta = TimeDelta::hours(2);

    /// Whether the request is left to the instance that made the claim. One that reaches too far was made by a clock that
    /// was ahead.
    pub fn holds(&self, now: DateTime<Utc>) -> bool {
        now < self.until && self.until <= now + Self::LONGEST
    }
}
