//! The same under Google Threat Intelligence, and after a change to it: a repair reaches as far back as the packages do.

use std::time::Duration;

use chrono::TimeDelta;
use mati_sync::domain::outcome::End;
use sandbox::{
    corpus::Record,
    gti::{Ioc, hour_of},
};
use serde_json::json;

use super::{HOUR, numbers, of, sentinel::address, sentinel::held};
use crate::harness::world::World;

fn gti(world: &mut World) {
    world.set("SOURCE", "gti").set("GTI_API_KEY", "sandbox-gti-key").set("GTI_LISTS", "malware");
}

/// What the source before gave is held until it ends, in that source's words.
#[tokio::test(start_paused = true)]
async fn what_the_source_before_gave_is_compared_by_its_own_words() {
    let mut world = held().await;
    gti(&mut world);
    tokio::time::advance(3 * HOUR).await;
    world.tick().await;
    let findings = world.audit().await.lanes["sentinel"].clone();
    assert_eq!((findings.held, numbers(&findings)), (250, ([0; 4], 0)), "{findings:#?}");
    world.change_by_hand(&address(1), "confidence", json!(10));
    world.change_by_hand(&address(2), "labels", json!(["reviewed"]));
    let findings = world.audit().await.lanes["sentinel"].clone();
    assert_eq!(numbers(&findings), ([0, 2, 0, 0], 0), "{findings:#?}");
}

/// What was deleted and changed by hand comes back, as all lists of its hour say it; what was listed before the days that
/// Google keeps does not, and is told as missing.
#[tokio::test(start_paused = true)]
async fn a_repair_reaches_as_far_back_as_google_keeps_its_packages() {
    let mut world = World::new();
    gti(&mut world);
    world.adopts().set("GTI_LISTS", "malware,trending");
    let at = |hours: i64| hour_of(world.now()) - TimeDelta::hours(hours);
    let (old, young) = (at(7 * 24 - 2), at(5));
    world.gti.put("malware", old, &Ioc::address("198.51.100.1"));
    for n in 2..=4 {
        world.gti.put("malware", young, &Ioc::address(&address(n)).score(Some(85)).confidence(Some(95)));
        world.gti.put("trending", young, &Ioc::address(&address(n)).score(Some(90)).confidence(Some(84)));
    }
    assert_eq!(world.tick().await.totals().created, 4);
    tokio::time::sleep(Duration::from_secs(6 * 3600)).await;
    assert_eq!(world.tick().await.end, End::CaughtUp);
    let before: Vec<_> = (2..=4).map(|n| world.object(&address(n))["confidence"].clone()).collect();
    assert_eq!(before, [84, 84, 84]);
    world.delete_by_hand("198.51.100.1");
    world.delete_by_hand(&address(2));
    world.change_by_hand(&address(3), "confidence", json!(10));
    world.change_by_hand(&address(4), "labels", json!(["reviewed"]));
    let report = world.repair().await;
    let findings = of(&report, "sentinel");
    assert_eq!((report.end, numbers(&findings)), (End::CaughtUp, ([2, 2, 0, 0], 3)), "{report:#?}");
    assert_eq!((findings.is_well(), findings.open()), (false, 1), "{report:#?}");
    let after: Vec<_> = (2..=4).map(|n| world.object(&address(n))["confidence"].clone()).collect();
    assert_eq!(after, before);
    assert_eq!(world.held(), [address(2), address(3), address(4)]);
    // When Google lists it again, it is sent.
    world.gti.put("malware", world.now(), &Ioc::address("198.51.100.1"));
    tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
    world.tick().await;
    assert_eq!(world.held().len(), 4);
}

/// The deciding record is the source's before, which no reading meets any more. Of what the present source says, the newest
/// comes back.
#[tokio::test(start_paused = true)]
async fn what_the_source_before_decided_comes_back_as_the_present_source_says_it_last() {
    let mut world = World::new();
    world.adopts();
    let updated = world.ago(TimeDelta::hours(3));
    let values = [address(1), address(2)];
    world.mandiant.put_all(values.iter().map(|value| Record::ipv4(value).updated(updated).mscore(97)));
    for (hours, confidence) in [(20, 94), (10, 96)] {
        for value in &values {
            let ioc = Ioc::address(value).confidence(Some(confidence));
            world.gti.put("malware", updated - TimeDelta::hours(hours), &ioc);
        }
    }
    // Older than both, so that the repair reads as far back.
    let older = updated - TimeDelta::hours(30);
    world.mandiant.put(Record::ipv4(&address(3)).updated(older).mscore(90));
    world.tick().await;
    gti(&mut world);
    tokio::time::sleep(Duration::from_secs(5 * 3600)).await;
    world.tick().await;
    world.change_by_hand(&address(1), "confidence", json!(10));
    world.delete_by_hand(&address(2));
    world.change_by_hand(&address(3), "confidence", json!(10));
    let report = world.repair().await;
    assert_eq!(numbers(&of(&report, "sentinel")), ([1, 2, 0, 0], 2), "{report:#?}");
    for value in &values {
        assert_eq!(world.object(value)["confidence"], 96, "{value}: {report:#?}");
    }
}

/// Between an older package and the newest one another spoke against the value: a repair does not hear it again, whatever
/// was lost meanwhile.
#[tokio::test(start_paused = true)]
async fn a_repair_hears_no_package_that_a_newer_one_has_answered() {
    let mut world = World::new();
    gti(&mut world);
    world.adopts();
    let values: Vec<String> = (1..=2).map(address).collect();
    for (hours, confidence) in [(20, 94), (10, 20), (5, 96)] {
        let hour = hour_of(world.now()) - TimeDelta::hours(hours);
        for value in &values {
            world.gti.put("malware", hour, &Ioc::address(value).confidence(Some(confidence)));
        }
    }
    world.tick().await;
    tokio::time::sleep(Duration::from_secs(6 * 3600)).await;
    world.tick().await;
    world.change_by_hand(&values[0], "confidence", json!(10));
    world.delete_by_hand(&values[1]);
    let report = world.repair().await;
    assert_eq!(numbers(&of(&report, "sentinel")), ([1, 1, 0, 0], 2), "{report:#?}");
    assert_eq!((report.end, report.totals().retracted), (End::CaughtUp, 0), "{report:#?}");
    for value in &values {
        assert_eq!(world.object(value)["confidence"], 96, "{value}: {report:#?}");
    }
}

/// A clock that was days ahead sent what seems to be sent in the future: that is no reason not to miss it.
#[tokio::test(start_paused = true)]
async fn what_a_clock_sent_that_was_ahead_is_missed_too() {
    let mut world = World::new();
    world.adopts();
    world.mandiant.put(Record::ipv4(&address(1)).updated(world.ago(TimeDelta::hours(3))).mscore(90));
    world.clock.jump(TimeDelta::days(4));
    world.tick().await;
    world.clock.jump(-TimeDelta::days(4));
    assert_eq!(world.held(), [address(1)]);
    tokio::time::sleep(Duration::from_secs(5 * 3600)).await;
    world.delete_by_hand(&address(1));
    let findings = world.audit().await.lanes["sentinel"].clone();
    assert_eq!(numbers(&findings), ([1, 0, 0, 0], 0), "{findings:#?}");
    let report = world.repair().await;
    assert_eq!((report.end, world.held()), (End::CaughtUp, vec![address(1)]), "{report:#?}");
}
