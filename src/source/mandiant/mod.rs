//! The source: Mandiant Advantage Threat Intelligence, API v4.

pub mod access;
pub mod client;
pub mod convert;
pub mod date;
pub mod error;
mod look_up;
pub mod page;
mod probe;
pub mod reader;
mod split;
pub mod wire;

use chrono::TimeDelta;

use crate::domain::{indicator::Provider, window::Limits};

/// Mandiant answers 400 to a start 90 days ago or more, and indexes records some minutes after their `last_updated`.
pub const LIMITS: Limits = Limits {
    reach: TimeDelta::days(89),
    lag: TimeDelta::minutes(2),
    overlap: TimeDelta::minutes(15),
    grain: TimeDelta::seconds(1),
    longest: TimeDelta::days(1),
    recalls: true,
};

/// Mandiant, as the objects at a destination show it.
pub const PROVIDER: Provider = Provider {
    name: "Mandiant",
    product: "Mandiant Advantage",
    records_at: "https://advantage.mandiant.com/indicator/",
    confidence: "confidence (mscore)",
};
