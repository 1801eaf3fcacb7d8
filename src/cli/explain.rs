//! `mati-sync explain`: why a value is where it is.

use std::process::ExitCode;

use serde_json::json;

use super::{Output, out};
use crate::{
    clock::Deadline,
    pass::{Engine, Explanation},
};

/// Prints what is known of `value`; exits with 1 if something could not be found out.
pub async fn explain(value: &str, engine: &Engine, output: Output, deadline: &Deadline) -> ExitCode {
    let explanation = engine.explain(value, deadline).await;
    if output.json {
        out::print(&format!("{}\n", out::json(&json!(explanation))));
    } else {
        out::print(&text(&explanation));
    }
    if explanation.error.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn text(explanation: &Explanation) -> String {
    let kind = match explanation.indicator_type {
        Some(kind) => kind.name(),
        None if explanation.is_id && explanation.lanes.values().any(|lane| !lane.entries.is_empty()) => {
            "an id whose type is not kept"
        }
        None if explanation.is_id => "an id that no lane knows",
        None => "no value that could be sent",
    };
    let mut text = format!("{} ({kind})\n", explanation.value);
    for (about, said) in explanation.lines() {
        let about = if about.is_empty() { about } else { format!("{about}:") };
        text.push_str(&format!("  {about:<10} {said}\n"));
    }
    text
}
