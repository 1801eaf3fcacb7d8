//! The whole world in one process: stand-ins behind an in-process network, state in a temporary directory, and
//! a clock that moves with tokio's paused one.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::{
    app::App,
    clock::{Clock, Deadline, SharedClock},
    domain::{outcome::End, report::Report, request::RunOptions},
    http::transport::Transport,
    pass::{Ended, QueueMessage, Work},
    settings::Settings,
};
use sandbox::{
    blob::BlobService,
    defender::Defender,
    entra::Entra,
    gti::Gti,
    mandiant::Mandiant,
    net::Net,
    queue::QueueService,
    resource_manager::{Place, ResourceManager},
    sentinel::Sentinel,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use super::stix;
use crate::stock_rules;

pub const WORKSPACE: &str = "5f1c2d3e-0a1b-4c2d-8e3f-5a6b7c8d9e0f";
pub const TENANT: &str = "11111111-2222-4333-8444-555555555555";
pub const CLIENT: &str = "66666666-7777-4888-8999-aaaaaaaaaaaa";
pub const CLIENT_SECRET: &str = "client-secret-value";
pub const SUBSCRIPTION: &str = "bd794837-4d29-4647-9105-6339bfdb4e6a";
/// With characters that do not stand for themselves in a URL.
pub const RESOURCE_GROUP: &str = "security_(eu).é";
pub const WORKSPACE_NAME: &str = "Security-workspace";
/// Where Defender for Endpoint answers.
pub const DEFENDER: &str = "api.security.microsoft.com";
/// Where the storage of [`World::with_blobs`] answers.
pub const STORAGE: &str = "127.0.0.1:10000";
/// Where its queues answer.
pub const QUEUES: &str = "127.0.0.1:10001";
/// Where every test's time starts.
pub const START: &str = "2026-03-02T12:00:00Z";

/// A temporary directory in memory, where the system has one: there a commit waits for no disk.
pub fn memory() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).expect("a temporary directory")
}

/// Our process's clock: it moves with tokio's, and can be set wrong.
pub struct TestClock {
    start: DateTime<Utc>,
    origin: Instant,
    offset_seconds: AtomicI64,
}

impl TestClock {
    fn new() -> Self {
        Self {
            start: START.parse().expect("a date"),
            origin: Instant::now(),
            offset_seconds: AtomicI64::new(0),
        }
    }

    /// Sets the clock forward or back. Everybody else's stays right.
    pub fn jump(&self, delta: TimeDelta) {
        self.offset_seconds.fetch_add(delta.num_seconds(), Ordering::Relaxed);
    }

    /// The true time, whatever our clock says.
    pub fn true_time(&self) -> DateTime<Utc> {
        self.start + self.origin.elapsed()
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        self.true_time() + TimeDelta::seconds(self.offset_seconds.load(Ordering::Relaxed))
    }
}

/// Everything mati-sync talks to.
pub struct World {
    pub net: Net,
    pub clock: Arc<TestClock>,
    pub mandiant: Mandiant,
    /// The source only where `SOURCE` names it.
    pub gti: Gti,
    pub entra: Entra,
    pub sentinel: Sentinel,
    /// Lists what `sentinel` holds; asked only after [`World::adopts`].
    pub resource_manager: ResourceManager,
    /// A destination only when `TARGET_APPLICATION` names it.
    pub defender: Defender,
    pub state: TempDir,
    vars: BTreeMap<String, String>,
    /// What `sentinel` held when its objects were last checked.
    checked: Mutex<BTreeMap<(String, String), Value>>,
}

impl World {
    /// A world at rest, with the settings that point mati-sync at it.
    pub fn new() -> Self {
        let clock = Arc::new(TestClock::new());
        let now = {
            let clock = Arc::clone(&clock);
            Arc::new(move || clock.true_time()) as sandbox::clock::Now
        };
        let net = Net::new();
        let mandiant = Mandiant::new(Arc::clone(&now));
        let gti = Gti::new(Arc::clone(&now));
        let entra = Entra::new(Arc::clone(&now));
        entra.app(TENANT, CLIENT, CLIENT_SECRET);
        let sentinel = Sentinel::new(Arc::clone(&now), WORKSPACE);
        sentinel.trust(&entra);
        let place = Place {
            subscription: SUBSCRIPTION.to_owned(),
            resource_group: RESOURCE_GROUP.to_owned(),
            workspace: WORKSPACE_NAME.to_owned(),
        };
        let resource_manager = ResourceManager::new(Arc::clone(&now), place, sentinel.clone());
        resource_manager.trust(&entra);
        let defender = Defender::new(now);
        defender.trust(&entra);
        net.host("api.intelligence.mandiant.com", mandiant.router());
        net.host("www.virustotal.com", gti.router());
        net.host("login.microsoftonline.com", entra.router());
        net.host("api.ti.sentinel.azure.com", sentinel.router());
        net.host("sentinelus.azure-api.net", sentinel.router());
        net.host("management.azure.com", resource_manager.router());
        net.host(DEFENDER, defender.router());
        let state = memory();
        let vars = BTreeMap::new();
        let mut world = Self {
            net,
            clock,
            mandiant,
            gti,
            entra,
            sentinel,
            resource_manager,
            defender,
            state,
            vars,
            checked: Mutex::default(),
        };
        let directory = world.state.path().display().to_string();
        for (name, value) in [
            ("MATI_KEY", "sandbox-key"),
            ("MATI_SECRET", "sandbox-secret"),
            ("AZURE_WORKSPACE_ID", WORKSPACE),
            ("AZURE_TENANT_ID", TENANT),
            ("AZURE_CLIENT_ID", CLIENT),
            ("AZURE_CLIENT_SECRET", CLIENT_SECRET),
            ("SYNC_CRON", "0 23 * * * *"),
            ("STATE_DIR", &directory),
        ] {
            world.set(name, value);
        }
        world
    }

    /// Changes a setting for every process started from now on.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.vars.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Tells where the workspace stands, so that it is asked what it holds; what arrives is not looked for.
    pub fn adopts(&mut self) -> &mut Self {
        self.verifies().set("VERIFY_ARRIVAL", "false")
    }

    /// The same, and what was acknowledged is looked for.
    pub fn verifies(&mut self) -> &mut Self {
        self.set("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION)
            .set("AZURE_RESOURCE_GROUP_NAME", RESOURCE_GROUP)
            .set("AZURE_WORKSPACE_NAME", WORKSPACE_NAME)
    }

    /// The settings as a process would read them.
    pub fn settings(&self) -> Settings {
        Settings::parse(&self.vars).expect("these settings are sound")
    }

    /// The settings, for a test that builds less than a whole process.
    pub fn vars(&self) -> &BTreeMap<String, String> {
        &self.vars
    }

    /// The same with its state in a blob container.
    pub fn with_blobs() -> (Self, BlobService) {
        let mut world = Self::new();
        let clock = Arc::clone(&world.clock);
        let blobs = BlobService::new(Arc::new(move || clock.true_time()));
        world.net.host(STORAGE, blobs.router());
        world.queues();
        world.set("STATE_DIR", "").set("AzureWebJobsStorage", "UseDevelopmentStorage=true");
        (world, blobs)
    }

    /// The same under a Functions host, with the queue that it reads.
    pub fn hosted() -> (Self, BlobService, QueueService) {
        let (mut world, blobs) = Self::with_blobs();
        let queues = world.queues();
        world.set("FUNCTIONS_CUSTOMHANDLER_PORT", "7071");
        (world, blobs, queues)
    }

    /// Queues beside the storage.
    pub fn queues(&self) -> QueueService {
        let clock = Arc::clone(&self.clock);
        let queues = QueueService::new(Arc::new(move || clock.true_time()));
        self.net.host(QUEUES, queues.router());
        queues
    }

    /// The true time.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.true_time()
    }

    pub fn ago(&self, delta: TimeDelta) -> DateTime<Utc> {
        self.now() - delta
    }

    /// The way into this world.
    pub fn transport(&self) -> Transport {
        let net = self.net.clone();
        Transport::InProcess(Arc::new(move |request| {
            let net = net.clone();
            Box::pin(async move { net.call(request).await.map_err(Into::into) })
        }))
    }

    /// A newly started process.
    pub fn start(&self) -> App {
        let clock: SharedClock = Arc::clone(&self.clock) as _;
        App::build(&self.vars, &self.transport(), &clock, |_, _| {}).expect("these settings are sound")
    }

    /// One tick of the timer in a new process, with ten minutes.
    pub async fn tick(&self) -> Report {
        self.work(Work::Timer).await
    }

    /// One run from the terminal.
    pub async fn command(&self, order: RunOptions) -> Report {
        self.work(Work::Command(order)).await
    }

    async fn work(&self, work: Work) -> Report {
        let ended = self.run(work, Duration::from_secs(600)).await;
        assert!(ended.continuation.is_none(), "it paused: {:?}", ended.reports);
        let [report] = <[Report; 1]>::try_from(ended.reports).expect("one pass");
        report
    }

    /// One invocation in a new process, with the host's limit; every report is checked.
    pub async fn run(&self, work: Work, limit: Duration) -> Ended {
        let app = self.start();
        let (_sender, stop) = tokio::sync::watch::channel(false);
        let ended = app.engine.run(work, Some("invocation"), &Deadline::for_invocation(limit, stop)).await;
        ended.reports.iter().for_each(check_report);
        self.check_objects();
        ended
    }

    /// A tick and all its continuations.
    pub async fn chain(&self, limit: Duration) -> Vec<Report> {
        let mut ended = self.run(Work::Timer, limit).await;
        let mut reports = std::mem::take(&mut ended.reports);
        while let Some(message) = ended.continuation.take() {
            ended = self.run(Work::QueueMessage(over_the_queue(&message)), limit).await;
            reports.append(&mut ended.reports);
            assert!(reports.len() < 100, "the chain does not end");
        }
        reports
    }

    /// The values Sentinel holds, valid at present, in the order of their patterns.
    pub fn held(&self) -> Vec<String> {
        let mut values: Vec<String> = self
            .sentinel
            .stored()
            .values()
            .filter(|object| self.is_valid(object))
            .map(|object| stix::pattern(object["pattern"].as_str().expect("a pattern")).1)
            .collect();
        values.sort();
        values
    }

    fn is_valid(&self, object: &Value) -> bool {
        let until = object["valid_until"].as_str().expect("always sent");
        until.parse::<DateTime<Utc>>().expect("a date") > self.now()
    }

    /// The one object whose value is `value`.
    pub fn object(&self, value: &str) -> Value {
        let is_it = |object: &Value| stix::pattern(object["pattern"].as_str().expect("a pattern")).1 == value;
        let mut found: Vec<Value> = self.sentinel.stored().into_values().filter(is_it).collect();
        assert_eq!(found.len(), 1, "objects for {value}");
        found.remove(0)
    }

    /// Checks each object that Sentinel took since the last time.
    fn check_objects(&self) {
        let (now, stored) = (self.now(), self.sentinel.stored());
        let mut checked = self.checked.lock().expect("no scenario has failed before");
        for (key, object) in &stored {
            if checked.get(key) != Some(object) {
                stix::check(object);
                stock_rules::check(object, now);
            }
        }
        *checked = stored;
    }
}

/// Every record has a fate.
pub fn check_report(report: &Report) {
    for (name, lane) in &report.lanes {
        let counts = &lane.counts;
        assert!(lane.adds_up(), "lane {name} of {report:#?}");
        // `left` may be what is missing in the sum, and after the last window nothing may be left.
        assert!(lane.end != End::CaughtUp || counts.left == 0, "lane {name} left records: {report:#?}");
    }
}

/// What becomes of a message on its way through the queue.
pub fn over_the_queue(message: &QueueMessage) -> QueueMessage {
    let text = serde_json::to_string(message).expect("a message is JSON");
    serde_json::from_str(&text).expect("and back")
}
