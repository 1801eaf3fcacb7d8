//! What a person sees while a pass runs.

use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::pass::{Ended, Engine};

/// How often the bar moves; and, where there is no terminal, how often a line is printed.
const TICK: Duration = Duration::from_millis(200);
const LINE: Duration = Duration::from_secs(10);

/// Runs `pass` to its end and shows where it stands.
pub async fn watched(engine: &Engine, pass: impl Future<Output = Ended>) -> Ended {
    let bar = std::io::stderr().is_terminal().then(spinner);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut printed = Instant::now();
    tokio::pin!(pass);
    loop {
        tokio::select! {
            ended = &mut pass => {
                bar.iter().for_each(ProgressBar::finish_and_clear);
                return ended;
            }
            _ = ticks.tick() => match &bar {
                Some(bar) => bar.set_message(line(engine)),
                None if printed.elapsed() >= LINE => {
                    printed = Instant::now();
                    eprintln!("{}", line(engine));
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

fn line(engine: &Engine) -> String {
    let (read, sent, window) = engine.gauge.look();
    let window = window.map_or_else(
        || "connecting".to_owned(),
        |window| format!("{} to {}", window.from.format("%Y-%m-%d %H:%M"), window.to.format("%Y-%m-%d %H:%M")),
    );
    let wait = engine.wait();
    let wait = if wait > Duration::from_secs(1) {
        format!(" · next upload in {} s", wait.as_secs())
    } else {
        String::new()
    };
    format!("{window} · {read} read · {sent} sent{wait}")
}
