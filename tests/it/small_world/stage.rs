//! The small world itself: the real engine against the stand-ins, all of which can be put back to an earlier state.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::{
    app::App,
    clock::{Clock, Deadline, SharedClock},
    domain::{outcome::End, report::Report, request::RunOptions},
    http::transport::Transport,
    pass::Work,
};
use sandbox::defender::Holdings;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    events::{Event, Id, Request, Stop, Thing},
    network::{Network, Time},
    spec::{self, Feed, Past, ROOM},
    things::{Held, Listed, held, thing},
};
use crate::harness::world::{CLIENT, CLIENT_SECRET, START, TENANT, WORKSPACE, memory};

/// From one refresh to the next, and a little.
const PERIOD: TimeDelta = TimeDelta::minutes(85 * 60);

/// Everything that decides what happens next.
#[derive(Clone)]
pub struct Snapshot {
    at: DateTime<Utc>,
    pub feed: Feed,
    pub rejecting: bool,
    pasts: BTreeMap<Thing, Past>,
    pub is_fresh: bool,
    sentinel: BTreeMap<(String, String), Value>,
    defender: Holdings,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Snapshot {
    /// Whether rejected records are set aside.
    pub fn has_rejected(&self) -> bool {
        has_rejected(&self.files, "")
    }
}

fn has_rejected(files: &BTreeMap<PathBuf, Vec<u8>>, lane: &str) -> bool {
    let is_of = |name: &PathBuf| lane.is_empty() || name.iter().any(|part| part == lane);
    files.keys().any(|name| name.extension().is_some_and(|extension| extension == "jsonl") && is_of(name))
}

pub struct Stage {
    time: Arc<Time>,
    network: Arc<Network>,
    app: App,
    folder: TempDir,
    /// What the folder holds.
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// The time of the last event.
    at: DateTime<Utc>,
    feed: Feed,
    rejecting: bool,
    pasts: BTreeMap<Thing, Past>,
    /// The feed changed since the last pass that read it to its end.
    is_fresh: bool,
    pub passes: u64,
}

impl Stage {
    pub fn new() -> Self {
        let at = START.parse().expect("a date");
        let time = Arc::new(Time::from(at));
        let network = Arc::new(Network::new(&time));
        let folder = memory();
        let directory = folder.path().display().to_string();
        let room = ROOM.to_string();
        let vars: BTreeMap<String, String> = [
            ("MATI_KEY", "sandbox-key"),
            ("MATI_SECRET", "sandbox-secret"),
            ("AZURE_WORKSPACE_ID", WORKSPACE),
            ("AZURE_TENANT_ID", TENANT),
            ("AZURE_CLIENT_ID", CLIENT),
            ("AZURE_CLIENT_SECRET", CLIENT_SECRET),
            ("SYNC_CRON", "0 23 * * * *"),
            ("STATE_DIR", &directory),
            ("TARGET_APPLICATION", "sentinel,defender"),
            ("DEFENDER_INDICATOR_LIMIT", &room),
            ("INITIAL_LOOKBACK", "1"),
            ("HASH_TYPE", "sha256,sha1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let clock: SharedClock = Arc::clone(&time) as _;
        let way = Arc::clone(&network);
        let transport = Transport::InProcess(Arc::new(move |request| {
            let way = Arc::clone(&way);
            Box::pin(async move { Ok(way.answer(request).await) })
        }));
        let app = App::build(&vars, &transport, &clock, |_, _| {}).expect("these settings are sound");
        Self {
            time,
            network,
            app,
            folder,
            files: BTreeMap::new(),
            at,
            feed: Feed::new(),
            rejecting: false,
            pasts: Thing::ALL.map(|thing| (thing, Past::default())).into(),
            is_fresh: false,
            passes: 0,
        }
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            at: self.at,
            feed: self.feed.clone(),
            rejecting: self.rejecting,
            pasts: self.pasts.clone(),
            is_fresh: self.is_fresh,
            sentinel: self.network.sentinel.stored(),
            defender: self.network.defender.holdings(),
            files: self.files.clone(),
        }
    }

    pub fn restore(&mut self, snapshot: &Snapshot) {
        let Snapshot { at, feed, rejecting, pasts, is_fresh, sentinel, defender, files } = snapshot.clone();
        (self.at, self.feed, self.pasts, self.is_fresh) = (at, feed, pasts, is_fresh);
        self.time.set(at);
        self.network.sentinel.restore(sentinel);
        self.network.defender.restore(defender);
        self.list();
        self.reject(rejecting);
        for name in self.files.keys().filter(|name| !files.contains_key(*name)) {
            fs::remove_file(name).expect("it was read");
        }
        for (name, bytes) in files.iter().filter(|(name, bytes)| self.files.get(*name) != Some(bytes)) {
            fs::create_dir_all(name.parent().expect("a folder")).expect("in memory");
            fs::write(name, bytes).expect("in memory");
        }
        self.files = files;
    }

    /// Lets `event` happen.
    ///
    /// # Errors
    /// A pass left the destinations otherwise than they must be.
    pub async fn step(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Emit(id) => self.put(id, 90),
            Event::Lower(id) => self.put(id, 10),
            Event::Raise(id) => self.put(id, 95),
            Event::Digest => self.change_digest(),
            Event::Withdraw(id) => {
                self.feed.remove(&id);
                self.list();
                let past = self.pasts.entry(id.thing()).or_default();
                (past.readings, past.is_withdrawn) = (2, true);
            }
            Event::Refuse => self.reject(true),
            Event::Heal => self.reject(false),
            Event::Pass(stop) => return self.pass(Work::Timer, TimeDelta::hours(1), stop, false).await,
            Event::Refresh(stop) => return self.pass(Work::Timer, PERIOD, stop, false).await,
            Event::Request(request) => {
                let order = match request {
                    Request::Lookback => RunOptions { lookback_days: Some(30), ..RunOptions::default() },
                    Request::RetryRejected => RunOptions { retry_rejected: true, ..RunOptions::default() },
                    Request::ConfirmRetraction => {
                        RunOptions { confirm_retraction: true, ..RunOptions::default() }
                    }
                };
                return self.pass(Work::Command(order), TimeDelta::hours(1), Stop::Never, false).await;
            }
        }
        Ok(())
    }

    /// Nothing changes any more, and nothing is rejected: after two refreshes everything must be in order. Between them
    /// rejected records are retried, for one that was rejected when it was new is not offered again unasked.
    ///
    /// # Errors
    /// It is not.
    pub async fn calm(&mut self) -> Result<(), String> {
        self.reject(false);
        self.step(Event::Refresh(Stop::Never)).await?;
        if has_rejected(&self.files, "") {
            self.step(Event::Request(Request::RetryRejected)).await?;
            // At Defender one for which there is no room is still wanted.
            if has_rejected(&self.files, "sentinel") {
                return Err("lines of rejected records stay that no destination rejects".to_owned());
            }
        }
        self.pass(Work::Timer, PERIOD, Stop::Never, true).await
    }

    fn put(&mut self, id: Id, confidence: i64) {
        let is_whole = self.feed.get(&id).is_some_and(|listed| listed.is_whole);
        self.relist(Listed { id, updated: self.at, confidence, is_whole });
    }

    fn change_digest(&mut self) {
        let Some(listed) = self.feed.get(&Id::File).cloned() else { return };
        if listed.is_whole {
            // The record no longer names the digests that are held: finding them may take a refresh.
            self.pasts.entry(Thing::File).or_default().readings = 2;
        }
        self.relist(Listed { is_whole: !listed.is_whole, ..listed });
    }

    /// Twenty seconds go by, and the source has a new state of a record.
    fn relist(&mut self, listed: Listed) {
        self.at += TimeDelta::seconds(20);
        self.feed.insert(listed.id, Listed { updated: self.at, ..listed });
        self.is_fresh = true;
        self.list();
    }

    fn list(&self) {
        self.network.list(self.feed.values().map(Listed::record).collect());
    }

    fn reject(&mut self, rejecting: bool) {
        self.rejecting = rejecting;
        let rejected = |value: &Value| value.as_str().is_some_and(|text| text.contains("a.example"));
        self.network.sentinel.knobs(|knobs| {
            knobs.reject = None;
            if rejecting {
                knobs.reject =
                    Some(Arc::new(move |object| rejected(&object["pattern"]).then(|| "no".to_owned())));
            }
        });
        self.network.defender.knobs(|knobs| {
            knobs.reject = None;
            if rejecting {
                knobs.reject = Some(Arc::new(move |object| {
                    rejected(&object["indicatorValue"]).then(|| "no".to_owned())
                }));
            }
        });
    }

    /// Runs a pass and judges what the destinations hold then.
    async fn pass(&mut self, work: Work, after: TimeDelta, stop: Stop, is_calm: bool) -> Result<(), String> {
        self.at += after;
        self.time.set(self.at);
        self.passes += 1;
        let before = self.at_sentinel();
        let log = self.network.sentinel.log().len();
        let reads_all = after == PERIOD;
        let lookback = matches!(&work, Work::Command(order) if !order.retry_rejected);
        let limit = Duration::from_secs(if stop == Stop::Paused { 2 } else { 600 });
        let (_sender, signal) = tokio::sync::watch::channel(false);
        let deadline = Deadline::for_invocation(limit, signal);
        self.network.is_killing.store(stop == Stop::Killed, Ordering::Relaxed);
        let running = self.app.engine.run(work, None, &deadline);
        let killed = if stop == Stop::Killed { Duration::from_secs(20) } else { Duration::from_secs(3600) };
        let ended = tokio::time::timeout(killed, running).await;
        self.network.is_killing.store(false, Ordering::Relaxed);
        self.remember();
        if self.rejecting {
            let past = self.pasts.entry(Thing::A).or_default();
            (past.readings, past.was_rejected) = (2, true);
        }
        if stop == Stop::Killed {
            for listed in self.feed.values() {
                self.pasts.entry(listed.id.thing()).or_default().orphaned = 2;
            }
        }
        let Ok(ended) = ended else { return Ok(()) };
        let report = ended.reports.first().ok_or("no report")?;
        let is_whole = report.end == End::CaughtUp;
        if !is_whole && (stop == Stop::Never || report.end != End::Paused) {
            return Err(format!("nothing is in its way, and yet: {}", report.message));
        }
        balanced(report)?;
        if !is_whole {
            return Ok(());
        }
        for (thing, past) in self.pasts.iter_mut() {
            let is_rejected = self.rejecting && *thing == Thing::A;
            if (reads_all || lookback) && !is_rejected {
                // A lookback is no refresh: it brings nothing back.
                past.readings = past.readings.saturating_sub(1).max(u8::from(lookback && past.readings > 0));
                past.is_withdrawn = false;
                past.orphaned -= u8::from(reads_all && past.orphaned > 0 && *thing != Thing::File);
            }
        }
        let sent = self.network.sentinel.log();
        let sent: Vec<Held> = match self.is_fresh {
            true => Vec::new(),
            false => sent[log..].iter().filter_map(|row| held(&row.object, row.at)).collect(),
        };
        self.is_fresh = false;
        let now = self.time.now();
        let before: Vec<Held> = before.into_iter().filter(|held| held.until > now).collect();
        spec::sentinel(&self.feed, &self.pasts, &before, &sent, &self.at_sentinel(), is_calm)
            .map_err(|fault| format!("Sentinel: {fault}"))?;
        spec::defender(&self.feed, &self.pasts, &self.at_defender(), is_calm)
            .map_err(|fault| format!("Defender: {fault}"))
    }

    /// What Sentinel holds and is valid.
    fn at_sentinel(&self) -> Vec<Held> {
        let now = self.time.now();
        self.network.sentinel.stored().values().filter_map(|object| held(object, now)).collect()
    }

    fn at_defender(&self) -> Vec<Held> {
        let indicators = self.network.defender.stored().into_values();
        let held = indicators.map(|indicator| {
            let value = indicator["indicatorValue"].as_str().expect("a value").to_owned();
            let description = indicator["description"].as_str().expect("a description");
            let confidence = description.split([' ', ',']).nth(1).and_then(|text| text.parse().ok());
            let until = indicator["expirationTime"].as_str().and_then(|text| text.parse().ok());
            Held {
                thing: thing(&value),
                value,
                confidence: confidence.expect("a score"),
                until: until.expect("a date"),
            }
        });
        held.collect()
    }

    /// Takes note of what the folder holds now. Reports are not read again.
    fn remember(&mut self) {
        let _ = fs::remove_dir_all(self.folder.path().join("runs"));
        self.files.clear();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("in memory").flatten() {
                match entry.file_type().expect("in memory").is_dir() {
                    true => folders.push(entry.path()),
                    false => {
                        drop(self.files.insert(entry.path(), fs::read(entry.path()).expect("in memory")))
                    }
                }
            }
        }
    }
}

/// # Errors
/// A report in which records are not accounted for.
fn balanced(report: &Report) -> Result<(), String> {
    for lane in report.lanes.values() {
        let counts = &lane.counts;
        if !lane.adds_up() || lane.end == End::CaughtUp && counts.left > 0 {
            return Err(format!("the sum is wrong: {counts:?}"));
        }
    }
    Ok(())
}
