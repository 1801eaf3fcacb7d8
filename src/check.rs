//! Tries every connection without changing anything that counts, and says what to do where one fails.
//!
//! One list of checks, for the command `mati-sync check` and for `GET /api/status?check=true` alike. They run side by
//! side, each to its own end: one that fails or hangs keeps no other from being made.

mod outlets;

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::{StreamExt, stream::FuturesUnordered};
use serde::Serialize;

use crate::{
    clock::{Deadline, OutOfTime},
    domain::{
        exclusions::{ListSize, VITAL},
        expiry::Lapse,
        problem::Problem,
        progress::Progress,
        rows::{counted, grouped},
        schedule::{self, Schedule},
        tally::Tally,
    },
    http::{error::seconds, probe::Probe, retry::RetryError},
    pass::{Engine, Lane, LaneCost, ListError},
    settings::Faults,
    state::{error::StateError, store::Store},
};

/// Each check has so long.
const LIMIT: Duration = Duration::from_secs(30);

/// The check of the state.
const STATE: &str = "state";

/// What came of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked.
    pub check: String,
    /// It did not fail.
    pub ok: bool,
    pub verdict: Verdict,
    /// What was tried.
    pub tried: String,
    /// What it showed; of a failure, what to do.
    pub result: String,
    /// What mends a failure, where that can be told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

/// Whether a check showed what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Ok,
    Failed,
    /// It cannot be shown without changing something.
    Unproven,
}

impl Finding {
    fn new(check: &str, verdict: Verdict, tried: &str, result: &str) -> Self {
        let (tried, result) = (one_line(tried), one_line(result));
        let cure = (verdict == Verdict::Failed).then(|| cure(&result)).flatten();
        let ok = verdict != Verdict::Failed;
        Self { check: check.to_owned(), ok, verdict, tried, result, cure }
    }
}

/// What to do, in a message that says what happened first.
fn cure(message: &str) -> Option<String> {
    const BEGINNINGS: [&str; 12] = [
        "; check ",
        "; set ",
        "; run ",
        "; look ",
        "; remove ",
        "; accepted",
        "; did you mean",
        "; the app's identity needs",
        ": check ",
        ": look ",
        ": set ",
        ": make ",
    ];
    let first = BEGINNINGS.iter().filter_map(|beginning| message.find(beginning)).min()?;
    Some(message[first..].trim_start_matches([';', ':', ' ']).to_owned())
}

/// What all checks together show, and no more than that.
pub fn headline(findings: &[Finding]) -> String {
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (failed, unproven) = (count(Verdict::Failed), count(Verdict::Unproven));
    let tried = findings.len() - unproven;
    let begin = match failed {
        0 => format!("all {tried} checks are well"),
        _ => format!("{failed} of {tried} checks failed"),
    };
    match unproven {
        0 => begin,
        _ => format!("{begin}, and {unproven} could not be proven"),
    }
}

/// What is to be checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope<'a> {
    /// `SYNC_CRON`.
    pub schedule: Option<&'a str>,
    /// Warnings about the settings.
    pub notices: &'a [String],
    /// Sentinel's uploads are shown by one.
    pub canary: bool,
}

/// Makes every check there is with these settings; `schedule` is `SYNC_CRON`.
pub async fn run(engine: &Engine, schedule: Option<&str>) -> Vec<Finding> {
    run_each(engine, Scope { schedule, ..Scope::default() }, |_| ()).await
}

/// The same; `done` hears of each as soon as it is made. What is returned is in the order of the list.
pub async fn run_each(engine: &Engine, scope: Scope<'_>, mut done: impl FnMut(&Finding)) -> Vec<Finding> {
    let result = match scope.notices {
        [] => "all are understood".to_owned(),
        notices => format!("all are understood; warnings: {}", notices.join("; ")),
    };
    let settings = Finding::new("settings", Verdict::Ok, "every setting was read", &result);
    done(&settings);
    let deadline = Deadline::after(LIMIT);
    let mut probes: Vec<Probe<'_>> =
        scope.schedule.into_iter().map(|text| timer_probe(text, engine.clock.now())).collect();
    probes.extend(engine.source.probes(&deadline));
    probes.extend(engine.lanes.iter().flat_map(|lane| lane.destination.probes(&deadline, scope.canary)));
    probes.extend(engine.lanes.iter().filter_map(rules_probe));
    probes.extend([state_probe(engine), lease_probe(engine), lists_probe(engine), change_probe(engine)]);
    probes.extend(outlets::probes(engine));
    let begin = |(place, probe)| async move { (place, attempt(probe).await) };
    let mut attempts: FuturesUnordered<_> = probes.into_iter().enumerate().map(begin).collect();
    let mut findings = Vec::new();
    while let Some((place, finding)) = attempts.next().await {
        done(&finding);
        // What the state says of the lanes is asked where it can be read: one cause is told once.
        if finding.check == STATE && finding.ok {
            let lanes = engine.lanes.iter().map(|lane| renewal_probe(engine, lane));
            let others = lanes.chain([cost_probe(engine)]).enumerate();
            attempts.extend(others.map(|(other, probe)| begin((usize::MAX / 2 + other, probe))));
        }
        findings.push((place, finding));
    }
    findings.sort_by_key(|(place, _)| *place);
    std::iter::once(settings).chain(findings.into_iter().map(|(_, finding)| finding)).collect()
}

async fn attempt(Probe { name, tried, attempt, proves }: Probe<'_>) -> Finding {
    let outcome = tokio::time::timeout(LIMIT, attempt).await;
    let outcome = outcome.unwrap_or_else(|_| Err(OutOfTime::default().into()));
    let (message, role) = match outcome {
        Ok(result) => {
            let verdict = if proves { Verdict::Ok } else { Verdict::Unproven };
            return Finding::new(&name, verdict, &tried, &result);
        }
        Err(RetryError::GaveUp(Problem { message, role })) => (message, role),
        Err(RetryError::OutOfTime(OutOfTime { last_error })) => (last_error.unwrap_or_else(unanswered), None),
    };
    let Some(role) = role else { return Finding::new(&name, Verdict::Failed, &tried, &message) };
    let cure = role.assignment();
    let finding = Finding::new(&name, Verdict::Failed, &tried, &format!("{message}. {cure}"));
    Finding { cure: Some(cure), ..finding }
}

/// What can be said where the settings cannot be used: nothing can be tried with them.
pub fn faulty(faults: &Faults) -> Vec<Finding> {
    let fault = |fault: &crate::settings::Fault| {
        Finding::new("settings", Verdict::Failed, "every setting was read", &fault.to_string())
    };
    let mut findings: Vec<Finding> = faults.0.iter().map(fault).collect();
    if let Some(last) = findings.last_mut() {
        last.result.push_str("; until then no connection is tried");
    }
    findings
}

/// What can be said of `SYNC_CRON` where the settings cannot be used or it is not among them, if it keeps the host's
/// timer from firing.
pub fn timer(setting: Option<&str>) -> Option<Finding> {
    let fault = schedule::fault(setting)?;
    Some(Finding::new("schedule", Verdict::Failed, "SYNC_CRON was read", &fault))
}

fn timer_probe(text: &str, now: DateTime<Utc>) -> Probe<'static> {
    let tried = format!("SYNC_CRON, {text:?}, was read");
    let next = next_time(text, now).map_err(|fault| RetryError::GaveUp(fault.into()));
    Probe::new("schedule", tried, std::future::ready(next))
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
    Probe::new(STATE, tried, attempt)
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
    Probe::new("lease", tried, attempt)
}

/// Says what the lanes send in a month, where somebody pays for it.
fn cost_probe(engine: &Engine) -> Probe<'_> {
    let attempt = async {
        let cost = engine.measured_cost().await.map_err(failed)?;
        let billed = cost.lanes.iter().filter(|(_, lane)| lane.is_billed);
        let lanes = billed.map(|(name, LaneCost { measured, forecast, .. })| {
            let rows = [measured.rows.total(), forecast.rows_per_month, forecast.rows.renewed].map(grouped);
            let [sent, a_month, renew] = rows;
            let sent = match measured.days {
                0 => "nothing yet".to_owned(),
                days => format!("{sent} rows in {}", counted(days, "day")),
            };
            format!("{name} sent {sent}, and a month makes {a_month}, of which {renew} renew")
        });
        let lanes: Vec<String> = lanes.collect();
        Ok(if lanes.is_empty() { "what is sent makes no rows".to_owned() } else { lanes.join("; ") })
    };
    Probe::new("cost", "the sums of the last days were read".to_owned(), attempt)
}

/// What the rules that come with a destination can match of what the settings send there.
fn rules_probe(lane: &Lane) -> Option<Probe<'_>> {
    let destination = &lane.destination;
    let told = destination.blind_spots(&lane.policy, lane.policy.filter.included.ipv6);
    let told = told.unwrap_or_else(|| "at least one of them can match each indicator".to_owned());
    let tried = "the settings were compared with what Microsoft's stock rules read".to_owned();
    let probe = || Probe::new(format!("{} rules", destination.label()), tried, std::future::ready(Ok(told)));
    destination.has_rules().then(probe)
}

/// What a change of settings since the last pass will bring.
fn change_probe(engine: &Engine) -> Probe<'_> {
    let changes = async {
        let (store, now) = ((engine.open_store)()?, engine.clock.now());
        let (mut told, mut is_first) = (Vec::new(), true);
        for lane in &engine.lanes {
            let Some(progress) = store.progress(lane.name).await? else { continue };
            is_first = false;
            told.extend(source_change(engine, lane, &progress));
            if progress.settings_hash != lane.settings_hash {
                let manifest = engine.manifest(lane.name).await?;
                let files = Tally::of(manifest.entries(), now).held.hash;
                told.push(format!(
                    "the settings of {} have changed: the next pass begins to read everything again and sends what differs; where other digests stand for files, each of the {files} files held gives way to its successors, with a row for each; mati-sync sync --dry-run says beforehand what is sent",
                    lane.name
                ));
            }
        }
        Ok::<_, StateError>(match told.as_slice() {
            [] if is_first => "no pass has run yet".to_owned(),
            [] => "nothing has changed".to_owned(),
            told => told.join("; "),
        })
    };
    // That the state cannot be read is another check's to say.
    let attempt = async {
        let unknown = "it cannot be told as long as the state cannot be read";
        Ok(changes.await.unwrap_or_else(|_| unknown.to_owned()))
    };
    Probe::new("changes", "the settings were compared with those of the last pass", attempt)
}

/// What follows if the source is another one since the last pass.
fn source_change(engine: &Engine, lane: &Lane, progress: &Progress) -> Option<String> {
    let (now, before) = (engine.source.name(), progress.source.as_deref()?);
    if now == before {
        return None;
    }
    let (old, new) = (&progress.target, &lane.target);
    // At Defender the name is that of a host.
    if lane.name == "sentinel" && old.place == new.place && old.name != new.name {
        return Some(format!(
            "SOURCE and SOURCE_SYSTEM have both changed: Sentinel keeps indicators apart by SOURCE_SYSTEM, so the lane begins anew as {:?} and sends everything again, and what it sent as {:?} is neither renewed nor retracted; set SOURCE_SYSTEM to {:?} again",
            new.name, old.name, old.name
        ));
    }
    Some(format!(
        "the source of {} is {now} now, and was {before}: the next pass begins where that one stood, at {}",
        lane.name, progress.watermark
    ))
}

/// The lists of what is never sent, with their sizes.
fn lists_probe(engine: &Engine) -> Probe<'_> {
    let attempt = async {
        let lists = engine.lists().await.map_err(|error| match error {
            ListError::State(error) => failed(error),
            unreadable @ ListError::Unreadable(_) => RetryError::GaveUp(unreadable.to_string().into()),
        })?;
        let size = |size: &ListSize| match size.unused {
            0 => format!("{} ({})", size.name, size.entries),
            unused => format!("{} ({}, of which {unused} can equal no indicator)", size.name, size.entries),
        };
        let named: Vec<String> = lists.sizes().iter().map(size).collect();
        let vital = engine.lanes.iter().find(|lane| lane.policy.exclusions.vital);
        let vital = vital.map(|lane| format!("{VITAL} for {}", lane.name));
        let named: Vec<String> = named.into_iter().chain(vital).collect();
        Ok(if named.is_empty() { "there are none".to_owned() } else { named.join(", ") })
    };
    Probe::new("exclusions", "every list of what is never sent was read".to_owned(), attempt)
}

/// Says which slack holds, and when the first indicator would lapse.
fn renewal_probe<'a>(engine: &'a Engine, lane: &'a Lane) -> Probe<'a> {
    let attempt = async {
        let (policy, now) = (&lane.policy.renewal, engine.clock.now());
        let (source, limits) = (engine.source.label(), engine.source.limits());
        if !limits.recalls {
            let days = limits.reach.num_days();
            return Ok(format!(
                "{source} cannot be read again beyond {days} days: what it repeats is renewed, and what it does not repeat ends with its validity"
            ));
        }
        let slack = counted(policy.slack().num_hours().unsigned_abs(), "hour");
        let holds = format!("nothing lapses within {slack} between two good passes (RENEWAL_SLACK)");
        let lapse = engine.first_lapse(lane.name).await.map_err(failed)?;
        Ok(match lapse {
            None => format!("{holds}; nothing is held yet"),
            Some(lapse) => format!("{holds}. {}", Lapse { lapse, now }),
        })
    };
    Probe::new(format!("{} renewal", lane.name), "the lane's manifest was read".to_owned(), attempt)
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
