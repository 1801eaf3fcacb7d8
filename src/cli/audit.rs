//! `mati-sync audit`: what the destinations hold from our source against the manifests.

use std::process::ExitCode;

use serde_json::json;
use tokio::sync::watch::Receiver;

use super::{Output, out, watch};
use crate::{
    clock::Deadline,
    domain::findings::{Audit, Example, Findings},
    pass::{Engine, Work},
};

/// Compares, with `repair` repairs, and says what came of it; exits with 1 if something is amiss and was not repaired.
pub async fn run(repair: bool, engine: &Engine, output: Output, stop: Receiver<bool>) -> ExitCode {
    let deadline = Deadline::unlimited(stop);
    let (audit, troubles) = if repair {
        repaired(engine, output, &deadline).await
    } else {
        match engine.audit(&deadline).await {
            Ok(audit) => (audit, Vec::new()),
            Err(error) => return super::failure(&error.to_string()),
        }
    };
    if output.json {
        out::print(&format!("{}\n", out::json(&json!(audit))));
    }
    for (name, findings) in &audit.lanes {
        let text = text(name, findings, engine);
        match (output.json, output.quiet, findings.is_well()) {
            (true, ..) | (_, true, true) => {}
            (_, true, false) => out::tell(&text),
            (false, false, _) => out::print(&format!("{text}\n")),
        }
    }
    troubles.iter().for_each(|trouble| out::tell(trouble));
    let is_well = troubles.is_empty() && audit.lanes.values().all(Findings::is_well);
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a pass that repairs. Returns what its lanes found, and why lanes did not come so far or did not end well.
async fn repaired(engine: &Engine, output: Output, deadline: &Deadline) -> (Audit, Vec<String>) {
    let pass = engine.run(Work::Repair, None, deadline);
    let ended = if output.quiet { pass.await } else { watch::watched(engine, pass).await };
    let (mut audit, mut troubles) = (Audit::default(), Vec::new());
    // Requests that waited may have been run behind it.
    let Some(report) = ended.reports.into_iter().next() else { return (audit, troubles) };
    if report.lanes.is_empty() {
        troubles.push(report.message);
    }
    for (name, lane) in report.lanes {
        match lane.audit {
            Some(findings) => _ = audit.lanes.insert(name, findings),
            None => troubles.push(format!(
                "{name} was not audited: {}",
                lane.message.unwrap_or_else(|| lane.end.word().to_owned())
            )),
        }
    }
    (audit, troubles)
}

fn text(name: &str, findings: &Findings, engine: &Engine) -> String {
    let mut text = format!("{name}: {}", findings.sentence(engine.source.limits().reach));
    for Example { id, wrong, fields } in &findings.examples {
        let fields: Vec<&str> = fields.iter().map(|field| field.word()).collect();
        text.push_str(format!("\n  {id}  {} {}", wrong.word(), fields.join(", ")).trim_end());
    }
    let named = findings.examples.len() as u64;
    if named > 0 && findings.amiss() > named {
        text.push_str(&format!("\n  and {} more", findings.amiss() - named));
    }
    text
}
