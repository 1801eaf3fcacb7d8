//! Passes as rows: one for each, with the lanes inside.

use chrono::{DateTime, Utc};

use super::{
    cause::in_short,
    links::Links,
    words::{self, Link, count, cut, exact, readable, took},
};
use crate::domain::{
    observable::IndicatorType,
    outcome::{Changes, Counts, Dropped, End},
    report::{LaneReport, Report, Trigger},
};

/// Passes in the table.
const SHOWN: usize = 12;
/// Lanes shown of a pass, whatever its report says.
const LANES: usize = 8;
/// The longest message of a pass alone, in characters.
const LONGEST: usize = 1000;

/// One pass.
pub struct Row {
    pub began: DateTime<Utc>,
    pub run: Link,
    pub trigger: &'static str,
    pub is_dry: bool,
    pub took: String,
    pub lanes: Vec<Part>,
    /// What the pass says, if no lane took part.
    pub message: Option<String>,
    pub end: Badge,
}

/// How something ended.
#[derive(Clone, Copy)]
pub struct Badge {
    pub class: &'static str,
    pub word: &'static str,
}

/// What a lane did in a pass, or several that fared alike.
pub struct Part {
    names: Vec<String>,
    pub end: Badge,
    pub done: String,
    pub message: Option<String>,
}

impl From<End> for Badge {
    fn from(end: End) -> Self {
        let class = match end {
            End::CaughtUp => "good",
            End::Skipped | End::Paused | End::Fenced => "open",
            End::Stalled | End::Failed => "bad",
        };
        Self { class, word: end.word() }
    }
}

/// The newest of `reports` with those of their lanes that are `wanted`, and their messages in a few words: the pass's
/// own page has them whole.
pub fn newest(reports: &[Report], wanted: &[&str], links: &Links) -> Vec<Row> {
    reports.iter().take(SHOWN).map(|report| row(report, Some(wanted), in_short, links)).collect()
}

/// A pass alone, with all its lanes.
pub fn whole(report: &Report, links: &Links) -> Row {
    row(report, None, |message| cut(message, LONGEST), links)
}

fn row(report: &Report, wanted: Option<&[&str]>, shown: fn(&str) -> String, links: &Links) -> Row {
    let is_wanted = |name: &&String| wanted.is_none_or(|wanted| wanted.contains(&name.as_str()));
    let mut lanes: Vec<Part> = Vec::new();
    for name in report.lanes.keys().filter(is_wanted).take(LANES) {
        let lane = &report.lanes[name];
        let part = Part {
            names: vec![words::shown(name)],
            end: lane.end.into(),
            done: done(lane),
            message: lane.message.as_deref().map(shown),
        };
        // Destinations that fared alike are told together.
        match lanes.iter_mut().find(|other| other.is_like(&part)) {
            Some(other) => other.names.extend(part.names),
            None => lanes.push(part),
        }
    }
    Row {
        began: report.started_at,
        run: Link { href: links.run(&report.run_id), text: readable(&report.started_at) },
        trigger: trigger(report.trigger),
        is_dry: report.dry_run,
        took: took(report.ended_at - report.started_at),
        message: lanes.is_empty().then(|| shown(&report.message)),
        lanes,
        end: report.end.into(),
    }
}

impl Part {
    /// Its destinations.
    pub fn who(&self) -> String {
        self.names.join(" and ")
    }

    fn is_like(&self, other: &Self) -> bool {
        (self.end.word, &self.done, &self.message) == (other.end.word, &other.done, &other.message)
    }
}

impl Row {
    pub fn exact(&self) -> String {
        exact(&self.began)
    }
}

fn trigger(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Timer => "timer",
        Trigger::Manual => "manual run",
        Trigger::Continuation => "continuation",
        Trigger::Cli => "command line",
        Trigger::Watchdog => "watchdog",
    }
}

/// What became of the records that were read, without what did not happen.
fn done(lane: &LaneReport) -> String {
    let Counts { read, dropped, unchanged, created, updated, renewed, .. } = lane.counts;
    let Counts { retracted, rejected, over_limit, left, displaced, replayed, throttled, .. } = lane.counts;
    let happened = [
        (created, "created"),
        (updated, "updated"),
        (renewed, "renewed"),
        (retracted, "retracted"),
        (unchanged, "unchanged"),
        (rejected, "rejected"),
        (over_limit, "without capacity"),
        (left, "left"),
    ];
    let mut parts = parts(&happened);
    if dropped.total() > 0 {
        parts.push(format!("{} dropped ({})", count(dropped.total()), reasons(&dropped)));
    }
    if !lane.excluded_by.is_empty() {
        let by = lane.excluded_by.iter().map(|(list, number)| format!("{} by {list}", count(*number)));
        parts.push(format!("excluded {}", by.collect::<Vec<_>>().join(", ")));
    }
    let beside = [(displaced, "displaced"), (replayed, "sent again"), (throttled, "requests throttled")];
    let beside = self::parts(&beside);
    let mut done = match (read, parts.is_empty()) {
        (0, true) if lane.end == End::CaughtUp => "nothing new".to_owned(),
        (0, true) => "nothing was read".to_owned(),
        (_, true) => format!("{} read", count(read)),
        _ => format!("{} read: {}", count(read), parts.join(", ")),
    };
    if !beside.is_empty() {
        done.push_str(&format!("; beside these {}", beside.join(", ")));
    }
    done
}

fn parts(numbers: &[(u64, &str)]) -> Vec<String> {
    numbers
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| format!("{} {word}", count(*number)))
        .collect()
}

/// Why records were not wanted.
fn reasons(dropped: &Dropped) -> String {
    let reasons = [
        (dropped.malformed, "malformed"),
        (dropped.type_, "type"),
        (dropped.excluded, "excluded"),
        (dropped.benign, "benign"),
        (dropped.pervasive, "pervasive infrastructure"),
        (dropped.confidence, "confidence"),
        (dropped.threat_score, "threat score"),
        (dropped.severity, "severity"),
        (dropped.attribution, "attribution"),
        (dropped.osint, "open source only"),
        (dropped.uncategorized, "uncategorized"),
    ];
    parts(&reasons).join(", ")
}

/// What was sent in a pass of one type to one destination.
pub struct Sent {
    pub lane: String,
    pub of: &'static str,
    pub numbers: [(&'static str, String); 5],
}

/// What was sent in a pass, by destination and type.
pub fn sent(report: &Report) -> Vec<Sent> {
    let lanes = report.lanes.iter().take(LANES);
    let rows = lanes.flat_map(|(name, lane)| {
        lane.by_type.iter().map(|(indicator_type, changes)| {
            let Changes { created, updated, renewed, retracted, displaced } = *changes;
            let numbers = [
                ("Created", created),
                ("Updated", updated),
                ("Renewed", renewed),
                ("Retracted", retracted),
                ("Displaced", displaced),
            ];
            let numbers = numbers.map(|(name, number)| (name, count(number)));
            Sent { lane: words::shown(name), of: of_type(*indicator_type), numbers }
        })
    });
    rows.collect()
}

fn of_type(indicator_type: IndicatorType) -> &'static str {
    match indicator_type {
        IndicatorType::Ipv4 => "IPv4 addresses",
        IndicatorType::Ipv6 => "IPv6 addresses",
        IndicatorType::Fqdn => "Domain names",
        IndicatorType::Url => "URLs",
        IndicatorType::Hash => "File hashes",
    }
}
