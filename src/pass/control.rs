//! The control object: when a destination accepts nothing, one object that it holds is sent again. If it takes that, the
//! rejected records are at fault; if not, it rejects everything, and no record is blamed.

use tracing::info;

use super::{halt::Halt, ledger::Ledger};
use crate::domain::{
    entry::Entry,
    indicator::Indicator,
    observable::{Key, Name},
    outcome::{Change, RecordOutcome, Rejection},
    plan::Planned,
};

/// After so many requests rejected one after another, and none accepted, assume that the requests, not the records, are at
/// fault.
const SUSPICIOUS: usize = 8;

/// What a pass knows of who is at fault for rejections, and the lane's control object.
#[derive(Default)]
pub(super) struct Control {
    /// The destination has accepted a request in this pass.
    accepted: bool,
    /// Records whose request was rejected although they were alone in it.
    suspects: Vec<(Planned, Rejection)>,
    /// Acknowledged in this pass, to be the next control object.
    kept: Option<(Key, Indicator)>,
    is_asked: bool,
    /// The key of the one that is waiting or under way.
    key: Option<Key>,
}

impl Control {
    /// Keeps an indicator that was acknowledged as the next control object, if the lane has none that is held.
    pub fn keep(&mut self, ledger: &Ledger<'_>, item: &Planned) {
        if self.kept.is_none() && !is_held(ledger) {
            self.kept = Some((item.key, item.indicator.clone()));
        }
    }

    /// Stores the control object that was kept in this pass; the commit that follows names it.
    ///
    /// # Errors
    /// The lease is lost, or the storage fails.
    pub async fn store(&mut self, ledger: &mut Ledger<'_>) -> Result<(), Halt> {
        let context = ledger.context;
        let Some((lease, (key, control))) = context.lease.zip(self.kept.take()) else { return Ok(()) };
        context.store.write_control(lease, context.lane.name, &control).await?;
        ledger.state.progress.control = Some(key);
        Ok(())
    }

    /// Notes what the destination answered for a batch.
    pub fn note(&mut self, outcomes: &[RecordOutcome]) {
        // Records that were set aside without being sent prove nothing.
        self.accepted |= outcomes.iter().any(|outcome| !matches!(outcome, RecordOutcome::Rejected(_)));
    }

    /// Notes a record that was rejected alone.
    pub fn suspect(&mut self, item: Planned, rejection: Rejection) {
        self.suspects.push((item, rejection));
    }

    /// The suspects that are at fault themselves: all of them once the destination has shown in this pass that it accepts
    /// others; and those whose rejection names their kind, where the lane holds others.
    pub fn convicted(&mut self, ledger: &Ledger<'_>) -> Vec<(Planned, Rejection)> {
        let (destination, holds_others) = (&ledger.context.lane.destination, is_held(ledger));
        let accepted = self.accepted;
        let is_at_fault = |(item, rejection): &mut (Planned, Rejection)| {
            accepted || holds_others && destination.names_its_kind(item, &rejection.reason)
        };
        self.suspects.extract_if(.., is_at_fault).collect()
    }

    /// Whether it is time to ask for the control object: suspects wait, and the destination has accepted nothing.
    /// `all_in` says that no other answer is awaited.
    pub fn is_wanted(&self, all_in: bool) -> bool {
        let is_doubtful = self.suspects.len() >= SUSPICIOUS || all_in && !self.suspects.is_empty();
        is_doubtful && !self.is_asked
    }

    /// Why the lane stalls where the destination rejects everything.
    pub fn stall(&self) -> Halt {
        let reason =
            self.suspects.first().map(|(_, rejection)| rejection.reason.as_str()).unwrap_or_default();
        Halt::Stalled(format!(
            "the destination rejects every request, also one with an indicator that it holds, if it holds any: {reason}"
        ))
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
        if let Some(item) = &item {
            let (lane, value, kind) = (context.lane.name, item.value(), item.type_name());
            let id = &item.indicator.source_id;
            info!(
                lane,
                value,
                "type" = kind,
                "{id} is sent again, to tell whether the records or the requests are at fault"
            );
        }
        Ok(item)
    }
}

/// Whether the lane has a control object that is held.
fn is_held(ledger: &Ledger<'_>) -> bool {
    let key = ledger.state.progress.control;
    let entry = key.and_then(|key| ledger.state.manifest.get(key));
    entry.is_some_and(|entry| entry.is_held(ledger.now()))
}

fn planned(ledger: &Ledger<'_>, indicator: Indicator) -> Option<Planned> {
    let (policy, state, now) = (ledger.context.policy, &ledger.state, ledger.now());
    if policy.exclusions.find(&indicator.observable).is_some() {
        return None;
    }
    // The digest that stands for it need not be one that is wanted today.
    let mut names = policy.possible_names(&indicator).into_iter();
    let Name { key, hash_type } = names.find(|name| Some(name.key) == state.progress.control)?;
    let entry: Entry = state.manifest.get(key).copied().filter(|entry| entry.is_held(now))?;
    Some(Planned {
        valid_until: policy.valid_until(&indicator, Change::Renewed, now),
        indicator,
        record: usize::MAX,
        decider: entry.decider(state.progress.refreshes.last_seen()),
        hash_type,
        key,
        handle: state.manifest.handle(key),
        fingerprint: entry.fingerprint,
        change: Change::Renewed,
        reason: None,
        is_unasked: false,
    })
}
