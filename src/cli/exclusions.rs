//! `mati-sync exclusions test`: which list excludes a value.

use std::{process::ExitCode, sync::Arc};

use serde_json::json;

use super::{Output, out};
use crate::{
    domain::{
        exclusions::{Exclusions, Hit},
        observable::{HashType, Observable},
    },
    pass::Engine,
};

/// It could not be found out: 1 is the answer that nothing excludes the value.
pub const UNANSWERED: u8 = 2;

/// Says which entry excludes `value`, and from where.
pub async fn test(value: &str, engine: &Engine, output: Output) -> ExitCode {
    let lists = match engine.lists().await {
        Ok(lists) => lists,
        Err(error) => {
            out::tell(&error.to_string());
            return ExitCode::from(UNANSWERED);
        }
    };
    let observable = match Observable::of_person(value) {
        Ok(observable) => observable,
        Err(malformed) => {
            out::tell(&format!("{value:?} is no value that could be sent: {malformed}"));
            return ExitCode::from(UNANSWERED);
        }
    };
    let everywhere = Exclusions { lists: Arc::clone(&lists), ..Exclusions::default() };
    // Where the built-in list counts, if anywhere.
    let strictest = engine.lanes.iter().find(|lane| lane.policy.exclusions.vital);
    let vital = strictest.map(|lane| (lane.name, Exclusions { lists, ..lane.policy.exclusions.clone() }));
    let hit = everywhere.find(&observable).map(|hit| (hit, None));
    let hit =
        hit.or_else(|| vital.as_ref().and_then(|(lane, all)| Some((all.find(&observable)?, Some(*lane)))));
    let spelt = spelt(&observable);
    let never_sent = observable.respelt().err().map(|malformed| malformed.to_string());
    if output.json {
        let by = hit
            .as_ref()
            .map(|(Hit { list, line }, lane)| json!({ "list": list, "line": line, "lane": lane }));
        let answer = json!({ "value": spelt, "excluded": hit.is_some(), "by": by, "never_sent": never_sent });
        out::print(&format!("{}\n", out::json(&answer)));
    } else {
        match &hit {
            Some((hit, None)) => out::print(&format!("{spelt} is excluded by {hit}\n")),
            Some((hit, Some(lane))) => {
                out::print(&format!("{spelt} is excluded by {hit}, for {lane} alone\n"))
            }
            None => out::print(&format!("nothing excludes {spelt}\n")),
        }
        if let Some(reason) = never_sent {
            out::print(&format!("it is never sent, whatever the lists say: {reason}\n"));
        }
    }
    if hit.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The value as we send it.
fn spelt(observable: &Observable) -> String {
    observable.subject(HashType::Sha256).value.into_owned()
}
