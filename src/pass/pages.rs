//! One window of the source: page after page, each decided about and delivered.

use chrono::{DateTime, Utc};
use tokio::{sync::Notify, time::Instant};
use tracing::{debug, warn};

use super::{
    creations,
    delivery::{Delivery, Until},
    halt::Halt,
    ledger::Ledger,
    reading::{Opened, Reading},
    retractions,
};
use crate::domain::{
    feeds::Account,
    filter::DropReason,
    indicator::Indicator,
    page::{About, Page},
    plan::{plan_malformed, plan_page},
    policy::{Circumstances, Named},
    window::{PlannedWindow, Range},
};

/// Reads a window page after page; the next page is fetched while this one uploads, and at the end the next window's
/// first. Returns the time, by our clock or the source's, whichever is behind, and what came of asking each feed.
///
/// # Errors
/// Why the lane cannot go on. What was read and is not settled then counts as left.
pub(super) async fn read<'a>(
    reading: &mut Reading<'a>,
    ledger: &mut Ledger<'a>,
    delivery: &mut Delivery<'a>,
    planned: &PlannedWindow,
    now: DateTime<Utc>,
) -> Result<(DateTime<Utc>, Account), Halt> {
    let context = ledger.context;
    let purpose = ledger.state.progress.purpose(&planned.range).word();
    debug!(
        lane = context.lane.name,
        purpose, "reading from {} to {}", planned.window.from, planned.window.to
    );
    context.gauge.enter(context.lane.name, planned.window);
    delivery.begin(planned.range.clone());
    let began = Instant::now();
    if planned.range != Range::Live {
        // What is read again is compared with what the destination holds in truth.
        delivery.reconcile(ledger).await?;
    }
    let Opened { mut reader, first, .. } = reading.take(planned).await;
    let limits = reading.limits();
    let mut next = match first {
        Ok(page) => page,
        Err(error) => {
            delivery.deliver_chosen(ledger, now, limits).await?;
            return Err(error.into());
        }
    };
    while let Some(page) = next {
        let fetched = Notify::new();
        let settled = async {
            settle_page(ledger, delivery, page, planned).await?;
            if delivery.selecting.is_due() {
                delivery.deliver_chosen(ledger, now, limits).await?;
            }
            delivery.go_on(ledger, Until::Called(&fetched)).await
        };
        let following = async {
            let following = reader.next_page(context.deadline).await;
            fetched.notify_one();
            following
        };
        let (settled, following) = tokio::join!(settled, following);
        settled?;
        next = match following {
            Ok(page) => page,
            Err(error) => {
                delivery.go_on(ledger, Until::Settled).await?;
                delivery.deliver_chosen(ledger, now, limits).await?;
                return Err(error.into());
            }
        };
    }
    let now = reading.earlier(now, &reader);
    reading.measure(planned.window, began.elapsed());
    let account = reader.account();
    drop(reader);
    let position = delivery.selecting.position(&ledger.state.progress);
    let coming = position.after(planned, &account, now, limits);
    let coming = coming.map(|planned| reading.open(reading.cut(planned)));
    let ahead = async { Some(coming?.await) };
    let (settled, ahead) = tokio::join!(delivery.go_on(ledger, Until::Settled), ahead);
    reading.keep(ahead);
    settled?;
    Ok((now, account))
}

/// Counts a page, decides about its records and delivers what is to be sent.
async fn settle_page<'a>(
    ledger: &mut Ledger<'a>,
    delivery: &mut Delivery<'a>,
    page: Page,
    planned: &PlannedWindow,
) -> Result<(), Halt> {
    let context = ledger.context;
    let policy = context.policy;
    let named = policy.named(page.indicators);
    // The plan compares with what is known, and of what is under way nothing is known yet.
    if named.iter().any(|named| delivery.knows(&named.names)) {
        delivery.go_on(ledger, Until::Settled).await?;
    }
    let purpose = ledger.state.progress.purpose(&planned.range);
    let circumstances = ledger.circumstances(purpose, planned.window.to);
    let named = delivery.choose(ledger, named, &circumstances).await?;
    ledger.counts.read += page.records;
    context.gauge.read(context.lane.name, page.records);
    let mut held_as = Vec::new();
    for unusable in page.unusable {
        ledger.counts.dropped.add(unusable.reason);
        held_as.extend(unusable.held_as.map(|indicator| *indicator));
        let (lane, id, detail, About { value, kind }) =
            (context.lane.name, unusable.id, unusable.detail, unusable.about);
        match unusable.reason {
            DropReason::Type => debug!(lane, value, "type" = kind, "{id} is passed over: {detail}"),
            _ => warn!(lane, value, "type" = kind, "{id} cannot be used: {detail}"),
        }
    }
    decide(ledger, delivery, named, held_as, &circumstances).await
}

/// Decides about records that were counted as read, and delivers what is to be sent. `held_as` is what an earlier version
/// made of records that are malformed by today's rules, and that are counted as dropped.
///
/// # Errors
/// Why the lane cannot go on.
pub(super) async fn decide<'a>(
    ledger: &mut Ledger<'a>,
    delivery: &mut Delivery<'a>,
    named: Vec<Named>,
    held_as: Vec<Indicator>,
    circumstances: &Circumstances,
) -> Result<(), Halt> {
    let (policy, manifest) = (ledger.context.policy, &mut ledger.state.manifest);
    let mut plan = plan_page(named, policy, manifest, circumstances, &mut ledger.counts);
    // `retracted` wins over `dropped`: what is retracted is no longer counted as that.
    ledger.counts.dropped.malformed -= plan_malformed(held_as, policy, manifest, circumstances, &mut plan);
    retractions::withhold(ledger, &mut plan, circumstances);
    if creations::is_near(ledger, &plan, circumstances.purpose, delivery.open()) {
        delivery.go_on(ledger, Until::Settled).await?;
    }
    creations::withhold(ledger, &mut plan, circumstances);
    delivery.deliver(ledger, plan).await
}
