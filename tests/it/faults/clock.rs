//! Our clock jumps, and everybody else's does not: nothing is lost, and the watermark never moves back.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::domain::{outcome::End, report::Report};
use sandbox::corpus::Record;

use super::{fill, recovers};
use crate::harness::world::World;

const HOUR: Duration = Duration::from_secs(3600);

fn watermark(report: &Report) -> DateTime<Utc> {
    report.lanes["sentinel"].watermark.expect("the lane was loaded")
}

/// The jumps of a clock, with what sets it right again.
fn jumps() -> [(TimeDelta, TimeDelta); 3] {
    // The last is longer than the time between two refreshes.
    [TimeDelta::hours(-1), TimeDelta::days(2), TimeDelta::days(40)].map(|jump| (jump, -jump))
}

/// Hours go by; in each some records come, and a tick.
async fn live(world: &World, hours: u32, at_least: &mut DateTime<Utc>) {
    for _ in 0..hours {
        let hour = (world.now() - DateTime::UNIX_EPOCH).num_hours() % 250;
        world.mandiant.put_all((1..=5).map(|n| {
            Record::ipv4(&format!("203.0.{hour}.{n}")).updated(world.now() + TimeDelta::minutes(n * 10))
        }));
        tokio::time::advance(HOUR).await;
        let report = world.tick().await;
        assert_eq!(report.end, End::CaughtUp, "{report:#?}");
        assert!(watermark(&report) >= *at_least, "{at_least} went back: {report:#?}");
        *at_least = watermark(&report);
    }
}

#[tokio::test(start_paused = true)]
async fn a_jump_between_two_passes_loses_nothing() {
    for (jump, back) in jumps() {
        let world = World::new();
        fill(&world, 100);
        let mut at_least = watermark(&world.tick().await);
        live(&world, 2, &mut at_least).await;
        world.clock.jump(jump);
        live(&world, 1, &mut at_least).await;
        world.clock.jump(back);
        live(&world, 3, &mut at_least).await;
        tokio::time::advance(HOUR).await;
        recovers(&world).await;
        // And when the time has come that the clock once showed.
        live(&world, 50, &mut at_least).await;
        tokio::time::advance(HOUR).await;
        recovers(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_jump_during_a_pass_loses_nothing() {
    for (jump, back) in jumps() {
        let mut world = World::new();
        fill(&world, 100);
        let mut at_least = watermark(&world.tick().await);
        tokio::time::advance(6 * HOUR).await;
        fill(&world, 700);
        world.set("SENTINEL_REQUESTS_PER_MINUTE", "10");
        let (report, ()) = tokio::join!(world.tick(), async {
            tokio::time::sleep(Duration::from_secs(30)).await;
            world.clock.jump(jump);
        });
        assert_eq!(report.end, End::CaughtUp, "{report:#?}");
        assert!(watermark(&report) >= at_least && report.ended_at >= report.started_at, "{report:#?}");
        at_least = watermark(&report);
        world.set("SENTINEL_REQUESTS_PER_MINUTE", "100");
        live(&world, 2, &mut at_least).await;
        world.clock.jump(back);
        live(&world, 50, &mut at_least).await;
        tokio::time::advance(HOUR).await;
        recovers(&world).await;
    }
}
