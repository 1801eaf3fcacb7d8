//! What was accepted and has not arrived, and how long it takes until what was accepted can be seen.

use super::{
    cause::{MESSAGE, Task, capitalized, to_runbook},
    lane::Fact,
    links::Links,
    runbook,
    words::{count, cut, shown},
};
use crate::{
    domain::{
        arrival::{ArrivalOverview, CanaryState},
        report::LaneReport,
    },
    pass::{LaneOverview, Overview},
};

/// A task for each lane whose destination accepted what has not arrived.
pub fn tasks(overview: &Overview, links: &Links) -> Vec<Task> {
    let lanes = overview.lanes.iter();
    let lanes = lanes.filter_map(|(name, lane)| Some((name, lane.as_ref()?.arrival.as_ref()?)));
    let tasks = lanes.filter_map(|(name, arrival)| {
        let complaint = format!("accepted but not arrived: {} {}", shown(name), arrival.complaint()?);
        let what = match arrival.missing.len() {
            0 => "a canary".to_owned(),
            1 => "an indicator".to_owned(),
            many => format!("{} indicators", count(many as u64)),
        };
        let headline = format!("Accepted but not arrived: {what} at {}", shown(name));
        let runbook = runbook::section_of(&complaint).map(|section| to_runbook(links, &section));
        let text = vec![capitalized(&cut(&complaint, MESSAGE)).into()];
        Some(Task { who: capitalized(&shown(name)), runbook, ..Task::new(headline, text) })
    });
    tasks.collect()
}

/// How long it took in the newest passes that measured it, and what is awaited.
pub fn facts(name: &str, lane: &LaneOverview, overview: &Overview) -> Vec<Fact> {
    let mut facts = Vec::new();
    let reports = || overview.runs.iter().filter(|run| !run.dry_run).filter_map(|run| run.lanes.get(name));
    let measured = |lane: &&LaneReport| lane.delivered.p95_s > 0;
    if let Some(LaneReport { delivered, .. }) = reports().find(measured) {
        let text = format!("half within {}, 95 % within {}", time(delivered.p50_s), time(delivered.p95_s));
        facts.push(Fact::new("From the source's update to accepted", vec![text.into()]));
    }
    let Some(ArrivalOverview { awaited, missing, canary }) = &lane.arrival else { return facts };
    if let Some(LaneReport { arrival, .. }) = reports().find(|lane| lane.arrival.seen > 0) {
        let [half, most] =
            [(arrival.after.p50_s, arrival.visible.p50_s), (arrival.after.p95_s, arrival.visible.p95_s)]
                .map(|(after, within)| format!("between {} and {}", time(after), time(within)));
        let text = format!("half {half}, 95 % {most}, of {} looked for", count(arrival.seen));
        facts.push(Fact::new("From accepted to visible", vec![text.into()]));
    }
    let mut more = |name: &'static str, number: u64| {
        if number > 0 {
            facts.push(Fact::new(name, vec![count(number).into()]));
        }
    };
    more("Accepted and not seen yet, of a sample", *awaited);
    more("Accepted but not arrived", missing.len() as u64);
    if let Some(state) = canary {
        let word = match state {
            CanaryState::Awaited => "sent, and not seen yet",
            CanaryState::Seen => "seen",
            CanaryState::Missing => "not arrived",
        };
        facts.push(Fact::new("Canary", vec![word.to_owned().into()]));
    }
    facts
}

/// Seconds in the largest unit of which there are two.
fn time(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", count(seconds / 86_400)),
    }
}
