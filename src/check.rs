//! Tries every connection without changing anything that counts, and says what to do where one fails.
//!
//! One list of checks, for the command `mati-sync check` and for `GET /api/status?check=true` alike. They run side by
//! side, each to its own end: one that fails or hangs keeps no other from being made.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt;
use serde::Serialize;

use crate::{
    clock::{Deadline, OutOfTime},
    domain::{
        problem::Problem,
        schedule::{self, Schedule},
    },
    http::{error::seconds, probe::Probe, retry::RetryError},
    pass::Engine,
    settings::Faults,
    state::{error::StateError, store::Store},
};

/// Each check has so long.
const LIMIT: Duration = Duration::from_secs(30);

/// What came of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked.
    pub check: String,
    pub ok: bool,
    /// What was tried.
    pub tried: String,
    /// What it showed; of a failure, what to do.
    pub result: String,
}

/// Makes every check there is with these settings; `schedule` is `SYNC_CRON`.
pub async fn run(engine: &Engine, schedule: Option<&str>) -> Vec<Finding> {
    let settings = Finding {
        check: "settings".to_owned(),
        ok: true,
        tried: "every setting was read".to_owned(),
        result: "all are understood".to_owned(),
    };
    let deadline = Deadline::after(LIMIT);
    let mut probes: Vec<Probe<'_>> =
        schedule.into_iter().map(|text| timer_probe(text, engine.clock.now())).collect();
    probes.extend(engine.source.probes(&deadline));
    probes.extend(engine.lanes.iter().flat_map(|lane| lane.destination.probes(&deadline)));
    probes.extend([state_probe(engine), lease_probe(engine)]);
    let findings = futures::future::join_all(probes.into_iter().map(attempt)).await;
    std::iter::once(settings).chain(findings).collect()
}

async fn attempt(Probe { name, tried, attempt }: Probe<'_>) -> Finding {
    let outcome = tokio::time::timeout(LIMIT, attempt).await;
    let outcome = outcome.unwrap_or_else(|_| Err(OutOfTime::default().into()));
    let ok = outcome.is_ok();
    let result = outcome.unwrap_or_else(|failed| match failed {
        RetryError::GaveUp(Problem { message, role: Some(role) }) => {
            format!("{message}. {}", role.assignment())
        }
        RetryError::GaveUp(Problem { message, role: None }) => message,
        RetryError::OutOfTime(OutOfTime { last_error }) => last_error.unwrap_or_else(unanswered),
    });
    Finding { check: name, ok, tried: one_line(&tried), result: one_line(&result) }
}

/// What can be said where the settings cannot be used: nothing can be tried with them.
pub fn faulty(faults: &Faults) -> Vec<Finding> {
    let fault = |fault: &crate::settings::Fault| Finding {
        check: "settings".to_owned(),
        ok: false,
        tried: format!("{} was read", fault.setting),
        result: one_line(&format!("{fault}; until then no connection is tried")),
    };
    faults.0.iter().map(fault).collect()
}

/// What can be said of `SYNC_CRON` where the settings cannot be used or it is not among them, if it keeps the host's
/// timer from firing.
pub fn timer(setting: Option<&str>) -> Option<Finding> {
    let tried = "SYNC_CRON was read".to_owned();
    let finding =
        |fault: String| Finding { check: "schedule".to_owned(), ok: false, tried, result: one_line(&fault) };
    schedule::fault(setting).map(finding)
}

fn timer_probe(text: &str, now: DateTime<Utc>) -> Probe<'static> {
    let tried = format!("SYNC_CRON, {text:?}, was read");
    let next = next_time(text, now).map_err(|fault| RetryError::GaveUp(fault.into()));
    Probe { name: "schedule".to_owned(), tried, attempt: std::future::ready(next).boxed() }
}

fn next_time(text: &str, now: DateTime<Utc>) -> Result<String, String> {
    if let Some(fault) = schedule::fault(Some(text)) {
        return Err(fault);
    }
    match Schedule::parse(text).and_then(|schedule| schedule.next_after(now)) {
        Some(next) => Ok(format!("the timer fires next at {}", next.format("%Y-%m-%d %H:%M:%S UTC"))),
        None => Ok("it is an interval, which the host takes on an App Service plan alone".to_owned()),
    }
}

fn state_probe(engine: &Engine) -> Probe<'_> {
    let attempt = async {
        let store = open(engine)?;
        store.prepare().await.map_err(failed)?;
        store.probe(&engine.new_run_id()).await.map_err(failed)?;
        Ok(format!("{} gave back what was written", store.place()))
    };
    let tried = "an object of no use was written, read back and deleted".to_owned();
    Probe { name: "state".to_owned(), tried, attempt: attempt.boxed() }
}

fn lease_probe(engine: &Engine) -> Probe<'_> {
    let attempt = async {
        let store = open(engine)?;
        store.prepare().await.map_err(failed)?;
        Ok(match store.probe_lease("check").await.map_err(failed)? {
            None => "it was free".to_owned(),
            Some(holder) => format!("a pass is at work and holds it: {holder}"),
        })
    };
    let tried = "the right to write was asked for and given back".to_owned();
    Probe { name: "lease".to_owned(), tried, attempt: attempt.boxed() }
}

fn open(engine: &Engine) -> Result<Store, RetryError<Problem>> {
    (engine.open_store)().map_err(failed)
}

fn failed(error: StateError) -> RetryError<Problem> {
    RetryError::GaveUp(error.problem())
}

fn unanswered() -> String {
    format!(
        "no answer within {}; check that a firewall lets the app out to it, and whether another check says why",
        seconds(&LIMIT)
    )
}

/// Without line breaks and anything else that a terminal would act on.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace(char::is_control, "\u{fffd}")
}
