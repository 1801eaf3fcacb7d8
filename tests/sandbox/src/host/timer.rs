//! The timer trigger: the status of schedules, and the loop of the host's `TimerListener`.

use std::{
    collections::BTreeMap,
    fs::File,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Result;
use chrono::{DateTime, Datelike, Utc};
use serde_json::{Value, json};

use super::{
    Inner,
    answer::print_time,
    call::Call,
    function::{Function, Trigger},
    invocation::Invocation,
    output::Level,
    schedule::Schedule,
};

/// How a timer function is called by hand.
#[derive(Clone, Debug, Default)]
pub struct TimerFire {
    pub is_past_due: bool,
    /// `None` is what a schedule without monitor sends: `"ScheduleStatus": null`.
    pub schedule_status: Option<ScheduleStatus>,
}

/// What the host remembers of a schedule between runs, as of before the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleStatus {
    /// `None` before the first run; sent as `0001-01-01T00:00:00+00:00`.
    pub last: Option<DateTime<Utc>>,
    pub next: DateTime<Utc>,
    pub last_updated: DateTime<Utc>,
}

impl ScheduleStatus {
    fn to_json(&self) -> Value {
        let print = |time| print_time(time, "+00:00");
        json!({
            "Last": self.last.map_or("0001-01-01T00:00:00+00:00".into(), print),
            "Next": print(self.next),
            "LastUpdated": print(self.last_updated),
        })
    }

    fn from_json(value: &Value) -> Option<Self> {
        let time = |name: &str| Some(DateTime::parse_from_rfc3339(value[name].as_str()?).ok()?.to_utc());
        Some(Self {
            last: time("Last").filter(|last| last.year() > 1),
            next: time("Next")?,
            last_updated: time("LastUpdated")?,
        })
    }
}

/// What a listener does at its start: the status to go on with, and whether a missed run is made up for.
fn resume(stored: Option<ScheduleStatus>, schedule: &Schedule, now: DateTime<Utc>) -> (ScheduleStatus, bool) {
    let fresh = |next| ScheduleStatus { last: None, next, last_updated: now };
    let Some(stored) = stored else { return (fresh(schedule.next(now)), false) };
    let expected = schedule.next(stored.last.unwrap_or(stored.last_updated));
    if stored.next == expected {
        let past_due = now > stored.next;
        return (stored, past_due);
    }
    // The schedule was edited: what the old one missed is not made up for.
    (fresh(if expected < now { schedule.next(now) } else { expected }), false)
}

/// The status after a run that began at `start`.
fn settle(
    before: &ScheduleStatus,
    schedule: &Schedule,
    start: DateTime<Utc>,
    scheduled: bool,
) -> ScheduleStatus {
    // A timer that went off a little early must not fire for the same occurrence again.
    let last = if scheduled { start.max(before.next) } else { start };
    ScheduleStatus { last: Some(last), next: schedule.next(last), last_updated: last }
}

/// The status of every timer function, in memory or in a folder.
pub(super) struct Timers {
    folder: Option<PathBuf>,
    statuses: Mutex<BTreeMap<String, ScheduleStatus>>,
}

impl Timers {
    pub fn open(folder: Option<PathBuf>) -> Result<Self> {
        let folder = folder.map(|folder| folder.join("timers"));
        if let Some(folder) = &folder {
            std::fs::create_dir_all(folder)?;
        }
        Ok(Self { folder, statuses: Mutex::default() })
    }

    fn file(&self, function: &str, kind: &str) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(format!("{function}.{kind}")))
    }

    pub fn get(&self, function: &str) -> Option<ScheduleStatus> {
        let Some(file) = self.file(function, "status") else {
            return self.statuses.lock().unwrap().get(function).cloned();
        };
        ScheduleStatus::from_json(&serde_json::from_slice(&std::fs::read(file).ok()?).ok()?)
    }

    pub fn set(&self, function: &str, status: ScheduleStatus) -> Result<()> {
        if let Some(file) = self.file(function, "status") {
            std::fs::write(file, status.to_json().to_string())?;
        } else {
            self.statuses.lock().unwrap().insert(function.to_owned(), status);
        }
        Ok(())
    }

    /// Waits for the right to run the schedule of `function`: of the hosts over one folder, one has it.
    async fn lock(&self, function: &str) -> Result<Option<File>> {
        let Some(path) = self.file(function, "lock") else { return Ok(None) };
        let file = File::create(path)?;
        while file.try_lock().is_err() {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        Ok(Some(file))
    }
}

impl Inner {
    /// Calls a timer function; `input` is what an operator gave who runs it through the admin API.
    pub(super) async fn fire(
        &self,
        function: &Function,
        fire: TimerFire,
        reason: String,
        input: Option<&str>,
    ) -> Invocation {
        let status = fire.schedule_status.map_or(Value::Null, |status| status.to_json());
        let value = json!({
            "Schedule": {"AdjustForDST": true}, "ScheduleStatus": status, "IsPastDue": fire.is_past_due,
        });
        let mut call = Call::new(&function.input, value, reason);
        if let Some(input) = input {
            // Seen: only a run through the admin API has the binding among its metadata.
            call.bind(&function.input, json!(input));
        }
        self.invoke(function, call).await
    }

    /// Runs the schedule of one timer function until dropped. It never overlaps itself.
    pub(super) async fn run_schedule(self: Arc<Self>, function: Function) {
        if let Err(error) = self.schedule(&function).await {
            self.output.host(Level::Error, format!("The timer of '{}' ended: {error:#}", function.name));
        }
    }

    async fn schedule(&self, function: &Function) -> Result<()> {
        let Trigger::Timer { schedule, run_on_startup, monitored } = &function.trigger else { return Ok(()) };
        let name = &function.name;
        let _lock = self.timers.lock(name).await?;
        let stored = self.timers.get(name).filter(|_| *monitored);
        let (mut status, past_due) = resume(stored, schedule, Utc::now());
        if *monitored {
            self.timers.set(name, status.clone())?;
        }
        let mut unscheduled = if past_due {
            self.output.host(
                Level::Information,
                format!("Function '{name}' is past due on startup. Executing now."),
            );
            Some("IsPastDue")
        } else {
            run_on_startup.then_some("RunOnStartup")
        };
        loop {
            let cause = unscheduled.take();
            if cause.is_none() {
                let pause = (status.next - Utc::now()).to_std().unwrap_or_default();
                // tokio's timers reach about two years, and a pause is cut short for a clock that was set.
                tokio::time::sleep(pause.min(Duration::from_secs(3600))).await;
                if Utc::now() < status.next {
                    continue;
                }
            }
            // A stopped host fires nothing; what it misses is one run, whenever it is back.
            self.worker().listening().await;
            let start = Utc::now();
            let mut reason = format!("Timer fired at {}", print_time(start, "+00:00"));
            if let Some(cause) = cause {
                reason += &format!("; UnscheduledInvocationReason: {cause}");
            }
            let schedule_status = Some(status.clone()).filter(|_| *monitored);
            let fire = TimerFire { is_past_due: cause == Some("IsPastDue"), schedule_status };
            // A failed run is a finished run: the schedule goes on.
            self.fire(function, fire, reason, None).await;
            status = settle(&status, schedule, start, cause.is_none());
            if *monitored {
                self.timers.set(name, status.clone())?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn hourly() -> Schedule {
        Schedule::parse("0 0 * * * *").unwrap()
    }

    #[test]
    fn a_first_start_is_never_past_due() {
        let now = at("2026-11-21T12:30:00Z");
        let (status, past_due) = resume(None, &hourly(), now);
        assert_eq!(
            status,
            ScheduleStatus { last: None, next: at("2026-11-21T13:00:00Z"), last_updated: now }
        );
        assert!(!past_due);
        assert_eq!(status.to_json()["Last"], "0001-01-01T00:00:00+00:00");
        assert_eq!(ScheduleStatus::from_json(&status.to_json()), Some(status));
    }

    #[test]
    fn a_missed_run_is_made_up_for_once() {
        let last = at("2026-11-21T12:00:00.01Z");
        let stored =
            ScheduleStatus { last: Some(last), next: at("2026-11-21T13:00:00Z"), last_updated: last };
        assert!(!resume(Some(stored.clone()), &hourly(), at("2026-11-21T12:59:00Z")).1);
        let start = at("2026-11-21T16:30:00Z");
        let (status, past_due) = resume(Some(stored.clone()), &hourly(), start);
        assert!(past_due);
        assert_eq!(settle(&status, &hourly(), start, false).next, at("2026-11-21T17:00:00Z"));
    }

    #[test]
    fn an_edited_schedule_swallows_missed_runs() {
        let last = at("2026-11-21T12:00:00Z");
        let stored =
            ScheduleStatus { last: Some(last), next: at("2026-11-21T12:15:00Z"), last_updated: last };
        let (status, past_due) = resume(Some(stored), &hourly(), at("2026-11-21T16:30:00Z"));
        assert_eq!((status.last, status.next, past_due), (None, at("2026-11-21T17:00:00Z"), false));
    }

    #[test]
    fn a_long_run_is_followed_by_one_catch_up_and_an_early_one_by_none() {
        let before = ScheduleStatus {
            last: None,
            next: at("2026-11-21T13:00:00Z"),
            last_updated: at("2026-11-21T12:00:00Z"),
        };
        let after = settle(&before, &hourly(), at("2026-11-21T13:00:00.02Z"), true);
        assert_eq!(after.next, at("2026-11-21T14:00:00Z"));
        let early = settle(&before, &hourly(), at("2026-11-21T12:59:59.99Z"), true);
        assert_eq!((early.last, early.next), (Some(before.next), at("2026-11-21T14:00:00Z")));
    }
}
