//! The executable is killed at any moment, again and again, under the double of the Functions host, with its state
//! in a directory or in Azurite.
//!
//! What happens follows from a seed: the records, what makes a pass run, and the moment of every kill, which is
//! counted in records that have reached Sentinel, so that it comes at about the same place on every machine.
//! `cargo simulate -- --kill N` replays the kills of one seed.

mod home;
mod life;

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::FutureExt;
use sandbox::host::TimerFire;

use self::{
    home::Home,
    life::{Life, Toll},
};
use super::{
    Bench, PATIENCE,
    corpus::{held, records, wanted},
    tick,
};

/// Lives of an ordinary test run; those with even numbers have their state in a directory, the others in Azurite.
const SEEDS: u64 = 6;
/// Kills in a life.
const KILLS: u64 = 10;

/// The whole life of a seed; the error says what went wrong, and after which kill.
async fn run(seed: u64) -> Result<Toll, String> {
    let kill = Arc::new(AtomicU64::new(0));
    let life = async {
        let home = if seed.is_multiple_of(2) { Home::Directory } else { Home::azurite() };
        let mut life = Life::begin(seed, home).await;
        for number in 1..=KILLS {
            kill.store(number, Ordering::Relaxed);
            life.kill(number).await;
            life.look_into_state().await;
        }
        life.calm_down().await
    };
    AssertUnwindSafe(life).catch_unwind().await.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        format!(
            "seed {seed}, kill {} of {KILLS}: {}; replay it with `cargo simulate -- --kill {seed}`",
            kill.load(Ordering::Relaxed),
            text.unwrap_or_else(|| "a panic without words".to_owned())
        )
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_kills_lose_nothing() {
    let one = std::env::var("MATI_SYNC_KILL_SEED").ok().map(|text| text.parse().expect("a number"));
    let seeds = one.map_or(0..SEEDS, |seed: u64| seed..seed + 1);
    let lives = futures::future::join_all(seeds.map(|seed| tokio::spawn(run(seed)))).await;
    let mut failures = Vec::new();
    for life in lives {
        match life.expect("panics are caught") {
            Ok(toll) => println!("{toll}"),
            Err(failure) => failures.push(failure),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Above, the test itself breaks the lease of the process it killed. Here it does not, and the next pass waits until
/// the lease has run out.
#[tokio::test]
async fn the_lease_of_a_killed_process_is_waited_for() {
    let mut bench = Bench::new().await;
    let home = Home::azurite();
    home.settle(&mut bench.settings);
    let records = records(29, 2_000, 0.0);
    bench.world.mandiant.put_all(records.clone());
    bench.world.sentinel.knobs(|knobs| knobs.delay = Duration::from_millis(500));
    let host = bench.host().await;
    let sentinel = &bench.world.sentinel;
    let kill = async {
        while sentinel.stored().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        host.kill().await;
    };
    let (fired, ()) = tokio::join!(host.fire_timer("SyncTimer", TimerFire::default()), kill);
    assert!(!fired.succeeded(), "{fired:?}");
    let killed = Instant::now();
    assert_eq!(tick(&host).await["end"], "caught_up");
    let waited = killed.elapsed();
    assert!((Duration::from_secs(20)..PATIENCE).contains(&waited), "{waited:?}");
    assert_eq!(held(sentinel), wanted(&records));
}
