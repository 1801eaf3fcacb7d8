//! What a lane's part in a pass begins with: requests noted, a refresh scheduled when one is due.

use chrono::TimeDelta;
use tracing::info;

use super::{
    Lane, arrival, context::Context, creations, delivery::Delivery, exclusions, halt::Halt, ledger::Ledger,
    rejections::retry, retractions,
};
use crate::domain::{
    purpose::{Backfill, Purpose},
    rows::counted,
    window::{Limits, Window},
};

/// A refresh reads at least as much again.
const SHORTEST_REFRESH: TimeDelta = TimeDelta::days(30);

/// Notes in the lane's progress what this pass is to do beside the live range.
///
/// # Errors
/// Why the lane cannot go on.
pub(super) async fn begin<'a>(ledger: &mut Ledger<'a>, delivery: &mut Delivery<'a>) -> Result<(), Halt> {
    let context = ledger.context;
    context.lane.destination.take_over();
    if ledger.state.is_new() {
        ledger.state.progress.audit.last.get_or_insert(context.pass.started_at);
    }
    delivery.reconciler().adopt(ledger).await?;
    prepare_limits(ledger).await?;
    delivery.reconciler().follow_new_rules(ledger).await?;
    Box::pin(arrival::look_back(ledger, delivery)).await?;
    let before = ledger.state.progress.clone();
    retry::deliver_foreign(ledger, delivery).await?;
    let wants_refresh = exclusions::follow(ledger, delivery).await?;
    if schedule_refresh(ledger, wants_refresh) || before != ledger.state.progress {
        ledger.commit(Vec::new()).await?;
    }
    let order = &context.pass.order;
    if !order.asks_for_more() || ledger.state.progress.knows_request(&context.pass.run_id) {
        return Ok(());
    }
    if order.retry_rejected {
        retry::retry_rejected(ledger, delivery).await?;
    }
    if order.confirm_retraction {
        retractions::confirm(ledger, refresh_span(context.lane, context.source.limits())).await?;
    }
    if order.confirm_creation {
        creations::confirm(ledger).await?;
    }
    if order.rebuild || order.lookback_days.is_some() {
        note_backfill(ledger);
    } else {
        ledger.state.progress.mark_applied(&context.pass.run_id);
    }
    if order.rebuild {
        // Void what is known of the contents, durably and at once: then a rebuild that is interrupted goes on
        // like any other reading, and sends nothing twice.
        ledger.state.manifest.void();
        if let Some(lease) = context.lease {
            ledger.state.compact(lease, context.pass.started_at).await?;
        }
        return Ok(());
    }
    ledger.commit(Vec::new()).await
}

/// Measures what is held before anything is retracted or created; what waits is counted anew.
///
/// # Errors
/// See [`Ledger::commit`].
pub(super) async fn prepare_limits(ledger: &mut Ledger<'_>) -> Result<(), Halt> {
    retractions::give_up(ledger).await?;
    prepare_retraction_limit(ledger);
    creations::prepare(ledger).await
}

fn prepare_retraction_limit(ledger: &mut Ledger<'_>) {
    let now = ledger.began;
    if ledger.state.progress.unasked.is_new() {
        let held = ledger.state.manifest.held(now);
        let progress = &mut ledger.state.progress;
        progress.unasked.note_held(now, held);
        if progress.withheld.is_some() && ledger.context.policy.retract {
            // A version without marks withheld them: which they are, a survey finds.
            progress.want_refresh(ledger.context.source.limits());
        }
    }
    retractions::recount(ledger);
}

fn note_backfill(ledger: &mut Ledger<'_>) {
    let Context { lane, pass, source, .. } = ledger.context;
    let lookback =
        pass.order.lookback_days.map_or(lane.initial_lookback, |days| TimeDelta::days(days.into()));
    let (limits, run_id) = (source.limits(), pass.run_id.clone());
    let purpose = if pass.order.rebuild { Purpose::Rebuild } else { Purpose::Lookback };
    let now = ledger.began;
    let window = Window { from: now - lookback, to: now };
    ledger.state.progress.read_again(run_id, purpose, window, now, limits);
}

/// Schedules a refresh if one is due by time, or because the settings call for other indicators or another form of them.
/// True if anything is to be committed.
fn schedule_refresh(ledger: &mut Ledger<'_>, exclusions_have_changed: bool) -> bool {
    let context = ledger.context;
    let Context { lane, pass, source, .. } = context;
    let (progress, now) = (&mut ledger.state.progress, ledger.began);
    let has_changed = progress.settings_hash != lane.settings_hash;
    let period = context.policy.renewal.period(progress.refresh_took());
    if !has_changed && !exclusions_have_changed && !progress.wants_refresh(now, period) {
        return false;
    }
    let limits = source.limits();
    let span = refresh_span(lane, limits);
    if !limits.recalls {
        return has_changed && read_again(ledger, span);
    }
    info!(
        lane = lane.name,
        "everything that {} updated in the last {} is read again: {}",
        source.label(),
        counted(span.num_days().unsigned_abs(), "day"),
        if has_changed {
            "settings have changed"
        } else if exclusions_have_changed {
            "lists of exclusions have changed"
        } else {
            "it is time"
        }
    );
    progress.settings_hash.clone_from(&lane.settings_hash);
    if has_changed {
        progress.settings_changed = Some(now);
    }
    let run_id = format!("{}-refresh", pass.run_id);
    progress.schedule_refresh(run_id, Purpose::Survey, now, span, source.limits());
    true
}

/// Reads again what the source still keeps, because settings have changed. It is no refresh: what the source says nothing
/// of any more ends with its validity.
fn read_again(ledger: &mut Ledger<'_>, span: TimeDelta) -> bool {
    let Context { lane, pass, source, .. } = ledger.context;
    let (progress, now) = (&mut ledger.state.progress, ledger.began);
    let told = format!(
        "settings have changed: what {} listed in the last {} is read again. What is held and was listed before ages out unless it is listed again",
        source.label(),
        counted(span.num_days().unsigned_abs(), "day")
    );
    info!(lane = lane.name, "{told}");
    progress.settings_hash.clone_from(&lane.settings_hash);
    progress.settings_changed = Some(now);
    let (limits, run_id) = (source.limits(), format!("{}{}", pass.run_id, Backfill::SETTINGS));
    progress.read_again(run_id, Purpose::Lookback, Window { from: now - span, to: now }, now, limits);
    ledger.remarks.push(told);
    true
}

/// How far back a refresh reads.
pub(super) fn refresh_span(lane: &Lane, limits: Limits) -> TimeDelta {
    lane.initial_lookback.max(SHORTEST_REFRESH).min(limits.reach)
}
