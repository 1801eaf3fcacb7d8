//! What is held and no longer wanted: marked by a survey, retracted within the limit, or withheld until an operator
//! confirms it.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use super::{context::Context, halt::Halt, ledger::Ledger};
use crate::domain::{
    entry::{Entry, Known, State},
    filter::DropReason,
    outcome::Change,
    plan::{Plan, Planned},
    policy::{Circumstances, Policy},
    purpose::Purpose,
    report::{WithheldExample, WithheldReport},
    retraction_limit::{Claim, Permit},
    window::Range,
    withheld::{Withheld, until_sentence},
};

/// Removes those retractions from `plan` that may not be made now, with all that their records call for beside: the
/// indicators are marked, and count as left.
pub(super) fn withhold(ledger: &mut Ledger<'_>, plan: &mut Plan, circumstances: &Circumstances) {
    let acts = ledger.context.lane.destination.limits().acts;
    let claim = |item: &Planned| match ledger.state.manifest.get(item.key).map(Entry::state) {
        Some(State::Condemned) => Claim::Confirmed,
        // At an endpoint it is an outage.
        _ if is_harmful(item) && acts => Claim::Confirmed,
        _ if is_correction(ledger, item) => Claim::Confirmed,
        Some(State::Unwanted | State::RetractionRejected) => Claim::Surveyed,
        _ => Claim::New,
    };
    let is_retraction = |item: &&Planned| item.change == Change::Retracted;
    let claims: Vec<Claim> = plan.send.iter().filter(is_retraction).map(claim).collect();
    if claims.is_empty() {
        return;
    }
    let progress = &ledger.state.progress;
    let (left, is_waiting) =
        (progress.unasked.retractions_left(circumstances.now, progress.created), progress.withheld.is_some());
    let mut permit = Permit::of(circumstances.purpose, is_waiting, left, claims.iter().copied());
    let retractions = plan.send.iter().filter(is_retraction).zip(claims);
    let withheld: HashSet<usize> =
        retractions.filter(|(_, claim)| !permit.take(*claim)).map(|(item, _)| item.record).collect();
    if withheld.is_empty() {
        return;
    }
    for item in plan.send.extract_if(.., |item| withheld.contains(&item.record)) {
        let entry = ledger.state.manifest.get(item.key).copied();
        if let Some(entry) = entry.filter(|_| item.change == Change::Retracted) {
            let entry = entry.decided_by(item.decider).in_state(State::Unwanted);
            plan.notes.push(Known { entry, handle: item.handle });
            if ledger.unwanted.len() < WithheldReport::EXAMPLES {
                ledger.unwanted.push(example(&item, ledger.context.policy));
            }
            let names = ledger.context.policy.names(&item.indicator);
            ledger.unsettled.extend(names.into_iter().map(|name| name.key));
        }
    }
    let count = withheld.len() as u64;
    if circumstances.purpose == Purpose::Survey {
        ledger.surveyed += count;
    } else {
        ledger.kept_from_retraction += count;
        // How many wait in all is counted when the window ends.
        let waiting = ledger.state.progress.withheld.unwrap_or_default();
        ledger.state.progress.withheld = Some(waiting);
    }
}

/// What waits, and the numbers that speak against it.
fn example(item: &Planned, policy: &Policy) -> WithheldExample {
    let reason = match item.reason {
        Some(DropReason::Malformed) | None => DropReason::Malformed.word().to_owned(),
        Some(reason) => format!("{}: {}", reason.word(), policy.verdict(&item.indicator).detail),
    };
    WithheldExample {
        value: item.subject().value.into_owned(),
        indicator_type: item.indicator.observable.indicator_type(),
        reason,
    }
}

/// Whether its value must not stand where it makes endpoints act.
fn is_harmful(item: &Planned) -> bool {
    matches!(item.reason, Some(DropReason::Malformed | DropReason::Excluded))
}

/// Whether `item` takes back what this pass created, or the first sync. A source that keeps what it
/// said is read in the order in which it said it, so what it took back since comes and goes: that says nothing about the
/// source or the settings.
fn is_correction(ledger: &Ledger<'_>, item: &Planned) -> bool {
    let progress = &ledger.state.progress;
    let is_ours = |entry: &Entry| {
        !entry.fingerprint.is_adopted() && i64::from(entry.updated()) >= progress.begin.timestamp()
    };
    ledger.brought.contains(&item.key)
        || ledger.is_first_sync_of_the_past() && ledger.state.manifest.get(item.key).is_some_and(is_ours)
}

/// Notes a retraction that was acknowledged, of an indicator that stands in the manifest as `before`.
pub(super) fn note(ledger: &mut Ledger<'_>, item: &Planned, before: Option<Entry>, range: &Range) {
    let acts = ledger.context.lane.destination.limits().acts;
    let is_unlimited = is_harmful(item) && acts || is_correction(ledger, item);
    if !is_unlimited && before.is_none_or(|entry| entry.state() != State::Condemned) {
        let now = ledger.now();
        ledger.state.progress.note_retracted(range, now);
    }
}

/// Judges a survey that has come to its end.
pub(super) fn judge_survey(ledger: &mut Ledger<'_>) {
    if !ledger.state.progress.has_survey_to_judge() {
        return;
    }
    let (lane, now) = (ledger.context.lane, ledger.now());
    ledger.state.progress.note_refresh_read(&lane.policy.renewal, now);
    let (marked, held) = waiting(ledger);
    ledger.state.progress.judge_survey(marked, held, now);
    let surveyed = std::mem::take(&mut ledger.surveyed);
    // Those that the second reading retracts are read once more, and so is what expired meanwhile.
    ledger.kept_from_retraction += surveyed;
    let is_collected = |purpose| matches!(purpose, Purpose::Collection { .. });
    if ledger.state.progress.backfills.iter().any(|backfill| is_collected(backfill.purpose)) {
        info!(lane = lane.name, "{marked} of {held} indicators are no longer wanted and are retracted");
    }
}

/// Counts anew how many retractions wait, if any do: records may admit their indicators again, or these expire.
pub(super) fn recount(ledger: &mut Ledger<'_>) {
    if ledger.state.progress.withheld.is_none() {
        return;
    }
    let (waiting, held) = waiting(ledger);
    if waiting == 0 {
        info!(lane = ledger.context.lane.name, "no retraction waits for confirmation any more");
    }
    ledger.state.progress.wait_for(waiting, held);
}

/// Gives up what waits and whose records the source gives no more: without them the destination cannot be told of it, so it
/// stays until its validity ends, and keeps nothing else from being retracted.
///
/// # Errors
/// See [`Ledger::commit`].
pub(super) async fn give_up(ledger: &mut Ledger<'_>) -> Result<(), Halt> {
    let Context { source, lane, .. } = ledger.context;
    let (limits, now) = (source.limits(), ledger.began);
    if limits.recalls || ledger.state.progress.withheld.is_none() {
        return Ok(());
    }
    let earliest = limits.earliest(now).timestamp();
    let waiting = ledger.state.manifest.held_unwanted(now);
    let over = waiting.filter(|known| {
        known.entry.state() != State::RetractionRejected && i64::from(known.entry.updated()) < earliest
    });
    let over: Vec<Known> =
        over.map(|Known { entry, handle }| Known { entry: entry.in_state(State::Held), handle }).collect();
    if over.is_empty() {
        return Ok(());
    }
    let told = format!(
        "{} indicators that are no longer wanted waited for confirmation until {} gave them no more: they stay until their validity ends",
        over.len(),
        source.label()
    );
    warn!(lane = lane.name, "{told}");
    ledger.remarks.push(told);
    ledger.commit(over).await
}

/// Schedules the retraction of everything that waits, as an operator confirms; in a refresh of the last `span`, because
/// the destination must be told of each.
///
/// # Errors
/// See [`Ledger::commit`].
pub(super) async fn confirm(ledger: &mut Ledger<'_>, span: TimeDelta) -> Result<(), Halt> {
    let (context, now) = (ledger.context, ledger.began);
    let unwanted = ledger.state.manifest.held_unwanted(now);
    let confirmed: Vec<Known> = unwanted
        .map(|Known { entry, handle }| Known { entry: entry.in_state(State::Condemned), handle })
        .collect();
    let count = confirmed.len();
    if count == 0 {
        warn!(lane = context.lane.name, "no retraction waits for confirmation");
    }
    let done = format!("{count} indicators that are no longer wanted are retracted, as confirmed");
    info!(lane = context.lane.name, "{done}");
    ledger.remarks.push(done);
    let run_id = format!("{}-confirmed", context.pass.run_id);
    let progress = &mut ledger.state.progress;
    progress.schedule_refresh(run_id, Purpose::Confirmation, now, span, context.source.limits());
    progress.wait_for(0, 0);
    ledger.commit(confirmed).await
}

/// How many retractions wait, and how many indicators are held at all.
fn waiting(ledger: &mut Ledger<'_>) -> (u64, u64) {
    let now = ledger.now();
    if !ledger.context.policy.retract {
        return (0, 0);
    }
    let manifest = &mut ledger.state.manifest;
    let is_waiting = |known: &Known| known.entry.state() != State::Condemned;
    let waiting = manifest.held_unwanted(now).filter(is_waiting).count() as u64;
    (waiting, manifest.held(now))
}

/// Until when the first of those that wait can be confirmed, of a source that cannot be read again for good.
fn confirmable_until(ledger: &mut Ledger<'_>) -> Option<DateTime<Utc>> {
    let (limits, now) = (ledger.context.source.limits(), ledger.now());
    let oldest = ledger.state.manifest.held_unwanted(now).map(|known| known.entry.updated()).min()?;
    limits.readable_until(DateTime::from_timestamp(oldest.into(), 0)?)
}

/// Why a lane stalls whose retractions wait; `None`: none do.
pub(super) fn withheld_message(ledger: &mut Ledger<'_>) -> Option<String> {
    let Withheld { retractions, of } = ledger.state.progress.withheld?;
    let until = until_sentence(confirmable_until(ledger));
    Some(format!(
        "{retractions} of {of} indicators are no longer wanted, which is too many to be retracted unasked: everything else is delivered. If the settings, or the source's scores, are meant to do that, confirm it with POST /api/sync {{\"confirm_retraction\": true}} or mati-sync sync --confirm-retraction; if not, change the settings back{until}"
    ))
}
