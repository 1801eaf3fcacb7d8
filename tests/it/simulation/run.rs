//! One seed: a world, a stretch of chaos, a calm, and the reckoning.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::{
    app::App,
    clock::Deadline,
    domain::{outcome::End, request::RunOptions},
    pass::{Ended, QueueMessage, Work},
};
use sandbox::{blob::BlobService, corpus::Record, queue::QueueService};
use tokio::time::Instant;

use super::{
    chaos::{Chaos, unleash},
    dice::Dice,
    losses::Losses,
    nature::{Nature, heals, is_rejected, record, value},
    second::Second,
    source::{Kind, Source, is_gti},
    tally::Tally,
};
use crate::harness::world::{World, check_report, over_the_queue};

/// The most requests in flight.
pub const IN_FLIGHT: u64 = 4;

/// What may stand for a file; with the last, two objects.
const HASH_TYPES: [&str; 3] = ["md5", "sha256", "sha256,md5"];

pub struct Simulation {
    pub world: World,
    pub source: Source,
    pub second: Option<Second>,
    pub losses: Option<Losses>,
    pub blobs: Option<BlobService>,
    /// The host's queue, beside its blobs.
    pub queues: Option<QueueService>,
    pub dice: Dice,
    pub per_minute: u64,
    pub began: DateTime<Utc>,
    pub queue: VecDeque<QueueMessage>,
    /// Every message there ever was.
    pub sent: Vec<QueueMessage>,
    pub tally: Tally,
    /// Passes that ended without knowing what became of their uploads.
    pub doubtful_ends: u64,
    pub fenced: u64,
    /// Invocations that were answered before their pass had ended.
    pub overdue: u64,
    /// MINIMUM_CONFIDENCE.
    pub threshold: i64,
    /// Whether an operator changes the settings now and then.
    pub is_fickle: bool,
    /// Whether our clock jumps now and then, and how far it is off.
    pub is_jumpy: bool,
    pub off: TimeDelta,
    /// When an operator first confirmed retractions, if ever.
    pub confirmed_at: Option<DateTime<Utc>>,
}

/// Why a destination rejects a value, for ever or while the chaos lasts.
pub fn rejection(value: &str, is_chaos: bool) -> Option<String> {
    let is_rejected = is_rejected(value) || is_chaos && heals(value);
    is_rejected.then(|| "rejected for ever".to_owned())
}

pub async fn simulate(seed: u64) -> Tally {
    let mut dice = Dice::new(seed);
    let mut world = World::new();
    let source = Source::add(&mut world, Kind::of(seed), seed);
    let per_minute = dice.between(2, 20);
    world.set("SENTINEL_REQUESTS_PER_MINUTE", &per_minute.to_string()).set("INITIAL_LOOKBACK", "3");
    // Not drawn with the dice of the seed, so that seeds go on meaning the same worlds.
    world.set("HASH_TYPE", Dice::new(seed ^ 0xd16e).pick(&HASH_TYPES));
    // So that everything ages out alike.
    world.set("HASH_INDICATOR_EXPIRATION", "7");
    world.sentinel.knobs(|knobs| {
        knobs.quota = per_minute as usize;
        knobs.reject = Some(Arc::new(|object| rejection(object["name"].as_str()?, true)));
    });
    let blobs = dice.chance(0.7).then(|| {
        let clock = Arc::clone(&world.clock);
        BlobService::new(Arc::new(move || clock.true_time()))
    });
    if let Some(blobs) = &blobs {
        world.net.host("127.0.0.1:10000", blobs.router());
        world.set("STATE_DIR", "").set("AzureWebJobsStorage", "UseDevelopmentStorage=true");
    }
    let queues = blobs.is_some().then(|| world.queues());
    if queues.is_some() {
        world.set("FUNCTIONS_CUSTOMHANDLER_PORT", "7071");
    }
    let second = dice.chance(0.4).then(|| Second::add(&mut world, &mut dice));
    let mut own = Dice::new(seed ^ 0x105e);
    let losses = own.chance(0.3).then(|| Losses::add(&mut world, &mut own));
    let count = dice.between(50, 900);
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
    // Within the seconds in which one window ends and the next begins: whole days after the lookback's start.
    let edges = [-2, -1].into_iter().flat_map(|day| {
        let end = TimeDelta::days(day);
        [0, 250, 500, 999, 1000].map(|milliseconds| end + TimeDelta::milliseconds(milliseconds))
    });
    let edges = edges.enumerate().map(|(index, at)| {
        record(&mut dice, &value(count + index as u64)).updated(world.now() + at).mscore(90)
    });
    let mut records: Vec<_> = records.into_iter().chain(edges).collect();
    records.iter().for_each(|record| source.put(record));
    let mut values = records.len() as u64;
    records.extend(source.fill(world.now(), |dice| {
        values += 1;
        record(dice, &value(values - 1))
    }));

    let chaos = unleash(&world, seed);
    let began = world.now();
    let (is_fickle, is_jumpy) = (dice.chance(0.25), dice.chance(0.2));
    // Of a value that both sources list it would not be known by which settings and clock which of them was read.
    let is_plain = source.kind != Kind::Both;
    let (is_fickle, is_jumpy) = (is_fickle && is_plain, is_jumpy && is_plain);
    let mut simulation = Simulation {
        world,
        source,
        second,
        losses,
        blobs,
        queues,
        dice,
        per_minute,
        began,
        queue: VecDeque::new(),
        sent: Vec::new(),
        tally: Tally { records: count, ..Tally::default() },
        doubtful_ends: 0,
        fenced: 0,
        overdue: 0,
        threshold: 80,
        is_fickle,
        is_jumpy,
        off: TimeDelta::zero(),
        confirmed_at: None,
    };
    simulation.live_through(seed, &chaos, records.clone()).await;
    simulation.calm_down(seed, &chaos).await;
    // An audit would find the request that was lost.
    if simulation.losses.is_none() {
        simulation.meddle(seed, &chaos).await;
        simulation.fill_up().await;
    } else if is_gti(&simulation.world) {
        simulation.find_what_was_lost(seed).await;
        simulation.fill_up().await;
    }
    simulation.reckon(&chaos, &records).await
}

impl Simulation {
    /// Some hours of a broken world.
    async fn live_through(&mut self, seed: u64, chaos: &Arc<Chaos>, records: Vec<Record>) {
        let nature = Nature {
            source: self.source.clone(),
            defender: self.world.defender.clone(),
            clock: Arc::clone(&self.world.clock),
            chaos: Arc::clone(chaos),
            dice: Dice::new(seed ^ 0x7ee5),
            values: records.len() as u64,
            listed: records,
            theirs: Vec::new(),
        };
        let mut living = Box::pin(nature.live());
        let rounds = self.dice.between(3, 10);
        let mut weather = Dice::new(seed ^ 0x3ea7);
        for _ in 0..rounds {
            self.change_settings();
            self.jump();
            self.source.disturb(&mut self.world, chaos, &mut weather);
            tokio::select! {
                () = self.round() => {}
                () = &mut living => unreachable!("nature goes on until the chaos is over"),
            }
            let pause = self.dice.seconds(1, 600) + self.source.idle(&mut weather);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = &mut living => unreachable!("nature goes on until the chaos is over"),
            }
        }
        chaos.end();
        living.await;
        self.source.lists.calm_down();
        self.world.clock.jump(-self.off);
        self.world.sentinel.knobs(|knobs| {
            knobs.reject = Some(Arc::new(|object| rejection(object["name"].as_str()?, false)));
        });
        if let Some(second) = &self.second {
            second.reject(&self.world, false);
        }
    }

    /// An operator changes a setting, whatever is under way: everything is to be read again.
    fn change_settings(&mut self) {
        if !self.is_fickle || self.dice.chance(0.6) {
            return;
        }
        if self.dice.chance(0.3) {
            let hash_type = self.dice.pick(&HASH_TYPES);
            self.world.set("HASH_TYPE", hash_type);
        } else {
            self.threshold = self.dice.pick(&[75, 80, 82, 85]);
            self.world.set("MINIMUM_CONFIDENCE", &self.threshold.to_string());
        }
    }

    /// Our clock is off by less or more than a refresh's period, ahead or behind.
    fn jump(&mut self) {
        if !self.is_jumpy || self.dice.chance(0.6) {
            return;
        }
        let off = TimeDelta::hours(self.dice.pick(&[0, 5, -5, 96, -96]));
        self.world.clock.jump(off - self.off);
        self.off = off;
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

    /// A tick, a message (perhaps delivered twice), or an operator's request.
    async fn work(&mut self) -> Work {
        if !self.queue.is_empty() && self.dice.chance(0.6) {
            let message =
                if self.dice.chance(0.2) { self.queue.front().cloned() } else { self.queue.pop_front() };
            return Work::QueueMessage(over_the_queue(&message.expect("it is not empty")));
        }
        if self.dice.chance(0.15) {
            let mut order = match self.dice.below(6) {
                0 => RunOptions { lookback_days: Some(2), ..RunOptions::default() },
                1 => RunOptions { dry_run: true, ..RunOptions::default() },
                2 | 3 => RunOptions { retry_rejected: true, ..RunOptions::default() },
                4 if self.dice.chance(0.3) => self.confirm(),
                _ => RunOptions { lookback_days: Some(3), ..RunOptions::default() },
            };
            if self.dice.chance(0.4) {
                let lanes = self.lanes();
                let lane = self.dice.pick(lanes);
                order.destinations = Some(vec![lane.to_owned()]);
            }
            if let Ok(message) = self.world.start().engine.accept(order).await {
                // The nudge may be lost; the request may not.
                if self.dice.chance(0.7) {
                    return Work::QueueMessage(message);
                }
            }
        }
        Work::Timer
    }

    pub fn confirm(&mut self) -> RunOptions {
        self.confirmed_at.get_or_insert(self.world.now());
        RunOptions { confirm_retraction: true, confirm_creation: true, ..RunOptions::default() }
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
}

/// One invocation with the host's limit, killed after `kill`; `None` when that happened.
pub async fn invoke(app: &App, work: Work, limit: Duration, kill: Option<Duration>) -> Option<Ended> {
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
