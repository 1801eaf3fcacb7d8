//! Looks for what the destination acknowledged: at a pass's begin for what earlier passes delivered, at its end for what
//! this one did. What is missing is offered again, with everything that was acknowledged in one request with it.
//!
//! A look that fails fails nothing, and proves nothing: it is told, and made again in the next pass.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use super::{delivery::Delivery, halt::Halt, ledger::Ledger, reconciliation::Reconciler};
use crate::{
    clock::Deadline,
    destination::{ApiError, Reconciliation},
    domain::{
        arrival::{Arrivals, Awaited, CanaryState, Looked, Offer, Sighting},
        entry::{Entry, Known, State},
        fingerprint::Fingerprint,
        observable::IndicatorType,
        purpose::Purpose,
        window::Window,
    },
    http::traffic::Traffic,
    state::error::StateError,
};

/// The time for all looks at once: a destination that answers slowly is asked for the rest in the next pass.
const PATIENCE: Duration = Duration::from_secs(30);

/// From the first time to the last.
type Span = (DateTime<Utc>, DateTime<Utc>);

/// Looks for what earlier passes delivered, and notes what is to be offered again.
///
/// # Errors
/// The state cannot be read or written.
pub(super) async fn look_back<'a>(ledger: &mut Ledger<'a>, delivery: &mut Delivery<'a>) -> Result<(), Halt> {
    let context = ledger.context;
    let lane = context.lane;
    if context.lease.is_none() || !lane.verifies_arrival {
        return Ok(());
    }
    let stored = match context.store.arrivals(lane.name).await {
        Err(error @ StateError::Damaged { .. }) => {
            warn!(lane = lane.name, "what was to be looked for is lost: {error}");
            None
        }
        read => Some(read?),
    };
    // What a lane that begins finds there is of another destination.
    let is_of_here = |_: &&Arrivals| !ledger.state.is_new();
    ledger.arrival.known = stored.as_ref().filter(is_of_here).cloned().unwrap_or_default();
    ledger.arrival.stored = stored;
    if ledger.arrival.known.is_idle() {
        return Ok(());
    }
    let (now, manifest) = (ledger.now(), &ledger.state.manifest);
    ledger.arrival.known.forget_the_rest(now, |key| manifest.get(key).copied());
    if lane.destination.reconciliation() == Reconciliation::EachPass
        && !ledger.arrival.known.awaited.is_empty()
    {
        match delivery.reconcile(ledger).await {
            Err(Halt::Stalled(problem)) => note_problem(ledger, &problem),
            compared => compared?,
        }
    }
    look(ledger, delivery.reconciler(), |_| true).await;
    look_at_canary(ledger).await;
    offer_again(ledger).await
}

/// Looks for what this pass delivered, unless it has no time left; sends a canary if nothing was delivered for long.
/// What is not seen is remembered. That is no part of how the lane ends.
pub(super) async fn conclude<'a>(
    ledger: &mut Ledger<'a>,
    delivery: &mut Delivery<'a>,
    ended: &Result<(), Halt>,
) {
    let context = ledger.context;
    let Some(lease) = context.lease.filter(|_| context.lane.verifies_arrival) else { return };
    if matches!(ended, Err(Halt::Fenced(_) | Halt::Failed(_))) {
        return;
    }
    ledger.arrival.await_sample();
    if !ended.as_ref().is_err_and(Halt::is_pause) {
        let began = context.pass.started_at;
        let reconciler = delivery.reconciler();
        look(ledger, reconciler, |awaited| awaited.acknowledged >= began || awaited.missing.is_some()).await;
    }
    if matches!(ended, Ok(()) | Err(Halt::Withheld(_))) {
        send_canary(ledger).await;
    }
    let arrival = &ledger.arrival;
    if arrival.stored.as_ref() != Some(&arrival.known)
        && let Err(error) = context.store.write_arrivals(lease, context.lane.name, &arrival.known).await
    {
        warn!(lane = context.lane.name, "what is to be looked for was not written: {error}");
    }
    if ledger.arrival.remark.is_none() || ledger.arrival.report.missing == 0 {
        ledger.arrival.remark = remark(ledger);
    }
}

/// Looks for those that are `wanted`, as long as that goes well and there is time.
async fn look(ledger: &mut Ledger<'_>, reconciler: &Reconciler, wanted: impl Fn(&Awaited) -> bool) {
    let deadline = ledger.context.deadline.at_most(PATIENCE);
    let mut place = 0;
    while let Some(awaited) = ledger.arrival.known.awaited.get(place) {
        if !wanted(awaited) {
            place += 1;
            continue;
        }
        if deadline.check().is_err() {
            break;
        }
        let is_known_missing = awaited.missing.is_some();
        let sighting = match sighting(ledger, reconciler, awaited, &deadline).await {
            Ok(sighting) => sighting,
            Err(error) => {
                note_problem(ledger, &error.to_string());
                break;
            }
        };
        let now = ledger.now();
        let (lane, arrival) = (ledger.context.lane.name, &mut ledger.arrival);
        match arrival.known.look_at(place, sighting, now) {
            Looked::Seen { after, within } => {
                arrival.report.sampled += 1;
                arrival.seen.push((after, within));
                continue;
            }
            Looked::Missing if !is_known_missing => {
                arrival.report.sampled += 1;
                let Awaited { key, value, acknowledged, .. } = &arrival.known.awaited[place];
                let known = ledger.state.manifest.get(*key).and_then(Entry::indicator_type);
                let kind = known.map_or("unknown", IndicatorType::name);
                warn!(
                    lane,
                    value,
                    "type" = kind,
                    "{value} was acknowledged at {acknowledged} and has not arrived"
                );
            }
            Looked::NotYet => arrival.report.sampled += 1,
            Looked::Missing | Looked::Unclear => {}
        }
        place += 1;
    }
    let (missing, canary) = (ledger.arrival.known.missing().count() as u64, ledger.arrival.known.canary);
    let report = &mut ledger.arrival.report;
    report.missing = report.missing.max(missing);
    // What was seen after it says what the canary was to say.
    report.canary = report.canary.filter(|state| canary.is_some() || *state == CanaryState::Seen);
}

/// How the destination shows `awaited`: by its list, or asked for it alone.
async fn sighting(
    ledger: &Ledger<'_>,
    reconciler: &Reconciler,
    awaited: &Awaited,
    deadline: &Deadline,
) -> Result<Sighting, ApiError> {
    let destination = &ledger.context.lane.destination;
    match destination.reconciliation() {
        Reconciliation::Never => Ok(Sighting::Unclear),
        Reconciliation::EachPass => Ok(reconciler.sighting(awaited.key, awaited.acknowledged)),
        // What looking takes is no part of what delivering takes.
        Reconciliation::AtFirst => destination.look_up(awaited.id, deadline, &Traffic::default()).await,
    }
}

/// Notes that the destination could not be asked.
fn note_problem(ledger: &mut Ledger<'_>, problem: &str) {
    let problem = format!("what was acknowledged could not be looked for: {problem}");
    warn!(lane = ledger.context.lane.name, "{problem}");
    ledger.arrival.report.problem = Some(problem);
}

/// Marks what was acknowledged together with what is missing, so that it is sent at its next reading, and reads it again:
/// that the rest of the request arrived is not known.
async fn offer_again(ledger: &mut Ledger<'_>) -> Result<(), Halt> {
    let (now, began) = (ledger.now(), ledger.began);
    let offers = ledger.arrival.known.offer_again(now);
    ledger.arrival.remark = remark(ledger);
    if offers.is_empty() {
        return Ok(());
    }
    let (mut doubtful, mut ranges) = (Vec::new(), Vec::new());
    for offer in &offers {
        let (known, range) = doubt(ledger, offer, now);
        doubtful.extend(known);
        ranges.extend(range);
    }
    let limits = ledger.context.source.limits();
    for (number, (first, last)) in joined(ranges).into_iter().enumerate() {
        let run_id = format!("{}-missing-{}", ledger.context.pass.run_id, number + 1);
        let window = Window { from: first, to: last + TimeDelta::seconds(1) };
        ledger.state.progress.read_again(run_id, Purpose::Lookback, window, began, limits);
    }
    info!(lane = ledger.context.lane.name, "{} indicators are offered again", doubtful.len());
    ledger.commit(doubtful).await
}

/// The entries of a request that are held as they were sent last, in doubt; and the times between which the source updated
/// what was in it.
fn doubt(ledger: &Ledger<'_>, offer: &Offer, now: DateTime<Utc>) -> (Vec<Known>, Option<Span>) {
    let manifest = &ledger.state.manifest;
    let keys = offer.request.iter().flat_map(|(until, keys)| keys.iter().map(move |key| (*until, *key)));
    let (mut doubtful, mut times) = (Vec::new(), Vec::new());
    for (until, key) in keys {
        let Some(mut entry) = manifest.get(key).copied() else { continue };
        let is_as_sent = (offer.is_repeated || entry.valid_until == until) && entry.is_held(now);
        if is_as_sent && !entry.state().is_decided_against() {
            entry.fingerprint = Fingerprint::VOID;
            doubtful.push(Known { entry, handle: manifest.handle(key) });
        } else if entry.state() != State::Absent {
            continue;
        }
        times.extend(DateTime::from_timestamp(i64::from(entry.updated()), 0).filter(|_| entry.updated() > 0));
    }
    let range = times.iter().min().copied().zip(times.iter().max().copied());
    (doubtful, range)
}

/// Ranges of time, in their order, those that overlap as one.
fn joined(mut ranges: Vec<Span>) -> Vec<Span> {
    ranges.sort_unstable();
    ranges.dedup_by(|(from, to), (_, before)| {
        let overlaps = *from <= *before;
        if overlaps {
            *before = (*before).max(*to);
        }
        overlaps
    });
    ranges
}

/// What people should know of what has not arrived.
fn remark(ledger: &Ledger<'_>) -> Option<String> {
    let complaint = ledger.arrival.known.overview().complaint()?;
    Some(format!("accepted but not arrived: {} {complaint}", ledger.context.lane.destination.label()))
}

/// Looks for the canary that was sent before, if one was.
async fn look_at_canary(ledger: &mut Ledger<'_>) {
    if ledger.arrival.known.canary.is_none() {
        return;
    }
    let deadline = ledger.context.deadline.at_most(PATIENCE);
    match ledger.context.lane.destination.look_up_canary(&deadline).await {
        Ok(sighting) => {
            let now = ledger.now();
            ledger.arrival.report.canary = ledger.arrival.known.look_at_canary(sighting, now);
        }
        Err(error) => note_problem(ledger, &error.to_string()),
    }
}

/// Sends a canary, if one is due, and looks for it.
async fn send_canary(ledger: &mut Ledger<'_>) {
    let context = ledger.context;
    let now = ledger.now();
    if !context.lane.destination.takes_canaries() || !ledger.arrival.known.wants_canary(now) {
        return;
    }
    let deadline = context.deadline.at_most(PATIENCE);
    match context.lane.destination.send_canary(now, &deadline).await {
        Ok(()) => {
            ledger.arrival.known.await_canary(ledger.context.now());
            ledger.arrival.report.canary = Some(CanaryState::Awaited);
            look_at_canary(ledger).await;
        }
        Err(error) => note_problem(ledger, &format!("a canary was not accepted: {error}")),
    }
}
