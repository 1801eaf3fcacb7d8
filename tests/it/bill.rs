//! What indicators cost in rows: as few as validity and slack permit, and nothing lapses for it.

mod months;

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Days, TimeDelta, Utc};
use mati_sync::{
    check,
    cli::cost::{body, text},
    clock::Deadline,
    domain::{
        cost::{Measured, Pace, forecast},
        days::Day,
        expiry::{Expirations, Renewal},
        filter::PerType,
        outcome::End,
        request::RunOptions,
        tally::ByType,
    },
    pass::{Cost, LaneCost},
};
use sandbox::corpus::Record;
use serde_json::json;

use crate::{harness::world::World, tidy};

const HOUR: Duration = Duration::from_secs(3600);
/// Longer than eight validities of an address.
const DAYS: i64 = 60;

fn ipv4(number: i64) -> Record {
    Record::ipv4(&format!("198.51.{}.{}", number / 250, number % 250 + 1))
}

fn file(number: i64) -> Record {
    Record::file(Some(&format!("{:032x}", number + 1_000)), None, None)
}

/// Passes every hour for two months. Some of what the source lists it touches daily, some rarely, and some comes only
/// while the others are renewed. Returns the rows of each indicator.
async fn rows_of_two_months(slack: i64) -> BTreeMap<String, Vec<DateTime<Utc>>> {
    let mut world = World::new();
    world.set("RENEWAL_SLACK", &slack.to_string());
    let listed: Vec<Record> = (0..48).map(ipv4).chain((0..12).map(file)).collect();
    for (place, record) in listed.iter().enumerate() {
        world.mandiant.put(record.clone().updated(world.ago(TimeDelta::hours(3 + place as i64 * 11))));
    }
    for hour in 0..DAYS * 24 {
        // A fresh one in most of the hours of the first week, so that some meet every part of a refresh's course.
        if hour < 24 * 7 && hour % 5 == 0 {
            world.mandiant.put(ipv4(1000 + hour).updated(world.ago(TimeDelta::minutes(10))));
        }
        for (place, record) in listed.iter().enumerate() {
            // Each third daily, the others each 20 days, never all at once.
            let period = if place % 3 == 0 { 24 } else { 480 };
            if (hour + place as i64 * 7) % period == period - 1 {
                world.mandiant.put(record.clone().updated(world.ago(TimeDelta::minutes(10))));
            }
        }
        if hour % 480 == 479 {
            for fresh in (0..24 * 7).step_by(5) {
                world.mandiant.put(ipv4(1000 + fresh).updated(world.ago(TimeDelta::minutes(10))));
            }
        }
        let report = world.tick().await;
        assert_eq!(report.end, End::CaughtUp, "{report:#?}");
        // If the next good pass comes only after the slack, everything is still valid.
        for object in world.sentinel.stored().values() {
            let until: DateTime<Utc> = object["valid_until"].as_str().unwrap().parse().unwrap();
            let left = until - world.now();
            assert!(left >= TimeDelta::hours(slack), "{left} left of {} in hour {hour}", object["pattern"]);
        }
        tokio::time::advance(HOUR - (Duration::from_secs(world.now().timestamp() as u64 % 3600))).await;
    }
    let mut rows: BTreeMap<String, Vec<DateTime<Utc>>> = BTreeMap::new();
    for row in world.sentinel.log() {
        let kind = if row.object["pattern"].as_str().unwrap().starts_with("[file") { "file" } else { "ipv4" };
        rows.entry(format!("{kind} {}", row.id)).or_default().push(row.at);
    }
    rows
}

/// Rows at most 1.05 times the limit that no policy can beat, validity ÷ (validity − slack).
async fn costs_little_more_than_the_limit(slack: i64) {
    let rows = rows_of_two_months(slack).await;
    let validity = 7.0 * 24.0;
    let limit = validity / (validity - slack as f64);
    let (mut intervals, mut hours) = (0, 0.0);
    for (indicator, at) in &rows {
        if indicator.starts_with("file") {
            assert_eq!(at.len(), 1, "a file is valid for 90 days: {indicator} {at:?}");
            continue;
        }
        // The first renewal comes at a refresh, wherever in its course the indicator was created.
        for pair in at[1..].windows(2) {
            intervals += 1;
            hours += (pair[1] - pair[0]).as_seconds_f64() / 3600.0;
        }
    }
    assert!(intervals > 400, "{intervals}");
    let rows_each_validity = validity * f64::from(intervals) / hours;
    assert!(
        rows_each_validity <= 1.05 * limit,
        "{rows_each_validity:.3} rows for each validity, {:.3} times the limit {limit:.3}",
        rows_each_validity / limit
    );
}

#[tokio::test(start_paused = true)]
async fn rows_are_near_the_limit_with_a_slack_of_a_day() {
    costs_little_more_than_the_limit(24).await;
}

#[tokio::test(start_paused = true)]
async fn rows_are_near_the_limit_with_the_default_slack() {
    costs_little_more_than_the_limit(48).await;
}

#[tokio::test(start_paused = true)]
async fn rows_are_near_the_limit_with_a_slack_of_three_days() {
    costs_little_more_than_the_limit(72).await;
}

/// The source rejects the key for the whole slack, and the refresh that is due falls into that time.
#[tokio::test(start_paused = true)]
async fn nothing_lapses_while_passes_fail_for_the_slack_and_the_stalled_lane_says_when_it_would() {
    let world = World::new();
    world.mandiant.put_all((0..30).map(|n| ipv4(n).updated(world.ago(TimeDelta::hours(3 + n)))));
    for _ in 0..57 {
        world.tick().await;
        tokio::time::advance(HOUR).await;
    }
    let before = world.held();
    world.mandiant.set(|knobs| "another".clone_into(&mut knobs.secret));
    world.mandiant.revoke_tokens();
    let mut said = String::new();
    let first =
        || world.sentinel.stored().values().map(|it| it["valid_until"].as_str().unwrap().to_owned()).min();
    for _ in 0..48 {
        let report = world.tick().await;
        assert_eq!(report.end, End::Stalled, "{report:#?}");
        said = report.lanes["sentinel"].message.clone().unwrap();
        assert_eq!(world.held(), before);
        tokio::time::advance(HOUR).await;
    }
    let first: DateTime<Utc> = first().unwrap().parse().unwrap();
    assert!(said.contains(&first.format("%Y-%m-%d %H:%M UTC").to_string()), "{said}");
    world.mandiant.set(|knobs| "sandbox-secret".clone_into(&mut knobs.secret));
    assert_eq!(world.tick().await.end, End::CaughtUp);
    assert_eq!(world.held(), before);
}

async fn cost(world: &World) -> Cost {
    let (_sender, stop) = tokio::sync::watch::channel(false);
    world.start().engine.cost(&Deadline::unlimited(stop)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn cost_is_measured_by_cause_and_forecast_by_what_is_held() {
    let world = World::new();
    world.mandiant.put_all((0..30).map(|n| ipv4(n).updated(world.ago(TimeDelta::hours(3 + n)))));
    for day in 0..12 {
        // A new one each day, and one that falls.
        world.mandiant.put(ipv4(100 + day).updated(world.ago(TimeDelta::minutes(10))));
        world.mandiant.put(ipv4(day).mscore(10).updated(world.ago(TimeDelta::minutes(10))));
        for _ in 0..24 {
            world.tick().await;
            tokio::time::advance(HOUR).await;
        }
    }
    let before: Vec<_> =
        std::fs::read_dir(world.state.path().join("runs")).unwrap().map(|it| it.unwrap().path()).collect();
    let found = cost(&world).await;
    let after: Vec<_> =
        std::fs::read_dir(world.state.path().join("runs")).unwrap().map(|it| it.unwrap().path()).collect();
    assert_eq!(before, after, "it creates nothing");
    let log = world.sentinel.log();
    let lane = &found.lanes["sentinel"];
    assert_eq!(lane.measured.rows.total(), log.len() as u64, "{lane:#?}");
    assert_eq!(
        (lane.measured.rows.created, lane.measured.rows.retracted),
        (41, 11),
        "the first fell before it came"
    );
    assert!(lane.change.is_none(), "these settings are those of the passes");
    // About one new and one retracted a day, and renewals of what is held, each in 118 hours.
    let month = &lane.forecast;
    assert!(
        (25..=35).contains(&month.rows.created) && (25..=35).contains(&month.rows.retracted),
        "{month:#?}"
    );
    assert_eq!(month.rows.renewed, lane.held * 720 / 118, "{month:#?}");
    assert!(month.bytes_per_month > 500 * month.rows_per_month, "{month:#?}");
    let json = body(&found, Some(4.0));
    assert_eq!(json["forecast"]["rows_per_month"], month.rows_per_month);
    assert_eq!(json["rows"]["created"], 41);
    assert!(json["forecast"]["price_per_month"].as_f64().unwrap() > 0.0, "{json:#}");
    let findings = check::run(&world.start().engine, Some("0 23 * * * *")).await;
    let said =
        |name: &str| findings.iter().find(|it| it.check == name).unwrap_or_else(|| panic!("{findings:#?}"));
    assert!(said("cost").result.contains("rows in 13 days, and a month makes"), "{:?}", said("cost"));
    let renewal = said("sentinel renewal");
    assert!(
        renewal.result.contains("within 48 hours") && renewal.result.contains("lapses at"),
        "{renewal:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_changed_settings_would_cost_is_told_by_a_dry_run() {
    let mut world = World::new();
    let at = world.ago(TimeDelta::days(2));
    world.mandiant.put_all((0..3).map(|n| ipv4(n).updated(at).mscore(95)));
    world.mandiant.put_all((10..2510).map(|n| ipv4(n).updated(at).mscore(70)));
    world.tick().await;
    tokio::time::advance(HOUR).await;
    world.set("MINIMUM_CONFIDENCE", "60");
    let lane = cost(&world).await.lanes["sentinel"].clone();
    let change = lane.change.unwrap();
    // What the creation limit would withhold belongs to it.
    assert_eq!(
        (change.rows_once, change.more_per_month),
        (2500, (2503 * 720 / 118) - (3 * 720 / 118)),
        "{lane:#?}"
    );
    assert_eq!(change.words(), "+15,254 rows a month");
    let foretold = world.command(RunOptions { dry_run: true, ..RunOptions::default() }).await;
    assert_eq!(foretold.lanes["sentinel"].cost, Some(change));
    assert!(foretold.message.contains("+15,254 rows a month"), "{}", foretold.message);
    assert_eq!(world.sentinel.log().len(), 3, "nothing was sent");
}

/// The lane of the example in docs/cost.md.
fn example() -> Cost {
    let now: DateTime<Utc> = "2026-03-31T12:00:00Z".parse().unwrap();
    let expirations = Expirations(PerType { ip: 7, fqdn: 7, url: 7, hash: 90 });
    let renewal = Renewal::new(&expirations, TimeDelta::hours(48), TimeDelta::hours(1));
    let pace = Pace { expirations, renewal, refresh_took: TimeDelta::minutes(10), refreshes: true };
    let held = ByType { ipv4: 5000, fqdn: 5000, url: 5000, hash: 5000, ..ByType::default() };
    let day = |ago| -> Day {
        let (created, updated, renewed, retracted) = (200_u64, 50, 3100, 20);
        serde_json::from_value(json!({
            "day": (now - Days::new(ago)).date_naive(),
            "held": held,
            "rows": {"created": created, "updated": updated, "renewed": renewed, "retracted": retracted},
            "bytes": (created + updated + renewed + retracted) * 1300,
        }))
        .unwrap()
    };
    let days: Vec<Day> = (1..=40).rev().map(day).collect();
    let caught_up = Some(now - Days::new(60));
    let lane = LaneCost {
        is_billed: true,
        held: held.total(),
        measured: Measured::of(&days, now),
        forecast: forecast(&days, caught_up, &held, &pace, now),
        change: None,
    };
    Cost { lanes: BTreeMap::from([("sentinel".to_owned(), lane)]) }
}

#[test]
fn the_example_of_the_document_is_what_the_command_prints() {
    const BEGIN: &str = "<!-- cost: begin -->\n";
    const END: &str = "<!-- cost: end -->";
    let document = tidy::read("docs/cost.md");
    let (before, rest) = document.split_once(BEGIN).expect("where it begins");
    let (found, after) = rest.split_once(END).expect("where it ends");
    let made = format!("```text\n{}```\n", text(&example(), Some(5.0)));
    if std::env::var_os("MATI_SYNC_WRITE_DOCUMENTS").is_some() {
        let file = std::path::Path::new(tidy::ROOT).join("docs/cost.md");
        std::fs::write(file, format!("{before}{BEGIN}{made}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(
        found, made,
        "write it anew with MATI_SYNC_WRITE_DOCUMENTS=1 cargo test --test it bill::the_example"
    );
}

/// Of a lane that has sent nothing there are no days to sum.
#[tokio::test(start_paused = true)]
async fn before_the_first_pass_nothing_was_sent() {
    let world = World::new();
    let engine = world.start().engine;
    let told = text(&engine.measured_cost().await.unwrap(), None);
    assert!(told.starts_with("sentinel\n  nothing was sent yet\n  in a month\n"), "{told}");
    let findings = check::run(&engine, None).await;
    let cost = findings.iter().find(|finding| finding.check == "cost").unwrap();
    assert!(cost.result.starts_with("sentinel sent nothing yet, and a month makes"), "{cost:?}");
    world.mandiant.put(ipv4(1).updated(world.ago(TimeDelta::hours(3))));
    world.tick().await;
    let told = text(&engine.measured_cost().await.unwrap(), None);
    assert!(told.starts_with("sentinel\n  today\n"), "{told}");
}
