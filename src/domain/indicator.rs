//! An indicator as the rest of the program knows it, whatever API it came from.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::observable::Observable;

/// One indicator of compromise with all the context a rule or an analyst can use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Indicator {
    /// The source's own id, for logs and links.
    pub source_id: String,
    pub observable: Observable,
    /// Mandiant's `mscore`, 0–100: how sure it is that the indicator is malicious.
    pub confidence: u8,
    /// Mandiant's `threat_rating.threat_score`, 0–100. Not every record is rated.
    pub threat_score: Option<u8>,
    /// Mandiant's `threat_rating.severity_level`, lower case.
    pub severity: Option<String>,
    /// Mandiant's `threat_rating.severity_reason`.
    pub severity_reasons: Vec<String>,
    /// Union of the record's and its sources' categories, lower case, sorted, without repeats.
    pub categories: Vec<String>,
    /// Names of the sources, sorted, without repeats.
    pub sources: Vec<String>,
    /// Sources there are, and every one of them is open-source intelligence.
    pub osint_only: bool,
    pub malware: Vec<Reference>,
    pub threat_actors: Vec<Reference>,
    pub campaigns: Vec<Reference>,
    pub first_seen: Option<DateTime<Utc>>,
    pub last_updated: Option<DateTime<Utc>>,
}

/// A malware family, threat actor or campaign the indicator is attributed to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reference {
    /// Mandiant's id, e.g. `malware--…`.
    pub id: String,
    pub name: String,
    /// A campaign's title.
    pub title: Option<String>,
}
