//! The control: when a destination accepts nothing, one object that it holds is sent again. If it takes that, the refused
//! records are at fault; if not, it refuses everything, and no record is blamed.

use tracing::{info, warn};

use super::{desk::Desk, halt::Halt, lane::LanePass};
use crate::{
    domain::{
        entry::Entry,
        indicator::Indicator,
        outcome::{Change, Delivery, Refusal, UploadError},
        plan::Planned,
    },
    state::{lane::LaneState, store::Store},
};

/// How far a delivery is with its control.
#[derive(Debug, Default)]
pub(super) enum Control {
    #[default]
    NotAsked,
    /// It is waiting or under way.
    Asked,
}

impl LanePass<'_> {
    /// Keeps an indicator that was acknowledged as the next control, if the lane has none that is held.
    pub(super) fn keep_control(&mut self, state: &LaneState, item: &Planned) {
        if self.control.is_none() && !has_control(state, self.engine.clock.now()) {
            self.control = Some(item.indicator.clone());
        }
    }

    /// Stores the control that was kept in this pass; the commit that follows names it.
    pub(super) async fn store_control(&mut self, store: &Store, state: &mut LaneState) -> Result<(), Halt> {
        let Some((lease, control)) = self.lease.zip(self.control.take()) else { return Ok(()) };
        store.write_control(lease, self.lane.name, &control).await?;
        state.progress.control = Some(self.lane.policy.key(&control));
        Ok(())
    }

    /// Puts the control before everything that waits, or halts if there is none.
    pub(super) async fn ask_control(
        &mut self,
        store: &Store,
        state: &LaneState,
        desk: &mut Desk<'_>,
    ) -> Result<(), Halt> {
        desk.control = Control::Asked;
        let control = match has_control(state, self.engine.clock.now()) {
            true => store.control(self.lane.name).await?,
            false => None,
        };
        match control.and_then(|indicator| self.control_item(state, indicator)) {
            Some(item) => {
                info!(
                    lane = self.lane.name,
                    "{} is sent again, to tell who is at fault", item.indicator.source_id
                );
                desk.control_key = Some(item.key);
                desk.put_first(item);
            }
            None => desk.refuse_all(),
        }
        Ok(())
    }

    /// Rejects those suspects whose refusal names their kind, where the lane holds others: the destination says itself
    /// what it does not take.
    pub(super) fn reject_what_is_named(&mut self, state: &mut LaneState, desk: &mut Desk<'_>) {
        if !has_control(state, self.engine.clock.now()) {
            return;
        }
        let destination = &self.lane.destination;
        let is_named =
            |(item, refusal): &mut (Planned, Refusal)| destination.names_its_kind(item, &refusal.reason);
        let named: Vec<(Planned, Refusal)> = desk.suspects.extract_if(.., is_named).collect();
        for (item, refusal) in named {
            self.settle_record(state, desk, &item, Delivery::Rejected(refusal));
        }
    }

    fn control_item(&self, state: &LaneState, indicator: Indicator) -> Option<Planned> {
        let (key, now) = (self.lane.policy.key(&indicator), self.engine.clock.now());
        let entry: Entry = state.manifest.get(key).copied().filter(|entry| entry.is_held(now))?;
        Some(Planned {
            valid_until: self.lane.policy.valid_until(&indicator, Change::Renewed, now),
            indicator,
            record: usize::MAX,
            voice: entry.voice(),
            met: state.progress.refreshes.meeting(),
            hash_type: self.lane.policy.hash_type,
            key,
            handle: state.manifest.handle(key),
            fingerprint: entry.fingerprint,
            change: Change::Renewed,
            reason: None,
        })
    }

    /// What the destination said of the control.
    pub(super) fn take_control(
        &mut self,
        desk: &mut Desk<'_>,
        item: &Planned,
        outcome: Result<Vec<Delivery>, UploadError>,
    ) {
        desk.control_key = None;
        match outcome {
            Ok(deliveries) => match deliveries.into_iter().next() {
                Some(Delivery::Acknowledged(handle)) => {
                    self.accepted = true;
                    desk.note(item.acknowledged(handle));
                }
                _ => desk.refuse_all(),
            },
            Err(UploadError::Refused(Refusal { reason, .. })) => {
                warn!(lane = self.lane.name, "what the destination holds is refused as well: {reason}");
                desk.refuse_all();
            }
            Err(error) => desk.halt_for(error.into()),
        }
    }
}

/// Whether an indicator that is held was kept as the control.
fn has_control(state: &LaneState, now: chrono::DateTime<chrono::Utc>) -> bool {
    let key = state.progress.control;
    key.and_then(|key| state.manifest.get(key)).is_some_and(|entry| entry.is_held(now))
}
