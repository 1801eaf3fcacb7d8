//! Whose an indicator is: several records of one value, what was rejected of it, and times that cannot be true.
//!
//! Of the records of one value that the source still lists, the one updated last decides, for or against: to the
//! second, and of equals by the source's id. A held one is renewed by any record that admits it; a retracted one comes
//! back through an older record only after a whole refresh that did not meet the record that spoke against it.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::domain::{outcome::End, report::Report, request::RunOptions};
use sandbox::corpus::Record;

use crate::harness::world::World;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: TimeDelta = TimeDelta::days(1);
const VALUE: &str = "bad.example";
const FILE: &str = "0123456789abcdef0123456789abcdef";

/// One of several records of the same value.
fn record(id: &str, at: DateTime<Utc>, mscore: i64) -> Record {
    Record::fqdn(VALUE).set("id", format!("fqdn--{id}")).updated(at).mscore(mscore)
}

fn is_held(world: &World) -> bool {
    world.held().iter().any(|value| value == VALUE)
}

fn defender_holds(world: &World) -> bool {
    world.defender.stored().values().any(|held| held["indicatorValue"] == VALUE)
}

/// How often the destination was sent something about the value.
fn rows(world: &World) -> usize {
    world.sentinel.log().iter().filter(|row| row.object["pattern"].to_string().contains(VALUE)).count()
}

/// Days go by, with a pass every six hours after which `check` looks at the world.
async fn live(world: &World, days: u32, check: impl Fn(&World)) {
    for _ in 0..days * 4 {
        tokio::time::advance(6 * HOUR).await;
        let report = world.tick().await;
        assert_eq!(report.end, End::CaughtUp, "{report:#?}");
        check(world);
    }
}

async fn look_back(world: &World) -> Report {
    world.command(RunOptions { lookback_days: Some(30), ..RunOptions::default() }).await
}

/// Offers what was rejected again, when the live feed no longer reads the newest states over and over.
async fn retry(world: &World) -> Report {
    tokio::time::advance(HOUR).await;
    world.tick().await;
    world.command(RunOptions { retry_rejected: true, ..RunOptions::default() }).await
}

/// The destinations reject whatever is sent about the value.
fn reject(world: &World) {
    world.sentinel.knobs(|knobs| {
        knobs.reject = Some(Arc::new(|object| {
            object["pattern"].as_str()?.contains(VALUE).then(|| "not today".to_owned())
        }));
    });
    world.defender.knobs(|knobs| {
        knobs.reject =
            Some(Arc::new(|object| (object["indicatorValue"] == VALUE).then(|| "not today".to_owned())));
    });
}

fn heal(world: &World) {
    world.sentinel.knobs(|knobs| knobs.reject = None);
    world.defender.knobs(|knobs| knobs.reject = None);
}

/// The lines about the value in `rejected/` of a lane.
fn lines(world: &World, lane: &str) -> Vec<String> {
    let folder = world.state.path().join(format!("lanes/{lane}/rejected"));
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let texts = files.map(|file| std::fs::read_to_string(file.path()).expect("a text"));
    texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_older_record_renews_what_the_newer_one_left_behind() {
    let world = World::new();
    let newer = record("2", world.ago(DAY), 95);
    world.mandiant.put_all([record("1", world.ago(DAY * 5), 90), newer.clone()]);
    world.tick().await;
    world.mandiant.remove(newer.key());
    live(&world, 20, |world| assert!(is_held(world), "the older record is still listed and admits it")).await;
    assert_eq!(world.object(VALUE)["confidence"], 90, "it decides now");
}

#[tokio::test(start_paused = true)]
async fn an_older_record_brings_back_what_a_record_retracted_that_is_gone() {
    let world = World::new();
    world.mandiant.put(record("1", world.ago(DAY * 5), 90));
    world.tick().await;
    tokio::time::advance(HOUR).await;
    let against = record("2", world.ago(TimeDelta::minutes(10)), 10);
    world.mandiant.put(against.clone());
    live(&world, 9, |world| assert!(!is_held(world), "the newer record speaks against it")).await;
    world.mandiant.remove(against.key());
    // One refresh may have begun before; a whole one follows within the period.
    live(&world, 8, |_| {}).await;
    assert!(is_held(&world), "a whole refresh did not meet the record that spoke against it");
    live(&world, 6, |world| assert!(is_held(world))).await;
}

/// A record of a file, which is valid for so long that nothing is renewed meanwhile.
fn of_file(id: &str, at: DateTime<Utc>, mscore: i64) -> Record {
    Record::file(Some(FILE), None, None).set("id", format!("md5--{id}")).updated(at).mscore(mscore)
}

#[tokio::test(start_paused = true)]
async fn an_older_record_decides_about_the_content_once_the_newer_one_is_gone() {
    let world = World::new();
    let newer = of_file("2", world.ago(DAY), 95);
    world.mandiant.put_all([of_file("1", world.ago(DAY * 5), 90), newer.clone()]);
    world.tick().await;
    assert_eq!(world.object(FILE)["confidence"], 95);
    world.mandiant.remove(newer.key());
    // A whole refresh does not meet it, and the next one hears the older record.
    live(&world, 8, |_| {}).await;
    assert_eq!(world.object(FILE)["confidence"], 90, "nothing else is listed");
}

#[tokio::test(start_paused = true)]
async fn an_older_record_on_the_same_page_speaks_against_what_a_record_admitted_that_is_gone() {
    let world = World::new();
    let at = world.ago(DAY * 2);
    let newer = of_file("2", at + TimeDelta::seconds(5), 95);
    world.mandiant.put_all([of_file("1", at, 10), newer.clone()]);
    // The first refresh meets both.
    live(&world, 4, |world| assert!(world.held().contains(&FILE.to_owned()))).await;
    world.mandiant.remove(newer.key());
    live(&world, 8, |_| {}).await;
    assert!(world.held().is_empty(), "what is listed speaks against it");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_only_renews_does_not_vouch_for_the_deciding_one() {
    let world = World::new();
    let record = |id: &str, days, mscore| {
        let record = Record::ipv4("198.51.100.7").set("id", format!("ipv4--{id}"));
        record.updated(world.ago(DAY * days)).mscore(mscore)
    };
    let newest = record("3", 1, 95);
    world.mandiant.put_all([record("1", 5, 85), record("2", 3, 10), newest.clone()]);
    world.tick().await;
    assert_eq!(world.held().len(), 1);
    world.mandiant.remove(newest.key());
    live(&world, 20, |_| {}).await;
    assert!(world.held().is_empty(), "of those that are listed the newer one speaks against it");
}

#[tokio::test(start_paused = true)]
async fn two_records_of_one_minute_on_two_pages_do_not_take_turns() {
    for (first, second) in [(90, 10), (10, 90)] {
        let mut world = World::new();
        world.set("SYNC_CRON", "0 0 */12 * * *");
        world.mandiant.set(|knobs| knobs.longest_page = 1);
        let minute = world.ago(DAY * 2);
        world.mandiant.put_all([
            record("1", minute + TimeDelta::seconds(10), first),
            record("2", minute + TimeDelta::seconds(40), second),
        ]);
        world.tick().await;
        // The first pass does not ask for what the settings do not admit; the first refresh does.
        live(&world, 4, |_| {}).await;
        let before = rows(&world);
        live(&world, 18, |world| assert_eq!(is_held(world), second == 90, "the later second decides")).await;
        let renewals = if second == 90 { 6 } else { 0 };
        assert!(rows(&world) - before <= renewals, "{} rows in 18 days", rows(&world) - before);
    }
}

#[tokio::test(start_paused = true)]
async fn two_records_of_one_second_do_not_take_turns() {
    for (first, second) in [(90, 10), (10, 90)] {
        let mut world = World::new();
        world.set("SYNC_CRON", "0 0 */12 * * *");
        world.mandiant.set(|knobs| knobs.longest_page = 1);
        let at = world.ago(DAY * 2);
        world.mandiant.put_all([record("1", at, first), record("2", at, second)]);
        world.tick().await;
        live(&world, 4, |_| {}).await;
        let (before, held) = (rows(&world), is_held(&world));
        live(&world, 18, |world| assert_eq!(is_held(world), held, "the same record decides each time")).await;
        assert!(rows(&world) - before <= 6, "{} rows in 18 days", rows(&world) - before);
    }
}

/// A retraction that the destination rejects, with the reason on file.
async fn rejected_retraction() -> World {
    let world = World::new();
    world.mandiant.put(record("1", world.ago(DAY * 2), 90));
    world.tick().await;
    tokio::time::advance(HOUR).await;
    reject(&world);
    world.mandiant.put(record("1", world.ago(TimeDelta::minutes(10)), 10));
    let report = world.tick().await;
    assert_eq!((report.totals().rejected, is_held(&world)), (1, true), "{report:#?}");
    assert_eq!(lines(&world, "sentinel").len(), 1);
    tokio::time::advance(HOUR).await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_rejected_retraction_is_made_at_the_next_reading() {
    let world = rejected_retraction().await;
    heal(&world);
    let report = look_back(&world).await;
    assert_eq!((report.end, is_held(&world)), (End::CaughtUp, false), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_retraction_is_made_when_rejected_records_are_retried() {
    let world = rejected_retraction().await;
    let report = retry(&world).await;
    let left = lines(&world, "sentinel");
    assert!(is_held(&world) && !left.is_empty(), "still rejected: {left:?} {report:#?}");
    heal(&world);
    let report = retry(&world).await;
    assert_eq!((report.end, is_held(&world)), (End::CaughtUp, false), "{report:#?}");
    assert_eq!(lines(&world, "sentinel").len(), 0, "it was done");
}

#[tokio::test(start_paused = true)]
async fn a_line_stays_until_what_it_stands_for_was_done() {
    let world = rejected_retraction().await;
    // Another rejected record, which is accepted now.
    let good = Record::fqdn("good.example").updated(world.ago(TimeDelta::minutes(10)));
    world.mandiant.put(good);
    world.sentinel.knobs(|knobs| knobs.reject = Some(Arc::new(|_| Some("not today".to_owned()))));
    world.tick().await;
    let before = lines(&world, "sentinel");
    assert!(before.iter().any(|line| line.contains("good.example")), "{before:?}");
    assert!(before.iter().any(|line| line.contains(VALUE)), "{before:?}");
    reject(&world);
    let report = retry(&world).await;
    let left = lines(&world, "sentinel");
    assert!(!left.is_empty() && left.iter().all(|line| line.contains(VALUE)), "{left:?} {report:#?}");
    assert_eq!(world.held().len(), 2, "{report:#?}");
}

/// An update that the destinations reject: they hold the earlier content.
async fn rejected_update(targets: &str) -> World {
    let mut world = World::new();
    world.set("TARGET_APPLICATION", targets);
    world.mandiant.put(record("1", world.ago(DAY * 2), 95));
    world.tick().await;
    tokio::time::advance(HOUR).await;
    reject(&world);
    world.mandiant.put(record("1", world.ago(TimeDelta::minutes(10)), 85));
    let report = world.tick().await;
    assert!(report.lanes.values().all(|lane| lane.counts.rejected == 1), "{report:#?}");
    tokio::time::advance(HOUR).await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_rejected_update_is_made_at_the_next_reading() {
    let world = rejected_update("sentinel,defender").await;
    heal(&world);
    let report = look_back(&world).await;
    assert_eq!((report.end, &world.object(VALUE)["confidence"]), (End::CaughtUp, &85.into()), "{report:#?}");
    let held = world.defender.stored().into_values().next().expect("it is held");
    assert!(held["description"].as_str().unwrap().contains("Confidence 85"), "{held}");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_update_is_made_when_rejected_records_are_retried() {
    let world = rejected_update("sentinel,defender").await;
    heal(&world);
    let report = retry(&world).await;
    assert_eq!((report.end, &world.object(VALUE)["confidence"]), (End::CaughtUp, &85.into()), "{report:#?}");
    assert_eq!(lines(&world, "sentinel").len() + lines(&world, "defender").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_longer_wanted_goes_although_its_update_was_rejected() {
    let mut world = rejected_update("sentinel,defender").await;
    // Only the settings change: the record is the one that was rejected.
    world.set("MINIMUM_CONFIDENCE", "90");
    let report = world.tick().await;
    assert!(!defender_holds(&world), "a deletion by its number was never rejected: {report:#?}");
    heal(&world);
    tokio::time::advance(HOUR).await;
    look_back(&world).await;
    assert!(!is_held(&world), "{:#?}", world.object(VALUE));
}

#[tokio::test(start_paused = true)]
async fn a_retry_does_not_deliver_what_a_newer_state_contradicts() {
    let world = World::new();
    reject(&world);
    world.mandiant.put(record("1", world.ago(TimeDelta::minutes(10)), 90));
    let report = world.tick().await;
    assert_eq!(report.totals().rejected, 1, "{report:#?}");
    tokio::time::advance(HOUR).await;
    world.mandiant.put(record("1", world.ago(TimeDelta::minutes(10)), 10));
    let report = world.tick().await;
    assert_eq!(report.totals().dropped.confidence, 1, "{report:#?}");
    heal(&world);
    tokio::time::advance(HOUR).await;
    let report = retry(&world).await;
    assert!(!is_held(&world) && rows(&world) == 0, "its score fell since: {report:#?}");
    assert_eq!(lines(&world, "sentinel").len(), 0, "it is no longer wanted");
}

#[tokio::test(start_paused = true)]
async fn a_retry_offers_what_was_touched_since_without_a_change() {
    let world = World::new();
    reject(&world);
    world.mandiant.put(record("1", world.ago(TimeDelta::minutes(10)), 90));
    let report = world.tick().await;
    assert_eq!(report.totals().rejected, 1, "{report:#?}");
    tokio::time::advance(HOUR).await;
    world.mandiant.put(record("1", world.ago(TimeDelta::minutes(10)), 90));
    world.tick().await;
    heal(&world);
    let report = retry(&world).await;
    assert!(is_held(&world), "{report:#?}");
    assert_eq!(lines(&world, "sentinel").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_retry_does_not_bring_back_what_was_retracted_in_the_same_minute() {
    let world = World::new();
    world.mandiant.put(record("1", world.ago(DAY * 2), 90));
    world.tick().await;
    tokio::time::advance(HOUR).await;
    let minute = world.now() - TimeDelta::minutes(4);
    reject(&world);
    world.mandiant.put(record("1", minute + TimeDelta::seconds(10), 95));
    let report = world.tick().await;
    assert_eq!(report.totals().rejected, 1, "{report:#?}");
    heal(&world);
    world.mandiant.put(record("1", minute + TimeDelta::seconds(40), 10));
    world.tick().await;
    assert!(!is_held(&world));
    tokio::time::advance(HOUR).await;
    let report = retry(&world).await;
    assert!(!is_held(&world), "its score fell since: {report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_retry_asks_which_of_two_records_decides() {
    let world = World::new();
    reject(&world);
    world.mandiant.put(record("1", world.ago(TimeDelta::minutes(10)), 90));
    world.tick().await;
    tokio::time::advance(HOUR).await;
    // Another record of the same value speaks against it.
    world.mandiant.put(record("2", world.ago(TimeDelta::minutes(10)), 10));
    world.tick().await;
    heal(&world);
    tokio::time::advance(HOUR).await;
    let report = retry(&world).await;
    assert!(!is_held(&world) && rows(&world) == 0, "the record updated last speaks against it: {report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_time_far_ahead_freezes_nothing() {
    for (first, second) in [(90, 10), (10, 90)] {
        let world = World::new();
        world.mandiant.put(record("1", world.ago(DAY * 3), 95));
        world.tick().await;
        tokio::time::advance(HOUR).await;
        let state = |mscore| record("1", world.ago(TimeDelta::minutes(10)), mscore);
        world.mandiant.put(state(first).claiming("last_updated", "2099-01-01T00:00:00.000Z"));
        let report = world.tick().await;
        assert_eq!(is_held(&world), first == 90, "{report:#?}");
        tokio::time::advance(HOUR).await;
        world.mandiant.put(state(second));
        let report = world.tick().await;
        assert_eq!(is_held(&world), second == 90, "Mandiant changed its mind since: {report:#?}");
    }
}
