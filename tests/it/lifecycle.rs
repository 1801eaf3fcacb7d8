//! What becomes of indicators while the world changes: Mandiant's scores, and the user's settings.

use std::time::Duration;

use chrono::TimeDelta;
use mati_sync::domain::{
    outcome::{Counts, End},
    report::Report,
    request::RunOptions,
};
use sandbox::corpus::Record;

use crate::harness::world::World;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn address(n: usize) -> String {
    format!("198.51.{}.{}", 100 + n / 250, n % 250 + 1)
}

/// Addresses updated `days` ago.
fn fill(world: &World, numbers: std::ops::Range<usize>, days: i64, mscore: i64) {
    let at = world.ago(TimeDelta::days(days) + TimeDelta::minutes(10));
    world.mandiant.put_all(numbers.map(|n| Record::ipv4(&address(n)).updated(at).mscore(mscore)));
}

/// Ticks every six hours; what all passes did together.
async fn live(world: &World, days: u32) -> Counts {
    let mut counts = Counts::default();
    for _ in 0..days * 4 {
        tokio::time::advance(6 * HOUR).await;
        let report = world.tick().await;
        assert_eq!(report.end, End::CaughtUp, "{report:#?}");
        counts += report.totals();
    }
    counts
}

#[tokio::test(start_paused = true)]
async fn created_of_an_object_never_moves_and_is_never_before_there_were_computers() {
    let world = World::new();
    let seen = |days| Record::ipv4(&address(1)).first_seen(world.ago(TimeDelta::days(days)));
    let year_one = Record::ipv4(&address(2)).set("first_seen", "0001-01-01T00:00:00Z");
    world.mandiant.put_all([seen(90), year_one].map(|record| record.updated(world.ago(TimeDelta::hours(3)))));
    world.tick().await;
    let created = world.object(&address(1))["created"].clone();
    assert_eq!(world.object(&address(2))["created"], created, "a record without a sound time has it too");
    assert!(created.as_str() > Some("1970"), "{created}");
    // Updated by a record that was first seen at another time, retracted, brought again, and sent after a loss of state.
    for (days, mscore) in [(200, 95), (1, 10), (400, 90)] {
        tokio::time::advance(HOUR).await;
        let record = seen(days).updated(world.ago(TimeDelta::minutes(9))).mscore(mscore);
        world.mandiant.put(record);
        world.tick().await;
        assert_eq!(world.object(&address(1))["created"], created, "{days}");
    }
    std::fs::remove_dir_all(world.state.path().join("lanes")).unwrap();
    world.tick().await;
    assert_eq!(world.object(&address(1))["created"], created);
}

#[tokio::test(start_paused = true)]
async fn an_indicator_of_fifteen_hundred_families_keeps_its_list_of_labels_whole() {
    let world = World::new();
    let families =
        (0..1500).fold(Record::ipv4(&address(1)), |record, n| record.malware(&format!("FAMILY{n:06}")));
    world.mandiant.put(families.updated(world.ago(TimeDelta::hours(3))).threat_score(Some(90)));
    assert_eq!(world.tick().await.totals().created, 1);
    let object = world.object(&address(1));
    assert!(object["labels"].to_string().len() < 32_000 && object.to_string().len() < 80_000, "{object}");
    let labels = object["labels"].as_array().unwrap();
    assert!(labels.contains(&"action:alert".into()) && labels.contains(&"malware:FAMILY000000".into()));
    assert!(object["description"].as_str().unwrap().contains("left out"), "{object}");
}

#[tokio::test(start_paused = true)]
async fn what_mandiant_still_lists_never_expires_although_nobody_touches_it() {
    let mut world = World::new();
    world.set("SYNC_CRON", "0 0 */12 * * *");
    fill(&world, 0..50, 2, 90);
    world.tick().await;
    for _ in 0..25 {
        let counts = live(&world, 1).await;
        assert_eq!(counts.created + counts.updated + counts.retracted, 0);
        assert_eq!(world.held().len(), 50, "all are valid");
    }
    let renewals = world.sentinel.log().len() - 50;
    assert!((300..=400).contains(&renewals), "{renewals} renewals of 50 indicators in 25 days");
}

#[tokio::test(start_paused = true)]
async fn what_mandiant_has_not_touched_for_the_span_of_a_refresh_ages_out() {
    let world = World::new();
    fill(&world, 0..50, 25, 90);
    world.tick().await;
    let counts = live(&world, 20).await;
    assert_eq!(world.held().len(), 0);
    assert_eq!((counts.retracted, counts.aged_out), (0, 50));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_costs_reading_and_no_uploads() {
    let mut world = World::new();
    world.set("INDICATOR_EXPIRATION", "60");
    fill(&world, 0..50, 2, 90);
    world.tick().await;
    let report = world.command(RunOptions { lookback_days: Some(30), ..RunOptions::default() }).await;
    assert_eq!((report.totals().unchanged, report.totals().requests), (50, 0), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_lowered_threshold_brings_what_it_now_admits() {
    let mut world = World::new();
    fill(&world, 0..50, 2, 90);
    fill(&world, 50..80, 20, 70);
    world.tick().await;
    assert_eq!(world.held().len(), 50);
    world.set("MINIMUM_CONFIDENCE", "60");
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().created), (End::CaughtUp, 30), "{report:#?}");
    assert_eq!(world.held().len(), 80);
    assert_eq!(world.tick().await.totals().read, 0, "once");
}

#[tokio::test(start_paused = true)]
async fn a_raised_threshold_retracts_what_it_no_longer_admits() {
    let mut world = World::new();
    fill(&world, 0..50, 2, 90);
    fill(&world, 50..80, 20, 82);
    world.tick().await;
    world.set("MINIMUM_CONFIDENCE", "85");
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().retracted), (End::CaughtUp, 30), "{report:#?}");
    let counts = report.totals();
    assert_eq!(
        (counts.read, counts.unchanged, counts.left),
        (160, 130, 0),
        "all were surveyed, then read again"
    );
    assert_eq!(world.held().len(), 50);
    let object = world.object(&address(60));
    assert!(object.get("revoked").is_none(), "that would be for ever: {object}");

    world.set("MINIMUM_CONFIDENCE", "80");
    tokio::time::advance(DAY).await;
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().created), (End::CaughtUp, 30), "{report:#?}");
    assert_eq!(world.held().len(), 80);
    assert_eq!(world.sentinel.stored().len(), 80, "under the same ids");
}

#[tokio::test(start_paused = true)]
async fn a_drop_of_mandiants_score_takes_the_indicator_back_and_its_rise_brings_it_again() {
    let world = World::new();
    fill(&world, 0..5, 2, 90);
    world.tick().await;
    tokio::time::advance(DAY).await;
    let scored = |score| Record::ipv4(&address(3)).updated(world.ago(TimeDelta::hours(1))).mscore(score);
    world.mandiant.put(scored(10));
    let report = world.tick().await;
    assert_eq!((report.totals().retracted, report.totals().dropped.confidence), (1, 0), "{report:#?}");
    assert_eq!(world.held().len(), 4);
    tokio::time::advance(HOUR).await;
    let report = world.tick().await;
    assert_eq!(report.totals().retracted, 0, "once: {report:#?}");

    tokio::time::advance(DAY).await;
    world.mandiant.put(scored(95));
    let report = world.tick().await;
    assert_eq!(report.totals().created, 1, "{report:#?}");
    assert_eq!((world.held().len(), world.sentinel.stored().len()), (5, 5), "the same id");
}

#[tokio::test(start_paused = true)]
async fn osint_that_loses_its_better_source_is_retracted() {
    let world = World::new();
    let at = |days| world.ago(TimeDelta::days(days));
    let known = Record::fqdn("bad.example").sources(&[("Mandiant", false, &[]), ("urlhaus", true, &[])]);
    world.mandiant.put(known.clone().updated(at(2)));
    world.tick().await;
    tokio::time::advance(DAY).await;
    let reread = Record::fqdn("bad.example").updated(world.ago(TimeDelta::hours(1)));
    world.mandiant.put(reread.sources(&[("urlhaus", true, &["malware"])]));
    let report = world.tick().await;
    assert_eq!((report.totals().retracted, world.held().len()), (1, 0), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_field_that_is_missing_takes_nothing_back() {
    let mut world = World::new();
    world.set("MISSING_THREAT_SCORE", "exclude").set("INCLUDE_UNCATEGORIZED", "false");
    let good =
        |value: &str| Record::ipv4(value).threat_score(Some(90)).sources(&[("Mandiant", false, &["c2"])]);
    let values: Vec<String> = (1..=4).map(address).collect();
    world.mandiant.put_all(values.iter().map(|value| good(value).updated(world.ago(TimeDelta::days(2)))));
    world.tick().await;
    assert_eq!(world.held().len(), 4);
    tokio::time::advance(DAY).await;
    let at = world.ago(TimeDelta::hours(1));
    world.mandiant.put_all([
        good(&values[0]).threat_score(None).updated(at),
        good(&values[1]).remove("mscore").updated(at),
        good(&values[2]).remove("sources").remove("category").updated(at),
        good(&values[3]).threat_score(Some(5)).updated(at),
    ]);
    let report = world.tick().await;
    let counts = report.totals();
    assert_eq!((counts.retracted, counts.dropped.total()), (1, 3), "only the last one says it: {report:#?}");
    assert_eq!(world.held(), values[..3]);
}

#[tokio::test(start_paused = true)]
async fn with_expire_retracted_off_nothing_is_retracted_and_the_source_filters() {
    let mut world = World::new();
    world.set("EXPIRE_RETRACTED", "false");
    fill(&world, 0..50, 2, 90);
    world.tick().await;
    world.set("MINIMUM_CONFIDENCE", "95");
    let report = world.tick().await;
    assert_eq!((report.totals().read, report.totals().retracted), (0, 0), "{report:#?}");
    assert_eq!(world.held().len(), 50);
    assert!(world.mandiant.requests().iter().all(|request| request.parameter("gte_mscore") != Some("0")));
}

#[tokio::test(start_paused = true)]
async fn a_first_pass_hears_a_newer_record_that_speaks_against_a_value() {
    let world = World::new();
    let record = |id: &str, days: i64, score: i64| {
        Record::ipv4(&address(1)).set("id", id).updated(world.ago(TimeDelta::days(days))).mscore(score)
    };
    world.mandiant.put_all([record("ipv4--older", 20, 90), record("ipv4--newer", 5, 10)]);
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 0), "{report:#?}");
    assert!(world.mandiant.requests().iter().all(|request| request.parameter("gte_mscore") != Some("80")));
}

async fn raise(world: &mut World) -> Report {
    fill(world, 0..600, 2, 95);
    fill(world, 600..1000, 12, 82);
    world.tick().await;
    assert_eq!(world.held().len(), 1000);
    world.set("MINIMUM_CONFIDENCE", "90");
    fill(world, 1000..1010, 0, 95);
    tokio::time::advance(HOUR).await;
    world.tick().await
}

#[tokio::test(start_paused = true)]
async fn too_many_retractions_wait_for_somebodys_word_and_hold_nothing_else_up() {
    let mut world = World::new();
    let report = raise(&mut world).await;
    assert_eq!(
        (report.end, report.totals().retracted, report.totals().left),
        (End::Stalled, 0, 400),
        "{report:#?}"
    );
    assert!(report.message.contains("400 of 1010"), "{}", report.message);
    assert!(report.message.contains("confirm_retraction"), "{}", report.message);
    assert_eq!(world.held().len(), 1010, "what is new is delivered, what is old stays");
    fill(&world, 1010..1012, 0, 95);
    tokio::time::advance(HOUR).await;
    let report = world.tick().await;
    assert_eq!(
        (report.end, report.totals().created),
        (End::Stalled, 2),
        "until a record speaks: {report:#?}"
    );

    let report = world.command(RunOptions { confirm_retraction: true, ..RunOptions::default() }).await;
    assert_eq!((report.end, report.totals().retracted), (End::CaughtUp, 400), "{report:#?}");
    assert_eq!(world.held().len(), 612);
    assert_eq!(world.tick().await.end, End::CaughtUp);
}

#[tokio::test(start_paused = true)]
async fn a_setting_changed_back_takes_nothing_back_and_stalls_no_longer() {
    let mut world = World::new();
    raise(&mut world).await;
    world.set("MINIMUM_CONFIDENCE", "80");
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().retracted), (End::CaughtUp, 0), "{report:#?}");
    assert_eq!(world.held().len(), 1010);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_drops_in_the_live_feed_is_not_believed_either() {
    let world = World::new();
    fill(&world, 0..400, 2, 95);
    world.tick().await;
    tokio::time::advance(DAY).await;
    fill(&world, 0..300, 0, 1);
    tokio::time::advance(HOUR).await;
    let report = world.tick().await;
    assert_eq!(
        (report.end, report.totals().retracted, report.totals().left),
        (End::Stalled, 0, 300),
        "{report:#?}"
    );
    assert_eq!(world.held().len(), 400);
    // Mandiant mends it; the next refresh finds nothing to retract.
    fill(&world, 0..300, 0, 95);
    tokio::time::advance(4 * DAY).await;
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 400), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_state_of_the_former_default_is_refreshed_once_and_each_file_gives_way_to_its_successor() {
    let mut world = World::new();
    world.set("HASH_TYPE", "md5");
    let at = world.ago(TimeDelta::days(2));
    let digits = |n: u32, length: usize| format!("{n:0>length$x}");
    world.mandiant.put_all(
        (1..=150).map(|n| Record::file(Some(&digits(n, 32)), None, Some(&digits(n, 64))).updated(at)),
    );
    world.mandiant.put(Record::file(Some(&"a".repeat(32)), None, None).updated(at));
    world.tick().await;
    assert!(world.held().iter().all(|value| value.len() == 32));
    // The new default. A dry run tells beforehand what it takes.
    world.set("HASH_TYPE", "");
    let dry = world.command(RunOptions { dry_run: true, ..RunOptions::default() }).await;
    assert_eq!((dry.totals().created, dry.totals().displaced), (150, 150), "{dry:#?}");
    assert!(world.held().iter().all(|value| value.len() == 32));
    let report = world.tick().await;
    let counts = report.totals();
    assert_eq!((report.end, counts.created, counts.displaced), (End::CaughtUp, 150, 150), "{report:#?}");
    // Nothing is withheld, and nothing follows.
    assert_eq!((counts.retracted, counts.left), (0, 0), "{report:#?}");
    let next = world.tick().await.totals();
    assert_eq!((next.created, next.updated, next.displaced), (0, 0, 0));
    assert_eq!(world.held().iter().filter(|value| value.len() == 32).count(), 1, "it has no other");
    assert_eq!(world.held().len(), 151);
}

#[tokio::test(start_paused = true)]
async fn rejected_records_are_offered_again_when_asked() {
    let world = World::new();
    fill(&world, 0..20, 2, 90);
    world.sentinel.knobs(|knobs| {
        knobs.reject = Some(std::sync::Arc::new(|object| {
            let name = object["name"].as_str()?;
            (name.ends_with(".7") || name.ends_with(".8")).then(|| "not today".to_owned())
        }));
    });
    let first = world.tick().await;
    assert_eq!((first.totals().created, first.totals().rejected), (18, 2), "{first:#?}");
    let folder = world.state.path().join("lanes/sentinel/rejected");
    let file = folder.join(format!("{}.jsonl", first.run_id));
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 2);

    let order = RunOptions { retry_rejected: true, ..RunOptions::default() };
    let dry = world.command(RunOptions { dry_run: true, ..order.clone() }).await;
    assert_eq!((dry.totals().created, world.held().len()), (2, 18), "{dry:#?}");
    assert!(file.exists());
    // One of them is accepted now.
    world.sentinel.knobs(|knobs| {
        knobs.reject = Some(std::sync::Arc::new(|object| {
            object["name"].as_str()?.ends_with(".8").then(|| "not today".to_owned())
        }));
    });
    let second = world.command(order.clone()).await;
    assert_eq!((second.totals().created, second.totals().rejected), (1, 1), "{second:#?}");
    assert!(!file.exists(), "what is still rejected stands in the file of the pass that tried it");
    let file = folder.join(format!("{}.jsonl", second.run_id));
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 1);

    world.sentinel.knobs(|knobs| knobs.reject = None);
    let third = world.command(order.clone()).await;
    assert_eq!((third.totals().created, third.totals().rejected), (1, 0), "{third:#?}");
    assert_eq!((world.held().len(), std::fs::read_dir(&folder).unwrap().count()), (20, 0));
    assert_eq!(world.command(order).await.totals().read, 0);
}
