//! A source of several feeds, as a lane begins to read it, and what people are told of its feeds.

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use super::{halt::Halt, ledger::Ledger};
use crate::{domain::feeds::Loss, source::Standing};

/// Two clocks that differ by less than this agree.
const TOLERANCE: TimeDelta = TimeDelta::minutes(2);

/// Follows the source of the settings, and begins to read what is new, at `now`. Returns the time, by our clock or the
/// source's, whichever is behind.
pub(super) async fn start(ledger: &mut Ledger<'_>, mut now: DateTime<Utc>) -> DateTime<Utc> {
    let context = ledger.context;
    let (source, limits) = (context.source, context.source.limits());
    let names = source.feeds();
    if !names.is_empty() {
        let Standing { at, quota } = source.standing(context.deadline).await;
        ledger.state.progress.quota = quota.or(ledger.state.progress.quota);
        if let Some(theirs) = at.filter(|theirs| *theirs + TOLERANCE < now) {
            warn!(
                lane = context.lane.name,
                "the clock here is ahead of {}'s, which says {theirs}: this pass reads only up to then",
                source.label()
            );
            ledger.state.progress.set_back(&context.pass.run_id, now - theirs, theirs, limits);
            now = theirs;
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
    } else {
        ledger.state.progress.start_live(now, limits);
    }
    now
}

/// Notes that the lane reads the source of the settings; with another one than before it begins where that one stood.
pub(super) fn follow(ledger: &mut Ledger<'_>) {
    let (lane, source) = (ledger.context.lane.name, ledger.context.source);
    let before = ledger.state.progress.source.clone();
    if ledger.state.progress.follow_source(source.name(), source.limits()) {
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
