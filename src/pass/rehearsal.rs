//! What a pass would do, found out by doing it without a lease: nothing is sent, and nothing is written.

use super::{
    begin, delivery::Delivery, halt::Halt, ledger::Ledger, pages, reconciliation::Reconciler, retractions,
};
use crate::domain::{
    entry::{Handle, Rank},
    explain::Outlook,
    indicator::Indicator,
    observable::{Key, Observable},
    outcome::{Change, Counts, RecordOutcome},
    page::Unusable,
    plan::{Planned, plan_excluded},
    purpose::Purpose,
};

impl<'a> Delivery<'a> {
    /// Counts and remembers what would be sent, so that it counts once. What the destination has no room for would not be
    /// sent.
    ///
    /// # Errors
    /// Why the lane cannot go on.
    pub(super) async fn count_only(
        &mut self,
        ledger: &mut Ledger<'a>,
        mut planned: Vec<Planned>,
    ) -> Result<(), Halt> {
        let removed: Vec<Planned> = planned.extract_if(.., |item| item.change.removes()).collect();
        for item in removed {
            self.settle(ledger, &item, RecordOutcome::Acknowledged(item.handle));
        }
        for item in self.admit(ledger, planned).await? {
            // As if the destination had numbered it: a better one may make it leave.
            let numbered = Handle::Numbered { id: 0, rank: item.rank() };
            let handle = item.handle.or(self.reconciler.is_limited().then_some(numbered));
            self.settle(ledger, &item, RecordOutcome::Acknowledged(handle));
        }
        ledger.commit(std::mem::take(&mut self.settled)).await
    }
}

/// What is known of one value: its records, and the value itself if a list excludes it and the source lists it no more.
pub(super) struct Part<'r> {
    pub indicators: &'r [Indicator],
    pub unusable: &'r [Unusable],
    pub excluded: Vec<Observable>,
}

/// What would become of it.
#[derive(Default)]
pub(super) struct Rehearsed {
    pub outlook: Outlook,
    /// What would make way for it, as it is known.
    pub displaced: Vec<(Key, Option<Handle>)>,
    /// The weakest of ours, if the destination cannot hold everything and was asked what it holds.
    pub weakest: Option<Rank>,
    /// How many more the lane creates and retracts unasked; `None`: as many as there are.
    pub creations_left: Option<u64>,
    pub retractions_left: u64,
    /// The destination could not be asked what it holds, so that it is told as if there were room.
    pub problem: Option<String>,
}

/// Does what the next pass that reads `part` does about it, before it meets anything else.
///
/// # Errors
/// Why the lane cannot go on.
pub(super) async fn rehearse(ledger: &mut Ledger<'_>, part: &Part<'_>) -> Result<Rehearsed, Halt> {
    let mut delivery = Delivery::new();
    let mut problem = None;
    begin::prepare_limits(ledger).await?;
    let (now, progress) = (ledger.now(), &ledger.state.progress);
    let retractions_left = progress.unasked.retractions_left(now, progress.created);
    let creations_left = progress.unasked.creations_left(now, progress.created);
    let creations_left = progress.caught_up.map(|_| creations_left);
    if let Err(halt) = decide(ledger, &mut delivery, part).await {
        problem = Some(halt.end().1);
        (ledger.counts, ledger.kept_from_retraction) = (Counts::default(), 0);
        delivery = Delivery::new();
        delivery.reconciler = Reconciler::blind();
        decide(ledger, &mut delivery, part).await?;
    }
    let capacity = delivery.reconciler.capacity();
    Ok(Rehearsed {
        outlook: outlook(ledger),
        displaced: delivery.reconciler.made_way().to_vec(),
        weakest: capacity.and_then(|capacity| capacity.weakest()),
        creations_left,
        retractions_left,
        problem,
    })
}

async fn decide<'a>(
    ledger: &mut Ledger<'a>,
    delivery: &mut Delivery<'a>,
    part: &Part<'_>,
) -> Result<(), Halt> {
    delivery.reconciler.adopt(ledger).await?;
    let policy = ledger.context.policy;
    let circumstances = ledger.circumstances(Purpose::Live, ledger.now());
    let mut plan = plan_excluded(part.excluded.clone(), policy, &ledger.state.manifest, &circumstances);
    if !plan.send.is_empty() {
        retractions::withhold(ledger, &mut plan, &circumstances);
        return delivery.deliver(ledger, plan).await;
    }
    part.unusable.iter().for_each(|unusable| ledger.counts.dropped.add(unusable.reason));
    let held_as = part.unusable.iter().filter_map(|unusable| unusable.held_as.as_deref().cloned());
    let named = policy.named(part.indicators.to_vec());
    pages::decide(ledger, delivery, named, held_as.collect(), &circumstances).await
}

/// What became of the records of a value, the strongest of their fates.
fn outlook(ledger: &Ledger<'_>) -> Outlook {
    let counts = &ledger.counts;
    let fates = [
        (counts.over_limit, Outlook::NoRoom),
        (ledger.withheld.created, Outlook::Withheld(Change::Created)),
        (ledger.kept_from_retraction, Outlook::Withheld(Change::Retracted)),
        (counts.created, Outlook::Sent(Change::Created)),
        (counts.updated, Outlook::Sent(Change::Updated)),
        (counts.renewed, Outlook::Sent(Change::Renewed)),
        (counts.retracted, Outlook::Sent(Change::Retracted)),
    ];
    let met = fates.into_iter().find(|(count, _)| *count > 0);
    met.map_or(Outlook::Nothing, |(_, outlook)| outlook)
}
