//! The shape of the log: JSON lines on stdout, because the Functions host marks whatever comes on stderr as an
//! error and adds no ids of its own.

use std::io::{IsTerminal, Write};

use serde::Serialize;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::domain::report::Report;

/// Starts logging for the server: JSON lines on stdout. `level` is `LOG_LEVEL`'s, if it is set to one.
pub fn start_server(level: Option<LevelFilter>) {
    tracing_subscriber::registry()
        .with(filter(level.unwrap_or(LevelFilter::INFO)))
        .with(
            fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(true)
                // When stdout is gone nothing can be told.
                .log_internal_errors(false)
                .with_writer(std::io::stdout),
        )
        .init();
}

/// Starts logging for a person at a terminal: short lines on stderr. Where stdout is not a terminal, its
/// reader gets the server's lines instead, unless the command `prints` something else there. True when a person
/// is watching.
pub fn start_command(level: Option<LevelFilter>, prints: bool, colored: bool) -> bool {
    if !prints && !std::io::stdout().is_terminal() {
        start_server(level);
        return false;
    }
    tracing_subscriber::registry()
        .with(filter(level.unwrap_or(LevelFilter::WARN)))
        .with(
            fmt::layer()
                .without_time()
                .with_target(false)
                .with_ansi(colored && std::io::stderr().is_terminal())
                .log_internal_errors(false)
                .with_writer(|| OverBar(std::io::stderr().lock())),
        )
        .init();
    true
}

/// Standard error where a progress bar may stand on the line: it is wiped first, and drawn again soon after.
struct OverBar(std::io::StderrLock<'static>);

impl Write for OverBar {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        if self.0.is_terminal() {
            self.0.write_all(b"\r\x1b[2K")?;
        }
        // The subscriber escapes control characters, and leaves those that turn the direction of writing.
        match std::str::from_utf8(line).map(|text| text.replace(turns, "\u{fffd}")) {
            Ok(text) => self.0.write_all(text.as_bytes())?,
            Err(_) => self.0.write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Whether a character makes a terminal write in another direction, so that a line reads as something else.
fn turns(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What is logged at `level`: never the chatter of the libraries below us, which may hold URLs with signatures.
pub fn filter(level: LevelFilter) -> Targets {
    let quiet = ["azure_core", "azure_identity", "typespec_client_core", "hyper_util", "reqwest"];
    Targets::new()
        .with_default(level)
        .with_targets(quiet.map(|library| (library, level.min(LevelFilter::WARN))))
}

/// The last log line of a pass: its report, at the top level of a JSON line. Alerts read this line, so no log
/// level hides it.
pub fn pass_ended(report: &Report, invocation_id: Option<&str>) {
    #[derive(Serialize)]
    struct Line<'a> {
        event: &'static str,
        level: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        invocation_id: Option<&'a str>,
        #[serde(flatten)]
        report: &'a Report,
    }
    let level = if report.end.is_failure() { "ERROR" } else { "INFO" };
    let line = Line { event: "pass_ended", level, invocation_id, report };
    let mut line = serde_json::to_vec(&line).expect("our own types are JSON");
    line.push(b'\n');
    // There is no reader left when stdout is gone.
    let _ = std::io::stdout().lock().write_all(&line);
}
