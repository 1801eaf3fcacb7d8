//! What the last audit of each destination found.

use chrono::TimeDelta;
use serde_json::json;

use super::{
    Frame, Mood, Notice, View,
    words::{Piece, cut, shown},
};
use crate::{
    domain::findings::{Audit, Example, Findings},
    host::reply::HttpAnswer,
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
