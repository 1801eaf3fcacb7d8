//! A source of several feeds, as a lane begins to read it, and what people are told of its feeds.

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use super::{context::Context, halt::Halt, ledger::Ledger};
use crate::{domain::feeds::Loss, source::Standing};

/// Two clocks that differ by less than this agree.
const TOLERANCE: TimeDelta = TimeDelta::minutes(2);

/// Asks a source of several feeds for the time, before anything is begun by ours, and what is used of its quota.
pub(super) async fn ask(ledger: &mut Ledger<'_>) {
    let Context { source, pass, lane, deadline, .. } = ledger.context;
    if source.feeds().is_empty() {
        return;
    }
    let Standing { at, quota } = source.standing(deadline).await;
    ledger.state.progress.quota = quota.or(ledger.state.progress.quota);
    let Some(theirs) = at.filter(|theirs| (*theirs - pass.started_at).abs() > TOLERANCE) else { return };
    let (side, goes_by) = match theirs < pass.started_at {
        true => ("ahead of", "this pass reads only up to then"),
        false => ("behind", "packages are kept and made by that one"),
    };
    warn!(lane = lane.name, "the clock here is {side} {}'s, which says {theirs}: {goes_by}", source.label());
    ledger.began = theirs;
}

/// Begins to read what is new. Returns the time, by the source's clock if that is known to be another.
pub(super) fn start(ledger: &mut Ledger<'_>) -> DateTime<Utc> {
    let context = ledger.context;
    let (source, limits, now) = (context.source, context.source.limits(), ledger.began);
    let names = source.feeds();
    if names.is_empty() {
        ledger.state.progress.start_live(now, limits);
        return now;
    }
    let ahead = context.pass.started_at - now;
    if ahead > TimeDelta::zero() {
        ledger.state.progress.forget_the_future(ahead, now, limits);
    }
    let is_first = ledger.state.progress.watermark == ledger.state.progress.begin;
    let (begin, earliest) = (ledger.state.progress.begin, limits.earliest(now));
    if is_first && begin < earliest {
        ledger.remarks.push(format!(
            "{} keeps what it lists for {} days: the days from {} to {} cannot be read",
            source.label(),
            limits.reach.num_days(),
            begin.format("%Y-%m-%d"),
            earliest.format("%Y-%m-%d")
        ));
    }
    let lost = ledger.state.progress.start_feeds(&names, now, limits);
    note_losses(ledger, &lost);
    now
}

/// Notes that the lane reads the source of the settings; with another one than before it begins where that one stood.
pub(super) fn follow(ledger: &mut Ledger<'_>) {
    let (lane, source) = (ledger.context.lane.name, ledger.context.source);
    let before = ledger.state.progress.source.clone();
    if ledger.state.progress.follow_source(source.name(), ledger.began, source.limits()) {
        info!(
            lane,
            "the source is {} now, and was {}: the lane goes on where it stood, at {}",
            source.name(),
            before.as_deref().unwrap_or("another"),
            ledger.state.progress.watermark
        );
    }
}

/// Notes for the report what the source could no longer give.
pub(super) fn note_losses(ledger: &mut Ledger<'_>, lost: &[Loss]) {
    for Loss { what, from, to } in lost {
        warn!(
            lane = ledger.context.lane.name,
            "{} gave not everything from {from} to {to}: {what}",
            ledger.context.source.label()
        );
    }
    ledger.losses.extend(lost.iter().cloned());
}

/// What people are told of the feeds when the lane has caught up.
///
/// # Errors
/// The source lets us read none.
pub(super) fn conclude(ledger: &mut Ledger<'_>) -> Result<(), Halt> {
    let (source, feeds) = (ledger.context.source, &ledger.state.progress.feeds);
    let remark = feeds.remark(source.limits());
    if feeds.are_all_closed() {
        return Err(Halt::Stalled(format!(
            "{} lets us read none of its lists: {}",
            source.label(),
            remark.unwrap_or_default()
        )));
    }
    ledger.remarks.extend(remark);
    Ok(())
}
