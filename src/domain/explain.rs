//! Why a value is sent or is not, with the numbers that were compared, and what the next pass does about it.
//!
//! Nothing is decided here: the reason is that of [`Policy::admit`], and what comes next is what the plan calls for.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    entry::{Entry, State},
    filter::{DropReason, Filter, MissingScore},
    indicator::Indicator,
    observable::IndicatorType,
    outcome::Change,
    plan::Plan,
    policy::Policy,
};

/// What was decided about a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// `None`: the source does not know the value, or could not be asked.
    pub admitted: Option<bool>,
    /// Of a record that is not admitted.
    pub reason: Option<DropReason>,
    pub detail: String,
}

impl Verdict {
    /// A record is dropped for `reason`.
    pub fn dropped(reason: DropReason, detail: String) -> Self {
        Self { admitted: Some(false), reason: Some(reason), detail }
    }
}

/// What the next pass that reads the record does about the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    None,
    Create,
    Update,
    Renew,
    Retract,
    /// It is held until its validity ends, and is not renewed.
    Expire,
    /// It waits for an operator, for another content, or for another application to let go of the value.
    Wait,
}

impl Next {
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Create => "it is created",
            Self::Update => "it is updated",
            Self::Renew => "it is renewed",
            Self::Retract => "it is retracted",
            Self::Expire => "it ends with its validity",
            Self::Wait => "it waits",
        }
    }
}

/// What is known of a value when the next pass is foretold.
#[derive(Clone, Copy, Debug)]
pub struct Foresight<'a> {
    /// Every entry of the value.
    pub entries: &'a [Entry],
    /// What the plan calls for, if the record is read.
    pub plan: &'a Plan,
    pub is_admitted: bool,
    /// A pass will meet the record without the source touching it.
    pub is_met: bool,
    /// Retractions of the lane wait for confirmation.
    pub withholds: bool,
    pub now: DateTime<Utc>,
}

impl Foresight<'_> {
    pub fn next(self) -> Next {
        let is_in = |states: &[State]| self.entries.iter().any(|entry| states.contains(&entry.state()));
        let held = self.entries.iter().find(|entry| entry.is_held(self.now));
        let changes = self.plan.send.iter().map(|item| item.change);
        let change = changes.filter(|change| change.is_fate()).max_by_key(|change| change.fate());
        let is_obstructed = is_in(&[State::UpdateRejected, State::RetractionRejected, State::Foreign]);
        match change.filter(|_| self.is_met) {
            Some(Change::Retracted) if self.withholds && !is_in(&[State::Condemned]) => Next::Wait,
            Some(Change::Created) if is_in(&[State::Waiting]) => Next::Wait,
            Some(_) if is_obstructed => Next::Wait,
            Some(Change::Created) => Next::Create,
            Some(Change::Updated) => Next::Update,
            Some(Change::Renewed) => Next::Renew,
            Some(Change::Retracted) => Next::Retract,
            Some(Change::Displaced) | None if self.is_admitted && is_in(&[State::Rejected]) => Next::Wait,
            Some(Change::Displaced) | None => match held {
                Some(_) if !self.is_met || !self.is_admitted => Next::Expire,
                _ => Next::None,
            },
        }
    }
}

impl Policy {
    /// What is decided about `indicator`, and by which numbers.
    pub fn verdict(&self, indicator: &Indicator) -> Verdict {
        match self.admit(indicator) {
            Ok(()) => Verdict { admitted: Some(true), reason: None, detail: self.filter.met_by(indicator) },
            Err(reason @ DropReason::Excluded) => {
                let hit = self.exclusions.find(&indicator.observable);
                let by = hit.map(|hit| hit.to_string()).unwrap_or_default();
                Verdict::dropped(reason, format!("{by} excludes it"))
            }
            Err(reason) => Verdict::dropped(reason, self.filter.missed_by(indicator, reason)),
        }
    }
}

impl Filter {
    /// What an indicator that is wanted was compared with.
    fn met_by(&self, indicator: &Indicator) -> String {
        let confidence = match indicator.confidence {
            Some(confidence) => {
                format!("confidence {confidence} is at least {}", self.minimum_confidence(indicator))
            }
            None => "it has no confidence, and MISSING_CONFIDENCE is include".to_owned(),
        };
        let least = self.thresholds.of(indicator.observable.indicator_type()).threat_score;
        match indicator.threat_score {
            Some(score) => format!("{confidence}, threat score {score} is at least {least}"),
            None => format!("{confidence}; it has no threat score, and MISSING_THREAT_SCORE is include"),
        }
    }

    /// Why an indicator is not wanted.
    fn missed_by(&self, indicator: &Indicator, reason: DropReason) -> String {
        let indicator_type = indicator.observable.indicator_type();
        match reason {
            DropReason::Malformed => "it cannot be represented".to_owned(),
            DropReason::Type => format!("{} is false", including(indicator_type)),
            DropReason::Excluded => "a list excludes it".to_owned(),
            DropReason::Benign => "the source calls it benign, and EXCLUDE_BENIGN is true".to_owned(),
            DropReason::Pervasive => {
                "the source calls it infrastructure that many share, and EXCLUDE_PERVASIVE is true".to_owned()
            }
            DropReason::Confidence => match indicator.confidence {
                Some(confidence) => {
                    format!("confidence {confidence} is below {}", self.minimum_confidence(indicator))
                }
                None => "it has no confidence, and MISSING_CONFIDENCE is exclude".to_owned(),
            },
            DropReason::ThreatScore => match indicator.threat_score {
                Some(score) => {
                    format!("threat score {score} is below {}", self.thresholds.of(indicator_type).threat_score)
                }
                None if self.missing_threat_score == MissingScore::Exclude => {
                    "it has no threat score, and MISSING_THREAT_SCORE is exclude".to_owned()
                }
                None => "it has neither confidence nor threat score".to_owned(),
            },
            DropReason::Severity => {
                let severity = indicator.severity.as_deref().unwrap_or_default();
                let least = self.minimum_severity.map(|least| format!("{least:?}").to_lowercase());
                format!("severity {severity} is below {}", least.unwrap_or_default())
            }
            DropReason::Attribution => {
                "it is attributed to nothing that ACTORS, MALWARE, CAMPAIGNS, CATEGORIES or ATTRIBUTED_ONLY ask for"
                    .to_owned()
            }
            DropReason::Osint => {
                let sources = indicator.sources.join(", ");
                format!("all its sources are open ({sources}), and EXCLUDE_OSINT is true")
            }
            DropReason::Uncategorized => "it has no category, and INCLUDE_UNCATEGORIZED is false".to_owned(),
        }
    }
}

/// The setting that admits a type.
fn including(indicator_type: IndicatorType) -> &'static str {
    match indicator_type {
        IndicatorType::Ipv4 => "INCLUDE_IPV4",
        IndicatorType::Ipv6 => "INCLUDE_IPV6",
        IndicatorType::Fqdn => "INCLUDE_FQDN",
        IndicatorType::Url => "INCLUDE_URL",
        IndicatorType::Hash => "INCLUDE_HASH",
    }
}

/// How an indicator stands, as `state export` and `explain` say it.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Held => "held",
            Self::Rejected => "rejected",
            Self::UpdateRejected => "update_rejected",
            Self::Retracted => "retracted",
            Self::RetractionRejected => "retraction_rejected",
            Self::Unwanted => "unwanted",
            Self::Condemned => "confirmed",
            Self::Foreign => "foreign",
            Self::Absent => "absent",
            Self::Waiting => "waiting",
            Self::Confirmed => "creation_confirmed",
        })
    }
}
