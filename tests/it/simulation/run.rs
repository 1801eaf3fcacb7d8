//! One seed: a world, a stretch of chaos, a calm, and the reckoning.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::TimeDelta;
use mati_sync::{
    app::App,
    clock::{Clock, Deadline},
    domain::{outcome::End, request::Order, task::OVERLAP},
    pass::{Ended, Message, MessageKind, Work},
};
use sandbox::{blob::BlobService, corpus::Record};
use tokio::time::Instant;

use super::{
    chaos::{Chaos, is_refused, nature, record, unleash, value},
    dice::Dice,
    oracle,
    second::Second,
    tally::Tally,
};
use crate::harness::world::{World, check_report, over_the_queue};

/// The most records in a request, and the most requests in flight.
const BATCH: u64 = 100;
pub const IN_FLIGHT: u64 = 4;

struct Simulation {
    world: World,
    second: Option<Second>,
    blobs: Option<BlobService>,
    dice: Dice,
    per_minute: u64,
    queue: VecDeque<Message>,
    /// Every message there ever was.
    sent: Vec<Message>,
    tally: Tally,
    /// Passes that ended without knowing what became of their uploads.
    doubtful_ends: u64,
    fenced: u64,
    /// Invocations that were answered before their pass had ended.
    overdue: u64,
}

pub async fn simulate(seed: u64) -> Tally {
    let mut dice = Dice::new(seed);
    let mut world = World::new();
    let per_minute = dice.between(2, 20);
    world.set("SENTINEL_REQUESTS_PER_MINUTE", &per_minute.to_string()).set("INITIAL_LOOKBACK", "3");
    world.sentinel.knobs(|knobs| {
        knobs.quota = per_minute as usize;
        knobs.reject = Some(Arc::new(|object| {
            is_refused(object["name"].as_str()?).then(|| "refused for ever".to_owned())
        }));
    });
    let blobs = dice.chance(0.7).then(|| {
        let clock = Arc::clone(&world.clock);
        BlobService::new(Arc::new(move || clock.now()))
    });
    if let Some(blobs) = &blobs {
        world.net.host("127.0.0.1:10000", blobs.router());
        world.set("STATE_DIR", "").set("AzureWebJobsStorage", "UseDevelopmentStorage=true");
    }
    let second = dice.chance(0.4).then(|| Second::add(&mut world, &mut dice));
    let count = dice.between(50, 1500);
    let span = dice.pick(&[3600, 86_400, 2 * 86_400]);
    let start = world.ago(TimeDelta::minutes(10));
    let records: Vec<_> = (0..count)
        .map(|number| {
            // In milliseconds, with many ties.
            let age = TimeDelta::milliseconds(
                (dice.below(span) * 1000 / 500 * 500) as i64 + dice.pick(&[0, 0, 500]),
            );
            record(&mut dice, &value(number)).updated(start - age)
        })
        .collect();
    // Within the seconds in which one window ends and the next begins: whole days after the lookback's start, which
    // the first window overshoots by the overlap.
    let edges = [-2, -1].into_iter().flat_map(|day| {
        let end = TimeDelta::days(day) + OVERLAP;
        [0, 250, 500, 999, 1000].map(|milliseconds| end + TimeDelta::milliseconds(milliseconds))
    });
    let edges = edges
        .enumerate()
        .map(|(index, at)| Record::ipv4(&value(count + index as u64)).updated(world.now() + at).mscore(90));
    let records: Vec<_> = records.into_iter().chain(edges).collect();
    world.mandiant.put_all(records.clone());

    let chaos = unleash(&world, seed);
    let mut simulation = Simulation {
        world,
        second,
        blobs,
        dice,
        per_minute,
        queue: VecDeque::new(),
        sent: Vec::new(),
        tally: Tally { records: count, ..Tally::default() },
        doubtful_ends: 0,
        fenced: 0,
        overdue: 0,
    };
    simulation.live_through(seed, &chaos, records.clone()).await;
    simulation.calm_down().await;
    simulation.reckon(&chaos, &records).await
}

impl Simulation {
    /// Some hours of a broken world.
    async fn live_through(&mut self, seed: u64, chaos: &Arc<Chaos>, records: Vec<Record>) {
        let (mandiant, clock) = (self.world.mandiant.clone(), Arc::clone(&self.world.clock));
        let mut living = Box::pin(nature(mandiant, clock, seed, Arc::clone(chaos), records));
        let rounds = self.dice.between(3, 10);
        for _ in 0..rounds {
            tokio::select! {
                () = self.round() => {}
                () = &mut living => unreachable!("nature goes on until the chaos is over"),
            }
            let pause = self.dice.seconds(1, 600);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = &mut living => unreachable!("nature goes on until the chaos is over"),
            }
        }
        chaos.end();
        living.await;
    }

    /// One thing that makes passes run, or two at once.
    async fn round(&mut self) {
        let work = self.work().await;
        let kill = self.kill();
        let limit = self.dice.seconds(40, 300);
        if self.dice.chance(0.25) {
            let other_kill = self.kill();
            let offset = self.dice.seconds(0, 60);
            let (one, other) = (self.world.start(), self.world.start());
            let second = async {
                tokio::time::sleep(offset).await;
                invoke(&other, Work::Timer, limit, other_kill).await
            };
            let (first, second) = tokio::join!(invoke(&one, work, limit, kill), second);
            self.account(first);
            self.account(second);
        } else {
            let app = self.world.start();
            let ended = invoke(&app, work, limit, kill).await;
            self.account(ended);
        }
    }

    /// A tick, a message (perhaps delivered twice), or somebody's request.
    async fn work(&mut self) -> Work {
        if !self.queue.is_empty() && self.dice.chance(0.6) {
            let message =
                if self.dice.chance(0.2) { self.queue.front().cloned() } else { self.queue.pop_front() };
            return Work::Message(over_the_queue(&message.expect("it is not empty")));
        }
        if self.dice.chance(0.15) {
            let order = match self.dice.below(3) {
                0 => Order { lookback_days: Some(2), ..Order::default() },
                1 => Order { dry_run: true, ..Order::default() },
                _ => Order { lookback_days: Some(3), ..Order::default() },
            };
            if let Ok(message) = self.world.start().engine.accept(order).await {
                // The nudge may be lost; the request may not.
                if self.dice.chance(0.7) {
                    return Work::Message(message);
                }
            }
        }
        Work::Timer
    }

    fn kill(&mut self) -> Option<Duration> {
        let longest = self.dice.pick(&[5, 30, 120, 400]);
        self.dice.chance(0.5).then(|| self.dice.seconds(0, longest))
    }

    /// Keeps the books of one invocation.
    fn account(&mut self, ended: Option<Ended>) {
        let Some(ended) = ended else {
            self.tally.kills += 1;
            self.doubtful_ends += 1;
            return;
        };
        for report in &ended.reports {
            check_report(report);
            self.tally.passes += 1;
            self.overdue += u64::from(report.message.contains("did not take the last commit"));
            match report.end {
                End::CaughtUp | End::Skipped => {}
                // An upload that did not come back in time was given up; a commit may have failed.
                End::Paused | End::Stalled | End::Failed => self.doubtful_ends += 1,
                End::Fenced => self.fenced += 1,
            }
        }
        self.sent.extend(ended.continuation.clone());
        if let Some(message) = ended.continuation.filter(|_| self.dice.chance(0.8)) {
            self.queue.push_back(message);
            if self.dice.chance(0.2) {
                self.queue.push_back(self.queue.back().expect("just pushed").clone());
            }
        }
    }

    /// Nothing is wrong any more: everything must be caught up within some ticks.
    async fn calm_down(&mut self) {
        // A lease that somebody died with runs out; the youngest records leave the source's lag.
        tokio::time::sleep(Duration::from_secs(180)).await;
        let limit = Duration::from_secs(600);
        // Queues deliver again, and late.
        self.queue.extend(self.sent.iter().rev().take(3).cloned());
        let mut calm = 0;
        for _ in 0..400 {
            let (work, stale) = match self.queue.pop_front() {
                Some(message) => {
                    let stale = message.kind == MessageKind::Continue && !self.is_current(&message).await;
                    (Work::Message(message), stale)
                }
                None => (Work::Timer, false),
            };
            let is_tick = work == Work::Timer;
            let app = self.world.start();
            let ended = invoke(&app, work, limit, None).await.expect("nobody kills it");
            // Dry runs that wait are taken by whatever message comes first.
            let acted = ended.reports.iter().any(|report| !report.dry_run);
            assert!(!stale || !acted, "a stale message was acted upon: {ended:#?}");
            ended.reports.iter().for_each(check_report);
            self.tally.passes += ended.reports.len() as u64;
            let done = ended.reports.iter().all(|report| report.end == End::CaughtUp);
            assert!(
                ended.reports.iter().all(|report| matches!(report.end, End::CaughtUp | End::Paused)),
                "nothing is wrong, and yet: {:#?}",
                ended.reports
            );
            self.queue.extend(ended.continuation);
            calm = if done && is_tick { calm + 1 } else { 0 };
            if calm == 3 && self.queue.is_empty() {
                return self.refresh().await;
            }
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        panic!("it does not catch up although nothing is wrong");
    }

    /// Everything is offered once more: a place that became free at Defender is taken by the best of the others.
    async fn refresh(&mut self) {
        if self.second.is_none() {
            return;
        }
        // Twice: the first time may give room to what is refused.
        for _ in 0..2 {
            self.read_again().await;
        }
    }

    async fn read_again(&self) {
        let order = Order { lookback_days: Some(5), ..Order::default() };
        let app = self.world.start();
        let limit = Duration::from_secs(3600);
        let ended = invoke(&app, Work::Command(order), limit, None).await.expect("nobody kills it");
        ended.reports.iter().for_each(check_report);
        assert_eq!(ended.reports[0].end, End::CaughtUp, "{ended:#?}");
    }

    fn lanes(&self) -> &[&'static str] {
        if self.second.is_some() { &["sentinel", "defender"] } else { &["sentinel"] }
    }

    async fn is_current(&self, message: &Message) -> bool {
        let app = self.world.start();
        let store = (app.engine.open_store)().expect("a store");
        for lane in self.lanes() {
            let progress = store.progress(lane).await.expect("readable");
            if progress.is_some_and(|progress| progress.continuation_id == message.continuation_id) {
                return true;
            }
        }
        false
    }

    async fn reckon(mut self, chaos: &Chaos, from_the_start: &[Record]) -> Tally {
        assert!(!chaos.storage_is_sound || self.fenced == 0, "two passes worked at once");
        assert!(!chaos.storage_is_sound || self.overdue == 0, "a pass did not end by itself");
        // Tries that are used up, with pauses that grow.
        let asked = chaos.asked_in_vain.load(Ordering::Relaxed);
        let patience = 10 * (self.tally.passes + self.tally.kills);
        assert!(!chaos.source_is_down || asked <= patience, "Mandiant was asked {asked} times in vain");
        let in_doubt = chaos.uploads_in_doubt.load(Ordering::Relaxed);
        let allowed = BATCH * (in_doubt + IN_FLIGHT * (self.doubtful_ends + self.fenced));
        let (manifest, watermark) = self.known().await.expect("it has run");
        let forgotten = oracle::check_destination(&self.world, &manifest);
        assert!(forgotten <= allowed, "{forgotten} are held that nobody knows of; {allowed} were in doubt");
        self.tally.resent = oracle::check_resent(&self.world, allowed);
        self.tally.faults = chaos.faults.load(Ordering::Relaxed);
        oracle::check_pace(&self.world, self.per_minute, IN_FLIGHT * self.fenced);
        let still_wanted: Vec<Record> = self.still_wanted(from_the_start);
        oracle::check_checkpoint(&manifest, watermark, &still_wanted);
        oracle::check_refused(&self.world, &self.refusals("sentinel"));
        if let Some(second) = &self.second {
            second.reckon(&self.world, chaos, self.doubtful_ends, self.fenced);
            // Where room is scarce, not everything is offered.
            if second.limit == 15_000 {
                oracle::check_refused(&self.world, &self.refusals("defender"));
            }
        }
        self.tally
    }

    /// What dropped before it was read was never to be sent.
    fn still_wanted(&self, records: &[Record]) -> Vec<Record> {
        let now = self.world.mandiant.records();
        let wanted: HashSet<&str> =
            now.iter().filter(|record| oracle::is_wanted(record)).map(Record::value).collect();
        records.iter().filter(|record| wanted.contains(record.value())).cloned().collect()
    }

    async fn known(&self) -> Option<(mati_sync::domain::manifest::Manifest, chrono::DateTime<chrono::Utc>)> {
        let app = self.world.start();
        let store = (app.engine.open_store)().ok()?;
        let watermark = store.progress("sentinel").await.ok()??.watermark;
        Some((app.engine.manifest("sentinel").await.ok()?, watermark))
    }

    /// All lines that were ever set aside.
    fn refusals(&self, lane: &str) -> String {
        match &self.blobs {
            Some(blobs) => {
                let folder = format!("lanes/{lane}/rejected/");
                let files = blobs.blobs().into_iter().filter(|(name, _)| name.contains(&folder));
                files.map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned()).collect()
            }
            None => {
                let folder = self.world.state.path().join(format!("lanes/{lane}/rejected"));
                let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
                files.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default()).collect()
            }
        }
    }
}

/// One invocation with the host's limit, killed after `kill`; `None` when that happened.
async fn invoke(app: &App, work: Work, limit: Duration, kill: Option<Duration>) -> Option<Ended> {
    let (_sender, stop) = tokio::sync::watch::channel(false);
    let deadline = Deadline::for_invocation(limit, stop);
    let began = Instant::now();
    let running = app.engine.run(work, None, &deadline);
    let ended = match kill {
        Some(after) => tokio::time::timeout(after, running).await.ok(),
        None => Some(running.await),
    };
    let took = began.elapsed();
    assert!(took <= limit, "an invocation took {took:?} of {limit:?}: {ended:#?}");
    ended
}
