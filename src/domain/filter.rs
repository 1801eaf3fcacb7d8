//! Which indicators a user wants.

use serde::{Deserialize, Serialize};

use super::{attribution::AttributionFilter, indicator::Indicator, observable::IndicatorType};

/// Why a record is not wanted, in the order in which the reasons are judged: a record counts under the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// It cannot be represented.
    Malformed,
    Type,
    /// An entry of a list excludes it.
    Excluded,
    /// The source itself calls it benign.
    Benign,
    /// The source calls it infrastructure that many share.
    Pervasive,
    Confidence,
    ThreatScore,
    Severity,
    /// It is not attributed as wanted.
    Attribution,
    Osint,
    Uncategorized,
}

impl DropReason {
    pub const ALL: [Self; 11] = [
        Self::Malformed,
        Self::Type,
        Self::Excluded,
        Self::Benign,
        Self::Pervasive,
        Self::Confidence,
        Self::ThreatScore,
        Self::Severity,
        Self::Attribution,
        Self::Osint,
        Self::Uncategorized,
    ];

    /// As in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Type => "type",
            Self::Excluded => "excluded",
            Self::Benign => "benign",
            Self::Pervasive => "pervasive",
            Self::Confidence => "confidence",
            Self::ThreatScore => "threat_score",
            Self::Severity => "severity",
            Self::Attribution => "attribution",
            Self::Osint => "osint",
            Self::Uncategorized => "uncategorized",
        }
    }
}

/// The lowest scores, 0–100, with which an indicator is wanted. It must meet both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Threshold {
    pub confidence: u8,
    pub threat_score: u8,
}

/// One value for each of the four types that settings distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PerType<T> {
    pub ip: T,
    pub fqdn: T,
    pub url: T,
    pub hash: T,
}

impl<T: Copy> PerType<T> {
    pub fn of(&self, indicator_type: IndicatorType) -> T {
        match indicator_type {
            IndicatorType::Ipv4 | IndicatorType::Ipv6 => self.ip,
            IndicatorType::Fqdn => self.fqdn,
            IndicatorType::Url => self.url,
            IndicatorType::Hash => self.hash,
        }
    }

    pub fn values(&self) -> [T; 4] {
        [self.ip, self.fqdn, self.url, self.hash]
    }
}

/// The types to ingest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IncludedTypes {
    pub ipv4: bool,
    pub ipv6: bool,
    pub fqdn: bool,
    pub url: bool,
    pub hash: bool,
}

impl IncludedTypes {
    fn contains(&self, indicator_type: IndicatorType) -> bool {
        match indicator_type {
            IndicatorType::Ipv4 => self.ipv4,
            IndicatorType::Ipv6 => self.ipv6,
            IndicatorType::Fqdn => self.fqdn,
            IndicatorType::Url => self.url,
            IndicatorType::Hash => self.hash,
        }
    }
}

/// What is to become of a record that carries no confidence, or no threat score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MissingScore {
    /// Judge it by the other score alone.
    Include,
    Exclude,
}

/// How bad a match would be, in the words of the sources. One that says nothing, or a word that we do not know, has
/// none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    None,
    Low,
    Medium,
    High,
}

impl Severity {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "none" | "informational" => Self::None,
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" | "critical" => Self::High,
            _ => return None,
        })
    }
}

/// A user's choice of indicators.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    pub included: IncludedTypes,
    pub thresholds: PerType<Threshold>,
    pub missing_confidence: MissingScore,
    pub missing_threat_score: MissingScore,
    /// A record that names no severity passes.
    pub minimum_severity: Option<Severity>,
    pub exclude_benign: bool,
    pub exclude_pervasive: bool,
    pub attribution: AttributionFilter,
    pub exclude_osint: bool,
    pub include_uncategorized: bool,
}

/// Whether an indicator comes from open-source intelligence alone: it has sources, and every one of them is open.
/// `are_open` says of each source whether it is.
pub fn is_osint_only(mut are_open: impl Iterator<Item = bool>) -> bool {
    are_open.next().is_some_and(|first| first && are_open.all(|is_open| is_open))
}

impl Filter {
    /// The lowest confidence with which anything is wanted: what the source may filter by.
    pub fn lowest_confidence(&self) -> u8 {
        let of_types = self.thresholds.values().map(|threshold| threshold.confidence);
        let of_names = self.attribution.thresholds.iter().map(|threshold| threshold.confidence);
        of_types.into_iter().chain(of_names).min().unwrap_or(0)
    }

    /// The confidence that the indicator must have.
    pub(super) fn minimum_confidence(&self, indicator: &Indicator) -> u8 {
        let of_type = self.thresholds.of(indicator.observable.indicator_type()).confidence;
        self.attribution.threshold(indicator).unwrap_or(of_type)
    }

    /// Whether the type is wanted at all; known before anything else of a record is looked at.
    pub fn includes(&self, indicator_type: IndicatorType) -> bool {
        self.included.contains(indicator_type)
    }

    /// Whether `reason` rests on something that the record says, rather than on what it leaves out.
    pub fn is_stated(&self, indicator: &Indicator, reason: DropReason) -> bool {
        match reason {
            DropReason::Type
            | DropReason::Excluded
            | DropReason::Benign
            | DropReason::Pervasive
            | DropReason::Severity
            | DropReason::Osint => true,
            DropReason::Confidence => indicator.confidence.is_some(),
            DropReason::ThreatScore => indicator.threat_score.is_some(),
            // The categories stand with the sources.
            DropReason::Uncategorized => !indicator.sources.is_empty(),
            // A record that tells where it comes from tells as well what it is attributed to, if to anything.
            DropReason::Attribution => !indicator.sources.is_empty() || !indicator.categories.is_empty(),
            DropReason::Malformed => false,
        }
    }

    fn is_severe(&self, indicator: &Indicator) -> bool {
        let severity = indicator.severity.as_deref().and_then(Severity::of);
        severity.zip(self.minimum_severity).is_none_or(|(severity, minimum)| severity >= minimum)
    }

    /// # Errors
    /// The first reason, in the order of [`DropReason`], why the indicator is not wanted.
    pub fn admit(&self, indicator: &Indicator) -> Result<(), DropReason> {
        let indicator_type = indicator.observable.indicator_type();
        let threshold = self.thresholds.of(indicator_type);
        let is_sure = match indicator.confidence {
            Some(confidence) => confidence >= self.minimum_confidence(indicator),
            None => self.missing_confidence == MissingScore::Include,
        };
        let rated_well = match indicator.threat_score {
            Some(score) => score >= threshold.threat_score,
            // Without either score there is nothing to judge by.
            None => indicator.confidence.is_some() && self.missing_threat_score == MissingScore::Include,
        };
        if !self.includes(indicator_type) {
            Err(DropReason::Type)
        } else if self.exclude_benign && indicator.is_benign {
            Err(DropReason::Benign)
        } else if self.exclude_pervasive && indicator.is_pervasive {
            Err(DropReason::Pervasive)
        } else if !is_sure {
            Err(DropReason::Confidence)
        } else if !rated_well {
            Err(DropReason::ThreatScore)
        } else if !self.is_severe(indicator) {
            Err(DropReason::Severity)
        } else if !self.attribution.admits(indicator) {
            Err(DropReason::Attribution)
        } else if self.exclude_osint && indicator.osint_only {
            Err(DropReason::Osint)
        } else if !self.include_uncategorized && indicator.categories.is_empty() {
            Err(DropReason::Uncategorized)
        } else {
            Ok(())
        }
    }
}
