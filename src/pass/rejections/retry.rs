//! Rejected records, offered again when an operator asks for it; and what another application held until now.

use serde::Deserialize;
use tracing::warn;

use crate::{
    destination::Reconciliation,
    domain::{
        entry::State, fingerprint::Fingerprint, indicator::Indicator, observable::Name, plan::plan_page,
        purpose::Purpose, rejected::RejectedRecord, window::Range,
    },
    pass::{
        delivery::{Delivery, Until},
        halt::Halt,
        ledger::Ledger,
        retractions,
    },
    state::rejections::run_id_of,
};

/// So many records are offered before what became of them is written down.
const PAGE: usize = 1000;

/// What of a line in `rejected/<run_id>.jsonl` is needed to offer the record again.
#[derive(Deserialize)]
struct Rejected {
    indicator: Indicator,
    /// Lines of earlier versions have none.
    #[serde(default)]
    fingerprint: Option<Fingerprint>,
}

/// The same of a line in `foreign.jsonl`.
#[derive(Deserialize)]
struct Foreign {
    #[serde(rename = "about")]
    compared_as: String,
    #[serde(flatten)]
    rejected: Rejected,
}

/// Offers every rejected record again, if nothing newer speaks about its value. A line leaves its file when what it
/// stands for was done or is no longer wanted; what is rejected again moves to this pass's file; what could not be
/// done (no room, a retraction that waits) stays. A file is written anew once, when the pass is through with it or
/// cannot go on: after a crash before that, what was settled is offered again and found settled.
///
/// # Errors
/// Why the lane cannot go on.
pub(in crate::pass) async fn retry_rejected<'a>(
    ledger: &mut Ledger<'a>,
    delivery: &mut Delivery<'a>,
) -> Result<(), Halt> {
    let context = ledger.context;
    let (store, lane) = (context.store, context.lane.name);
    for name in store.rejected_in(lane).await? {
        if run_id_of(&name) == context.pass.run_id {
            continue;
        }
        let content = store.rejected(lane, &name).await?;
        let lines: Vec<&str> = content.lines().collect();
        let mut kept = Vec::new();
        let offered = offer_all(ledger, delivery, &lines, &mut kept).await;
        if let Some(lease) = context.lease.filter(|_| kept.len() < lines.len()) {
            let left: String = kept.iter().map(|line| format!("{line}\n")).collect();
            store.replace_rejected(lease, lane, &name, &left).await?;
        }
        offered?;
    }
    Ok(())
}

/// Offers the records of these lines, page by page. `kept` takes the lines that stand for something that is still
/// to be done; also, when the lane cannot go on, those that were not offered.
async fn offer_all<'a, 'l>(
    ledger: &mut Ledger<'a>,
    delivery: &mut Delivery<'a>,
    lines: &[&'l str],
    kept: &mut Vec<&'l str>,
) -> Result<(), Halt> {
    let mut ended = Ok(());
    for page in lines.chunks(PAGE) {
        if ended.is_err() {
            kept.extend(page);
            continue;
        }
        let (mut offered, mut damaged) = (Vec::new(), Vec::new());
        for line in page {
            let read = serde_json::from_str::<Rejected>(line).map_err(|error| error.to_string());
            // An earlier version may have spelt its value otherwise, or taken it for one.
            match read.and_then(|Rejected { indicator, fingerprint }| {
                let indicator = indicator.respelt().map_err(|malformed| malformed.to_string())?;
                Ok(Rejected { indicator, fingerprint })
            }) {
                Ok(rejected) => offered.push((*line, rejected)),
                Err(error) => {
                    let RejectedRecord { value, kind, .. } = RejectedRecord::of_line(line);
                    warn!(
                        lane = ledger.context.lane.name,
                        value,
                        "type" = kind,
                        "a line of a rejected record is damaged and cannot be offered again: {error}"
                    );
                    damaged.push(*line);
                }
            }
        }
        match offer(ledger, delivery, offered).await {
            Ok(open) => kept.extend(damaged.into_iter().chain(open)),
            Err(halt) => {
                kept.extend(page);
                ended = Err(halt);
            }
        }
    }
    ended
}

/// Offers what another application held at the destination until now.
///
/// # Errors
/// Why the lane cannot go on.
pub(in crate::pass) async fn deliver_foreign<'a>(
    ledger: &mut Ledger<'a>,
    delivery: &mut Delivery<'a>,
) -> Result<(), Halt> {
    let context = ledger.context;
    let (store, lane) = (context.store, context.lane.name);
    let mut entries = ledger.state.manifest.entries().iter();
    if context.lane.destination.reconciliation() != Reconciliation::EachPass
        || !entries.any(|entry| entry.state() == State::Foreign)
    {
        return Ok(());
    }
    delivery.reconcile(ledger).await?;
    let content = store.foreign(lane).await?;
    let (mut kept, mut free) = (Vec::new(), Vec::new());
    for line in content.lines() {
        match serde_json::from_str::<Foreign>(line) {
            Ok(Foreign { compared_as, .. }) if delivery.reconciler().is_foreign(&compared_as) => {
                kept.push(line);
            }
            Ok(Foreign { rejected, .. }) => free.push((line, rejected)),
            Err(error) => {
                let RejectedRecord { value, kind, .. } = RejectedRecord::of_line(line);
                warn!(lane, value, "type" = kind, "a line of foreign.jsonl cannot be read: {error}");
            }
        }
    }
    if free.is_empty() {
        return Ok(());
    }
    kept.extend(offer(ledger, delivery, free).await?);
    if let Some(lease) = context.lease {
        let lines: String = kept.iter().map(|line| format!("{line}\n")).collect();
        store.write_foreign(lease, lane, &lines).await?;
    }
    Ok(())
}

/// Offers the records of these lines, and returns those lines that stand for something that is still to be done.
async fn offer<'a, 'l>(
    ledger: &mut Ledger<'a>,
    delivery: &mut Delivery<'a>,
    offered: Vec<(&'l str, Rejected)>,
) -> Result<Vec<&'l str>, Halt> {
    let (lines, offered): (Vec<&str>, Vec<Rejected>) = offered.into_iter().unzip();
    ledger.counts.read += offered.len() as u64;
    ledger.counts.replayed += offered.len() as u64;
    let (policy, now) = (ledger.context.policy, ledger.now());
    let circumstances = ledger.circumstances(Purpose::Retry, now);
    let rejected_as: Vec<Option<Fingerprint>> = offered.iter().map(|one| one.fingerprint).collect();
    let mut page = policy.named(offered.into_iter().map(|one| one.indicator).collect());
    page.iter_mut().zip(rejected_as).for_each(|(named, fingerprint)| named.rejected_as = fingerprint);
    let names: Vec<_> = page.iter().map(|named| named.names.clone()).collect();
    ledger.unsettled.clear();
    delivery.begin(Range::Live);
    let mut plan = plan_page(page, policy, &mut ledger.state.manifest, &circumstances, &mut ledger.counts);
    retractions::withhold(ledger, &mut plan, &circumstances);
    delivery.deliver(ledger, plan).await?;
    delivery.go_on(ledger, Until::Settled).await?;
    let is_open = |names: &Vec<Name>| names.iter().any(|name| ledger.unsettled.contains(&name.key));
    let lines = lines.into_iter().zip(names);
    Ok(lines.filter(|(_, names)| is_open(names)).map(|(line, _)| line).collect())
}
