//! The status as JSON: the body of `GET /api/status` and of `status --json`.

use serde_json::{Value, json};

use super::status::Overview;
use crate::domain::{
    health::Health,
    schedule::{self, Schedule},
    tally::Tally,
};

impl Overview {
    /// Everything that the status page shows, for programs; `schedule` is `SYNC_CRON`. `healthy` is false if `complaints`
    /// names anything. To the host it is a fault if it is not set; a terminal needs none.
    pub fn body(&self, schedule: Option<&str>, is_host: bool) -> Value {
        let next = schedule.and_then(Schedule::parse).and_then(|parsed| parsed.next_after(self.at));
        let mut complaints = self.complaints(schedule);
        let missing = schedule::fault(None).filter(|_| is_host && schedule.is_none());
        complaints.extend(missing.clone());
        let fault = missing.or_else(|| schedule::fault(Some(schedule?)));
        let mut body = json!(self);
        body["version"] = env!("CARGO_PKG_VERSION").into();
        body["healthy"] = complaints.is_empty().into();
        body["complaints"] = json!(complaints);
        body["schedule"] = json!({ "setting": schedule, "next": next, "fault": fault });
        for (name, lane) in &self.lanes {
            let Some(lane) = lane else { continue };
            let shown = &mut body["lanes"][name];
            shown["health"] = match Health::of(&self.runs, name) {
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
            if let Some(capacity) = detail.capacity {
                shown["capacity"] = capacity.into();
            }
            let newest = detail.rejected.iter();
            let newest = newest
                .map(|record| json!({ "at": record.at, "value": record.value, "reason": record.reason }));
            shown["newest_rejected"] = newest.collect();
        }
        body
    }
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
