//! What waits to be seen is remembered, and whatever stands there instead fails no pass; and the setting.

use std::path::PathBuf;

use super::*;

fn file(world: &World) -> PathBuf {
    world.state.path().join("lanes/sentinel/arrival.json")
}

#[tokio::test(start_paused = true)]
async fn a_lane_of_an_earlier_version_begins_to_look() {
    let world = world();
    list(&world, 0, 1);
    world.tick().await;
    std::fs::remove_file(file(&world)).unwrap();
    list(&world, 1, 1);
    let report = tick_after(&world, HOUR).await;
    assert_eq!(numbers(&report), (1, 1, 0), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_damaged_file_fails_no_pass_and_is_replaced() {
    let world = world();
    list(&world, 0, 1);
    world.tick().await;
    std::fs::write(file(&world), "{").unwrap();
    assert!(complaints(&world).await.is_empty());
    let report = tick_after(&world, HOUR).await;
    assert_eq!(numbers(&report), (0, 0, 0), "{report:#?}");
    assert!(std::fs::read_to_string(file(&world)).unwrap().contains("awaited"));
}

#[tokio::test(start_paused = true)]
async fn another_workspace_is_not_asked_for_what_this_one_took() {
    let mut world = world();
    lose(&world, |number| number == 1);
    list(&world, 0, 1);
    world.tick().await;
    world.set("SOURCE_SYSTEM", "Another");
    let report = tick_after(&world, 4 * HOUR).await;
    assert_eq!((numbers(&report).2, report.totals().created), (0, 1), "{report:#?}");
    let report = tick_after(&world, 4 * HOUR).await;
    assert_eq!(numbers(&report).2, 0, "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn it_is_off_without_the_three_names_and_where_it_is_told_so() {
    let mut world = World::new();
    world.set("VERIFY_ARRIVAL", "true");
    let notices = world.start().notices;
    assert!(notices.iter().any(|notice| notice.contains("VERIFY_ARRIVAL has no effect")), "{notices:?}");
    world.verifies().set("VERIFY_ARRIVAL", "false");
    assert!(world.start().notices.is_empty());
    list(&world, 0, 1);
    let report = world.tick().await;
    assert_eq!((numbers(&report), file(&world).exists()), ((0, 0, 0), false), "{report:#?}");
    assert!(report.lanes["sentinel"].delivered.p50_s > 0, "that is measured all the same");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_looks_for_nothing() {
    let world = world();
    lose(&world, |number| number == 1);
    list(&world, 0, 1);
    world.tick().await;
    tokio::time::advance(4 * HOUR).await;
    let queries = world.resource_manager.queries().len();
    let dry = mati_sync::domain::request::RunOptions { dry_run: true, ..Default::default() };
    let report = world.command(dry).await;
    assert_eq!((numbers(&report), world.resource_manager.queries().len()), ((0, 0, 0), queries));
}
