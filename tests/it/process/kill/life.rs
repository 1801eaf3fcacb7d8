//! One life: a feed that grows, an executable that is killed while it works, and the reckoning.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use mati_sync::{
    app::App,
    clock::{SharedClock, SystemClock},
    domain::entry::State,
    http::transport::Transport,
};
use sandbox::{
    corpus::Record,
    host::{FunctionsHost, Invocation, Stream, TimerFire, WorkerState},
};
use serde_json::Value;
use tokio::sync::watch;

use super::home::Home;
use crate::process::{
    Bench, PATIENCE, assert_adds_up, client,
    corpus::{Indicators, indicators, records, wanted},
    now, pass_ended, tick,
};

/// Records in a request, and requests in flight.
const IN_DOUBT: u64 = 100 * 4;
/// The errors within half an hour at which the host stops.
const ERROR_LIMIT: u64 = 3;
/// Invocations that may end before the moment of a kill has come.
const TRIES: u64 = 20;
/// The host's limit for an invocation: short, so that those which are left alone pause.
const LIMIT: Duration = Duration::from_secs(2);

/// What a life has come to.
#[derive(Debug)]
pub struct Toll {
    seed: u64,
    home: &'static str,
    kills: u64,
    by_message: usize,
    invocations: usize,
    pauses: u64,
    sent: usize,
    resent: u64,
}

impl fmt::Display for Toll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, home, kills, by_message, invocations, pauses, sent, resent } = self;
        write!(
            f,
            "seed {seed}, state in {home}: {kills} kills ({by_message} of them while a message was worked on) \
             in {invocations} invocations, {pauses} pauses, {sent} records sent, {resent} of them twice, none lost"
        )
    }
}

pub struct Life {
    seed: u64,
    home: Home,
    bench: Bench,
    host: FunctionsHost,
    /// Records that have reached Sentinel.
    arrived: watch::Receiver<u64>,
    /// Records of which many change later.
    plain: Vec<Record>,
    /// What is wanted of the feed and has been in it, unchanged, from the start.
    from_the_start: Vec<Record>,
    /// Whatever was wanted at any time, with its confidence then.
    ever_wanted: BTreeSet<(String, u64)>,
    kills: u64,
    watermark: Option<DateTime<Utc>>,
}

impl Life {
    pub async fn begin(seed: u64, home: Home) -> Self {
        let mut bench = Bench::new().await;
        home.settle(&mut bench.settings);
        bench.settings.insert("INITIAL_LOOKBACK".to_owned(), "2".to_owned());
        // Slow enough that a pass takes longer than a process is left alive.
        bench.settings.insert("SENTINEL_REQUESTS_PER_MINUTE".to_owned(), "400".to_owned());
        let (arrivals, arrived) = watch::channel(0);
        bench.world.sentinel.knobs(|knobs| {
            knobs.delay = Duration::from_millis(40);
            // Rejects nothing, and counts.
            knobs.reject = Some(Arc::new(move |_| {
                arrivals.send_modify(|count| *count += 1);
                None
            }));
        });
        let newest = now() - TimeDelta::minutes(4);
        let address = |n: u32| format!("198.{}.{}.{}", 51 + seed % 2, n / 250, n % 250 + 1);
        let plain: Vec<Record> = (0..2_500)
            .map(|n| {
                Record::ipv4(&address(n)).mscore(80).updated(newest - TimeDelta::seconds(20 * i64::from(n)))
            })
            .collect();
        let mut all = records(seed, 2_000, 0.05);
        all.extend(plain.iter().cloned());
        bench.world.mandiant.put_all(all.clone());
        let ever_wanted = wanted(&all).into_iter().collect();
        let from_the_start =
            all.into_iter().filter(|record| !wanted(std::slice::from_ref(record)).is_empty()).collect();
        let mut options = bench.options();
        options.function_timeout = Some(LIMIT);
        let host = FunctionsHost::start(options).await.unwrap();
        Self {
            seed,
            home,
            bench,
            host,
            arrived,
            plain,
            from_the_start,
            ever_wanted,
            kills: 0,
            watermark: None,
        }
    }

    /// Makes passes run until one of them is killed.
    pub async fn kill(&mut self, number: u64) {
        // Left alone for once, to pause and to be continued by a message.
        if number % 5 == 1 {
            self.invoke(true).await;
        }
        for attempt in 0..TRIES {
            let mut dice = Rng::with_seed(self.seed * 10_000 + number * 100 + attempt);
            self.change_feed(&mut dice, number);
            if dice.u8(..4) == 0 {
                self.ask_for_rerun().await;
            }
            let by_message = dice.u8(..4) != 0;
            // Before anything is sent, or when so many records were: often at once, when nothing of the last request
            // is committed yet.
            let records = if dice.u8(..3) == 0 { 0 } else { dice.u64(1..600) };
            let longest = if records == 0 { 250 } else { *dice.choice(&[5, 5, 60]).expect("three") };
            let pause = Duration::from_millis(dice.u64(..longest));
            let Some(ended) = self.invoke_and_kill(by_message, records, pause).await else { continue };
            self.after_kill().await;
            if !ended.succeeded() {
                return;
            }
        }
        panic!("{TRIES} invocations ended before they could be killed");
    }

    /// Kills an invocation when `records` more have reached Sentinel and `pause` is over; `None` when it ended
    /// before that.
    async fn invoke_and_kill(&self, by_message: bool, records: u64, pause: Duration) -> Option<Invocation> {
        let mut arrived = self.arrived.clone();
        let goal = *arrived.borrow() + records;
        let moment = async {
            arrived.wait_for(|count| *count >= goal).await.expect("the counter is there");
            tokio::time::sleep(pause).await;
        };
        let mut invocation = pin!(self.invoke(by_message));
        tokio::select! {
            _ = &mut invocation => return None,
            () = moment => {}
        }
        self.host.kill().await;
        Some(invocation.await)
    }

    /// The host's part after a kill, and the platform's where the host has given up.
    async fn after_kill(&mut self) {
        self.kills += 1;
        let has_stopped = matches!(self.host.state(), WorkerState::Stopped(_));
        let said = || {
            let output = self.host.output().into_iter().filter(|line| line.stream == Stream::Host);
            output.map(|line| line.text).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(
            has_stopped,
            self.kills.is_multiple_of(ERROR_LIMIT),
            "after {} kills; the host said:\n{}",
            self.kills,
            said()
        );
        if has_stopped {
            self.host.restart_host().await.unwrap();
        }
        self.host.ready().await.unwrap();
    }

    async fn invoke(&self, by_message: bool) -> Invocation {
        // Not at once after the kill: a request that was under way then may take the lease still.
        self.home.free_lease().await;
        if by_message && let Some(delivered) = self.host.queue("mati-sync").deliver_next().await {
            return delivered;
        }
        self.host.fire_timer("SyncTimer", TimerFire::default()).await
    }

    async fn ask_for_rerun(&self) {
        let address = format!("{}/api/sync", self.host.http_base());
        let answer = client().post(address).body(r#"{"lookback_days": 1}"#).send().await.unwrap();
        assert_eq!(answer.status(), 202);
    }

    /// Something new, and something that changes, each time to a content it never had.
    fn change_feed(&mut self, dice: &mut Rng, number: u64) {
        let confidence = 80 + i64::try_from(number).expect("a small number");
        let at = now() - TimeDelta::seconds(150);
        let mut news: Vec<Record> =
            (0..60).map(|_| dice.choice(&self.plain).expect("there are some").clone()).collect();
        news.extend((0..40).map(|_| Record::fqdn(&format!("{:016x}.example", dice.u64(..)))));
        let news: Vec<Record> =
            news.into_iter().map(|record| record.mscore(confidence).updated(at)).collect();
        let changed: HashSet<&str> = news.iter().map(Record::key).collect();
        self.from_the_start.retain(|record| !changed.contains(record.key()));
        self.ever_wanted.extend(wanted(&news));
        self.bench.world.mandiant.put_all(news);
    }

    /// What a kill leaves behind is sound: it can be read, is no further than it was delivered, and never goes back.
    pub async fn look_into_state(&mut self) {
        let stored = self.bench.world.sentinel.stored();
        let held = indicators(&stored);
        let unwanted: Vec<_> =
            held.iter().filter(|(pattern, confidence)| !self.was_wanted(pattern, **confidence)).collect();
        assert!(unwanted.is_empty(), "never wanted: {}", some(&unwanted));
        let Some((known, watermark)) = self.known().await else { return };
        assert!(
            self.watermark <= Some(watermark),
            "the watermark went back from {:?} to {watermark}",
            self.watermark
        );
        self.watermark = Some(watermark);
        let ids: HashSet<&String> = stored.keys().map(|(_, id)| id).collect();
        let missing: Vec<_> = known.iter().filter(|id| !ids.contains(id)).collect();
        assert!(missing.is_empty(), "known as sent, and not at Sentinel: {}", some(&missing));
        let settled = self.from_the_start.iter().filter(|record| record.last_updated_at() <= watermark);
        let lost: Indicators = wanted(&settled.cloned().collect::<Vec<_>>());
        let lost: Vec<_> = lost.keys().filter(|pattern| !held.contains_key(*pattern)).collect();
        assert!(
            lost.is_empty(),
            "the watermark {watermark} stands beyond what is not at Sentinel: {}",
            some(&lost)
        );
    }

    fn was_wanted(&self, pattern: &str, confidence: u64) -> bool {
        self.ever_wanted.contains(&(pattern.to_owned(), confidence))
    }

    /// The ids that the manifest holds, and the watermark, as the program itself reads them.
    async fn known(&self) -> Option<(HashSet<String>, DateTime<Utc>)> {
        let clock: SharedClock = Arc::new(SystemClock);
        let app = App::build(&self.bench.settings, &Transport::network(), &clock, |_, _| {}).unwrap();
        let store = (app.engine.open_store)().unwrap();
        store.prepare().await.unwrap();
        let progress = store.progress("sentinel").await.expect("progress can be read")?;
        let manifest = app.engine.manifest("sentinel").await.expect("the manifest can be read");
        let entries = manifest.entries();
        assert!(entries.iter().all(|entry| entry.state() == State::Held), "Sentinel rejects nothing");
        Some((entries.iter().map(|entry| entry.key.stix_id()).collect(), progress.watermark))
    }

    /// No process is killed any more: another instance of the app, at full speed, works off the queue and catches up.
    pub async fn calm_down(mut self) -> Toll {
        self.bench.settings.insert("SENTINEL_REQUESTS_PER_MINUTE".to_owned(), "100000".to_owned());
        let mut options = self.bench.options();
        options.queues = Some(self.host.queues());
        let calm = FunctionsHost::start(options).await.unwrap();
        self.home.free_lease().await;
        calm.drain(PATIENCE).await.unwrap();
        assert_eq!(tick(&calm).await["end"], "caught_up");
        let uploads = self.bench.world.sentinel.requests().len();
        assert_eq!(tick(&calm).await["end"], "caught_up");
        assert_eq!(self.bench.world.sentinel.requests().len(), uploads, "nothing is left to send");
        for invocation in calm.invocations() {
            assert!(invocation.succeeded(), "{invocation:?}");
        }
        self.reckon(&calm).await
    }

    async fn reckon(&mut self, calm: &FunctionsHost) -> Toll {
        let stored = self.bench.world.sentinel.stored();
        let held = indicators(&stored);
        let wanted = wanted(&self.bench.world.mandiant.records());
        let lost: Vec<_> = wanted.iter().filter(|(pattern, _)| !held.contains_key(*pattern)).collect();
        assert!(lost.is_empty(), "lost: {}", some(&lost));
        let stale: Vec<_> =
            held.iter().filter(|(pattern, held)| wanted.get(*pattern) != Some(held)).collect();
        assert!(stale.is_empty(), "not as Mandiant has it: {}", some(&stale));
        self.look_into_state().await;
        let (known, _) = self.known().await.expect("it has run");
        assert!(known == stored.into_keys().map(|(_, id)| id).collect(), "the manifest and Sentinel differ");

        let reports: Vec<Value> = [&self.host, calm]
            .iter()
            .flat_map(|host| host.output())
            .filter_map(|line| pass_ended(&line))
            .collect();
        reports.iter().for_each(|report| self.check_report(report));
        let is_doubtful = |report: &&Value| !["caught_up", "skipped"].iter().any(|end| report["end"] == *end);
        let pauses = reports.iter().filter(is_doubtful).count() as u64;
        let mut contents: HashMap<(String, u64), u64> = HashMap::new();
        let log = self.bench.world.sentinel.log();
        for row in &log {
            let confidence = row.object["confidence"].as_u64().expect("a number");
            *contents.entry((row.id.clone(), confidence)).or_default() += 1;
        }
        let resent = contents.values().map(|times| times - 1).sum();
        // A pass that runs out of time gives up what is not answered in time.
        let allowed = (self.kills + pauses) * IN_DOUBT;
        assert!(resent <= allowed, "{resent} records were sent twice; {allowed} were in doubt");
        let invocations = self.host.invocations();
        let killed = invocations.iter().filter(|invocation| !invocation.succeeded());
        Toll {
            seed: self.seed,
            home: match self.home {
                Home::Directory => "a directory",
                Home::Azurite { .. } => "Azurite",
            },
            kills: self.kills,
            by_message: killed.filter(|invocation| invocation.function == "SyncContinue").count(),
            invocations: invocations.len() + calm.invocations().len(),
            pauses,
            sent: log.len(),
            resent,
        }
    }

    /// Nothing but kills went wrong.
    fn check_report(&self, report: &Value) {
        let message = report["message"].as_str().unwrap_or_default();
        match report["end"].as_str() {
            Some("caught_up" | "paused") => assert_adds_up(report),
            // A request that was under way when its sender was killed took the lease, or replaced the progress.
            Some("skipped" | "fenced") if matches!(self.home, Home::Azurite { .. }) => {}
            // On a machine that is busy with something else, a fifth of a second of margin may not be enough.
            Some("stalled") if message.contains("did not take the last commit in time") => {}
            _ => panic!("nothing but kills went wrong, and yet: {report:#}"),
        }
    }
}

/// A list in an error, as far as the host reads it.
fn some<T: fmt::Debug>(list: &[T]) -> String {
    format!("{} in all, {:?} among them", list.len(), &list[..list.len().min(3)])
}
