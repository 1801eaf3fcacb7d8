//! Whether the program as a whole is well, for a monitoring system that asks.

use super::status::Overview;
use crate::domain::{
    arrival::ArrivalOverview,
    findings::Findings,
    health::{Health, Silence, Spell, replaced_timer},
    schedule::{self, Schedule},
};

impl Overview {
    /// What is wrong, one sentence each; none where all is well, and before the first pass. `schedule` is `SYNC_CRON`.
    pub fn complaints(&self, schedule: Option<&str>) -> Vec<String> {
        // Where it is not set, nothing is known of it: a terminal needs none.
        let mut complaints: Vec<String> =
            schedule.and_then(|text| schedule::fault(Some(text))).into_iter().collect();
        let schedule = schedule.and_then(Schedule::parse);
        for (name, lane) in &self.lanes {
            if let Some(complaint) = self.complaint_of(name) {
                complaints.push(complaint);
            }
            let withheld = lane.as_ref().and_then(|lane| lane.withheld.as_ref());
            if withheld.is_some() {
                complaints.push(format!(
                    "{name} holds back retractions until an operator confirms them (`mati-sync sync --confirm-retraction`)"
                ));
            }
            if lane.as_ref().is_some_and(|lane| lane.waiting.is_some()) {
                complaints.push(format!(
                    "{name} holds back new indicators until an operator confirms them (`mati-sync sync --confirm-creation`)"
                ));
            }
            let arrival = lane.as_ref().and_then(|lane| lane.arrival.as_ref());
            if let Some(complaint) = arrival.and_then(ArrivalOverview::complaint) {
                complaints.push(format!("accepted but not arrived: {name} {complaint}"));
            }
            complaints.extend(self.amiss(name).map(|findings| {
                format!(
                    "{name} does not hold what was sent: at the audit of {} {} indicators were missing, changed, unknown or expired, and {} still are (`mati-sync audit --repair`)",
                    findings.at.format("%Y-%m-%d %H:%M UTC"),
                    findings.amiss(),
                    findings.open()
                )
            }));
            let detail = lane.as_ref().and_then(|lane| lane.detail.as_ref());
            if let Some(Err(problem)) = detail.map(|detail| &detail.tally) {
                complaints.push(format!("{name} has a manifest that cannot be read: {problem}"));
            }
            let silence =
                schedule.as_ref().and_then(|schedule| Silence::of(&self.runs, Some(name), schedule));
            let is_silent = |silence: &Silence| silence.is_long(self.at) && self.running.is_none();
            if let Some(Silence { since, .. }) = silence.filter(is_silent) {
                complaints.push(format!(
                    "{name} had no pass since {}, and the timer should have fired twice; check that the function app runs",
                    since.format("%Y-%m-%d %H:%M UTC")
                ));
            }
        }
        if let Some(timer) = replaced_timer(&self.runs) {
            let since =
                timer.map(|at| at.format(" since %Y-%m-%d %H:%M UTC").to_string()).unwrap_or_default();
            complaints.push(format!(
                "the timer started no pass{since}, and a watchdog message did; restart the function app, and look at the function SyncTimer"
            ));
        }
        complaints
    }

    /// What the last audit of a lane found, if something was amiss that is not repaired yet.
    pub fn amiss(&self, lane: &str) -> Option<&Findings> {
        self.audit.as_ref()?.lanes.get(lane).filter(|findings| findings.open() > 0)
    }

    fn complaint_of(&self, lane: &str) -> Option<String> {
        let Health::Known(spell) = Health::of(&self.runs, lane) else { return None };
        let Spell { end, message, since, .. } = &spell;
        let why = message.as_deref().map(|message| format!(": {message}")).unwrap_or_default();
        let since = since.format("%Y-%m-%d %H:%M UTC");
        (!spell.is_well()).then(|| format!("{lane} is {} since {since}{why}", end.word()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::{
        outcome::End,
        report::{LaneReport, Report, Trigger},
    };
    use crate::state::object::Holder;

    fn overview(at: &str, runs: &[(&str, End)]) -> Overview {
        let run = |(started_at, end): &(&str, End)| {
            let started_at = started_at.parse().unwrap();
            let lane = LaneReport::ended(*end, end.is_failure().then(|| "the key is rejected".to_owned()));
            Report {
                run_id: "run".to_owned(),
                trigger: Trigger::Timer,
                dry_run: false,
                started_at,
                ended_at: started_at,
                end: *end,
                message: String::new(),
                continues: None,
                losses: Vec::new(),
                watchdog: None,
                lanes: BTreeMap::from([("sentinel".to_owned(), lane)]),
            }
        };
        Overview {
            at: at.parse().unwrap(),
            lanes: BTreeMap::from([("sentinel".to_owned(), None)]),
            requests: Vec::new(),
            aside: Vec::new(),
            running: None,
            comparison: None,
            audit: None,
            runs: runs.iter().map(run).collect(),
        }
    }

    #[test]
    fn a_lane_that_failed_or_had_no_pass_for_two_schedules_is_told() {
        const HOURLY: Option<&str> = Some("0 23 * * * *");
        let told = |at, runs: &[(&str, End)], schedule| overview(at, runs).complaints(schedule);
        let pass = |end| [("2026-03-02T09:23:00Z", end)];
        assert_eq!(told("2026-03-02T12:00:00Z", &[], HOURLY), [""; 0], "before the first pass");
        for well in [End::CaughtUp, End::Paused] {
            assert_eq!(told("2026-03-02T09:30:00Z", &pass(well), HOURLY), [""; 0]);
        }
        for ill in [End::Stalled, End::Failed] {
            let told = told("2026-03-02T09:30:00Z", &pass(ill), HOURLY);
            assert_eq!(
                told,
                [format!("sentinel is {} since 2026-03-02 09:23 UTC: the key is rejected", ill.word())]
            );
        }
        let well = pass(End::CaughtUp);
        assert_eq!(told("2026-03-02T11:22:00Z", &well, HOURLY), [""; 0]);
        assert!(told("2026-03-02T11:24:00Z", &well, HOURLY)[0].contains("no pass since 2026-03-02 09:23"));
        assert_eq!(told("2026-03-02T23:00:00Z", &well, None), [""; 0]);
        for never in ["61 * * * * *", "0 0 0 31 2 *"] {
            for runs in [&well[..], &[]] {
                let told = told("2026-03-02T09:30:00Z", runs, Some(never));
                assert!(told.len() == 1 && told[0].starts_with("SYNC_CRON is "), "{never}: {told:?}");
            }
        }
        let mut at_work = overview("2026-03-02T11:24:00Z", &well);
        at_work.running = Some(Holder { run_id: "x".into(), holder: "y".into(), since: None });
        assert_eq!(at_work.complaints(HOURLY), [""; 0]);
    }
}
