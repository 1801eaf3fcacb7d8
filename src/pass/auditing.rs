//! An audit that an operator asks for, without a pass.

use super::{
    Lane,
    audit::{Walk, keep},
    engine::Engine,
};
use crate::{
    clock::Deadline,
    destination::ApiError,
    domain::findings::{Audit, Findings},
    http::traffic::Traffic,
    state::{commit::read_manifest, error::StateError, store::Store},
};

/// Why an audit was not made.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error("the audit was stopped before everything was compared")]
    Stopped,
}

impl Engine {
    /// Compares what every destination shows with its lane's manifest, and keeps the result. Nothing else is written.
    ///
    /// # Errors
    /// The state cannot be read, or the audit was stopped. What stands in the way of a single lane stands in its findings.
    pub async fn audit(&self, deadline: &Deadline) -> Result<Audit, AuditError> {
        let store = (self.open_store)()?;
        store.prepare().await?;
        let mut audit = Audit::default();
        for lane in &self.lanes {
            let findings = self.audit_of(&store, lane, deadline).await?;
            audit.lanes.insert(lane.name.to_owned(), findings);
        }
        keep(&store, &audit).await;
        Ok(audit)
    }

    async fn audit_of(
        &self,
        store: &Store,
        lane: &Lane,
        deadline: &Deadline,
    ) -> Result<Findings, AuditError> {
        let (began, traffic) = (self.clock.now(), Traffic::default());
        let lag = match lane.destination.audited_after() {
            Ok(lag) => lag,
            Err(reason) => return Ok(Findings::unread(began, reason.to_owned())),
        };
        let progress = store.progress(lane.name).await?;
        let manifest = read_manifest(store, lane.name).await?;
        let mut walk = Walk::new(lane, progress.as_ref(), lag, began);
        match walk.go_on(lane, &manifest, || self.clock.now(), deadline, &traffic).await {
            Ok(()) => {}
            Err(ApiError::OutOfTime(_)) => return Err(AuditError::Stopped),
            Err(error) => return Ok(Findings::unread(began, error.to_string())),
        }
        let (findings, mut amiss) = walk.findings(&manifest, self.clock.now());
        if amiss.is_empty() {
            return Ok(findings);
        }
        // A pass may have been at work meanwhile: only what it did not touch is amiss.
        let before = amiss.iter().map(|amiss| manifest.get(amiss.known.entry.key).copied());
        let before: Vec<_> = before.collect();
        drop(manifest);
        let manifest = read_manifest(store, lane.name).await?;
        let mut before = before.into_iter();
        amiss.retain(|amiss| before.next().flatten() == manifest.get(amiss.known.entry.key).copied());
        Ok(Findings::of(began, findings.held, &amiss, findings.left_alone))
    }

    /// What the last audit of each lane found, if there was one.
    ///
    /// # Errors
    /// The state cannot be read.
    pub async fn last_audit(&self) -> Result<Option<Audit>, StateError> {
        (self.open_store)()?.audit().await
    }
}
