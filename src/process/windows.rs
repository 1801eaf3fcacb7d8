//! Windows, where the commands run on a laptop. The function app itself runs on Linux.

use std::{
    io,
    process::{Command, ExitCode},
};

use tokio::signal::windows::{
    CtrlBreak, CtrlClose, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown,
};

/// The process that started this one.
pub struct Parent;

impl Parent {
    /// Returns the present parent.
    #[must_use]
    pub fn now() -> Self {
        Self
    }

    /// Never ends. Windows gives an orphan no other parent, so there is nothing to notice; and the Functions host puts
    /// its handlers into a job object there, whose processes Windows ends together with the host.
    pub async fn gone(self) {
        std::future::pending().await
    }
}

/// What Windows has for SIGTERM: Ctrl-Break, a closed console, and a shutdown. After the last two Windows ends the
/// process within 5 seconds, committed or not. What is not committed then is done again by the next pass.
pub struct Termination {
    broken: CtrlBreak,
    closed: CtrlClose,
    shut_down: CtrlShutdown,
}

impl Termination {
    pub fn listen() -> io::Result<Self> {
        Ok(Self { broken: ctrl_break()?, closed: ctrl_close()?, shut_down: ctrl_shutdown()? })
    }

    /// Waits for the first of them.
    pub async fn told(&mut self) {
        tokio::select! {
            _ = self.broken.recv() => {}
            _ = self.closed.recv() => {}
            _ = self.shut_down.recv() => {}
        }
    }
}

/// Runs the command and hands on its exit code: on Windows a process cannot be replaced by another.
///
/// # Errors
/// If the command cannot be started.
pub fn start_again(mut command: Command) -> io::Result<ExitCode> {
    // A console tells both processes of Ctrl-C. This one must outlive the other, and with a listener it does.
    let _outlives = ctrl_c()?;
    let status = command.status()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
