//! The body of `status --json`: what `GET /api/status` answers with, and what its page shows besides.

use serde_json::{Value, json};

use crate::{
    domain::{
        health::Health,
        schedule::{self, Schedule},
        tally::Tally,
    },
    pass::Overview,
};

pub fn body(overview: &Overview, schedule: Option<&str>, complaints: &[String]) -> Value {
    let next = schedule.and_then(Schedule::parse).and_then(|parsed| parsed.next_after(overview.at));
    let mut body = json!(overview);
    body["version"] = env!("CARGO_PKG_VERSION").into();
    body["healthy"] = complaints.is_empty().into();
    body["complaints"] = json!(complaints);
    body["schedule"] = json!({ "setting": schedule, "next": next, "fault": schedule::fault(schedule) });
    for (name, lane) in &overview.lanes {
        let Some(lane) = lane else { continue };
        let shown = &mut body["lanes"][name];
        shown["health"] = match Health::of(&overview.runs, name) {
            Health::Unknown => Value::Null,
            Health::Known(spell) => {
                json!({ "end": spell.end, "since": spell.since, "message": spell.message })
            }
        };
        let Some(detail) = &lane.detail else { continue };
        match &detail.tally {
            Ok(tally) => shown["counts"] = counts(tally),
            Err(problem) => shown["damaged"] = problem.as_str().into(),
        }
        let newest = detail.rejected.iter();
        let newest =
            newest.map(|record| json!({ "at": record.at, "value": record.value, "reason": record.reason }));
        shown["newest_rejected"] = newest.collect();
    }
    body
}

fn counts(tally: &Tally) -> Value {
    let held = &tally.held;
    json!({
        "held": {
            "ipv4": held.ipv4,
            "ipv6": held.ipv6,
            "fqdn": held.fqdn,
            "url": held.url,
            "hash": held.hash,
            "unknown": held.unknown,
            "total": held.total(),
        },
        "rejected": tally.rejected,
        "retracted": tally.retracted,
        "foreign": tally.foreign,
        "waiting": tally.waiting,
        "expired": tally.expired,
    })
}
