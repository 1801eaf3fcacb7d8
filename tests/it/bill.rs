//! What indicators cost in rows: as few as validity and slack permit, and nothing lapses for it.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::domain::outcome::End;
use sandbox::corpus::Record;

use crate::harness::world::World;

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
