//! What is held and became excluded since the lane heard of the lists last.

use tracing::{info, warn};

use super::{
    delivery::{Delivery, Until},
    halt::Halt,
    ledger::Ledger,
    retractions,
};
use crate::{
    destination::{ApiError, Reconciliation},
    domain::{
        exclusions::{Class, Difference, Fingerprints},
        inventory::Held,
        observable::Observable,
        plan::plan_excluded,
        policy::Policy,
        progress::Adoption,
        purpose::Purpose,
        window::Range,
    },
};

/// So many values that are held are retracted before what became of them is committed.
const PAGE: usize = 1000;

/// Retracts what became excluded, as far as it can be found without reading the source. True if a refresh is to find the
/// rest, or what is excluded no longer.
///
/// # Errors
/// Why the lane cannot go on.
pub(super) async fn follow<'a>(ledger: &mut Ledger<'a>, delivery: &mut Delivery<'a>) -> Result<bool, Halt> {
    let context = ledger.context;
    let present = context.policy.exclusions.fingerprints();
    let sum = present.sum();
    if ledger.state.progress.exclusions == sum {
        return sweep(ledger, delivery).await;
    }
    let difference = difference(ledger, &present).await?;
    let reconciliation = context.lane.destination.reconciliation();
    match reconciliation {
        Reconciliation::EachPass => delivery.reconcile(ledger).await?,
        Reconciliation::AtFirst | Reconciliation::Never => retract_values(ledger, delivery).await?,
    }
    // A lane that begins reads everything anyway.
    let wants_refresh = !ledger.state.is_new()
        && difference
            .as_ref()
            .is_none_or(|difference| wants_refresh(context.policy, reconciliation, difference));
    let is_broad = |difference: &Difference| difference.added.iter().any(|class| *class != Class::Value);
    let can_sweep = reconciliation == Reconciliation::AtFirst && context.policy.retract;
    if can_sweep && difference.as_ref().is_none_or(is_broad) {
        ledger.state.progress.sweep = Some(Adoption::default());
    }
    if let Some(lease) = context.lease {
        context.store.write_known_exclusions(lease, context.lane.name, &present).await?;
    }
    info!(lane = context.lane.name, "the lists of exclusions have changed");
    ledger.state.progress.exclusions = sum;
    ledger.note_movement();
    Ok(sweep(ledger, delivery).await? | wants_refresh)
}

/// How the lists differ from those that the lane heard of last; `None`: that is not known.
async fn difference(ledger: &Ledger<'_>, present: &Fingerprints) -> Result<Option<Difference>, Halt> {
    let context = ledger.context;
    let Some(known) = &ledger.state.progress.exclusions else {
        return Ok(Some(present.since(&Fingerprints::default())));
    };
    let stored = context.store.known_exclusions(context.lane.name).await?;
    Ok((stored.sum().as_ref() == Some(known)).then(|| present.since(&stored)))
}

/// Whether the source must be read again: for what is excluded no longer, or for what can be found in no other way.
fn wants_refresh(policy: &Policy, reconciliation: Reconciliation, difference: &Difference) -> bool {
    let can_be_found = |class: &Class| match class {
        Class::Value => true,
        // A file that has one of these is known by it.
        Class::Digest(hash_type) => policy.hash_types.iter().any(|named| named == *hash_type),
        Class::Broad => reconciliation != Reconciliation::Never,
    };
    let retracts = policy.retract || policy.exclusions.acts;
    difference.some_are_gone || retracts && !difference.added.iter().all(can_be_found)
}

/// Retracts what entries name themselves.
async fn retract_values<'a>(ledger: &mut Ledger<'a>, delivery: &mut Delivery<'a>) -> Result<(), Halt> {
    let policy = ledger.context.policy;
    if !policy.retract {
        return Ok(());
    }
    let now = ledger.now();
    let (mut held, manifest) = (Vec::new(), &ledger.state.manifest);
    policy.exclusions.values(|observable| {
        let names = observable.names(policy.hash_types);
        if names.iter().any(|name| manifest.get(name.key).is_some_and(|entry| entry.is_held(now))) {
            held.push(observable);
        }
    });
    retract(ledger, delivery, held).await
}

/// Goes through what the destination holds, if it is asked page by page, and retracts what is excluded. True if it
/// cannot be asked.
async fn sweep<'a>(ledger: &mut Ledger<'a>, delivery: &mut Delivery<'a>) -> Result<bool, Halt> {
    let context = ledger.context;
    if context.lease.is_none() {
        return Ok(false);
    }
    while let Some(Adoption { skip_token }) = ledger.state.progress.sweep.clone() {
        let page =
            context.lane.destination.inventory(skip_token.as_deref(), context.deadline, ledger.traffic).await;
        let page = match page {
            Ok(page) => page,
            Err(ApiError::OutOfTime(out_of_time)) => return Err(out_of_time.into()),
            Err(error) => {
                warn!(
                    lane = context.lane.name,
                    "what is excluded is found when it is read again, because the workspace cannot be asked: {error}"
                );
                ledger.state.progress.sweep = None;
                return Ok(true);
            }
        };
        let excluded = page.held.into_iter().filter_map(|Held { observable, .. }| observable);
        let excluded = excluded.filter(|observable| context.policy.exclusions.find(observable).is_some());
        retract(ledger, delivery, excluded.collect()).await?;
        ledger.state.progress.sweep = page.next.map(|token| Adoption { skip_token: Some(token) });
        ledger.note_movement();
    }
    Ok(false)
}

/// Retracts those of `values` that are held, within the limit. Each counts as a record that was read.
async fn retract<'a>(
    ledger: &mut Ledger<'a>,
    delivery: &mut Delivery<'a>,
    values: Vec<Observable>,
) -> Result<(), Halt> {
    for page in values.chunks(PAGE) {
        let now = ledger.now();
        let circumstances = ledger.circumstances(Purpose::Live, now);
        let manifest = &ledger.state.manifest;
        let mut plan = plan_excluded(page.to_vec(), ledger.context.policy, manifest, &circumstances);
        if plan.send.is_empty() {
            continue;
        }
        for item in &plan.send {
            let hit = ledger.context.policy.exclusions.find(&item.indicator.observable);
            let by = hit.map(|hit| hit.to_string()).unwrap_or_default();
            let (value, kind) = (item.value(), item.type_name());
            info!(lane = ledger.context.lane.name, value, "type" = kind, "{value} is excluded by {by}");
        }
        ledger.counts.read += plan.send.len() as u64;
        delivery.begin(Range::Live);
        retractions::withhold(ledger, &mut plan, &circumstances);
        delivery.deliver(ledger, plan).await?;
        delivery.go_on(ledger, Until::Settled).await?;
    }
    Ok(())
}
