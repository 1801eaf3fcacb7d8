//! A pass's part in the sums of its day.

use tracing::warn;

use super::context::Context;
use crate::{
    domain::{
        days::{self, Contribution},
        outcome::End,
        report::LaneReport,
        tally::ByType,
    },
    http::traffic::Traffic,
    state::{error::StateError, lease::Lease},
};

/// Adds what the lane did in this pass to its day. These sums are for people: the pass ends as it did if they cannot be
/// written, and a pass that is killed is missing in them.
pub(super) async fn note(context: Context<'_>, traffic: &Traffic, held: ByType, report: &LaneReport) {
    let Some(lease) = context.lease else { return };
    // After these the lane's memory is another's to write, or not to be trusted.
    if matches!(report.end, End::Fenced | End::Failed) {
        return;
    }
    let contribution = Contribution { at: context.now(), held, report, bytes: traffic.bytes() };
    if let Err(error) = write(context, lease, &contribution).await {
        warn!(lane = context.lane.name, "the sums of the day were not written: {error}");
    }
}

async fn write(context: Context<'_>, lease: &Lease, pass: &Contribution<'_>) -> Result<(), StateError> {
    let (store, lane) = (context.store, context.lane.name);
    let mut days = match store.days(lane).await {
        Err(error @ StateError::Damaged { .. }) => {
            warn!(lane, "the sums of earlier days are lost: {error}");
            Vec::new()
        }
        read => read?,
    };
    if days::add(&mut days, pass) {
        store.write_days(lease, lane, &days).await?;
    }
    Ok(())
}
