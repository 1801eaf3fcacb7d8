//! The handle on the handler's process: whether it can be called, and what is done to it from outside.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Result;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use super::{
    configuration::{Configuration, Settings},
    invocation::{Busy, InFlight},
    output::Output,
    supervisor::{Supervisor, free_port},
};

/// What the host makes of exit codes; which of the two a region runs is not for the app to choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExitMode {
    /// Seen: exit 0 leaves the app without a process, while the host says that it runs and every invocation fails with a
    /// refused connection; 137 (SIGKILL) and 143 (SIGTERM) are errors.
    Seen4_1037,
    /// The newest hosts: exit 0 and 143 are normal, a new process starts and nothing is counted.
    #[default]
    Modern2026,
}

/// Whether the handler can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerState {
    /// A process is being started.
    Initializing,
    /// The process with this number (counted from 1) is answering.
    Initialized { process: u64, port: u16 },
    /// The host has stopped, for this reason; `restart_host` stands for the platform starting a new one.
    Stopped(String),
}

/// What is done to the process from outside.
pub(super) enum Act {
    /// SIGKILL, as a crash or the out-of-memory killer would.
    Kill,
    /// SIGTERM, and SIGKILL for a process still there after this long.
    Terminate(Duration),
    /// SIGINT, as a terminal sends it to the whole group; the call does not wait for the process's end.
    Interrupt,
    /// The host dies and leaves the process behind.
    Orphan,
    /// The host's own kill of the process with this number after a timeout: not counted as an error.
    Dispose(u64),
    /// A new host: new port, clean slate.
    RestartHost,
    Stop,
}

/// The handle on the process and its supervisor.
pub(super) struct Worker {
    acts: mpsc::UnboundedSender<(Act, oneshot::Sender<()>)>,
    state: watch::Receiver<WorkerState>,
    supervisor: JoinHandle<()>,
    patience: Duration,
    busy: Busy,
}

impl Worker {
    pub fn start(
        app: Arc<Configuration>,
        settings: Settings,
        exit_mode: ExitMode,
        host_process: Option<&Path>,
        output: Arc<Output>,
        client: reqwest::Client,
    ) -> Result<Self> {
        let (acts, inbox) = mpsc::unbounded_channel();
        let (state, watched) = watch::channel(WorkerState::Initializing);
        // While no process is ready an invocation waits four times as long as one start may take.
        let patience = app.initialization_timeout * 4;
        let supervisor = Supervisor {
            app,
            settings,
            exit_mode,
            host_process: host_process.map(Path::to_owned),
            output,
            client,
            state,
            acts: inbox,
            port: free_port()?,
            processes: 0,
            errors: Vec::new(),
        };
        let supervisor = tokio::spawn(supervisor.run());
        Ok(Self { acts, state: watched, supervisor, patience, busy: Busy::default() })
    }

    /// Counts an invocation that this process works on.
    pub fn enter(&self) -> InFlight {
        self.busy.enter()
    }

    /// Ends the process once it works on nothing more.
    pub async fn retire(&self) {
        while self.busy.count() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.act(Act::Stop).await;
    }

    pub fn state(&self) -> WorkerState {
        self.state.borrow().clone()
    }

    /// Waits for a process that answers: its number and port.
    pub async fn ready(&self) -> Result<(u64, u16), String> {
        let mut state = self.state.clone();
        let waiting = async {
            state.wait_for(|state| *state != WorkerState::Initializing).await.map(|state| state.clone())
        };
        match tokio::time::timeout(self.patience, waiting).await {
            Ok(Ok(WorkerState::Initialized { process, port })) => Ok((process, port)),
            Ok(Ok(WorkerState::Stopped(reason))) => Err(reason),
            Ok(Ok(WorkerState::Initializing)) | Err(_) => {
                Err("Final functionDispatcher state: Initializing. \
                                   Initialization timed out and host is shutting down"
                    .into())
            }
            Ok(Err(_)) => Err("the host has stopped".into()),
        }
    }

    /// Waits until the host is not stopped: its listeners do nothing before.
    pub async fn listening(&self) {
        let mut state = self.state.clone();
        if state.wait_for(|state| !matches!(state, WorkerState::Stopped(_))).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Does `act` and waits until it is done and the state shows it.
    pub async fn act(&self, act: Act) {
        let (done, told) = oneshot::channel();
        if self.acts.send((act, done)).is_ok() {
            // The supervisor answers by dropping its end.
            _ = told.await;
        }
    }

    /// Ends the supervisor, and with it the process.
    pub fn abort(&self) {
        self.supervisor.abort();
    }
}
