//! Where a lane delivers to: a closed set, one variant each.

pub mod defender;
pub mod sentinel;

use std::time::Duration;

use crate::{
    azure::api::Api,
    clock::Deadline,
    destination::{
        defender::client::{Defender, kind},
        sentinel::{client::Sentinel, holdings::Holdings},
    },
    domain::{
        entry::Handle,
        outcome::{Delivery, Refusal, UploadError},
        plan::Planned,
    },
    http::traffic::Traffic,
};

/// A destination with everything it needs.
pub enum Destination {
    Sentinel {
        uploads: Sentinel,
        /// What the workspace holds, where it can be asked.
        holdings: Option<Holdings>,
    },
    Defender(Defender),
}

impl Destination {
    /// The API that takes what is delivered.
    pub fn api(&self) -> &Api {
        match self {
            Self::Sentinel { uploads, .. } => &uploads.api,
            Self::Defender(defender) => &defender.api,
        }
    }

    /// The most records in one request.
    pub fn batch(&self) -> usize {
        match self {
            Self::Sentinel { .. } => sentinel::client::BATCH,
            Self::Defender(_) => defender::client::BATCH,
        }
    }

    /// Whether a refusal names the kind of `item`: then it speaks about such indicators, and not about our requests.
    pub fn names_its_kind(&self, item: &Planned, reason: &str) -> bool {
        match self {
            Self::Sentinel { .. } => false,
            Self::Defender(_) => reason.contains(kind(item)),
        }
    }

    /// Whether what it holds makes endpoints act: then a wrong indicator is an outage.
    pub fn acts(&self) -> bool {
        matches!(self, Self::Defender(_))
    }

    /// Begins a pass: whoever held the lease before us may have made a request just now.
    pub fn take_over(&self) {
        self.api().limiter.take_over();
    }

    /// How long the next upload has to wait for its place under the rate limit.
    pub fn wait(&self) -> Duration {
        self.api().limiter.wait()
    }

    /// What tells what the destination holds from before there was a lane.
    pub fn holdings(&self) -> Option<&Holdings> {
        match self {
            Self::Sentinel { holdings, .. } => holdings.as_ref(),
            Self::Defender(_) => None,
        }
    }

    /// The object that stands for `planned`, for a person to read.
    pub fn preview(&self, planned: &Planned) -> serde_json::Value {
        match self {
            Self::Sentinel { uploads, .. } => uploads.preview(planned),
            Self::Defender(defender) => defender.preview(planned),
        }
    }

    /// Delivers one batch, in which all or none are taken back, and returns what became of each record, in their
    /// order.
    ///
    /// # Errors
    /// See [`UploadError`].
    pub async fn deliver(
        &self,
        batch: &[Planned],
        deadline: &Deadline,
        traffic: &Traffic,
    ) -> Result<Vec<Delivery>, UploadError> {
        match self {
            Self::Sentinel { uploads, .. } => uploads.upload(batch, deadline, traffic).await,
            Self::Defender(defender) if batch.iter().any(|item| item.change.takes_back()) => {
                delete(defender, batch, deadline, traffic).await
            }
            Self::Defender(defender) => defender.import(batch, deadline, traffic).await,
        }
    }
}

async fn delete(
    defender: &Defender,
    batch: &[Planned],
    deadline: &Deadline,
    traffic: &Traffic,
) -> Result<Vec<Delivery>, UploadError> {
    let number = |item: &Planned| match item.handle {
        Some(Handle::Numbered { id, .. }) => Some(id),
        Some(Handle::Foreign(_)) | None => None,
    };
    let numbers: Vec<u64> = batch.iter().filter_map(number).collect();
    defender.delete(&numbers, deadline, traffic).await?;
    let delivery = |item| match number(item) {
        Some(_) => Delivery::Acknowledged(None),
        None => Delivery::Rejected(Refusal {
            reason: "it cannot be deleted, because Defender gave no number for it; it ends with its validity"
                .to_owned(),
            request_id: None,
        }),
    };
    Ok(batch.iter().map(delivery).collect())
}
