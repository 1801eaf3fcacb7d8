//! Google Threat Intelligence as the source: lists, hours, and what its packages do to a lane.

mod access;
mod again;
mod change;
mod clock;
mod compare;
mod filters;
mod late;
mod losses;
mod past;
mod properties;
mod recorded;
mod records;
mod scale;
mod split;
mod waiting;

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::domain::{outcome::End, report::Report};
use sandbox::gti::{Ioc, hour_of};

use crate::harness::world::World;

/// A world whose source is Google Threat Intelligence, which lists nothing yet.
pub fn world() -> World {
    let mut world = World::new();
    world
        .set("SOURCE", "gti")
        .set("GTI_API_KEY", "sandbox-gti-key")
        .set("MATI_KEY", "")
        .set("MATI_SECRET", "");
    world
}

/// The beginning of the hour so many hours before the present one.
pub fn hours_ago(world: &World, hours: i64) -> DateTime<Utc> {
    hour_of(world.now()) - TimeDelta::hours(hours)
}

pub fn lane(report: &Report) -> &mati_sync::domain::report::LaneReport {
    &report.lanes["sentinel"]
}

/// Lets the time pass.
pub async fn pass_hours(hours: u64) {
    tokio::time::sleep(std::time::Duration::from_secs(hours * 3600)).await;
}

#[tokio::test(start_paused = true)]
async fn every_list_is_read_up_to_the_newest_package_that_is_ready() {
    let world = world();
    world.gti.put("malware", hours_ago(&world, 2), &Ioc::domain("ready.example"));
    world.gti.put("phishing", hours_ago(&world, 100), &Ioc::url("http://old.example/a"));
    world.gti.put("malware", hours_ago(&world, 1), &Ioc::domain("soon.example"));
    let report = world.tick().await;
    assert_eq!(report.end, End::CaughtUp, "{report:#?}");
    assert_eq!(world.held(), ["http://old.example/a", "ready.example"]);
    assert_eq!((lane(&report).counts.read, lane(&report).counts.created), (2, 2));
    assert_eq!(lane(&report).watermark, Some(hours_ago(&world, 1)), "the end of the last hour");
    // The INITIAL_LOOKBACK of 30 days is more than Google keeps, and nothing of it was ever to be had.
    assert!(report.losses.is_empty(), "{report:#?}");
    assert!(report.message.contains("keeps what it lists for 7 days"), "{report:#?}");

    let requests = world.gti.requests();
    assert!(requests.iter().all(|request| request.headers.contains_key("x-tool")));
    assert!(
        requests
            .iter()
            .all(|request| request.headers["user-agent"].to_str().unwrap().starts_with("mati-sync/"))
    );
    assert!(requests.iter().all(|request| request.status != 400), "nothing is asked for before it is ready");

    world.gti.forget_requests();
    pass_hours(1).await;
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 3), "{report:#?}");
    let asked = world.gti.requests().iter().filter(|request| !request.list.is_empty()).count();
    assert_eq!(asked, 14, "one request for each list");
    assert_eq!(lane(&report).message, None, "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_package_that_is_not_ready_is_no_error_and_is_read_later() {
    let world = world();
    // An hour later than we believe, and one list later still.
    world.gti.set(|knobs| {
        knobs.delay = TimeDelta::hours(3);
        knobs.late.insert(("malware".to_owned(), hour_of(world.now()) - TimeDelta::hours(3)));
    });
    for (list, value) in [("malware", "late.example"), ("phishing", "ready.example")] {
        world.gti.put(list, hours_ago(&world, 3), &Ioc::domain(value));
    }
    world.gti.put("phishing", hours_ago(&world, 2), &Ioc::domain("not-yet.example"));
    let report = world.tick().await;
    assert_eq!((report.end, world.held()), (End::CaughtUp, vec!["ready.example".to_owned()]), "{report:#?}");
    assert!(report.losses.is_empty());
    assert_eq!(lane(&report).watermark, Some(hours_ago(&world, 3)), "as far as every list is");

    world.gti.set(|knobs| knobs.late.clear());
    pass_hours(1).await;
    let report = world.tick().await;
    assert_eq!(report.end, End::CaughtUp, "{report:#?}");
    assert_eq!(world.held(), ["late.example", "not-yet.example", "ready.example"]);
    assert_eq!(lane(&report).watermark, Some(hours_ago(&world, 2)));
}

#[tokio::test(start_paused = true)]
async fn a_missing_package_is_tried_again_and_named_when_it_is_lost() {
    let world = world();
    world.tick().await;
    let hour = hours_ago(&world, 1);
    world.gti.set(|knobs| knobs.holes.extend([("malware".to_owned(), hour), ("phishing".to_owned(), hour)]));
    for list in ["malware", "phishing"] {
        world.gti.put(list, hour, &Ioc::domain(&format!("{list}.example")));
    }
    pass_hours(1).await;
    let report = world.tick().await;
    assert_eq!(report.end, End::CaughtUp, "{report:#?}");
    assert_eq!(
        lane(&report).watermark,
        Some(hour + TimeDelta::hours(1)),
        "the watermark does not wait for it"
    );
    let told = lane(&report).message.clone().expect("a missing package is told");
    assert!(told.contains("is missing (malware, phishing)"), "{told}");
    assert!(report.losses.is_empty(), "it may still come");

    world.gti.set(|knobs| {
        knobs.holes.remove(&("phishing".to_owned(), hour));
    });
    pass_hours(20).await;
    let report = world.tick().await;
    assert_eq!(world.held(), ["phishing.example"], "{report:#?}");
    assert!(lane(&report).message.as_deref().unwrap_or_default().contains("(malware)"), "{report:#?}");

    pass_hours(6 * 24 + 6).await;
    let report = world.tick().await;
    let [loss] = &report.losses[..] else { panic!("{report:#?}") };
    assert_eq!((loss.what.as_str(), loss.from, loss.to), ("malware", hour, hour + TimeDelta::hours(1)));
    assert_eq!((report.end, &lane(&report).message), (End::CaughtUp, &None), "{report:#?}");
    assert!(world.tick().await.losses.is_empty(), "it is told once");
    let overview = world.start().engine.overview().await.unwrap();
    let noted = &overview.lanes["sentinel"].as_ref().unwrap().losses;
    assert_eq!(noted.len(), 1, "{noted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_gap_of_more_than_seven_days_is_a_loss() {
    let mut world = world();
    world.set("GTI_LISTS", "malware,phishing");
    world.tick().await;
    let stood = hours_ago(&world, 1);
    pass_hours(10 * 24).await;
    let report = world.tick().await;
    let [loss] = &report.losses[..] else { panic!("{report:#?}") };
    assert_eq!((loss.what.as_str(), loss.from), ("malware, phishing", stood));
    assert_eq!(loss.to, hours_ago(&world, 7 * 24), "{report:#?}");
    assert_eq!(report.end, End::CaughtUp);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_added_or_opened_later_delivers_its_past() {
    let mut world = world();
    world.set("GTI_LISTS", "malware,phishing");
    world.gti.set(|knobs| {
        knobs.forbidden.insert("phishing".to_owned());
    });
    for list in ["malware", "phishing", "trending"] {
        world.gti.put(list, hours_ago(&world, 50), &Ioc::domain(&format!("{list}.example")));
    }
    let report = world.tick().await;
    assert_eq!(
        (report.end, world.held()),
        (End::CaughtUp, vec!["malware.example".to_owned()]),
        "{report:#?}"
    );
    let told = lane(&report).message.clone().expect("a list that cannot be read is named");
    assert!(
        told.contains("phishing: the licence does not give it (it comes with Enterprise Plus)"),
        "{told}"
    );

    pass_hours(3).await;
    world.set("GTI_LISTS", "malware,phishing,trending");
    let before = lane(&report).watermark;
    let report = world.tick().await;
    assert_eq!(world.held(), ["malware.example", "trending.example"], "{report:#?}");
    assert!(lane(&report).watermark > before);

    world.gti.set(|knobs| knobs.forbidden.clear());
    let report = world.tick().await;
    assert_eq!(world.held(), ["malware.example", "phishing.example", "trending.example"], "{report:#?}");
    assert_eq!((&lane(&report).message, report.losses.len()), (&None, 0), "{report:#?}");
}

/// Google says nothing of what left a list, so nothing follows from silence.
#[tokio::test(start_paused = true)]
async fn silence_never_retracts_and_a_package_that_repeats_a_value_renews_it() {
    let world = world();
    for value in ["kept.example", "repeated.example"] {
        world.gti.put("malware", hours_ago(&world, 2), &Ioc::domain(value));
    }
    world.tick().await;
    for _ in 0..6 {
        pass_hours(24).await;
        world.gti.put("malware", hours_ago(&world, 2), &Ioc::domain("repeated.example"));
        let report = world.tick().await;
        assert_eq!((report.end, report.totals().retracted), (End::CaughtUp, 0), "{report:#?}");
        assert_eq!(world.held(), ["kept.example", "repeated.example"], "{report:#?}");
    }
    pass_hours(30).await;
    assert_eq!(world.held(), ["repeated.example"], "it ages out, and the other one was renewed");
}
