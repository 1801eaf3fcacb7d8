//! `GET /api/status`: JSON for programs, a page for people.
//!
//! The page is one document that asks for nothing else: no script, no font, no picture. Its policy allows the one
//! style sheet in it and nothing besides, so that no text that got into it could do anything. Templates lie beside
//! this file; every text in them passes [`words::Visible`].

mod arrival;
mod audit;
mod cause;
mod explain;
mod lane;
mod links;
mod overview;
mod passes;
mod runbook;
mod trend;
mod words;

use askama::Template;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use self::{
    links::Links,
    passes::{Row, Sent},
    runbook::Section,
    words::{Link, Piece, cut},
};
use crate::{
    check::{self, Finding, Verdict},
    domain::{comparison::Comparison, report::Report, schedule},
    host::{invocation::HttpRequest, reply::HttpAnswer},
    pass::{Overview, RunStatus, StateError},
    settings::Faults,
};

/// Colours stand in variables, once for light and once for dark; a test computes their contrasts.
const STYLE: &str = include_str!("style.css");
/// After so many seconds the page is loaded again.
const REFRESH: u32 = 60;

/// How the program as a whole fares.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Good,
    Open,
    Bad,
    /// It is not about that.
    Plain,
}

impl Mood {
    fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Open => "open",
            Self::Bad => "bad",
            Self::Plain => "plain",
        }
    }
}

/// What stands around every page.
struct Frame<'a> {
    title: String,
    mood: Mood,
    /// The one sentence on top.
    headline: String,
    /// What goes with it: since when, and what comes next.
    details: Vec<Piece>,
    links: &'a Links,
    /// Loads itself again.
    refreshes: bool,
    nonce: String,
    style: &'static str,
    version: &'static str,
}

impl<'a> Frame<'a> {
    fn new(mood: Mood, headline: impl Into<String>, links: &'a Links) -> Self {
        let headline = headline.into();
        Self {
            title: headline.clone(),
            mood,
            headline,
            details: Vec::new(),
            links,
            refreshes: false,
            nonce: Uuid::new_v4().simple().to_string(),
            style: STYLE,
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// A template with its frame.
trait Page: Template {
    fn frame(&self) -> &Frame<'_>;

    /// The page as an answer. It is loaded again by a header, because a page that says so in its markup cannot be
    /// stopped by a slow reader; this one has a link for that.
    fn answer(&self, status: u16) -> HttpAnswer {
        let html = self.render().expect("a template writes into memory");
        let refresh = self.frame().refreshes.then_some(REFRESH);
        HttpAnswer::html(status, html, &self.frame().nonce, refresh)
    }
}

/// A page of few words.
#[derive(Template)]
#[template(path = "notice.html")]
struct Notice<'a> {
    frame: Frame<'a>,
    /// What is listed, under its heading.
    heading: &'static str,
    introduction: Vec<Piece>,
    list: Vec<String>,
}

#[derive(Template)]
#[template(path = "checks.html")]
struct Checks<'a> {
    frame: Frame<'a>,
    findings: &'a [Finding],
}

#[derive(Template)]
#[template(path = "run.html")]
struct Run<'a> {
    frame: Frame<'a>,
    run_id: String,
    ended: DateTime<Utc>,
    continues: Option<Link>,
    message: String,
    /// This one.
    passes: [Row; 1],
    is_dry: bool,
    sent: Vec<Sent>,
}

#[derive(Template)]
#[template(path = "runbook.html")]
struct Runbook<'a> {
    frame: Frame<'a>,
    sections: Vec<Section>,
    /// Ways to the sections.
    contents: Vec<Link>,
}

impl Page for Notice<'_> {
    fn frame(&self) -> &Frame<'_> {
        &self.frame
    }
}

impl Page for Checks<'_> {
    fn frame(&self) -> &Frame<'_> {
        &self.frame
    }
}

impl Page for Run<'_> {
    fn frame(&self) -> &Frame<'_> {
        &self.frame
    }
}

impl Page for Runbook<'_> {
    fn frame(&self) -> &Frame<'_> {
        &self.frame
    }
}

/// What the caller wants: the answers in one form or the other.
pub struct View {
    links: Links,
    html: bool,
    /// Not switched off by the reader.
    refreshes: bool,
}

impl View {
    pub fn of(request: &HttpRequest<'_>) -> Self {
        Self {
            links: Links::of(request),
            html: request.wants_html(),
            refreshes: request.query("refresh") != Some("off"),
        }
    }

    /// A page of few words, or else the same for a program.
    fn notice(&self, status: u16, json: HttpAnswer, page: impl FnOnce(&Links) -> Notice<'_>) -> HttpAnswer {
        if !self.html {
            return json;
        }
        let mut page = page(&self.links);
        page.frame.refreshes = self.refreshes;
        page.answer(status)
    }

    /// All lanes and the newest passes; `schedule` is `SYNC_CRON`.
    pub fn overview(&self, overview: &Overview, schedule: Option<&str>) -> HttpAnswer {
        if self.html {
            return overview::page(overview, schedule, &self.links, self.refreshes).answer(200);
        }
        HttpAnswer::json(200, &overview.body(schedule, true))
    }

    /// State that cannot be read: whatever else there is to say stands in it.
    pub fn unavailable(&self, error: &StateError) -> HttpAnswer {
        let message = error.to_string();
        self.notice(503, HttpAnswer::error(503, &message), |links| Notice {
            frame: Frame::new(Mood::Bad, "The state cannot be read", links),
            heading: "What to do now",
            introduction: vec![cut(&message, 1000).into()],
            list: Vec::new(),
        })
    }

    /// Settings that cannot be used: all that can be said before they are mended. `schedule` is `SYNC_CRON`, which the
    /// host reads whatever the others are.
    pub fn faults(&self, faults: &Faults, schedule: Option<&str>) -> HttpAnswer {
        let list: Vec<String> =
            faults.0.iter().map(ToString::to_string).chain(schedule::fault(schedule)).collect();
        self.notice(200, HttpAnswer::faults(200, &list), |links| Notice {
            frame: Frame::new(Mood::Bad, "The settings cannot be used: no pass runs", links),
            heading: "What to do now",
            introduction: vec!["Correct these settings of the function app:".into()],
            list: list.iter().map(|fault| cut(fault, 1000)).collect(),
        })
    }

    /// What the checks of the connections came to.
    pub fn findings(&self, findings: &[Finding]) -> HttpAnswer {
        if !self.html {
            return HttpAnswer::json(200, &json!(findings));
        }
        let has = |verdict| findings.iter().any(|finding| finding.verdict == verdict);
        let mood = match (has(Verdict::Failed), has(Verdict::Unproven)) {
            (true, _) => Mood::Bad,
            (false, true) => Mood::Open,
            (false, false) => Mood::Good,
        };
        let headline = capitalized(&check::headline(findings));
        Checks { frame: Frame::new(mood, headline, &self.links), findings }.answer(200)
    }

    /// The last comparison of two sources.
    pub fn comparison(&self, comparison: Option<&Comparison>) -> HttpAnswer {
        let Some(comparison) = comparison else {
            let reason = "no two sources were compared yet; run mati-sync compare";
            return self.notice(404, HttpAnswer::error(404, reason), |links| Notice {
                frame: Frame::new(Mood::Open, "No two sources were compared yet", links),
                heading: "What to do now",
                introduction: vec!["Run ".into(), Piece::Code("mati-sync compare".to_owned()), ".".into()],
                list: Vec::new(),
            });
        };
        let json = HttpAnswer::json(200, &json!(comparison));
        self.notice(200, json, |links| Notice {
            frame: Frame::new(Mood::Plain, "Two sources, compared", links),
            heading: "What each would bring",
            introduction: vec!["Values that today's settings admit.".into()],
            list: comparison.sentences().iter().map(|sentence| cut(sentence, 1000)).collect(),
        })
    }

    /// The sections of the runbook, or the one that is asked for.
    pub fn runbook(&self, name: &str) -> HttpAnswer {
        let all = runbook::sections();
        let contents = all
            .iter()
            .map(|section| Link { href: self.links.runbook(&section.name), text: section.title.to_owned() });
        let contents = contents.collect();
        let (chosen, rest): (Vec<Section>, Vec<Section>) =
            all.into_iter().partition(|section| section.name == name);
        let sections = if chosen.is_empty() { rest } else { chosen };
        let headline = match sections.as_slice() {
            [one] => format!("Runbook: {}", one.title),
            _ => "Runbook".to_owned(),
        };
        Runbook { frame: Frame::new(Mood::Plain, headline, &self.links), sections, contents }.answer(200)
    }

    /// One pass, or what is known of its request.
    pub fn run(&self, run_id: &str, status: Option<&RunStatus>) -> HttpAnswer {
        match status {
            Some(RunStatus::Ended(report)) if self.html => run_page(report, &self.links).answer(200),
            Some(RunStatus::Ended(report)) => HttpAnswer::json(200, &json!(report)),
            Some(RunStatus::Waiting(request)) => {
                let json = self::waiting(&request.run_id, "accepted; it waits for the pass before it");
                let json = with(json, "requested_at", json!(request.requested_at));
                self.notice(200, HttpAnswer::json(200, &json), |links| Notice {
                    frame: Frame::new(Mood::Open, "This request waits for the pass before it", links),
                    heading: "Request",
                    introduction: vec![
                        Piece::Code(cut(&request.run_id, 64)),
                        " was accepted at ".into(),
                        request.requested_at.into(),
                        ".".into(),
                    ],
                    list: Vec::new(),
                })
            }
            Some(RunStatus::Aside(unusable)) => {
                let json = self::waiting(run_id, &format!("set aside: {unusable}"));
                let json = with(json, "aside", json!(unusable.name));
                self.notice(200, HttpAnswer::json(200, &json), |links| Notice {
                    frame: Frame::new(Mood::Bad, "This request is set aside", links),
                    heading: "What to do now",
                    introduction: vec![
                        format!("{}. ", cut(&unusable.to_string(), 1000)).into(),
                        cause::SET_ASIDE.into(),
                    ],
                    list: Vec::new(),
                })
            }
            None => {
                let reason = format!("there is no pass {run_id:?}; GET /api/status lists the newest");
                self.notice(404, HttpAnswer::error(404, &reason), |links| Notice {
                    frame: Frame::new(Mood::Open, "There is no such pass", links),
                    heading: "What to do now",
                    introduction: vec![
                        "No pass is known as ".into(),
                        Piece::Code(cut(run_id, 100)),
                        ". The newest 500 are kept.".into(),
                    ],
                    list: Vec::new(),
                })
            }
        }
    }
}

/// A pass that has not ended.
fn waiting(run_id: &str, message: &str) -> Value {
    json!({ "run_id": run_id, "end": null, "message": message })
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

fn run_page<'a>(report: &Report, links: &'a Links) -> Run<'a> {
    let mood = if report.end.is_failure() { Mood::Bad } else { Mood::Good };
    let rehearsal = if report.dry_run { "dry run" } else { "pass" };
    let mut frame = Frame::new(mood, format!("This {rehearsal} {}", report.end.word()), links);
    frame.title = format!("pass {}", report.end.word());
    let continues = report.continues.as_ref();
    Run {
        frame,
        run_id: cut(&report.run_id, 64),
        ended: report.ended_at,
        continues: continues.map(|run_id| Link { href: links.run(run_id), text: cut(run_id, 64) }),
        message: cut(&report.message, 1000),
        passes: [passes::whole(report, links)],
        is_dry: report.dry_run,
        sent: passes::sent(report),
    }
}

/// A headline, which begins with a capital.
fn capitalized(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}
