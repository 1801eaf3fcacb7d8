//! Rejected records on their way to file.

use serde_json::json;
use tracing::warn;

use crate::{
    domain::{outcome::Rejection, plan::Planned},
    pass::context::Context,
    state::{error::StateError, rejections::RejectionFile},
};

/// Rejected records that are not on file yet, one JSON line each.
#[derive(Default)]
pub(in crate::pass) struct RejectionLog {
    lines: String,
    /// The file that this pass appends them to, once it has begun one.
    file: Option<RejectionFile>,
}

impl RejectionLog {
    /// Notes a rejected record with its reason.
    pub fn note(&mut self, context: &Context<'_>, item: &Planned, rejection: &Rejection) {
        let Rejection { reason, request_id } = rejection;
        let lane = context.lane;
        let id = &item.indicator.source_id;
        let (value, kind) = (item.value(), item.type_name());
        warn!(lane = lane.name, value, "type" = kind, "{id} was rejected by {}: {reason}", lane.name);
        let line = json!({
            "at": context.now(),
            "destination": lane.name,
            "run_id": context.pass.run_id,
            "id": item.stix_id().to_string(),
            "source_id": id,
            "change": item.change,
            "fingerprint": item.fingerprint,
            "reason": reason,
            "request_id": request_id,
            "object": lane.destination.preview(item),
            "indicator": item.indicator,
        });
        self.lines.push_str(&format!("{line}\n"));
    }

    /// Writes what was noted, if anything was and this is no dry run.
    ///
    /// # Errors
    /// The lease is lost, or the storage fails.
    pub async fn write(&mut self, context: &Context<'_>) -> Result<(), StateError> {
        if let Some(lease) = context.lease.filter(|_| !self.lines.is_empty()) {
            let (store, lane, run_id) = (context.store, context.lane.name, &context.pass.run_id);
            store.append_rejected(lease, lane, run_id, &mut self.file, &self.lines).await?;
            self.lines.clear();
        }
        Ok(())
    }
}
