//! The command line's grammar and its help.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::{
    domain::request::{LOOKBACK_DAYS, RunOptions},
    settings::table::SECTIONS,
};

/// Keeps Microsoft Sentinel and Defender for Endpoint supplied with indicators from Mandiant Advantage or Google Threat
/// Intelligence.
///
/// Without a command it serves the Azure Functions host. The commands below do the same work from a terminal,
/// on the same state.
#[derive(Parser)]
#[command(
    name = "mati-sync",
    version,
    after_help = EXAMPLES,
    after_long_help = long_help(),
    max_term_width = 100,
    subcommand_help_heading = "Commands",
)]
pub struct Arguments {
    /// A file like local.settings.json; its `Values` serve where the environment has none.
    #[arg(long, value_name = "FILE", global = true)]
    pub settings: Option<PathBuf>,
    #[command(flatten)]
    pub output: Output,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// How results are shown.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// Print the result as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Print failures alone.
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Log every step on standard error, as LOG_LEVEL=debug does.
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// When to use colors; auto: on a terminal, unless NO_COLOR is set.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Color::Auto, global = true)]
    pub color: Color,
}

#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

/// No line is longer than 80 columns: where it is wrapped, an explanation looks like a command.
const EXAMPLES: &str = "\
Examples:
  mati-sync --settings FILE sync            one pass, now
  mati-sync --settings FILE sync --dry-run  what would be sent, and why not more
  mati-sync sync --lookback-days 7          read the last week again
  mati-sync check                           whether everything can be reached
  mati-sync status                          how far each lane is
  mati-sync compare --with gti              what another source would change
  mati-sync audit                           whether what was sent is there
  mati-sync explain 203.0.113.7             why a value is sent or is not
  mati-sync cost                            rows and gigabytes a month
  MINIMUM_CONFIDENCE=60 mati-sync cost      the same under another setting
  mati-sync exclusions test 203.0.113.7     which list excludes a value
  mati-sync state export > manifest.jsonl   what a lane knows of each indicator
  mati-sync settings --from older.env       an older product's settings as ours

Exit status:
  sync             0 caught up; 3 paused, skipped or fenced; 1 stalled or failed
  check            0 nothing failed; 1 something failed
  audit            0 nothing is amiss, or all was repaired; 1 something is
  compare          0 both sources were read; 1 one of them could not be
  explain          0 whatever the answer is; 1 something was not found out
  exclusions test  0 something excludes it; 1 nothing does; 2 not found out
  status           0 all is well, or no pass yet; 1 something is wrong";

/// The examples, and the settings' names by their groups.
fn long_help() -> String {
    let mut text =
        format!("{EXAMPLES}\n\nSettings, from the environment or the file of --settings (docs/settings.md):");
    for section in SECTIONS {
        text.push_str(&format!("\n  {}:\n    ", section.title));
        for (place, setting) in section.settings.iter().enumerate() {
            let width = text.rsplit('\n').next().map_or(0, str::len);
            text.push_str(match place {
                0 => "",
                _ if width + 2 + setting.name.len() > 78 => ",\n    ",
                _ => ", ",
            });
            text.push_str(setting.name);
        }
    }
    text
}

/// A value that is asked about.
fn named(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if text.is_empty() { Err("it is empty") } else { Ok(text.to_owned()) }
}

#[derive(Subcommand)]
pub enum Command {
    /// Runs one pass: reads what is new, uploads what changed.
    Sync(SyncArguments),
    /// Reads every setting and tries every connection; says what to do where one fails.
    Check {
        /// Show that Sentinel takes uploads: upload one harmless indicator and expire it at once.
        #[arg(long)]
        canary: bool,
    },
    /// Shows how far each lane is, and the newest passes; exits with 1 if something is wrong.
    Status,
    /// Compares the source with another one before it takes its place: reads both, sends nothing, keeps the result.
    Compare {
        /// The other source.
        #[arg(long, value_name = "SOURCE", value_parser = ["gti", "mandiant"])]
        with: String,
        /// How many days are read of each (1–7).
        #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=7))]
        days: u32,
    },
    /// Compares what the destinations hold from our source with what was sent: finds what is missing, changed by others,
    /// unknown or ended before its time; exits with 1 if any is and was not repaired.
    Audit {
        /// Send again what is missing or changed and still wanted, and adopt what is unknown, within the limits of a pass.
        #[arg(long)]
        repair: bool,
    },
    /// Explains a value: what the source says, what was decided by which numbers, where it is held, and what comes next.
    Explain {
        /// An address, a host name, a URL, a digest of a file, or an id; also defanged.
        #[arg(value_parser = named)]
        value: String,
    },
    /// Shows how many rows were sent and what a month makes, by cause; under changed settings by a dry run.
    Cost,
    /// Looks into the lists of what is never sent.
    #[command(subcommand)]
    Exclusions(ExclusionsCommand),
    /// Looks into the stored state.
    #[command(subcommand)]
    State(StateCommand),
    /// Prints another product's or an older settings file as ours, without its secrets.
    Settings {
        /// A file of NAME=value lines, or a JSON file with `Values`.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
    },
    /// Prints what a shell needs to complete commands and options.
    Completions {
        /// The shell that the script is for.
        shell: Shell,
    },
    /// Prints the manual page, or that of a command, for `man -l -`.
    Man {
        /// The command that the page is about; the whole program if none is given.
        command: Option<String>,
    },
}

#[derive(Args)]
pub struct SyncArguments {
    /// Read, decide and count; upload nothing and write nothing but the report.
    #[arg(long)]
    dry_run: bool,
    /// Read again from so many days ago (1–89), beside the watermark, which does not move back.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(i64::from(*LOOKBACK_DAYS.start())..=i64::from(*LOOKBACK_DAYS.end())))]
    lookback_days: Option<u32>,
    /// Upload again everything still wanted in the lookback; damaged state is left behind.
    #[arg(long)]
    rebuild: bool,
    /// Send the records again that the destination rejected.
    #[arg(long)]
    retry_rejected: bool,
    /// Retract what waits for confirmation, however much it is.
    #[arg(long)]
    confirm_retraction: bool,
    /// Create what waits for confirmation because it is more than a lane creates unasked.
    #[arg(long)]
    confirm_creation: bool,
    /// Run only this destination; may be given more than once.
    #[arg(long = "destination", value_name = "NAME")]
    destinations: Vec<String>,
}

#[derive(Subcommand)]
pub enum ExclusionsCommand {
    /// Names the list and the line that exclude a value; exits with 1 if nothing does, with 2 if that could not be found out.
    Test {
        /// An address, a host name, a URL or a digest; also defanged.
        #[arg(value_parser = named)]
        value: String,
    },
}

#[derive(Subcommand)]
pub enum StateCommand {
    /// Prints the manifest as JSON lines: one for each indicator that the lane knows, in whatever state it is there.
    Export {
        /// The destination whose lane is meant.
        #[arg(long, value_name = "NAME", default_value = "sentinel")]
        destination: String,
    },
}

impl Command {
    /// The exit code where the settings cannot be used.
    pub fn fault(&self) -> ExitCode {
        match self {
            Self::Exclusions(_) => ExitCode::from(super::exclusions::UNANSWERED),
            _ => ExitCode::FAILURE,
        }
    }

    /// Whether stdout is for the command's result, which no log line may interrupt. What a pass comes to is in
    /// its log, unless it is asked for as JSON.
    pub fn prints(&self, output: Output) -> bool {
        output.json || output.quiet || !matches!(self, Self::Sync(_))
    }
}

impl From<SyncArguments> for RunOptions {
    fn from(arguments: SyncArguments) -> Self {
        Self {
            dry_run: arguments.dry_run,
            lookback_days: arguments.lookback_days,
            rebuild: arguments.rebuild,
            retry_rejected: arguments.retry_rejected,
            confirm_retraction: arguments.confirm_retraction,
            confirm_creation: arguments.confirm_creation,
            destinations: Some(arguments.destinations).filter(|names| !names.is_empty()),
        }
    }
}
