//! The operator's tool: the same passes and the same state, from a terminal.

mod arguments;
mod audit;
mod compare;
pub mod cost;
mod exclusions;
mod explain;
pub mod out;
mod show;
mod watch;

use std::{
    io::{IsTerminal, Write},
    path::Path,
    process::ExitCode,
};

use clap::CommandFactory;
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;

pub use self::arguments::{Arguments, Color, Command, Output};
use self::{
    arguments::{ExclusionsCommand, StateCommand},
    show::Style,
};
use crate::{
    check::{self, Finding, Scope, Verdict},
    clock::Deadline,
    domain::{
        entry::{Handle, Known},
        observable::Key,
        outcome::End,
        report::Report,
        request::RunOptions,
    },
    pass::{Engine, StateError, Work},
    settings::{Faults, older},
};

/// What a command works with besides the engine.
pub struct Circumstances<'a> {
    pub output: Output,
    /// Of the terminal: whether colors are wanted and possible.
    pub colored: bool,
    /// `SYNC_CRON`.
    pub schedule: Option<&'a str>,
    /// The user's price for a gigabyte of rows.
    pub price_per_gb: Option<f64>,
    /// Warnings about the settings.
    pub notices: &'a [String],
}

/// Prints what needs neither settings nor state; `None` where the command is another.
pub fn at_once(command: &Command) -> Option<ExitCode> {
    match command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "mati-sync", &mut script);
            out::bytes(&script);
        }
        Command::Man { command } => return Some(manual(command.as_deref())),
        Command::Settings { from } => return Some(carry_over(from)),
        Command::Sync(_)
        | Command::Check { .. }
        | Command::Cost
        | Command::Status
        | Command::Compare { .. }
        | Command::Audit { .. }
        | Command::Explain { .. }
        | Command::Exclusions(_)
        | Command::State(_) => return None,
    }
    Some(ExitCode::SUCCESS)
}

/// Prints the manual page of the program or of one of its commands.
fn manual(command: Option<&str>) -> ExitCode {
    let mut program = Arguments::command();
    // Gives the commands the options that all of them share, and their full names.
    program.build();
    let shown = match command {
        None => Some(&program),
        Some(name) => program.find_subcommand(name),
    };
    let Some(shown) = shown else {
        let names: Vec<&str> = program.get_subcommands().map(clap::Command::get_name).collect();
        let name = command.unwrap_or_default();
        return failure(&format!("there is no command {name:?}; the commands are {}", names.join(", ")));
    };
    let mut page = Vec::new();
    match clap_mangen::Man::new(shown.clone()).render(&mut page) {
        Ok(()) => {
            out::bytes(&page);
            ExitCode::SUCCESS
        }
        Err(error) => failure(&format!("the manual page cannot be written: {error}")),
    }
}

/// Prints the help, for an operator who calls the program without arguments.
pub fn help() -> ExitCode {
    out::print(&Arguments::command().render_help().to_string());
    ExitCode::SUCCESS
}

fn carry_over(from: &Path) -> ExitCode {
    match older::carried(from) {
        Err(problem) => failure(&problem),
        Ok(carried) => {
            out::print(&format!("{}\n", out::json(&carried.as_file())));
            carried.notes.iter().for_each(|note| out::tell(note));
            ExitCode::SUCCESS
        }
    }
}

/// Runs a command.
pub async fn run(
    command: Command,
    engine: &Engine,
    circumstances: &Circumstances<'_>,
    stop: Receiver<bool>,
) -> ExitCode {
    let output = circumstances.output;
    let outcome = match command {
        Command::Check { canary } => return checked(engine, circumstances, canary).await,
        Command::Sync(arguments) => return sync(arguments.into(), engine, output, stop).await,
        Command::Status => status(engine, circumstances).await,
        Command::Compare { with, days } => return compare::run(&with, days, engine, output, stop).await,
        Command::Audit { repair } => return audit::run(repair, engine, output, stop).await,
        Command::Explain { value } => {
            return explain::explain(&value, engine, output, &Deadline::unlimited(stop)).await;
        }
        Command::Cost => cost_of(engine, circumstances, stop).await,
        Command::Exclusions(ExclusionsCommand::Test { value }) => {
            return exclusions::test(&value, engine, output).await;
        }
        Command::State(StateCommand::Export { destination }) => export(engine, &destination).await,
        Command::Settings { .. } | Command::Completions { .. } | Command::Man { .. } => Ok(ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| failure(&error.to_string()))
}

/// Says what cannot be used of the settings, as each command does.
pub fn faulty(command: &Command, faults: &Faults, circumstances: &Circumstances<'_>) -> ExitCode {
    if matches!(command, Command::Check { .. }) {
        let findings = check::faulty(faults);
        let style = Style::of(circumstances);
        if !circumstances.output.json {
            findings.iter().for_each(|finding| out::colored(&show::finding(finding, &style)));
        }
        return concluded(&findings, circumstances);
    }
    faults.0.iter().for_each(|fault| out::tell(&fault.to_string()));
    command.fault()
}

/// Makes every check; each line appears when its check is made.
async fn checked(engine: &Engine, circumstances: &Circumstances<'_>, canary: bool) -> ExitCode {
    let Circumstances { output, schedule, notices, .. } = *circumstances;
    let style = Style::of(circumstances);
    let shown = |finding: &Finding| {
        let is_wanted = !output.quiet || finding.verdict == Verdict::Failed;
        if is_wanted && !output.json {
            out::colored(&show::finding(finding, &style));
        }
    };
    let findings = check::run_each(engine, Scope { schedule, notices, canary }, shown).await;
    concluded(&findings, circumstances)
}

fn concluded(findings: &[Finding], circumstances: &Circumstances<'_>) -> ExitCode {
    let ok = findings.iter().all(|finding| finding.ok);
    if circumstances.output.json {
        let probe = |finding: &Finding| {
            json!({
                "name": finding.check,
                "result": finding.verdict,
                "detail": format!("{}; {}", finding.tried, finding.result),
                "cure": finding.cure,
            })
        };
        let probes: Vec<Value> = findings.iter().map(probe).collect();
        out::print(&format!("{}\n", out::json(&json!({ "ok": ok, "probes": probes }))));
    } else if Style::of(circumstances).is_for_people && !circumstances.output.quiet {
        out::print(&format!("{}\n", check::headline(findings)));
    }
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Tells a person what went wrong.
pub fn failure(reason: &str) -> ExitCode {
    out::tell(reason);
    ExitCode::FAILURE
}

async fn sync(order: RunOptions, engine: &Engine, output: Output, stop: Receiver<bool>) -> ExitCode {
    if let Err(problem) = order.check(&engine.lane_names(), "--destination") {
        return failure(&problem);
    }
    // A command has no time limit; Ctrl-C pauses it.
    let deadline = Deadline::unlimited(stop);
    let pass = engine.run(Work::Command(order), None, &deadline);
    let ended = if output.quiet { pass.await } else { watch::watched(engine, pass).await };
    for report in &ended.reports {
        if output.json {
            // One line each: a pass may be followed by requests that waited.
            out::print(&format!("{}\n", out::escaped(&json!(report).to_string())));
        } else if output.quiet {
            if report.end.is_failure() {
                out::tell(&report.message);
            }
        } else if std::io::stdout().is_terminal() {
            out::print(&show::report(report));
        } else {
            out::to_stderr(&show::report(report));
        }
    }
    exit_code(&ended.reports)
}

fn exit_code(reports: &[Report]) -> ExitCode {
    match reports.iter().map(|report| report.end).max() {
        None | Some(End::CaughtUp) => ExitCode::SUCCESS,
        Some(End::Paused | End::Skipped | End::Fenced) => ExitCode::from(3),
        Some(End::Stalled | End::Failed) => ExitCode::FAILURE,
    }
}

async fn status(engine: &Engine, circumstances: &Circumstances<'_>) -> Result<ExitCode, StateError> {
    let Circumstances { output, schedule, .. } = *circumstances;
    let overview = engine.overview().await?;
    let complaints = overview.complaints(schedule);
    if output.json {
        out::print(&format!("{}\n", out::json(&overview.body(schedule, false))));
    } else if output.quiet {
        complaints.iter().for_each(|complaint| out::tell(complaint));
    } else {
        out::print(&show::overview(&overview));
        complaints.iter().for_each(|complaint| out::print(&format!("wrong: {complaint}\n")));
    }
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn cost_of(
    engine: &Engine,
    circumstances: &Circumstances<'_>,
    stop: Receiver<bool>,
) -> Result<ExitCode, StateError> {
    let cost = engine.cost(&Deadline::unlimited(stop)).await?;
    let price = circumstances.price_per_gb;
    if circumstances.output.json {
        out::print(&format!("{}\n", out::json(&cost::body(&cost, price))));
    } else {
        out::print(&cost::text(&cost, price));
    }
    Ok(ExitCode::SUCCESS)
}

async fn export(engine: &Engine, lane: &str) -> Result<ExitCode, StateError> {
    if !engine.lane_names().contains(&lane) {
        return Err(StateError::rejected(format!(
            "there is no destination {lane:?}; TARGET_APPLICATION configures: {}",
            engine.lane_names().join(", ")
        )));
    }
    let manifest = engine.manifest(lane).await?;
    let mut lines = std::io::BufWriter::new(std::io::stdout().lock());
    for known in manifest.known() {
        // A reader may close early, as `head` does.
        if writeln!(lines, "{}", export_line(&known)).is_err() {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn export_line(Known { entry, handle }: &Known) -> serde_json::Value {
    json!({
        "id": entry.key.stix_id(),
        "type": entry.indicator_type(),
        "state": entry.state().to_string(),
        "known_as": handle.map(|handle| match handle {
            Handle::Foreign(id) => Key(id).stix_id(),
            Handle::Numbered { id, .. } => id.to_string(),
        }),
        "valid_until": entry.valid_until(),
        "fingerprint": format!("{:016x}", entry.fingerprint.0),
    })
}
