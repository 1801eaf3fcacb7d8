//! What lanes cost: read from the state, and for settings that no pass has run under forecast by a dry run.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    Lane,
    engine::Engine,
    forecast::{days, forecast},
    work::{Pass, Work},
};
use crate::{
    clock::Deadline,
    domain::{
        cost::Measured,
        days::Day,
        progress::Progress,
        report::LaneReport,
        request::RunOptions,
        rows::{Change, Forecast},
        tally::{ByType, Tally},
    },
    state::{commit::read_manifest, error::StateError, store::Store},
};

/// What all lanes cost.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    pub lanes: BTreeMap<String, LaneCost>,
}

/// What a lane costs.
#[derive(Clone, Debug, Serialize)]
pub struct LaneCost {
    /// Each object that the destination takes is a row that is billed.
    pub is_billed: bool,
    /// Indicators that it holds.
    pub held: u64,
    #[serde(flatten)]
    pub measured: Measured,
    pub forecast: Forecast,
    /// What the settings change, if no pass has run under them yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
}

impl Engine {
    /// What every lane costs by its sums, as far as that can be told without reading the source.
    ///
    /// # Errors
    /// The state cannot be read.
    pub async fn measured_cost(&self) -> Result<Cost, StateError> {
        let store = (self.open_store)()?;
        let mut lanes = BTreeMap::new();
        for lane in &self.lanes {
            let cost = match store.progress(lane.name).await? {
                None => LaneCost::of(lane, &[], None, ByType::default(), self.clock.now()),
                Some(progress) => {
                    let now = self.clock.now();
                    let held = Tally::of(read_manifest(&store, lane.name).await?.entries(), now).held;
                    LaneCost::of(lane, &days(&store, lane.name).await?, Some(&progress), held, now)
                }
            };
            lanes.insert(lane.name.to_owned(), cost);
        }
        Ok(Cost { lanes })
    }

    /// The same; for a lane that no pass has run under these settings the forecast is by a dry run, which reads the source
    /// and writes nothing, not even its report.
    ///
    /// # Errors
    /// The state cannot be read, or a dry run did not come to its end.
    pub async fn cost(&self, deadline: &Deadline) -> Result<Cost, StateError> {
        let mut cost = self.measured_cost().await?;
        let store = (self.open_store)()?;
        let pass = self.pass(&Work::Command(RunOptions { dry_run: true, ..RunOptions::default() }), None);
        for lane in &self.lanes {
            let progress = store.progress(lane.name).await?;
            let Some(cost) = cost.lanes.get_mut(lane.name).filter(|cost| cost.is_billed) else { continue };
            if progress.is_some_and(|progress| progress.settings_hash == lane.settings_hash) {
                continue;
            }
            let change = self.rehearse(&store, lane, &pass, deadline).await?;
            (cost.forecast, cost.change) = (change.forecast, Some(change));
        }
        Ok(cost)
    }

    async fn rehearse(
        &self,
        store: &Store,
        lane: &Lane,
        pass: &Pass,
        deadline: &Deadline,
    ) -> Result<Change, StateError> {
        let lanes = self.run_lanes(store, vec![lane], pass, None, "", deadline).await;
        let report = lanes.into_iter().map(|(_, report)| report).next();
        let cost = report.as_ref().and_then(|report| report.cost);
        cost.ok_or_else(|| {
            let why = report.and_then(|LaneReport { message, .. }| message).unwrap_or_default();
            StateError::rejected(format!("the dry run of {} came to no end: {why}", lane.name))
        })
    }
}

impl LaneCost {
    fn of(lane: &Lane, days: &[Day], progress: Option<&Progress>, held: ByType, now: DateTime<Utc>) -> Self {
        Self {
            is_billed: lane.destination.limits().billed,
            held: held.total(),
            measured: Measured::of(days, now),
            forecast: forecast(lane, days, progress, &held, now),
            change: None,
        }
    }

    /// The same of what an overview knows.
    pub(super) fn known(
        lane: &Lane,
        days: &[Day],
        progress: &Progress,
        held: ByType,
        now: DateTime<Utc>,
    ) -> Self {
        Self::of(lane, days, Some(progress), held, now)
    }
}
