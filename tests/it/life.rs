//! An indicator after its first sending: unchanged, changed, renewed.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::domain::outcome::End;
use sandbox::corpus::Record;

use crate::harness::world::World;

const DAY: Duration = Duration::from_secs(86_400);

fn valid_until(world: &World, value: &str) -> DateTime<Utc> {
    world.object(value)["valid_until"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn validity_counts_from_the_upload_by_type() {
    let mut world = World::new();
    world.set("FQDN_INDICATOR_EXPIRATION", "3");
    let at = world.ago(TimeDelta::days(20));
    world.mandiant.put_all([
        Record::ipv4("198.51.100.1").updated(at),
        Record::fqdn("bad.example").updated(at),
        Record::file(Some(&"a".repeat(32)), None, None).updated(at),
    ]);
    world.tick().await;
    let days = |value: &str| (valid_until(&world, value) - world.now()).num_hours();
    assert_eq!(
        (days("198.51.100.1") / 24, days("bad.example") / 24, days(&"a".repeat(32)) / 24),
        (6, 2, 89),
        "a little less than 7, 3 and 90 days, for the pass took its time"
    );
}

#[tokio::test(start_paused = true)]
async fn a_touch_without_change_costs_nothing_and_a_change_is_an_update() {
    let world = World::new();
    let record = Record::ipv4("198.51.100.1").updated(world.ago(TimeDelta::hours(3))).mscore(85);
    world.mandiant.put(record.clone());
    world.tick().await;
    let first = world.object("198.51.100.1");
    tokio::time::advance(DAY).await;
    world.mandiant.put(record.clone().updated(world.ago(TimeDelta::hours(1))));
    let report = world.tick().await;
    assert_eq!((report.totals().unchanged, world.sentinel.log().len()), (1, 1), "{report:#?}");

    tokio::time::advance(DAY).await;
    world.mandiant.put(record.updated(world.ago(TimeDelta::hours(1))).mscore(95));
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().updated), (End::CaughtUp, 1), "{report:#?}");
    let second = world.object("198.51.100.1");
    assert_eq!(second["confidence"], 95);
    assert_eq!((&second["id"], &second["created"]), (&first["id"], &first["created"]), "the same indicator");
    assert!(second["modified"].as_str() > first["modified"].as_str());
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_indicator_is_renewed_when_its_validity_runs_out() {
    let world = World::new();
    let record = Record::ipv4("198.51.100.1").updated(world.ago(TimeDelta::hours(3)));
    world.mandiant.put(record.clone());
    world.tick().await;
    let mut renewed = 0;
    for _ in 0..20 {
        tokio::time::advance(DAY).await;
        world.mandiant.put(record.clone().updated(world.ago(TimeDelta::hours(1))));
        renewed += world.tick().await.totals().renewed;
        assert!(
            valid_until(&world, "198.51.100.1") > world.now() + TimeDelta::days(3),
            "it never gets near its end"
        );
    }
    assert!((4..=6).contains(&renewed), "renewed {renewed} times in 20 days");
}

#[tokio::test(start_paused = true)]
async fn without_deduplication_every_admitted_record_of_a_window_is_sent() {
    let mut world = World::new();
    world.set("ENABLE_DEDUPLICATION", "false");
    world.mandiant.put(Record::ipv4("198.51.100.1").updated(world.ago(TimeDelta::minutes(5))));
    world.tick().await;
    let report = world.tick().await;
    assert_eq!((report.totals().renewed, world.sentinel.log().len()), (1, 2), "{report:#?}");
    assert_eq!(world.held().len(), 1, "the same id");
}

#[tokio::test(start_paused = true)]
async fn entries_long_expired_leave_the_manifest() {
    let world = World::new();
    world.mandiant.put_all(
        (1..=200).map(|n| Record::ipv4(&format!("198.51.100.{n}")).updated(world.ago(TimeDelta::hours(3)))),
    );
    world.tick().await;
    // Beyond what a refresh reads again.
    tokio::time::advance(39 * DAY).await;
    let report = world.tick().await;
    assert_eq!(report.totals().aged_out, 200, "{report:#?}");
    let app = world.start();
    assert!(app.engine.manifest("sentinel").await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn of_two_records_of_one_value_the_newer_speaks_however_often_they_are_read() {
    let world = World::new();
    world.mandiant.put_all([
        Record::fqdn("bad.example").updated(world.ago(TimeDelta::days(2))).mscore(99),
        Record::fqdn("Bad.Example").updated(world.ago(TimeDelta::hours(4))).mscore(85),
    ]);
    world.tick().await;
    assert_eq!(world.object("bad.example")["confidence"], 85);
    let uploads = world.sentinel.log().len();
    let order = mati_sync::domain::request::RunOptions { lookback_days: Some(7), ..Default::default() };
    let report = world.command(order.clone()).await;
    assert_eq!((report.totals().unchanged, world.sentinel.log().len()), (2, uploads), "{report:#?}");
    let report = world.command(mati_sync::domain::request::RunOptions { rebuild: true, ..order }).await;
    assert_eq!(report.end, End::CaughtUp);
    assert_eq!(world.object("bad.example")["confidence"], 85);
}
