//! What a pass says of itself.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    observable::IndicatorType,
    outcome::{Changes, Counts, End},
};

/// What made a pass run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    Timer,
    Manual,
    Continuation,
    Cli,
}

/// `runs/<run_id>.json`, the body of `GET /api/status?run=`, and the last log line of a pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub run_id: String,
    pub trigger: Trigger,
    pub dry_run: bool,
    pub started_at: DateTime<Utc>,
    pub ended_at: DateTime<Utc>,
    pub end: End,
    /// One sentence for a person.
    pub message: String,
    /// The pass that this one continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<String>,
    pub lanes: BTreeMap<String, LaneReport>,
}

/// What was done, by type of indicator.
pub type ByType = BTreeMap<IndicatorType, Changes>;

/// One lane's part in a pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaneReport {
    pub end: End,
    /// Why the lane did not catch up, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(flatten)]
    pub counts: Counts,
    /// What was sent, by type of indicator.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_type: ByType,
    pub watermark: Option<DateTime<Utc>>,
    /// The pass that the lane went on with in this one, the first of its chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<String>,
}

impl Report {
    /// The sum of all lanes.
    pub fn totals(&self) -> Counts {
        let mut totals = Counts::default();
        self.lanes.values().for_each(|lane| totals += lane.counts);
        totals
    }

    /// The report in one sentence, for a person.
    pub fn sentence(&self) -> String {
        let totals = self.totals();
        let mut sentence = format!(
            "{} read, {} {} ({} new, {} changed, {} renewed), {} unchanged, {} not wanted",
            totals.read,
            if self.dry_run { "would send" } else { "sent" },
            totals.created + totals.updated + totals.renewed,
            totals.created,
            totals.updated,
            totals.renewed,
            totals.unchanged,
            totals.dropped.total(),
        );
        for (count, fate) in [
            (totals.retracted, "retracted"),
            (totals.displaced, "displaced by others"),
            (totals.over_limit, "without room at the destination"),
            (totals.rejected, "rejected by the destination"),
            (totals.left, "left to the next pass"),
        ] {
            if count > 0 {
                sentence.push_str(&format!(", {count} {fate}"));
            }
        }
        for (name, lane) in &self.lanes {
            if let Some(message) = &lane.message {
                sentence.push_str(&format!(". {name} {}: {message}", lane.end.word()));
            }
        }
        sentence
    }

    /// This pass and what a later one did to go on with it, seen as one.
    pub fn continued_by(&mut self, later: &Self) {
        let goes_on = |lane: &LaneReport| match &lane.continues {
            Some(origin) => *origin == self.run_id,
            None => later.continues.as_deref() == Some(&self.run_id),
        };
        let parts: Vec<_> = later.lanes.iter().filter(|(_, lane)| goes_on(lane)).collect();
        if parts.is_empty() {
            return;
        }
        self.ended_at = later.ended_at;
        for (name, theirs) in parts {
            let Some(mine) = self.lanes.get_mut(name) else {
                self.lanes.insert(name.clone(), theirs.clone());
                continue;
            };
            mine.counts += theirs.counts;
            for (indicator_type, changes) in &theirs.by_type {
                *mine.by_type.entry(*indicator_type).or_default() += *changes;
            }
            mine.end = theirs.end;
            mine.message.clone_from(&theirs.message);
            mine.watermark = theirs.watermark;
        }
        self.end = self.lanes.values().map(|lane| lane.end).max().unwrap_or(later.end);
        self.message = self.sentence();
    }
}

/// Identifies a pass; sorts by the time it was made. `salt` tells apart what was made in the same millisecond.
pub fn run_id(now: DateTime<Utc>, form: u16) -> String {
    format!("{}-{form:04x}", now.format("%Y%m%dT%H%M%S%3fZ"))
}

/// Whether `text` has the form of a run id; nothing else may become part of a stored name.
pub fn is_run_id(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
