//! The executable as built, under the double of the Functions host, over real sockets.

mod command_line;
mod corpus;
mod hosted;
mod kill;
mod lifecycle;
mod package;
mod pass;
mod proxy;
mod requests;
mod running;
mod secrets;
mod stop;
mod terminal;
mod values;
mod watchdog;

use std::{path::Path, time::Duration};

use chrono::{DateTime, Utc};
use sandbox::{
    clock,
    host::{FunctionsHost, HostOptions, OutputLine, Settings, Stream, TimerFire},
    world::{SECRETS, World},
};
use serde_json::Value;
use tempfile::TempDir;

const EXECUTABLE: &str = env!("CARGO_BIN_EXE_mati-sync");
const PATIENCE: Duration = Duration::from_secs(60);

/// The services, a folder for the state, and settings that lead to both.
struct Bench {
    world: World,
    settings: Settings,
    folder: TempDir,
}

impl Bench {
    async fn new() -> Self {
        Self::with(World::start(clock::system()).await.unwrap())
    }

    fn with(world: World) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = world.settings();
        settings.insert("STATE_DIR".into(), folder.path().join("state").display().to_string());
        // The host's own, without which it starts neither timer nor queue; the state is in the directory.
        settings.insert("AzureWebJobsStorage".into(), "UseDevelopmentStorage=true".into());
        settings.insert("SYNC_CRON".into(), "0 0 * * * *".into());
        // Sentinel's own limit would only make the tests wait.
        settings.insert("SENTINEL_REQUESTS_PER_MINUTE".into(), "100000".into());
        world.sentinel.knobs(|knobs| knobs.quota = usize::MAX);
        Self { world, settings, folder }
    }

    /// The app of this repository with our settings; timers and queues by hand.
    fn options(&self) -> HostOptions {
        let mut options = HostOptions::new(env!("CARGO_MANIFEST_DIR"));
        options.executable = Some(EXECUTABLE.into());
        options.settings = self.settings.clone();
        options
    }

    async fn host(&self) -> FunctionsHost {
        FunctionsHost::start(self.options()).await.unwrap()
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// What the tests ask the host with; a proxy of this machine's has no part in it.
fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

fn now() -> DateTime<Utc> {
    clock::system()()
}

/// One tick of the timer that must go well, and the report of its pass.
async fn tick(host: &FunctionsHost) -> Value {
    let fired = host.fire_timer("SyncTimer", TimerFire::default()).await;
    assert!(fired.succeeded(), "{fired:?}");
    // The answer may be here before the line is.
    let is_its_report =
        |line: &OutputLine| pass_ended(line).is_some_and(|report| report["invocation_id"] == fired.id);
    let line = host.wait_for_output(is_its_report, PATIENCE).await.unwrap();
    pass_ended(&line).expect("it is a report")
}

/// The report that a line holds, if it holds one.
fn pass_ended(line: &OutputLine) -> Option<Value> {
    serde_json::from_str(&line.text).ok().filter(|line: &Value| line["event"] == "pass_ended")
}

/// The report in the newest `pass_ended` line.
fn last_pass(output: &[OutputLine]) -> Value {
    output.iter().rev().find_map(pass_ended).expect("a pass has ended")
}

/// A number of the lane `sentinel`.
fn count(report: &Value, name: &str) -> u64 {
    let value = report.pointer(&format!("/lanes/sentinel/{name}"));
    value.and_then(Value::as_u64).unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

/// Objects that went to Sentinel.
fn uploaded(report: &Value) -> u64 {
    ["created", "updated", "renewed", "retracted"].iter().map(|name| count(report, name)).sum()
}

/// Nothing that was read is unaccounted for.
fn assert_adds_up(report: &Value) {
    let reasons = ["confidence", "threat_score", "osint", "uncategorized", "type", "malformed"];
    let dropped: u64 = reasons.iter().map(|reason| count(report, &format!("dropped/{reason}"))).sum();
    let others: u64 =
        ["unchanged", "rejected", "over_limit", "left"].iter().map(|name| count(report, name)).sum();
    assert_eq!(count(report, "read"), dropped + others + uploaded(report), "{report:#}");
}

/// What every host's log must keep to: JSON objects on standard output, nothing on standard error, no secrets.
fn assert_disciplined(output: &[OutputLine]) {
    assert!(output.iter().any(|line| line.stream == Stream::Stdout), "mati-sync said nothing");
    for line in output {
        match line.stream {
            Stream::Stdout => {
                let json = serde_json::from_str::<Value>(&line.text);
                assert!(json.is_ok_and(|json| json.is_object()), "no JSON object: {}", line.text);
            }
            Stream::Stderr => panic!("on standard error: {}", line.text),
            Stream::Host => {}
        }
        assert_keeps_secrets(&line.text);
    }
}

/// `eyJ` begins every token that Entra issues, `sig=` the signature of a shared access signature.
fn assert_keeps_secrets(text: &str) {
    let tokens = ["eyJ", "sig=", "sig%3D", "Bearer ", "Basic "];
    for secret in SECRETS.iter().chain(&tokens) {
        assert!(!text.contains(secret), "{secret:?} shows in: {text}");
    }
}
