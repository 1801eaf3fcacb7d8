//! One destination's part of the page.

use super::{
    chart,
    layout::table,
    words::{ago, count, shown, text, time},
};
use crate::{
    domain::{health::Health, outcome::Counts, rejected::RejectedRecord, report::Report, tally::Tally},
    pass::{LaneOverview, Overview},
};

type Number = (&'static str, fn(&Counts) -> u64);

/// What is charted of every pass.
const CHARTED: [Number; 6] = [
    ("Created", |counts| counts.created),
    ("Updated", |counts| counts.updated),
    ("Renewed", |counts| counts.renewed),
    ("Retracted", |counts| counts.retracted),
    ("Refused", |counts| counts.rejected),
    ("Unchanged, not sent", |counts| counts.unchanged),
];

/// The section of the lane `name`.
pub fn section(name: &str, lane: Option<&LaneOverview>, health: &Health, overview: &Overview) -> String {
    let id = format!("lane-{}", text(name, 40));
    let (class, word) = match health {
        Health::Unknown => ("open", "has not run yet"),
        Health::Known(spell) if spell.is_well() => ("good", spell.end.word()),
        Health::Known(spell) => ("bad", spell.end.word()),
    };
    let mut section = format!(
        "<section aria-labelledby=\"{id}\"><h2 id=\"{id}\">{} <span class=\"badge {class}\">{word}</span></h2>",
        shown(name)
    );
    match lane {
        None => section.push_str("<p>Nothing was committed yet.</p>"),
        Some(lane) => section.push_str(&standing(lane, overview)),
    }
    section.push_str(&charts(&id, name, &overview.runs));
    if let Some(detail) = lane.and_then(|lane| lane.detail.as_ref()) {
        if let Ok(tally) = &detail.tally {
            section.push_str(&held(tally));
        }
        section.push_str(&refused(&detail.refused, name));
    }
    section.push_str("</section>");
    section
}

fn standing(lane: &LaneOverview, overview: &Overview) -> String {
    let held = match lane.detail.as_ref().map(|detail| &detail.tally) {
        Some(Ok(tally)) => count(tally.held.total()),
        Some(Err(_)) => "not known: the manifest cannot be read".to_owned(),
        None => count(lane.manifest),
    };
    let mut standing = format!(
        "<dl><div><dt>Settled up to</dt><dd>{}, {}</dd></div><div><dt>Indicators held</dt><dd>{held}</dd></div>",
        time(lane.watermark),
        ago(overview.at - lane.watermark)
    );
    if !lane.backfills.is_empty() {
        standing.push_str(&format!(
            "<div><dt>Ranges still to be read again</dt><dd>{}</dd></div>",
            lane.backfills.len()
        ));
    }
    standing.push_str("</dl>");
    standing
}

fn charts(id: &str, name: &str, runs: &[Report]) -> String {
    // A rehearsal changes nothing, so it is no part of the history.
    let done = runs.iter().filter(|run| !run.dry_run).filter_map(|run| run.lanes.get(name));
    let mut counts: Vec<&Counts> = done.take(chart::PASSES).map(|lane| &lane.counts).collect();
    if counts.is_empty() {
        return String::new();
    }
    counts.reverse();
    let charts: String = CHARTED
        .iter()
        .enumerate()
        .map(|(index, (label, number))| {
            let values: Vec<u64> = counts.iter().map(|counts| number(counts)).collect();
            chart::bars(&format!("{id}-chart-{index}"), label, &values)
        })
        .collect();
    let passes = match counts.len() {
        1 => "The last pass".to_owned(),
        passes => format!("The last {passes} passes"),
    };
    format!("<h3>{passes}</h3><ul class=\"charts\">{charts}</ul>")
}

fn held(tally: &Tally) -> String {
    let held = &tally.held;
    let rows = [
        ("IPv4 addresses", held.ipv4),
        ("IPv6 addresses", held.ipv6),
        ("Domain names", held.fqdn),
        ("URLs", held.url),
        ("File hashes", held.hash),
        ("Adopted or of unknown type", held.unknown),
    ];
    let rows: String = rows
        .iter()
        .map(|(label, number)| {
            format!("<tr><th scope=\"row\">{label}</th><td class=\"number\">{}</td></tr>", count(*number))
        })
        .collect();
    format!(
        "<h3>Indicators held</h3><table><caption>By type; beside them {} refused, {} retracted and {} expired are remembered</caption><thead><tr><th scope=\"col\">Type</th><th scope=\"col\" class=\"number\">Held</th></tr></thead><tbody>{rows}</tbody></table>",
        count(tally.rejected),
        count(tally.retracted),
        count(tally.expired)
    )
}

fn refused(refused: &[RejectedRecord], name: &str) -> String {
    if refused.is_empty() {
        return "<h3>Refused records</h3><p>None on file.</p>".to_owned();
    }
    let rows: String = refused
        .iter()
        .map(|record| {
            format!(
                "<tr><td>{}</td><td class=\"wide\"><code>{}</code></td><td class=\"wide\">{}</td></tr>",
                record.at.map_or_else(|| "–".to_owned(), time),
                text(&record.value, 100),
                text(&record.reason, 200)
            )
        })
        .collect();
    let table = table(
        &format!("records that {} refused", shown(name)),
        "The newest on file; offered again when they change, or with <code>retry_rejected</code>",
        "<th scope=\"col\">When</th><th scope=\"col\">Value</th><th scope=\"col\">Reason</th>",
        &rows,
    );
    format!("<h3>Refused records</h3>{table}")
}
