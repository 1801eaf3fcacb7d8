//! `GET /api/status`: JSON for programs, a table for people.

use serde_json::json;

use super::reply::HttpAnswer;
use crate::{
    check::Finding,
    domain::report::Report,
    pass::{Overview, RunStatus},
};

/// All lanes and the newest passes.
pub fn overview(overview: &Overview, html: bool) -> HttpAnswer {
    if !html {
        return HttpAnswer::json(200, &json!(overview));
    }
    let mut body = String::from(
        "<h1>mati-sync</h1><table><tr><th>lane</th><th>settled up to</th><th>indicators known</th><th>still to read</th></tr>",
    );
    for (name, lane) in &overview.lanes {
        let cells = match lane {
            None => "<td colspan=3>has not run yet</td>".to_owned(),
            Some(lane) => format!(
                "<td>{}</td><td>{}</td><td>{}</td>",
                lane.watermark,
                lane.manifest,
                if lane.backfills.is_empty() {
                    "–".to_owned()
                } else {
                    format!("{} backfills", lane.backfills.len())
                }
            ),
        };
        body.push_str(&format!("<tr><td>{}</td>{cells}</tr>", escape(name)));
    }
    body.push_str("</table><h2>Newest passes</h2>");
    body.push_str(&reports(&overview.runs));
    HttpAnswer::html(page(&body))
}

/// What the checks of the connections came to.
pub fn findings(findings: &[Finding], html: bool) -> HttpAnswer {
    if !html {
        return HttpAnswer::json(200, &json!(findings));
    }
    let mut table = String::from("<h1>mati-sync</h1><table><tr><th>check</th><th></th><th>what</th></tr>");
    for finding in findings {
        table.push_str(&format!(
            "<tr><td>{}</td><td>{}</td><td>{}; {}</td></tr>",
            escape(&finding.check),
            if finding.ok { "ok" } else { "failed" },
            escape(&finding.tried),
            escape(&finding.result)
        ));
    }
    table.push_str("</table>");
    HttpAnswer::html(page(&table))
}

/// One pass.
pub fn run(status: &RunStatus, html: bool) -> HttpAnswer {
    match status {
        RunStatus::Ended(report) if html => HttpAnswer::html(page(&reports(std::slice::from_ref(report)))),
        RunStatus::Ended(report) => HttpAnswer::json(200, &json!(report)),
        RunStatus::Waiting(request) => HttpAnswer::json(
            200,
            &json!({
                "run_id": request.run_id,
                "end": null,
                "message": "accepted; it waits for the pass before it",
                "requested_at": request.requested_at,
            }),
        ),
    }
}

fn reports(reports: &[Report]) -> String {
    let mut table = String::from(
        "<table><tr><th>pass</th><th>began</th><th>end</th><th>lane</th><th>read</th><th>new</th><th>changed</th><th>renewed</th><th>unchanged</th><th>not wanted</th><th>refused</th><th>left</th><th>in a sentence</th></tr>",
    );
    for report in reports {
        let head = format!(
            "<td>{}{}</td><td>{}</td><td class={end:?}>{}</td>",
            escape(&report.run_id),
            if report.dry_run { " (dry run)" } else { "" },
            report.started_at.format("%Y-%m-%d %H:%M:%S"),
            report.end.word(),
            end = report.end,
        );
        if report.lanes.is_empty() {
            table
                .push_str(&format!("<tr>{head}<td colspan=9></td><td>{}</td></tr>", escape(&report.message)));
        }
        for (name, lane) in &report.lanes {
            let counts = &lane.counts;
            table.push_str(&format!("<tr>{head}<td>{}</td>", escape(name)));
            for count in [
                counts.read,
                counts.created,
                counts.updated,
                counts.renewed,
                counts.unchanged,
                counts.dropped.total(),
                counts.rejected,
                counts.left,
            ] {
                table.push_str(&format!("<td class=number>{count}</td>"));
            }
            table.push_str(&format!("<td>{}</td></tr>", escape(&report.message)));
        }
    }
    table.push_str("</table>");
    table
}

fn page(body: &str) -> String {
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>mati-sync</title><style>body{{font:14px system-ui,sans-serif;margin:2em}}table{{border-collapse:collapse}}td,th{{border:1px solid #ccc;padding:.3em .6em;text-align:left}}.number{{text-align:right}}.CaughtUp{{background:#dfd}}.Stalled,.Failed{{background:#fdd}}.Paused,.Skipped,.Fenced{{background:#ffd}}</style>{body}</html>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
