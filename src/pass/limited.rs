//! A destination that cannot hold everything: who has room there, and who gives way.

use std::collections::HashMap;

use tracing::info;

use super::{halt::Halt, lane::LanePass};
use crate::{
    defender::{client::Defender, convert::APPLICATION},
    destination::Destination,
    domain::{
        fingerprint::Fingerprint,
        manifest::{Entry, Handle, Known, Rank, State},
        observable::Key,
        plan::Planned,
        room::Room,
    },
    mutant::{Mutant, is_live},
    state::lane::LaneState,
};

impl LanePass<'_> {
    /// Turns away what has no room, after the weakest have given way to what is strictly better.
    pub(super) async fn fit_in(
        &mut self,
        state: &mut LaneState,
        planned: Vec<Planned>,
    ) -> Result<Vec<Planned>, Halt> {
        let Destination::Defender(defender) = &self.lane.destination else { return Ok(planned) };
        if planned.is_empty() || is_live(Mutant::LimitIgnored) {
            return Ok(planned);
        }
        let mut room = match self.room.take() {
            Some(room) => room,
            None => self.look_around(defender, state).await?,
        };
        let now = self.engine.clock.now();
        let admitted = room.admit(planned, |item| defender.is_unfit(item, now));
        self.room = Some(room);
        self.counts.over_limit += admitted.over_limit;
        self.displace(defender, state, admitted.displaced).await?;
        Ok(admitted.sent)
    }

    /// What the tenant holds at present. Ours that the manifest does not know are taken into it: what became of them
    /// was not committed, or the state was lost.
    async fn look_around(&self, defender: &Defender, state: &mut LaneState) -> Result<Room, Halt> {
        let listed = defender.list(self.deadline, &self.traffic).await?;
        let now = self.engine.clock.now();
        let total = listed.len();
        let ours = listed.into_iter().filter(|listed| listed.application.as_deref() == Some(APPLICATION));
        let ours: HashMap<Key, Option<u64>> = ours
            .filter_map(|listed| Some((Key::of_stix_id(listed.external_id.as_deref()?)?, listed.id)))
            .collect();
        let mut learned = Vec::new();
        for (key, id) in &ours {
            let entry = state.manifest.get(*key).copied();
            let held = entry.filter(|entry| entry.is_held(now));
            let rank = match state.manifest.handle(*key) {
                Some(Handle::Numbered { id: known, rank }) if held.is_some() => {
                    if Some(known) == *id || id.is_none() {
                        continue;
                    }
                    rank
                }
                _ => Rank::default(),
            };
            let until = now + chrono::TimeDelta::days(90);
            let entry = held.unwrap_or_else(|| Entry::new(*key, Fingerprint::VOID, until, None, State::Held));
            learned.push(Known { entry, handle: id.map(|id| Handle::Numbered { id, rank }) });
        }
        if !learned.is_empty() {
            info!(
                lane = self.lane.name,
                "the tenant holds {} of our indicators that were not known as they stand there",
                learned.len()
            );
            self.commit(state, learned).await?;
        }
        let free = defender.limit.saturating_sub(total);
        let held = ours.keys().filter_map(|key| {
            let entry = *state.manifest.get(*key)?;
            Some(Known { entry, handle: state.manifest.handle(*key) })
        });
        Ok(Room::new(free, held.collect::<Vec<_>>()))
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
        if self.lease.is_some() && !is_live(Mutant::DisplacedStay) {
            defender.delete(&ids, self.deadline, &self.traffic).await?;
        }
        self.commit(state, gone).await
    }
}
