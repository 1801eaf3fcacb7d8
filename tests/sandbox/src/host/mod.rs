//! A double of the Azure Functions host: it starts a custom handler's executable and calls its functions.
//!
//! It reads the app's own host.json and function.json, keeps the process alive by the host's rules, encodes
//! calls and judges answers as the host does, and stands in for the storage queues behind the host's bindings.
//! Where the real host would lose, repeat or kill something, so does this one, at a test's command.

mod answer;
mod call;
mod configuration;
mod function;
mod http;
mod invocation;
mod options;
mod output;
mod process;
mod queue;
mod schedule;
mod signal;
mod supervisor;
mod timer;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use axum::Router;
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};

pub use configuration::{Settings, StorageIdentity};
pub use invocation::{Invocation, Status};
pub use options::HostOptions;
pub use output::{Echo, Level, OutputLine, Stream};
pub use process::{ExitMode, WorkerState};
pub use queue::{Queue, QueueMessage, Queues};
pub use schedule::Schedule;
pub use signal::HostSignal;
pub use timer::{ScheduleStatus, TimerFire};

use configuration::Configuration;
use function::{Function, Trigger};
use http::Keys;
use invocation::Busy;
use output::{News, Output};
use process::{Act, Worker};
use timer::Timers;

/// The version the double calls itself: one of those in production in 2026.
const HOST_VERSION: &str = "4.1052.200.25500";

/// What the parts of a running host share.
struct Inner {
    app: Arc<Configuration>,
    output: Arc<Output>,
    news: News,
    /// The process that gets new invocations. One before it may still work on its last.
    worker: Mutex<Arc<Worker>>,
    settings: Settings,
    exit_mode: ExitMode,
    /// The folder in which a process that stands for the host leaves the handler's id.
    host_process: Option<TempDir>,
    client: reqwest::Client,
    queues: Queues,
    timers: Timers,
    keys: Option<Keys>,
    invocations: Mutex<Vec<Invocation>>,
    busy: Busy,
    wait_out_hangs: bool,
    message_lease: Duration,
}

impl Inner {
    fn worker(&self) -> Arc<Worker> {
        self.worker.lock().unwrap().clone()
    }
}

/// A running host. Dropping it kills the handler.
pub struct FunctionsHost {
    inner: Arc<Inner>,
    /// The loops of timers and queues: what a restart of the host begins anew.
    listeners: Mutex<JoinSet<()>>,
    server: Option<(SocketAddr, JoinHandle<()>)>,
    run_timers: bool,
    run_queues: bool,
}

impl FunctionsHost {
    /// Starts the host and waits until the handler answers, or the host gives up.
    pub async fn start(options: HostOptions) -> Result<Self> {
        let settings = options.all_settings();
        let app = Arc::new(Configuration::read(&options.app_root, &settings)?);
        let news = News::new();
        let output = Arc::new(Output::new(options.echo, news.clone()));
        // Without idle connections no request meets one that a killed process left behind.
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build()?;
        let queues = match (options.queues, &options.status_folder) {
            (Some(queues), _) => queues,
            (None, Some(folder)) => Queues::open(folder)?,
            (None, None) => Queues::default(),
        };
        let timers = Timers::open(options.status_folder)?;
        if app.needs_bundle && !options.has_bundle {
            bail!("the extension bundle is neither in a cache nor in reach: this host never starts");
        }
        for (function, error) in &app.disabled {
            output.host(Level::Error, format!("The '{function}' function is in error: {error}"));
        }
        let host_process = options.own_process.then(tempfile::tempdir).transpose()?;
        let exit_mode = options.exit_mode;
        let file = host_process.as_ref().map(|folder| folder.path().join("handler"));
        let worker = Worker::start(
            app.clone(),
            settings.clone(),
            exit_mode,
            file.as_deref(),
            output.clone(),
            client.clone(),
        )?;
        let mut host = Self {
            inner: Arc::new(Inner {
                app,
                output,
                news,
                worker: Mutex::new(Arc::new(worker)),
                settings,
                exit_mode,
                host_process,
                client,
                queues,
                timers,
                keys: options.enable_auth.then(Keys::new),
                invocations: Mutex::default(),
                busy: Busy::default(),
                wait_out_hangs: options.wait_out_hangs,
                message_lease: options.message_lease,
            }),
            listeners: Mutex::default(),
            server: None,
            run_timers: options.run_timers,
            run_queues: options.run_queues,
        };
        host.ready().await?;
        if let Some(port) = options.http_port {
            host.serve(port).await?;
        }
        host.listen();
        Ok(host)
    }

    async fn serve(&mut self, port: u16) -> Result<()> {
        let listener =
            TcpListener::bind(("127.0.0.1", port)).await.with_context(|| format!("port {port}"))?;
        let address = listener.local_addr()?;
        self.server = Some((address, http::serve(listener, self.router())));
        Ok(())
    }

    fn listen(&self) {
        let mut listeners = self.listeners.lock().unwrap();
        if self.inner.app.logs_sdk_requests {
            listeners.spawn(log_sdk_requests(self.inner.output.clone()));
        }
        for function in &self.inner.app.functions {
            let (inner, owned) = (self.inner.clone(), function.clone());
            match function.trigger {
                Trigger::Timer { .. } if self.run_timers => _ = listeners.spawn(inner.run_schedule(owned)),
                Trigger::Queue { .. } if self.run_queues => _ = listeners.spawn(inner.pump(owned)),
                _ => {}
            }
        }
    }

    /// Waits until the handler answers; fails once the host has given up.
    pub async fn ready(&self) -> Result<()> {
        self.inner.worker().ready().await.map(drop).map_err(|reason| anyhow!(reason))
    }

    pub fn state(&self) -> WorkerState {
        self.inner.worker().state()
    }

    /// Calls a timer function now, beside its schedule, and waits for the result. The status is not touched.
    ///
    /// # Panics
    /// If the app has no timer function of this name.
    pub async fn fire_timer(&self, function: &str, fire: TimerFire) -> Invocation {
        let function = self.timer(function);
        let reason = format!("Timer fired at {}", chrono::Utc::now().to_rfc3339());
        self.inner.fire(function, fire, reason, None).await
    }

    /// What the host has stored of the schedule of a timer function.
    pub fn timer_status(&self, function: &str) -> Option<ScheduleStatus> {
        self.inner.timers.get(function)
    }

    /// Stores a status that the next start of the schedule (see [`Self::restart_host`]) goes on with.
    pub fn set_timer_status(&self, function: &str, status: ScheduleStatus) -> Result<()> {
        self.inner.timers.set(&self.timer(function).name, status)
    }

    fn timer(&self, name: &str) -> &Function {
        let found = self.inner.app.function(name);
        found
            .filter(|function| matches!(function.trigger, Trigger::Timer { .. }))
            .unwrap_or_else(|| panic!("no timer function {name}"))
    }

    /// The queue of this name, to look into and to deliver from by hand.
    pub fn queue(&self, name: &str) -> Queue<'_> {
        Queue { inner: &self.inner, name: name.to_owned() }
    }

    /// The queues themselves, to be shared with another host.
    pub fn queues(&self) -> Queues {
        self.inner.queues.clone()
    }

    /// Waits until nothing is in flight and no message waits for a function; without `run_queues` it delivers
    /// them one after the other. Messages in poison queues reach no function.
    pub async fn drain(&self, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            let waiting = self.waiting();
            let busy = self.inner.busy.count();
            if waiting.is_empty() && busy == 0 {
                return Ok(());
            }
            if Instant::now() >= end {
                bail!("after {limit:?} {busy} invocations are in flight and messages wait in {waiting:?}");
            }
            match waiting.first() {
                Some(queue) if !self.run_queues => {
                    let left = end - Instant::now();
                    // The limit is judged at the loop's next turn.
                    _ = tokio::time::timeout(left, self.queue(queue).deliver_next()).await;
                }
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// The queues with messages for the app.
    fn waiting(&self) -> Vec<String> {
        let functions = self.inner.app.functions.iter();
        let queues = functions.filter_map(|function| match &function.trigger {
            Trigger::Queue { queue } => Some(queue.clone()),
            _ => None,
        });
        queues.filter(|queue| !self.inner.queues.messages(queue).is_empty()).collect()
    }

    /// Every line of the handler and of the host so far.
    pub fn output(&self) -> Vec<OutputLine> {
        self.inner.output.lines()
    }

    /// Waits for a line, past ones included.
    pub async fn wait_for_output(
        &self,
        wanted: impl Fn(&OutputLine) -> bool,
        limit: Duration,
    ) -> Result<OutputLine> {
        let found = self.inner.news.until(limit, || self.output().into_iter().find(&wanted)).await;
        found.with_context(|| format!("no such line within {limit:?}"))
    }

    /// Every invocation that has ended, in the order of their ends.
    pub fn invocations(&self) -> Vec<Invocation> {
        self.inner.invocations.lock().unwrap().clone()
    }

    /// Waits for the end of an invocation, past ones included.
    pub async fn wait_for_invocation(
        &self,
        wanted: impl Fn(&Invocation) -> bool,
        limit: Duration,
    ) -> Result<Invocation> {
        let found = self.inner.news.until(limit, || self.invocations().into_iter().find(&wanted)).await;
        found.with_context(|| format!("no such invocation within {limit:?}"))
    }

    /// Where HTTP functions are served, without the route prefix: `http://localhost:{port}`.
    ///
    /// # Panics
    /// If `http_port` is `None`.
    pub fn http_base(&self) -> String {
        let (address, _) = self.server.as_ref().expect("HTTP is served");
        format!("http://localhost:{}", address.port())
    }

    /// The host's HTTP face, to be called without a socket.
    pub fn router(&self) -> Router {
        http::router(self.inner.clone())
    }

    /// The key that opens everything, where keys are asked for.
    pub fn master_key(&self) -> Option<&str> {
        self.inner.keys.as_ref().map(|keys| keys.master.as_str())
    }

    /// The key that opens the HTTP functions, where keys are asked for.
    pub fn function_key(&self) -> Option<&str> {
        self.inner.keys.as_ref().map(|keys| keys.function.as_str())
    }

    /// SIGKILL now, as a crash would, and waits for the process's end. Twice within half an hour the host starts
    /// a new process at once; the third time it stops, until [`Self::restart_host`].
    pub async fn kill(&self) {
        self.inner.worker().act(Act::Kill).await;
    }

    /// SIGTERM now, as a platform does it, and SIGKILL if the process outlives `grace`. Waits for its end.
    pub async fn terminate(&self, grace: Duration) {
        self.inner.worker().act(Act::Terminate(grace)).await;
    }

    /// The host dies with its handler and a new one starts: what was in flight is lost, schedules resume from
    /// their stored status, messages come back after `message_lease`.
    pub async fn restart_host(&self) -> Result<()> {
        self.end_listeners().await;
        self.inner.worker().act(Act::RestartHost).await;
        self.ready().await?;
        self.listen();
        Ok(())
    }

    /// Ends the host and the handler, which gets no signal but SIGKILL.
    pub async fn stop(self) {
        self.end_listeners().await;
        self.inner.worker().act(Act::Stop).await;
    }

    /// As whom the host works on the app's storage.
    pub fn storage_identity(&self) -> &StorageIdentity {
        &self.inner.app.storage_identity
    }

    async fn end_listeners(&self) {
        let mut listeners = std::mem::take(&mut *self.listeners.lock().unwrap());
        listeners.shutdown().await;
    }
}

/// What the Azure SDK within an idle host logs of its requests to queues and locks, when it is let: 18 lines and 31 KB a
/// minute (seen under Functions host 4.1037).
async fn log_sdk_requests(output: Arc<Output>) {
    const LINES: usize = 18;
    const BYTES: usize = 31_000;
    let line = "Azure.Core[1] Request [] GET http://127.0.0.1:10001/devstoreaccount1/mati-sync/messages ";
    let line = line.to_owned() + &"x-ms-header:value ".repeat((BYTES / LINES - line.len()) / 18);
    loop {
        for _ in 0..LINES {
            output.host(Level::Information, &line);
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
}

impl Drop for FunctionsHost {
    fn drop(&mut self) {
        self.inner.worker().abort();
        if let Some((_, server)) = &self.server {
            server.abort();
        }
    }
}
