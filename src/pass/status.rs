//! What can be asked of the state between passes.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Engine;
use crate::{
    domain::{
        manifest::Manifest,
        progress::{Backfill, Progress},
        report::Report,
        request::Request,
    },
    state::{error::StateError, lane::read_manifest},
};

/// Passes shown in an overview.
const SHOWN: usize = 20;

/// What is known of one run id.
#[derive(Clone, Debug, PartialEq)]
pub enum RunStatus {
    Ended(Report),
    /// Accepted, and not yet applied.
    Waiting(Request),
}

/// Body of `GET /api/status`.
#[derive(Clone, Debug, Serialize)]
pub struct Overview {
    /// `None`: the lane has not run yet.
    pub lanes: BTreeMap<String, Option<LaneOverview>>,
    /// Manual reruns not yet applied.
    pub requests: Vec<String>,
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
    /// Ranges still to be read beside the live one.
    pub backfills: Vec<Backfill>,
}

impl From<&Progress> for LaneOverview {
    fn from(progress: &Progress) -> Self {
        Self {
            watermark: progress.watermark,
            manifest: progress.manifest_entries,
            backfills: progress.backfills.clone(),
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
        store.prepare().await?;
        if let Some(report) = store.report(run_id).await? {
            return Ok(Some(RunStatus::Ended(report)));
        }
        Ok(store.request(run_id).await?.map(RunStatus::Waiting))
    }

    /// Where every lane stands, and the newest passes.
    ///
    /// # Errors
    /// The state cannot be read.
    pub async fn overview(&self) -> Result<Overview, StateError> {
        let store = (self.open_store)()?;
        store.prepare().await?;
        let mut lanes = BTreeMap::new();
        for lane in &self.lanes {
            let progress = store.progress(lane.name).await?;
            lanes.insert(lane.name.to_owned(), progress.as_ref().map(LaneOverview::from));
        }
        let requests = store.requests().await?.into_iter().map(|request| request.run_id).collect();
        Ok(Overview { lanes, requests, runs: store.newest_reports(SHOWN).await? })
    }

    /// Everything a lane's manifest holds.
    ///
    /// # Errors
    /// The state cannot be read.
    pub async fn manifest(&self, lane: &str) -> Result<Manifest, StateError> {
        let store = (self.open_store)()?;
        store.prepare().await?;
        read_manifest(&store, lane).await
    }
}
