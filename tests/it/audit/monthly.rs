//! The audit that runs by itself: when, as a part of which passes, and what becomes of what it finds.

use std::time::Duration;

use chrono::TimeDelta;
use mati_sync::{
    domain::{findings::Repair, outcome::End, report::Report, request::RunOptions},
    pass::Work,
};
use sandbox::{corpus::Record, sentinel::Authorization};

use super::{
    DAY, HOUR, numbers,
    sentinel::{address, held},
};
use crate::harness::world::World;

/// A tick each day; the reports with an audit, and after how many days they came.
async fn days(world: &World, count: u32) -> Vec<(u32, Report)> {
    let mut audited = Vec::new();
    for day in 1..=count {
        tokio::time::advance(DAY).await;
        let report = world.tick().await;
        assert_eq!(report.end, End::CaughtUp, "{report:#?}");
        if report.lanes["sentinel"].audit.is_some() {
            audited.push((day, report));
        }
    }
    audited
}

fn on(audited: &[(u32, Report)]) -> Vec<u32> {
    audited.iter().map(|(day, _)| *day).collect()
}

#[tokio::test(start_paused = true)]
async fn it_runs_every_thirty_days_and_only_reports() {
    let world = held().await;
    let audited = days(&world, 29).await;
    assert_eq!(on(&audited), [0; 0], "not in the first month");
    assert!(world.kept().is_none());
    world.delete_by_hand(&address(9));
    let audited = days(&world, 32).await;
    assert_eq!(on(&audited), [1, 31], "and once a month");
    let findings = audited[0].1.lanes["sentinel"].audit.clone().unwrap();
    assert_eq!((numbers(&findings), findings.repair), (([1, 0, 0, 0], 0), Repair::No));
    assert!(audited[0].1.message.contains("1 missing"), "{}", audited[0].1.message);
}

#[tokio::test(start_paused = true)]
async fn what_it_finds_is_complained_about_until_it_is_repaired() {
    let mut world = held().await;
    world.set("AUDIT_DAYS", "1");
    world.delete_by_hand(&address(9));
    assert_eq!(on(&days(&world, 1).await), [1]);
    let overview = world.start().engine.overview().await.unwrap();
    let complaints = overview.complaints(None);
    assert!(complaints[0].contains("mati-sync audit --repair"), "{complaints:?}");
    let body = overview.body(None, false);
    assert_eq!(
        (&body["healthy"], &body["audit"]["lanes"]["sentinel"]["missing"]),
        (&false.into(), &1.into())
    );
    tokio::time::advance(HOUR).await;
    world.repair().await;
    assert_eq!(world.start().engine.overview().await.unwrap().complaints(None), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn zero_days_are_never_and_commands_and_dry_runs_do_not_begin_it() {
    let mut world = held().await;
    world.set("AUDIT_DAYS", "0");
    assert_eq!(on(&days(&world, 40).await), [0; 0]);
    world.set("AUDIT_DAYS", "30");
    for order in [RunOptions::default(), RunOptions { dry_run: true, ..RunOptions::default() }] {
        let report = world.command(order).await;
        assert!(report.lanes["sentinel"].audit.is_none(), "{report:#?}");
    }
    let request = RunOptions { lookback_days: Some(1), ..RunOptions::default() };
    let message = world.start().engine.accept(request).await.unwrap();
    let ended = world.run(Work::QueueMessage(message), Duration::from_secs(600)).await;
    assert!(ended.reports.iter().all(|report| report.lanes["sentinel"].audit.is_none()), "{ended:#?}");
    assert!(world.kept().is_none());
    assert!(world.tick().await.lanes["sentinel"].audit.is_some(), "it was due all the time");
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_after_a_pause_and_finds_the_same() {
    let mut world = World::new();
    world.adopts().set("AUDIT_DAYS", "1");
    let address = |n: u32| format!("198.{}.{}.1", 51 + n / 250, n % 250);
    let at = world.ago(TimeDelta::days(2));
    world.mandiant.put_all((0..3000).map(|n| Record::ipv4(&address(n)).updated(at)));
    world.tick().await;
    tokio::time::advance(DAY).await;
    for n in (0..3000).step_by(300) {
        world.delete_by_hand(&address(n));
    }
    world.resource_manager.knobs(|knobs| knobs.largest_page = 20);
    let pages = world.resource_manager.queries().len();
    let reports = world.chain(Duration::from_secs(12)).await;
    assert!(reports.len() > 2, "{reports:#?}");
    for report in &reports[..reports.len() - 1] {
        assert_eq!(
            (report.end, report.lanes["sentinel"].audit.is_none()),
            (End::Paused, true),
            "{report:#?}"
        );
    }
    let last = reports.last().unwrap();
    let findings = last.lanes["sentinel"].audit.clone().unwrap();
    assert_eq!((last.end, findings.held, numbers(&findings)), (End::CaughtUp, 3000, ([10, 0, 0, 0], 0)));
    let pages = world.resource_manager.queries().len() - pages;
    assert!((150..=155).contains(&pages), "{pages} queries for 150 pages");
}

#[tokio::test(start_paused = true)]
async fn a_workspace_that_does_not_answer_stalls_nothing_and_is_asked_again_a_day_later() {
    let mut world = held().await;
    world.set("AUDIT_DAYS", "30");
    world.resource_manager.authorize(|_, _| Authorization::Forbidden);
    let audited = days(&world, 32).await;
    assert_eq!(on(&audited), [30, 31, 32]);
    assert!(audited[0].1.message.contains("Microsoft Sentinel Reader"), "{}", audited[0].1.message);
    let overview = world.start().engine.overview().await.unwrap();
    assert_eq!(overview.complaints(None), [""; 0], "the lane delivers");

    // Without the three names there is nothing to be said.
    for name in ["AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP_NAME", "AZURE_WORKSPACE_NAME"] {
        world.set(name, "");
    }
    assert_eq!(on(&days(&world, 40).await), [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_lane_of_an_earlier_version_is_audited_at_once() {
    let world = held().await;
    let path = world.state.path().join("lanes/sentinel/progress.json");
    let mut progress: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(progress.as_object_mut().unwrap().remove("audit").is_some());
    std::fs::write(&path, progress.to_string()).unwrap();
    assert!(world.tick().await.lanes["sentinel"].audit.is_some());
}
