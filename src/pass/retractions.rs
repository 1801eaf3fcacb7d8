//! What is held and no longer wanted: marked by a survey, taken back within the brake, or withheld until an operator
//! confirms it.

use std::collections::HashSet;

use tracing::{info, warn};

use super::{halt::Halt, lane::LanePass};
use crate::{
    domain::{
        brake::{Claim, Permit},
        entry::{Entry, Known, State},
        filter::DropReason,
        outcome::Change,
        plan::{Plan, Planned},
        policy::Reading,
        progress::Withheld,
        purpose::Purpose,
        task::Range,
    },
    state::lane::LaneState,
};

/// What a pass knows of retractions beside the lane's state.
#[derive(Debug, Default)]
pub(super) struct Retractions {
    /// Records that a survey of this pass marked. What becomes of them, its judgement says.
    surveyed: u64,
}

impl LanePass<'_> {
    /// Takes those retractions out of `plan` that may not be made now, with all that their records call for beside: the
    /// indicators are marked, and count as left.
    pub(super) fn withhold(&mut self, state: &mut LaneState, plan: &mut Plan, reading: &Reading) {
        let acts = self.lane.destination.acts();
        let claim = |item: &Planned| match state.manifest.get(item.key).map(Entry::state) {
            Some(State::Condemned) => Claim::Confirmed,
            // At an endpoint it is an outage.
            _ if item.reason == Some(DropReason::Malformed) && acts => Claim::Confirmed,
            Some(State::Unwanted | State::RetractionRejected) => Claim::Surveyed,
            _ => Claim::New,
        };
        let is_retraction = |item: &&Planned| item.change == Change::Retracted;
        let claims: Vec<Claim> = plan.send.iter().filter(is_retraction).map(claim).collect();
        if claims.is_empty() {
            return;
        }
        let progress = &state.progress;
        let (left, is_waiting) =
            (progress.brake.left(reading.now, progress.created), progress.withheld.is_some());
        let mut permit = Permit::of(reading.purpose, is_waiting, left, claims.iter().copied());
        let retractions = plan.send.iter().filter(is_retraction).zip(claims);
        let withheld: HashSet<usize> =
            retractions.filter(|(_, claim)| !permit.take(*claim)).map(|(item, _)| item.record).collect();
        if withheld.is_empty() {
            return;
        }
        for item in plan.send.extract_if(.., |item| withheld.contains(&item.record)) {
            let entry = state.manifest.get(item.key).copied();
            if let Some(entry) = entry.filter(|_| item.change == Change::Retracted) {
                let entry = entry.decided_by(item.voice, item.met).in_state(State::Unwanted);
                plan.notes.push(Known { entry, handle: item.handle });
                self.unsettled.insert(self.lane.policy.key(&item.indicator));
            }
        }
        let count = withheld.len() as u64;
        if reading.purpose == Purpose::Survey {
            self.retractions.surveyed += count;
        } else {
            self.counts.left += count;
            // How many wait in all is counted when the window ends.
            let waiting = state.progress.withheld.unwrap_or_default();
            state.progress.withheld = Some(waiting);
        }
    }

    /// Notes a retraction that was acknowledged, of an indicator that stood in the manifest as `before`.
    pub(super) fn note_retracted(
        &self,
        state: &mut LaneState,
        item: &Planned,
        before: Option<Entry>,
        range: &Range,
    ) {
        let is_harmful = item.reason == Some(DropReason::Malformed) && self.lane.destination.acts();
        if !is_harmful && before.is_none_or(|entry| entry.state() != State::Condemned) {
            state.progress.note_retracted(range, self.engine.clock.now());
        }
    }

    /// Judges a survey that has come to its end.
    pub(super) fn judge_survey(&mut self, state: &mut LaneState) {
        if !state.progress.has_survey_to_judge() {
            return;
        }
        let now = self.engine.clock.now();
        let (marked, held) = if self.lane.policy.retract { tally(state, now) } else { (0, 0) };
        state.progress.judge_survey(marked, held, now);
        let surveyed = std::mem::take(&mut self.retractions.surveyed);
        match state.progress.withheld {
            Some(_) => self.counts.left += surveyed,
            // Those that the second reading takes back are read once more, and so is what expired meanwhile.
            None => self.counts.unchanged += surveyed,
        }
        if state
            .progress
            .backfills
            .iter()
            .any(|backfill| matches!(backfill.purpose, Purpose::Collection { .. }))
        {
            info!(
                lane = self.lane.name,
                "{marked} of {held} indicators are no longer wanted and are taken back"
            );
        }
    }

    /// Counts anew how many retractions wait, if any do: records may speak for their indicators again, or run out.
    pub(super) fn recount_withheld(&mut self, state: &mut LaneState) {
        if state.progress.withheld.is_none() {
            return;
        }
        let (waiting, held) =
            if self.lane.policy.retract { tally(state, self.engine.clock.now()) } else { (0, 0) };
        if waiting == 0 {
            info!(lane = self.lane.name, "no retraction waits for confirmation any more");
        }
        state.progress.wait_for(waiting, held);
    }

    /// Lets take back what waits, as an operator confirms; in a refresh, for the destination wants to be told of each.
    pub(super) async fn confirm_retractions(&mut self, state: &mut LaneState) -> Result<(), Halt> {
        let now = self.pass.started_at;
        let confirmed: Vec<Known> = state
            .manifest
            .held_unwanted(now)
            .map(|Known { entry, handle }| Known { entry: entry.in_state(State::Condemned), handle })
            .collect();
        let count = confirmed.len();
        if count == 0 {
            warn!(lane = self.lane.name, "no retraction waits for confirmation");
        }
        info!(
            lane = self.lane.name,
            "{count} indicators that are no longer wanted are taken back, as confirmed"
        );
        let run_id = format!("{}-confirmed", self.pass.run_id);
        state.progress.schedule_refresh(run_id, Purpose::Confirmation, now, self.refresh_span());
        state.progress.wait_for(0, 0);
        self.commit(state, confirmed).await
    }

    /// Records that were marked by a survey which this pass does not see the end of: they are left.
    pub(super) fn leave_surveyed(&mut self) {
        self.counts.left += std::mem::take(&mut self.retractions.surveyed);
    }
}

/// How many indicators are held and unwanted, and how many are held at all.
fn tally(state: &mut LaneState, now: chrono::DateTime<chrono::Utc>) -> (u64, u64) {
    let is_waiting = |known: &Known| known.entry.state() != State::Condemned;
    let waiting = state.manifest.held_unwanted(now).filter(is_waiting).count() as u64;
    (waiting, state.manifest.held(now))
}

/// Why a lane stalls whose retractions wait.
pub(super) fn withheld_message(withheld: Withheld) -> String {
    let Withheld { retractions, of } = withheld;
    format!(
        "{retractions} of {of} indicators are no longer wanted, which is too many to be taken back unasked: everything else is delivered. If that is what the settings, or Mandiant's scores, are meant to do, confirm it with POST /api/sync {{\"confirm_retraction\": true}} or mati-sync sync --confirm-retraction; if not, change the settings back"
    )
}
