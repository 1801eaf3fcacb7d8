//! From one source to the other, and back.

use chrono::TimeDelta;
use mati_sync::domain::outcome::End;
use sandbox::{corpus::Record, gti::Ioc};

use super::{hours_ago, lane, pass_hours};
use crate::harness::world::World;

fn gti(world: &mut World) {
    world.set("SOURCE", "gti").set("GTI_API_KEY", "sandbox-gti-key").set("GTI_LISTS", "malware,phishing");
}

#[tokio::test(start_paused = true)]
async fn the_new_source_begins_where_the_old_one_stood_and_nothing_is_sent_twice() {
    let mut world = World::new();
    for value in ["both.example", "mandiant.example"] {
        world.mandiant.put(Record::fqdn(value).updated(world.ago(TimeDelta::hours(5))));
    }
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 2), "{report:#?}");
    let id = world.object("both.example")["id"].clone();

    gti(&mut world);
    pass_hours(30).await;
    world.gti.put("malware", hours_ago(&world, 29), &Ioc::domain("both.example"));
    world.gti.put("malware", hours_ago(&world, 2), &Ioc::domain("gti.example"));
    // Before the old source's watermark.
    world.gti.put("malware", hours_ago(&world, 60), &Ioc::domain("earlier.example"));
    let report = world.tick().await;
    assert_eq!(report.end, End::CaughtUp, "{report:#?}");
    assert_eq!(world.held(), ["both.example", "gti.example", "mandiant.example"], "{report:#?}");
    assert_eq!(world.object("both.example")["id"], id, "the id stays");
    assert_eq!((report.totals().created, report.totals().updated), (1, 1), "{report:#?}");
    assert!(report.losses.is_empty() && world.gti.asked("malware") < 33, "{report:#?}");
    let rows = world.sentinel.log().len();
    pass_hours(1).await;
    world.tick().await;
    assert_eq!(world.sentinel.log().len(), rows, "nothing is sent again");

    // And back: everything is read again, and nothing is retracted because only the other source lists it.
    world.set("SOURCE", "mandiant");
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().retracted), (End::CaughtUp, 0), "{report:#?}");
    assert!(world.held().contains(&"gti.example".to_owned()), "it ages out");
    let asked = world.mandiant.requests();
    let oldest = asked.iter().rev().take(70).filter_map(|request| request.parameter("start_epoch")).min();
    let month_ago = world.ago(TimeDelta::days(29)).timestamp();
    assert!(oldest.unwrap().parse::<i64>().unwrap() < month_ago, "a refresh reads a month");
}

#[tokio::test(start_paused = true)]
async fn a_gap_between_the_sources_is_a_loss() {
    let mut world = World::new();
    let stood = lane(&world.tick().await).watermark.unwrap();
    gti(&mut world);
    pass_hours(12 * 24).await;
    let report = world.tick().await;
    let [loss] = &report.losses[..] else { panic!("{report:#?}") };
    assert!(loss.from <= stood && loss.from > stood - TimeDelta::hours(1), "{report:#?}");
    assert_eq!((report.end, loss.to), (End::CaughtUp, hours_ago(&world, 7 * 24)));
}
