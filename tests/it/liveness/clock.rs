//! Our clock is ahead, and everybody else's is right: nothing that it noted may stand in the way afterwards.

use chrono::TimeDelta;
use mati_sync::domain::{outcome::End, request::RunOptions};
use sandbox::corpus::Record;

use super::{HOUR, address, put};
use crate::harness::world::World;

/// Hours go by, with a pass in each.
async fn live(world: &World, hours: u32) {
    for _ in 0..hours {
        tokio::time::advance(HOUR).await;
        let report = world.tick().await;
        assert_eq!(report.end, End::CaughtUp, "{report:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pass_forty_days_ahead_does_not_end_the_refreshes() {
    let world = World::new();
    put(&world, 0..50, TimeDelta::hours(3));
    world.tick().await;
    live(&world, 3).await;
    world.clock.jump(TimeDelta::days(40));
    world.tick().await;
    world.clock.jump(TimeDelta::days(-40));
    // Every one of them would expire after seven days.
    for day in 0..12 {
        live(&world, 24).await;
        assert_eq!(world.held().len(), 50, "after {} days", day + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn drops_are_seen_at_once_after_a_first_pass_that_was_ahead() {
    for days in [2, 40] {
        let world = World::new();
        put(&world, 0..50, TimeDelta::days(29));
        world.clock.jump(TimeDelta::days(days));
        world.tick().await;
        world.clock.jump(TimeDelta::days(-days));
        live(&world, 1).await;
        assert_eq!(world.held().len(), 50, "{days} days");
        let at = world.ago(TimeDelta::minutes(5));
        world.mandiant.put_all((0..5).map(|n| Record::ipv4(&address(n)).updated(at).mscore(10)));
        let report = world.tick().await;
        assert_eq!((report.totals().retracted, world.held().len()), (5, 45), "{days} days: {report:#?}");
    }
}

/// The same when that pass met a source that was down, and had nothing to set its clock right by.
#[tokio::test(start_paused = true)]
async fn drops_are_seen_at_once_after_a_first_pass_that_was_ahead_and_stalled() {
    for days in [2, 40] {
        let world = World::new();
        put(&world, 0..50, TimeDelta::days(29));
        world.clock.jump(TimeDelta::days(days));
        world.mandiant.set(|knobs| knobs.key = "another".into());
        assert_eq!(world.tick().await.end, End::Stalled);
        world.clock.jump(TimeDelta::days(-days));
        world.mandiant.set(|knobs| knobs.key = "sandbox-key".into());
        live(&world, 1).await;
        assert_eq!(world.held().len(), 50, "{days} days");
        let at = world.ago(TimeDelta::minutes(5));
        world.mandiant.put_all((0..5).map(|n| Record::ipv4(&address(n)).updated(at).mscore(10)));
        let report = world.tick().await;
        assert_eq!((report.totals().retracted, world.held().len()), (5, 45), "{days} days: {report:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lookback_that_was_asked_for_by_a_clock_ahead_reads_what_was_meant() {
    for order in [
        RunOptions { lookback_days: Some(6), ..RunOptions::default() },
        RunOptions { lookback_days: Some(6), rebuild: true, ..RunOptions::default() },
    ] {
        let world = World::new();
        put(&world, 0..50, TimeDelta::days(5));
        world.tick().await;
        live(&world, 2).await;
        // It was not in the feed when its time was read.
        world.mandiant.put(Record::ipv4("203.0.113.1").updated(world.ago(TimeDelta::days(5))));
        world.clock.jump(TimeDelta::days(40));
        let report = world.command(order.clone()).await;
        world.clock.jump(TimeDelta::days(-40));
        assert!(world.held().contains(&"203.0.113.1".to_owned()), "{order:?}: {report:#?}");
        live(&world, 2).await;
    }
}
