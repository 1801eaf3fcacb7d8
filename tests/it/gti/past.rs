//! What is read again of the past: all of it, up to the present, and within the limits.

use chrono::TimeDelta;
use mati_sync::domain::{outcome::End, request::RunOptions};
use sandbox::{corpus::Record, gti::Ioc};

use super::{hours_ago, lane, pass_hours, world};
use crate::harness::world::World;

fn sure(name: &str, confidence: i64) -> Ioc {
    Ioc::domain(name).confidence(Some(confidence))
}

fn many(count: usize, score: i64) -> impl Iterator<Item = Ioc> {
    (0..count).map(move |n| Ioc::domain(&format!("many{n}.example")).score(Some(score)))
}

#[tokio::test(start_paused = true)]
async fn a_package_of_the_past_that_is_away_does_not_end_what_is_read_again() {
    let mut world = world();
    world.set("GTI_LISTS", "malware").set("MINIMUM_CONFIDENCE", "80");
    world.gti.put("malware", hours_ago(&world, 30), &sure("falling.example", 77));
    world.gti.put("malware", hours_ago(&world, 10), &sure("falling.example", 40));
    world.gti.put("malware", hours_ago(&world, 5), &sure("later.example", 77));
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 0), "{report:#?}");
    // One package of the past is away for a while, as NotAvailableYet.
    let away = ("malware".to_owned(), hours_ago(&world, 20));
    world.gti.set(|knobs| _ = knobs.late.insert(away));
    world.set("MINIMUM_CONFIDENCE", "75");
    let report = world.tick().await;
    assert_eq!(report.end, End::CaughtUp, "{report:#?}");
    world.gti.set(|knobs| knobs.late.clear());
    for _ in 0..3 {
        pass_hours(1).await;
        assert_eq!(world.tick().await.end, End::CaughtUp);
    }
    assert_eq!(world.held(), ["later.example"]);
}

/// Settings have changed, and what they call for in a package that is away, or of a list that is closed, comes with it.
#[tokio::test(start_paused = true)]
async fn what_could_not_be_read_again_is_read_later() {
    for away in ["missing", "forbidden"] {
        let mut world = world();
        world.set("GTI_LISTS", "malware,phishing").set("MINIMUM_CONFIDENCE", "80");
        let at = hours_ago(&world, 20);
        world.gti.put("malware", at, &sure("low.example", 77));
        let report = world.tick().await;
        assert_eq!((report.end, world.held().len()), (End::CaughtUp, 0), "{report:#?}");
        world.gti.set(|knobs| match away {
            "missing" => _ = knobs.holes.insert(("malware".to_owned(), at)),
            _ => _ = knobs.forbidden.insert("malware".to_owned()),
        });
        world.set("MINIMUM_CONFIDENCE", "75");
        world.tick().await;
        world.gti.set(|knobs| {
            knobs.holes.clear();
            knobs.forbidden.clear();
        });
        pass_hours(1).await;
        let report = world.tick().await;
        assert_eq!(world.held(), ["low.example"], "{away}: {}", report.message);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_confirmed_is_created_once_its_package_is_back() {
    let mut world = world();
    world.set("GTI_LISTS", "malware");
    world.gti.put_all("malware", hours_ago(&world, 3), many(10, 90));
    world.tick().await;
    pass_hours(25).await;
    let at = hours_ago(&world, 2);
    world.gti.put_all("malware", at, many(2310, 90));
    let report = world.tick().await;
    assert_eq!((report.end, lane(&report).withheld.created), (End::Stalled, 300), "{:?}", report.message);
    world.gti.set(|knobs| _ = knobs.holes.insert(("malware".to_owned(), at)));
    world.command(RunOptions { confirm_creation: true, ..RunOptions::default() }).await;
    world.gti.set(|knobs| knobs.holes.clear());
    for _ in 0..2 {
        pass_hours(1).await;
        world.tick().await;
    }
    assert_eq!(world.held().len(), 2310);
}

#[tokio::test(start_paused = true)]
async fn what_is_confirmed_waits_for_lists_that_are_closed() {
    let mut world = world();
    world.set("GTI_LISTS", "malware");
    world.gti.put_all("malware", hours_ago(&world, 3), many(300, 90));
    world.tick().await;
    pass_hours(25).await;
    world.gti.put_all("malware", hours_ago(&world, 2), many(300, 10));
    let report = world.tick().await;
    assert_eq!((report.end, lane(&report).withheld.retracted), (End::Stalled, 300), "{:?}", report.message);
    world.gti.set(|knobs| _ = knobs.forbidden.insert("malware".to_owned()));
    pass_hours(1).await;
    world.tick().await;
    world.command(RunOptions { confirm_retraction: true, ..RunOptions::default() }).await;
    world.gti.set(|knobs| knobs.forbidden.clear());
    for _ in 0..3 {
        pass_hours(1).await;
        world.tick().await;
    }
    assert_eq!(world.held().len(), 0);
}

/// A world that holds what Mandiant listed, and reads Google's lists from now on.
async fn changed_to_gti() -> World {
    let mut world = World::new();
    for n in 0..300 {
        let record = Record::fqdn(&format!("many{n}.example")).updated(world.ago(TimeDelta::hours(100)));
        world.mandiant.put(record);
    }
    world.tick().await;
    assert_eq!(world.held().len(), 300);
    world.set("SOURCE", "gti").set("GTI_API_KEY", "sandbox-gti-key").set("GTI_LISTS", "malware");
    world
}

#[tokio::test(start_paused = true)]
async fn what_the_other_source_brought_is_retracted_within_the_limit() {
    let world = changed_to_gti().await;
    world.gti.put_all("malware", hours_ago(&world, 50), many(300, 10));
    pass_hours(2).await;
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 300), "{report:#?}");
    let report = world.command(RunOptions { lookback_days: Some(6), ..RunOptions::default() }).await;
    assert_eq!((report.end, world.held().len()), (End::Stalled, 300), "{:?}", report.totals());
}

#[tokio::test(start_paused = true)]
async fn a_threshold_that_changes_with_the_source_retracts_within_the_limit() {
    let mut world = changed_to_gti().await;
    world.set("MINIMUM_THREAT_SCORE", "95");
    world.gti.put_all("malware", hours_ago(&world, 50), many(300, 90));
    pass_hours(2).await;
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len()), (End::Stalled, 300), "{:?}", report.totals());
}

#[tokio::test(start_paused = true)]
async fn what_the_settings_kept_is_retracted_within_the_limit() {
    let mut world = world();
    world.set("GTI_LISTS", "malware").set("EXPIRE_RETRACTED", "false");
    world.gti.put_all("malware", hours_ago(&world, 100), many(300, 90));
    world.gti.put_all("malware", hours_ago(&world, 50), many(300, 10));
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 300), "{report:#?}");
    world.set("EXPIRE_RETRACTED", "true");
    pass_hours(1).await;
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len()), (End::Stalled, 300), "{:?}", report.totals());
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_added_takes_back_what_it_brought() {
    let mut world = world();
    world.set("GTI_LISTS", "malware");
    world.gti.put("malware", hours_ago(&world, 2), &Ioc::domain("first.example"));
    world.gti.put_all("phishing", hours_ago(&world, 100), many(300, 90));
    world.gti.put_all("phishing", hours_ago(&world, 50), many(300, 10));
    world.tick().await;
    world.set("GTI_LISTS", "malware,phishing");
    pass_hours(1).await;
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 1), "{}", report.message);
}

#[tokio::test(start_paused = true)]
async fn what_a_late_package_brought_is_taken_back() {
    let mut world = world();
    world.set("GTI_LISTS", "malware");
    let late = hours_ago(&world, 100);
    world.gti.set(|knobs| _ = knobs.holes.insert(("malware".to_owned(), late)));
    world.gti.put("malware", hours_ago(&world, 2), &Ioc::domain("first.example"));
    world.gti.put_all("malware", late, many(300, 90));
    world.gti.put_all("malware", hours_ago(&world, 50), many(300, 10));
    world.tick().await;
    world.gti.set(|knobs| knobs.holes.clear());
    pass_hours(1).await;
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 1), "{}", report.message);
}

#[tokio::test(start_paused = true)]
async fn a_missing_package_that_is_on_its_way_does_not_hold_up_what_is_new() {
    let mut world = world();
    world.set("GTI_LISTS", "malware,phishing");
    let hole = ("malware".to_owned(), hours_ago(&world, 5));
    world.gti.set(|knobs| _ = knobs.holes.insert(hole.clone()));
    world.tick().await;
    world.gti.set(|knobs| {
        knobs.holes.clear();
        knobs.late.insert(hole);
    });
    for _ in 0..24 {
        world.gti.put("malware", hours_ago(&world, 1), &Ioc::domain("bad.example"));
        pass_hours(1).await;
        let report = world.tick().await;
        assert_eq!(report.end, End::CaughtUp);
    }
    assert_eq!(world.held(), ["bad.example"]);
}

/// What a package of the past brings and a later one takes back is no mass retraction: not in the first sync, nor where the
/// past is read again. What is taken back afterwards is one.
#[tokio::test(start_paused = true)]
async fn what_a_reading_brought_itself_is_taken_back_without_a_limit() {
    let mut world = world();
    world.set("GTI_LISTS", "malware").set("MINIMUM_CONFIDENCE", "80");
    let values = |confidence, score| {
        let of_one = move |number| Ioc::domain(&format!("bad{confidence}-{number}.example"));
        (0..300).map(move |number| of_one(number).score(Some(score)).confidence(Some(confidence)))
    };
    world.gti.put_all("malware", hours_ago(&world, 100), values(90, 90));
    world.gti.put_all("malware", hours_ago(&world, 50), values(90, 10));
    world.gti.put_all("malware", hours_ago(&world, 40), values(70, 90));
    world.gti.put_all("malware", hours_ago(&world, 30), values(70, 10));
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len(), report.totals().retracted), (End::CaughtUp, 0, 300));

    world.set("MINIMUM_CONFIDENCE", "60");
    pass_hours(1).await;
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len(), report.totals().retracted), (End::CaughtUp, 0, 300));

    world.gti.put_all("malware", hours_ago(&world, 1), values(90, 90));
    pass_hours(1).await;
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 300));
    world.gti.put_all("malware", hours_ago(&world, 1), values(90, 10));
    pass_hours(1).await;
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len()), (End::Stalled, 300), "{report:#?}");
    assert!(report.message.contains("300 of 300 indicators are no longer wanted"), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn two_ranges_over_the_same_days_are_read_once() {
    let mut world = world();
    world.set("GTI_LISTS", "malware");
    world.gti.put("malware", hours_ago(&world, 100), &Ioc::domain("bad.example"));
    world.tick().await;
    world.set("MINIMUM_CONFIDENCE", "75");
    world.gti.forget_requests();
    world.command(RunOptions { lookback_days: Some(7), ..RunOptions::default() }).await;
    assert!(world.gti.asked("malware") < 200, "{}", world.gti.asked("malware"));
}

/// It was read before, and Google need not keep it to the minute.
#[tokio::test(start_paused = true)]
async fn what_google_is_about_to_forget_is_no_loss_where_it_is_read_again() {
    let mut world = world();
    world.set("GTI_LISTS", "malware").set("MINIMUM_CONFIDENCE", "80");
    world.tick().await;
    for hours in [167, 168] {
        let gone = ("malware".to_owned(), hours_ago(&world, hours));
        world.gti.set(|knobs| _ = knobs.holes.insert(gone));
    }
    world.set("MINIMUM_CONFIDENCE", "75");
    pass_hours(1).await;
    for _ in 0..3 {
        let report = world.tick().await;
        assert_eq!((report.end, report.losses.len()), (End::CaughtUp, 0), "{report:#?}");
        pass_hours(1).await;
    }
}
