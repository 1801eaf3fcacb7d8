//! The control object: when a destination accepts nothing, one object that it holds is sent again. If it takes that, the
//! rejected records are at fault; if not, it rejects everything, and no record is blamed.

use super::{halt::Halt, ledger::Ledger};
use crate::domain::{entry::Entry, indicator::Indicator, observable::Key, outcome::Change, plan::Planned};

/// The control object of a lane during a pass.
#[derive(Default)]
pub(super) struct Control {
    /// Acknowledged in this pass, to be the next control object.
    kept: Option<Indicator>,
    is_asked: bool,
    /// The key of the one that is waiting or under way.
    key: Option<Key>,
}

impl Control {
    /// Keeps an indicator that was acknowledged as the next control object, if the lane has none that is held.
    pub fn keep(&mut self, ledger: &Ledger<'_>, item: &Planned) {
        if self.kept.is_none() && !is_held(ledger) {
            self.kept = Some(item.indicator.clone());
        }
    }

    /// Stores the control object that was kept in this pass; the commit that follows names it.
    ///
    /// # Errors
    /// The lease is lost, or the storage fails.
    pub async fn store(&mut self, ledger: &mut Ledger<'_>) -> Result<(), Halt> {
        let context = ledger.context;
        let Some((lease, control)) = context.lease.zip(self.kept.take()) else { return Ok(()) };
        context.store.write_control(lease, context.lane.name, &control).await?;
        ledger.state.progress.control = Some(context.lane.policy.key(&control));
        Ok(())
    }

    pub fn was_asked(&self) -> bool {
        self.is_asked
    }

    /// Whether a batch is the control object that is under way; asked once.
    pub fn answers(&mut self, batch: &[Planned]) -> bool {
        let is_it = matches!(batch, [item] if self.key == Some(item.key));
        if is_it {
            self.key = None;
        }
        is_it
    }

    /// The control object to send again; `None` if the lane has none that is held.
    ///
    /// # Errors
    /// The storage fails.
    pub async fn ask(&mut self, ledger: &Ledger<'_>) -> Result<Option<Planned>, Halt> {
        self.is_asked = true;
        let context = ledger.context;
        let stored = match is_held(ledger) {
            true => context.store.control(context.lane.name).await?,
            false => None,
        };
        let item = stored.and_then(|indicator| planned(ledger, indicator));
        self.key = item.as_ref().map(|item| item.key);
        Ok(item)
    }
}

/// Whether the lane has a control object that is held.
pub(super) fn is_held(ledger: &Ledger<'_>) -> bool {
    let key = ledger.state.progress.control;
    let entry = key.and_then(|key| ledger.state.manifest.get(key));
    entry.is_some_and(|entry| entry.is_held(ledger.now()))
}

fn planned(ledger: &Ledger<'_>, indicator: Indicator) -> Option<Planned> {
    let (policy, state, now) = (&ledger.context.lane.policy, &ledger.state, ledger.now());
    let key = policy.key(&indicator);
    let entry: Entry = state.manifest.get(key).copied().filter(|entry| entry.is_held(now))?;
    Some(Planned {
        valid_until: policy.valid_until(&indicator, Change::Renewed, now),
        indicator,
        record: usize::MAX,
        voice: entry.voice(),
        met: state.progress.refreshes.meeting(),
        hash_type: policy.hash_type,
        key,
        handle: state.manifest.handle(key),
        fingerprint: entry.fingerprint,
        change: Change::Renewed,
        reason: None,
    })
}
