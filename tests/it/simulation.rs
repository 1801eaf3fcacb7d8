//! Deterministic simulation: the whole app in process on the paused clock, in a world that changes while it is
//! read, breaks at every boundary, and kills it at any moment.
//!
//! Everything that happens follows from a seed, so a failure can be replayed: `cargo simulate -- --seed N`.
//!
//! # What counts as a failure
//! - After the world has calmed down, an admitted record is missing at the destination, or stands there with an
//!   earlier content, or something stands there that was never admitted.
//! - More is sent twice than what was in flight when something broke.
//! - A minute holds more requests than permitted.
//! - The checkpoint stands beyond a record that is neither held nor set aside with its reason.
//! - A report whose sum is not right; an invocation that ends after the host's limit; a stale message that is
//!   acted upon; a lane that does not catch up when nothing is wrong any more.
//! - Two refreshes later a former digest of a file is held, or a value is not as the record says that was updated last.
//! - More is retracted within a day than the retraction limit permits, and no operator confirmed it.
//! - Another application's indicator at Defender was changed.
//! - A request that was acknowledged and lost was looked for, and is not there some hours later; or, of Google's lists, an
//!   audit does not bring back what no look found.
//! - A timer that died is not made up for within two schedules and a little, or by more than one pass in two schedules;
//!   or watchdog messages multiply.
//! - An audit finds something although no person changed a destination by hand, or anything else than what people did there; or
//!   something that they deleted or changed is not brought back by a repair.
//! - A package of Google's lists that was there is not read, or one that never came is not told as lost.
//! - A value stands at Sentinel under two ids, after a change of source or without one.
//!
//! # What does not
//! Records read twice; passes that pause, stall or are skipped while the world is broken.

mod calm;
mod chaos;
pub mod dice;
mod hands;
mod lists;
mod losses;
mod nature;
mod oracle;
mod run;
mod second;
mod source;
mod tally;
mod timer;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use self::{run::simulate, tally::Tally};

/// Seeds of an ordinary test run; `cargo simulate` sets others.
const SEEDS: u64 = 150;

/// Runs `seed` in a runtime of its own; the error says what went wrong.
pub fn run(seed: u64) -> Result<Tally, String> {
    fastrand::seed(seed);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(simulate(seed))
    }));
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_else(|| "a panic without words".to_owned())
    })
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}")))
}

#[test]
fn nothing_is_lost_whatever_happens() {
    if let Some(seed) = variable("MATI_SYNC_SEED") {
        let tally = run(seed).unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
        println!("seed {seed}: {tally}");
        return;
    }
    let seeds = variable("MATI_SYNC_SEEDS").unwrap_or(SEEDS);
    let (next, failures, sum) = (AtomicU64::new(0), Mutex::new(Vec::new()), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            // A pass's future is large without optimisation.
            let thread = std::thread::Builder::new().stack_size(64 << 20);
            let worker = || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    match run(seed) {
                        Ok(tally) => *sum.lock().unwrap() += tally,
                        Err(failure) => {
                            println!("seed {seed}: {}", failure.lines().next().unwrap_or_default());
                            failures.lock().unwrap().push((seed, failure));
                        }
                    }
                }
            };
            thread.spawn_scoped(scope, worker).expect("a thread");
        }
    });
    let mut failures: Vec<(u64, String)> = failures.into_inner().unwrap();
    failures.sort();
    println!("{seeds} seeds: {}", sum.into_inner().unwrap());
    for (seed, failure) in &failures {
        println!("seed {seed}: {}", failure.lines().next().unwrap_or_default());
    }
    let first = failures.iter().map(|(seed, failure)| format!("seed {seed}: {failure}")).next();
    assert!(
        failures.is_empty(),
        "{} of {seeds} seeds failed; replay one with `cargo simulate -- --seed {}`\n{}",
        failures.len(),
        failures[0].0,
        first.unwrap_or_default()
    );
}
