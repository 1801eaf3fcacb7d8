//! The destinations of indicators: a closed set, one variant each.

pub mod defender;
pub mod sentinel;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

pub use crate::azure::api::ApiError;

use self::{defender::client::Defender, sentinel::client::Sentinel};
use crate::{
    azure::api::Api,
    clock::Deadline,
    domain::{
        arrival::{Sighting, canary_valid_until},
        inventory::InventoryPage,
        observable::{Key, StixId},
        outcome::RecordOutcome,
        plan::Planned,
        policy::Policy,
        shown::ShownPage,
    },
    http::{probe::Probe, traffic::Traffic},
};

/// A destination with everything it needs.
pub enum Destination {
    Sentinel(Sentinel),
    Defender(Defender),
}

/// What limits a destination, and what its indicators do there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most records in one request.
    pub batch: usize,
    /// The most indicators it may come to hold, whichever application sent them.
    pub capacity: Option<usize>,
    /// Whether its indicators make endpoints act: then a wrong one is an outage.
    pub acts: bool,
    /// Whether each object that it takes is a row that somebody pays for.
    pub billed: bool,
}

/// When a lane asks what its destination holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconciliation {
    /// It cannot be asked.
    Never,
    /// When the lane begins: asking takes a request for every hundred indicators.
    AtFirst,
    /// In each pass that reads something again or has something to send.
    EachPass,
}

impl Destination {
    /// Its name in sentences.
    pub fn label(&self) -> &'static str {
        self.api().name
    }

    pub fn limits(&self) -> Limits {
        match self {
            Self::Sentinel(_) => {
                Limits { batch: sentinel::client::BATCH, capacity: None, acts: false, billed: true }
            }
            Self::Defender(defender) => Limits {
                batch: defender::client::BATCH,
                capacity: Some(defender.limit),
                acts: true,
                billed: false,
            },
        }
    }

    /// Whether a rejection names the kind of `item`: then it is about such indicators, and not about our requests.
    pub fn names_its_kind(&self, item: &Planned, reason: &str) -> bool {
        match self {
            Self::Sentinel(_) => false,
            Self::Defender(_) => reason.contains(defender::client::kind(item)),
        }
    }

    /// Begins a pass: the instance that held the lease before us may have made a request just now.
    pub fn take_over(&self) {
        self.api().limiter.take_over();
    }

    /// How long the next upload has to wait under the rate limit.
    pub fn wait(&self) -> Duration {
        self.api().limiter.wait()
    }

    /// The object that stands for `planned`, for a person to read.
    pub fn preview(&self, planned: &Planned) -> Value {
        match self {
            Self::Sentinel(sentinel) => sentinel.preview(planned),
            Self::Defender(defender) => defender.preview(planned),
        }
    }

    /// Delivers one batch, in which all or none are removed, and returns what became of each record, in their order.
    ///
    /// # Errors
    /// Nothing of the batch is known to be settled; see [`ApiError`].
    pub async fn deliver(
        &self,
        batch: &[Planned],
        deadline: &Deadline,
        traffic: &Traffic,
    ) -> Result<Vec<RecordOutcome>, ApiError> {
        match self {
            Self::Sentinel(sentinel) => sentinel.upload(batch, deadline, traffic).await,
            Self::Defender(defender) if batch.iter().any(|item| item.change.removes()) => {
                defender.remove(batch, deadline, traffic).await
            }
            Self::Defender(defender) => defender.import(batch, deadline, traffic).await,
        }
    }

    /// Removes what the destination knows by these numbers.
    ///
    /// # Errors
    /// Some may be removed; to ask again is safe. See [`ApiError`].
    pub async fn remove(
        &self,
        numbers: &[u64],
        deadline: &Deadline,
        traffic: &Traffic,
    ) -> Result<(), ApiError> {
        match self {
            // Its indicators have no numbers: they are revoked by an upload.
            Self::Sentinel(_) => Ok(()),
            Self::Defender(defender) => defender.delete(numbers, deadline, traffic).await,
        }
    }

    /// When a lane asks what the destination holds.
    pub fn reconciliation(&self) -> Reconciliation {
        match self {
            Self::Sentinel(Sentinel { inventory: Some(_), .. }) => Reconciliation::AtFirst,
            Self::Sentinel(_) => Reconciliation::Never,
            Self::Defender(_) => Reconciliation::EachPass,
        }
    }

    /// A page of what the destination holds: the first, or the one that `next` of the page before leads to.
    ///
    /// # Errors
    /// [`ApiError::Rejected`]: it does not go on from `next`, perhaps no longer; begin again without it.
    pub async fn inventory(
        &self,
        next: Option<&str>,
        deadline: &Deadline,
        traffic: &Traffic,
    ) -> Result<InventoryPage, ApiError> {
        match self {
            Self::Sentinel(Sentinel { inventory: Some(inventory), .. }) => {
                inventory.page(next, deadline, traffic).await
            }
            Self::Sentinel(_) => Ok(InventoryPage::default()),
            Self::Defender(defender) => defender.inventory(deadline, traffic).await,
        }
    }

    /// How the destination shows the indicator with this id, if it can be asked for a single one.
    ///
    /// # Errors
    /// It cannot be told; see [`ApiError`].
    pub async fn look_up(
        &self,
        id: Key,
        deadline: &Deadline,
        traffic: &Traffic,
    ) -> Result<Sighting, ApiError> {
        match self {
            Self::Sentinel(Sentinel { inventory: Some(inventory), source_system, .. }) => {
                inventory.look_up(&StixId(id).to_string(), source_system, deadline, traffic).await
            }
            Self::Sentinel(_) | Self::Defender(_) => Ok(Sighting::Unclear),
        }
    }

    /// Whether a canary may be sent, and looked for. None is sent where indicators act.
    pub fn takes_canaries(&self) -> bool {
        matches!(self, Self::Sentinel(Sentinel { inventory: Some(_), .. }))
    }

    /// Sends a canary, if the destination takes one.
    ///
    /// # Errors
    /// It was not accepted; see [`ApiError`].
    pub async fn send_canary(&self, now: DateTime<Utc>, deadline: &Deadline) -> Result<(), ApiError> {
        match self {
            Self::Sentinel(sentinel) => {
                sentinel.upload_canary(&sentinel::canary::ARRIVAL, canary_valid_until(now), deadline).await
            }
            Self::Defender(_) => Ok(()),
        }
    }

    /// How the destination shows the canary.
    ///
    /// # Errors
    /// It cannot be told; see [`ApiError`].
    pub async fn look_up_canary(&self, deadline: &Deadline) -> Result<Sighting, ApiError> {
        match self {
            Self::Sentinel(sentinel) => sentinel.look_up_canary(deadline).await,
            Self::Defender(_) => Ok(Sighting::Unclear),
        }
    }

    /// How long after it took something it may not show it yet, where it can be audited.
    ///
    /// # Errors
    /// It cannot be asked what it holds, and what to do about that.
    pub fn audited_after(&self) -> Result<TimeDelta, &'static str> {
        match self {
            Self::Sentinel(Sentinel { inventory: Some(_), .. }) => Ok(sentinel::inventory::LAG),
            Self::Sentinel(_) => Err(sentinel::inventory::CANNOT_BE_AUDITED),
            Self::Defender(_) => Ok(TimeDelta::zero()),
        }
    }

    /// A page of what the destination shows of ours, to be compared with what was sent; as [`Destination::inventory`].
    ///
    /// # Errors
    /// As [`Destination::inventory`].
    pub async fn shown(
        &self,
        next: Option<&str>,
        deadline: &Deadline,
        traffic: &Traffic,
    ) -> Result<ShownPage, ApiError> {
        match self {
            Self::Sentinel(Sentinel { inventory: Some(inventory), .. }) => {
                inventory.shown(next, deadline, traffic).await
            }
            Self::Sentinel(_) => Ok(ShownPage::default()),
            Self::Defender(defender) => defender.shown(deadline, traffic).await,
        }
    }

    /// Type and value of `planned`, as the destination tells its indicators apart; see
    /// [`Held::compared_as`](crate::domain::inventory::Held).
    pub fn compared_as(&self, planned: &Planned) -> String {
        match self {
            Self::Sentinel(_) => planned.stix_id().to_string(),
            Self::Defender(defender) => defender.compared_as(planned),
        }
    }

    /// Whether one of the rules that come with the destination can match `planned`; `None` if it matches by itself.
    pub fn is_matchable(&self, planned: &Planned) -> Option<bool> {
        match self {
            Self::Sentinel(_) => Some(sentinel::stock_rules::is_matchable(&planned.subject())),
            Self::Defender(_) => None,
        }
    }

    /// What of a lane with this policy those rules cannot match, for a person; about IPv6 only where that matters.
    pub fn blind_spots(&self, policy: &Policy, has_ipv6: bool) -> Option<String> {
        match self {
            Self::Sentinel(_) => {
                sentinel::stock_rules::blind_spots(policy.hash_types, policy.filter.included.hash, has_ipv6)
            }
            Self::Defender(_) => None,
        }
    }

    /// Whether rules that come with the destination match what it holds.
    pub fn has_rules(&self) -> bool {
        matches!(self, Self::Sentinel(_))
    }

    /// Whether the destination would reject it, as far as is known without asking.
    pub fn is_unfit(&self, planned: &Planned, now: DateTime<Utc>) -> bool {
        match self {
            Self::Sentinel(_) => false,
            Self::Defender(defender) => defender.is_unfit(planned, now),
        }
    }

    /// The connections to try. With `canary`, what only an upload can show is shown by one, at Sentinel.
    pub fn probes<'a>(&'a self, deadline: &'a Deadline, canary: bool) -> Vec<Probe<'a>> {
        match self {
            Self::Sentinel(sentinel) => sentinel.probes(deadline, canary),
            Self::Defender(defender) => defender.probes(deadline),
        }
    }

    /// The API that takes what is delivered.
    fn api(&self) -> &Api {
        match self {
            Self::Sentinel(sentinel) => &sentinel.api,
            Self::Defender(defender) => &defender.api,
        }
    }
}
