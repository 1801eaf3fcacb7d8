//! A destination that cannot hold everything: who has room there, and who gives way.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::info;

use super::{halt::Halt, lane::LanePass};
use crate::{
    defender::{client::Defender, convert::APPLICATION, wire::Listed},
    destination::Destination,
    domain::{
        fingerprint::Fingerprint,
        manifest::{Entry, Handle, Known, Manifest, Rank, State},
        observable::Key,
        plan::Planned,
        room::Room,
    },
    state::lane::LaneState,
};

impl LanePass<'_> {
    /// Turns away what has no room, after the weakest have given way to what is strictly better; and what stands there
    /// already by another application, whose indicators are never touched.
    pub(super) async fn fit_in(
        &mut self,
        state: &mut LaneState,
        mut planned: Vec<Planned>,
    ) -> Result<Vec<Planned>, Halt> {
        let Destination::Defender(defender) = &self.lane.destination else { return Ok(planned) };
        if planned.is_empty() {
            return Ok(planned);
        }
        self.look_around(state).await?;
        let now = self.engine.clock.now();
        let before = planned.len();
        planned.retain(|item| !self.foreign.contains(&defender.about(item)));
        let others = before - planned.len();
        if others > 0 {
            self.counts.unchanged += others as u64;
            info!(
                lane = self.lane.name,
                "{others} indicators are left as another application has them in the tenant"
            );
        }
        let room = self.room.get_or_insert_default();
        let admitted = room.admit(planned, |item| defender.is_unfit(item, now));
        self.counts.over_limit += admitted.over_limit;
        self.displace(defender, state, admitted.displaced).await?;
        Ok(admitted.sent)
    }

    /// What the tenant holds at present, once in a pass. What is ours and differs from what the manifest knows is
    /// mended there: what became of it was not committed, or the state was lost, or somebody deleted it by hand.
    /// Where the tenant holds more than it may, the weakest of ours leave.
    pub(super) async fn look_around(&mut self, state: &mut LaneState) -> Result<(), Halt> {
        let Destination::Defender(defender) = &self.lane.destination else { return Ok(()) };
        if self.room.is_some() {
            return Ok(());
        }
        let listed = defender.list(self.deadline, &self.traffic).await?;
        let now = self.engine.clock.now();
        let total = listed.len();
        let (ours, others): (Vec<Listed>, Vec<Listed>) =
            listed.into_iter().partition(|listed| listed.application.as_deref() == Some(APPLICATION));
        self.foreign = others.iter().map(Listed::about).collect();
        let ours: HashMap<Key, Listed> = ours
            .into_iter()
            .filter_map(|listed| Some((Key::of_stix_id(listed.external_id.as_deref()?)?, listed)))
            .collect();
        let mut mended: Vec<Known> =
            ours.iter().filter_map(|(key, listed)| found(*key, listed, &state.manifest, now)).collect();
        let lost = state.manifest.entries().iter();
        let lost = lost.filter(|entry| entry.is_held(now) && !ours.contains_key(&entry.key));
        mended.extend(lost.map(|entry| Known::from(entry.taken_back(now))));
        if !mended.is_empty() {
            info!(
                lane = self.lane.name,
                "{} of our indicators stand at the tenant otherwise than was known",
                mended.len()
            );
            self.commit(state, mended).await?;
        }
        let held = ours.keys().filter_map(|key| {
            let entry = *state.manifest.get(*key)?;
            Some(Known { entry, handle: state.manifest.handle(*key) })
        });
        let mut room = Room::new(defender.limit.saturating_sub(total), held);
        let leaving = room.shrink(total.saturating_sub(defender.limit));
        self.room = Some(room);
        self.displace(defender, state, leaving).await
    }

    async fn displace(
        &mut self,
        defender: &Defender,
        state: &mut LaneState,
        displaced: Vec<Key>,
    ) -> Result<(), Halt> {
        let now = self.engine.clock.now();
        let (mut ids, mut gone) = (Vec::new(), Vec::new());
        for key in displaced {
            if let (Some(entry), Some(Handle::Numbered { id, .. })) =
                (state.manifest.get(key), state.manifest.handle(key))
            {
                ids.push(id);
                gone.push(Known::from(entry.taken_back(now)));
            }
        }
        if ids.is_empty() {
            return Ok(());
        }
        self.counts.displaced += ids.len() as u64;
        if self.lease.is_some() {
            defender.delete(&ids, self.deadline, &self.traffic).await?;
        }
        self.commit(state, gone).await
    }
}

/// What is to be known of an indicator of ours that the tenant holds, if it is not known already.
fn found(key: Key, listed: &Listed, manifest: &Manifest, now: DateTime<Utc>) -> Option<Known> {
    let held = manifest.get(key).copied().filter(|entry| entry.is_held(now));
    let rank = match manifest.handle(key) {
        Some(Handle::Numbered { id, .. })
            if held.is_some() && listed.id.is_none_or(|listed| listed == id) =>
        {
            return None;
        }
        Some(Handle::Numbered { rank, .. }) if held.is_some() => rank,
        _ => Rank::default(),
    };
    let until = listed.expiration.unwrap_or(now + TimeDelta::days(90));
    let entry = held.unwrap_or_else(|| Entry::new(key, Fingerprint::VOID, until, None, State::Held));
    Some(Known { entry, handle: listed.id.map(|id| Handle::Numbered { id, rank }) })
}
