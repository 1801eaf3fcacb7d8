//! Two clocks that differ: packages are made and kept by Google's.

use std::time::Duration;

use chrono::TimeDelta;
use mati_sync::{
    clock::Deadline,
    domain::{outcome::End, request::RunOptions},
    pass::Work,
};
use sandbox::gti::Ioc;

use super::{hours_ago, lane, pass_hours, world};

fn many(count: usize, score: i64) -> impl Iterator<Item = Ioc> {
    (0..count).map(move |n| Ioc::domain(&format!("many{n}.example")).score(Some(score)))
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_behind_tells_of_no_loss() {
    for minutes in [10, 2 * 24 * 60] {
        let mut world = world();
        world.set("GTI_LISTS", "malware");
        tokio::time::sleep(std::time::Duration::from_secs(300)).await;
        world.gti.put("malware", hours_ago(&world, 60), &Ioc::domain("bad.example"));
        world.clock.jump(TimeDelta::minutes(-minutes));
        world.tick().await;
        world.clock.jump(TimeDelta::minutes(minutes));
        pass_hours(1).await;
        let report = world.tick().await;
        assert!(report.losses.is_empty(), "{minutes}: {:?}", report.losses);
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_ahead_is_put_right_though_no_quota_is_told() {
    let mut world = world();
    world.set("GTI_LISTS", "malware");
    world.tick().await;
    world.gti.set(|knobs| knobs.serves_quotas = false);
    pass_hours(1).await;
    world.clock.jump(TimeDelta::days(20));
    world.tick().await;
    world.clock.jump(TimeDelta::days(-20));
    world.gti.put("malware", hours_ago(&world, 1), &Ioc::domain("bad.example"));
    for _ in 0..30 {
        pass_hours(1).await;
        world.tick().await;
    }
    assert_eq!(world.held(), ["bad.example"]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_ahead_gives_up_nothing_that_waits() {
    let mut world = world();
    world.set("GTI_LISTS", "malware").set("FQDN_INDICATOR_EXPIRATION", "30");
    world.gti.put_all("malware", hours_ago(&world, 3), many(10, 90));
    world.tick().await;
    pass_hours(25).await;
    world.gti.put_all("malware", hours_ago(&world, 2), many(2310, 90));
    let report = world.tick().await;
    assert_eq!((report.end, lane(&report).withheld.created), (End::Stalled, 300), "{:?}", report.message);
    world.clock.jump(TimeDelta::days(8));
    world.tick().await;
    world.clock.jump(TimeDelta::days(-8));
    pass_hours(1).await;
    world.command(RunOptions { confirm_creation: true, ..RunOptions::default() }).await;
    assert_eq!(world.held().len(), 2310);
}

/// What a change of settings calls for is scheduled by Google's time, however the pass ends that met it.
#[tokio::test(start_paused = true)]
async fn settings_that_change_under_a_clock_ahead_read_all_seven_days_again() {
    let mut world = world();
    world.set("GTI_LISTS", "malware").set("MINIMUM_CONFIDENCE", "80");
    let low = Ioc::domain("low.example").confidence(Some(77));
    world.gti.put("malware", hours_ago(&world, 150), &low);
    assert_eq!((world.tick().await.end, world.held().len()), (End::CaughtUp, 0));
    world.set("MINIMUM_CONFIDENCE", "75");
    world.clock.jump(TimeDelta::days(4));
    // The pass dies while it waits for the first package.
    world.gti.set(|knobs| knobs.body_delay = Duration::from_secs(60));
    let app = world.start();
    let (_sender, stop) = tokio::sync::watch::channel(false);
    let deadline = Deadline::for_invocation(Duration::from_secs(600), stop);
    let running = app.engine.run(Work::Timer, None, &deadline);
    assert!(tokio::time::timeout(Duration::from_secs(90), running).await.is_err(), "it is killed");
    world.gti.set(|knobs| knobs.body_delay = Duration::ZERO);
    world.clock.jump(TimeDelta::days(-4));
    pass_hours(1).await;
    let report = world.tick().await;
    assert_eq!((report.end, world.held()), (End::CaughtUp, vec!["low.example".to_owned()]), "{report:#?}");
}
