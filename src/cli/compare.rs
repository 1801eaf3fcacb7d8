//! `mati-sync compare`: what another source would bring instead of the one of the settings.

use std::process::ExitCode;

use chrono::TimeDelta;
use serde_json::json;
use tokio::sync::watch::Receiver;

use super::{Output, out};
use crate::{clock::Deadline, pass::Engine};

/// Compares the last `days` of both sources, and says what came of it.
pub async fn run(with: &str, days: u32, engine: &Engine, output: Output, stop: Receiver<bool>) -> ExitCode {
    let deadline = Deadline::unlimited(stop);
    let comparison = match engine.compare(with, TimeDelta::days(days.into()), &deadline).await {
        Ok(comparison) => comparison,
        Err(error) => return super::failure(&error.to_string()),
    };
    if output.json {
        out::print(&format!("{}\n", out::json(&json!(comparison))));
    } else if !output.quiet {
        comparison.sentences().iter().for_each(|sentence| out::print(&format!("{sentence}\n")));
    }
    ExitCode::SUCCESS
}
