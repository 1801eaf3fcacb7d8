//! The dashboard: the cause of trouble first, then the newest passes, the destinations, the rejected records.

use askama::Template;
use chrono::{DateTime, Utc};

use super::{
    Frame, Mood, Page, arrival,
    cause::{self, Task},
    lane::{self, Fact, RejectedRow, Section, WaitingRow},
    links::Links,
    passes::{self, Row},
    trend,
    words::{self, Link, Piece, ago, count, readable, shown, until},
};
use crate::{
    domain::{
        health::{Health, Silence, Spell},
        report::Report,
        schedule::Schedule,
    },
    pass::{LaneOverview, Overview},
};

/// Causes that a headline names.
const NAMED: usize = 2;

#[derive(Template)]
#[template(path = "overview.html")]
pub struct OverviewPage<'a> {
    frame: Frame<'a>,
    tasks: Vec<Task>,
    first_steps: Vec<Piece>,
    facts: Vec<Fact>,
    passes: Vec<Row>,
    sections: Vec<Section>,
    waiting: Vec<WaitingRow>,
    rejected: Vec<RejectedRow>,
    at: DateTime<Utc>,
    chart: (u32, u32),
}

impl Page for OverviewPage<'_> {
    fn frame(&self) -> &Frame<'_> {
        &self.frame
    }
}

/// The page; `schedule` is `SYNC_CRON`.
pub fn page<'a>(
    overview: &Overview,
    schedule: Option<&str>,
    links: &'a Links,
    refreshes: bool,
) -> OverviewPage<'a> {
    let lanes: Vec<(&str, Option<&LaneOverview>, Health)> = overview
        .lanes
        .iter()
        .map(|(name, lane)| (name.as_str(), lane.as_ref(), Health::of(&overview.runs, name)))
        .collect();
    let spells: Vec<(&str, &Spell)> = lanes
        .iter()
        .filter_map(|(name, _, health)| match health {
            Health::Known(spell) => Some((*name, spell)),
            Health::Unknown => None,
        })
        .collect();
    let parsed = schedule.and_then(Schedule::parse);
    let silence = parsed.as_ref().and_then(|parsed| Silence::of(&overview.runs, None, parsed));
    let due = silence.filter(|silence| silence.is_late(overview.at)).map(|silence| silence.due);
    let mut tasks =
        cause::tasks(overview, &spells, schedule, due.filter(|_| overview.running.is_none()), links);
    tasks.extend(arrival::tasks(overview, links));
    let mut frame = headline(overview, &tasks, &spells, links);
    frame.refreshes = refreshes;
    let is_new = overview.runs.is_empty() && overview.lanes.values().all(Option::is_none);
    let is_well = frame.mood == Mood::Good;
    let names: Vec<&str> = lanes.iter().map(|(name, ..)| *name).collect();
    OverviewPage {
        tasks,
        first_steps: if is_new && overview.running.is_none() {
            cause::first_steps(schedule)
        } else {
            Vec::new()
        },
        facts: facts(overview, schedule, parsed.as_ref(), is_well, links),
        passes: passes::newest(&overview.runs, &names, links),
        sections: lanes
            .iter()
            .filter(|(_, lane, health)| lane.is_some() || *health != Health::Unknown)
            .map(|(name, lane, health)| {
                let mut section = lane::section(name, *lane, health, overview);
                section.facts.extend(lane.iter().flat_map(|lane| arrival::facts(name, lane, overview)));
                section
            })
            .collect(),
        waiting: lane::waiting(overview),
        rejected: lane::rejected(overview),
        at: overview.at,
        chart: (trend::WIDTH, trend::HEIGHT),
        frame,
    }
}

/// The sentence on top, with what goes with it.
fn headline<'a>(
    overview: &Overview,
    tasks: &[Task],
    spells: &[(&str, &Spell)],
    links: &'a Links,
) -> Frame<'a> {
    if let Some(first) = tasks.first() {
        let named: Vec<&str> = tasks.iter().take(NAMED).map(|task| task.headline.as_str()).collect();
        let mut headline = named.join("; ");
        if tasks.len() > NAMED {
            headline.push_str(&format!("; and {} more", tasks.len() - NAMED));
        }
        let mut frame = Frame::new(Mood::Bad, headline, links);
        frame.details.extend(first.since.clone().map(Piece::from));
        return frame;
    }
    match spells.iter().max_by_key(|(_, spell)| spell.since) {
        Some((_, spell)) => {
            let least = if spell.is_open { "at least " } else { "" };
            let headline = format!("Healthy since {least}{}", readable(&spell.since));
            let mut frame = Frame::new(Mood::Good, headline, links);
            frame.title = "healthy".to_owned();
            frame.details.extend(holdings(overview).map(Piece::from));
            frame
        }
        None if overview.running.is_some() => Frame::new(Mood::Open, "The first pass is under way", links),
        None => Frame::new(Mood::Open, "Nothing has run yet", links),
    }
}

/// What the destinations hold, in one sentence.
fn holdings(overview: &Overview) -> Option<String> {
    let lanes = overview.lanes.iter().filter_map(|(name, lane)| {
        let tally = lane.as_ref()?.detail.as_ref()?.tally.as_ref().ok()?;
        Some((shown(name), count(tally.held.total())))
    });
    let mut lanes = lanes.map(|(name, held)| [name, held]);
    let [name, held] = lanes.next()?;
    let others: String = lanes.map(|[name, held]| format!(", {name} {held}")).collect();
    Some(format!("{name} holds {held} indicators{others}."))
}

/// What else is known of the whole; what is not there is left out.
fn facts(
    overview: &Overview,
    schedule: Option<&str>,
    parsed: Option<&Schedule>,
    is_well: bool,
    links: &Links,
) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Some(running) = &overview.running {
        let text = "a pass is under way, ".to_owned();
        facts.push(Fact::new("Now", vec![Piece::Text(text), Piece::Code(running.run_id.clone())]));
    }
    if let Some(run) = overview.runs.first() {
        let word = format!(", {}: {}", ago(overview.at - run.started_at), run.end.word());
        facts.push(Fact::new("Last pass", vec![to_run(run, links), word.into()]));
    }
    let next = parsed.and_then(|parsed| parsed.next_after(overview.at));
    if let (Some(setting), Some(next)) = (schedule, next) {
        let wait = format!(", {} (", until(next - overview.at));
        let setting = Piece::Code(words::cut(setting, 60));
        facts.push(Fact::new("Next pass", vec![next.into(), wait.into(), setting, ")".into()]));
    }
    for (name, number) in
        [("Manual runs pending", overview.requests.len()), ("Requests set aside", overview.aside.len())]
    {
        if number > 0 {
            facts.push(Fact::new(name, vec![count(number as u64).into()]));
        }
    }
    if let Some(comparison) = &overview.comparison {
        let text = format!("{} and {}, {}", comparison.here, comparison.there, readable(&comparison.at));
        facts.push(Fact::new("Comparison", vec![Piece::Link(Link { href: links.comparison(), text })]));
    }
    if overview.audit.is_some() {
        let text = "what the last ones found".to_owned();
        facts.push(Fact::new("Audits", vec![Piece::Link(Link { href: links.audit(), text })]));
    }
    if let Some(run) = overview.runs.iter().find(|run| is_well && !run.dry_run && run.end.is_failure()) {
        let message =
            run.lanes.values().filter(|lane| lane.end.is_failure()).find_map(|lane| lane.message.as_ref());
        let short = cause::in_short(message.unwrap_or(&run.message));
        facts.push(Fact::new("Last failure", vec![to_run(run, links), format!(": {short}").into()]));
    }
    facts
}

fn to_run(run: &Report, links: &Links) -> Piece {
    Piece::Link(Link { href: links.run(&run.run_id), text: readable(&run.started_at) })
}
