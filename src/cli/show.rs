//! Reports and state as a person reads them.

use std::fmt::Write;

use crate::{
    check::Finding,
    domain::{
        outcome::{Changes, Counts},
        report::Report,
    },
    pass::Overview,
};

/// A pass as a small table.
pub fn report(report: &Report) -> String {
    let mut text = String::new();
    let duration = (report.ended_at - report.started_at).num_milliseconds();
    let kind = if report.dry_run { "dry run" } else { "pass" };
    line(
        &mut text,
        &format!(
            "{kind} {} {} after {}.{} s",
            report.run_id,
            report.end.word(),
            duration / 1000,
            duration % 1000 / 100
        ),
    );
    for (name, lane) in &report.lanes {
        line(&mut text, &format!("  {name}: {}", lane.end.word()));
        for (count, label) in rows(&lane.counts, report.dry_run) {
            line(&mut text, &format!("  {count:>10}  {label}"));
        }
        for (indicator_type, changes) in &lane.by_type {
            line(&mut text, &format!("  {:<10}  {}", indicator_type.name(), summary(changes)));
        }
        if let Some(watermark) = lane.watermark {
            line(&mut text, &format!("  settled up to {watermark}"));
        }
        if let Some(message) = &lane.message {
            line(&mut text, &format!("  {message}"));
        }
    }
    if report.lanes.is_empty() {
        line(&mut text, &format!("  {}", report.message));
    }
    text
}

/// "3 created, 1 renewed"
fn summary(changes: &Changes) -> String {
    let Changes { created, updated, renewed, retracted, displaced } = *changes;
    let counts = [
        (created, "created"),
        (updated, "updated"),
        (renewed, "renewed"),
        (retracted, "taken back"),
        (displaced, "displaced"),
    ];
    let occurred = counts.into_iter().filter(|(count, _)| *count > 0);
    occurred.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
}

/// The fates that occurred; those of every pass always.
fn rows(counts: &Counts, dry_run: bool) -> Vec<(u64, &'static str)> {
    let sent = |done: &'static str, would: &'static str| if dry_run { would } else { done };
    let always = [
        (counts.read, "read"),
        (counts.created, sent("created", "would be created")),
        (counts.updated, sent("updated", "would be updated")),
        (counts.renewed, sent("renewed", "would be renewed")),
        (counts.unchanged, "unchanged: rows that deduplication saves"),
    ];
    let dropped = &counts.dropped;
    let sometimes = [
        (counts.retracted, sent("taken back", "would be taken back")),
        (counts.displaced, sent("displaced by others", "would be displaced by others")),
        (counts.over_limit, "without room at the destination"),
        (counts.rejected, "refused by the destination (see rejected/ in the state)"),
        (counts.left, "left to the next pass"),
        (dropped.confidence, "below the minimum confidence"),
        (dropped.threat_score, "below the minimum threat score"),
        (dropped.osint, "open source only"),
        (dropped.uncategorized, "without category"),
        (dropped.type_, "of a type not wanted"),
        (dropped.malformed, "malformed (see the log)"),
        (counts.aged_out, "expired and forgotten"),
        (counts.requests, "requests"),
        (counts.throttled, "of them throttled"),
        (counts.retried, "made again"),
    ];
    always.into_iter().chain(sometimes.into_iter().filter(|(count, _)| *count > 0)).collect()
}

/// One line for each check.
pub fn findings(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { check, ok, tried, result } in findings {
        let word = if *ok { "ok" } else { "failed" };
        line(&mut text, &format!("{word:<7} {check}: {tried}; {result}"));
    }
    text
}

/// Every lane and the newest passes.
pub fn overview(overview: &Overview) -> String {
    let mut text = String::new();
    for (name, lane) in &overview.lanes {
        match lane {
            None => line(&mut text, &format!("{name}: has not run yet")),
            Some(lane) => {
                line(
                    &mut text,
                    &format!("{name}: settled up to {}, {} indicators known", lane.watermark, lane.manifest),
                );
                for backfill in &lane.backfills {
                    line(
                        &mut text,
                        &format!(
                            "  still to read for {}: {} to {}",
                            backfill.run_id, backfill.position, backfill.to
                        ),
                    );
                }
            }
        }
    }
    for run_id in &overview.requests {
        line(&mut text, &format!("waiting: {run_id}"));
    }
    for name in &overview.aside {
        line(&mut text, &format!("cannot be used: {name}"));
    }
    for report in &overview.runs {
        line(&mut text, &format!("{}  {:<10}  {}", report.run_id, report.end.word(), report.message));
    }
    text
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing into a String cannot fail");
}
