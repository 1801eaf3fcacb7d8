//! Values that another application holds at the destination: never touched, remembered, and delivered when that ends.

use serde::{Deserialize, Serialize};
use tracing::info;

use super::{halt::Halt, ledger::Ledger};
use crate::domain::{
    entry::{Known, State},
    fingerprint::Fingerprint,
    indicator::Indicator,
    plan::Planned,
};

/// A line of `foreign.jsonl`.
#[derive(Serialize, Deserialize)]
struct Line {
    /// Type and value, as the destination tells its indicators apart.
    #[serde(rename = "about")]
    compared_as: String,
    indicator: Indicator,
    /// Of its content, as it would have been sent then.
    #[serde(default)]
    fingerprint: Option<Fingerprint>,
}

/// Leaves `items` as another application has them at the destination, and remembers them. Returns what is known of them,
/// for the next commit.
///
/// # Errors
/// Why the lane cannot go on.
pub(super) async fn remember(ledger: &mut Ledger<'_>, items: &[Planned]) -> Result<Vec<Known>, Halt> {
    let context = ledger.context;
    if items.is_empty() {
        return Ok(Vec::new());
    }
    info!(
        lane = context.lane.name,
        "{} indicators are left as another application has them at the destination; they are delivered when that ends",
        items.len()
    );
    let mut lines = String::new();
    for item in items {
        let before = ledger.state.manifest.get(item.key);
        let is_known = before
            .is_some_and(|before| before.state() == State::Foreign && before.fingerprint == item.fingerprint);
        if !is_known {
            let (value, kind) = (item.value(), item.type_name());
            info!(
                lane = context.lane.name,
                value,
                "type" = kind,
                "{value} is left as another application has it"
            );
            let compared_as = context.lane.destination.compared_as(item);
            let (indicator, fingerprint) = (item.indicator.clone(), Some(item.fingerprint));
            let line = Line { compared_as, indicator, fingerprint };
            lines.push_str(&serde_json::to_string(&line).expect("our own types are JSON"));
            lines.push('\n');
        }
    }
    // Before the commit that follows: what the manifest says is remembered has its line.
    if let Some(lease) = context.lease.filter(|_| !lines.is_empty()) {
        lines.insert_str(0, &context.store.foreign(context.lane.name).await?);
        context.store.write_foreign(lease, context.lane.name, &lines).await?;
    }
    let remembered: Vec<Known> = items.iter().map(foreign).collect();
    for known in &remembered {
        ledger.unsettled.insert(known.entry.key);
        ledger.state.manifest.put(*known);
    }
    Ok(remembered)
}

/// What is known once another application was found to hold the value.
fn foreign(item: &Planned) -> Known {
    let Known { entry, .. } = item.acknowledged(None);
    Known::from(entry.in_state(State::Foreign))
}
