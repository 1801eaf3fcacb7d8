//! What a pass says of itself.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    arrival::ArrivalReport,
    feeds::Loss,
    findings::Findings,
    observable::IndicatorType,
    outcome::{Changes, Counts, End},
    rows::{Change, grouped},
    sample::Percentiles,
};

/// What made a pass run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    Timer,
    Manual,
    Continuation,
    Cli,
    /// The delayed message of an earlier pass: no pass ended since.
    Watchdog,
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
    /// What the source could no longer give, or perhaps did not give in full.
    #[serde(default)]
    pub losses: Vec<Loss>,
    /// When the watchdog message becomes visible that this pass left; absent if it left none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watchdog: Option<DateTime<Utc>>,
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
    /// Of the objects created or updated, how many at least one of Microsoft's stock rules can match. At Sentinel alone:
    /// elsewhere the destination itself compares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matchable: Option<u64>,
    /// Records dropped as excluded, by the list.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub excluded_by: BTreeMap<String, u64>,
    pub watermark: Option<DateTime<Utc>>,
    /// What waits for an operator's confirmation.
    #[serde(default)]
    pub withheld: WithheldReport,
    /// What became of what was looked for at the destination.
    #[serde(default)]
    pub arrival: ArrivalReport,
    /// From the source's update of a record to its acknowledgement, of what is new or changed in what is live.
    #[serde(default)]
    pub delivered: Percentiles,
    /// What the settings cost that a dry run ran under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Change>,
    /// Everything is done but what waits for an operator's confirmation.
    #[serde(skip)]
    pub waits: bool,
    /// How many indicators the lane held at the end, if that can be told.
    #[serde(skip)]
    pub held: Option<u64>,
    /// What an audit, or its repair, came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Findings>,
    /// What this lane found to be lost: told once for all lanes.
    #[serde(skip)]
    pub losses: Vec<Loss>,
    /// The pass that the lane went on with in this one, the first of its chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<String>,
}

/// What waits for an operator's confirmation because it is more than a lane does unasked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WithheldReport {
    /// Records that this pass read and would have created: their fate.
    pub created: u64,
    /// Indicators whose retraction waits.
    pub retracted: u64,
    /// Some of them.
    pub examples: Vec<WithheldExample>,
}

/// An indicator that waits for confirmation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithheldExample {
    pub value: String,
    #[serde(rename = "type")]
    pub indicator_type: IndicatorType,
    pub reason: String,
}

impl WithheldReport {
    /// The most examples.
    pub const EXAMPLES: usize = 100;

    /// Adds an example, as long as there are few. `example` is called only then.
    pub fn add_example(&mut self, example: impl FnOnce() -> WithheldExample) {
        if self.examples.len() < Self::EXAMPLES {
            self.examples.push(example());
        }
    }

    /// Takes in what a later pass of the chain says.
    fn continued_by(&mut self, later: &Self) {
        self.created += later.created;
        self.retracted = later.retracted;
        for example in &later.examples {
            self.add_example(|| example.clone());
        }
    }
}

impl LaneReport {
    /// Whether every record that was read has a fate, and one only.
    pub fn adds_up(&self) -> bool {
        self.counts.read == self.counts.settled() + self.withheld.created + self.counts.left
    }

    /// The report of a lane that did nothing before it ended.
    pub fn ended(end: End, message: Option<String>) -> Self {
        Self {
            end,
            message,
            counts: Counts::default(),
            by_type: ByType::new(),
            matchable: None,
            excluded_by: BTreeMap::new(),
            watermark: None,
            withheld: WithheldReport::default(),
            arrival: ArrivalReport::default(),
            delivered: Percentiles::default(),
            cost: None,
            waits: false,
            held: None,
            audit: None,
            losses: Vec::new(),
            continues: None,
        }
    }

    /// How many objects were created or updated.
    pub fn objects(&self) -> u64 {
        self.by_type.values().map(|changes| changes.created + changes.updated).sum()
    }
}

impl Report {
    /// Whether a pass did its work, however that ended: it was no rehearsal, and no other pass kept it from working.
    pub fn is_of_a_whole_pass(&self) -> bool {
        !self.dry_run && !matches!(self.end, End::Skipped | End::Fenced)
    }

    /// The sum of all lanes.
    pub fn totals(&self) -> Counts {
        let mut totals = Counts::default();
        self.lanes.values().for_each(|lane| totals += lane.counts);
        totals
    }

    /// The report in one sentence, for a person. Each lane reads the source for itself, so that a sum over lanes would
    /// tell of records that the source never gave.
    pub fn sentence(&self) -> String {
        let mut sentence = match self.lanes.len() {
            0 | 1 => in_words(&self.totals(), self.dry_run),
            _ => {
                let lanes = self.lanes.iter();
                let lanes =
                    lanes.map(|(name, lane)| format!("{name}: {}", in_words(&lane.counts, self.dry_run)));
                lanes.collect::<Vec<_>>().join("; ")
            }
        };
        for (name, lane) in &self.lanes {
            if let Some(cost) = &lane.cost {
                let rows = grouped(cost.forecast.rows_per_month);
                sentence.push_str(&format!(". {name} would cost {rows} rows a month, {}", cost.words()));
            }
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
        self.losses.extend(
            later.losses.iter().filter(|loss| !self.losses.contains(loss)).cloned().collect::<Vec<_>>(),
        );
        for (name, theirs) in parts {
            let Some(mine) = self.lanes.get_mut(name) else {
                self.lanes.insert(name.clone(), theirs.clone());
                continue;
            };
            mine.counts += theirs.counts;
            mine.withheld.continued_by(&theirs.withheld);
            mine.arrival.continued_by(&theirs.arrival);
            mine.delivered = mine.delivered.max(theirs.delivered);
            for (indicator_type, changes) in &theirs.by_type {
                *mine.by_type.entry(*indicator_type).or_default() += *changes;
            }
            mine.matchable = mine.matchable.map(|matchable| matchable + theirs.matchable.unwrap_or_default());
            for (list, count) in &theirs.excluded_by {
                *mine.excluded_by.entry(list.clone()).or_default() += count;
            }
            mine.audit = theirs.audit.clone().or(mine.audit.take());
            mine.end = theirs.end;
            mine.message.clone_from(&theirs.message);
            mine.watermark = theirs.watermark;
        }
        self.end = self.lanes.values().map(|lane| lane.end).max().unwrap_or(later.end);
        self.message = self.sentence();
    }
}

/// "3 read, 2 sent (2 new, 0 changed, 0 renewed), 1 unchanged, 0 not wanted", and the rarer fates that occurred.
fn in_words(counts: &Counts, dry_run: bool) -> String {
    let mut words = format!(
        "{} read, {} {} ({} new, {} changed, {} renewed), {} unchanged, {} not wanted",
        counts.read,
        if dry_run { "would send" } else { "sent" },
        counts.created + counts.updated + counts.renewed,
        counts.created,
        counts.updated,
        counts.renewed,
        counts.unchanged,
        counts.dropped.total(),
    );
    for (count, fate) in [
        (counts.retracted, "retracted"),
        (counts.displaced, "displaced by others"),
        (counts.over_limit, "without room at the destination"),
        (counts.rejected, "rejected by the destination"),
        (counts.left, "left to the next pass"),
    ] {
        if count > 0 {
            words.push_str(&format!(", {count} {fate}"));
        }
    }
    words
}

/// When the pass of `run_id` began, which its id says.
pub fn begun_at(run_id: &str) -> Option<DateTime<Utc>> {
    let (time, _) = run_id.split_once('Z')?;
    Some(NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%S%3f").ok()?.and_utc())
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
