//! Months of hourly passes in which happens what the field tells of: a request that was acknowledged is lost, people
//! delete and change indicators by hand, the timer dies for half a day. Nothing has a gap, and nothing costs more for it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::{
    domain::{
        outcome::End,
        report::{Report, Trigger},
    },
    pass::{QueueMessage, Work},
};
use sandbox::{corpus::Record, queue::QueueService};
use serde_json::json;

use super::{HOUR, file, ipv4};
use crate::harness::world::World;

const QUEUE: &str = "mati-sync";
const SLACK: i64 = 48;
/// How long the host keeps a message to itself, and how long an invocation may take.
const LEASE: TimeDelta = TimeDelta::minutes(10);
/// The new indicators of the request that is lost.
const LOST: [&str; 3] = ["192.88.98.1", "192.88.98.2", "192.88.98.3"];

/// The hours in which something happens.
const LOSES_A_REQUEST: i64 = 5 * 24 + 7;
const TIMER_IS_DEAD: std::ops::Range<i64> = 10 * 24..10 * 24 + 12;
const PEOPLE_MEDDLE: i64 = 12 * 24 + 5;
/// An audit by itself comes thirty days after the one of day 12, and again after thirty.
const A_FILE_IS_DELETED: i64 = 72 * 24;

struct Months {
    world: World,
    queues: QueueService,
    /// The ids of what the source lists and everything is expected of, by their values.
    expected: BTreeMap<String, String>,
    /// Values of which a gap is expected, and until which hour.
    excused: BTreeMap<String, i64>,
    watchdogs: u64,
    repairs: u64,
}

impl Months {
    fn new() -> Self {
        let (mut world, _, queues) = World::hosted();
        world.verifies().set("RENEWAL_SLACK", &SLACK.to_string());
        let expected = BTreeMap::new();
        Self { world, queues, expected, excused: BTreeMap::new(), watchdogs: 0, repairs: 0 }
    }

    /// Lives through `days` and returns the rows of each indicator.
    async fn live(&mut self, days: i64) {
        let listed: Vec<Record> = (0..40).map(ipv4).chain((0..10).map(file)).collect();
        for (place, record) in listed.iter().enumerate() {
            let at = self.world.ago(TimeDelta::hours(3 + place as i64 * 11));
            self.world.mandiant.put(record.clone().updated(at));
        }
        for hour in 0..days * 24 {
            self.let_happen(hour, &listed);
            if !TIMER_IS_DEAD.contains(&hour) {
                let reports = self.invoke(Work::Timer).await;
                // An audit by itself only reports.
                let audit = reports[0].lanes["sentinel"].audit.as_ref();
                if audit.is_some_and(|found| found.open() > 0) {
                    assert_eq!(self.repair().await, [1, 0, 1]);
                }
            }
            if hour == PEOPLE_MEDDLE + 4 {
                assert_eq!(self.repair().await, [2, 1, 3]);
            }
            self.expect_no_gap(hour);
            for _ in 0..2 {
                self.deliver().await;
                tokio::time::advance(HOUR / 2).await;
            }
        }
    }

    fn let_happen(&mut self, hour: i64, listed: &[Record]) {
        let world = &self.world;
        // Each third is touched daily, the others each 20 days, never all at once.
        for (place, record) in listed.iter().enumerate() {
            let period = if place % 3 == 0 { 24 } else { 480 };
            if (hour + place as i64 * 7) % period == period - 1 {
                world.mandiant.put(record.clone().updated(world.ago(TimeDelta::minutes(10))));
            }
        }
        if hour >= LOSES_A_REQUEST && (hour - LOSES_A_REQUEST) % 480 == 0 {
            let at = world.ago(TimeDelta::minutes(10));
            world.mandiant.put_all(LOST.map(|value| Record::ipv4(value).updated(at)));
        }
        match hour {
            LOSES_A_REQUEST => {
                let is_lost = AtomicBool::new(false);
                world.sentinel.knobs(|knobs| {
                    knobs.lose = Some(Arc::new(move |objects| {
                        let are_these =
                            objects.iter().all(|it| LOST.iter().any(|value| it["name"] == *value));
                        are_these && !is_lost.swap(true, Ordering::Relaxed)
                    }));
                });
                // Three hours without it, and the next pass offers it again.
                self.excuse(&LOST, hour + 5);
            }
            PEOPLE_MEDDLE => {
                let [first, second, third] = [3, 4, 5].map(|n| format!("198.51.0.{n}"));
                for value in [&first, &second] {
                    assert!(world.sentinel.delete_by_hand("Mandiant", &self.expected[value]));
                }
                let change = |object: &mut serde_json::Value| object["confidence"] = json!(1);
                assert!(world.sentinel.change_by_hand("Mandiant", &self.expected[&third], change));
                self.excuse(&[&first, &second], hour + 5);
            }
            A_FILE_IS_DELETED => {
                let (value, id) = self.expected.iter().find(|(value, _)| value.len() == 32).expect("a file");
                assert!(world.sentinel.delete_by_hand("Mandiant", id));
                self.excuse(&[&value.clone()], hour + 3 * 24);
            }
            _ => {}
        }
    }

    fn excuse(&mut self, values: &[&str], until: i64) {
        self.excused.extend(values.iter().map(|value| ((*value).to_owned(), until)));
    }

    async fn invoke(&mut self, work: Work) -> Vec<Report> {
        let ended = self.world.run(work, LEASE.to_std().expect("positive")).await;
        for report in &ended.reports {
            assert_eq!(report.end, End::CaughtUp, "{report:#?}");
            self.watchdogs += u64::from(report.trigger == Trigger::Watchdog);
        }
        assert!(ended.continuation.is_none(), "there is time enough");
        ended.reports
    }

    /// What the host does with messages that are visible.
    async fn deliver(&mut self) {
        while let Some(message) = self.queues.take(QUEUE, LEASE) {
            let text = message.text().expect("base64");
            self.invoke(Work::QueueMessage(serde_json::from_str::<QueueMessage>(&text).expect("ours"))).await;
            self.queues.delete(QUEUE, &message.id);
        }
        let left = self.queues.messages(QUEUE).len();
        assert!(left <= 3, "{left} messages lie there: chains multiply");
    }

    /// Everything that was listed when the first pass ended is there, and stays so for the slack.
    fn expect_no_gap(&mut self, hour: i64) {
        let now = self.world.now();
        let stored = self.world.sentinel.stored();
        // The canary is of another source.
        let ours = stored.iter().filter(|((source, _), _)| source == "Mandiant");
        let shown: BTreeMap<String, DateTime<Utc>> = ours
            .map(|((_, id), object)| {
                let name = object["name"].as_str().expect("a name").to_owned();
                self.expected.entry(name.clone()).or_insert_with(|| id.clone());
                (name, object["valid_until"].as_str().expect("a date").parse().expect("a date"))
            })
            .collect();
        self.excused.retain(|_, until| *until > hour);
        for value in self.expected.keys().filter(|value| !self.excused.contains_key(*value)) {
            let until = shown.get(value).unwrap_or_else(|| panic!("{value} is gone in hour {hour}"));
            assert!(*until - now >= TimeDelta::hours(SLACK), "{value} ends at {until} in hour {hour}");
        }
    }

    /// Rows at most 1.05 times the limit that no policy can beat.
    fn expect_few_rows(&self) {
        let mut rows: BTreeMap<String, Vec<DateTime<Utc>>> = BTreeMap::new();
        let touched = [3, 4, 5].map(|n| format!("198.51.0.{n}"));
        for row in self.world.sentinel.log() {
            let name = row.object["name"].as_str().expect("a name").to_owned();
            if name.starts_with("198.51.") && !touched.contains(&name) {
                rows.entry(name).or_default().push(row.at);
            }
        }
        let (mut intervals, mut hours) = (0, 0.0);
        // The first renewal comes at a refresh, wherever in its course the indicator was created.
        for pair in rows.values().flat_map(|at| at[1..].windows(2)) {
            intervals += 1;
            hours += (pair[1] - pair[0]).as_seconds_f64() / 3600.0;
        }
        assert!(intervals > 100, "{intervals}");
        let validity = 7.0 * 24.0;
        let times = validity * f64::from(intervals) / hours / (validity / (validity - SLACK as f64));
        assert!(times <= 1.05, "{times:.3} times the limit");
    }

    async fn repair(&mut self) -> [u64; 3] {
        let reports = self.invoke(Work::Repair).await;
        let found = reports[0].lanes["sentinel"].audit.clone().expect("it was audited");
        self.repairs += found.repaired;
        [found.missing, found.changed, found.repaired]
    }
}

#[tokio::test(start_paused = true)]
async fn a_month_with_all_that_happens_has_no_gap_and_costs_no_more() {
    let mut months = Months::new();
    months.live(30).await;
    months.expect_few_rows();
    assert_eq!((months.watchdogs, months.repairs), (6, 3));
}

#[tokio::test(start_paused = true)]
async fn a_quarter_with_all_that_happens_has_no_gap_and_costs_no_more() {
    let mut months = Months::new();
    months.live(90).await;
    months.expect_few_rows();
    assert_eq!((months.watchdogs, months.repairs), (6, 4));
}
