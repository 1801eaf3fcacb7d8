//! `GET /api/status`: JSON for programs, a page for people.
//!
//! The page is one document that asks for nothing else: no script, no font, no picture. Its policy allows the one
//! style sheet in it and nothing besides, so that no text that got into it could do anything.

mod chart;
mod lane;
mod layout;
mod passes;
mod words;

use chrono::{DateTime, Utc};
use serde_json::json;

use self::{
    layout::page,
    words::{ago, count, shown, text, time, until},
};
use crate::{
    check::Finding,
    domain::{
        health::{Health, Spell, overdue},
        report::Report,
        schedule::Schedule,
    },
    host::reply::HttpAnswer,
    pass::{LaneOverview, Overview, RunStatus, StateError},
};

/// What to do about a request that cannot be used.
const SET_ASIDE: &str = "If a newer version wrote it, deploy that version and move the file back to <code>requests/</code>; otherwise send the request again and delete the file.";

/// How the program as a whole fares.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Good,
    Open,
    Bad,
}

impl Mood {
    fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Open => "open",
            Self::Bad => "bad",
        }
    }
}

/// All lanes and the newest passes, for a program.
pub fn overview(overview: &Overview) -> HttpAnswer {
    HttpAnswer::json(200, &json!(overview))
}

/// The same for a person; `schedule` is `SYNC_CRON`.
pub fn overview_page(overview: &Overview, schedule: Option<&str>) -> HttpAnswer {
    let lanes: Vec<(&str, Option<&LaneOverview>, Health)> = overview
        .lanes
        .iter()
        .map(|(name, lane)| (name.as_str(), lane.as_ref(), Health::of(&overview.runs, name)))
        .collect();
    let parsed = schedule.and_then(Schedule::parse);
    let due = parsed.as_ref().and_then(|parsed| overdue(&overview.runs, parsed, overview.at));
    let spells: Vec<(&str, &Spell)> = lanes
        .iter()
        .filter_map(|(name, _, health)| match health {
            Health::Known(spell) => Some((*name, spell)),
            Health::Unknown => None,
        })
        .collect();
    let damaged: Vec<&str> =
        lanes.iter().filter(|(_, lane, _)| is_damaged(*lane)).map(|(name, ..)| *name).collect();
    let (mood, title, headline) = mood(&spells, &damaged, due, overview.at);

    let mut body =
        format!("<header><h1>mati-sync</h1><p class=\"mood {}\">{headline}</p></header><main>", mood.class());
    let tasks = tasks(overview, &spells, due, schedule);
    if !tasks.is_empty() {
        body.push_str(
            "<section aria-labelledby=\"now\"><h2 id=\"now\">What to do now</h2><ul class=\"tasks\">",
        );
        tasks.iter().for_each(|task| body.push_str(&format!("<li>{task}</li>")));
        body.push_str("</ul></section>");
    }
    body.push_str(&timing(overview, schedule, parsed.as_ref()));
    for (name, lane, health) in &lanes {
        body.push_str(&lane::section(name, *lane, health, overview));
    }
    body.push_str("<section aria-labelledby=\"newest\"><h2 id=\"newest\">Newest passes</h2>");
    let names: Vec<&str> = lanes.iter().map(|(name, ..)| *name).collect();
    body.push_str(&passes::table(&overview.runs, Some(&names)));
    body.push_str("</section>");
    body.push_str(&format!("</main><footer><p>Taken at {}. Add <code>check=true</code> to the address to try every connection, or <code>run=</code> and an id to see one pass.</p></footer>", time(overview.at)));
    page(200, title, &body)
}

/// State that cannot be read: whatever else there is to say stands in it.
pub fn unavailable(error: &StateError, html: bool) -> HttpAnswer {
    if !html {
        return HttpAnswer::error(503, &error.to_string());
    }
    let body = format!(
        "<header><h1>mati-sync</h1><p class=\"mood bad\"><strong>The state cannot be read</strong></p></header><main><section aria-labelledby=\"now\"><h2 id=\"now\">What to do now</h2><p>{}</p></section></main>",
        text(&error.to_string(), 1000)
    );
    page(503, "the state cannot be read", &body)
}

/// What the checks of the connections came to.
pub fn findings(findings: &[Finding], html: bool) -> HttpAnswer {
    if !html {
        return HttpAnswer::json(200, &json!(findings));
    }
    let failed = findings.iter().filter(|finding| !finding.ok).count();
    let (mood, headline) = match failed {
        0 => (Mood::Good, "Everything can be reached".to_owned()),
        _ => (Mood::Bad, format!("{failed} of {} checks failed", findings.len())),
    };
    let row = |finding: &Finding| {
        let (class, word) = if finding.ok { ("good", "ok") } else { ("bad", "failed") };
        format!(
            "<tr><th scope=\"row\">{}</th><td><span class=\"badge {class}\">{word}</span></td><td class=\"wide\">{}</td><td class=\"wide\">{}</td></tr>",
            text(&finding.check, 60),
            text(&finding.tried, 300),
            text(&finding.result, 1000)
        )
    };
    let rows: String = findings.iter().map(row).collect();
    let head = "<th scope=\"col\">Check</th><th scope=\"col\">Outcome</th><th scope=\"col\">Tried</th><th scope=\"col\">Result, and what to do</th>";
    let body = format!(
        "<header><h1>mati-sync</h1><p class=\"mood {}\"><strong>{headline}</strong></p></header><main><section aria-labelledby=\"checks\"><h2 id=\"checks\">Connections</h2>{}</section></main>",
        mood.class(),
        layout::table("checks", "Each setting and connection that was tried", head, &rows)
    );
    page(200, "connections", &body)
}

/// One pass.
pub fn run(run_id: &str, status: &RunStatus, html: bool) -> HttpAnswer {
    match status {
        RunStatus::Ended(report) if html => run_page(report),
        RunStatus::Ended(report) => HttpAnswer::json(200, &json!(report)),
        RunStatus::Waiting(request) if html => {
            let body = format!(
                "<header><h1>mati-sync</h1><p class=\"mood open\"><strong>Waiting</strong></p></header><main><p>The request {} of {} was accepted; it waits for the pass before it.</p></main>",
                text(&request.run_id, 64),
                time(request.requested_at)
            );
            page(200, "waiting", &body)
        }
        RunStatus::Aside(unusable) if html => {
            let body = format!(
                "<header><h1>mati-sync</h1><p class=\"mood bad\"><strong>Set aside</strong></p></header><main><p>{}. {SET_ASIDE}</p></main>",
                text(&unusable.to_string(), 1000)
            );
            page(200, "set aside", &body)
        }
        RunStatus::Aside(unusable) => HttpAnswer::json(
            200,
            &json!({
                "run_id": run_id,
                "end": null,
                "message": format!("set aside: {unusable}"),
                "aside": unusable.name,
            }),
        ),
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

fn run_page(report: &Report) -> HttpAnswer {
    let mood = if report.end.is_failure() { Mood::Bad } else { Mood::Good };
    let word = report.end.word();
    let body = format!(
        "<header><h1>mati-sync</h1><p class=\"mood {}\"><strong>This pass {word}</strong></p></header><main><section aria-labelledby=\"pass\"><h2 id=\"pass\">Pass {}</h2><p>{}</p>{}</section></main>",
        mood.class(),
        text(&report.run_id, 64),
        text(&report.message, 1000),
        passes::table(std::slice::from_ref(report), None)
    );
    page(200, word, &body)
}

/// Whether what a lane knows cannot be read, so that its next pass will fail.
fn is_damaged(lane: Option<&LaneOverview>) -> bool {
    lane.and_then(|lane| lane.detail.as_ref()).is_some_and(|detail| detail.tally.is_err())
}

/// The one sentence on top, and in short for the title. `damaged` are lanes whose manifest cannot be read.
fn mood(
    spells: &[(&str, &Spell)],
    damaged: &[&str],
    due: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> (Mood, &'static str, String) {
    let ill: Vec<&(&str, &Spell)> = spells.iter().filter(|(_, spell)| !spell.is_well()).collect();
    let mut said: Vec<String> = ill
        .iter()
        .map(|(name, spell)| {
            let least = if spell.is_open { "at least " } else { "" };
            format!("{} {} since {least}{}", shown(name), spell.end.word(), time(spell.since))
        })
        .collect();
    said.extend(damaged.iter().map(|name| format!("the manifest of {} cannot be read", shown(name))));
    if !said.is_empty() {
        return (
            Mood::Bad,
            "needs attention",
            format!("<strong>Needs attention</strong>: {}", said.join("; ")),
        );
    }
    if let Some(due) = due {
        let headline = format!(
            "<strong>Late</strong>: a pass was due at {} ({}) and has not begun",
            time(due),
            ago(now - due)
        );
        return (Mood::Bad, "late", headline);
    }
    match spells.iter().max_by_key(|(_, spell)| spell.since) {
        Some((_, spell)) => {
            let least = if spell.is_open { "at least " } else { "" };
            let headline = format!("<strong>Healthy</strong> since {least}{}", time(spell.since));
            (Mood::Good, "healthy", headline)
        }
        None => (Mood::Open, "nothing has run yet", "<strong>Nothing has run yet</strong>".to_owned()),
    }
}

/// What somebody should do, each as HTML.
fn tasks(
    overview: &Overview,
    spells: &[(&str, &Spell)],
    due: Option<DateTime<Utc>>,
    schedule: Option<&str>,
) -> Vec<String> {
    let mut tasks = Vec::new();
    for (name, spell) in spells.iter().filter(|(_, spell)| !spell.is_well()) {
        let message = spell.message.as_deref().unwrap_or("the pass gave no reason; see its log");
        tasks.push(format!("<strong>{}</strong>: {}", shown(name), text(message, 600)));
    }
    for (name, lane) in &overview.lanes {
        let Some(lane) = lane else { continue };
        if let Some(withheld) = lane.withheld {
            tasks.push(format!(
                "<strong>{}</strong>: {} of {} indicators would be taken back, which is more than is done unasked. If the settings or the source changed on purpose, confirm it: <code>mati-sync sync --confirm-retraction</code>, or <code>POST /api/sync</code> with <code>{{\"confirm_retraction\": true}}</code>.",
                shown(name),
                count(withheld.retractions),
                count(withheld.of)
            ));
        }
        if let Some(Err(problem)) = lane.detail.as_ref().map(|detail| &detail.tally) {
            tasks.push(format!("<strong>{}</strong>: {}", shown(name), text(problem, 600)));
        }
    }
    for name in &overview.aside {
        tasks.push(format!("The request <code>{}</code> cannot be used. {SET_ASIDE}", text(name, 120)));
    }
    if due.is_some() {
        tasks.push("The timer does not fire. See that the function app runs, that the function <code>SyncTimer</code> is enabled, and that <code>SYNC_CRON</code> and <code>AzureWebJobsStorage</code> are set.".to_owned());
    }
    if overview.runs.is_empty() && overview.lanes.values().all(Option::is_none) {
        let wait = if schedule.is_some() { "Wait for the timer, or run" } else { "Run" };
        tasks.push(format!("{wait} <code>mati-sync sync</code>, or send <code>POST /api/sync</code>. <code>mati-sync check</code> says whether everything can be reached."));
    }
    tasks
}

/// The last and the next pass.
fn timing(overview: &Overview, schedule: Option<&str>, parsed: Option<&Schedule>) -> String {
    let last = overview.runs.first().map_or_else(
        || "none yet".to_owned(),
        |run| {
            let word = run.end.word();
            format!("{}, {}: {word}", time(run.started_at), ago(overview.at - run.started_at))
        },
    );
    let next = match (schedule, parsed.and_then(|parsed| parsed.next_after(overview.at))) {
        (None, _) => "not known here: <code>SYNC_CRON</code> is not set".to_owned(),
        (Some(setting), None) => format!("by <code>SYNC_CRON</code>: <code>{}</code>", text(setting, 60)),
        (Some(setting), Some(next)) => format!(
            "{}, {} (<code>SYNC_CRON</code>: <code>{}</code>)",
            time(next),
            until(next - overview.at),
            text(setting, 60)
        ),
    };
    let waiting = match overview.requests.len() {
        0 => "none".to_owned(),
        waiting => count(waiting as u64),
    };
    let aside = match overview.aside.len() {
        0 => String::new(),
        aside => format!("<div><dt>Requests set aside</dt><dd>{}</dd></div>", count(aside as u64)),
    };
    format!(
        "<section aria-labelledby=\"passes\"><h2 id=\"passes\">Passes</h2><dl><div><dt>Last</dt><dd>{last}</dd></div><div><dt>Next</dt><dd>{next}</dd></div><div><dt>Manual reruns that wait</dt><dd>{waiting}</dd></div>{aside}</dl></section>"
    )
}
