//! The manifest against what the destination holds in truth: adopted when a lane begins, compared in each pass where the
//! destination can be asked at any time; and what the destination has room for.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use tracing::{debug, info, warn};

use super::{foreign, halt::Halt, ledger::Ledger};
use crate::{
    destination::{ApiError, Reconciliation},
    domain::{
        arrival::Sighting,
        capacity::{Admitted, Capacity},
        entry::{Handle, Known, State},
        inventory::{Held, InventoryPage, Owner, found, gone, missing},
        observable::Key,
        outcome::{Change, Fate},
        page::About,
        plan::Planned,
        progress::Adoption,
    },
};

/// The version of the rules by which a value is harmful: where the destination's indicators were compared by an older one,
/// that is done at the next pass.
const RULES: u32 = 1;
/// So many indicators are adopted with one commit.
const COMMIT: usize = 1000;

/// What a pass knows of the destination's indicators.
#[derive(Default)]
pub(super) struct Reconciler {
    /// Where the destination cannot hold everything, once its indicators were compared.
    capacity: Option<Capacity>,
    /// What other applications hold there, as the destination tells its indicators apart.
    foreign: HashSet<String>,
    /// Those of ours that made way for better ones in this pass, as they were known.
    made_way: Vec<(Key, Option<Handle>)>,
    /// The destination could not be asked, and everything is told as if it had room for it.
    is_blind: bool,
    /// Where arrival is verified, once the list was read.
    shown: Option<Shown>,
}

/// What the destination's list shows of ours.
struct Shown {
    /// When it was read.
    at: DateTime<Utc>,
    /// The end of validity of each.
    until: HashMap<Key, Option<DateTime<Utc>>>,
}

/// What of a page is sent, and what is settled without being sent.
pub(super) struct Admission {
    pub admitted: Vec<Planned>,
    pub settled: Vec<(Planned, Fate)>,
    /// Entries for the next commit.
    pub kept: Vec<Known>,
}

impl Reconciler {
    /// Whether the destination cannot hold everything.
    pub fn is_limited(&self) -> bool {
        self.capacity.is_some()
    }

    /// What the destination has room for, where it cannot hold everything and was asked.
    pub fn capacity(&self) -> Option<&Capacity> {
        self.capacity.as_ref()
    }

    /// One that asks the destination nothing.
    pub fn blind() -> Self {
        Self { is_blind: true, ..Self::default() }
    }

    /// Those of ours that made way for better ones in this pass, as they were known.
    pub fn made_way(&self) -> &[(Key, Option<Handle>)] {
        &self.made_way
    }

    /// Whether another application holds what is compared as this.
    pub fn is_foreign(&self, compared_as: &str) -> bool {
        self.foreign.contains(compared_as)
    }

    /// How the destination's list showed the indicator of `key`; it can tell nothing of what was acknowledged later.
    pub fn sighting(&self, key: Key, acknowledged: DateTime<Utc>) -> Sighting {
        match &self.shown {
            Some(Shown { at, until }) if acknowledged <= *at => {
                until.get(&key).map_or(Sighting::NotShown, |until| Sighting::Shown { until: *until })
            }
            _ => Sighting::Unclear,
        }
    }

    /// Notes that one is no longer held, which leaves room for another.
    pub fn free(&mut self, key: Key) {
        if let Some(capacity) = &mut self.capacity {
            capacity.leave(key);
        }
    }

    /// Adopts what the destination holds, page by page, if this lane has nothing of its own yet or was interrupted in
    /// doing so: lost state, or a move from another product, then uploads nothing twice.
    ///
    /// # Errors
    /// Why the lane cannot go on; what was adopted before is committed.
    pub async fn adopt(&mut self, ledger: &mut Ledger<'_>) -> Result<(), Halt> {
        let context = ledger.context;
        if context.lane.destination.reconciliation() != Reconciliation::AtFirst {
            return Ok(());
        }
        if ledger.state.is_new() && ledger.state.progress.adoption.is_none() {
            ledger.state.progress.adoption = Some(Adoption::default());
            // What it holds may be dropped by records older than the lane.
            ledger.state.progress.created = None;
        }
        let mut position = ledger.state.progress.adoption.clone();
        let (mut held, mut passed_over, mut began_again) = (Vec::new(), 0, false);
        while let Some(Adoption { skip_token }) = position {
            let page = match page(ledger, skip_token.as_deref()).await {
                Err(ApiError::Rejected(rejection)) if skip_token.is_some() && !began_again => {
                    warn!(lane = context.lane.name, "{rejection}; the list is read again from its start");
                    began_again = true;
                    ledger.state.progress.adoption = Some(Adoption::default());
                    position = Some(Adoption::default());
                    continue;
                }
                page => page?,
            };
            for other in &page.passed_over {
                let About { value, kind } = &other.about;
                debug!(
                    lane = context.lane.name,
                    value,
                    "type" = kind,
                    "{} is left alone: it {}",
                    other.id,
                    other.reason
                );
            }
            passed_over += page.passed_over.len();
            held.extend(page.held);
            position = page.next.map(|token| Adoption { skip_token: Some(token) });
            // Progress moves only over what is committed with it.
            if held.len() >= COMMIT || position.is_none() {
                ledger.state.progress.adoption.clone_from(&position);
                let adopted =
                    found(&std::mem::take(&mut held), &mut ledger.state.manifest, ledger.context.now());
                ledger.commit(adopted).await?;
            }
        }
        let manifest = &ledger.state.manifest;
        if passed_over > 0 || !manifest.is_empty() && ledger.state.is_new() {
            info!(
                lane = context.lane.name,
                "the destination holds {} indicators of this source that are known now, and {passed_over} that are left alone",
                manifest.len()
            );
        }
        Ok(())
    }

    /// Compares once when the rules about harmful values have changed.
    ///
    /// # Errors
    /// Why the lane cannot go on.
    pub async fn follow_new_rules(&mut self, ledger: &mut Ledger<'_>) -> Result<(), Halt> {
        let is_due = ledger.state.progress.swept < RULES && ledger.context.lease.is_some();
        let can_be = ledger.context.lane.destination.reconciliation() == Reconciliation::EachPass;
        if !is_due || !can_be || ledger.state.is_new() {
            return Ok(());
        }
        self.reconcile(ledger).await?;
        ledger.commit(Vec::new()).await
    }

    /// Compares the manifest with what the destination holds, once in a pass. Where the two differ the manifest is mended:
    /// what became of an upload was not committed, or the state was lost, or an operator deleted an indicator by hand.
    /// If the destination holds more than it may, the weakest of ours are displaced.
    ///
    /// # Errors
    /// Why the lane cannot go on.
    pub async fn reconcile(&mut self, ledger: &mut Ledger<'_>) -> Result<(), Halt> {
        let lane = ledger.context.lane;
        let limit = lane.destination.limits().capacity.unwrap_or(usize::MAX);
        let can_be = lane.destination.reconciliation() == Reconciliation::EachPass && !self.is_blind;
        if !can_be || self.capacity.is_some() {
            return Ok(());
        }
        let mut held = Vec::new();
        let mut next = None;
        loop {
            let page = page(ledger, next.as_deref()).await?;
            held.extend(page.held);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        let removed = remove_harmful(ledger, &mut held).await?;
        let (now, total) = (ledger.now(), held.len());
        let others = held.iter().filter(|held| held.owner == Owner::Other);
        self.foreign = others.map(|held| held.compared_as.clone()).collect();
        let ours = held.iter().filter(|held| held.owner == Owner::Us);
        let ours = ours.filter_map(|held| Some((held.key?, held.valid_until)));
        self.shown = lane.verifies_arrival.then(|| Shown { at: now, until: ours.collect() });
        ledger.state.progress.swept = RULES;
        let manifest = &ledger.state.manifest;
        let removed = removed.into_iter().filter_map(|key| manifest.get(key));
        let removed: Vec<Known> = removed.map(|entry| entry.retracted(now).into()).collect();
        ledger.commit(removed).await?;
        let mut mended = found(&held, &mut ledger.state.manifest, now);
        mended.extend(missing(&held, &mut ledger.state.manifest, now));
        if !mended.is_empty() {
            info!(
                lane = lane.name,
                "the destination holds {} of our indicators otherwise than was known",
                mended.len()
            );
            ledger.commit(mended).await?;
        }
        let manifest = &ledger.state.manifest;
        let ours = held.iter().filter(|held| held.owner == Owner::Us).filter_map(|held| held.key);
        let ours: HashSet<Key> = ours.collect();
        let known = ours
            .into_iter()
            .filter_map(|key| Some(Known { entry: *manifest.get(key)?, handle: manifest.handle(key) }));
        let mut capacity = Capacity::new(limit.saturating_sub(total), known);
        let leaving = capacity.shrink(total.saturating_sub(limit));
        self.capacity = Some(capacity);
        displace(ledger, leaving).await
    }

    /// Turns away what the destination has no room for, after the weakest have made way for what is strictly better; and
    /// what another application holds there, whose indicators are never touched.
    ///
    /// # Errors
    /// Why the lane cannot go on.
    pub async fn admit(
        &mut self,
        ledger: &mut Ledger<'_>,
        mut planned: Vec<Planned>,
    ) -> Result<Admission, Halt> {
        let destination = &ledger.context.lane.destination;
        self.reconcile(ledger).await?;
        let Some(capacity) = &mut self.capacity else {
            return Ok(Admission { admitted: planned, settled: Vec::new(), kept: Vec::new() });
        };
        let now = ledger.now();
        let is_foreign = |item: &mut Planned| self.foreign.contains(&destination.compared_as(item));
        let theirs: Vec<Planned> = planned.extract_if(.., is_foreign).collect();
        let Admitted { sent, displaced, turned_away } =
            capacity.admit(planned, |item| destination.is_unfit(item, now));
        let manifest = &ledger.state.manifest;
        self.made_way.extend(displaced.iter().map(|key| (*key, manifest.handle(*key))));
        displace(ledger, displaced).await?;
        let mut kept = foreign::remember(ledger, &theirs).await?;
        for item in &turned_away {
            ledger.unsettled.insert(item.key);
            // The deciding record was met although nothing is sent, also where the indicator makes way on this very
            // page: an older record must not take its place, and bring it back with another rank at each reading.
            let absent = ledger.state.manifest.get(item.key).filter(|entry| entry.state() == State::Absent);
            if let Some(entry) = absent.map(|entry| entry.decided_by(item.decider)) {
                ledger.state.manifest.put(entry);
                kept.push(entry.into());
            }
        }
        let theirs = theirs.into_iter().map(|item| (item, Fate::Unchanged));
        let turned_away = turned_away.into_iter().map(|item| (item, Fate::OverLimit));
        let settled = theirs.chain(turned_away).collect();
        Ok(Admission { admitted: sent, settled, kept })
    }
}

async fn page(ledger: &Ledger<'_>, next: Option<&str>) -> Result<InventoryPage, ApiError> {
    let context = ledger.context;
    context.lane.destination.inventory(next, context.deadline, ledger.traffic).await
}

/// Removes at once those of ours whose values are harmful by today's rules, or excluded, whatever record brought them: a
/// wrong block is an outage. Returns the keys of what went. What was excluded counts as read and retracted; and if
/// nothing else may be retracted, it is all the same.
async fn remove_harmful(ledger: &mut Ledger<'_>, held: &mut Vec<Held>) -> Result<Vec<Key>, Halt> {
    let context = ledger.context;
    let excluded_by = |held: &Held| context.policy.exclusions.find(held.observable.as_ref()?);
    let is_harmful = |held: &mut Held| {
        let can_be_removed = held.owner == Owner::Us && held.handle.and_then(Handle::number).is_some();
        let is_malformed = held.harm.is_some() && context.policy.retract && context.lease.is_some();
        can_be_removed && (is_malformed || excluded_by(held).is_some())
    };
    let harmful: Vec<Held> = held.extract_if(.., is_harmful).collect();
    if harmful.is_empty() {
        return Ok(Vec::new());
    }
    let mut excluded = 0;
    for held in &harmful {
        let (lane, about) = (context.lane.name, &held.compared_as);
        // The destination tells its indicators apart by their type and their value.
        let (kind, value) = about.split_once(' ').unwrap_or(("", about));
        match excluded_by(held) {
            Some(hit) => {
                excluded += 1;
                if let Some(indicator_type) = held.indicator_type {
                    ledger.by_type.entry(indicator_type).or_default().add(Change::Retracted);
                }
                info!(lane, value, "type" = kind, "{about} is excluded by {hit} and is removed");
            }
            None => warn!(lane, value, "type" = kind, "{about} is local or otherwise harmful and is removed"),
        }
    }
    let numbers: Vec<u64> = harmful.iter().filter_map(|held| held.handle.and_then(Handle::number)).collect();
    if context.lease.is_some() {
        context.lane.destination.remove(&numbers, context.deadline, ledger.traffic).await?;
    }
    ledger.counts.read += excluded;
    ledger.counts.retracted += excluded;
    ledger.counts.displaced += numbers.len() as u64 - excluded;
    Ok(harmful.into_iter().filter_map(|held| held.key).collect())
}

async fn displace(ledger: &mut Ledger<'_>, displaced: Vec<Key>) -> Result<(), Halt> {
    let (context, now) = (ledger.context, ledger.now());
    let (mut numbers, mut absent) = (Vec::new(), Vec::new());
    for key in displaced {
        let manifest = &ledger.state.manifest;
        if let (Some(entry), Some(Handle::Numbered { id, .. })) = (manifest.get(key), manifest.handle(key)) {
            numbers.push(id);
            absent.push(Known::from(gone(entry, now)));
        }
    }
    if numbers.is_empty() {
        return Ok(());
    }
    ledger.counts.displaced += numbers.len() as u64;
    if context.lease.is_some() {
        context.lane.destination.remove(&numbers, context.deadline, ledger.traffic).await?;
    }
    ledger.commit(absent).await
}
