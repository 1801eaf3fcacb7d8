//! What is wanted and new: created within the limit, or withheld until an operator confirms it.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use super::{feeds::note_losses, halt::Halt, ledger::Ledger};
use crate::domain::{
    entry::{Entry, Known, State},
    feeds::Loss,
    observable::{HashType, IndicatorType},
    outcome::Change,
    plan::{Plan, Planned},
    policy::Circumstances,
    purpose::Purpose,
    report::WithheldExample,
    window::Window,
    withheld::{WaitingCreations, until_sentence},
};

/// Finds out whether the pass is a part of a first sync, which creates all it meets: the lane has never caught up, or it
/// holds nothing. What waited in vain is given up.
///
/// # Errors
/// See [`Ledger::commit`].
pub(super) async fn prepare(ledger: &mut Ledger<'_>) -> Result<(), Halt> {
    let now = ledger.began;
    if ledger.state.progress.caught_up.is_some() && ledger.state.manifest.held(now) == 0 {
        ledger.state.progress.caught_up = None;
    }
    give_up(ledger).await?;
    recount(ledger);
    Ok(())
}

/// Whether `item` would be created unasked. A rebuild and a retry are asked for, and what the destination lost is only
/// repaired.
fn is_unasked(ledger: &Ledger<'_>, item: &Planned, purpose: Purpose) -> bool {
    let before = ledger.state.manifest.get(item.key).map(Entry::state);
    let is_asked_for = matches!(purpose, Purpose::Rebuild | Purpose::Retry);
    item.change == Change::Created
        && !is_asked_for
        && !matches!(before, Some(State::Absent | State::Confirmed))
        && ledger.state.progress.caught_up.is_some()
}

/// How many more may be created unasked.
fn left(ledger: &Ledger<'_>) -> u64 {
    let progress = &ledger.state.progress;
    progress.unasked.creations_left(ledger.now(), progress.created)
}

/// Whether the limit may be reached by `plan`, while the fate of so many records is still open: these are settled first,
/// because only what the destination took counts.
pub(super) fn is_near(ledger: &Ledger<'_>, plan: &Plan, purpose: Purpose, open: u64) -> bool {
    let unasked = plan.send.iter().filter(|item| is_unasked(ledger, item, purpose)).count() as u64;
    // A record may call for an object for each digest of its file.
    let under_way = open * HashType::ALL.len() as u64;
    unasked > 0 && open > 0 && unasked + under_way > left(ledger)
}

/// Removes those creations from `plan` that may not be made now, and the removal of what they were to displace: the
/// indicators are remembered, and a record of which nothing else is sent counts as withheld. What waits already goes on
/// waiting, whatever the limit leaves.
pub(super) fn withhold(ledger: &mut Ledger<'_>, plan: &mut Plan, circumstances: &Circumstances) {
    let mut left = left(ledger);
    let mut withheld = HashSet::new();
    for item in &mut plan.send {
        if !is_unasked(ledger, item, circumstances.purpose) {
            continue;
        }
        let is_waiting = ledger.state.manifest.get(item.key).map(Entry::state) == Some(State::Waiting);
        item.is_unasked = !is_waiting && left > 0;
        if item.is_unasked {
            left -= 1;
        } else {
            withheld.insert(item.key);
        }
    }
    if withheld.is_empty() {
        return;
    }
    let is_withheld = |item: &mut Planned| item.change == Change::Created && withheld.contains(&item.key);
    let withheld: Vec<Planned> = plan.send.extract_if(.., is_withheld).collect();
    let mut records: HashSet<usize> = withheld.iter().map(|item| item.record).collect();
    for item in plan.send.iter().filter(|item| item.change.is_fate()) {
        records.remove(&item.record);
    }
    plan.send.retain(|item| item.change != Change::Displaced || !records.contains(&item.record));
    ledger.withheld.created += records.len() as u64;
    for item in &withheld {
        plan.notes.extend(wait(ledger, item, circumstances));
    }
}

/// Notes in the progress that the indicator of `item` waits; returns what is to be noted in the manifest.
fn wait(ledger: &mut Ledger<'_>, item: &Planned, circumstances: &Circumstances) -> Option<Known> {
    let why = ledger.state.progress.why_new(circumstances.purpose);
    let indicator = &item.indicator;
    ledger.withheld.add_example(|| WithheldExample {
        value: item.subject().value.into_owned(),
        indicator_type: indicator.observable.indicator_type(),
        reason: format!("new, because {}", why.words()),
    });
    // A record without a time came in a window that is a day long at most.
    let updated = indicator.last_updated.unwrap_or(circumstances.horizon - TimeDelta::days(1));
    ledger.state.progress.wait_to_create(updated.min(circumstances.horizon), why);
    let before = ledger.state.manifest.get(item.key);
    let is_known = before.is_some_and(|entry| {
        entry.state() == State::Waiting
            && entry.valid_until() >= circumstances.renew_before
            && entry.deciding_record() == item.decider.version
    });
    (!is_known).then(|| item.waiting())
}

/// Counts anew how many creations wait, if any do: records may no longer admit their indicators, or be listed no more.
pub(super) fn recount(ledger: &mut Ledger<'_>) {
    let now = ledger.now();
    let Some(waiting) = &mut ledger.state.progress.waiting else { return };
    let mut by_type: BTreeMap<IndicatorType, u64> = BTreeMap::new();
    for known in ledger.state.manifest.waiting(now) {
        *by_type.entry(known.entry.indicator_type().unwrap_or(IndicatorType::Hash)).or_default() += 1;
    }
    if by_type.is_empty() {
        info!(lane = ledger.context.lane.name, "no creation waits for confirmation any more");
        ledger.state.progress.waiting = None;
    } else {
        waiting.by_type = by_type;
    }
}

/// Gives up the creations that waited in vain: the source no longer reaches back to what called for them, or they would
/// have ended by now. They are a loss, where the source cannot be read again. If it lists one of them again, that waits
/// again.
///
/// # Errors
/// See [`Ledger::commit`].
async fn give_up(ledger: &mut Ledger<'_>) -> Result<(), Halt> {
    let (limits, now) = (ledger.context.source.limits(), ledger.began);
    let Some(oldest) = ledger.state.progress.waiting.as_ref().map(|waiting| waiting.oldest) else {
        return Ok(());
    };
    if limits.recalls {
        return Ok(());
    }
    let updated = |known: &Known| DateTime::from_timestamp(known.entry.updated().into(), 0);
    let (earliest, since) = (limits.earliest(now), limits.floor(oldest));
    // Those that were given up before were listed earlier.
    let waiting = ledger.state.manifest.waiting(DateTime::UNIX_EPOCH);
    let waiting = waiting.filter(|known| updated(known).is_some_and(|at| at >= since));
    let (over, kept): (Vec<Known>, Vec<Known>) =
        waiting.partition(|known| !known.entry.is_waiting(now) || updated(known) < Some(earliest));
    let (Some(first), Some(last)) =
        (over.iter().filter_map(updated).min(), over.iter().filter_map(updated).max())
    else {
        return Ok(());
    };
    if let (Some(waiting), Some(oldest)) =
        (&mut ledger.state.progress.waiting, kept.iter().filter_map(updated).min())
    {
        waiting.oldest = oldest;
    }
    warn!(
        lane = ledger.context.lane.name,
        "{} new indicators waited for confirmation until {} gave them no more: they are given up",
        over.len(),
        ledger.context.source.label()
    );
    let what = "new indicators that waited for confirmation".to_owned();
    let lost = [Loss { what, from: limits.floor(first), to: limits.floor(last) + limits.grain }];
    ledger.state.progress.note_losses(&lost, now);
    note_losses(ledger, &lost);
    let over = over.into_iter().map(|Known { entry, handle }| Known { entry: entry.given_up(now), handle });
    ledger.commit(over.collect()).await
}

/// Lets everything be created that waits, as an operator confirms: from the time on at which the oldest of it was updated
/// everything is read again.
///
/// # Errors
/// See [`Ledger::commit`].
pub(super) async fn confirm(ledger: &mut Ledger<'_>) -> Result<(), Halt> {
    let (context, now) = (ledger.context, ledger.began);
    let lane = context.lane.name;
    let Some(WaitingCreations { oldest, .. }) = ledger.state.progress.waiting.take() else {
        warn!(lane, "no creation waits for confirmation");
        return Ok(());
    };
    let waiting = ledger.state.manifest.waiting(now);
    let confirmed: Vec<Known> = waiting
        .map(|Known { entry, handle }| Known { entry: entry.in_state(State::Confirmed), handle })
        .collect();
    info!(lane, "{} indicators that are new are created, as confirmed", confirmed.len());
    let (limits, run_id) = (context.source.limits(), format!("{}-created", context.pass.run_id));
    let window = Window { from: oldest, to: now };
    ledger.state.progress.read_again(run_id, Purpose::Lookback, window, now, limits);
    ledger.commit(confirmed).await
}

/// Why a lane stalls whose creations wait. `until` is when the first of them can be confirmed no more.
pub(super) fn waiting_message(waiting: &WaitingCreations, until: Option<DateTime<Utc>>) -> String {
    let types =
        waiting.by_type.iter().map(|(indicator_type, count)| format!("{count} {}", indicator_type.name()));
    let types: Vec<String> = types.collect();
    format!(
        "{} new indicators ({}; first met because {}) wait, which is too many to be created unasked: everything else is delivered. If that is meant, confirm it with POST /api/sync {{\"confirm_creation\": true}} or mati-sync sync --confirm-creation; if not, change the settings back{}",
        waiting.total(),
        types.join(", "),
        waiting.reason.words(),
        until_sentence(until)
    )
}
