//! What a lane's part in a pass begins with: requests noted, a refresh scheduled when one is due.

use chrono::TimeDelta;
use tracing::info;

use super::{halt::Halt, lane::LanePass};
use crate::{
    domain::{
        progress::{Backfill, BackfillKind},
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
            info!(lane = self.lane.name, "what is no longer wanted is taken back, as this request confirms");
            let run_id = format!("{}-confirmed", self.pass.run_id);
            state.progress.schedule_refresh(run_id, self.pass.started_at, self.refresh_span(), false);
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

    fn note_backfill(&self, state: &mut LaneState) {
        let order = &self.pass.order;
        let lookback =
            order.lookback_days.map_or(self.lane.initial_lookback, |days| TimeDelta::days(days.into()));
        let from = whole_second(self.pass.started_at - lookback);
        state.progress.backfills.push(Backfill {
            run_id: self.pass.run_id.clone(),
            kind: if order.rebuild { BackfillKind::Rebuild } else { BackfillKind::Lookback },
            from,
            to: whole_second(self.pass.started_at - LAG),
            position: from,
            survey: None,
            settings_changed: false,
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
        progress.schedule_refresh(run_id, now, span, self.lane.policy.retract && self.lease.is_some());
        if let Some(refresh) = progress.backfills.last_mut() {
            refresh.settings_changed |= has_changed;
        }
        true
    }

    fn refresh_span(&self) -> TimeDelta {
        self.lane.initial_lookback.max(SHORTEST_REFRESH).min(REACH)
    }
}
