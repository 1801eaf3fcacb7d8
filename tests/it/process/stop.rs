//! The end of a process in the middle of its work.

use std::time::{Duration, Instant};

use sandbox::host::{ExitMode, FunctionsHost, TimerFire};

use super::{
    Bench, PATIENCE, assert_adds_up, assert_disciplined,
    corpus::{held, records, wanted},
    count, last_pass, tick,
};

#[tokio::test]
async fn a_stop_signal_pauses_a_pass_and_the_next_one_completes_it() {
    let bench = Bench::new().await;
    let records = records(13, 5_000, 0.0);
    let sentinel = &bench.world.sentinel;
    bench.world.mandiant.put_all(records.clone());
    sentinel.knobs(|knobs| knobs.delay = Duration::from_millis(700));
    let mut options = bench.options();
    // Under this host, exit code 0 is the only one that is no error.
    options.exit_mode = ExitMode::Legacy2024;
    let host = FunctionsHost::start(options).await.unwrap();

    let stop = async {
        while sentinel.stored().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let told = Instant::now();
        host.terminate(PATIENCE).await;
        told.elapsed()
    };
    let (fired, took) = tokio::join!(host.fire_timer("SyncTimer", TimerFire::default()), stop);
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(fired.succeeded(), "{fired:?}");
    let paused = last_pass(&host.output());
    assert_eq!(paused["end"], "paused");
    assert_adds_up(&paused);
    assert!(count(&paused, "left") > 0, "{paused:#}");
    let said = |text: &str| host.output().iter().any(|line| line.text.contains(text));
    assert!(said(r#""message":"stopped""#) && !said("exited with code"), "{:#?}", host.output());

    sentinel.knobs(|knobs| knobs.delay = Duration::ZERO);
    host.restart_host().await.unwrap();
    let report = tick(&host).await;
    assert_eq!(report["end"], "caught_up");
    assert_adds_up(&report);
    assert_eq!(held(sentinel), wanted(&records));
    assert_eq!(sentinel.log().len(), wanted(&records).len(), "something settled was sent again");

    // The message by which the paused pass wanted to go on has nothing left to do.
    let stale = host.queue("mati-sync").deliver_next().await.unwrap();
    assert!(stale.succeeded(), "{stale:?}");
    assert_eq!(last_pass(&host.output()), report);
    assert_disciplined(&host.output());
}
