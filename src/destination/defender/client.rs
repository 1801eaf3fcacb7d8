//! Imports, deletions and the list, each as often as it takes.

use std::collections::HashSet;

use axum::{
    body::Bytes,
    http::{Method, Uri},
};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    classify::{self, Deletion, Sent},
    convert::{Style, indicator, indicator_type, unfit},
    wire::{BatchDelete, Import, Listed, Page, compared_as},
};
use crate::{
    azure::api::{Api, ApiError, Call, Verdict},
    clock::Deadline,
    domain::{
        entry::Handle,
        outcome::{RecordOutcome, Rejection},
        plan::Planned,
    },
    http::{probe::Probe, traffic::Traffic, transport::Answer},
};

/// The most indicators in one import, and ids in one deletion, by Microsoft's documentation.
pub const BATCH: usize = 500;
/// The pace of all requests together. Imports may come thirty times a minute and everything else 1,500 times an
/// hour (learn.microsoft.com, "Import Indicators API", "Batch delete indicators"); 25 a minute keeps both.
pub const REQUESTS_PER_MINUTE: u32 = 25;
/// The longest answer that is read: a page of the list, 10,000 indicators with everything the API tells of each.
pub const ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// The most indicators in one page of the list.
const PAGE: usize = 10_000;
/// A tenant holds 15,000 indicators; more pages than this mean that the server is looping.
const MOST_PAGES: usize = 100;

/// The API's word for what kind of indicator `planned` is.
pub fn kind(planned: &Planned) -> &'static str {
    indicator_type(planned.subject().kind)
}

/// One tenant's indicators.
pub struct Defender {
    /// Its limiter is for imports, deletions and the list together.
    pub api: Api,
    /// Without a slash at its end.
    pub base_url: String,
    pub style: Style,
    /// The most indicators that the tenant may come to hold, whichever application made them.
    pub limit: usize,
}

impl Defender {
    /// The indicator that stands for `planned`, for a person to read.
    pub fn preview(&self, planned: &Planned) -> serde_json::Value {
        serde_json::to_value(indicator(planned, &self.style)).unwrap_or_default()
    }

    /// Type and value, in the words of [`Listed::compared_as`].
    pub fn compared_as(&self, planned: &Planned) -> String {
        let sent = indicator(planned, &self.style);
        compared_as(sent.indicator_type, &sent.indicator_value)
    }

    /// Whether the API would reject it, as far as is known without asking.
    pub fn is_unfit(&self, planned: &Planned, now: DateTime<Utc>) -> bool {
        unfit(planned, now).is_some()
    }

    /// Uploads one batch, at most [`BATCH`], and returns what became of each record, in their order. An indicator
    /// that the tenant holds under the same value and type is updated.
    ///
    /// What the API is known to reject is rejected without being sent: one such indicator can make it reject all
    /// the others of the request.
    ///
    /// # Errors
    /// Nothing of the batch is known to be settled; see [`ApiError`].
    pub async fn import(
        &self,
        batch: &[Planned],
        deadline: &Deadline,
        traffic: &Traffic,
    ) -> Result<Vec<RecordOutcome>, ApiError> {
        let now = self.api.clock.now();
        let faults: Vec<Option<&str>> = batch.iter().map(|planned| unfit(planned, now)).collect();
        let fit: Vec<&Planned> = batch
            .iter()
            .zip(&faults)
            .filter(|(_, fault)| fault.is_none())
            .map(|(planned, _)| planned)
            .collect();
        let mut delivered = self.send(&fit, deadline, traffic).await?.into_iter();
        let deliveries = faults.into_iter().map(|fault| match fault {
            Some(fault) => RecordOutcome::Rejected(Rejection {
                reason: format!("{fault}, which Defender for Endpoint does not take; it was not sent"),
                request_id: None,
            }),
            None => delivered.next().expect("every indicator that was sent has its delivery"),
        });
        Ok(deliveries.collect())
    }

    async fn send(
        &self,
        batch: &[&Planned],
        deadline: &Deadline,
        traffic: &Traffic,
    ) -> Result<Vec<RecordOutcome>, ApiError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let indicators: Vec<_> = batch.iter().map(|planned| indicator(planned, &self.style)).collect();
        let sent: Vec<Sent> = batch
            .iter()
            .zip(&indicators)
            .map(|(planned, indicator)| Sent {
                value: indicator.indicator_value.clone().into_owned(),
                rank: planned.rank(),
            })
            .collect();
        let call = self.post("import", &Import { indicators: &indicators }, indicators.len());
        let read = |answer: &Answer| classify::import(answer, &sent, self.api.clock.now());
        self.api.call(&call, read, deadline, traffic).await
    }

    /// Deletes one batch, and returns what became of each record, in their order.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn remove(
        &self,
        batch: &[Planned],
        deadline: &Deadline,
        traffic: &Traffic,
    ) -> Result<Vec<RecordOutcome>, ApiError> {
        let number = |item: &Planned| item.handle.and_then(Handle::number);
        let numbers: Vec<u64> = batch.iter().filter_map(number).collect();
        self.delete(&numbers, deadline, traffic).await?;
        let delivery = |item| match number(item) {
            Some(_) => RecordOutcome::Acknowledged(None),
            None => RecordOutcome::Rejected(Rejection {
                reason:
                    "it cannot be deleted, because Defender gave no number for it; it ends with its validity"
                        .to_owned(),
                request_id: None,
            }),
        };
        Ok(batch.iter().map(delivery).collect())
    }

    /// Deletes the indicators with these ids; those that do not exist (any more) count as deleted.
    ///
    /// # Errors
    /// Some may be deleted; to ask again is safe. See [`ApiError`].
    pub async fn delete(&self, ids: &[u64], deadline: &Deadline, traffic: &Traffic) -> Result<(), ApiError> {
        for batch in ids.chunks(BATCH) {
            if self.try_delete(batch, deadline, traffic).await? == Deletion::SomeMissing {
                self.delete_those_that_exist(batch, deadline, traffic).await?;
            }
        }
        Ok(())
    }

    /// One missing id makes the API reject all of them. The list says which ones there are: a few requests, where
    /// hundreds of missing ids, each to be found by halving, would take longer than a pass has. If the list is
    /// not up to date, halving it is.
    async fn delete_those_that_exist(
        &self,
        ids: &[u64],
        deadline: &Deadline,
        traffic: &Traffic,
    ) -> Result<(), ApiError> {
        let listed = self.list(deadline, traffic).await?;
        let existing: HashSet<u64> = listed.iter().filter_map(|listed| listed.id).collect();
        let mut rest = vec![ids.iter().copied().filter(|id| existing.contains(id)).collect::<Vec<_>>()];
        while let Some(mut ids) = rest.pop() {
            let is_missing =
                !ids.is_empty() && self.try_delete(&ids, deadline, traffic).await? == Deletion::SomeMissing;
            if is_missing && ids.len() > 1 {
                rest.push(ids.split_off(ids.len() / 2));
                rest.push(ids);
            }
        }
        Ok(())
    }

    async fn try_delete(
        &self,
        ids: &[u64],
        deadline: &Deadline,
        traffic: &Traffic,
    ) -> Result<Deletion, ApiError> {
        let body = BatchDelete { indicator_ids: ids.iter().map(u64::to_string).collect() };
        let call = self.post("BatchDelete", &body, ids.len());
        let read = |answer: &Answer| classify::deletion(answer, self.api.clock.now());
        self.api.call(&call, read, deadline, traffic).await
    }

    /// Everything the tenant holds, whichever application made it. What changes meanwhile may be missing.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn list(&self, deadline: &Deadline, traffic: &Traffic) -> Result<Vec<Listed>, ApiError> {
        let mut all: Vec<Listed> = Vec::new();
        let mut seen = HashSet::new();
        let mut read_so_far = 0;
        let mut next = None;
        for _ in 0..MOST_PAGES {
            let place = format!("{}/api/indicators?$top={PAGE}&$skip={read_so_far}", self.base_url);
            let url = next.take().unwrap_or(place);
            let call = Call {
                method: Method::GET,
                url,
                settings: "DEFENDER_BASE_URL",
                body: Bytes::new(),
                parts: 1,
            };
            let read = |answer: &Answer| -> Verdict<Page> { classify::page(answer, self.api.clock.now()) };
            let Page { value, count, next_link } = self.api.call(&call, read, deadline, traffic).await?;
            // A page shorter than asked for may be the server's own limit: only one that brings nothing is the end.
            next = next_link.filter(|link| self.is_ours(link));
            read_so_far += count;
            let (before, readable) = (all.len(), value.len());
            all.extend(value.into_iter().filter(|listed| seen.insert(identity(listed))));
            if count == 0 || readable > 0 && all.len() == before {
                return Ok(all);
            }
        }
        Err(ApiError::Stalled(
            format!(
                "Defender for Endpoint's list of indicators has no end: {} after {MOST_PAGES} pages",
                all.len()
            )
            .into(),
        ))
    }

    /// The connections to try: a token, and one indicator of the list.
    pub fn probes<'a>(&'a self, deadline: &'a Deadline) -> Vec<Probe<'a>> {
        let attempt = async move {
            let held = if self.holds_any(deadline).await? { "it holds some" } else { "it holds none yet" };
            Ok(format!(
                "{held}; by Microsoft's documentation an identity that may list them may also import them"
            ))
        };
        let tried = format!("{} was asked for one indicator of the list", self.base_url);
        let name = "Defender for Endpoint".to_owned();
        vec![self.api.token_probe(deadline), Probe::new(name, tried, attempt)]
    }

    async fn holds_any(&self, deadline: &Deadline) -> Result<bool, ApiError> {
        let call = Call {
            method: Method::GET,
            url: format!("{}/api/indicators?$top=1", self.base_url),
            settings: "DEFENDER_BASE_URL",
            body: Bytes::new(),
            parts: 1,
        };
        let read = |answer: &Answer| -> Verdict<Page> { classify::page(answer, self.api.clock.now()) };
        Ok(self.api.call(&call, read, deadline, &Traffic::default()).await?.count > 0)
    }

    /// Whether `link` leads to the host of the settings: a token goes nowhere else.
    fn is_ours(&self, link: &str) -> bool {
        let origin = |url: &str| {
            let url: Uri = url.parse().ok()?;
            Some((url.scheme()?.clone(), url.authority()?.clone()))
        };
        origin(link).is_some_and(|link| origin(&self.base_url) == Some(link))
    }

    fn post(&self, what: &str, body: &impl Serialize, parts: usize) -> Call {
        Call {
            method: Method::POST,
            url: format!("{}/api/indicators/{what}", self.base_url),
            settings: "DEFENDER_BASE_URL",
            body: serde_json::to_vec(body).expect("our own types are JSON").into(),
            parts,
        }
    }
}

/// What tells two listed indicators apart: the number, or where there is none what they are about.
fn identity(listed: &Listed) -> (Option<u64>, String) {
    let about = || format!("{} {}", listed.indicator_type, listed.value);
    (listed.id, listed.id.map_or_else(about, |_| String::new()))
}
