//! Telling others of a pass that ended: a webhook of changes, a collector of metrics. Nothing here is a commit point, and
//! no pass fails for it.

use std::time::Duration;

use tracing::{debug, warn};

use super::engine::Engine;
use crate::{
    clock::Deadline,
    domain::{condition::SignalMemory, report::Report, totals::Totals},
    signals::{Trouble, metrics::Metrics, webhook::Webhook},
    state::{error::StateError, lease::Lease, store::Store},
};

/// How long all of it may take.
const LONGEST: Duration = Duration::from_secs(10);
/// How long one message may take.
const LONGEST_MESSAGE: Duration = Duration::from_secs(3);

impl Engine {
    /// Tells whoever is to be told. What was told is remembered in the state, so the lease is held still.
    pub(super) async fn tell_others(
        &self,
        store: &Store,
        lease: &Lease,
        report: &Report,
        deadline: &Deadline,
    ) {
        let (webhook, metrics) = (self.signals.webhook.as_ref(), self.signals.metrics.as_ref());
        if webhook.is_none() && metrics.is_none() {
            return;
        }
        let spare = deadline.spare(LONGEST);
        let all = tell(webhook, metrics, store, lease, report, (spare / 4).min(LONGEST_MESSAGE));
        match tokio::time::timeout(spare, all).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!("what others were told is not remembered: {error}"),
            Err(_) => warn!("there was no time left to tell others of this pass"),
        }
    }
}

async fn tell(
    webhook: Option<&Webhook>,
    metrics: Option<&Metrics>,
    store: &Store,
    lease: &Lease,
    report: &Report,
    limit: Duration,
) -> Result<(), StateError> {
    let before = match store.signals().await {
        Err(error @ StateError::Damaged { .. }) => {
            warn!("what others were told is forgotten: {error}");
            SignalMemory::default()
        }
        read => read?,
    };
    let mut memory = before.clone();
    if let Some(webhook) = webhook {
        tell_changes(webhook, &mut memory, report, limit).await;
    }
    let mut own = Totals::begin(report.started_at);
    if metrics.is_some() {
        own.add(report);
        memory.totals.get_or_insert_with(|| Totals::begin(report.started_at)).add(report);
    }
    // Before it is sent: a counter that goes back would count as a new one.
    if memory != before {
        store.write_signals(lease, &memory).await?;
    }
    if let Some(metrics) = metrics {
        let totals = if metrics.is_delta { &own } else { memory.totals.as_ref().unwrap_or(&own) };
        note(&metrics.trouble, metrics.export(report, totals, limit).await);
    }
    Ok(())
}

/// Sends what changed; what does not arrive is sent with the next pass.
async fn tell_changes(webhook: &Webhook, memory: &mut SignalMemory, report: &Report, limit: Duration) {
    let mut conditions = memory.lanes.clone();
    conditions.take(report);
    let notices = conditions.notices(report);
    if notices.is_empty() {
        memory.lanes = conditions;
        return;
    }
    let address = match webhook.address().await {
        Ok(Some(address)) => address,
        // Nobody is to be told, so nothing was.
        Ok(None) => return,
        Err(problem) => {
            memory.lanes = conditions;
            return note(&webhook.trouble, Err(problem));
        }
    };
    for notice in notices {
        let sent = webhook.send(&address, &notice, limit).await;
        if sent.is_ok() {
            conditions.delivered(&notice);
        }
        note(&webhook.trouble, sent);
    }
    memory.lanes = conditions;
}

/// Says once what fails.
fn note(trouble: &Trouble, told: Result<(), String>) {
    match told {
        Ok(()) => trouble.is_over(),
        Err(problem) if trouble.is_new() => warn!("others were not told of this pass: {problem}"),
        Err(problem) => debug!("others were not told of this pass: {problem}"),
    }
}
