//! What a month of a lane makes, by its sums and by what it holds.

use chrono::{DateTime, TimeDelta, Utc};
use tracing::warn;

use super::{Lane, context::Context, ledger::Ledger};
use crate::{
    domain::{
        cost::{self, Pace},
        days::Day,
        entry::Entry,
        progress::Progress,
        rows::{Change, Forecast},
        tally::ByType,
    },
    state::{error::StateError, store::Store},
};

/// A month of `lane` that comes to hold `held`.
pub(super) fn forecast(
    lane: &Lane,
    days: &[Day],
    progress: Option<&Progress>,
    held: &ByType,
    now: DateTime<Utc>,
) -> Forecast {
    let pace = Pace {
        expirations: lane.policy.expirations,
        renewal: lane.policy.renewal,
        refresh_took: progress.map_or(TimeDelta::zero(), Progress::refresh_took),
        refreshes: progress.is_none_or(|progress| progress.feeds.is_empty()),
    };
    cost::forecast(days, progress.and_then(|progress| progress.caught_up), held, &pace, now)
}

/// What a dry run finds out about the cost of the settings that it runs under.
pub(super) async fn of_dry_run(context: Context<'_>, ledger: &mut Ledger<'_>) -> Option<Change> {
    let Context { store, lane, .. } = context;
    if !lane.destination.limits().billed {
        return None;
    }
    let days = days(store, lane.name).await.ok()?;
    let now = context.now();
    // What waits for a confirmation belongs to what the settings call for.
    let is_wanted = |entry: &&Entry| entry.is_held(now) || entry.is_waiting(now);
    let wanted = ledger.state.manifest.entries().iter().filter(is_wanted);
    let mut after = ByType::default();
    wanted.for_each(|entry| after.add(entry.indicator_type()));
    let progress = &ledger.state.progress;
    let [before, after] =
        [&ledger.held_before, &after].map(|held| forecast(lane, &days, Some(progress), held, now));
    let counts = &ledger.counts;
    let once =
        counts.created + counts.updated + counts.retracted + counts.displaced + ledger.withheld.created;
    Some(Change::between(before, after, once))
}

/// The sums of the lane's days; damaged ones are lost.
///
/// # Errors
/// The state cannot be read.
pub(super) async fn days(store: &Store, lane: &str) -> Result<Vec<Day>, StateError> {
    match store.days(lane).await {
        Err(error @ StateError::Damaged { .. }) => {
            warn!("{error}");
            Ok(Vec::new())
        }
        read => read,
    }
}
