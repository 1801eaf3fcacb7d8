//! What a person sees while a pass runs.

use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::out;
use crate::pass::{Ended, Engine, gauge::LaneStand};

/// How often the bar moves; and, where there is no terminal, how often a line is printed.
const TICK: Duration = Duration::from_millis(200);
const LINE: Duration = Duration::from_secs(10);

/// Runs `pass` to its end and shows where it stands.
pub async fn watched(engine: &Engine, pass: impl Future<Output = Ended>) -> Ended {
    let bar = std::io::stderr().is_terminal().then(spinner);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut printed = Instant::now();
    // Who waits is told why at once.
    let mut is_told = false;
    tokio::pin!(pass);
    loop {
        tokio::select! {
            ended = &mut pass => {
                bar.iter().for_each(ProgressBar::finish_and_clear);
                return ended;
            }
            _ = ticks.tick() => match &bar {
                Some(bar) => {
                    bar.set_message(line(engine));
                    bar.tick();
                }
                None if printed.elapsed() >= LINE || !is_told && engine.gauge.look().waits_for.is_some() => {
                    is_told |= engine.gauge.look().waits_for.is_some();
                    printed = Instant::now();
                    out::to_stderr(&format!("{}\n", line(engine)));
                }
                None => {}
            }
        }
    }
}

fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.set_style(
        ProgressStyle::with_template("{spinner} {elapsed_precise}  {wide_msg}")
            .expect("a template of known fields"),
    );
    bar
}

/// Where each lane stands. Each reads the source for itself, so their numbers stand side by side.
fn line(engine: &Engine) -> String {
    let stand = engine.gauge.look();
    if let Some(holder) = stand.waits_for {
        let since = holder.since.map(|since| since.format(" since %H:%M:%S UTC").to_string());
        return format!("a pass is running{} ({holder}); waiting for it", since.unwrap_or_default());
    }
    if stand.lanes.is_empty() {
        return "connecting".to_owned();
    }
    let lanes = stand.lanes.iter().map(|(name, LaneStand { read, sent, window })| {
        let window = window.map(|window| {
            format!("{} to {} · ", window.from.format("%Y-%m-%d %H:%M"), window.to.format("%Y-%m-%d %H:%M"))
        });
        format!("{name}: {}{read} read · {sent} sent", window.unwrap_or_default())
    });
    let lanes = lanes.collect::<Vec<_>>().join(" | ");
    let wait = engine.wait();
    let wait = if wait > Duration::from_secs(1) {
        format!(" · next upload in {} s", wait.as_secs())
    } else {
        String::new()
    };
    format!("{lanes}{wait}")
}
