//! Whether all is well, by what the newest passes say of themselves.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    outcome::End,
    report::{Report, Trigger},
    schedule::Schedule,
};

/// A pass may begin so much later than its schedule says: the host may start slowly, and one pass waits for another.
const LATE: TimeDelta = TimeDelta::minutes(40);

/// How a lane has fared of late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// No pass has said anything of it.
    Unknown,
    Known(Spell),
}

/// A row of passes that went equally well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spell {
    /// How its newest pass ended.
    pub end: End,
    /// What that said: of a failure, why and what to do.
    pub message: Option<String>,
    /// When the first of them began.
    pub since: DateTime<Utc>,
    /// No earlier pass is known that fared otherwise: it may have begun before.
    pub is_open: bool,
}

impl Spell {
    pub fn is_well(&self) -> bool {
        !self.end.is_failure()
    }
}

impl Health {
    /// How `lane` fares by `runs`, newest first.
    pub fn of(runs: &[Report], lane: &str) -> Self {
        let mut spell: Option<Spell> = None;
        for run in runs {
            let Some((end, message)) = verdict(run, lane) else { continue };
            match &mut spell {
                None => {
                    let message = message.map(str::to_owned);
                    spell = Some(Spell { end, message, since: run.started_at, is_open: true });
                }
                Some(spell) if spell.end.is_failure() == end.is_failure() => spell.since = run.started_at,
                Some(spell) => {
                    spell.is_open = false;
                    break;
                }
            }
        }
        spell.map_or(Self::Unknown, Self::Known)
    }
}

/// What a pass says of a lane. A rehearsal says nothing, nor does a pass that another one kept from working.
fn verdict<'a>(run: &'a Report, lane: &str) -> Option<(End, Option<&'a str>)> {
    if run.dry_run {
        return None;
    }
    match run.lanes.get(lane) {
        Some(part) if matches!(part.end, End::Skipped | End::Fenced) => None,
        Some(part) => Some((part.end, part.message.as_deref())),
        None if run.lanes.is_empty() && run.end.is_failure() => Some((run.end, Some(&run.message))),
        None => None,
    }
}

/// The time since the newest pass, by the ticks that should have brought the next ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// When the newest pass began.
    pub since: DateTime<Utc>,
    /// The first tick after that.
    pub due: DateTime<Utc>,
    second: DateTime<Utc>,
}

impl Silence {
    /// Since the newest of `runs`, or the newest in which `lane` took part. A rehearsal breaks no silence.
    pub fn of(runs: &[Report], lane: Option<&str>, schedule: &Schedule) -> Option<Self> {
        let takes_part = |run: &&Report| {
            !run.dry_run && (run.lanes.is_empty() || lane.is_none_or(|lane| run.lanes.contains_key(lane)))
        };
        let since = runs.iter().filter(takes_part).map(|run| run.started_at).max()?;
        let due = schedule.next_after(since)?;
        Some(Self { since, due, second: schedule.next_after(due)? })
    }

    /// Whether the next pass should have begun by `now`, for a person who looks.
    pub fn is_late(&self, now: DateTime<Utc>) -> bool {
        self.due + LATE < now
    }

    /// Whether two schedules have passed by `now`, for a monitoring system that raises an alarm.
    pub fn is_long(&self, now: DateTime<Utc>) -> bool {
        self.second < now
    }
}

/// When the timer started a pass last, if a watchdog message did since; `None` inside: in none of these `runs`.
pub fn replaced_timer(runs: &[Report]) -> Option<Option<DateTime<Utc>>> {
    let newest = |trigger: Trigger| {
        let of = runs.iter().filter(|run| run.trigger == trigger && !run.dry_run);
        of.map(|run| run.started_at).max()
    };
    let (watchdog, timer) = (newest(Trigger::Watchdog)?, newest(Trigger::Timer));
    timer.is_none_or(|timer| timer < watchdog).then_some(timer)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::report::LaneReport;

    /// A pass at this hour that ended so for the lane `sentinel`.
    fn run(hour: u32, end: End) -> Report {
        let started_at = format!("2026-03-02T{hour:02}:23:00Z").parse().unwrap();
        let message = end.is_failure().then(|| format!("at {hour}"));
        let lane = LaneReport::ended(end, message);
        Report {
            run_id: format!("run-{hour}"),
            trigger: Trigger::Timer,
            dry_run: false,
            started_at,
            ended_at: started_at,
            end,
            message: String::new(),
            continues: None,
            losses: Vec::new(),
            watchdog: None,
            lanes: BTreeMap::from([("sentinel".to_owned(), lane)]),
        }
    }

    fn spell(runs: &[Report]) -> Option<(End, Option<String>, String, bool)> {
        match Health::of(runs, "sentinel") {
            Health::Unknown => None,
            Health::Known(Spell { end, message, since, is_open }) => {
                Some((end, message, since.format("%H").to_string(), is_open))
            }
        }
    }

    #[test]
    fn a_spell_reaches_back_to_the_pass_that_fared_otherwise() {
        let (well, ill) = (End::CaughtUp, End::Stalled);
        assert_eq!(spell(&[]), None);
        assert_eq!(spell(&[run(9, well), run(8, End::Paused)]), Some((well, None, "08".into(), true)));
        let stalled = [run(9, ill), run(8, End::Failed), run(7, well), run(6, ill)];
        assert_eq!(spell(&stalled), Some((ill, Some("at 9".into()), "08".into(), false)));
        let mut rehearsal = run(9, ill);
        rehearsal.dry_run = true;
        let others = [rehearsal, run(8, End::Skipped), run(7, well), run(6, End::Fenced), run(5, ill)];
        assert_eq!(spell(&others), Some((well, None, "07".into(), false)));
        let mut nowhere = run(9, End::Failed);
        nowhere.lanes.clear();
        nowhere.message = "no storage".to_owned();
        assert_eq!(
            spell(&[nowhere, run(8, well)]),
            Some((End::Failed, Some("no storage".into()), "09".into(), false))
        );
        assert_eq!(Health::of(&[run(9, well)], "defender"), Health::Unknown);
    }

    #[test]
    fn a_timer_that_a_message_replaced_is_noticed_until_it_fires_again() {
        let of = |trigger, hour| Report { trigger, ..run(hour, End::CaughtUp) };
        let at = |hour| run(hour, End::CaughtUp).started_at;
        assert_eq!(replaced_timer(&[of(Trigger::Timer, 9), of(Trigger::Cli, 8)]), None);
        let dead = [of(Trigger::Cli, 12), of(Trigger::Watchdog, 11), of(Trigger::Timer, 8)];
        assert_eq!(replaced_timer(&dead), Some(Some(at(8))));
        assert_eq!(replaced_timer(&dead[..2]), Some(None));
        let alive = [of(Trigger::Timer, 13), of(Trigger::Watchdog, 11), of(Trigger::Timer, 8)];
        assert_eq!(replaced_timer(&alive), None);
    }

    #[test]
    fn a_timer_that_does_not_fire_is_noticed() {
        let hourly = Schedule::parse("0 23 * * * *").unwrap();
        let at = |text: &str| text.parse().unwrap();
        let runs = [run(9, End::CaughtUp)];
        let silence = Silence::of(&runs, None, &hourly).unwrap();
        assert_eq!((silence.since, silence.due), (at("2026-03-02T09:23:00Z"), at("2026-03-02T10:23:00Z")));
        let judged = |text| (silence.is_late(at(text)), silence.is_long(at(text)));
        assert_eq!(judged("2026-03-02T10:50:00Z"), (false, false));
        assert_eq!(judged("2026-03-02T11:10:00Z"), (true, false));
        assert_eq!(judged("2026-03-02T11:24:00Z"), (true, true));
        assert_eq!(Silence::of(&[], None, &hourly), None);
        // Neither a rehearsal nor a pass without the lane breaks the lane's silence.
        let mut rehearsal = run(10, End::CaughtUp);
        rehearsal.dry_run = true;
        let mut other = run(11, End::CaughtUp);
        other.lanes = BTreeMap::from([("defender".to_owned(), LaneReport::ended(End::CaughtUp, None))]);
        let runs = [other, rehearsal, run(9, End::CaughtUp)];
        assert_eq!(Silence::of(&runs, Some("sentinel"), &hourly), Some(silence));
        assert_eq!(Silence::of(&runs, None, &hourly).unwrap().since, at("2026-03-02T11:23:00Z"));
    }
}
