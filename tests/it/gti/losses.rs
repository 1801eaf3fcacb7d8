//! Creations that wait for confirmation longer than Google keeps their records, and what else is lost.

use std::ops::Range;

use mati_sync::domain::{outcome::End, request::RunOptions};
use sandbox::gti::{Ioc, hour_of};
use serde_json::json;

use super::{hours_ago, lane, pass_hours, world};
use crate::{
    harness::world::World,
    protocol::{http, post, serve},
};

fn list(world: &World, hours: i64, numbers: Range<usize>) {
    let domains = numbers.map(|number| Ioc::domain(&format!("bad{number}.example")));
    world.gti.put_all("malware", hours_ago(world, hours), domains);
}

/// A lane that holds a few, to which 300 more come than it creates unasked.
async fn flooded() -> World {
    let mut world = world();
    world.set("GTI_LISTS", "malware");
    list(&world, 3, 0..10);
    world.tick().await;
    pass_hours(25).await;
    list(&world, 2, 10..2310);
    let report = world.tick().await;
    assert_eq!((report.end, lane(&report).withheld.created), (End::Stalled, 300), "{:?}", report.message);
    world
}

#[tokio::test(start_paused = true)]
async fn what_waits_can_be_confirmed_as_long_as_google_keeps_it_and_the_page_says_until_when() {
    let world = flooded().await;
    let until = hours_ago(&world, 2) + chrono::TimeDelta::days(7);
    let report = world.tick().await;
    let told = lane(&report).message.clone().unwrap();
    let words = format!("The first of them can be confirmed until {}", until.format("%Y-%m-%d %H:%M UTC"));
    assert!(told.contains(&words), "{told}");
    let overview = world.start().engine.overview().await.unwrap();
    assert_eq!(overview.lanes["sentinel"].as_ref().unwrap().waiting_until, Some(until));
    let accept = json!({ "Accept": ["text/html"] });
    let (_, body) = post(&serve(&world), "Status", http(None, json!({}), accept)).await;
    let page = body["Outputs"]["response"]["body"].as_str().unwrap().to_owned();
    let moment = until.format("%Y-%m-%dT%H:%M").to_string();
    assert!(page.contains("can be confirmed until") && page.contains(&moment), "{page}");

    // Nearly seven days later.
    for _ in 0..6 {
        pass_hours(24).await;
        assert_eq!(world.tick().await.end, End::Stalled);
    }
    pass_hours(21).await;
    assert!(world.now() < until);
    let order = RunOptions { confirm_creation: true, ..RunOptions::default() };
    let report = world.command(order).await;
    assert_eq!((report.end, report.totals().created), (End::CaughtUp, 300), "{:?}", report.message);
    assert!(report.losses.is_empty(), "{report:#?}");
    let overview = world.start().engine.overview().await.unwrap();
    assert_eq!(overview.lanes["sentinel"].as_ref().unwrap().waiting_until, None);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_confirmed_in_time_is_a_loss_and_waits_again_if_it_is_listed_again() {
    for is_confirmed_late in [false, true] {
        let world = flooded().await;
        let listed = hours_ago(&world, 2);
        for _ in 0..6 {
            pass_hours(24).await;
            world.tick().await;
        }
        // Two more, which are not over yet.
        list(&world, 1, 3000..3001);
        pass_hours(1).await;
        world.tick().await;
        pass_hours(24).await;
        let order = RunOptions { confirm_creation: is_confirmed_late, ..RunOptions::default() };
        let report = if is_confirmed_late { world.command(order).await } else { world.tick().await };
        let [loss] = &report.losses[..] else { panic!("{report:#?}") };
        assert_eq!(loss.what, "new indicators that waited for confirmation");
        assert!(loss.from == listed && loss.to <= hour_of(world.now()), "{loss:?}");
        assert_eq!(report.end, End::CaughtUp, "nothing waits any more: {:?}", report.message);
        assert!(world.held().contains(&"bad3000.example".to_owned()), "what fits is created");
        assert!(world.tick().await.losses.is_empty(), "it is told once");
        let overview = world.start().engine.overview().await.unwrap();
        let told = overview.lanes["sentinel"].as_ref().unwrap();
        assert_eq!((told.losses.len(), told.waiting.is_some()), (1, false), "{told:#?}");

        list(&world, 1, 2300..2310);
        pass_hours(1).await;
        let report = world.tick().await;
        assert_eq!((report.end, lane(&report).withheld.created), (End::Stalled, 10), "{:?}", report.message);
    }
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_package_that_only_a_range_reads_is_told() {
    let mut world = World::new();
    world.tick().await;
    world.set("SOURCE", "gti").set("GTI_API_KEY", "sandbox-gti-key").set("GTI_LISTS", "malware");
    let at = hours_ago(&world, 30);
    let same = (0..4100).map(|n| Ioc::domain(&format!("full{n}.example")));
    world.gti.put_all("malware", at, same);
    pass_hours(2).await;
    world.tick().await;
    let report = world.command(RunOptions { lookback_days: Some(3), ..RunOptions::default() }).await;
    assert!(!report.losses.is_empty(), "4100 were listed, and no loss is told");
}
