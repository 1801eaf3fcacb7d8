//! What can be asked of the state between passes.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tracing::warn;

use super::{cost::LaneCost, engine::Engine};
use crate::{
    domain::{
        arrival::ArrivalOverview,
        comparison::Comparison,
        days::Day,
        feeds::{Feeds, NotedLoss, Quota},
        findings::Audit,
        manifest::Manifest,
        progress::Progress,
        purpose::Backfill,
        rejected::RejectedRecord,
        report::Report,
        request::Request,
        tally::Tally,
        window::Limits,
        withheld::{WaitingCreations, Withheld},
    },
    state::{commit::read_manifest, error::StateError, object::Holder, requests::Unusable, store::Store},
};

/// Passes shown in an overview.
const SHOWN: usize = 30;
/// Rejected records shown of each lane, out of so many files at most.
const REJECTED_SHOWN: usize = 5;

/// What is known of one run id.
#[derive(Clone, Debug, PartialEq)]
pub enum RunStatus {
    Ended(Report),
    /// Accepted, and not yet applied.
    Waiting(Request),
    /// Its request cannot be used, and stands aside or will.
    Aside(Unusable),
}

/// Body of `GET /api/status`.
#[derive(Clone, Debug, Serialize)]
pub struct Overview {
    /// When it was taken.
    pub at: DateTime<Utc>,
    /// `None`: the lane has not run yet.
    pub lanes: BTreeMap<String, Option<LaneOverview>>,
    /// Manual reruns not yet applied.
    pub requests: Vec<String>,
    /// Files among the requests that cannot be used: set aside, or about to be.
    pub aside: Vec<String>,
    /// The pass that is running, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<Holder>,
    /// The last comparison of two sources, if one was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// What the last audit of each lane found, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
    /// The newest passes, newest first.
    pub runs: Vec<Report>,
}

/// Where a lane stands.
#[derive(Clone, Debug, Serialize)]
pub struct LaneOverview {
    /// Everything the source had updated up to here is settled.
    pub watermark: DateTime<Utc>,
    /// Number of indicators in the manifest.
    pub manifest: u64,
    /// How far each feed is, of a source that has several.
    #[serde(skip_serializing_if = "Feeds::is_empty")]
    pub feeds: Feeds,
    /// How much of what the source lets us ask in a day is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// What the source could no longer give.
    pub losses: Vec<NotedLoss>,
    /// Ranges still to be read beside the live one.
    pub backfills: Vec<Backfill>,
    /// Retractions that wait for an operator's confirmation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withheld: Option<Withheld>,
    /// Creations that wait for an operator's confirmation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<WaitingCreations>,
    /// What the lane waits to see at its destination, if it looks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrival: Option<ArrivalOverview>,
    /// Until when the first of them can be confirmed, where the source gives them no more after that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_until: Option<DateTime<Utc>>,
    /// What is not in the progress.
    #[serde(skip)]
    pub detail: Option<LaneDetail>,
}

/// What a lane's whole memory says.
#[derive(Clone, Debug)]
pub struct LaneDetail {
    /// The manifest in numbers, or why it cannot be read.
    pub tally: Result<Tally, String>,
    /// What the lane did on each of the last days, in their order.
    pub days: Vec<Day>,
    /// How many indicators the destination may come to hold, if that is limited.
    pub capacity: Option<u64>,
    /// What the destination's own rules cannot match of what the lane sends.
    pub blind_spots: Option<String>,
    /// The newest of the rejected records on file, newest first.
    pub rejected: Vec<RejectedRecord>,
    /// What the lane costs, where that can be told.
    pub cost: Option<LaneCost>,
}

impl LaneOverview {
    /// What the progress of a lane says, whose source has these limits.
    fn of(progress: &Progress, limits: Limits) -> Self {
        let oldest = progress.waiting.as_ref().map(|waiting| waiting.oldest);
        Self {
            watermark: progress.watermark,
            manifest: progress.manifest_entries,
            feeds: progress.feeds.clone(),
            quota: progress.quota,
            losses: progress.losses.clone(),
            backfills: progress.backfills.clone(),
            withheld: progress.withheld,
            waiting: progress.waiting.clone(),
            arrival: None,
            waiting_until: oldest.and_then(|oldest| limits.readable_until(oldest)),
            detail: None,
        }
    }
}

impl Engine {
    /// The report of one pass, or word that its request still waits.
    ///
    /// # Errors
    /// The state cannot be read.
    pub async fn report_of(&self, run_id: &str) -> Result<Option<RunStatus>, StateError> {
        let store = (self.open_store)()?;
        if let Some(report) = store.report(run_id).await? {
            return Ok(Some(RunStatus::Ended(report)));
        }
        if let Some(found) = store.request(run_id).await? {
            return Ok(Some(self.usable(found).map_or_else(RunStatus::Aside, RunStatus::Waiting)));
        }
        Ok(store.request_aside(run_id).await?.map(RunStatus::Aside))
    }

    /// Where every lane stands by its progress, and the newest passes.
    async fn outline(&self) -> Result<Overview, StateError> {
        let store = (self.open_store)()?;
        let mut lanes = BTreeMap::new();
        for lane in &self.lanes {
            let progress = store.progress(lane.name).await?;
            let limits = self.source.limits();
            let mut shown = progress.as_ref().map(|progress| LaneOverview::of(progress, limits));
            if let Some(shown) = shown.as_mut().filter(|_| lane.verifies_arrival) {
                shown.arrival = arrival(&store, lane.name).await?;
            }
            lanes.insert(lane.name.to_owned(), shown);
        }
        let (mut requests, mut aside) = (Vec::new(), store.aside().await?);
        for found in store.requests().await? {
            match self.usable(found) {
                Ok(request) => requests.push(request.run_id),
                Err(unusable) => aside.push(unusable.name),
            }
        }
        let (running, runs) = (store.running().await?, store.newest_reports(SHOWN).await?);
        let comparison = match store.comparison().await {
            Err(error @ StateError::Damaged { .. }) => {
                warn!("{error}");
                None
            }
            read => read?,
        };
        let audit = match store.audit().await {
            Err(error @ StateError::Damaged { .. }) => {
                warn!("{error}");
                None
            }
            read => read?,
        };
        Ok(Overview { at: self.clock.now(), lanes, requests, aside, running, comparison, audit, runs })
    }

    /// The last comparison of two sources, if one was made.
    ///
    /// # Errors
    /// The state cannot be read.
    pub async fn comparison(&self) -> Result<Option<Comparison>, StateError> {
        (self.open_store)()?.comparison().await
    }

    /// Where every lane stands, and the newest passes. Every manifest is read whole.
    ///
    /// # Errors
    /// The state cannot be read.
    pub async fn overview(&self) -> Result<Overview, StateError> {
        let mut overview = self.outline().await?;
        let store = (self.open_store)()?;
        for (name, lane) in &mut overview.lanes {
            let Some(lane) = lane else { continue };
            let tally = match read_manifest(&store, name).await {
                Ok(manifest) => Ok(Tally::of(manifest.entries(), overview.at)),
                Err(error) => Err(error.to_string()),
            };
            let days = match store.days(name).await {
                Err(error @ StateError::Damaged { .. }) => {
                    warn!("{error}");
                    Vec::new()
                }
                read => read?,
            };
            let destination = self.lanes.iter().find(|lane| lane.name == name);
            let holds_ipv6 = tally.as_ref().is_ok_and(|tally| tally.held.ipv6 > 0);
            let blind_spots =
                destination.and_then(|lane| lane.destination.blind_spots(&lane.policy, holds_ipv6));
            let capacity = destination.and_then(|lane| lane.destination.limits().capacity);
            let capacity = capacity.map(|capacity| capacity as u64);
            let rejected = newest_rejected(&store, name).await?;
            let progress = store.progress(name).await?;
            let known = destination.zip(progress.as_ref()).zip(tally.as_ref().ok());
            let cost = known.map(|((lane, progress), tally)| {
                LaneCost::known(lane, &days, progress, tally.held, overview.at)
            });
            lane.detail = Some(LaneDetail { tally, days, capacity, blind_spots, rejected, cost });
        }
        Ok(overview)
    }

    /// When the first indicator of a lane lapses, or lapsed, if no pass renews it; `None`: nothing is held.
    ///
    /// # Errors
    /// The state cannot be read.
    pub async fn first_lapse(&self, lane: &str) -> Result<Option<DateTime<Utc>>, StateError> {
        let store = (self.open_store)()?;
        let Some(progress) = store.progress(lane).await? else { return Ok(None) };
        let renewed_until = progress.last_refresh.map(|last| last.until);
        Ok(read_manifest(&store, lane).await?.first_lapse(renewed_until))
    }

    /// Everything a lane's manifest holds.
    ///
    /// # Errors
    /// The state cannot be read.
    pub async fn manifest(&self, lane: &str) -> Result<Manifest, StateError> {
        let store = (self.open_store)()?;
        read_manifest(&store, lane).await
    }
}

/// What the lane waits to see, if that can be read.
async fn arrival(store: &Store, lane: &str) -> Result<Option<ArrivalOverview>, StateError> {
    match store.arrivals(lane).await {
        Err(error @ StateError::Damaged { .. }) => {
            warn!("{error}");
            Ok(None)
        }
        read => Ok(Some(read?.overview())),
    }
}

async fn newest_rejected(store: &Store, lane: &str) -> Result<Vec<RejectedRecord>, StateError> {
    let mut newest = Vec::new();
    for name in store.rejected_in(lane).await?.iter().rev().take(REJECTED_SHOWN) {
        let content = store.rejected(lane, name).await?;
        let missing = REJECTED_SHOWN - newest.len();
        newest.extend(content.lines().rev().take(missing).map(RejectedRecord::of_line));
    }
    Ok(newest)
}
