//! The manifest against what the destination shows, as a part of a pass: by itself once in a while, and the repair of what
//! is amiss.
//!
//! An audit by itself runs when its lane has read everything, and only reports. If it runs out of time, the chain of
//! continuations goes on with it. A repair notes in the manifest what the destination lacks and reads again when the source
//! updated it, so that each indicator is sent by the same rules and limits as ever.

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{debug, info, warn};

use super::{Lane, begin::refresh_span, halt::Halt, ledger::Ledger, work::Audits};
use crate::{
    clock::Deadline,
    destination::{ApiError, Reconciliation},
    domain::{
        audit::{Amiss, Auditor, Rules, Wrong},
        entry::Known,
        findings::{Audit, Findings, Listing, Repair, Unfinished, mended, ranges},
        manifest::Manifest,
        observable::Key,
        progress::Progress,
        purpose::{Backfill, Purpose},
        shown::Fields,
    },
    http::traffic::Traffic,
    state::store::Store,
};

/// So many entries are mended with one commit.
const COMMIT: usize = 10_000;
/// A list is begun again at most so often because the destination does not go on with it.
const RESTARTS: u32 = 3;
/// An audit by itself that could not be made is tried again after this.
const AGAIN: TimeDelta = TimeDelta::days(1);

/// The reading of a destination's list.
pub(super) struct Walk {
    rules: Rules,
    auditor: Auditor,
    next: Option<String>,
    restarts: u32,
    /// What is unknown, as the manifest would have it; of an audit that was interrupted, since then.
    found: Vec<Known>,
    /// Something was read.
    has_moved: bool,
}

impl Walk {
    pub fn new(lane: &Lane, progress: Option<&Progress>, lag: TimeDelta, began: DateTime<Utc>) -> Self {
        let settings_changed = progress.and_then(|progress| progress.settings_changed);
        // Only such a lane notes by itself what is gone; a refresh that began later has met it since.
        let is_reconciled = lane.destination.reconciliation() == Reconciliation::EachPass;
        let refreshed = progress.and_then(|progress| progress.refreshed);
        let rules = Rules {
            expirations: lane.policy.expirations,
            lag,
            settings_changed,
            absent_since: refreshed.filter(|_| is_reconciled),
        };
        let auditor = Auditor::new(began, rules);
        Self { rules, auditor, next: None, restarts: 0, found: Vec::new(), has_moved: false }
    }

    /// Goes on where an earlier pass had to leave.
    fn resume(&mut self, listing: &Listing, manifest: &Manifest) {
        self.auditor = listing.resumed(self.rules, manifest);
        (self.next, self.restarts) = (listing.next.clone(), listing.restarts);
    }

    /// Reads the list to its end.
    ///
    /// # Errors
    /// It was not; after [`ApiError::OutOfTime`] it can be gone on with.
    pub async fn go_on(
        &mut self,
        lane: &Lane,
        manifest: &Manifest,
        now: impl Fn() -> DateTime<Utc>,
        deadline: &Deadline,
        traffic: &Traffic,
    ) -> Result<(), ApiError> {
        loop {
            deadline.check()?;
            let page = match lane.destination.shown(self.next.as_deref(), deadline, traffic).await {
                Err(ApiError::Rejected(rejection)) if self.next.is_some() && self.restarts < RESTARTS => {
                    warn!(lane = lane.name, "{rejection}; the audit begins again");
                    self.auditor = Auditor::new(self.auditor.began(), self.rules);
                    (self.next, self.restarts) = (None, self.restarts + 1);
                    self.found.clear();
                    continue;
                }
                page => page?,
            };
            debug!(lane = lane.name, "{} indicators of the destination are compared", page.shown.len());
            self.found.extend(self.auditor.take(&page, manifest, now()));
            self.has_moved = true;
            self.next = page.next;
            if self.next.is_none() {
                return Ok(());
            }
        }
    }

    /// What was found, and each that is amiss.
    pub fn findings(&mut self, manifest: &Manifest, now: DateTime<Utc>) -> (Findings, Vec<Amiss>) {
        let (held, mut amiss) = self.auditor.amiss(manifest, now);
        let unknown = |known| Amiss { known, wrong: Wrong::Unknown, fields: Fields::default() };
        amiss.extend(std::mem::take(&mut self.found).into_iter().map(unknown));
        let mut findings = Findings::of(self.auditor.began(), held, &amiss, self.auditor.left_alone());
        findings.unknown = self.auditor.unknown();
        (findings, amiss)
    }
}

/// Audits the lane, which has read everything, if that is asked for or due. True if something is to be read again for the
/// repair.
///
/// # Errors
/// Why the lane cannot go on.
pub(super) async fn follow(ledger: &mut Ledger<'_>) -> Result<bool, Halt> {
    let context = ledger.context;
    let (lane, began) = (context.lane, context.now());
    if context.lease.is_none() || ledger.audit.is_some() {
        return Ok(false);
    }
    let repairs = context.pass.audits == Audits::Repair;
    let lag = match lane.destination.audited_after() {
        Ok(lag) => lag,
        Err(reason) => {
            ledger.audit = repairs.then(|| Findings::unread(began, reason.to_owned()));
            return Ok(false);
        }
    };
    let mut walk = Walk::new(lane, Some(&ledger.state.progress), lag, began);
    let mut every = TimeDelta::zero();
    if !repairs {
        let due = context.pass.audits == Audits::WhenDue;
        let Some(days) = lane.audit_every.filter(|_| due) else { return Ok(false) };
        every = days;
        match unfinished(ledger).await? {
            Some(Unfinished::Listing(listing)) => walk.resume(&listing, &ledger.state.manifest),
            // It is concluded when the pass ends.
            Some(Unfinished::Repairing { .. }) => return Ok(false),
            None if ledger.state.progress.audit.is_due(every, began) => {}
            None => return Ok(false),
        }
    }
    let read =
        walk.go_on(lane, &ledger.state.manifest, || context.now(), context.deadline, ledger.traffic).await;
    let audit = &mut ledger.state.progress.audit;
    match read {
        Ok(()) => {}
        Err(ApiError::OutOfTime(out_of_time)) => {
            if let Some(lease) = context.lease.filter(|_| !repairs) {
                let listing =
                    Listing::of(&walk.auditor, &ledger.state.manifest, walk.next.clone(), walk.restarts);
                let unfinished = Unfinished::Listing(Box::new(listing));
                context.store.write_unfinished_audit(lease, lane.name, &unfinished).await?;
                (audit.last, audit.is_under_way) = (Some(began), true);
            }
            if walk.has_moved {
                ledger.note_movement();
            }
            return Err(out_of_time.into());
        }
        Err(error) => {
            // It says nothing about the records, and stalls nobody.
            ledger.audit = Some(Findings::unread(began, error.to_string()));
            if !repairs {
                (audit.last, audit.is_under_way) = (Some(began - every + AGAIN.min(every)), false);
                ledger.commit(Vec::new()).await?;
            }
            return Ok(false);
        }
    }
    (audit.last, audit.is_under_way) = (Some(began), false);
    let (findings, amiss) = walk.findings(&ledger.state.manifest, context.now());
    if !repairs || amiss.is_empty() {
        ledger.audit = Some(findings);
        ledger.commit(Vec::new()).await?;
        return Ok(false);
    }
    schedule(ledger, findings, &amiss).await?;
    Ok(true)
}

/// The audit or repair of an earlier pass that is under way.
async fn unfinished(ledger: &Ledger<'_>) -> Result<Option<Unfinished>, Halt> {
    if !ledger.state.progress.audit.is_under_way {
        return Ok(None);
    }
    Ok(ledger.context.store.unfinished_audit(ledger.context.lane.name).await?)
}

/// Notes in the manifest what is to be sent again or adopted, and what is to be read again for it.
async fn schedule(ledger: &mut Ledger<'_>, findings: Findings, amiss: &[Amiss]) -> Result<(), Halt> {
    let context = ledger.context;
    let (lane, now, limits) = (context.lane, context.now(), context.source.limits());
    let marked: Vec<(Key, Wrong)> = amiss.iter().map(|amiss| (amiss.known.entry.key, amiss.wrong)).collect();
    let findings = Findings { repair: Repair::UnderWay, ..findings };
    let repairing = Unfinished::Repairing { findings: findings.clone(), marked };
    if let Some(lease) = context.lease {
        // Before the commits: what the manifest has as mended is known to be counted.
        context.store.write_unfinished_audit(lease, lane.name, &repairing).await?;
    }
    let span = refresh_span(lane, limits);
    let ranges = ranges(amiss, span, limits, now);
    info!(
        lane = lane.name,
        "{}; the repair reads {} ranges again",
        findings.sentence(limits.reach),
        ranges.len()
    );
    let progress = &mut ledger.state.progress;
    progress.audit.is_under_way = true;
    progress.backfills.retain(|backfill| !backfill.run_id.contains(Backfill::REPAIR));
    for (number, range) in ranges.into_iter().enumerate() {
        let run_id = format!("{}{}{number}", context.pass.run_id, Backfill::REPAIR);
        progress.read_again(run_id, Purpose::Lookback, range, now, limits);
    }
    (ledger.audit, ledger.repairing) = (Some(findings), Some(repairing));
    for part in amiss.chunks(COMMIT) {
        ledger.commit(part.iter().map(|amiss| mended(amiss, now)).collect()).await?;
    }
    ledger.note_movement();
    Ok(())
}

/// Counts what was repaired so far, when the lane's part in the pass ends.
///
/// # Errors
/// The state cannot be read.
pub(super) async fn conclude(ledger: &mut Ledger<'_>) -> Result<(), Halt> {
    let context = ledger.context;
    let now = context.now();
    let repairing = match ledger.repairing.take() {
        Some(repairing) => Some(repairing),
        None => unfinished(ledger).await?,
    };
    if let Some(Unfinished::Repairing { mut findings, marked }) = repairing {
        findings.recount(&marked, &ledger.state.manifest, now);
        let progress = &mut ledger.state.progress;
        let is_done = !progress.backfills.iter().any(|backfill| backfill.run_id.contains(Backfill::REPAIR));
        findings.repair = if is_done { Repair::Done } else { Repair::UnderWay };
        progress.audit.is_under_way = !is_done;
        ledger.audit = Some(findings);
    }
    if let Some(findings) = &ledger.audit {
        let sentence = findings.sentence(context.source.limits().reach);
        match findings.is_well() {
            true => info!(lane = context.lane.name, "{sentence}"),
            false => warn!(lane = context.lane.name, "{sentence}"),
        }
        ledger.remarks.push(sentence);
    }
    Ok(())
}

/// Keeps `audit` in place of what earlier ones found of the same lanes.
pub(super) async fn keep(store: &Store, audit: &Audit) {
    if audit.lanes.is_empty() {
        return;
    }
    let mut all = match store.audit().await {
        Ok(before) => before.unwrap_or_default(),
        Err(error) => {
            warn!("{error}");
            Audit::default()
        }
    };
    all.lanes.extend(audit.lanes.clone());
    if let Err(error) = store.write_audit(&all).await {
        warn!("the audit was not kept: {error}");
    }
}
