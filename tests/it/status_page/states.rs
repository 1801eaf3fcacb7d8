//! The states that a deployment comes to, as pages: each is checked like every page and by axe-core, and left as
//! `target/tmp/state-….html`, of which `node tests/axe/pictures.mjs` takes pictures.

use std::{path::PathBuf, sync::Arc, time::Duration};

use chrono::TimeDelta;
use mati_sync::{domain::outcome::End, settings::Settings};
use sandbox::{corpus::Record, sentinel::Authorization};
use serde_json::{Value, json};

use super::{axe, file_of, hostile, page, page_of, served_with_faults, world};
use crate::harness::world::World;

/// Record number `n` of a feed that has every type.
fn record(n: u32) -> Record {
    match n % 8 {
        0..=2 => Record::ipv4(&format!("45.{}.{}.{}", 10 + n / 40_000, n / 200 % 200, 1 + n % 200)),
        3 | 4 => Record::fqdn(&format!("cdn-{n}.update-service-{}.com", n % 97)),
        5 => Record::url(&format!("https://login-{n}.account-check.net/session?id={n}")),
        6 => Record::ipv6(&format!("2a01:4f8:{:x}::{n:x}", n % 60_000)),
        _ => Record::file(Some(&format!("{:032x}", u128::from(n) * 0x9e37_79b9_7f4a_7c15)), None, None),
    }
}

/// What Mandiant updated within the last half hour: some of it below the thresholds, some of open sources alone.
fn feed(world: &World, numbers: std::ops::Range<u32>) {
    let at = world.ago(TimeDelta::minutes(30));
    world.mandiant.put_all(numbers.map(|n| {
        let record = record(n).updated(at);
        match n % 11 {
            3 => record.mscore(55),
            5 => record.threat_score(Some(40)),
            7 => record.sources(&[("blocklist", true, &[])]),
            _ => record,
        }
    }));
}

async fn sleep(minutes: u64) {
    tokio::time::sleep(Duration::from_secs(minutes * 60)).await;
}

/// Sentinel takes no record whose value has this in it.
fn reject(world: &World, part: &'static str) {
    world.sentinel.knobs(|knobs| {
        knobs.reject = Some(Arc::new(move |object: &Value| {
            let pattern = object["pattern"].as_str().unwrap_or_default();
            pattern
                .contains(part)
                .then(|| "The pattern property is not valid: 'url:value' is too long".to_owned())
        }));
    });
}

async fn first_day() -> World {
    let world = world();
    sleep(23).await;
    for hour in 0..6 {
        feed(&world, hour * 70..(hour + 1) * 70);
        world.tick().await;
        sleep(60).await;
    }
    world
}

/// A month of passes, twice a day and at last every hour; records come, change and fall below the thresholds.
async fn a_month() -> World {
    let world = world();
    reject(&world, "login-1229.");
    sleep(23).await;
    let mut fed = 0;
    let mut feed_more = |world: &World, count: u32| {
        feed(world, fed..fed + count);
        let fallen = (fed.saturating_sub(900)..fed.saturating_sub(900) + count / 3).map(record);
        let at = world.ago(TimeDelta::minutes(20));
        world.mandiant.put_all(fallen.filter(|_| fed > 1500).map(|record| record.mscore(20).updated(at)));
        fed += count;
    };
    for half_day in 0..58_u32 {
        feed_more(&world, 60 + half_day * 37 % 50);
        world.tick().await;
        sleep(720).await;
    }
    for hour in 0..12 {
        if hour == 3 {
            world.sentinel.authorize(|_, _| Authorization::Forbidden);
        }
        if hour % 4 != 1 {
            feed_more(&world, 5 + hour * 7 % 13);
        }
        world.tick().await;
        world.sentinel.authorize(|_, _| Authorization::Valid);
        sleep(60).await;
    }
    world
}

/// Fills both lanes, and lets most of what they hold fall below the thresholds.
pub async fn retract_much(world: &World) {
    sleep(23).await;
    feed(world, 0..600);
    world.tick().await;
    sleep(25 * 60).await;
    let at = world.ago(TimeDelta::minutes(20));
    world.mandiant.put_all((0..500).map(|n| record(n).mscore(10).updated(at)));
    let report = world.tick().await;
    assert_eq!(report.end, End::Stalled, "{}", report.message);
}

#[tokio::test(start_paused = true)]
async fn every_state_is_a_sound_page_without_violations() {
    let mut pages: Vec<PathBuf> = Vec::new();
    let mut keep = |name: &str| pages.push(file_of(name));
    page(&world(), json!({}), "state-empty").await;
    keep("state-empty");
    page(&first_day().await, json!({}), "state-first-day").await;
    keep("state-first-day");

    let month = a_month().await;
    let healthy = page(&month, json!({}), "state-healthy").await;
    keep("state-healthy");
    assert!(healthy.headline().starts_with("Healthy since "), "{}", healthy.text());
    assert_eq!(healthy.all("svg").count(), 2, "a trend for each destination");
    let run_id = month.tick().await.run_id;
    page(&month, json!({ "run": run_id }), "state-pass").await;
    keep("state-pass");
    let known = month.mandiant.oldest(1).remove(0);
    page(&month, json!({ "value": known.value() }), "state-explain").await;
    keep("state-explain");
    page(&month, json!({ "check": "true" }), "state-checks").await;
    keep("state-checks");
    page(&month, json!({ "runbook": "mandiant" }), "state-runbook").await;
    keep("state-runbook");

    month.mandiant.set(|knobs| knobs.secret = "another".to_owned());
    for _ in 0..3 {
        sleep(60).await;
        month.tick().await;
    }
    page(&month, json!({}), "state-stalled-by-source").await;
    keep("state-stalled-by-source");

    let world = first_day().await;
    world.defender.knobs(|knobs| knobs.permission = false);
    feed(&world, 900..940);
    world.tick().await;
    sleep(60).await;
    page(&world, json!({}), "state-stalled-by-destination").await;
    keep("state-stalled-by-destination");

    let world = super::world();
    retract_much(&world).await;
    page(&world, json!({}), "state-mass-retraction").await;
    keep("state-mass-retraction");

    let mut vars = world.vars().clone();
    vars.remove("MATI_KEY");
    vars.insert("MINIMUM_CONFIDENCE".to_owned(), "many".to_owned());
    vars.insert("TARGET_APPLICATION".to_owned(), "splunk".to_owned());
    vars.remove("SYNC_CRON");
    let faults = Settings::parse(&vars).expect_err("these settings are wrong");
    let faults = page_of(&served_with_faults(faults), json!({}), json!({}), "state-bad-settings").await;
    keep("state-bad-settings");
    assert_eq!(faults.headline(), "The settings cannot be used: no pass runs");

    page(&hostile().await, json!({}), "state-hostile").await;
    keep("state-hostile");

    let violations = axe::violations(&pages);
    assert!(violations.is_empty(), "{violations}");
}
