//! How lanes fare, as it is told to somebody outside: each change once, also over restarts.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    feeds::Loss,
    outcome::End,
    report::{LaneReport, Report},
    totals::Totals,
};

/// The most losses that are remembered until they could be told.
const LOSSES_KEPT: usize = 50;
/// The longest part of a message that is a lane's own, in characters.
const LONGEST: usize = 1500;

/// How a lane fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    #[default]
    Well,
    /// Something stands in the way.
    Stalled,
    /// Only what an operator has to confirm is not done.
    Waiting,
}

impl Condition {
    /// What a pass says of a lane; `None` if it says nothing: it paused, or another pass was at work.
    fn of(lane: &LaneReport) -> Option<Self> {
        match lane.end {
            End::CaughtUp => Some(Self::Well),
            End::Stalled if lane.waits => Some(Self::Waiting),
            End::Stalled | End::Failed => Some(Self::Stalled),
            End::Paused | End::Skipped | End::Fenced => None,
        }
    }
}

/// What is remembered of one lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    pub condition: Condition,
    /// When the first pass began that found it so.
    pub since: DateTime<Utc>,
    /// What was told last, and since when that held.
    pub told: Condition,
    pub told_since: DateTime<Utc>,
    /// Losses that nobody was told of yet.
    #[serde(default)]
    pub losses: Vec<Loss>,
}

/// The conditions of all lanes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Conditions(pub BTreeMap<String, Remembered>);

/// `signals.json`: what has to be known of earlier passes to tell others of this one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SignalMemory {
    /// What the webhook was told.
    pub lanes: Conditions,
    /// What the counters of the metrics came to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub totals: Option<Totals>,
}

/// One message, as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// For a person.
    pub text: String,
    pub lane: String,
    /// `stalled`, `waiting`, `loss` or `healed`.
    pub state: &'static str,
    pub since: DateTime<Utc>,
}

impl Conditions {
    /// Takes in what a pass says of its lanes.
    pub fn take(&mut self, report: &Report) {
        for (name, lane) in &report.lanes {
            let at = report.started_at;
            let remembered = self.0.entry(name.clone()).or_insert_with(|| Remembered {
                condition: Condition::Well,
                since: at,
                told: Condition::Well,
                told_since: at,
                losses: Vec::new(),
            });
            if let Some(condition) = Condition::of(lane).filter(|now| *now != remembered.condition) {
                (remembered.condition, remembered.since) = (condition, at);
            }
            let room = LOSSES_KEPT.saturating_sub(remembered.losses.len());
            remembered.losses.extend(lane.losses.iter().take(room).cloned());
        }
    }

    /// What is to be told of a lane, after the pass of `report`.
    pub fn notices(&self, report: &Report) -> Vec<Notice> {
        let mut notices = Vec::new();
        for (name, remembered) in &self.0 {
            let message = report.lanes.get(name).and_then(|lane| lane.message.as_deref());
            notices.extend(remembered.change(name, message));
            notices.extend(remembered.loss(name));
        }
        notices
    }

    /// Notes that `notice` arrived.
    pub fn delivered(&mut self, notice: &Notice) {
        let Some(remembered) = self.0.get_mut(&notice.lane) else { return };
        if notice.state == LOSS {
            remembered.losses.clear();
        } else {
            (remembered.told, remembered.told_since) = (remembered.condition, remembered.since);
        }
    }
}

const LOSS: &str = "loss";

impl Remembered {
    fn change(&self, lane: &str, message: Option<&str>) -> Option<Notice> {
        if self.condition == self.told {
            return None;
        }
        let since = readable(self.since);
        let (state, mut text) = match self.condition {
            Condition::Stalled => ("stalled", format!("mati-sync: {lane} is stalled since {since}")),
            Condition::Waiting => {
                ("waiting", format!("mati-sync: {lane} waits for a confirmation since {since}"))
            }
            Condition::Well => {
                let before = match self.told {
                    Condition::Waiting => "waited for a confirmation",
                    Condition::Stalled | Condition::Well => "was stalled",
                };
                let told = readable(self.told_since);
                ("healed", format!("mati-sync: {lane} is well since {since}; it {before} since {told}"))
            }
        };
        if let Some(message) = message.filter(|_| self.condition != Condition::Well) {
            text.push_str(&format!(": {}", cut(message)));
        }
        Some(Notice { text, lane: lane.to_owned(), state, since: self.since })
    }

    fn loss(&self, lane: &str) -> Option<Notice> {
        let since = self.losses.iter().map(|loss| loss.from).min()?;
        let lost = self
            .losses
            .iter()
            .map(|Loss { what, from, to }| format!("{what} from {} to {}", readable(*from), readable(*to)));
        let lost = lost.collect::<Vec<_>>().join("; ");
        let text = format!("mati-sync: {lane} lost what the source no longer gives: {}", cut(&lost));
        Some(Notice { text, lane: lane.to_owned(), state: LOSS, since })
    }
}

fn readable(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::report::Trigger;

    fn report(minute: u32, lane: LaneReport) -> Report {
        let at = DateTime::from_timestamp(1_772_000_000 + i64::from(minute) * 60, 0).unwrap();
        Report {
            run_id: format!("run-{minute}"),
            trigger: Trigger::Timer,
            dry_run: false,
            started_at: at,
            ended_at: at,
            end: lane.end,
            message: String::new(),
            continues: None,
            losses: Vec::new(),
            watchdog: None,
            lanes: BTreeMap::from([("sentinel".to_owned(), lane)]),
        }
    }

    fn waiting() -> LaneReport {
        LaneReport { waits: true, ..LaneReport::ended(End::Stalled, Some("confirm it".to_owned())) }
    }

    #[test]
    fn each_change_is_told_until_it_arrives_and_then_no_more() {
        let mut conditions = Conditions::default();
        let ended = |end, message: &str| LaneReport::ended(end, Some(message.to_owned()));
        let passes = [
            (ended(End::CaughtUp, ""), true, None),
            // What does not arrive is told again, and what is over meanwhile is not.
            (ended(End::Stalled, "the key is rejected"), false, Some("stalled")),
            (ended(End::CaughtUp, ""), true, None),
            (ended(End::Stalled, "the key is rejected"), false, Some("stalled")),
            (ended(End::Failed, "a defect"), true, Some("stalled")),
            (ended(End::Stalled, "the key is rejected"), true, None),
            (ended(End::Paused, "out of time"), true, None),
            (waiting(), true, Some("waiting")),
            (waiting(), true, None),
            (ended(End::Fenced, ""), true, None),
            (ended(End::CaughtUp, ""), true, Some("healed")),
            (ended(End::CaughtUp, ""), true, None),
        ];
        let mut texts = Vec::new();
        for (minute, (lane, arrives, expected)) in passes.into_iter().enumerate() {
            let report = report(u32::try_from(minute).unwrap(), lane);
            conditions.take(&report);
            let notices = conditions.notices(&report);
            assert_eq!(notices.first().map(|notice| notice.state), expected, "pass {minute}");
            assert!(notices.len() <= 1);
            for notice in notices.into_iter().filter(|_| arrives) {
                conditions.delivered(&notice);
                texts.push(notice.text);
            }
        }
        assert_eq!(
            texts,
            [
                "mati-sync: sentinel is stalled since 2026-02-25 06:16 UTC: a defect",
                "mati-sync: sentinel waits for a confirmation since 2026-02-25 06:20 UTC: confirm it",
                "mati-sync: sentinel is well since 2026-02-25 06:23 UTC; it waited for a confirmation since 2026-02-25 06:20 UTC",
            ]
        );
    }

    #[test]
    fn a_loss_is_told_once_beside_how_the_lane_fares() {
        let at = |hour: u32| format!("2026-03-02T{hour:02}:00:00Z").parse().unwrap();
        let loss = Loss { what: "ransomware".to_owned(), from: at(4), to: at(5) };
        let mut conditions = Conditions::default();
        let lost = report(0, LaneReport { losses: vec![loss], ..LaneReport::ended(End::CaughtUp, None) });
        conditions.take(&lost);
        let notices = conditions.notices(&lost);
        let [notice] = &*notices else { panic!("{notices:?}") };
        assert_eq!((notice.state, notice.since), ("loss", at(4)));
        assert!(notice.text.ends_with("ransomware from 2026-03-02 04:00 UTC to 2026-03-02 05:00 UTC"));
        conditions.delivered(notice);
        assert_eq!(conditions.notices(&lost), []);
    }

    proptest! {
        /// Whatever happens and whichever messages are lost: what was told last is how the lane fares, as soon as one
        /// message of it arrives, and no state is told twice in a row.
        #[test]
        fn what_was_told_last_is_true(passes in prop::collection::vec((0..4u8, any::<bool>()), 1..40)) {
            let mut conditions = Conditions::default();
            let mut told = vec![Condition::Well];
            for (minute, (kind, arrives)) in passes.into_iter().enumerate() {
                let lane = match kind {
                    0 => LaneReport::ended(End::CaughtUp, None),
                    1 => LaneReport::ended(End::Stalled, None),
                    2 => waiting(),
                    _ => LaneReport::ended(End::Paused, None),
                };
                let report = report(u32::try_from(minute).unwrap(), lane);
                conditions.take(&report);
                for notice in conditions.notices(&report).into_iter().filter(|_| arrives) {
                    conditions.delivered(&notice);
                    told.push(conditions.0["sentinel"].told);
                }
                if arrives {
                    prop_assert_eq!(told.last().copied(), Some(conditions.0["sentinel"].condition));
                }
            }
            prop_assert!(told.windows(2).all(|pair| pair[0] != pair[1]), "{:?}", told);
        }
    }
}
