//! What a lane's part in a pass begins with: requests noted, a refresh scheduled when one is due.

use chrono::TimeDelta;
use tracing::info;

use super::{halt::Halt, lane::LanePass};
use crate::{
    domain::{
        purpose::{Backfill, Purpose},
        task::{LAG, REACH, whole_second},
    },
    state::{lane::LaneState, store::Store},
};

/// A refresh reads at least as much again.
const SHORTEST_REFRESH: TimeDelta = TimeDelta::days(30);

impl LanePass<'_> {
    /// Notes in the lane's progress what this pass is to do beside the live range.
    pub(super) async fn begin(&mut self, store: &Store, state: &mut LaneState) -> Result<(), Halt> {
        self.lane.destination.take_over();
        self.adopt(state).await?;
        self.prepare_brake(state);
        self.sweep_once(state).await?;
        self.deliver_foreign(store, state).await?;
        if self.schedule_refresh(state) {
            self.commit(state, Vec::new()).await?;
        }
        let order = self.pass.order.clone();
        if !order.asks_for_more() || state.progress.knows_request(&self.pass.run_id) {
            return Ok(());
        }
        if order.retry_rejected {
            self.retry_rejected(store, state).await?;
        }
        if order.confirm_retraction {
            self.confirm_retractions(state).await?;
        }
        if order.rebuild || order.lookback_days.is_some() {
            self.note_backfill(state);
        } else {
            state.progress.mark_applied(&self.pass.run_id);
        }
        if order.rebuild {
            // Void what is known of the contents, durably and at once: then a rebuild that is interrupted goes on
            // like any other reading, and sends nothing twice.
            state.manifest.void();
            if let Some(lease) = self.lease {
                state.compact(lease, self.pass.started_at).await?;
            }
            return Ok(());
        }
        self.commit(state, Vec::new()).await
    }

    /// Measures what is held before anything is taken back; what waits is counted anew.
    fn prepare_brake(&mut self, state: &mut LaneState) {
        let now = self.pass.started_at;
        if state.progress.brake.is_new() {
            let held = state.manifest.held(now);
            state.progress.brake.note_held(now, held);
            if state.progress.withheld.is_some() && self.lane.policy.retract {
                // A version without marks withheld them: which they are, a survey finds.
                state.progress.refreshed = None;
            }
        }
        self.recount_withheld(state);
    }

    fn note_backfill(&self, state: &mut LaneState) {
        let order = &self.pass.order;
        let lookback =
            order.lookback_days.map_or(self.lane.initial_lookback, |days| TimeDelta::days(days.into()));
        let from = whole_second(self.pass.started_at - lookback);
        state.progress.backfills.push(Backfill {
            run_id: self.pass.run_id.clone(),
            purpose: if order.rebuild { Purpose::Rebuild } else { Purpose::Lookback },
            from,
            to: whole_second(self.pass.started_at - LAG),
            position: from,
        });
    }

    /// A refresh is due by time, or because the settings call for other indicators or another form of them. True if
    /// anything is to be committed.
    fn schedule_refresh(&self, state: &mut LaneState) -> bool {
        let (progress, now) = (&mut state.progress, self.pass.started_at);
        let has_changed = progress.settings_hash != self.lane.settings_hash;
        let period = self.lane.policy.expirations.refresh_period();
        if !has_changed && !progress.wants_refresh(now, period) {
            return false;
        }
        let span = self.refresh_span();
        info!(
            lane = self.lane.name,
            "everything Mandiant updated in the last {} days is read again: {}",
            span.num_days(),
            if has_changed { "settings have changed" } else { "it is time" }
        );
        progress.settings_hash.clone_from(&self.lane.settings_hash);
        let run_id = format!("{}-refresh", self.pass.run_id);
        progress.schedule_refresh(run_id, Purpose::Survey, now, span);
        true
    }

    pub(super) fn refresh_span(&self) -> TimeDelta {
        self.lane.initial_lookback.max(SHORTEST_REFRESH).min(REACH)
    }
}
