//! What is asked and noted once a pass has ended: whether another ended since, and what others were told.

use super::{
    error::StateError,
    lease::Lease,
    store::{RUNS, Store},
};
use crate::domain::{
    condition::SignalMemory,
    report::{Report, begun_at},
};

const SIGNALS: &str = "signals.json";

impl Store {
    /// The newest pass that ended after that of `run_id`, if one did. Rehearsals, and passes that were kept from working,
    /// are none. The storage's clock decides, and within one of its seconds ours.
    ///
    /// # Errors
    /// The storage fails.
    pub async fn ended_since(&self, run_id: &str) -> Result<Option<Report>, StateError> {
        let own = format!("{RUNS}{run_id}.json");
        let mut items = self.home().list(RUNS).await?;
        items.sort_by(|left, right| right.modified.cmp(&left.modified));
        // A report that was not written, or is kept no longer: the id says when that pass began.
        let written = items.iter().find(|item| item.name == own).map(|item| item.modified);
        let since = written.or_else(|| begun_at(run_id));
        let ended = match written {
            Some(_) => self.other_report(&own).await?.map(|report| report.ended_at),
            None => None,
        };
        for item in items.iter().filter(|item| item.name != own) {
            if since.is_some_and(|since| item.modified < since) {
                break;
            }
            let Some(report) = self.other_report(&item.name).await? else { continue };
            let is_of_one_second = since == Some(item.modified);
            let is_earlier = is_of_one_second
                && ended.is_some_and(|ended| (report.ended_at, &*report.run_id) < (ended, run_id));
            if report.is_of_a_whole_pass() && !is_earlier {
                return Ok(Some(report));
            }
        }
        Ok(None)
    }

    /// What others were told of earlier passes.
    ///
    /// # Errors
    /// The storage fails.
    pub async fn signals(&self) -> Result<SignalMemory, StateError> {
        Ok(self.read_json(SIGNALS).await?.unwrap_or_default())
    }

    /// Notes what others were told.
    ///
    /// # Errors
    /// The lease is lost; the storage fails.
    pub async fn write_signals(&self, lease: &Lease, memory: &SignalMemory) -> Result<(), StateError> {
        lease.hold().await?;
        self.write_json(SIGNALS, memory).await
    }
}
