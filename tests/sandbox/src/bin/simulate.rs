//! `cargo simulate`: the simulation of `tests/it/simulation.rs` with other seeds than an ordinary test run, or the
//! kills of `tests/it/process/kill.rs` with one seed.

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
    /// Instead of the simulation, replay the kills of this seed on the real executable.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "seed"])]
    kill: Option<u64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut test = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    test.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    // Not quiet: the first build of the tests takes minutes. The packages are those that `cargo test` takes, so that the
    // dependencies are compiled once.
    test.args(["test", "--test", "it", "--"]);
    let (name, variable, value) = match (arguments.kill, arguments.seed) {
        (Some(seed), _) => ("process::kill::sixty_kills_lose_nothing", "MATI_SYNC_KILL_SEED", seed),
        (None, Some(seed)) => ("simulation::nothing_is_lost_whatever_happens", "MATI_SYNC_SEED", seed),
        (None, None) => ("simulation::nothing_is_lost_whatever_happens", "MATI_SYNC_SEEDS", arguments.seeds),
    };
    test.args(["--exact", name, "--nocapture"]).env(variable, value.to_string());
    match test.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo did not start: {error}");
            ExitCode::FAILURE
        }
    }
}
