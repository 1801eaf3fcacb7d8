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

/// What was read, and all that became of it.
const NUMBERS: [&str; 10] = [
    "Read",
    "Created",
    "Updated",
    "Renewed",
    "Retracted",
    "Unchanged",
    "Not wanted",
    "Refused",
    "No room",
    "Left",
];
/// Those, and what stands before them.
const COLUMNS: usize = NUMBERS.len() + 3;

/// `reports` with those of their lanes that are `wanted`, or all.
pub fn table(reports: &[Report], wanted: Option<&[&str]>) -> String {
    if reports.is_empty() {
        return "<p>None yet.</p>".to_owned();
    }
    let numbers: String =
        NUMBERS.iter().map(|name| format!("<th scope=\"col\" class=\"number\">{name}</th>")).collect();
    let rows: String = reports.iter().take(SHOWN).map(|report| rows(report, wanted)).collect();
    let head = format!(
        "<th scope=\"col\">Began</th><th scope=\"col\">End</th><th scope=\"col\">Destination</th>{numbers}"
    );
    let caption = "Newest first; one row for each destination, and beneath it why it did not catch up";
    format!("<div class=\"passes\">{}</div>", layout::table("passes", caption, &head, &rows))
}

fn rows(report: &Report, wanted: Option<&[&str]>) -> String {
    let is_wanted = |name: &&String| wanted.is_none_or(|wanted| wanted.contains(&name.as_str()));
    let names: Vec<&String> = report.lanes.keys().filter(is_wanted).take(LANES).collect();
    if names.is_empty() {
        return format!(
            "<tr>{}<td colspan=\"{}\">no destination took part</td></tr>{}",
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
        counts.over_limit,
        counts.left,
    ];
    let numbers: String =
        numbers.iter().map(|number| format!("<td class=\"number\">{}</td>", count(*number))).collect();
    let said = lane.message.as_deref().map(sentence).unwrap_or_default();
    format!("<tr>{}<td>{}</td>{numbers}</tr>{said}", head(report, lane.end), shown(name))
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

/// A row of its own: beside the numbers it would be out of sight.
fn sentence(message: &str) -> String {
    format!("<tr><td class=\"said\" colspan=\"{COLUMNS}\">{}</td></tr>", text(message, 160))
}
