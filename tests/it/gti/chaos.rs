//! Everything at once, from a seed: lists that change by the hour, packages that are late or missing, quotas, broken
//! answers, passes that are killed, and the other source now and then. At the end the workspace holds what the newest
//! package of each value calls for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use mati_sync::{
    clock::Deadline,
    domain::{feeds::Loss, observable::Key, outcome::End},
    pass::Work,
};
use sandbox::{
    gti::{Empty, Factors, Ioc, Rate},
    net::Fault,
};
use tokio::time::timeout;

use super::{hours_ago, pass_hours, world};
use crate::{harness::world::World, simulation::dice::Dice};

const LISTS: [&str; 4] = ["malware", "phishing", "threat-actor", "trending"];

/// One record as the oracle knows it.
#[derive(Clone, Copy, Debug)]
struct Truth {
    score: i64,
    by_analyst: bool,
}

/// What a list gives in each hour.
type Packages = BTreeMap<DateTime<Utc>, Vec<(String, Truth)>>;

/// What was listed, by value and hour, in all lists.
#[derive(Default)]
struct Listed(BTreeMap<String, Packages>);

impl Listed {
    fn put(&mut self, world: &World, dice: &mut Dice, at: DateTime<Utc>) {
        let list = dice.pick(&LISTS);
        let value = format!("bad{}.example", dice.below(40));
        let truth = Truth { score: dice.pick(&[10, 79, 80, 85, 95]), by_analyst: dice.chance(0.05) };
        let mut ioc = Ioc::domain(&value).score(truth.score);
        if truth.by_analyst {
            ioc = ioc.factor("mandiant_analyst_benign", true);
        }
        if dice.chance(0.3) {
            ioc = ioc.confidence(None);
        }
        world.gti.put(list, at, &ioc);
        self.0.entry(value).or_default().entry(at).or_default().push((list.to_owned(), truth));
    }

    /// The values that the newest hour of each calls for, of packages that were not lost.
    fn wanted(&self, is_lost: impl Fn(&str, DateTime<Utc>) -> bool) -> BTreeSet<String> {
        let mut wanted = BTreeSet::new();
        for (value, hours) in &self.0 {
            for (at, records) in hours.iter().rev() {
                let read: Vec<Truth> =
                    records.iter().filter(|(list, _)| !is_lost(list, *at)).map(|(_, truth)| *truth).collect();
                if read.is_empty() {
                    continue;
                }
                let best = read.iter().map(|truth| truth.score).max().unwrap();
                if best >= 80 && !read.iter().any(|truth| truth.by_analyst) {
                    wanted.insert(value.clone());
                }
                break;
            }
        }
        wanted
    }
}

fn fault(dice: &mut Dice) -> Fault {
    match dice.below(7) {
        0 => Fault::ResetBefore,
        1 => Fault::ResetAfter,
        2 => Fault::ResetInBody(dice.below(400) as usize),
        3 => Fault::status(503),
        4 => Fault::DelayAfter(dice.seconds(1, 150)),
        5 => Fault::AnswerBefore(axum::http::StatusCode::OK, Default::default(), "<html>".into()),
        _ => Fault::Refuse,
    }
}

async fn simulate(seed: u64) {
    let mut dice = Dice::new(seed);
    let mut world = world();
    world.set("GTI_LISTS", &LISTS.join(",")).set("SENTINEL_REQUESTS_PER_MINUTE", "30");
    world.gti.set(|knobs| {
        knobs.empty = dice.pick(&[Empty::List, Empty::Null, Empty::Missing]);
        knobs.factors = dice.pick(&[Factors::Of2025, Factors::Of2026]);
        knobs.gzip = dice.chance(0.5);
    });
    let is_chaos = Arc::new(AtomicBool::new(true));
    let faults = Arc::new(Mutex::new(Dice::new(seed ^ 0x0061_7469)));
    let chaos = Arc::clone(&is_chaos);
    world.net.on_request(move |exchange| {
        let mut dice = faults.lock().unwrap();
        let is_source = exchange.authority == "www.virustotal.com";
        let is_hit = chaos.load(Ordering::Relaxed) && (is_source && dice.chance(0.03) || dice.chance(0.01));
        is_hit.then(|| fault(&mut dice))
    });

    let (mut listed, mut losses) = (Listed::default(), Vec::<Loss>::new());
    for hours in 1..60 {
        for _ in 0..dice.below(4) {
            listed.put(&world, &mut dice, hours_ago(&world, hours));
        }
    }
    for _ in 0..dice.between(6, 14) {
        disturb(&world, &mut dice);
        let app = world.start();
        let (_sender, stop) = tokio::sync::watch::channel(false);
        let limit = dice.seconds(60, 600);
        let deadline = Deadline::for_invocation(limit, stop);
        let kill = if dice.chance(0.3) { dice.seconds(1, 60) } else { limit };
        if let Ok(ended) = timeout(kill, app.engine.run(Work::Timer, None, &deadline)).await {
            for report in &ended.reports {
                crate::harness::world::check_report(report);
                assert!(report.end != End::Failed, "seed {seed}: {report:#?}");
                losses.extend(report.losses.iter().cloned());
            }
        }
        pass_hours(dice.below(4)).await;
        for _ in 0..dice.below(6) {
            // A package is made two hours after its hour began, and never changes after that.
            let hours = dice.below(2) as i64;
            listed.put(&world, &mut dice, hours_ago(&world, hours));
        }
    }
    is_chaos.store(false, Ordering::Relaxed);
    world.gti.set(|knobs| {
        knobs.holes.clear();
        knobs.late.clear();
        knobs.forbidden.clear();
        (knobs.rate, knobs.daily_quota) = (None, None);
    });
    pass_hours(3).await;
    for _ in 0..2 {
        let reports = world.chain(Duration::from_secs(600)).await;
        let last = reports.last().unwrap();
        assert_eq!(last.end, End::CaughtUp, "seed {seed}: {last:#?}");
        losses.extend(reports.iter().flat_map(|report| report.losses.clone()));
    }
    let is_lost = |list: &str, at: DateTime<Utc>| {
        losses
            .iter()
            .any(|loss| loss.what.split(", ").any(|name| name == list) && loss.from <= at && at < loss.to)
    };
    let wanted = listed.wanted(is_lost);
    let held: BTreeSet<String> = world.held().into_iter().collect();
    let manifest = world.start().engine.manifest("sentinel").await.unwrap();
    // What a killed pass sent and could not note, and what is dropped by the next reading, ends with its validity.
    let is_known = |value: &String| {
        let key = Key::of_stix_id(world.object(value)["id"].as_str().unwrap()).unwrap();
        manifest.get(key).is_some_and(|entry| entry.is_held(world.now()))
    };
    let surplus: Vec<&String> = held.difference(&wanted).filter(|value| is_known(value)).collect();
    let differing: Vec<&String> = wanted.difference(&held).chain(surplus).collect();
    let told = |value: &String| {
        let records = listed.0.get(value).map(|hours| format!("{hours:?}")).unwrap_or_default();
        format!("{value}, held {}: {records}", held.contains(value))
    };
    let differing: Vec<_> = differing.into_iter().map(told).collect();
    assert!(differing.is_empty(), "seed {seed}: {differing:#?}; lost: {losses:?}");
    let ids = world.sentinel.stored();
    let values: BTreeSet<_> = ids.values().map(|object| object["pattern"].to_string()).collect();
    assert_eq!(values.len(), ids.len(), "seed {seed}: no value has a second id");
}

/// Something at the source goes wrong, or is well again.
fn disturb(world: &World, dice: &mut Dice) {
    let at = hours_ago(world, dice.between(2, 30) as i64);
    let list = dice.pick(&LISTS).to_owned();
    let rate = dice.chance(0.1).then_some(Rate { per_minute: 40, retry_after: dice.chance(0.5) });
    let quota = dice.chance(0.1).then(|| dice.below(200));
    world.gti.set(|knobs| {
        match dice.below(6) {
            0 => drop(knobs.holes.insert((list, at))),
            1 => drop(knobs.late.insert((list, at))),
            2 => drop(knobs.forbidden.insert(list)),
            3 => knobs.holes.clear(),
            4 => knobs.late.clear(),
            _ => knobs.forbidden.clear(),
        }
        (knobs.rate, knobs.daily_quota) = (rate, quota);
    });
}

#[test]
fn whatever_happens_the_newest_package_decides() {
    let seeds = std::env::var("MATI_SYNC_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(12_u64);
    let only = std::env::var("MATI_SYNC_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    for seed in only.map_or(0..seeds, |seed| seed..seed + 1) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(simulate(seed));
    }
}
