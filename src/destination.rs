//! Where a lane delivers to: a closed set, one variant each.

use std::time::Duration;

use crate::{
    clock::Deadline,
    domain::{
        outcome::{Delivery, UploadError},
        plan::Planned,
    },
    http::traffic::Traffic,
    sentinel::client::{BATCH, Sentinel},
};

/// A destination with everything it needs.
pub enum Destination {
    Sentinel(Sentinel),
}

impl Destination {
    /// The most records in one request.
    pub fn batch(&self) -> usize {
        match self {
            Self::Sentinel(_) => BATCH,
        }
    }

    /// Begins a pass: whoever held the lease before us may have made a request just now.
    pub fn take_over(&self) {
        match self {
            Self::Sentinel(sentinel) => sentinel.api.limiter.take_over(),
        }
    }

    /// How long the next upload has to wait for its place under the rate limit.
    pub fn wait(&self) -> Duration {
        match self {
            Self::Sentinel(sentinel) => sentinel.api.limiter.wait(),
        }
    }

    /// The object that stands for `planned`, for a person to read.
    pub fn preview(&self, planned: &Planned) -> serde_json::Value {
        match self {
            Self::Sentinel(sentinel) => sentinel.preview(planned),
        }
    }

    /// Uploads one batch and returns what became of each record, in their order.
    ///
    /// # Errors
    /// See [`UploadError`].
    pub async fn upload(
        &self,
        batch: &[Planned],
        deadline: &Deadline,
        traffic: &Traffic,
    ) -> Result<Vec<Delivery>, UploadError> {
        match self {
            Self::Sentinel(sentinel) => sentinel.upload(batch, deadline, traffic).await,
        }
    }
}
