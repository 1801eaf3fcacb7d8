//! Refused records, offered once more because somebody asks for it.

use serde::Deserialize;
use tracing::warn;

use super::{
    deliver::{Desk, Until},
    halt::Halt,
    lane::LanePass,
};
use crate::{
    domain::{
        indicator::Indicator,
        plan::{Purpose, plan_page},
    },
    state::{lane::LaneState, store::Store},
};

/// So many records are offered before what became of them is written down.
const PAGE: usize = 1000;

/// What of a line in `rejected/<run_id>.jsonl` is needed to offer the record again.
#[derive(Deserialize)]
struct Line {
    indicator: Indicator,
}

impl LanePass<'_> {
    /// Offers every refused record again. Whatever is accepted, or wanted no longer, leaves its file; whatever is
    /// refused again moves to this pass's file.
    pub(super) async fn retry_rejected(&mut self, store: &Store, state: &mut LaneState) -> Result<(), Halt> {
        for run_id in store.refused_in(self.lane.name).await? {
            if run_id == self.pass.run_id {
                continue;
            }
            let content = store.rejected(self.lane.name, &run_id).await?;
            let mut lines: Vec<&str> = content.lines().collect();
            let mut kept = String::new();
            while !lines.is_empty() {
                let rest = lines.split_off(lines.len().min(PAGE));
                let mut indicators = Vec::new();
                for line in std::mem::replace(&mut lines, rest) {
                    match serde_json::from_str::<Line>(line) {
                        Ok(Line { indicator }) => indicators.push(indicator),
                        Err(error) => {
                            warn!(
                                lane = self.lane.name,
                                "a line of {run_id}.jsonl cannot be offered again: {error}"
                            );
                            kept.push_str(&format!("{line}\n"));
                        }
                    }
                }
                self.counts.read += indicators.len() as u64;
                self.counts.replayed += indicators.len() as u64;
                let purpose = Purpose { retry: true, ..Purpose::default() };
                let now = self.engine.clock.now();
                let policy = &self.lane.policy;
                let planned = plan_page(
                    policy.keyed(indicators),
                    policy,
                    &state.manifest,
                    purpose,
                    now,
                    &mut self.counts,
                );
                let mut desk = Desk::default();
                self.deliver(store, state, &mut desk, planned).await?;
                self.carry_on(store, state, &mut desk, Until::Settled).await?;
                if let Some(lease) = self.lease {
                    let left: String = lines.iter().map(|line| format!("{line}\n")).collect();
                    let left = format!("{kept}{left}");
                    store.rewrite_rejected(lease, self.lane.name, &run_id, &left).await?;
                }
            }
        }
        Ok(())
    }
}
