//! Refused records, offered once more because an operator asks for it.

use serde::Deserialize;
use tracing::warn;

use super::{deliver::Until, desk::Desk, halt::Halt, lane::LanePass};
use crate::{
    domain::{
        indicator::Indicator,
        plan::{Plan, plan_page},
        policy::Reading,
        purpose::Purpose,
        task::Range,
    },
    state::{lane::LaneState, refusals::run_id_of, store::Store},
};

/// So many records are offered before what became of them is written down.
const PAGE: usize = 1000;

/// What of a line in `rejected/<run_id>.jsonl` is needed to offer the record again.
#[derive(Deserialize)]
struct Line {
    indicator: Indicator,
}

impl<'a> LanePass<'a> {
    /// Offers every refused record again, if nothing newer speaks about its value. A line leaves its file when what it
    /// stands for was done or is no longer wanted; what is refused again moves to this pass's file; what could not be
    /// done (no room, a retraction that waits) stays. A file is written anew once, when the pass is through with it or
    /// cannot go on: after a crash before that, what was settled is offered again and found settled.
    pub(super) async fn retry_rejected(&mut self, store: &Store, state: &mut LaneState) -> Result<(), Halt> {
        for name in store.refused_in(self.lane.name).await? {
            if run_id_of(&name) == self.pass.run_id {
                continue;
            }
            let content = store.refused(self.lane.name, &name).await?;
            let lines: Vec<&str> = content.lines().collect();
            let mut kept = Vec::new();
            let offered = self.offer_all(store, state, &lines, &mut kept).await;
            if let Some(lease) = self.lease.filter(|_| kept.len() < lines.len()) {
                let left: String = kept.iter().map(|line| format!("{line}\n")).collect();
                store.replace_refused(lease, self.lane.name, &name, &left).await?;
            }
            offered?;
        }
        Ok(())
    }

    /// Offers the records of these lines, page by page. `kept` takes the lines that stand for something that is still
    /// to be done; also, when the lane cannot go on, those that were not offered.
    async fn offer_all<'l>(
        &mut self,
        store: &Store,
        state: &mut LaneState,
        lines: &[&'l str],
        kept: &mut Vec<&'l str>,
    ) -> Result<(), Halt> {
        let mut ended = Ok(());
        for page in lines.chunks(PAGE) {
            if ended.is_err() {
                kept.extend(page);
                continue;
            }
            let (mut offered, mut damaged) = (Vec::new(), Vec::new());
            for line in page {
                let read = serde_json::from_str::<Line>(line).map_err(|error| error.to_string());
                // An earlier version may have spelt its value otherwise, or taken it for one.
                match read.and_then(|Line { indicator }| {
                    indicator.respelt().map_err(|malformed| malformed.to_string())
                }) {
                    Ok(indicator) => offered.push((*line, indicator)),
                    Err(error) => {
                        warn!(
                            lane = self.lane.name,
                            "a line of a refused record is damaged and cannot be offered again: {error}"
                        );
                        damaged.push(*line);
                    }
                }
            }
            match self.offer(store, state, offered).await {
                Ok(open) => kept.extend(damaged.into_iter().chain(open)),
                Err(halt) => {
                    kept.extend(page);
                    ended = Err(halt);
                }
            }
        }
        ended
    }

    /// Offers the records of these lines, and returns those lines that stand for something that is still to be done.
    pub(super) async fn offer<'l>(
        &mut self,
        store: &Store,
        state: &mut LaneState,
        offered: Vec<(&'l str, Indicator)>,
    ) -> Result<Vec<&'l str>, Halt> {
        let (lines, indicators): (Vec<&str>, Vec<Indicator>) = offered.into_iter().unzip();
        self.counts.read += indicators.len() as u64;
        self.counts.replayed += indicators.len() as u64;
        let now = self.engine.clock.now();
        let reading =
            Reading { purpose: Purpose::Retry, refreshes: state.progress.refreshes, horizon: now, now };
        let policy = &self.lane.policy;
        let keyed = policy.keyed(indicators);
        let mut desk = Desk::for_range(Range::Live);
        self.unsettled.clear();
        let keys: Vec<_> = keyed.iter().map(|(key, _)| *key).collect();
        let mut plan = plan_page(keyed, policy, &mut state.manifest, &reading, &mut self.counts);
        self.withhold(state, &mut plan, &reading);
        let delivered = self.deliver_all(store, state, &mut desk, plan).await;
        self.counts.left += desk.open();
        delivered?;
        let lines = lines.into_iter().zip(keys);
        Ok(lines.filter(|(_, key)| self.unsettled.contains(key)).map(|(line, _)| line).collect())
    }

    async fn deliver_all(
        &mut self,
        store: &Store,
        state: &mut LaneState,
        desk: &mut Desk<'a>,
        plan: Plan,
    ) -> Result<(), Halt> {
        self.deliver(store, state, desk, plan).await?;
        self.carry_on(store, state, desk, Until::Settled).await
    }
}
