//! The newest passes as a table.

use super::{
    layout,
    words::{count, shown, text, time},
};
use crate::domain::{
    outcome::End,
    report::{LaneReport, Report},
};

/// Passes in the table.
const SHOWN: usize = 12;
/// Lanes shown of a pass, whatever its report says.
const LANES: usize = 8;

const NUMBERS: [&str; 9] =
    ["Read", "Created", "Updated", "Renewed", "Retracted", "Unchanged", "Not wanted", "Refused", "Left"];

/// `reports` with those of their lanes that are `wanted`, or all.
pub fn table(reports: &[Report], wanted: Option<&[&str]>) -> String {
    if reports.is_empty() {
        return "<p>None yet.</p>".to_owned();
    }
    let numbers: String =
        NUMBERS.iter().map(|name| format!("<th scope=\"col\" class=\"number\">{name}</th>")).collect();
    let rows: String = reports.iter().take(SHOWN).map(|report| rows(report, wanted)).collect();
    let head = format!(
        "<th scope=\"col\">Began</th><th scope=\"col\">End</th><th scope=\"col\">Destination</th>{numbers}<th scope=\"col\">In a sentence</th>"
    );
    layout::table("passes", "Newest first; one row for each destination", &head, &rows)
}

fn rows(report: &Report, wanted: Option<&[&str]>) -> String {
    let is_wanted = |name: &&String| wanted.is_none_or(|wanted| wanted.contains(&name.as_str()));
    let names: Vec<&String> = report.lanes.keys().filter(is_wanted).take(LANES).collect();
    if names.is_empty() {
        return format!(
            "<tr>{}<td colspan=\"{}\">no destination took part</td>{}</tr>",
            head(report, report.end),
            NUMBERS.len() + 1,
            sentence(&report.message)
        );
    }
    names.into_iter().map(|name| row(report, name, &report.lanes[name])).collect()
}

fn row(report: &Report, name: &str, lane: &LaneReport) -> String {
    let counts = &lane.counts;
    let numbers = [
        counts.read,
        counts.created,
        counts.updated,
        counts.renewed,
        counts.retracted,
        counts.unchanged,
        counts.dropped.total(),
        counts.rejected,
        counts.left,
    ];
    let numbers: String =
        numbers.iter().map(|number| format!("<td class=\"number\">{}</td>", count(*number))).collect();
    let message = lane.message.as_deref().unwrap_or("–");
    format!("<tr>{}<td>{}</td>{numbers}{}</tr>", head(report, lane.end), shown(name), sentence(message))
}

fn head(report: &Report, end: End) -> String {
    let class = match end {
        End::CaughtUp => "good",
        End::Skipped | End::Paused | End::Fenced => "open",
        End::Stalled | End::Failed => "bad",
    };
    format!(
        "<th scope=\"row\">{}<br /><span class=\"note\">{}{}</span></th><td><span class=\"badge {class}\">{}</span></td>",
        time(report.started_at),
        text(&report.run_id, 32),
        if report.dry_run { ", dry run" } else { "" },
        end.word()
    )
}

fn sentence(message: &str) -> String {
    format!("<td class=\"wide\">{}</td>", text(message, 120))
}
