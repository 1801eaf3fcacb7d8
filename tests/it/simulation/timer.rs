//! The timer dies, and lives again.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::{
    domain::report::Trigger,
    pass::{Ended, QueueMessage, Work},
};
use sandbox::{
    net::Fault,
    queue::{Message, QueueService},
};

use super::{
    dice::Dice,
    run::{Simulation, invoke},
};
use crate::harness::world::{QUEUES, check_report};

const QUEUE: &str = "mati-sync";
const LIMIT: Duration = Duration::from_secs(600);
/// How often the host delivers a message, as host.json tells it.
const DELIVERIES: u32 = 3;
/// How long a message of a host that died stays hidden, and when one that failed is delivered again.
const LEASE: TimeDelta = TimeDelta::minutes(10);
const AGAIN: TimeDelta = TimeDelta::minutes(2);
/// The schedule of these worlds.
const SCHEDULE: TimeDelta = TimeDelta::hours(1);
/// Beside two schedules: a message that is killed once, and one that fails twice.
const SLACK: TimeDelta = TimeDelta::minutes(30);

/// What becomes of the messages while the host fetches them.
struct Deliveries {
    queues: QueueService,
    dice: Dice,
    /// When the passes that messages started began and ended.
    passes: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    /// The host dies, and delivers twice.
    is_rough: bool,
    /// A message could not be handled in all the deliveries that the host makes of it, and lies in the poison queue.
    is_given_up: bool,
}

impl Simulation {
    /// The timer starts no pass for some periods, while the queue breaks now and then; then it fires again.
    pub async fn lose_timer(&mut self, seed: u64) {
        let Some(queues) = self.queues.clone() else { return };
        let dice = Dice::new(seed ^ 0xc10c);
        let mut deliveries =
            Deliveries { queues, dice, passes: Vec::new(), is_rough: true, is_given_up: false };
        // The messages of all that went before are still there, and old.
        self.tick().await;
        let died_at = self.world.now();
        let is_broken = break_queue(self, seed);
        while self.world.now() < died_at + SCHEDULE * 9 {
            self.fetch(&mut deliveries).await;
        }
        is_broken.store(false, Ordering::Relaxed);
        let passes = std::mem::take(&mut deliveries.passes);
        let mut before = died_at;
        for (began, ended) in &passes {
            let pause = *began - before;
            assert!(pause <= SCHEDULE * 2 + SLACK, "a dead timer was noticed after {pause}: {passes:?}");
            assert!(pause >= SCHEDULE * 2 - TimeDelta::minutes(1), "a pass more after {pause}: {passes:?}");
            before = *ended;
        }
        let silence = self.world.now() - before;
        // With a message that is given up its chain ends: what lies in the poison queue, `check` and the alerts tell.
        let is_noticed = silence <= SCHEDULE * 2 + SLACK || deliveries.is_given_up;
        assert!(is_noticed, "no check noticed for {silence} that the timer is dead");
        self.tally.watchdogs += passes.len() as u64;
        // The timer lives again.
        deliveries.is_rough = false;
        for _ in 0..4 {
            self.tick().await;
            let until = self.world.now() + SCHEDULE;
            while self.world.now() < until {
                self.fetch(&mut deliveries).await;
            }
        }
        assert_eq!(deliveries.passes, [], "the timer fires, and a message started a pass");
        let left = deliveries.queues.messages(QUEUE).len();
        assert!(left <= 3, "{left} messages lie there: chains multiply");
    }

    async fn tick(&mut self) {
        let app = self.world.start();
        let ended = invoke(&app, Work::Timer, LIMIT, None).await.expect("nothing kills it");
        ended.reports.iter().for_each(check_report);
        self.queue.extend(ended.continuation);
    }

    /// Hands out one message if one is visible, or waits a little.
    async fn fetch(&mut self, deliveries: &mut Deliveries) {
        let Some(message) = deliveries.queues.take(QUEUE, LEASE) else {
            tokio::time::sleep(Duration::from_secs(30)).await;
            return;
        };
        let text = message.text().expect("base64");
        let work = Work::QueueMessage(serde_json::from_str::<QueueMessage>(&text).expect("ours"));
        let is_first = deliveries.is_rough && message.dequeue_count == 1;
        let dice = &mut deliveries.dice;
        let kill = (is_first && dice.chance(0.25)).then(|| dice.seconds(0, 20));
        let is_doubled = kill.is_none() && is_first && dice.chance(0.25);
        let (one, other) = (self.world.start(), self.world.start());
        let ended = if is_doubled {
            let (first, second) =
                tokio::join!(invoke(&one, work.clone(), LIMIT, None), invoke(&other, work, LIMIT, None));
            self.note(deliveries, first.as_ref());
            second
        } else {
            invoke(&one, work, LIMIT, kill).await
        };
        self.note(deliveries, ended.as_ref());
        let is_failure = ended.as_ref().is_some_and(Ended::is_failure);
        deliveries.is_given_up |= is_failure && message.dequeue_count >= DELIVERIES;
        settle(&deliveries.queues, &message, ended.as_ref());
    }

    fn note(&mut self, deliveries: &mut Deliveries, ended: Option<&Ended>) {
        let reports = ended.into_iter().flat_map(|ended| &ended.reports);
        for report in reports.filter(|report| !report.dry_run) {
            check_report(report);
            assert_eq!(report.trigger, Trigger::Watchdog, "{report:?}");
            deliveries.passes.push((report.started_at, report.ended_at));
        }
        self.queue.extend(ended.and_then(|ended| ended.continuation.clone()));
    }
}

/// What the host does with a message after its delivery; one whose handler died is hidden until its lease ends.
fn settle(queues: &QueueService, message: &Message, ended: Option<&Ended>) {
    match ended {
        None => {}
        Some(ended) if ended.is_failure() && message.dequeue_count < DELIVERIES => {
            queues.put_back(QUEUE, &message.id, AGAIN);
        }
        Some(_) => queues.delete(QUEUE, &message.id),
    }
}

/// Breaks the queue as the dice fall, until it is told to stop.
fn break_queue(simulation: &Simulation, seed: u64) -> Arc<AtomicBool> {
    let is_broken = Arc::new(AtomicBool::new(true));
    let (switch, dice) = (Arc::clone(&is_broken), Mutex::new(Dice::new(seed ^ 0x9e0e)));
    simulation.world.net.on_request(move |exchange| {
        let mut dice = dice.lock().unwrap();
        if exchange.authority != QUEUES || !switch.load(Ordering::Relaxed) || !dice.chance(0.5) {
            return None;
        }
        Some(match dice.below(4) {
            0 => Fault::Refuse,
            1 => Fault::status(dice.pick(&[500, 503])),
            2 => Fault::Hang,
            // It lies there, and we do not know.
            _ => Fault::ResetAfter,
        })
    });
    is_broken
}
