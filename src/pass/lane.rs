//! One lane's part in a pass: window after window, until the lane catches up or time runs out.

use std::{collections::BTreeMap, panic::AssertUnwindSafe};

use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use tracing::{info, warn};

use super::{
    arrival, audit,
    begin::begin,
    context::Context,
    continuation::worth_a_continuation,
    creations::{self, waiting_message},
    days,
    delivery::Delivery,
    feeds, forecast,
    halt::{Halt, described},
    ledger::Ledger,
    pages,
    reading::Reading,
    retractions::{self, withheld_message},
};
use crate::{
    domain::{
        expiry::Lapse,
        outcome::{Counts, End},
        report::{ByType, LaneReport, WithheldReport},
        tally::Tally,
        window::PlannedWindow,
    },
    http::traffic::Traffic,
    state::{
        commit::{LaneState, Origin},
        error::StateError,
        lease::Lease,
    },
};

/// Does the lane's whole part, and reports how it ended.
pub(super) async fn run(context: Context<'_>) -> (&'static str, LaneReport) {
    let traffic = Traffic::default();
    let (mut ledger, mut continues) = (None, None);
    // A defect ends this lane with a report, and no other lane. What is committed stays; the rest is forgotten.
    let part = AssertUnwindSafe(run_lane(context, &traffic, &mut ledger, &mut continues));
    let ended = part.catch_unwind().await.unwrap_or_else(|defect| {
        ledger.as_mut().into_iter().for_each(Ledger::leave_the_rest);
        Err(Halt::Failed(described(&*defect)))
    });
    // A defect may have left the manifest in any state: it is not looked at again, and neither is one that is overtaken.
    let is_sound = context.lease.is_some() && !matches!(ended, Err(Halt::Fenced(_) | Halt::Failed(_)));
    let mut sound = ledger.as_mut().filter(|_| is_sound);
    let held = sound.as_mut().map(|ledger| Tally::of(ledger.state.manifest.entries(), context.now()).held);
    let lapse = match &ended {
        Err(Halt::Stalled(_) | Halt::PagesLost(_)) => sound.and_then(first_lapse),
        _ => None,
    };
    let is_whole = matches!(ended, Ok(()) | Err(Halt::Withheld(_)));
    let cost = match ledger.as_mut().filter(|_| context.lease.is_none() && is_whole) {
        Some(ledger) => forecast::of_dry_run(context, ledger).await,
        None => None,
    };
    let mut report = LaneReport { cost, ..report(context, &traffic, ledger, continues, ended) };
    if let (Some(lapse), Some(message)) = (lapse, &mut report.message) {
        message.push_str(&format!(". {lapse}"));
    }
    report.held = held.map(|held| held.total());
    if let Some(held) = held {
        days::note(context, &traffic, held, &report).await;
    }
    (context.lane.name, report)
}

/// The report of a lane that could not begin.
pub(super) fn halted(halt: Halt) -> LaneReport {
    let (end, message) = halt.end();
    LaneReport::ended(end, Some(message))
}

/// The lane's part. `ledger` and `continues`, the chain that the lane goes on with, outlive a defect.
async fn run_lane<'a>(
    context: Context<'a>,
    traffic: &'a Traffic,
    ledger: &mut Option<Ledger<'a>>,
    continues: &mut Option<String>,
) -> Result<(), Halt> {
    let state = load(&context).await?;
    let ledger = ledger.insert(Ledger::new(context, traffic, state));
    if context.lease.is_none() {
        ledger.held_before = Tally::of(ledger.state.manifest.entries(), context.now()).held;
    }
    let mut delivery = Delivery::new();
    let worked = work(ledger, &mut delivery).await;
    let ended = settle(ledger, &mut delivery, continues, worked).await;
    Box::pin(arrival::conclude(ledger, &mut delivery, &ended)).await;
    ledger.counts.left += delivery.open();
    ended
}

/// Until when a lane that stalls must deliver again, so that nothing lapses.
fn first_lapse(ledger: &mut Ledger<'_>) -> Option<String> {
    let renewed_until = ledger.state.progress.last_refresh.map(|last| last.until);
    let lapse = ledger.state.manifest.first_lapse(renewed_until)?;
    Some(Lapse { lapse, now: ledger.now() }.to_string())
}

/// The lane's state as it is stored.
///
/// # Errors
/// It cannot be read.
pub(super) async fn load(context: &Context<'_>) -> Result<LaneState, StateError> {
    let Context { store, lane, pass, source, .. } = context;
    let origin = Origin {
        target: lane.target.clone(),
        settings_hash: lane.settings_hash.clone(),
        begin: pass.started_at - lane.initial_lookback,
        now: pass.started_at,
        first_window: source.limits().longest,
    };
    LaneState::load(store, lane.name, &pass.run_id, origin, pass.order.rebuild).await
}

/// Window after window.
async fn work<'a>(ledger: &mut Ledger<'a>, delivery: &mut Delivery<'a>) -> Result<(), Halt> {
    let context = ledger.context;
    let Context { pass, source, .. } = context;
    let limits = source.limits();
    let mut now = pass.started_at;
    // The first pass of the lane had a clock that was ahead, and heard nothing from the source that set it right.
    let ahead = ledger.state.progress.created.map(|created| created - now);
    if let Some(ahead) = ahead.filter(|ahead| *ahead > TimeDelta::zero()) {
        ledger.state.progress.set_back(&pass.run_id, ahead, now, limits);
    }
    Box::pin(feeds::ask(ledger)).await;
    feeds::follow(ledger);
    begin(ledger, delivery).await?;
    ledger.has_moved();
    now = feeds::start(ledger);
    ledger.look_from_here();
    // A record that is not admitted may speak against what is held, or against an older record of the same value.
    let mut reading = Reading::new(source, context.deadline, !context.policy.retract);
    loop {
        now = Box::pin(read_all(&mut reading, ledger, delivery, now)).await?;
        if !Box::pin(audit::follow(ledger)).await? {
            break;
        }
    }
    feeds::conclude(ledger)?;
    let retractions = withheld_message(ledger);
    let creations = ledger
        .state
        .progress
        .waiting
        .as_ref()
        .map(|waiting| waiting_message(waiting, limits.readable_until(waiting.oldest)));
    let messages: Vec<String> = retractions.into_iter().chain(creations).collect();
    if messages.is_empty() { Ok(()) } else { Err(Halt::Withheld(messages.join(". "))) }
}

/// Reads window after window until nothing is left. Returns the time, by our clock or the source's, whichever is behind.
async fn read_all<'a>(
    reading: &mut Reading<'a>,
    ledger: &mut Ledger<'a>,
    delivery: &mut Delivery<'a>,
    mut now: DateTime<Utc>,
) -> Result<DateTime<Utc>, Halt> {
    let context = ledger.context;
    let Context { lane, pass, source, .. } = context;
    let limits = source.limits();
    loop {
        // The time passes in windows without records, too.
        if delivery.selecting.is_due() {
            delivery.deliver_chosen(ledger, now, limits).await?;
        }
        let Some(whole) = delivery.selecting.position(&ledger.state.progress).next_window(now, limits) else {
            if !delivery.selecting.has_windows() {
                break;
            }
            delivery.deliver_chosen(ledger, now, limits).await?;
            continue;
        };
        if delivery.selecting.differs_from(&whole) {
            delivery.deliver_chosen(ledger, now, limits).await?;
            continue;
        }
        let planned = reading.cut(whole.clone());
        context.lease.map_or(Ok(()), Lease::check)?;
        context.deadline.check()?;
        if let Some(gap) = planned.out_of_reach {
            warn!(
                lane = lane.name,
                "{} answers only for the last {} days: the lane skips what it updated from {} to {} and not since",
                source.label(),
                limits.reach.num_days() + 1,
                gap.from,
                gap.to
            );
        }
        let read = pages::read(reading, ledger, delivery, &planned, now).await;
        // A pass whose lease ran out has no time left either, but that is not why it ends.
        if let Err(Halt::OutOfTime(_)) = &read {
            context.lease.map_or(Ok(()), Lease::check)?;
        }
        let account = match read {
            Ok((then, account)) if then < now => {
                delivery.deliver_chosen(ledger, now, limits).await?;
                let begins_anew = ledger.state.progress.set_back(&pass.run_id, now - then, then, limits);
                now = then;
                if begins_anew {
                    continue;
                }
                account
            }
            Ok((_, account)) => account,
            // A shorter window has fewer later pages.
            Err(Halt::PagesLost(_)) if ledger.state.progress.halve_window(planned.window, limits) => continue,
            // It was a remainder that should have fitted: that says nothing about the next pass.
            Err(Halt::OutOfTime(out_of_time))
                if out_of_time.last_error.is_none()
                    && planned == whole
                    && !has_sent_nothing(ledger, delivery) =>
            {
                return Err(shortened(ledger, &planned, Halt::OutOfTime(out_of_time)));
            }
            Err(halt) => return Err(halt),
        };
        delivery.end_window(ledger, planned, account, now, limits).await?;
    }
    Ok(now)
}

/// Makes the end durable: what a pause needs to be continued, or that nothing is to be continued.
async fn settle<'a>(
    ledger: &mut Ledger<'a>,
    delivery: &mut Delivery<'a>,
    continues: &mut Option<String>,
    worked: Result<(), Halt>,
) -> Result<(), Halt> {
    let context = ledger.context;
    let Some(lease) = context.lease else { return worked };
    if matches!(worked, Err(Halt::Fenced(_) | Halt::Failed(_))) {
        return worked;
    }
    let before_this = if context.pass.continued().is_some() { ledger.state.progress.fruitless } else { 0 };
    let is_fruitful = context.deadline.is_stopped() || ledger.has_moved();
    let (fruitless, worked) = worth_a_continuation(worked, is_fruitful, before_this, context.lane.name);
    ledger.state.progress.fruitless = fruitless;
    let paused = worked.as_ref().is_err_and(Halt::is_pause);
    let now = ledger.now();
    let before = ledger.state.progress.clone();
    if let Err(halt) = audit::conclude(ledger).await {
        warn!(lane = context.lane.name, "what was repaired was not counted: {halt:?}");
    }
    retractions::recount(ledger);
    creations::recount(ledger);
    if let Err(halt) = delivery.store_control(ledger).await {
        warn!(lane = context.lane.name, "the control object was not stored: {halt:?}");
    }
    let held = ledger.state.manifest.held(now);
    let progress = &mut ledger.state.progress;
    *continues = progress.continues.take().filter(|_| context.pass.continued().is_some());
    progress.continuation_id = paused.then(|| context.continuation_id.to_owned());
    progress.continues =
        paused.then(|| continues.clone().unwrap_or_else(|| context.pass.origin().to_owned()));
    progress.unasked.note_held(now, held);
    if matches!(worked, Ok(()) | Err(Halt::Withheld(_))) {
        progress.caught_up.get_or_insert(now);
    }
    if worked.is_err() || ledger.state.progress != before {
        match (ledger.commit(Vec::new()).await, &worked) {
            (Err(halt), Ok(())) => return Err(halt),
            (Err(halt), Err(ended)) if ended.is_pause() => return Err(halt),
            // What stalled the lane is told; the rest is in the log.
            (Err(halt), _) => warn!(lane = context.lane.name, "the lane's end was not committed: {halt:?}"),
            (Ok(()), _) => {}
        }
    }
    // Nothing is left to read, whatever waits for confirmation.
    if matches!(worked, Ok(()) | Err(Halt::Withheld(_))) {
        if ledger.state.wants_compaction(now) {
            ledger.counts.aged_out += ledger.state.compact(lease, now).await? as u64;
        }
        let listed = ledger.state.listed();
        if let Err(error) = context.store.tidy(lease, context.lane.name, &listed, now).await {
            warn!(lane = context.lane.name, "what is kept no longer was not removed: {error}");
        }
    }
    worked
}

/// Records wait, and no request was made: what was missing is a place under the rate limit, and a shorter window
/// gives none.
fn has_sent_nothing(ledger: &Ledger<'_>, delivery: &Delivery<'_>) -> bool {
    let [requests, ..] = ledger.traffic.numbers();
    requests == 0 && ledger.counts.left + ledger.kept_from_retraction + delivery.open() > 0
}

/// The window could not be read whole in the time of this pass: the next ones are shorter.
fn shortened(ledger: &mut Ledger<'_>, planned: &PlannedWindow, out_of_time: Halt) -> Halt {
    let Context { source, lane, .. } = ledger.context;
    let limits = source.limits();
    // A window that cannot be shorter goes on in the next pass, where what was sent already is known.
    if limits.grain == limits.longest || ledger.state.progress.halve_window(planned.window, limits) {
        return out_of_time;
    }
    Halt::Stalled(format!(
        "a single second of {}'s feed ({}) cannot be read within one pass: raise functionTimeout in host.json, or the rate limit of {} if it was lowered",
        source.label(),
        planned.window.to,
        lane.name
    ))
}

/// How the lane ended.
fn report(
    context: Context<'_>,
    traffic: &Traffic,
    mut ledger: Option<Ledger<'_>>,
    continues: Option<String>,
    ended: Result<(), Halt>,
) -> LaneReport {
    let arrival = ledger.as_mut().map(|ledger| std::mem::take(&mut ledger.arrival)).unwrap_or_default();
    let not_arrived = arrival.remarks();
    let (delivered, arrival) = arrival.conclude();
    let (lane, has_rules) = (context.lane.name, context.lane.destination.has_rules());
    let (mut counts, by_type, matchable, excluded_by, withheld, watermark, losses, audit, remarks) =
        match ledger {
            Some(ledger) => {
                let counts = ledger.conclude();
                let progress = &ledger.state.progress;
                let retracted = progress.withheld.map_or(0, |withheld| withheld.retractions);
                let mut withheld = WithheldReport { retracted, ..ledger.withheld };
                for example in ledger.unwanted.into_iter().filter(|_| retracted > 0) {
                    withheld.add_example(|| example);
                }
                let watermark = Some(progress.watermark);
                let Ledger { by_type, matchable, excluded_by, losses, audit, remarks, .. } = ledger;
                (counts, by_type, matchable, excluded_by, withheld, watermark, losses, audit, remarks)
            }
            None => {
                let matchable = has_rules.then_some(0);
                let withheld = WithheldReport::default();
                (
                    Counts::default(),
                    ByType::new(),
                    matchable,
                    BTreeMap::new(),
                    withheld,
                    None,
                    Vec::new(),
                    None,
                    Vec::new(),
                )
            }
        };
    [counts.requests, counts.throttled, counts.retried] = traffic.numbers();
    let caught_up = ended.is_ok();
    let waits = matches!(ended, Err(Halt::Withheld(_)));
    let (end, told) = match ended.map_err(Halt::end) {
        Ok(()) => (End::CaughtUp, [remarks, not_arrived].concat()),
        Err((End::Stalled, message)) => (End::Stalled, [vec![message], not_arrived].concat()),
        Err((end, message)) => (end, vec![message]),
    };
    let message = (!told.is_empty()).then(|| told.join(". "));
    info!(lane, run_id = context.pass.run_id, "lane {lane} ended {}", end.name());
    let mut report = LaneReport {
        end,
        message,
        counts,
        by_type,
        matchable,
        excluded_by,
        watermark,
        withheld,
        arrival,
        delivered,
        cost: None,
        waits,
        held: None,
        audit,
        losses,
        continues,
    };
    // A defect of ours that nothing else shows: the numbers are left as they are, for they are the evidence.
    let adds_up = report.adds_up() && (!caught_up || counts.left == 0);
    if !adds_up && matches!(end, End::CaughtUp | End::Paused | End::Stalled) {
        (report.end, report.message) = (End::Failed, Some(unaccounted(&report)));
    }
    report
}

/// That records have no fate, or more than one.
fn unaccounted(LaneReport { counts, withheld, .. }: &LaneReport) -> String {
    format!(
        "mati-sync met a defect, please report it to its maintainers: of {} records that were read, {} have a fate and {} are left",
        counts.read,
        counts.settled() + withheld.created,
        counts.left
    )
}
