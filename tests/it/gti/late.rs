//! What comes late, or is away for a while, is put together with the rest of its hour in the end.

use chrono::TimeDelta;
use mati_sync::domain::outcome::End;
use sandbox::{corpus::Record, gti::Ioc};

use super::{hours_ago, lane, pass_hours, world};
use crate::harness::world::World;

/// A lane that read three lists of an hour: an analyst says on one of them that the value is benign, and the package of
/// another is missing.
async fn without_trending() -> (World, chrono::DateTime<chrono::Utc>) {
    let mut world = world();
    world.set("GTI_LISTS", "malware,phishing,trending");
    let at = hours_ago(&world, 2);
    world.gti.set(|knobs| {
        knobs.holes.insert(("trending".to_owned(), at));
    });
    world.gti.put("malware", at, &Ioc::domain("shared.example"));
    let benign = Ioc::domain("shared.example").factor("mandiant_analyst_benign", true);
    world.gti.put("phishing", at, &benign);
    world.gti.put("trending", at, &Ioc::domain("other.example"));
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 0), "{report:#?}");
    (world, at)
}

/// The late package has its hour read again, while a list that had its say in it cannot be read.
#[tokio::test(start_paused = true)]
async fn a_list_that_cannot_be_read_for_a_while_has_its_say_in_an_hour_that_was_read_without_it() {
    let (world, _) = without_trending().await;
    world.gti.set(|knobs| {
        knobs.forbidden.insert("phishing".to_owned());
    });
    pass_hours(1).await;
    world.tick().await;
    world.gti.set(|knobs| knobs.holes.clear());
    pass_hours(1).await;
    world.tick().await;
    world.gti.set(|knobs| knobs.forbidden.clear());
    pass_hours(1).await;
    let report = world.tick().await;
    assert_eq!((report.end, world.held()), (End::CaughtUp, vec!["other.example".to_owned()]), "{report:#?}");
}

/// The same, of a package that is away when its hour is read again, with either answer.
#[tokio::test(start_paused = true)]
async fn a_package_that_is_away_for_a_while_is_asked_for_again() {
    for is_missing in [true, false] {
        let (world, at) = without_trending().await;
        world.gti.set(|knobs| {
            knobs.holes.clear();
            let away = if is_missing { &mut knobs.holes } else { &mut knobs.late };
            away.insert(("phishing".to_owned(), at));
        });
        pass_hours(1).await;
        let report = world.tick().await;
        assert_eq!(report.end, End::CaughtUp, "{report:#?}");
        assert_eq!(lane(&report).message.is_some(), is_missing, "a missing package is told: {report:#?}");
        world.gti.set(|knobs| {
            knobs.holes.clear();
            knobs.late.clear();
        });
        pass_hours(1).await;
        let report = world.tick().await;
        let held = vec!["other.example".to_owned()];
        assert_eq!((report.end, world.held()), (End::CaughtUp, held), "{is_missing}: {report:#?}");
        assert!(report.losses.is_empty(), "{report:#?}");
    }
}

/// Mandiant indexes records late, so its lane reads the last quarter of an hour again. A package of Google's that reaches
/// into that time is read, too.
#[tokio::test(start_paused = true)]
async fn what_mandiant_had_not_indexed_yet_comes_from_the_new_source() {
    let mut world = World::new();
    tokio::time::sleep(std::time::Duration::from_secs(300)).await;
    world.mandiant.put(Record::fqdn("early.example").updated(world.ago(TimeDelta::hours(5))));
    let report = world.tick().await;
    let hour = hours_ago(&world, 1);
    assert!(lane(&report).watermark > Some(hour + TimeDelta::hours(1)), "{report:#?}");
    let updated = hour + TimeDelta::minutes(58);
    world.mandiant.put(Record::fqdn("late.example").updated(updated));
    world.gti.put("malware", updated, &Ioc::domain("late.example"));
    world.set("SOURCE", "gti").set("GTI_API_KEY", "sandbox-gti-key").set("GTI_LISTS", "malware");
    pass_hours(3).await;
    let report = world.tick().await;
    assert_eq!(
        (report.end, world.held()),
        (End::CaughtUp, vec!["early.example".into(), "late.example".into()])
    );
    assert!(report.losses.is_empty(), "{report:#?}");
}
