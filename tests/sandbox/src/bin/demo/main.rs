//! `cargo demo`: the whole of mati-sync at work on one machine, without an account anywhere.
//!
//! The executable is the real one, under a double of the Functions host; Mandiant, Entra ID, Microsoft Sentinel and
//! Defender for Endpoint are stand-ins. Every number that is told is checked, and a wrong one ends the demo with exit
//! code 1.

mod gti;
mod lanes;
mod records;
mod report;
mod stage;
mod story;

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::Parser;

use lanes::Lane;
use stage::Stage;

/// How often the timer fires once the story is told.
const PERIOD: Duration = Duration::from_secs(60);

/// Shows mati-sync at work: the real executable against stand-ins for Mandiant, Entra ID and Microsoft Sentinel.
#[derive(Parser)]
#[command(name = "cargo demo", bin_name = "cargo demo --")]
struct Arguments {
    /// End after the story instead of serving the status page.
    #[arg(long)]
    once: bool,
    /// Microsoft Defender for Endpoint as a second destination, beside Sentinel.
    #[arg(long)]
    both: bool,
    /// Where the indicators come from: `mandiant`, or `gti` for the change to Google Threat Intelligence.
    #[arg(long, default_value = "mandiant", value_parser = ["mandiant", "gti"])]
    source: String,
    /// Answers recorded from Mandiant's API, instead of generated indicators; not with gti.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "count")]
    records: Vec<PathBuf>,
    /// How many indicators to generate, every seventh odd in some way; not with gti.
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Where to serve the status page; any free port if this one is taken.
    #[arg(long, default_value_t = 7071)]
    port: u16,
    /// Run the unpacked package in this folder, instead of the mati-sync of this checkout.
    #[arg(long, value_name = "FOLDER")]
    app: Option<PathBuf>,
    /// Keep the folder with mati-sync's state and log.
    #[arg(long)]
    keep: bool,
    /// Show mati-sync's log while it runs.
    #[arg(long)]
    verbose: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = tokio::select! {
        outcome = run(&arguments) => outcome,
        // Everything under way is dropped, and with it the processes and folders it holds.
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    let (lanes, destinations) = match arguments.both {
        false => (vec![Lane::Sentinel], " and Microsoft Sentinel"),
        true => (vec![Lane::Sentinel, Lane::Defender], ", Microsoft Sentinel and Defender for Endpoint"),
    };
    let source = match arguments.source.as_str() {
        "gti" => "Mandiant, Google Threat Intelligence",
        _ => "Mandiant",
    };
    println!("mati-sync against stand-ins for {source}, Entra ID{destinations} on this machine\n");
    let began = Instant::now();
    let app = arguments.app.as_deref();
    let mut stage = Stage::set(lanes, app, arguments.port, arguments.keep, arguments.verbose).await?;
    let now = stage.now();
    let told = match (arguments.source.as_str(), arguments.records.as_slice()) {
        ("gti", _) => gti::tell(&mut stage).await,
        (_, []) => story::tell(&stage, records::generated(arguments.count, now)).await,
        (_, files) => story::tell(&stage, records::recorded(files, now)?).await,
    };
    if let Err(error) = told {
        return Err(error.context(format!("mati-sync's log is in {}", stage.keep_log())));
    }
    say("finished", finished(began.elapsed(), std::env::var("MATI_SYNC_BUILD_SECONDS").ok()));
    println!();
    if arguments.once {
        if arguments.keep {
            say("state and log", stage.folder());
        }
        return Ok(());
    }
    say("status page", format!("{}/api/status", stage.http_base()));
    say("log", stage.log());
    say("timer", format!("every {} s from now on, until Ctrl-C", PERIOD.as_secs()));
    loop {
        tokio::time::sleep(PERIOD).await;
        let report = stage.timer_pass().await?;
        say(&stage.now().format("  %H:%M:%S").to_string(), report.message());
    }
}

/// Says how long it took; `build` are the seconds that `cargo demo` built before.
fn finished(story: Duration, build: Option<String>) -> String {
    let story = story.as_secs();
    match build.and_then(|seconds| seconds.parse::<u64>().ok()) {
        Some(build) if build > 1 => {
            format!("every number above was checked; {} s in all, {build} s of them to build", story + build)
        }
        _ => format!("every number above was checked; {story} s in all"),
    }
}

/// One line of the story; an empty label goes on with the one before.
fn say(label: &str, text: impl std::fmt::Display) {
    println!("  {label:<14} {text}");
}

fn plural(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
