//! An hour that is read again: with more of its lists, with fewer, and after later hours.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use mati_sync::{
    domain::{outcome::End, request::RunOptions},
    pass::Work,
};
use sandbox::gti::Ioc;
use serde_json::Value;

use super::{hours_ago, pass_hours, world};
use crate::harness::world::World;

fn lookback(days: u32) -> RunOptions {
    RunOptions { lookback_days: Some(days), ..RunOptions::default() }
}

/// A world of two lists, which say of one value: confidence 94, and 92 with the higher threat score, which decides.
fn two_lists(world: &mut World, hours: i64) -> chrono::DateTime<chrono::Utc> {
    world.set("GTI_LISTS", "malware,cryptominer");
    let at = hours_ago(world, hours);
    let shared = || Ioc::domain("shared.example");
    world.gti.put("cryptominer", at, &shared().score(Some(90)).confidence(Some(94)));
    world.gti.put("malware", at, &shared().score(Some(95)).confidence(Some(92)));
    at
}

/// One of the hour's lists comes late, and the destination rejects what was said without it and what is said with it. Both
/// are of one time.
#[tokio::test(start_paused = true)]
async fn of_what_was_rejected_of_one_hour_the_last_is_offered_again() {
    let mut world = world();
    let at = two_lists(&mut world, 2);
    world.gti.set(|knobs| _ = knobs.holes.insert(("malware".to_owned(), at)));
    world.sentinel.knobs(|knobs| {
        knobs.reject = Some(Arc::new(|object: &Value| {
            (object["name"] == "shared.example").then(|| "not today".to_owned())
        }));
    });
    world.gti.put("cryptominer", at, &Ioc::domain("other.example"));
    let report = world.tick().await;
    assert_eq!(report.totals().rejected, 1, "{report:#?}");
    world.gti.set(|knobs| knobs.holes.clear());
    pass_hours(1).await;
    let report = world.tick().await;
    assert_eq!(report.totals().rejected, 1, "{report:#?}");
    world.sentinel.knobs(|knobs| knobs.reject = None);
    let retry = RunOptions { retry_rejected: true, ..RunOptions::default() };
    let report = world.command(retry).await;
    assert_eq!((report.end, report.totals().created), (End::CaughtUp, 1), "{report:#?}");
    assert_eq!(world.object("shared.example")["confidence"], 92, "{report:#?}");
}

/// A change of settings has the past read again. That is interrupted, and before it goes on a later package says that
/// what the past now gives is no longer so.
#[tokio::test(start_paused = true)]
async fn what_is_read_again_does_not_outlive_what_a_later_package_says() {
    let mut world = world();
    world.set("GTI_LISTS", "malware");
    let value = |confidence| Ioc::domain("falling.example").confidence(Some(confidence));
    world.gti.put("malware", hours_ago(&world, 20), &value(77));
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 0), "{report:#?}");

    world.set("MINIMUM_CONFIDENCE", "75");
    world.gti.set(|knobs| knobs.body_delay = Duration::from_secs(5));
    let ended = world.run(Work::Timer, Duration::from_secs(120)).await;
    assert_eq!(ended.reports[0].end, End::Paused, "{ended:#?}");
    assert!(world.held().is_empty(), "it has not come so far: {ended:#?}");
    world.gti.set(|knobs| knobs.body_delay = Duration::ZERO);
    pass_hours(3).await;
    world.gti.put("malware", hours_ago(&world, 2), &value(40));
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().retracted), (End::CaughtUp, 1), "{report:#?}");
    assert!(world.held().is_empty(), "{report:#?}");
}

/// What a list said in an hour that was read counts, although it cannot be asked for that hour again when an operator has the
/// past read.
#[tokio::test(start_paused = true)]
async fn a_lookback_while_a_list_cannot_be_read_does_not_forget_what_it_said() {
    for away in ["missing", "not yet", "forbidden", "forbidden before"] {
        let mut world = world();
        let at = two_lists(&mut world, 5);
        let report = world.tick().await;
        assert_eq!(report.end, End::CaughtUp, "{report:#?}");
        assert_eq!(world.object("shared.example")["confidence"], 92);
        world.gti.set(|knobs| {
            let package = ("malware".to_owned(), at);
            match away {
                "missing" => knobs.holes.insert(package),
                "not yet" => knobs.late.insert(package),
                _ => knobs.forbidden.insert("malware".to_owned()),
            };
        });
        if away == "forbidden before" {
            pass_hours(1).await;
            world.tick().await;
        }
        let report = world.command(lookback(2)).await;
        assert_eq!(report.end, End::CaughtUp, "{away}: {report:#?}");
        world.gti.set(|knobs| {
            knobs.holes.clear();
            knobs.late.clear();
            knobs.forbidden.clear();
        });
        pass_hours(1).await;
        let report = world.tick().await;
        assert_eq!((report.end, report.losses.len()), (End::CaughtUp, 0), "{away}: {report:#?}");
        assert_eq!(world.object("shared.example")["confidence"], 92, "{away}: {report:#?}");
        // And nothing is asked for again from then on.
        let rows = world.sentinel.log().len();
        world.gti.forget_requests();
        pass_hours(1).await;
        world.tick().await;
        assert_eq!((world.sentinel.log().len(), world.gti.asked("malware")), (rows, 1), "{away}");
        assert!(world.now() > at + TimeDelta::hours(6));
    }
}
