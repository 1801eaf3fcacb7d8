//! How a host is set up.

use std::{path::PathBuf, time::Duration};

use super::{
    configuration::{Settings, print_span},
    output::Echo,
    process::ExitMode,
    queue::Queues,
};

/// What to run, and how.
#[derive(Clone)]
pub struct HostOptions {
    /// The folder with host.json and a folder with function.json for each function.
    pub app_root: PathBuf,
    /// Instead of host.json's executable, as the app setting of that name does it.
    pub executable: Option<PathBuf>,
    /// The app settings: all the handler sees of the world beside `PATH`, `HOME` and `RUST_BACKTRACE`.
    /// Those that begin with `AzureFunctionsJobHost__` override host.json.
    pub settings: Settings,
    /// Where to serve HTTP functions and the admin API; 0 is any free port, `None` serves nothing.
    pub http_port: Option<u16>,
    pub exit_mode: ExitMode,
    /// Instead of host.json's `functionTimeout`; the handler sees it as the app setting of that name.
    pub function_timeout: Option<Duration>,
    /// Where the status of timers and the queues outlive the host; `None` keeps them in memory.
    pub status_folder: Option<PathBuf>,
    /// The queues to share with another host: two instances of one app.
    pub queues: Option<Queues>,
    pub echo: Option<Echo>,
    /// Whether timers fire by their schedule; otherwise by hand only.
    pub run_timers: bool,
    /// Whether queued messages are delivered as they come; otherwise by hand only.
    pub run_queues: bool,
    /// Whether an answer of null waits for `functionTimeout` and the kill, or just ends as [`Status::Hung`](super::Status::Hung).
    pub wait_out_hangs: bool,
    /// Whether HTTP functions and the admin API ask for keys.
    pub enable_auth: bool,
    /// Whether a process of its own stands for the host between us and the handler, so that it can die and leave the
    /// handler behind ([`super::HostSignal`]).
    pub own_process: bool,
    /// Whether the extension bundle can be downloaded or lies in a cache.
    pub has_bundle: bool,
    /// How long a message stays away after the host that worked on it died; the service's 10 minutes.
    pub message_lease: Duration,
}

impl HostOptions {
    /// The app under `app_root` with no settings, timers and queues by hand, HTTP on a free port.
    pub fn new(app_root: impl Into<PathBuf>) -> Self {
        Self {
            app_root: app_root.into(),
            executable: None,
            settings: Settings::new(),
            http_port: Some(0),
            exit_mode: ExitMode::default(),
            function_timeout: None,
            status_folder: None,
            queues: None,
            echo: None,
            run_timers: false,
            run_queues: false,
            wait_out_hangs: false,
            enable_auth: false,
            own_process: false,
            has_bundle: true,
            message_lease: Duration::from_secs(600),
        }
    }

    /// The app settings, with the overrides among them.
    pub(super) fn all_settings(&self) -> Settings {
        let executable = self.executable.as_ref().map(|path| {
            let name = "AzureFunctionsJobHost__customHandler__description__defaultExecutablePath";
            (name.to_owned(), path.display().to_string())
        });
        let timeout = self
            .function_timeout
            .map(|timeout| ("AzureFunctionsJobHost__functionTimeout".to_owned(), print_span(timeout)));
        let mut settings = self.settings.clone();
        settings.extend(executable.into_iter().chain(timeout));
        settings
    }
}
