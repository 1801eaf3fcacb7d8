//! A log line about a record names its value and its type, so that a search for a value finds all that was logged of it.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::TimeDelta;
use mati_sync::{
    domain::{outcome::End, request::RunOptions},
    telemetry,
};
use sandbox::corpus::Record;
use serde_json::{Value, json};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;

use crate::{
    harness::world::World,
    tidy::{read, sources},
};

/// Everything that is logged, a line each.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn all(&self) -> Vec<Value> {
        let lines = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The lines that say `text`.
fn saying<'l>(lines: &'l [Value], text: &str) -> Vec<&'l Value> {
    lines
        .iter()
        .filter(|line| line["message"].as_str().is_some_and(|message| message.contains(text)))
        .collect()
}

/// One of everything that is logged of a single record.
async fn live(world: &mut World) {
    world.set("TARGET_APPLICATION", "sentinel,defender").set("INCLUDE_IPV6", "false");
    world.adopts();
    let at = world.ago(TimeDelta::hours(3));
    world.mandiant.put_all([
        Record::fqdn("held.example").updated(at),
        Record::fqdn("unloved.example").updated(at),
        Record::fqdn("own.example").updated(at),
        Record::fqdn("theirs.example").updated(at),
        Record::ipv4("10.0.0.1").updated(at),
        Record::fqdn("strange.example").set("type", "email").updated(at),
    ]);
    world.sentinel.knobs(|knobs| {
        knobs.reject = Some(Arc::new(|object: &Value| {
            let pattern = object["pattern"].as_str().unwrap_or_default();
            pattern.contains("unloved").then(|| "it is not wanted".to_owned())
        }));
    });
    world.defender.knobs(|knobs| {
        knobs.reject = Some(Arc::new(|object: &Value| {
            (object["indicatorValue"] == "unloved.example").then(|| "not today".to_owned())
        }));
    });
    world.defender.put(json!({"indicatorValue": "theirs.example", "indicatorType": "DomainName"}));
    world.tick().await;
    // Damage in the files of what is offered again, and a list that excludes what is held.
    let folder = world.state.path().join("lanes/sentinel/rejected");
    let file = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let lines = std::fs::read_to_string(&file).unwrap();
    let damaged = lines
        .replace(r#""source_id""#, r#""source""#)
        .replace(r#""confidence":"#, r#""confidence":[],"was":"#);
    assert_ne!(damaged, lines);
    std::fs::write(&file, format!("{lines}{damaged}")).unwrap();
    world.set("EXCLUDE", "own.example");
    tokio::time::advance(Duration::from_secs(3600)).await;
    world.command(RunOptions { retry_rejected: true, ..RunOptions::default() }).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_logged_of_a_record_names_its_value_and_type() {
    let heard = Lines::default();
    let lines = heard.clone();
    let subscriber = tracing_subscriber::registry()
        .with(telemetry::filter(LevelFilter::TRACE))
        .with(tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(move || lines.clone()));
    // As long as there is but one subscriber in the process, tests beside this one switch its events off.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut world = World::new();
    live(&mut world).await;
    let lines = heard.all();
    for (text, value, kind) in [
        ("was rejected by sentinel", "unloved.example", "fqdn"),
        ("was rejected by defender", "unloved.example", "fqdn"),
        ("cannot be used", "10.0.0.1", "ipv4"),
        ("is passed over", "strange.example", "email"),
        ("is left as another application has it", "theirs.example", "fqdn"),
        ("is excluded by", "own.example", "fqdn"),
        ("and is removed", "own.example", "DomainName"),
        ("is damaged and cannot be offered again", "unloved.example", "fqdn"),
    ] {
        let said = saying(&lines, text);
        assert!(!said.is_empty(), "{text:?} was not logged: {lines:#?}");
        assert!(
            said.iter().any(|line| line["value"] == value && line["type"] == kind),
            "{text:?} does not name {value} and {kind}: {said:#?}"
        );
    }
    // How a lane ended stands in the log as in the report.
    for line in saying(&lines, "lane sentinel ended ") {
        let end = line["message"].as_str().unwrap().rsplit(' ').next().unwrap();
        assert!(serde_json::from_value::<End>(json!(end)).is_ok(), "{line:#}");
    }
    // Whatever else is logged: a value or an id stands in no line that does not name what it is about.
    let records =
        ["held.example", "unloved.example", "own.example", "theirs.example", "10.0.0.1", "strange.example"];
    for line in &lines {
        let message = line["message"].as_str().unwrap_or_default();
        let is_about = |value: &&str| message.contains(*value) || message.contains(Record::fqdn(value).key());
        if records.iter().any(is_about) {
            assert!(line["value"].is_string() && line["type"].is_string(), "{line:#}");
        }
    }
}

/// Every call that logs, as it is written.
fn calls(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for level in ["trace!(", "debug!(", "info!(", "warn!(", "error!("] {
        for (at, _) in code.match_indices(level) {
            let mut depth = 0;
            let mut quoted = false;
            let mut before = ' ';
            let end = code[at..].find(|character: char| {
                if character == '"' && before != '\\' {
                    quoted = !quoted;
                }
                before = character;
                match character {
                    '(' if !quoted => depth += 1,
                    ')' if !quoted => depth -= 1,
                    _ => {}
                }
                depth == 0 && character == ')' && !quoted
            });
            found.push(&code[at..=at + end.expect("a call ends")]);
        }
    }
    found
}

/// What the code calls a record, or its parts, in a call that logs.
const OF_A_RECORD: [&str; 7] = ["{id}", "{value}", "{about}", "item.", "other.id", "source_id", "of_line"];

#[test]
fn every_call_that_logs_something_of_a_record_names_its_value_and_type() {
    let mut of_records = 0;
    for path in sources() {
        let text = read(&path);
        for call in calls(&text) {
            if OF_A_RECORD.iter().any(|part| call.contains(part)) {
                of_records += 1;
                assert!(call.contains("value") && call.contains("\"type\" = "), "{path}: {call}");
            }
        }
    }
    assert!(of_records >= 8, "{of_records} were found");
}
