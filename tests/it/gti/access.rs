//! Keys, licences, quotas, and what stands between.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use chrono::TimeDelta;
use mati_sync::{
    check::{self, Finding, Verdict},
    clock::Deadline,
    domain::{outcome::End, request::RunOptions},
    pass::Work,
};
use sandbox::{
    gti::{Ioc, Rate, Tier, hour_of},
    net::Fault,
};

use super::{hours_ago, lane, pass_hours, world};
use crate::harness::{vault::with_key_vault, world::World};

async fn findings(world: &World) -> Vec<Finding> {
    let app = world.start();
    check::run(&app.engine, app.schedule.as_deref()).await
}

#[tokio::test(start_paused = true)]
async fn a_licence_gives_its_lists_and_the_others_are_named() {
    let world = world();
    world.gti.set(|knobs| knobs.tier = Tier::Enterprise);
    world.gti.put("malware", hours_ago(&world, 2), &Ioc::domain("bad.example"));
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 1), "{report:#?}");
    let told = lane(&report).message.clone().unwrap();
    assert!(
        told.contains("cryptominer, first-stage-delivery-vectors") && told.contains("Enterprise Plus"),
        "{told}"
    );
    assert_eq!(world.gti.asked("phishing"), 1, "a list that is forbidden is asked once in a pass");
}

#[tokio::test(start_paused = true)]
async fn a_licence_without_any_list_stalls() {
    let mut world = world();
    world.set("GTI_LISTS", "malware,phishing");
    world.gti.set(|knobs| knobs.tier = Tier::Standard);
    let report = world.tick().await;
    assert_eq!(report.end, End::Stalled, "{report:#?}");
    assert!(report.message.contains("lets us read none of its lists"), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_does_not_exist_is_left_out_and_named() {
    let mut world = world();
    world.set("GTI_LISTS", "malware,malwares");
    world.gti.put("malware", hours_ago(&world, 2), &Ioc::domain("bad.example"));
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 1), "{report:#?}");
    assert!(
        lane(&report).message.as_ref().unwrap().contains("malwares: there is no such list"),
        "{report:#?}"
    );
    assert_eq!(world.gti.asked("malwares"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_is_used_up_stops_the_pass_where_it_is() {
    let world = world();
    world.gti.put("malware", hours_ago(&world, 100), &Ioc::domain("first.example"));
    world.gti.put("malware", hours_ago(&world, 2), &Ioc::domain("last.example"));
    world.gti.set(|knobs| knobs.daily_quota = Some(1500));
    let report = world.tick().await;
    assert_eq!((report.end, world.held()), (End::Stalled, vec!["first.example".to_owned()]), "{report:#?}");
    assert!(report.message.contains("a daily one is full at 2026-03-03 00:00 UTC"), "{report:#?}");
    let stood = lane(&report).watermark.unwrap();
    assert!(stood > hours_ago(&world, 100), "the position is kept");

    pass_hours(13).await;
    world.gti.forget_requests();
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 2), "{report:#?}");
    let first = world.gti.requests().iter().map(|request| request.package.clone()).find(|it| !it.is_empty());
    assert_eq!(first.unwrap(), stood.format("%Y%m%d%H").to_string(), "it goes on where it stood");
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_waited_for() {
    for retry_after in [false, true] {
        let mut world = world();
        world.set("GTI_LISTS", "malware").set("INITIAL_LOOKBACK", "1");
        world.gti.set(|knobs| knobs.rate = Some(Rate { per_minute: 10, retry_after }));
        world.gti.put("malware", hours_ago(&world, 2), &Ioc::domain("bad.example"));
        let report = world.tick().await;
        assert_eq!((report.end, world.held().len()), (End::CaughtUp, 1), "{report:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_key_is_named_by_its_setting_and_never_shown() {
    let mut world = world();
    world.set("GTI_API_KEY", "wrong-key-value");
    let report = world.tick().await;
    assert_eq!(report.end, End::Stalled);
    assert!(report.message.contains("401 WrongCredentialsError") && report.message.contains("GTI_API_KEY"));
    assert!(!report.message.contains("wrong-key-value"), "{}", report.message);
}

#[tokio::test(start_paused = true)]
async fn records_that_nothing_assesses_stall_and_the_header_is_named() {
    let world = world();
    world.gti.set(|knobs| knobs.is_unassessed = true);
    let domains = (0..20).map(|n| Ioc::domain(&format!("bad{n}.example")));
    world.gti.put_all("malware", hours_ago(&world, 2), domains);
    let report = world.tick().await;
    assert_eq!(report.end, End::Stalled, "{report:#?}");
    assert!(report.message.contains("x-tool"), "{report:#?}");
    assert!(lane(&report).watermark < Some(hours_ago(&world, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_few_records_without_assessment_are_dropped() {
    let world = world();
    world.gti.set(|knobs| knobs.is_unassessed = true);
    let domains = (0..19).map(|n| Ioc::domain(&format!("bad{n}.example")));
    world.gti.put_all("malware", hours_ago(&world, 2), domains);
    let report = world.tick().await;
    assert_eq!((report.end, lane(&report).counts.dropped.threat_score), (End::CaughtUp, 19), "{report:#?}");
}

/// Answers that break, come from elsewhere or tell of a moment's trouble are asked for again.
#[tokio::test(start_paused = true)]
async fn transient_trouble_costs_nothing() {
    for fault in [
        Fault::ResetBefore,
        Fault::ResetInBody(200),
        Fault::status(503),
        Fault::status(504),
        Fault::AnswerBefore(StatusCode::OK, Default::default(), r#"{"iocs":[{"data":"#.into()),
        Fault::AnswerBefore(StatusCode::OK, Default::default(), "<html>sign in</html>".into()),
        Fault::AnswerBefore(
            StatusCode::OK,
            Default::default(),
            r#"{"error":{"code":"TransientError","message":"again"}}"#.into(),
        ),
        Fault::DelayBefore(Duration::from_secs(130)),
    ] {
        let mut world = world();
        world.set("GTI_LISTS", "malware,phishing");
        world.gti.put("malware", hours_ago(&world, 2), &Ioc::domain("bad.example"));
        let shown = format!("{fault:?}");
        let package = hours_ago(&world, 2).format("malware/%Y%m%d%H").to_string();
        let tries = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = Arc::clone(&tries);
        world.net.on_request(move |exchange| {
            let is_it = exchange.uri.path().ends_with(&package);
            (is_it && counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 2).then(|| fault.clone())
        });
        let report = world.tick().await;
        assert_eq!((report.end, world.held().len()), (End::CaughtUp, 1), "{shown}: {report:#?}");
        assert_eq!(tries.load(std::sync::atomic::Ordering::Relaxed), 3, "{shown}");
        assert!(report.losses.is_empty());
    }
}

/// A clock that is ahead must give nothing up, and ask for nothing that is not there.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_ahead_loses_nothing() {
    let mut world = world();
    world.set("GTI_LISTS", "malware");
    world.gti.put("malware", hours_ago(&world, 2), &Ioc::domain("bad.example"));
    world.gti.put("malware", hours_ago(&world, 150), &Ioc::domain("old.example"));
    world.clock.jump(TimeDelta::days(20));
    let report = world.tick().await;
    assert_eq!(report.end, End::CaughtUp, "{report:#?}");
    assert_eq!(world.sentinel.stored().len(), 2, "{report:#?}");
    assert_eq!(lane(&report).watermark, Some(hour_of(world.now()) - TimeDelta::hours(1)));
    world.clock.jump(TimeDelta::days(-20));
    let report = world.tick().await;
    assert!(report.losses.is_empty() && report.end == End::CaughtUp, "{report:#?}");
}

/// A pass to which Google did not tell the time, and that dies, leaves a range that ends in the future: no package of that is
/// asked for, but the first.
#[tokio::test(start_paused = true)]
async fn what_is_to_be_read_again_ends_with_what_there_is() {
    let mut world = world();
    world.set("GTI_LISTS", "malware");
    world.gti.put("malware", hours_ago(&world, 2), &Ioc::domain("bad.example"));
    world.tick().await;
    world.clock.jump(TimeDelta::days(4));
    world.gti.set(|knobs| knobs.body_delay = Duration::from_secs(3));
    world.net.on_request(|exchange| exchange.uri.path().ends_with("overall_quotas").then_some(Fault::Refuse));
    let app = world.start();
    let (_sender, stop) = tokio::sync::watch::channel(false);
    let deadline = Deadline::for_invocation(Duration::from_secs(600), stop);
    let order = RunOptions { lookback_days: Some(6), ..RunOptions::default() };
    let running = app.engine.run(Work::Command(order), None, &deadline);
    assert!(tokio::time::timeout(Duration::from_secs(1), running).await.is_err(), "it is killed");
    world.clock.jump(TimeDelta::days(-4));
    pass_hours(1).await;
    world.gti.forget_requests();
    let report = world.tick().await;
    assert_eq!(report.end, End::CaughtUp, "{report:#?}");
    let asked = world.gti.asked("malware");
    // What was new, two days of those that were to be read again, and one package of the future.
    assert!((48..52).contains(&asked), "{asked} requests: {report:#?}");
    world.gti.forget_requests();
    world.tick().await;
    assert_eq!(world.gti.asked("malware"), 0, "it has ended");
}

/// A backlog of many hours is worked off in as many passes as it takes.
#[tokio::test(start_paused = true)]
async fn a_pass_that_runs_out_of_time_is_continued_at_its_hour() {
    let mut world = world();
    world.set("GTI_LISTS", "malware,phishing").set("SENTINEL_REQUESTS_PER_MINUTE", "5");
    for hours in 2..20 {
        let domains = (0..150).map(|n| Ioc::domain(&format!("bad{hours}-{n}.example")));
        world.gti.put_all("malware", hours_ago(&world, hours), domains);
    }
    let reports = world.chain(Duration::from_secs(180)).await;
    assert!(reports.len() > 2, "{}", reports.len());
    assert_eq!(reports.last().unwrap().end, End::CaughtUp, "{:#?}", reports.last());
    assert_eq!(world.held().len(), 18 * 150);
    let created: u64 = reports.iter().map(|report| report.totals().created).sum();
    assert_eq!(created, 18 * 150, "nothing is sent twice");
    let ended = world.run(Work::Timer, Duration::from_secs(600)).await;
    assert_eq!(ended.reports[0].totals().created, 0);
}

/// What `check` says: the quota, each list with its licence, whether records are assessed.
#[tokio::test(start_paused = true)]
async fn check_shows_the_quota_and_each_list_with_its_licence() {
    let mut world = world();
    world.gti.set(|knobs| knobs.tier = Tier::Enterprise);
    world.gti.put_all("malware", hours_ago(&world, 2), (0..7).map(|n| Ioc::domain(&format!("a{n}.example"))));
    let all = findings(&world).await;
    let of = |name: &str| {
        all.iter().find(|finding| finding.check == name).unwrap_or_else(|| panic!("{name}: {all:#?}"))
    };
    let key = of("Google Threat Intelligence");
    assert!(key.result.contains("0 of 20,000 requests of today are used"), "{key:#?}");
    assert!(of("Threat list malware").result.contains("it comes with Enterprise and Enterprise Plus"));
    assert!(of("Threat list phishing").result.contains("passes leave it out"), "{all:#?}");
    assert!(of("Assessments").result.contains("of malware have it"), "{all:#?}");
    assert!(all.iter().all(|finding| finding.verdict != Verdict::Failed), "{all:#?}");

    // A list that was asked for by name is missed.
    world.set("GTI_LISTS", "malware,phishing,malwares");
    world.gti.set(|knobs| knobs.is_unassessed = true);
    let all = findings(&world).await;
    let failed: Vec<&str> =
        all.iter().filter(|it| it.verdict == Verdict::Failed).map(|it| it.check.as_str()).collect();
    assert_eq!(failed, ["Threat list phishing", "Threat list malwares", "Assessments"], "{all:#?}");
    let text = format!("{all:?}");
    assert!(text.contains("x-tool") && !text.contains("sandbox-gti-key"), "{text}");
}

/// The key is part of one address, and no failure of that request may show it.
#[tokio::test(start_paused = true)]
async fn the_key_in_an_address_reaches_no_message() {
    for fault in [
        Fault::Refuse,
        Fault::ResetBefore,
        Fault::ResetInBody(9),
        Fault::status(500),
        Fault::status(404),
        Fault::AnswerBefore(StatusCode::OK, Default::default(), "<html>sandbox-gti-key</html>".into()),
        Fault::Hang,
    ] {
        let world = world();
        let shown = format!("{fault:?}");
        world.net.on_request(move |exchange| {
            exchange.uri.path().ends_with("/overall_quotas").then(|| fault.clone())
        });
        world.gti.put("malware", hours_ago(&world, 2), &Ioc::domain("bad.example"));
        // It is not needed for a pass.
        let report = world.tick().await;
        assert_eq!((report.end, world.held().len()), (End::CaughtUp, 1), "{shown}: {report:#?}");
        let all = findings(&world).await;
        let key = all.iter().find(|finding| finding.check == "Google Threat Intelligence").unwrap();
        let told = format!("{key:?}").replace("<html>sandbox-gti-key</html>", "");
        assert!(!told.contains("sandbox-gti-key"), "{shown}: {told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rotated_key_is_read_again() {
    let mut world = world();
    let vault = with_key_vault(&mut world);
    vault.set("gti-api-key", "old-key");
    world.set("GTI_API_KEY", "");
    world.gti.set(|knobs| knobs.key = "old-key".into());
    world.gti.put("malware", hours_ago(&world, 2), &Ioc::domain("bad.example"));
    let app = world.start();
    let (_sender, stop) = tokio::sync::watch::channel(false);
    let deadline = mati_sync::clock::Deadline::for_invocation(Duration::from_secs(24 * 3600), stop);
    app.engine.run(Work::Timer, None, &deadline).await;
    // The same process goes on with a key that the service knows no more.
    world.gti.set(|knobs| knobs.key = "new-key".into());
    vault.set("gti-api-key", "new-key");
    pass_hours(1).await;
    world.gti.put("malware", hours_ago(&world, 2), &Ioc::domain("new.example"));
    let ended = app.engine.run(Work::Timer, None, &deadline).await;
    assert_eq!((ended.reports[0].end, world.held().len()), (End::CaughtUp, 2), "{:#?}", ended.reports);
}
