//! Why a value is sent or is not, with the numbers that were compared, and what the next pass does about it.
//!
//! Nothing is decided here: the reason is that of [`Policy::admit`], and what comes next is what a rehearsal did.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    entry::{Entry, State},
    filter::{DropReason, Filter, MissingScore},
    indicator::Indicator,
    observable::IndicatorType,
    outcome::Change,
    policy::Policy,
};

/// What was decided about a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// `None`: the source does not know the value, or said nothing.
    pub admitted: Option<bool>,
    /// Of a record that is not admitted.
    pub reason: Option<DropReason>,
    /// The numbers that were compared, or why the source said nothing; empty: it does not know the value.
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
    /// The source said nothing, and without what it says nothing can be told.
    Unknown,
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
            Self::Unknown => "unknown without the source's answer",
        }
    }
}

/// What the next pass does about a value if it reads its records, by a rehearsal of that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outlook {
    /// Nothing is sent.
    #[default]
    Nothing,
    Sent(Change),
    /// The lane would create, or retract, more than it does unasked.
    Withheld(Change),
    /// The destination has no room for it.
    NoRoom,
}

/// What a value waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Awaited {
    /// An operator, who confirms the creation.
    ConfirmCreation,
    /// An operator, who confirms the retraction.
    ConfirmRetraction,
    /// Room at the destination.
    Room,
    /// Another content: the destination rejected this one.
    Content,
    /// The destination, which rejected an update or a retraction: that is tried at each reading.
    Acceptance,
    /// Another application, which holds the value at the destination, to let go of it.
    Application,
}

impl Awaited {
    pub const ALL: [Self; 6] = [
        Self::ConfirmCreation,
        Self::ConfirmRetraction,
        Self::Room,
        Self::Content,
        Self::Acceptance,
        Self::Application,
    ];

    /// A sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::ConfirmCreation => {
                "it waits for an operator, because the lane creates no more unasked: mati-sync sync --confirm-creation"
            }
            Self::ConfirmRetraction => {
                "it waits for an operator, because the lane retracts no more unasked: mati-sync sync --confirm-retraction"
            }
            Self::Room => "it waits for room, because the destination holds all it can, and nothing weaker",
            Self::Content => {
                "it waits for another content, because the destination rejected this one; a retry offers it again: mati-sync sync --retry-rejected"
            }
            Self::Acceptance => {
                "it waits for the destination, which rejected it and is asked again at each reading"
            }
            Self::Application => "it waits for another application, which holds the value at the destination",
        }
    }
}

/// What is known of a value when the next pass is foretold.
#[derive(Clone, Copy, Debug)]
pub struct Foresight<'a> {
    /// Every entry of the value.
    pub entries: &'a [Entry],
    pub outlook: Outlook,
    pub is_admitted: bool,
    /// A pass will meet the record without the source touching it.
    pub is_met: bool,
    pub now: DateTime<Utc>,
}

impl Foresight<'_> {
    /// What comes next, and if the value waits, for what.
    pub fn next(self) -> (Next, Option<Awaited>) {
        let is_in = |states: &[State]| self.entries.iter().any(|entry| states.contains(&entry.state()));
        let held = self.entries.iter().find(|entry| entry.is_held(self.now));
        let wait = |awaited| (Next::Wait, Some(awaited));
        let outlook = if self.is_met { self.outlook } else { Outlook::Nothing };
        match outlook {
            Outlook::NoRoom => wait(Awaited::Room),
            Outlook::Withheld(Change::Retracted) => wait(Awaited::ConfirmRetraction),
            Outlook::Withheld(_) => wait(Awaited::ConfirmCreation),
            Outlook::Sent(_) if is_in(&[State::UpdateRejected, State::RetractionRejected]) => {
                wait(Awaited::Acceptance)
            }
            Outlook::Sent(Change::Created) => (Next::Create, None),
            Outlook::Sent(Change::Updated) => (Next::Update, None),
            Outlook::Sent(Change::Renewed) => (Next::Renew, None),
            Outlook::Sent(Change::Retracted) => (Next::Retract, None),
            Outlook::Sent(Change::Displaced) | Outlook::Nothing
                if self.is_admitted && is_in(&[State::Rejected]) =>
            {
                wait(Awaited::Content)
            }
            Outlook::Sent(Change::Displaced) | Outlook::Nothing
                if self.is_admitted && is_in(&[State::Foreign]) =>
            {
                wait(Awaited::Application)
            }
            Outlook::Sent(Change::Displaced) | Outlook::Nothing => match held {
                Some(_) if !self.is_met || !self.is_admitted => (Next::Expire, None),
                _ => (Next::None, None),
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
