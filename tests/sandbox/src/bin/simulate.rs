//! `cargo simulate`: the simulation of `tests/it/simulation.rs` with other seeds than an ordinary test run.

use std::{
    env,
    process::{Command, ExitCode},
};

use clap::Parser;

/// Runs the deterministic simulation of the whole program: faults at every boundary, kills, restarts.
#[derive(Parser)]
struct Arguments {
    /// How many seeds, from 0.
    #[arg(long, default_value_t = 300)]
    seeds: u64,
    /// Replay this seed alone.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut test = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    test.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    test.args(["test", "--quiet", "--package", "mati-sync", "--test", "it", "--"]);
    test.args(["--exact", "simulation::nothing_is_lost_whatever_happens", "--nocapture"]);
    match arguments.seed {
        Some(seed) => test.env("MATI_SYNC_SEED", seed.to_string()),
        None => test.env("MATI_SYNC_SEEDS", arguments.seeds.to_string()),
    };
    match test.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo did not start: {error}");
            ExitCode::FAILURE
        }
    }
}
