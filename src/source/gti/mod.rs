//! The source: Google Threat Intelligence, by its hourly categorised threat lists.

pub mod client;
pub mod convert;
pub mod error;
pub mod lists;
mod look_up;
pub mod merge;
mod package;
mod probe;
pub mod reader;
pub mod split;
mod standing;
pub mod wire;

use chrono::TimeDelta;

use crate::domain::{indicator::Provider, window::Limits};

/// A list has one package an hour, which is ready two hours after that hour began, and is kept for seven days.
pub const LIMITS: Limits = Limits {
    reach: TimeDelta::days(7),
    // The hour that ends here began an hour before.
    lag: TimeDelta::hours(1),
    overlap: TimeDelta::zero(),
    grain: TimeDelta::hours(1),
    longest: TimeDelta::hours(1),
    recalls: false,
};

/// Google Threat Intelligence, as the objects at a destination show it.
pub const PROVIDER: Provider = Provider {
    name: "Google Threat Intelligence",
    product: "Google Threat Intelligence",
    records_at: "https://www.virustotal.com/gui/",
    confidence: "confidence",
};
