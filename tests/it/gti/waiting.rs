//! Retractions that wait for a confirmation longer than Google keeps their records, and why what is new waits.

use mati_sync::domain::{outcome::End, report::Report};
use sandbox::gti::Ioc;

use super::{hours_ago, lane, pass_hours, world};

/// Files, which are valid for long.
fn files(score: i64) -> impl Iterator<Item = Ioc> {
    (0..300).map(move |n| Ioc::file(&format!("{:064x}", n + 4096), None).score(Some(score)))
}

/// Without its record the destination cannot be told to let go of a value: so that is told, and nothing is promised.
#[tokio::test(start_paused = true)]
async fn retractions_that_google_gives_no_more_are_given_up_and_told() {
    let mut world = world();
    world.set("GTI_LISTS", "malware");
    world.gti.put_all("malware", hours_ago(&world, 3), files(90));
    world.tick().await;
    pass_hours(25).await;
    world.gti.put_all("malware", hours_ago(&world, 2), files(10));
    let report = world.tick().await;
    assert_eq!((report.end, lane(&report).withheld.retracted), (End::Stalled, 300), "{}", report.message);
    let until = (hours_ago(&world, 2) + chrono::TimeDelta::days(7)).format("%Y-%m-%d %H:%M UTC");
    let said = format!("The first of them can be confirmed until {until}");
    assert!(report.message.contains(&said), "{said}: {}", report.message);
    let mut reports: Vec<Report> = Vec::new();
    for _ in 0..8 {
        pass_hours(24).await;
        reports.push(world.tick().await);
    }
    let gave_up = |report: &&Report| {
        report
            .message
            .contains("300 indicators that are no longer wanted waited for confirmation until Google")
    };
    assert_eq!(reports.iter().filter(gave_up).count(), 1, "{reports:#?}");
    let last = reports.last().expect("it ran");
    assert_eq!((last.end, lane(last).withheld.retracted, world.held().len()), (End::CaughtUp, 0, 300));
    let order = mati_sync::domain::request::RunOptions { confirm_retraction: true, ..Default::default() };
    let report = world.command(order).await;
    assert!(
        report.message.contains("0 indicators that are no longer wanted are retracted"),
        "{}",
        report.message
    );
}

/// Neither by the settings that were changed back nor by its records.
#[tokio::test(start_paused = true)]
async fn what_google_gives_no_more_keeps_nothing_else_from_being_retracted() {
    let mut world = world();
    world.set("GTI_LISTS", "malware");
    world.gti.put_all("malware", hours_ago(&world, 160), files(90));
    world.tick().await;
    world.set("MINIMUM_THREAT_SCORE", "95");
    pass_hours(1).await;
    let report = world.tick().await;
    assert_eq!((report.end, lane(&report).withheld.retracted), (End::Stalled, 300), "{:?}", report.message);
    world.set("MINIMUM_THREAT_SCORE", "");
    pass_hours(24).await;
    world.tick().await;
    // A true retraction meanwhile.
    world.gti.put("malware", hours_ago(&world, 1), &Ioc::domain("one.example"));
    pass_hours(1).await;
    world.tick().await;
    world.gti.put("malware", hours_ago(&world, 1), &Ioc::domain("one.example").score(Some(3)));
    pass_hours(1).await;
    world.tick().await;
    assert!(!world.held().contains(&"one.example".to_owned()));
    for _ in 0..20 {
        pass_hours(24).await;
        let report = world.tick().await;
        assert_eq!(report.end, End::CaughtUp, "{}", report.message);
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_told_that_settings_make_indicators_new() {
    let mut world = world();
    world.set("GTI_LISTS", "malware");
    let of = |count: usize, confidence: i64| {
        (0..count)
            .map(move |n| Ioc::domain(&format!("many{confidence}-{n}.example")).confidence(Some(confidence)))
    };
    world.gti.put_all("malware", hours_ago(&world, 3), of(10, 90));
    world.gti.put_all("malware", hours_ago(&world, 2), of(2300, 77));
    world.tick().await;
    world.set("MINIMUM_CONFIDENCE", "75");
    pass_hours(25).await;
    let report = world.tick().await;
    assert!(report.message.contains("because the settings were changed"), "{}", report.message);
}
