//! This process as the operating system sees it: who started it, when it is told to stop, how it starts again.
//!
//! Everything that differs between operating systems stands in `unix.rs` and `windows.rs`; both offer the same names.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;
use tracing::{error, info};

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use self::unix as system;
#[cfg(windows)]
use self::windows as system;

pub use self::system::{Parent, start_again};

/// Why the process is to end.
pub enum Cause {
    /// SIGTERM: the platform stops this process, and the host should start another.
    Terminated,
    /// Ctrl-C: a person stops the host as well.
    Interrupted,
    /// The host is gone. It can die without its handler (SIGKILL, or Ctrl-C to it alone), and nothing else would end
    /// this process, which may hold the lease.
    Orphaned,
}

/// Becomes true on SIGTERM, on Ctrl-C, and when `parent` is gone; the cause is set before.
pub fn stop_signal(parent: Option<Parent>) -> (watch::Receiver<bool>, Arc<OnceLock<Cause>>) {
    let (sender, receiver) = watch::channel(false);
    let cause = Arc::new(OnceLock::new());
    let mut termination = match system::Termination::listen() {
        Ok(termination) => termination,
        Err(error) => {
            error!("SIGTERM will not be heard: {error}");
            return (receiver, cause);
        }
    };
    let told = Arc::clone(&cause);
    tokio::spawn(async move {
        let cause = tokio::select! {
            () = termination.told() => Cause::Terminated,
            _ = tokio::signal::ctrl_c() => Cause::Interrupted,
            () = gone(parent) => Cause::Orphaned,
        };
        match cause {
            Cause::Orphaned => info!("the Functions host is gone: what is settled is committed"),
            _ => info!("told to stop: what is settled is committed"),
        }
        let _ = told.set(cause);
        let _ = sender.send(true);
        std::future::pending::<()>().await;
    });
    (receiver, cause)
}

/// Waits until the parent is gone; without one for ever.
async fn gone(parent: Option<Parent>) {
    match parent {
        Some(parent) => parent.gone().await,
        None => std::future::pending().await,
    }
}
