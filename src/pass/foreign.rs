//! Values that another application holds at the destination: never touched, remembered, and delivered when that ends.

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::{desk::Desk, halt::Halt, lane::LanePass};
use crate::{
    destination::{Destination, defender::client::Defender},
    domain::{
        entry::{Known, State},
        indicator::Indicator,
        plan::Planned,
    },
    state::{lane::LaneState, store::Store},
};

/// A line of `foreign.jsonl`.
#[derive(Serialize, Deserialize)]
struct Line {
    /// Type and value, as the destination compares them.
    about: String,
    indicator: Indicator,
}

impl LanePass<'_> {
    /// Leaves `items` as another application has them in the tenant, and remembers them.
    pub(super) async fn leave_foreign(
        &mut self,
        store: &Store,
        state: &mut LaneState,
        desk: &mut Desk<'_>,
        defender: &Defender,
        items: &[Planned],
    ) -> Result<(), Halt> {
        if items.is_empty() {
            return Ok(());
        }
        info!(
            lane = self.lane.name,
            "{} indicators are left as another application has them in the tenant; they are delivered when that ends",
            items.len()
        );
        let mut lines = String::new();
        for item in items {
            self.counts.unchanged += 1;
            self.unsettled.insert(item.key);
            desk.close(item);
            let known = item.foreign();
            let before = state.manifest.get(item.key);
            let is_known = before.is_some_and(|before| {
                before.state() == State::Foreign && before.fingerprint == item.fingerprint
            });
            if !is_known {
                let line = Line { about: defender.about(item), indicator: item.indicator.clone() };
                lines.push_str(&serde_json::to_string(&line).expect("our own types are JSON"));
                lines.push('\n');
            }
            state.manifest.put(known);
            desk.note(known);
        }
        // Before the commit that follows: what the manifest says is remembered has its line.
        if let Some(lease) = self.lease.filter(|_| !lines.is_empty()) {
            lines.insert_str(0, &store.foreign(self.lane.name).await?);
            store.write_foreign(lease, self.lane.name, &lines).await?;
        }
        Ok(())
    }

    /// Offers what another application held until now.
    pub(super) async fn deliver_foreign(&mut self, store: &Store, state: &mut LaneState) -> Result<(), Halt> {
        if !matches!(self.lane.destination, Destination::Defender(_))
            || !state.manifest.entries().iter().any(|entry| entry.state() == State::Foreign)
        {
            return Ok(());
        }
        self.look_around(state).await?;
        let content = store.foreign(self.lane.name).await?;
        let (mut kept, mut free) = (Vec::new(), Vec::new());
        for line in content.lines() {
            match serde_json::from_str::<Line>(line) {
                Ok(Line { about, .. }) if self.foreign.contains(&about) => kept.push(line),
                Ok(Line { indicator, .. }) => free.push((line, indicator)),
                Err(error) => warn!(lane = self.lane.name, "a line of foreign.jsonl cannot be read: {error}"),
            }
        }
        if free.is_empty() {
            return Ok(());
        }
        kept.extend(self.offer(store, state, free).await?);
        if let Some(lease) = self.lease {
            let lines: String = kept.iter().map(|line| format!("{line}\n")).collect();
            store.write_foreign(lease, self.lane.name, &lines).await?;
        }
        Ok(())
    }
}

impl Planned {
    /// What is known once another application was found to hold the value.
    fn foreign(&self) -> Known {
        let Known { entry, .. } = self.acknowledged(None);
        Known::from(entry.in_state(State::Foreign))
    }
}
