//! The operator's tool: the same passes and the same state, from a terminal.

mod show;
mod watch;

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};
use serde_json::json;
use tokio::sync::watch::Receiver;

use crate::{
    check::{self, Finding},
    clock::Deadline,
    domain::{
        entry::{Handle, Known, State},
        observable::Key,
        outcome::End,
        report::Report,
        request::{LOOKBACK_DAYS, RunOptions},
    },
    pass::{Engine, StateError, Work},
    settings::Faults,
};

/// Keeps Microsoft Sentinel and Defender for Endpoint supplied with indicators from Mandiant Advantage.
///
/// Without a command it serves the Azure Functions host. The commands below do the same work from a terminal,
/// on the same state.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Arguments {
    /// A file like local.settings.json; its `Values` serve where the environment has none.
    #[arg(long, value_name = "FILE", global = true)]
    pub settings: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  mati-sync --settings local.settings.json sync             one pass, now
  mati-sync --settings local.settings.json sync --dry-run   what would be sent, and why not the rest
  mati-sync sync --lookback-days 7                          read the last week again; duplicates are not sent
  mati-sync check                                           whether everything can be reached, and what to do if not
  mati-sync status                                          how far each lane is, and the newest passes
  mati-sync state export > manifest.jsonl                   every indicator the destination holds from us

Exit status of sync: 0 caught up; 3 paused, skipped or fenced; 1 stalled or failed.
Exit status of check: 0 all is well; 1 something failed.";

#[derive(Subcommand)]
pub enum Command {
    /// Runs one pass: reads what is new, uploads what changed.
    Sync(SyncArguments),
    /// Reads every setting and tries every connection; says what to do where one fails.
    Check,
    /// Shows how far each lane is, and the newest passes.
    Status {
        /// The same object that GET /api/status answers with.
        #[arg(long)]
        json: bool,
    },
    /// Looks into the stored state.
    #[command(subcommand)]
    State(StateCommand),
}

#[derive(Args)]
pub struct SyncArguments {
    /// Read, decide and count; upload nothing and write nothing but the report.
    #[arg(long)]
    dry_run: bool,
    /// Read again from so many days ago (1–89), beside the checkpoint, which does not move back.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(i64::from(*LOOKBACK_DAYS.start())..=i64::from(*LOOKBACK_DAYS.end())))]
    lookback_days: Option<u32>,
    /// Upload again whatever is still wanted in the lookback; damaged state is left behind.
    #[arg(long)]
    rebuild: bool,
    /// Offer the records again that the destination refused.
    #[arg(long)]
    retry_rejected: bool,
    /// Take back what is no longer wanted, however much it is
    #[arg(long)]
    confirm_retraction: bool,
    /// Run only this destination; may be given more than once.
    #[arg(long = "destination", value_name = "NAME")]
    destinations: Vec<String>,
}

#[derive(Subcommand)]
pub enum StateCommand {
    /// Prints the manifest as JSON lines: one for each indicator sent or refused.
    Export {
        #[arg(long, value_name = "NAME", default_value = "sentinel")]
        destination: String,
    },
}

impl Command {
    /// Whether stdout is for the command's result, which no log line may interrupt. What a pass comes to is in
    /// its log.
    pub fn prints(&self) -> bool {
        match self {
            Self::Sync(_) => false,
            Self::Check | Self::Status { .. } | Self::State(_) => true,
        }
    }
}

/// Runs a command; `schedule` is `SYNC_CRON`.
pub async fn run(
    command: Command,
    engine: &Engine,
    schedule: Option<&str>,
    stop: Receiver<bool>,
) -> ExitCode {
    let outcome = match command {
        Command::Check => return findings(&check::run(engine, schedule).await),
        Command::Sync(arguments) => return sync(arguments.into(), engine, stop).await,
        Command::Status { json } => status(engine, json).await,
        Command::State(StateCommand::Export { destination }) => export(engine, &destination).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(&error.to_string()),
    }
}

/// Says what cannot be used of the settings, as each command does.
pub fn faulty(command: &Command, faults: &Faults) -> ExitCode {
    if matches!(command, Command::Check) {
        return findings(&check::faulty(faults));
    }
    for fault in &faults.0 {
        eprintln!("mati-sync: {fault}");
    }
    ExitCode::FAILURE
}

fn findings(findings: &[Finding]) -> ExitCode {
    print!("{}", show::findings(findings));
    if findings.iter().all(|finding| finding.ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Tells a person what went wrong.
pub fn failure(reason: &str) -> ExitCode {
    eprintln!("mati-sync: {reason}");
    ExitCode::FAILURE
}

async fn sync(order: RunOptions, engine: &Engine, stop: Receiver<bool>) -> ExitCode {
    if let Err(problem) = order.check(&engine.lane_names()) {
        return failure(&problem);
    }
    // Nobody cuts a command off; Ctrl-C pauses it.
    let deadline = Deadline::unlimited(stop);
    let ended = watch::watched(engine, engine.run(Work::Command(order), None, &deadline)).await;
    for report in &ended.reports {
        if std::io::stdout().is_terminal() {
            print!("{}", show::report(report));
        } else {
            eprint!("{}", show::report(report));
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

async fn status(engine: &Engine, as_json: bool) -> Result<(), StateError> {
    let overview = engine.overview().await?;
    if as_json {
        println!("{:#}", json!(overview));
    } else {
        print!("{}", show::overview(&overview));
    }
    Ok(())
}

async fn export(engine: &Engine, lane: &str) -> Result<(), StateError> {
    if !engine.lane_names().contains(&lane) {
        return Err(StateError::rejected(format!(
            "there is no destination {lane:?}; TARGET_APPLICATION configures: {}",
            engine.lane_names().join(", ")
        )));
    }
    let mut manifest = engine.manifest(lane).await?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for known in manifest.known() {
        // Whoever reads may close early, as `head` does.
        if writeln!(out, "{}", export_line(&known)).is_err() {
            break;
        }
    }
    Ok(())
}

fn export_line(Known { entry, handle }: &Known) -> serde_json::Value {
    json!({
        "id": entry.key.stix_id(),
        "state": match entry.state() {
            State::Held => "held",
            State::Rejected => "rejected",
            State::UpdateRejected => "update_rejected",
            State::Retracted => "retracted",
            State::RetractionRejected => "retraction_rejected",
            State::Unwanted => "unwanted",
            State::Condemned => "confirmed",
            State::Foreign => "foreign",
            State::Absent => "absent",
        },
        "known_as": handle.map(|handle| match handle {
            Handle::Foreign(id) => Key(id).stix_id(),
            Handle::Numbered { id, .. } => id.to_string(),
        }),
        "valid_until": entry.valid_until(),
        "fingerprint": format!("{:016x}", entry.fingerprint.0),
    })
}

impl From<SyncArguments> for RunOptions {
    fn from(arguments: SyncArguments) -> Self {
        Self {
            dry_run: arguments.dry_run,
            lookback_days: arguments.lookback_days,
            rebuild: arguments.rebuild,
            retry_rejected: arguments.retry_rejected,
            confirm_retraction: arguments.confirm_retraction,
            destinations: Some(arguments.destinations).filter(|names| !names.is_empty()),
        }
    }
}
