//! How a host ends, or makes room for its successor, as seen under Functions host 4.1037.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, ensure};

use super::{
    FunctionsHost,
    process::{Act, Worker},
};

/// How long a host that got SIGINT alone waits for the running answer.
const LAST_WAIT: Duration = Duration::from_secs(11);

/// A signal to the host's own process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostSignal {
    /// SIGTERM is swallowed: nothing happens, and what ends a container ends with its SIGKILL.
    Terminate,
    /// SIGINT to the whole group, which is Ctrl-C: the handler gets it too, the host waits for running answers and
    /// ends.
    InterruptGroup,
    /// SIGINT to the host alone: idle, it kills the handler; with an invocation running it is gone after 11 s and leaves
    /// the handler behind.
    Interrupt,
    /// SIGKILL: the handler is left behind.
    Kill,
}

impl FunctionsHost {
    /// Sends a signal to the host's own process and waits for what comes of it.
    ///
    /// # Errors
    /// The handler is to be left behind, and [`super::HostOptions::own_process`] is not set.
    pub async fn signal(&self, signal: HostSignal) -> Result<()> {
        let orphans = match signal {
            HostSignal::Terminate => return Ok(()),
            HostSignal::InterruptGroup => {
                self.inner.worker().act(Act::Interrupt).await;
                self.until_idle(None).await;
                false
            }
            HostSignal::Interrupt => !self.until_idle(Some(LAST_WAIT)).await,
            HostSignal::Kill => true,
        };
        ensure!(
            !orphans || self.inner.host_process.is_some(),
            "own_process is not set: nothing stands for the host"
        );
        self.end_listeners().await;
        self.inner.worker().act(if orphans { Act::Orphan } else { Act::Stop }).await;
        Ok(())
    }

    /// Waits until nothing is in flight; false when `limit` is over before.
    async fn until_idle(&self, limit: Option<Duration>) -> bool {
        let idle = async {
            while self.inner.busy.count() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match limit {
            Some(limit) => tokio::time::timeout(limit, idle).await.is_ok(),
            None => {
                idle.await;
                true
            }
        }
    }

    /// host.json was changed: a new handler starts at once and gets all that comes, while the old one lives as long as
    /// an invocation runs in it (51 s seen). Waits until the new one is ready.
    ///
    /// # Errors
    /// The new one cannot start.
    pub async fn change_host_json(&self) -> Result<()> {
        let inner = &self.inner;
        let worker = Arc::new(Worker::start(
            inner.app.clone(),
            inner.settings.clone(),
            inner.exit_mode,
            None,
            inner.output.clone(),
            inner.client.clone(),
        )?);
        let former = std::mem::replace(&mut *inner.worker.lock().unwrap(), worker);
        tokio::spawn(async move { former.retire().await });
        self.ready().await
    }
}
