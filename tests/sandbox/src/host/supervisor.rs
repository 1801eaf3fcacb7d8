//! What becomes of the handler's process: started, probed, ended and started again.
//!
//! The rules are those of the host's `HttpWorkerProcess` and `HttpFunctionInvocationDispatcher`; what "seen" is said of
//! was seen under the real Functions host 4.1037.

use std::{
    collections::BTreeSet,
    net::TcpListener,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::{
    process::{Child, Command},
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use uuid::Uuid;

use super::{
    configuration::{Configuration, Settings},
    output::{Level, Output},
    process::{Act, ExitMode, WorkerState},
};

/// How many errors within half an hour stop the host.
const ERROR_LIMIT: usize = 3;

/// Variables of our own environment the handler gets to see. Without the last one Windows opens no sockets.
const INHERITED: [&str; 4] = ["PATH", "HOME", "RUST_BACKTRACE", "SystemRoot"];

/// A port that no server listens on, and that no other host of this program was given.
pub(super) fn free_port() -> Result<u16> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        if GIVEN.lock().unwrap().insert(port) {
            return Ok(port);
        }
    }
}

pub(super) struct Supervisor {
    pub app: Arc<Configuration>,
    pub settings: Settings,
    pub exit_mode: ExitMode,
    /// Where a process between us and the handler leaves the handler's id.
    pub host_process: Option<PathBuf>,
    pub output: Arc<Output>,
    pub client: reqwest::Client,
    pub state: watch::Sender<WorkerState>,
    pub acts: mpsc::UnboundedReceiver<(Act, oneshot::Sender<()>)>,
    /// Chosen once per host and used again by every process it starts.
    pub port: u16,
    pub processes: u64,
    pub errors: Vec<DateTime<Utc>>,
}

/// What follows the end of a process.
enum Next {
    Start,
    /// No process until the host is restarted.
    Rest,
    End,
}

impl Supervisor {
    pub async fn run(mut self) {
        loop {
            let next = match self.live().await {
                Next::Rest => self.rest().await,
                next => next,
            };
            if let Next::End = next {
                return;
            }
        }
    }

    /// One process, from its start to its end.
    async fn live(&mut self) -> Next {
        self.state.send_replace(WorkerState::Initializing);
        self.processes += 1;
        let since = Utc::now();
        let worker = Uuid::new_v4().to_string();
        let mut child = match self.command(&worker).spawn() {
            Ok(child) => child,
            Err(error) => return self.failed(format!("Failed to start {:?}: {error}", self.app.executable)),
        };
        let readers = self.output.read(&mut child);
        let mut probe =
            std::pin::pin!(probe(self.client.clone(), self.port, self.app.initialization_timeout));
        let mut probing = true;
        let mut grace_ends = None;
        // The caller that asked for the end of the process is answered, by dropping these, after it was dealt with.
        let mut asking = Vec::new();
        loop {
            tokio::select! {
                exit = child.wait() => return self.ended(exit, readers, since).await,
                ready = &mut probe, if probing => {
                    probing = false;
                    if !ready {
                        self.kill(&mut child).await;
                        let text = format!("Failed to start http worker process. workerId:{worker}");
                        self.output.host(Level::Error, text);
                        return self.failed("TimeoutException: Initializing HttpWorker timed out.".into());
                    }
                    self.output.host(Level::Information, "Worker process started and initialized.");
                    let (process, port) = (self.processes, self.port);
                    self.state.send_replace(WorkerState::Initialized { process, port });
                }
                () = after(grace_ends) => {
                    grace_ends = None;
                    self.signal(&mut child, "KILL").await;
                }
                act = self.acts.recv() => {
                    let Some((act, done)) = act else { return Next::End };
                    asking.push(done);
                    match act {
                        Act::Kill => self.signal(&mut child, "KILL").await,
                        Act::Terminate(grace) => {
                            self.signal(&mut child, "TERM").await;
                            grace_ends = Some(Instant::now() + grace);
                        }
                        Act::Interrupt => {
                            self.signal(&mut child, "INT").await;
                            asking.clear();
                        }
                        Act::Orphan => {
                            _ = child.kill().await;
                            // With the host its ends of the pipes are gone.
                            readers.iter().for_each(JoinHandle::abort);
                            self.state.send_replace(WorkerState::Stopped("the host was killed".into()));
                            return Next::Rest;
                        }
                        Act::Dispose(process) if process != self.processes => asking.clear(),
                        Act::Dispose(_) => {
                            self.kill(&mut child).await;
                            self.state.send_replace(WorkerState::Initializing);
                            return Next::Start;
                        }
                        Act::RestartHost => {
                            self.kill(&mut child).await;
                            return self.restart();
                        }
                        Act::Stop => {
                            self.kill(&mut child).await;
                            return self.stop();
                        }
                    }
                }
            }
        }
    }

    /// Without a process, until the host is restarted.
    async fn rest(&mut self) -> Next {
        loop {
            match self.acts.recv().await {
                Some((Act::RestartHost, _done)) => return self.restart(),
                Some((Act::Stop, _done)) => return self.stop(),
                Some(_) => {}
                None => return Next::End,
            }
        }
    }

    fn restart(&mut self) -> Next {
        self.errors.clear();
        self.port = free_port().unwrap_or(self.port);
        self.state.send_replace(WorkerState::Initializing);
        Next::Start
    }

    fn stop(&mut self) -> Next {
        self.state.send_replace(WorkerState::Stopped("the host has stopped".into()));
        Next::End
    }

    /// What the end of a process leads to.
    async fn ended(
        &mut self,
        exit: std::io::Result<ExitStatus>,
        readers: Vec<JoinHandle<()>>,
        since: DateTime<Utc>,
    ) -> Next {
        // What a dying process still said is read before it is quoted; a grandchild may hold the pipes for ever.
        _ = tokio::time::timeout(Duration::from_millis(500), futures::future::join_all(readers)).await;
        let code = exit.map_or(-1, code);
        let modern = self.exit_mode == ExitMode::Modern2026;
        match code {
            0 if !modern => Next::Rest,
            0 | 143 if modern => self.again(),
            // The code by which a handler asks for a restart.
            200 => self.again(),
            _ => {
                let name = self.app.executable.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let errors = self.output.last_errors(since);
                self.failed(format!("{name} exited with code {code} (0x{code:X}) {errors}"))
            }
        }
    }

    fn again(&mut self) -> Next {
        let text = "Language Worker Process exited and needs to be restarted.";
        self.output.host(Level::Information, text);
        self.state.send_replace(WorkerState::Initializing);
        Next::Start
    }

    /// Counts an error, and stops the host at the third within half an hour.
    fn failed(&mut self, why: String) -> Next {
        self.output.host(Level::Error, &why);
        let now = Utc::now();
        if self.errors.last().is_some_and(|newest| now - newest > TimeDelta::minutes(30)) {
            self.errors.clear();
        }
        self.errors.push(now);
        if self.errors.len() < ERROR_LIMIT {
            return self.again();
        }
        let text = "Exceeded http worker restart retry count. Shutting down Functions Host";
        self.output.host(Level::Error, text);
        self.state.send_replace(WorkerState::Stopped(format!("{text}: {why}")));
        Next::Rest
    }

    /// SIGKILL, and waits for the end.
    async fn kill(&self, child: &mut Child) {
        self.signal(child, "KILL").await;
        _ = child.wait().await;
    }

    /// A signal to the handler. The standard library sends SIGKILL to a child and nothing else; what remains is done by
    /// the shell's own `kill`.
    async fn signal(&self, child: &mut Child, name: &str) {
        if name == "KILL" && self.host_process.is_none() {
            _ = child.start_kill();
            return;
        }
        if let Some(id) = self.id_of_handler(child).await {
            _ = Command::new("sh").arg("-c").arg(format!("kill -{name} {id}")).status().await;
        }
    }

    /// The handler's id. Behind a process between us it stands in a file, which that process writes as soon as it has
    /// started the handler.
    async fn id_of_handler(&self, child: &Child) -> Option<String> {
        if let Some(file) = &self.host_process {
            for _ in 0..500 {
                let text = std::fs::read_to_string(file).unwrap_or_default();
                if let Some(id) = text.strip_suffix('\n') {
                    return Some(id.to_owned());
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        child.id().map(|id| id.to_string())
    }

    fn command(&self, worker: &str) -> Command {
        let mut command = match &self.host_process {
            None => Command::new(&self.app.executable),
            // Starts the handler as a process of its own, leaves its id in the file, and ends as it ends.
            Some(file) => {
                // The id of an earlier handler: a signal meant for this one must not go there.
                _ = std::fs::remove_file(file);
                let mut shell = Command::new("sh");
                shell.args(["-c", r#""$@" & echo $! >"$0"; wait $!"#]).arg(file).arg(&self.app.executable);
                shell
            }
        };
        let inherited = INHERITED.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
        let port = self.port.to_string();
        command
            .args(&self.app.arguments)
            .current_dir(&self.app.working_directory)
            .env_clear()
            .envs(inherited)
            .envs(&self.settings)
            .env("FUNCTIONS_CUSTOMHANDLER_PORT", &port)
            .env("FUNCTIONS_HTTPWORKER_PORT", &port)
            .env("FUNCTIONS_CUSTOMHANDLER_WORKER_ID", worker)
            .env("FUNCTIONS_HTTPWORKER_ID", worker)
            .env("FUNCTIONS_APP_ROOT_PATH", &self.app.root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

/// The exit code as .NET has it, which gives a death by signal the code that a shell would.
#[cfg(unix)]
fn code(exit: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    exit.code().unwrap_or_else(|| 128 + exit.signal().unwrap_or_default())
}

/// The exit code; outside Unix there is no death by signal.
#[cfg(not(unix))]
fn code(exit: ExitStatus) -> i32 {
    exit.code().unwrap_or(-1)
}

/// Asks for `/` every 25 ms until anything but a refused connection comes back; false after `limit`. The last question
/// comes after the limit: on a busy machine this task itself may have waited that long since the one before.
async fn probe(client: reqwest::Client, port: u16, limit: Duration) -> bool {
    let start = Instant::now();
    loop {
        let is_late = start.elapsed() >= limit;
        // An accepted connection without an answer holds readiness back for as long as an HttpClient waits.
        let request = client.get(format!("http://127.0.0.1:{port}/")).timeout(Duration::from_secs(100));
        if !request.send().await.is_err_and(|error| error.is_connect()) {
            return true;
        }
        if is_late {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Waits until `deadline`, without one for ever.
async fn after(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_handler_that_listens_is_found_however_late_it_is_asked() {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let port = free_port().unwrap();
        assert!(!probe(client.clone(), port, Duration::ZERO).await, "no server listens");
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, axum::Router::new()).await });
        assert!(probe(client, port, Duration::ZERO).await, "it listens, although the time is over");
        server.abort();
    }
}
