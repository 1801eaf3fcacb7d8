//! What the Functions host and the users hold on to: host.json, the functions, the settings' names and defaults.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use chrono::TimeDelta;
use mati_sync::domain::request::RunOptions;
use mati_sync::settings::{
    Settings, function_timeout,
    table::{ALIASES, PLATFORM, Setting, settings},
    vars,
};
use sandbox::corpus::Record;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::harness::world::World;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const EXAMPLE: &str = "local.settings.example.json";
/// What the host and its tools read of the example beside our settings.
const OF_THE_HOST: &[&str] =
    &["FUNCTIONS_WORKER_RUNTIME", "AzureFunctionsJobHost__customHandler__description__defaultExecutablePath"];
/// Settings that have no default.
const REQUIRED: &[(&str, &str)] = &[
    ("MATI_KEY", "key"),
    ("MATI_SECRET", "secret"),
    ("AZURE_WORKSPACE_ID", "00000000-0000-0000-0000-000000000001"),
];

fn text(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn json_file(name: &str) -> Value {
    serde_json::from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_host_runs_one_message_at_a_time_and_starts_our_executable() {
    let host = json_file("host.json");
    assert_eq!(host["version"], "2.0");
    assert_eq!(
        host["customHandler"],
        json!({
            // The bare name: the host's tools set the execute bit only on exactly this entry of the package.
            "description": {"defaultExecutablePath": "mati-sync", "workingDirectory": "", "arguments": []},
            "enableForwardingHttpRequest": false,
        })
    );
    assert_eq!(
        host["extensionBundle"],
        json!({"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)"})
    );
    assert_eq!(
        host["extensions"],
        json!({
            "http": {"routePrefix": "api"},
            "queues": {
                "batchSize": 1,
                "newBatchThreshold": 0,
                "visibilityTimeout": "00:02:00",
                "maxDequeueCount": 3,
                "messageEncoding": "base64",
            },
        })
    );
}

/// A `default` of Information would turn on the request log of the Azure SDK within the host: 31 KB a minute on an
/// idle instance, 1.3 GB a month on one that is always up (Functions host 4.1037). Nothing of ours needs it.
#[test]
fn our_log_lines_are_kept_and_never_sampled_away_and_the_sdk_s_request_log_stays_off() {
    let logging = &json_file("host.json")["logging"];
    assert_eq!(
        logging["logLevel"],
        json!({"Function": "Information", "Host.Function.Console": "Information"})
    );
    assert_eq!(logging["applicationInsights"]["samplingSettings"]["excludedTypes"], "Request;Trace");
}

#[test]
fn the_time_limit_of_host_json_is_understood() {
    let host = json_file("host.json");
    let limit = host["functionTimeout"].as_str().and_then(function_timeout);
    assert_eq!(limit, Some(Duration::from_secs(600)));
}

#[test]
fn the_functions_are_those_of_the_reference() {
    let next = json!({
        "type": "queue", "direction": "out", "name": "next",
        "queueName": "mati-sync", "connection": "AzureWebJobsStorage",
    });
    let response = json!({"type": "http", "direction": "out", "name": "response"});
    let expected = BTreeMap::from([
        (
            "SyncTimer",
            json!([
                {
                    "type": "timerTrigger", "direction": "in", "name": "timer",
                    "schedule": "%SYNC_CRON%", "useMonitor": true, "runOnStartup": false,
                },
                next,
            ]),
        ),
        (
            "SyncNow",
            json!([
                {
                    "type": "httpTrigger", "direction": "in", "name": "request",
                    "methods": ["post"], "route": "sync", "authLevel": "function",
                },
                response,
                next,
            ]),
        ),
        (
            "SyncContinue",
            json!([
                {
                    "type": "queueTrigger", "direction": "in", "name": "message",
                    "queueName": "mati-sync", "connection": "AzureWebJobsStorage",
                },
                next,
            ]),
        ),
        (
            "Status",
            json!([
                {
                    "type": "httpTrigger", "direction": "in", "name": "request",
                    "methods": ["get"], "route": "status", "authLevel": "function",
                },
                response,
            ]),
        ),
    ]);
    let mut found = BTreeMap::new();
    for folder in fs::read_dir(ROOT).unwrap() {
        let name = folder.unwrap().file_name().into_string().unwrap();
        if Path::new(ROOT).join(&name).join("function.json").is_file() {
            let mut file = json_file(&format!("{name}/function.json"));
            found.insert(name, file["bindings"].take());
        }
    }
    let found: BTreeMap<&str, Value> =
        found.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    assert_eq!(found, expected);
}

/// A package for the host that lacks something, or carries the sources, is noticed only in Azure.
#[test]
fn a_package_for_the_host_holds_what_it_needs_and_nothing_else() {
    const DEPLOYED: &[&str] = &[
        "host.json",
        "Status",
        "SyncContinue",
        "SyncNow",
        "SyncTimer",
        "LICENSE",
        "NOTICE",
        "THIRD-PARTY.txt",
    ];
    let ignored = text(".funcignore");
    let ignored: Vec<&str> = ignored.lines().filter(|line| !line.starts_with('#')).collect();
    let files = crate::tidy::files();
    for file in &files {
        let top = file.split('/').next().unwrap();
        assert_ne!(
            DEPLOYED.contains(&top),
            ignored.contains(&top),
            "{top}: either deployed or in .funcignore"
        );
    }
}

#[test]
fn the_example_names_every_setting_and_no_other() {
    let example = json_file(EXAMPLE);
    assert_eq!(example["IsEncrypted"], false);
    let values = vars::from_file(&Path::new(ROOT).join(EXAMPLE)).unwrap();
    let mut names: Vec<&str> =
        settings().map(|setting| setting.name).chain(OF_THE_HOST.iter().copied()).collect();
    names.sort_unstable();
    assert_eq!(values.keys().map(String::as_str).collect::<Vec<_>>(), names);

    let host = json_file("host.json");
    for Setting { name, default, .. } in settings() {
        let expected = match (*name, *default) {
            // The host asks for them and has no default itself.
            ("AzureWebJobsStorage", _) => "UseDevelopmentStorage=true",
            ("SYNC_CRON", _) => "0 23 * * * *",
            (_, "host.json") => host["functionTimeout"].as_str().unwrap(),
            (_, "–" | "by cloud") => "",
            (_, default) => default,
        };
        assert_eq!(values[*name].expose_secret(), expected, "{name}");
    }
    assert_eq!(values["FUNCTIONS_WORKER_RUNTIME"].expose_secret(), "custom");
    assert_eq!(values[OF_THE_HOST[1]].expose_secret(), "target/release/mati-sync");
}

/// The example spells every default out; leaving it away must come to the same.
#[test]
fn the_documented_defaults_are_those_of_the_program() {
    let mut example = vars::from_file(&Path::new(ROOT).join(EXAMPLE)).unwrap();
    let faults = Settings::parse(&example).unwrap_err().0;
    let missing: Vec<&str> = faults.iter().map(|fault| fault.setting.as_str()).collect();
    let required: Vec<&str> = REQUIRED.iter().map(|(name, _)| *name).collect();
    assert_eq!(missing, required, "{faults:?}");

    example.extend(REQUIRED.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())));
    let spelt_out = Settings::parse(&example).unwrap();
    let no_default = ["AzureWebJobsStorage", "AzureFunctionsJobHost__functionTimeout", "SYNC_CRON"];
    example.retain(|name, _| no_default.contains(&name.as_str()) || required.contains(&name.as_str()));
    let left_away = Settings::parse(&example).unwrap();
    assert_eq!(format!("{spelt_out:#?}"), format!("{left_away:#?}"));
    assert!(spelt_out.notices.is_empty(), "{:?}", spelt_out.notices);
}

/// The cells of all tables of a document that begin with this head, without backticks.
fn rows(document: &str, head: &str) -> Vec<Vec<String>> {
    let document = text(document);
    let mut rows = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if line == head {
            let body = lines.by_ref().skip(1).take_while(|line| line.starts_with('|'));
            rows.extend(body.map(|row| {
                row.trim_matches('|').split(" | ").map(|cell| cell.trim().replace('`', "")).collect()
            }));
        }
    }
    rows
}

#[test]
fn every_older_spelling_is_documented() {
    let rows = rows("docs/settings.md", "| Older | Today |");
    let documented: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    for (older, today) in ALIASES {
        let row = rows.iter().find(|row| row[0] == *older).unwrap_or_else(|| panic!("{older} is missing"));
        assert_eq!(row[1], *today, "{older}");
    }
    for name in documented {
        let known = ALIASES.iter().any(|(older, _)| *older == name) || PLATFORM.contains(&name);
        assert!(known, "{name} is documented and not understood");
    }
}

/// `lanes/<lane>/days.json`: a row for each UTC day with what was held at its end, the fates, rows and bytes; 90 days.
#[tokio::test(start_paused = true)]
async fn every_day_of_a_lane_is_a_row() {
    let mut world = World::new();
    world.set("TARGET_APPLICATION", "sentinel,defender");
    let row_of = |world: &World, lane: &str| -> Vec<Value> {
        let file = world.state.path().join(format!("lanes/{lane}/days.json"));
        serde_json::from_str(&fs::read_to_string(file).expect("days.json")).expect("a list of rows")
    };
    let put = |world: &World, n: u8| {
        world
            .mandiant
            .put(Record::ipv4(&format!("198.51.100.{n}")).updated(world.ago(TimeDelta::minutes(30))));
    };
    put(&world, 1);
    world.mandiant.put(Record::fqdn("a.example").updated(world.ago(TimeDelta::minutes(30))).mscore(10));
    world.tick().await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    put(&world, 2);
    // A rehearsal changes nothing, here neither.
    world.command(RunOptions { dry_run: true, ..RunOptions::default() }).await;
    world.tick().await;
    let sent: usize = world.sentinel.requests().iter().map(|request| request.bytes).sum();
    for lane in ["sentinel", "defender"] {
        let rows = row_of(&world, lane);
        assert_eq!(rows.len(), 1, "{rows:?}");
        let row = &rows[0];
        assert_eq!((&row["day"], &row["held"]), (&json!("2026-03-02"), &json!({"ipv4": 2})), "{row}");
        assert_eq!((&row["fates"]["created"], &row["rows"]), (&json!(2), &json!({"created": 2})), "{row}");
        assert_eq!(row["fates"]["dropped"]["confidence"], 1, "{row}");
        assert!(row["bytes"].as_u64().is_some_and(|bytes| bytes > 200), "{row}");
    }
    assert_eq!(row_of(&world, "sentinel")[0]["bytes"], sent, "the bytes that Sentinel took");

    for day in 1..=95 {
        tokio::time::sleep(Duration::from_secs(86_400)).await;
        if day % 5 == 0 {
            put(&world, 10 + day);
        }
        world.tick().await;
    }
    let rows = row_of(&world, "sentinel");
    assert_eq!(rows.len(), 90);
    assert_eq!((&rows[0]["day"], &rows[89]["day"]), (&json!("2026-03-08"), &json!("2026-06-05")));
    let days: Vec<&str> = rows.iter().map(|row| row["day"].as_str().expect("a date")).collect();
    assert!(days.is_sorted() && rows[89]["held"]["ipv4"].as_u64() > Some(2), "{rows:?}");
}
