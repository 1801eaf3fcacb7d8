//! Uploads to Sentinel, answered record by record.

use axum::http::Method;

use super::{
    classify::classify,
    convert::{Style, object},
    inventory::Inventory,
    wire::Upload,
};
use crate::{
    azure::api::{Api, ApiError, Call},
    clock::Deadline,
    domain::{outcome::RecordOutcome, plan::Planned},
    http::traffic::Traffic,
};

/// The most objects in one request, by Microsoft's documentation.
pub const BATCH: usize = 100;
/// Bytes that are set aside for an object; a longer one costs a copy.
const TYPICAL_OBJECT: usize = 1500;
/// The longest answer that is read.
pub const ANSWER_BYTES: usize = 1024 * 1024;

/// One workspace.
pub struct Sentinel {
    pub api: Api,
    pub upload_url: String,
    /// What this upload API calls the objects of a request: [`STIX_OBJECTS`](super::wire::STIX_OBJECTS) or
    /// [`INDICATORS`](super::wire::INDICATORS).
    pub array: &'static str,
    pub source_system: String,
    pub style: Style,
    /// What the workspace holds, where it can be asked.
    pub inventory: Option<Inventory>,
}

impl Sentinel {
    /// The STIX object that stands for `planned`, for a person to read.
    pub fn preview(&self, planned: &Planned) -> serde_json::Value {
        let subject = planned.subject();
        let object = object(planned, &subject, &self.style, self.api.clock.now());
        serde_json::to_value(object).unwrap_or_default()
    }

    /// Uploads one batch and returns what became of each record, in their order.
    ///
    /// # Errors
    /// Nothing of the batch is known to be settled; see [`ApiError`].
    pub async fn upload(
        &self,
        batch: &[Planned],
        deadline: &Deadline,
        traffic: &Traffic,
    ) -> Result<Vec<RecordOutcome>, ApiError> {
        let now = self.api.clock.now();
        let subjects: Vec<_> = batch.iter().map(Planned::subject).collect();
        let objects = batch.iter().zip(&subjects);
        let objects: Vec<_> =
            objects.map(|(planned, subject)| object(planned, subject, &self.style, now)).collect();
        let upload = Upload { source_system: &self.source_system, array: self.array, objects: &objects };
        let mut body = Vec::with_capacity(batch.len() * TYPICAL_OBJECT);
        serde_json::to_writer(&mut body, &upload).expect("our own types are JSON");
        let call = Call {
            method: Method::POST,
            url: self.upload_url.clone(),
            settings: "SENTINEL_BASE_URL and SENTINEL_UPLOAD_PATH",
            body: body.into(),
            parts: batch.len(),
        };
        let read = |answer: &_| classify(answer, batch.len(), self.api.clock.now());
        self.api.call(&call, read, deadline, traffic).await
    }
}
