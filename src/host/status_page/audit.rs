//! What the last audit of each destination found.

use chrono::TimeDelta;
use serde_json::json;

use super::{
    Frame, Mood, Notice, View,
    cause::Task,
    lane::Fact,
    links::Links,
    words::{Link, Piece, count, cut, shown},
};
use crate::{
    domain::findings::{Audit, Example, Findings},
    host::reply::HttpAnswer,
    pass::Overview,
};

impl View {
    /// The last audits. `reach`: so far back the source can be read again.
    pub fn audit(&self, audit: Option<&Audit>, reach: TimeDelta) -> HttpAnswer {
        let Some(audit) = audit else {
            let reason = "nothing was audited yet; run mati-sync audit";
            return self.notice(404, HttpAnswer::error(404, reason), |links| Notice {
                frame: Frame::new(Mood::Open, "Nothing was audited yet", links),
                heading: "What to do now",
                introduction: vec!["Run ".into(), Piece::Code("mati-sync audit".to_owned()), ".".into()],
                list: Vec::new(),
            });
        };
        let is_well = audit.lanes.values().all(Findings::is_well);
        self.notice(200, HttpAnswer::json(200, &json!(audit)), |links| Notice {
            frame: Frame::new(
                if is_well { Mood::Good } else { Mood::Bad },
                if is_well { "What was sent is there" } else { "Not all that was sent is there" },
                links,
            ),
            heading: "What the last audits found",
            introduction: vec![
                "What the destinations show of our indicators, compared with what was sent.".into(),
            ],
            list: audit.lanes.iter().flat_map(|(lane, findings)| lines(lane, findings, reach)).collect(),
        })
    }
}

fn lines(lane: &str, findings: &Findings, reach: TimeDelta) -> Vec<String> {
    let at = findings.at.format("%Y-%m-%d %H:%M UTC");
    let first = format!("{}, {at}: {}", shown(lane), cut(&findings.sentence(reach), 1000));
    let examples = findings.examples.iter().map(|Example { id, wrong, fields }| {
        let fields: Vec<&str> = fields.iter().map(|field| field.word()).collect();
        format!("{} {} {}", cut(id, 60), wrong.word(), fields.join(", ")).trim_end().to_owned()
    });
    std::iter::once(first).chain(examples).collect()
}

/// When a destination was audited last, and what that came to.
pub fn fact(name: &str, overview: &Overview) -> Option<Fact> {
    let findings = overview.audit.as_ref()?.lanes.get(name)?;
    let told = match findings {
        Findings { error: Some(error), .. } => format!("could not be made: {}", cut(error, 300)),
        Findings { missing: 0, changed: 0, unknown: 0, expired: 0, held, .. } => {
            format!("all {} as they were sent", count(*held))
        }
        Findings { missing, changed, unknown, expired, repaired, .. } => format!(
            "{} missing, {} changed, {} unknown, {} expired; {} repaired",
            count(*missing),
            count(*changed),
            count(*unknown),
            count(*expired),
            count(*repaired)
        ),
    };
    Some(Fact::new("Audited", vec![findings.at.into(), format!(": {told}").into()]))
}

/// Repairs that an operator should ask for.
pub fn tasks(overview: &Overview, links: &Links) -> Vec<Task> {
    let lanes = overview.lanes.keys().filter_map(|name| Some((name, overview.amiss(name)?)));
    let tasks = lanes.map(|(name, findings)| {
        let text = vec![
            format!(
                "{} of {} indicators are not as they were sent (",
                count(findings.open()),
                count(findings.held)
            )
            .into(),
            Piece::Link(Link { href: links.audit(), text: "what the audit found".to_owned() }),
            "). ".into(),
            Piece::Code("mati-sync audit --repair".to_owned()),
            " sends again or adopts what is still wanted; the next audit tells whether all is well.".into(),
        ];
        let headline =
            format!("{} indicators are not as they were sent at {}", count(findings.open()), shown(name));
        Task { who: shown(name), ..Task::new(headline, text) }
    });
    tasks.collect()
}
