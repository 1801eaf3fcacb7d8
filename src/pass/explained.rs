//! What is known of a value, as JSON and in words.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::{
    entry::Rank,
    explain::{Awaited, Next, Verdict},
    filter::DropReason,
    observable::IndicatorType,
};

/// What `since` is. The manifest keeps the end of validity and not when that was sent.
pub(super) const SINCE_IS: &str = "last sent: valid_until less the validity of the type; null if the settings have changed since, or another product sent it";

/// Everything that is known of a value.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// In our spelling, or as it was given if it is none that could be sent.
    pub value: String,
    #[serde(rename = "type")]
    pub indicator_type: Option<IndicatorType>,
    /// It was asked for by an id of ours.
    #[serde(skip)]
    pub is_id: bool,
    pub source: Said,
    /// Of the first lane; each lane has its own, because lists may count for one lane alone.
    pub decision: Verdict,
    pub lanes: BTreeMap<&'static str, Standing>,
    /// What could not be found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What the source says now.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Said {
    /// `None`: it was not asked, or in vain; the detail of the decision says which.
    pub found: Option<bool>,
    /// By the source.
    pub id: Option<String>,
    pub last_updated: Option<DateTime<Utc>>,
    pub confidence: Option<u8>,
    pub threat_score: Option<u8>,
    /// Further records of the value, which decide nothing.
    pub others: u64,
}

/// How a value stands at one destination.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    pub held: bool,
    /// As the destination knows it.
    pub id: Option<String>,
    /// When it was last sent, as far as that follows from what is stored, see [`SINCE_IS`].
    pub since: Option<DateTime<Utc>>,
    pub since_is: &'static str,
    pub valid_until: Option<DateTime<Utc>>,
    /// What is valid until earlier than this is renewed when its record is read.
    pub renewed_before: Option<DateTime<Utc>>,
    /// Why the destination rejected it.
    pub rejected: Option<String>,
    /// The list and the line.
    pub excluded_by: Option<String>,
    /// Of a file: another digest stands for it in place of one that was sent before.
    pub displaced_by: Option<String>,
    pub decision: Verdict,
    pub next: Next,
    /// What it waits for.
    pub waits_for: Option<Awaited>,
    /// If it waits for room: the weakest that the lane holds.
    pub weakest: Option<Rank>,
    /// What makes way for it, as the destination knows it.
    pub displaces: Vec<String>,
    /// If it is created or retracted: how many more the lane creates, or retracts, unasked. What exceeds it waits.
    pub left_unasked: Option<u64>,
    /// What the manifest says of each name of the value.
    pub entries: Vec<Row>,
}

/// A row of the manifest.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub id: String,
    /// `None`: a version wrote the entry that did not keep it.
    #[serde(rename = "type")]
    pub indicator_type: Option<IndicatorType>,
    pub state: String,
    pub valid_until: DateTime<Utc>,
}

impl Explanation {
    /// The same in words: what it is about, and what is said of it.
    pub fn lines(&self) -> Vec<(String, String)> {
        let mut lines = Vec::new();
        let mut say = |about: &str, text: String| lines.push((about.to_owned(), text));
        let time = |time: DateTime<Utc>| time.format("%Y-%m-%d %H:%M:%S UTC").to_string();
        let score = |score: Option<u8>| score.map_or("none".to_owned(), |score| score.to_string());
        let Said { found, id, last_updated, confidence, threat_score, others } = &self.source;
        say(
            "source",
            match found {
                None if self.is_id => "it is not asked for an id of ours, which does not tell its value; explain the value to ask it".to_owned(),
                None => "it could not be asked".to_owned(),
                Some(false) => "it does not know the value".to_owned(),
                Some(true) => format!(
                    "{}, updated {}, confidence {}, threat score {}",
                    id.as_deref().unwrap_or("without id"),
                    last_updated.map_or("at an unknown time".to_owned(), time),
                    score(*confidence),
                    score(*threat_score),
                ),
            },
        );
        if *others > 0 {
            say("", format!("{others} more of its records are about the value and decide nothing"));
        }
        if self.lanes.is_empty() {
            say("decision", in_words(&self.decision));
        }
        for (name, lane) in &self.lanes {
            say(name, in_words(&lane.decision));
            let id = lane.id.as_deref().unwrap_or("no id");
            say(
                "",
                match (lane.held, lane.since, lane.valid_until) {
                    (true, Some(since), Some(until)) => {
                        format!("held as {id}, sent {}, valid until {}", time(since), time(until))
                    }
                    (true, _, Some(until)) => format!("held as {id}, valid until {}", time(until)),
                    _ => format!("not held ({id})"),
                },
            );
            if let Some(by) =
                lane.excluded_by.as_ref().filter(|_| lane.decision.reason != Some(DropReason::Excluded))
            {
                say("", format!("excluded by {by}"));
            }
            if let Some(reason) = &lane.rejected {
                say("", format!("rejected: {reason}"));
            }
            if let Some(by) = &lane.displaced_by {
                say("", format!("another name of it was displaced by {by}"));
            }
            for row in lane.entries.iter().filter(|row| row.state != "held") {
                say("", format!("{} is {}", row.id, row.state.replace('_', " ")));
            }
            say("", format!("next: {}", lane.next.word()));
            if let Some(awaited) = lane.waits_for {
                say("", awaited.words().to_owned());
            }
            if let Some(Rank { threat_score, confidence }) = lane.weakest {
                say(
                    "",
                    format!(
                        "the weakest that is held has threat score {threat_score} and confidence {confidence}"
                    ),
                );
            }
            if !lane.displaces.is_empty() {
                say("", format!("{} makes way for it", lane.displaces.join(", ")));
            }
            if let Some(left) = lane.left_unasked {
                let done = if lane.next == Next::Create { "creates" } else { "retracts" };
                say(
                    "",
                    format!(
                        "the lane {done} {left} more unasked; what comes after that waits for an operator"
                    ),
                );
            }
        }
        if let Some(error) = &self.error {
            say("not found out", error.clone());
        }
        lines
    }
}

/// "dropped (confidence): confidence 60 is below 80"
fn in_words(verdict: &Verdict) -> String {
    let detail = &verdict.detail;
    match (verdict.admitted, verdict.reason) {
        (Some(true), _) => format!("admitted: {detail}"),
        (Some(false), Some(reason)) => format!("dropped ({}): {detail}", reason.word()),
        _ if !detail.is_empty() => format!("unknown, because {detail}"),
        _ => "nothing is decided, because nothing is known of it".to_owned(),
    }
}
