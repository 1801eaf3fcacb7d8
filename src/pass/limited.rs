//! A destination that cannot hold everything: who has room there, and who gives way.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use super::{desk::Desk, halt::Halt, lane::LanePass};
use crate::{
    destination::{
        Destination,
        defender::{client::Defender, convert::APPLICATION, wire::Listed},
    },
    domain::{
        entry::{Entry, Handle, Known, Rank, State},
        fingerprint::Fingerprint,
        manifest::Manifest,
        observable::{Key, is_harmful},
        plan::Planned,
        room::Room,
        voice::{Tag, Voice},
    },
    state::{lane::LaneState, store::Store},
};

/// The version of the rules by which a value is harmful: where the lane's list was gone through by an older one, that
/// is done at the next pass.
pub(super) const RULES: u32 = 1;

impl LanePass<'_> {
    /// Goes through the list once when the rules about harmful values have changed.
    pub(super) async fn sweep_once(&mut self, state: &mut LaneState) -> Result<(), Halt> {
        let is_due = state.progress.swept < RULES && self.lease.is_some() && !state.is_new();
        if !is_due || !matches!(self.lane.destination, Destination::Defender(_)) {
            return Ok(());
        }
        self.look_around(state).await?;
        self.commit(state, Vec::new()).await
    }

    /// Turns away what has no room, after the weakest have given way to what is strictly better; and what stands there
    /// already by another application, whose indicators are never touched.
    pub(super) async fn fit_in(
        &mut self,
        store: &Store,
        state: &mut LaneState,
        desk: &mut Desk<'_>,
        mut planned: Vec<Planned>,
    ) -> Result<Vec<Planned>, Halt> {
        let Destination::Defender(defender) = &self.lane.destination else { return Ok(planned) };
        if planned.is_empty() {
            return Ok(planned);
        }
        self.look_around(state).await?;
        let now = self.engine.clock.now();
        let is_foreign = |item: &mut Planned| self.foreign.contains(&defender.about(item));
        let foreign: Vec<Planned> = planned.extract_if(.., is_foreign).collect();
        self.leave_foreign(store, state, desk, defender, &foreign).await?;
        let room = self.room.get_or_insert_default();
        let admitted = room.admit(planned, |item| defender.is_unfit(item, now));
        self.counts.over_limit += admitted.turned_away.len() as u64;
        for item in &admitted.turned_away {
            desk.close(item);
            self.unsettled.insert(item.key);
            // The deciding record was met although nothing is sent: an older one must not take its place.
            let absent = state.manifest.get(item.key).filter(|entry| entry.state() == State::Absent);
            if let Some(entry) = absent.map(|entry| entry.decided_by(item.voice, item.met)) {
                state.manifest.put(entry);
                desk.note(entry.into());
            }
        }
        self.gave_way |= !admitted.displaced.is_empty();
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
        let (listed, swept) = self.sweep(defender, listed).await?;
        let total = listed.len();
        let (ours, others): (Vec<Listed>, Vec<Listed>) =
            listed.into_iter().partition(|listed| listed.application.as_deref() == Some(APPLICATION));
        self.foreign = others.iter().map(Listed::about).collect();
        let ours: HashMap<Key, Listed> = ours
            .into_iter()
            .filter_map(|listed| Some((Key::of_stix_id(listed.external_id.as_deref()?)?, listed)))
            .collect();
        state.progress.swept = RULES;
        let swept = swept.into_iter().filter_map(|key| state.manifest.get(key));
        let swept: Vec<Known> = swept.map(|entry| entry.taken_back(now).into()).collect();
        self.commit(state, swept).await?;
        let mut mended: Vec<Known> =
            ours.iter().filter_map(|(key, listed)| found(*key, listed, &state.manifest, now)).collect();
        let lost = state.manifest.entries().iter();
        let lost = lost.filter(|entry| entry.is_held(now) && !ours.contains_key(&entry.key));
        mended.extend(lost.map(|entry| Known::from(lost_at(entry, now))));
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

    /// Takes back at once those of ours whose values are harmful by today's rules, whatever record brought them: a wrong
    /// block is an outage. Returns what else is listed, and the keys of what went.
    async fn sweep(
        &mut self,
        defender: &Defender,
        mut listed: Vec<Listed>,
    ) -> Result<(Vec<Listed>, Vec<Key>), Halt> {
        let is_harmful = |listed: &mut Listed| {
            let is_ours = listed.application.as_deref() == Some(APPLICATION) && listed.id.is_some();
            is_ours && listed.kind().and_then(|kind| is_harmful(kind, &listed.value)).is_some()
        };
        if self.lease.is_none() || !self.lane.policy.retract {
            return Ok((listed, Vec::new()));
        }
        let harmful: Vec<Listed> = listed.extract_if(.., is_harmful).collect();
        if harmful.is_empty() {
            return Ok((listed, Vec::new()));
        }
        for Listed { indicator_type, value, .. } in &harmful {
            warn!(
                lane = self.lane.name,
                "{indicator_type} {value} is local or otherwise harmful and is taken back"
            );
        }
        let ids: Vec<u64> = harmful.iter().filter_map(|listed| listed.id).collect();
        defender.delete(&ids, self.deadline, &self.traffic).await?;
        self.counts.displaced += ids.len() as u64;
        let keys = harmful.iter().filter_map(|listed| Key::of_stix_id(listed.external_id.as_deref()?));
        Ok((listed, keys.collect()))
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
                gone.push(Known::from(lost_at(entry, now)));
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

/// What is known of an indicator that the tenant no longer holds.
fn lost_at(entry: &Entry, now: DateTime<Utc>) -> Entry {
    if entry.state().is_decided_against() { entry.taken_back(now) } else { entry.absent(now) }
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
    let entry = held.unwrap_or_else(|| {
        // Whose it is is known all the same: a file's former name is found by that.
        let tag = listed.source_id().map_or(Tag::UNKNOWN, Tag::of);
        let entry = Entry::new(key, Fingerprint::VOID, until, Voice { updated: 0, tag }, State::Held);
        listed.kind().map_or(entry, |kind| entry.of_type(kind.indicator_type()))
    });
    Some(Known { entry, handle: listed.id.map(|id| Handle::Numbered { id, rank }) })
}
