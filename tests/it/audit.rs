//! What a destination holds from our source against the manifest: what an audit finds, what its repair sends, and what
//! neither of them touches.

mod comparison;
mod defender;
mod gti;
mod monthly;
mod page;
mod repair;
mod sentinel;
mod stored;

use std::time::Duration;

use mati_sync::{
    clock::Deadline,
    domain::{
        findings::{Audit, Findings},
        observable::{HashType, Observable},
        report::Report,
    },
    pass::Work,
};
use serde_json::Value;

use crate::harness::world::World;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

impl World {
    /// `mati-sync audit` in a new process.
    async fn audit(&self) -> Audit {
        let (_sender, stop) = tokio::sync::watch::channel(false);
        self.start().engine.audit(&Deadline::unlimited(stop)).await.expect("it is made")
    }

    /// `mati-sync audit --repair` in a new process.
    async fn repair(&self) -> Report {
        let ended = self.run(Work::Repair, 10 * HOUR).await;
        let [report] = <[Report; 1]>::try_from(ended.reports).expect("one pass");
        report
    }

    /// What is kept of the last audits.
    fn kept(&self) -> Option<Audit> {
        let bytes = std::fs::read(self.state.path().join("audit.json")).ok()?;
        Some(serde_json::from_slice(&bytes).expect("an audit"))
    }

    fn id(value: &str) -> String {
        let observable = Observable::of_text(value).expect("a value");
        observable.subject(HashType::Sha256).key().stix_id()
    }

    fn delete_by_hand(&self, value: &str) {
        assert!(self.sentinel.delete_by_hand("Mandiant", &Self::id(value)), "{value} is not there");
    }

    fn change_by_hand(&self, value: &str, field: &str, content: Value) {
        let change = |object: &mut Value| object[field] = content;
        assert!(self.sentinel.change_by_hand("Mandiant", &Self::id(value), change), "{value} is not there");
    }
}

/// Missing, changed, unknown and expired; then what was repaired.
fn numbers(findings: &Findings) -> ([u64; 4], u64) {
    let Findings { missing, changed, unknown, expired, repaired, .. } = *findings;
    ([missing, changed, unknown, expired], repaired)
}

fn of(report: &Report, lane: &str) -> Findings {
    report.lanes[lane].audit.clone().unwrap_or_else(|| panic!("no audit of {lane}: {report:#?}"))
}
