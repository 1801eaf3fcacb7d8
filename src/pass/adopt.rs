//! A lane without memory begins with what the workspace already holds from our source, so that lost state, or a move
//! from another product, uploads nothing twice.

use std::collections::{
    BTreeMap,
    btree_map::Entry::{Occupied, Vacant},
};

use tracing::{info, warn};

use super::{halt::Halt, lane::LanePass};
use crate::{
    destination::sentinel::holdings::{Holding, Holdings, HoldingsPage},
    domain::{
        entry::{Entry, Handle, Known, State},
        fingerprint::Fingerprint,
        outcome::UploadError,
        progress::Adoption,
        voice::Voice,
    },
    state::lane::LaneState,
};

/// So many indicators are adopted with one commit.
const COMMIT: usize = 1000;

impl LanePass<'_> {
    /// Reads what the workspace holds, page by page, if this lane has nothing of its own yet or was interrupted in
    /// doing so.
    pub(super) async fn adopt(&mut self, state: &mut LaneState) -> Result<(), Halt> {
        let Some(holdings) = self.lane.destination.holdings() else { return Ok(()) };
        if state.is_new() && state.progress.adoption.is_none() {
            state.progress.adoption = Some(Adoption::default());
            // What it holds may be dropped by records older than the lane.
            state.progress.created = None;
        }
        let mut position = state.progress.adoption.clone();
        let (mut adopted, mut passed_over, mut began_again) = (BTreeMap::new(), 0, false);
        while let Some(Adoption { skip_token }) = position {
            let HoldingsPage { held, passed_over: others, next } =
                match self.holdings_page(holdings, skip_token.as_deref()).await {
                    Err(UploadError::Refused(refusal)) if skip_token.is_some() && !began_again => {
                        warn!(lane = self.lane.name, "{refusal}; the list is read again from its start");
                        began_again = true;
                        state.progress.adoption = Some(Adoption::default());
                        position = Some(Adoption::default());
                        continue;
                    }
                    page => page?,
                };
            for other in &others {
                tracing::debug!(lane = self.lane.name, "{} is left alone: it {}", other.id, other.reason);
            }
            passed_over += others.len();
            for holding in held.into_iter().filter(|holding| is_better(holding, state)) {
                match adopted.entry(holding.key) {
                    Occupied(mut other) if holding.is_ours => drop(other.insert(known(holding))),
                    Occupied(_) => {}
                    Vacant(place) => drop(place.insert(known(holding))),
                }
            }
            position = next.map(|token| Adoption { skip_token: Some(token) });
            // Progress moves only over what is committed with it.
            if adopted.len() >= COMMIT || position.is_none() {
                state.progress.adoption.clone_from(&position);
                self.commit(state, std::mem::take(&mut adopted).into_values().collect()).await?;
            }
        }
        if passed_over > 0 || !state.manifest.is_empty() && state.is_new() {
            info!(
                lane = self.lane.name,
                "the workspace holds {} indicators of this source that are known now, and {passed_over} that are left alone",
                state.manifest.len()
            );
        }
        Ok(())
    }

    async fn holdings_page(
        &self,
        holdings: &Holdings,
        skip_token: Option<&str>,
    ) -> Result<HoldingsPage, UploadError> {
        holdings.page(skip_token, self.deadline, &self.traffic).await
    }
}

/// Of two that stand for one value the one under our id is ours, and the other ages out.
fn is_better(holding: &Holding, state: &LaneState) -> bool {
    holding.is_ours || state.manifest.get(holding.key).is_none()
}

/// The confidence is all that is known of the content.
fn known(holding: Holding) -> Known {
    let fingerprint = Fingerprint::adopted(holding.confidence);
    let entry = Entry::new(holding.key, fingerprint, holding.valid_until, Voice::default(), State::Held);
    Known { entry, handle: (!holding.is_ours).then_some(Handle::Foreign(holding.stix_id)) }
}
