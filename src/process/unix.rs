//! Linux and macOS.

use std::{
    io,
    os::unix::process::{CommandExt, parent_id},
    process::{Command, ExitCode},
    time::Duration,
};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often a handler looks whether its host is still there.
const PARENT_CHECK: Duration = Duration::from_secs(1);

/// The process that started this one.
pub struct Parent(u32);

impl Parent {
    /// Returns the present parent.
    #[must_use]
    pub fn now() -> Self {
        Self(parent_id())
    }

    /// Waits until another process is our parent, because this one has ended.
    pub async fn gone(self) {
        while parent_id() == self.0 {
            tokio::time::sleep(PARENT_CHECK).await;
        }
    }
}

/// SIGTERM.
pub struct Termination(Signal);

impl Termination {
    pub fn listen() -> io::Result<Self> {
        signal(SignalKind::terminate()).map(Self)
    }

    /// Waits for the signal.
    pub async fn told(&mut self) {
        self.0.recv().await;
    }
}

/// Puts the command in the place of this process.
///
/// # Errors
/// If the command cannot be started. Otherwise the function does not return.
pub fn start_again(mut command: Command) -> io::Result<ExitCode> {
    Err(command.exec())
}
