//! What the page says first when something is wrong: the cause, once, with what to do.

use chrono::TimeDelta;
use mati_sync::clock::Deadline;
use sandbox::{corpus::Record, sentinel::Authorization};
use serde_json::json;

use super::{an_hour_passes, busy, page, world, write};
use crate::harness::world::World;

#[tokio::test(start_paused = true)]
async fn when_a_lane_stalls_the_page_says_why_which_since_when_and_what_to_do() {
    let world = busy(3).await;
    world.sentinel.authorize(|_, _| Authorization::Forbidden);
    let at = world.ago(TimeDelta::minutes(30));
    world.mandiant.put(Record::ipv4("203.0.113.9").updated(at));
    world.tick().await;
    an_hour_passes().await;
    world.tick().await;
    let page = page(&world, json!({}), "stalled").await;
    let text = page.text();
    const CAUSE: &str = "Sentinel rejects the identity that uploads: Microsoft Sentinel waits";
    assert_eq!(page.headline(), CAUSE);
    assert_eq!(page.title(), format!("mati-sync: {CAUSE}"));
    assert!(text.contains("Since 2026-03-02 15:"), "{text}");
    assert!(page.section("now").contains("the role Microsoft Sentinel Contributor"), "{text}");
    assert!(page.section("lane-defender").starts_with("Defender for Endpoint caught up"), "{text}");
    assert!(page.link("Runbook: Sentinel").is_some(), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_both_destinations_wait_for_is_told_once() {
    let world = busy(2).await;
    world.mandiant.set(|knobs| knobs.secret = "another".to_owned());
    world.tick().await;
    an_hour_passes().await;
    world.tick().await;
    let overview = page(&world, json!({}), "source").await;
    assert_eq!(overview.headline(), "Mandiant rejects the API key: both destinations wait");
    let now = overview.section("now");
    assert_eq!(now.matches("MATI_SECRET").count(), 1, "{now}");
    assert!(now.contains("Both destinations: Mandiant"), "{now}");
    // Among the passes it stands once in each.
    let newest = overview.section("newest");
    assert_eq!(newest.matches("Mandiant rejects the API key").count(), 2, "{newest}");
    assert_eq!(newest.matches("nothing was read").count(), 2, "{newest}");

    // The runbook says more, and its own page has the row that the message belongs to.
    assert_eq!(overview.link("Runbook: Mandiant").as_deref(), Some("?runbook=mandiant"));
    let runbook = page(&world, json!({ "runbook": "mandiant" }), "runbook").await;
    assert!(
        runbook.section("mandiant").contains("Rotate the key (docs/operations.md)"),
        "{}",
        runbook.text()
    );
    assert!(!runbook.text().contains("Defender for Endpoint's indicators API"));
    let all = page(&world, json!({ "runbook": "all" }), "runbook-all").await;
    assert!(all.section("settings-and-schedule").contains("SYNC_CRON"));
}

/// Two lanes that wait for different things are told apart.
#[tokio::test(start_paused = true)]
async fn two_causes_are_two_tasks() {
    let world = busy(2).await;
    let at = world.ago(TimeDelta::minutes(30));
    world.mandiant.put(Record::ipv4("203.0.113.9").updated(at));
    world.sentinel.authorize(|_, _| Authorization::Forbidden);
    world.defender.knobs(|knobs| knobs.permission = false);
    world.tick().await;
    let page = page(&world, json!({}), "two-causes").await;
    assert_eq!(
        page.headline(),
        "Defender for Endpoint rejects the identity that uploads: Defender for Endpoint waits; Sentinel rejects the identity that uploads: Microsoft Sentinel waits"
    );
    assert_eq!(page.all("li").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn retractions_that_wait_are_told_once_with_how_to_confirm_them() {
    let world = world();
    super::states::retract_much(&world).await;
    let page = page(&world, json!({}), "withheld").await;
    let headline = page.headline();
    assert!(headline.ends_with("retractions wait for your confirmation at both destinations"), "{headline}");
    let now = page.section("now");
    for once in ["--confirm-retraction", "{\"confirm_retraction\": true}", "change the settings back"] {
        assert_eq!(now.matches(once).count(), 1, "{once}: {now}");
    }
    assert!(now.contains("at Microsoft Sentinel") && now.contains("at Defender for Endpoint"), "{now}");
    assert_eq!(page.all("li").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn once_all_is_well_again_the_last_failure_is_still_told() {
    let world = busy(2).await;
    let secret = std::cell::RefCell::new(String::new());
    world
        .mandiant
        .set(|knobs| *secret.borrow_mut() = std::mem::replace(&mut knobs.secret, "another".to_owned()));
    let failed = world.tick().await;
    an_hour_passes().await;
    world.mandiant.set(|knobs| knobs.secret.clone_from(&secret.borrow()));
    world.tick().await;
    let page = page(&world, json!({}), "recovered").await;
    assert!(page.headline().starts_with("Healthy since 2026-03-02 "), "{}", page.headline());
    let newest = page.section("newest");
    assert!(newest.contains(": Mandiant rejects the API key"), "{newest}");
    let when = failed.started_at.format("%Y-%m-%d %H:%M UTC").to_string();
    let link = page.link(&when).expect("a link to the pass that failed");
    assert_eq!(link, format!("?run={}", failed.run_id));
    assert!(newest.contains(&format!("Last failure{when}")), "{newest}");
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_stopped_is_no_health() {
    let world = busy(2).await;
    tokio::time::sleep(std::time::Duration::from_secs(3 * 86_400)).await;
    let page = page(&world, json!({}), "late").await;
    assert!(page.headline().starts_with("Late: a pass was due at 2026-03-02 13:45 UTC"), "{}", page.text());
    assert!(page.section("now").contains("SyncTimer"));
}

#[tokio::test(start_paused = true)]
async fn throttling_and_a_full_destination_are_told_of_the_lane() {
    let mut world = world();
    world.set("DEFENDER_INDICATOR_LIMIT", "3");
    let at = world.ago(TimeDelta::minutes(30));
    world.mandiant.put_all((1..6).map(|n| Record::ipv4(&format!("198.51.100.{n}")).updated(at)));
    let busy = || sandbox::sentinel::Answer { status: 429, headers: Vec::new(), body: "{}".to_owned() };
    world.sentinel.knobs(|knobs| knobs.script.push_back(busy()));
    world.tick().await;
    let page = page(&world, json!({}), "limits").await;
    let sentinel = page.section("lane-sentinel");
    assert!(sentinel.contains("Requests throttled1 of 2 in the newest passes"), "{sentinel}");
    let defender = page.section("lane-defender");
    assert!(defender.contains("Indicators held3; the limit is 3"), "{defender}");
    assert!(defender.contains("Left out for lack of capacity2 in the last pass"), "{defender}");
    assert!(!defender.contains("throttled") && !sentinel.contains("limit is"), "{sentinel} {defender}");
}

/// A reader of the page while a pass is under way must not take it for one that does not run.
#[tokio::test(start_paused = true)]
async fn a_pass_under_way_is_shown() {
    const RUN_ID: &str = "20260302T120000000Z-00aa";
    let (in_azure, _blobs) = World::with_blobs();
    for (world, name) in [(world(), "directory"), (in_azure, "azure")] {
        seen(&world, None, &format!("never-ran-{name}")).await;
        let store = (world.start().engine.open_store)().unwrap();
        store.prepare().await.unwrap();
        let deadline = Deadline::after(std::time::Duration::from_secs(9));
        let lease = store.lease(RUN_ID, &deadline).await.unwrap().expect("no other instance holds it");
        seen(&world, Some(RUN_ID), &format!("running-{name}")).await;
        lease.release().await;
        seen(&world, None, &format!("not-running-{name}")).await;
    }
}

async fn seen(world: &World, running: Option<&str>, name: &str) {
    let page = page(world, json!({}), name).await;
    let text = page.text();
    assert_eq!(text.contains("a pass is under way"), running.is_some(), "{text}");
    assert_eq!(page.headline() == "The first pass is under way", running.is_some(), "{text}");
    assert!(running.is_none_or(|run_id| text.contains(run_id)), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_is_damaged_is_told_and_hides_nothing_else() {
    let world = busy(2).await;
    for segment in std::fs::read_dir(world.state.path().join("lanes/sentinel/manifest")).unwrap() {
        std::fs::write(segment.unwrap().path(), "no segment").unwrap();
    }
    // Sums that cannot be read hide nothing either, and the next pass begins them anew.
    write(&world, "lanes/defender/days.json", "no sums");
    let damaged = page(&world, json!({}), "damaged").await;
    assert_eq!(damaged.headline(), "The manifest of Microsoft Sentinel cannot be read");
    assert!(damaged.section("now").contains("--rebuild"), "{}", damaged.text());
    assert!(damaged.section("lane-sentinel").contains("not known"));
    assert!(damaged.section("lane-defender").contains("Domain names2"));
    // Once a pass has failed over it, it is still told once.
    world.tick().await;
    let failed = page(&world, json!({}), "damaged-and-failed").await;
    assert_eq!(failed.all("li").count(), 1, "{}", failed.section("now"));
    let days = std::fs::read_to_string(world.state.path().join("lanes/defender/days.json")).unwrap();
    assert!(days.starts_with('['), "{days}");
}

#[tokio::test(start_paused = true)]
async fn what_was_accepted_and_has_not_arrived_is_named() {
    let mut world = world();
    world.verifies().set("VERIFY_ARRIVAL", "true");
    world.sentinel.knobs(|knobs| knobs.lose = Some(std::sync::Arc::new(|_| true)));
    world.mandiant.put(Record::ipv4("203.0.113.9").updated(world.ago(TimeDelta::minutes(30))));
    world.tick().await;
    for _ in 0..3 {
        an_hour_passes().await;
        world.tick().await;
    }
    let page = page(&world, json!({}), "not-arrived").await;
    assert_eq!(page.headline(), "Accepted but not arrived: an indicator at Microsoft Sentinel");
    let now = page.section("now");
    assert!(now.contains("accepted 203.0.113.9 (indicator--") && now.contains("is offered again"), "{now}");
    assert_eq!(page.link("Runbook: Sentinel").as_deref(), Some("?runbook=sentinel"), "{now}");
    let lane = page.section("lane-sentinel");
    assert!(
        lane.contains("From the source's update to accepted") && lane.contains("half within 30 min"),
        "{lane}"
    );
    assert!(lane.contains("Accepted but not arrived"), "{lane}");

    // Where everything is seen the page says how long that took.
    world.sentinel.knobs(|knobs| knobs.lose = None);
    world.mandiant.put(Record::ipv4("203.0.113.10").updated(world.ago(TimeDelta::minutes(3))));
    world.tick().await;
    let text = super::page(&world, json!({}), "arrived").await.section("lane-sentinel");
    assert!(text.contains("From accepted to visible") && text.contains("half between 0 s and"), "{text}");
}
