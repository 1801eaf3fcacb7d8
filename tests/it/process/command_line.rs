//! The operator's tool.

use std::process::Output;

use chrono::TimeDelta;
use sandbox::{corpus::Record, gti::Ioc, host::Settings};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{
    Bench, EXECUTABLE, assert_keeps_secrets,
    corpus::{held, records, wanted},
    count, now, uploaded,
};

async fn mati_sync(arguments: &[&str], environment: &Settings) -> Output {
    let mut command = Command::new(EXECUTABLE);
    command.args(arguments).env_clear().envs(environment).output().await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn report(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let lines = text(&output.stdout).lines();
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    let last = lines.into_iter().next_back().unwrap();
    assert_eq!(last["event"], "pass_ended");
    last
}

#[tokio::test]
async fn a_pass_from_the_terminal_and_a_look_at_the_state() {
    let bench = Bench::new().await;
    let records = records(17, 400, 0.2);
    bench.world.mandiant.put_all(records.clone());
    let run = async |arguments: &[&str]| mati_sync(arguments, &bench.settings).await;

    let rehearsed = report(&run(&["sync", "--dry-run"]).await);
    assert!(bench.world.sentinel.requests().is_empty());
    let synced = run(&["sync"]).await;
    assert!(text(&synced.stderr).contains("caught up"), "{}", text(&synced.stderr));
    assert_eq!(count(&report(&synced), "created"), count(&rehearsed, "created"));
    assert_eq!(held(&bench.world.sentinel), wanted(&records));
    let again = report(&run(&["sync"]).await);
    assert_eq!((again["trigger"].as_str(), uploaded(&again), count(&again, "requests")), (Some("cli"), 0, 0));

    // A setting worth a warning is told elsewhere than in the result.
    let status = run(&["status", "--json"]).await;
    assert!(text(&status.stderr).contains("SENTINEL_REQUESTS_PER_MINUTE"));
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    let held = bench.world.sentinel.stored().len();
    assert_eq!(status["lanes"]["sentinel"]["manifest"], held);
    assert_eq!(status["runs"].as_array().unwrap().len(), 3);
    let table = run(&["status"]).await;
    assert!(text(&table.stdout).starts_with("sentinel: settled up to"), "{}", text(&table.stdout));

    let export = run(&["state", "export"]).await;
    let mut ids: Vec<String> = text(&export.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    let stored: Vec<String> = bench.world.sentinel.stored().into_keys().map(|(_, id)| id).collect();
    assert_eq!(ids, stored);
}

#[tokio::test]
async fn a_settings_file_serves_where_the_environment_has_nothing() {
    let bench = Bench::new().await;
    bench.world.mandiant.put_all(records(19, 100, 0.0));
    let file = bench.path().join("local.settings.json");
    // As Visual Studio writes it and people change it, and with everything in it that the platform gives an app.
    let values = serde_json::to_string_pretty(&json!(bench.settings)).unwrap();
    let values = values.trim_end_matches(['}', '\n']);
    let content = format!(
        "\u{feff}{{\r\n  \"IsEncrypted\": false, // plain\r\n  /* all */ \"Values\": {values},\r\n}},\r\n}}\r\n"
    );
    std::fs::write(&file, content).unwrap();
    let mut environment = Settings::new();
    let file = file.to_str().unwrap();
    assert!(uploaded(&report(&mati_sync(&["--settings", file, "sync"], &environment).await)) > 0);

    environment.insert("INCLUDE_FQDN".into(), "perhaps".into());
    let rejected = mati_sync(&["sync", "--settings", file], &environment).await;
    assert_eq!(rejected.status.code(), Some(1));
    assert!(text(&rejected.stderr).contains("INCLUDE_FQDN"), "{}", text(&rejected.stderr));
}

#[tokio::test]
async fn bad_settings_are_told_all_at_once() {
    let mut bench = Bench::new().await;
    bench.settings.remove("MATI_SECRET");
    bench.settings.insert("INITIAL_LOOKBACK".into(), "90".into());
    bench.settings.insert("SENTINEL_BASE_URL".into(), "http://sentinel.example".into());
    for arguments in [&["sync"][..], &["status"], &["state", "export"]] {
        let rejected = mati_sync(arguments, &bench.settings).await;
        assert_eq!(rejected.status.code(), Some(1));
        let faults = text(&rejected.stderr);
        for name in ["MATI_SECRET", "INITIAL_LOOKBACK", "SENTINEL_BASE_URL"] {
            assert_eq!(faults.lines().filter(|line| line.contains(name)).count(), 1, "{faults}");
        }
        assert_keeps_secrets(faults);
    }
    let alone = mati_sync(&[], &bench.settings).await;
    assert_eq!(alone.status.code(), Some(1));
    assert!(text(&alone.stderr).contains("func start"), "{}", text(&alone.stderr));
}

#[tokio::test]
async fn a_check_says_of_each_connection_whether_it_is_well() {
    let mut bench = Bench::new().await;
    bench.settings.extend(bench.world.adoption());
    bench.settings.insert("TARGET_APPLICATION".into(), "sentinel,defender".into());
    let well = mati_sync(&["check"], &bench.settings).await;
    let lines = text(&well.stdout);
    assert_eq!(well.status.code(), Some(0), "{lines}");
    let unproven: Vec<&str> = lines.lines().filter(|line| !line.starts_with("ok ")).collect();
    assert_eq!(lines.lines().count(), 17, "{lines}");
    assert!(unproven.len() == 1 && unproven[0].starts_with("unproven Sentinel uploads"), "{lines}");
    assert_keeps_secrets(lines);
    assert!(bench.world.sentinel.requests().is_empty() && bench.world.defender.stored().is_empty());

    bench.settings.insert("MATI_SECRET".into(), "a-secret-of-the-test".into());
    let rejected = mati_sync(&["check"], &bench.settings).await;
    let lines = text(&rejected.stdout);
    assert_eq!(rejected.status.code(), Some(1), "{lines}");
    let failed: Vec<&str> = lines.lines().filter(|line| line.starts_with("failed ")).collect();
    assert!(failed.len() == 1 && failed[0].contains("MATI_SECRET is wrong"), "{lines}");
    assert!(!lines.contains("a-secret-of-the-test"));

    bench.settings.remove("MATI_SECRET");
    bench.settings.insert("INITIAL_LOOKBACK".into(), "90".into());
    let faulty = mati_sync(&["check"], &bench.settings).await;
    let lines = text(&faulty.stdout);
    assert_eq!((faulty.status.code(), lines.lines().count()), (Some(1), 2), "{lines}");
    for name in ["MATI_SECRET", "INITIAL_LOOKBACK"] {
        assert!(lines.contains(name), "{lines}");
    }
    assert_keeps_secrets(lines);
}

#[tokio::test]
async fn two_sources_are_compared_and_what_is_missing_is_named() {
    let bench = Bench::new().await;
    let recent = |record: Record| record.updated(now() - TimeDelta::hours(5));
    bench.world.mandiant.put(recent(Record::fqdn("both.example")));
    bench.world.mandiant.put(recent(Record::fqdn("here.example")));
    bench.world.gti.put("malware", now() - TimeDelta::hours(5), &Ioc::domain("both.example"));
    let both = |arguments: &'static [&'static str]| {
        let mut settings = bench.settings.clone();
        settings.extend(bench.world.gti_settings());
        settings.insert("SOURCE".into(), "mandiant".into());
        async move { mati_sync(arguments, &settings).await }
    };
    let compared = both(&["compare", "--with", "gti", "--days", "1", "--json"]).await;
    assert_eq!(compared.status.code(), Some(0), "{}", text(&compared.stderr));
    let answer: Value = serde_json::from_slice(&compared.stdout).unwrap();
    assert_eq!(answer["types"]["fqdn"], json!({ "here": 1, "there": 0, "both": 1 }));
    assert_eq!(
        answer["lanes"]["sentinel"],
        json!({ "gained": 0, "lost": 1, "updated": 1, "rows": 1, "requests": 1 })
    );
    let table = both(&["compare", "--with", "gti", "--days", "1"]).await;
    let told = "sentinel: gti would add 0, send 1 once more and take away 1: 1 rows in 1 requests\n";
    assert!(text(&table.stdout).contains(told), "{}", text(&table.stdout));
    for mistake in [&["compare", "--with", "gti", "--days", "8"][..], &["compare", "--with", "taxii"]] {
        assert_eq!(mati_sync(mistake, &bench.settings).await.status.code(), Some(2));
    }

    let alone = mati_sync(&["compare", "--with", "gti"], &bench.settings).await;
    assert_eq!(alone.status.code(), Some(1));
    assert!(text(&alone.stderr).contains("GTI_API_KEY is not set"), "{}", text(&alone.stderr));
    let same = mati_sync(&["compare", "--with", "mandiant"], &bench.settings).await;
    assert_eq!(same.status.code(), Some(1));
    assert!(bench.world.sentinel.requests().is_empty(), "nothing is sent");
}

#[tokio::test]
async fn what_others_changed_is_told_and_brought_back() {
    let bench = Bench::new().await;
    bench.world.mandiant.put_all(records(23, 60, 0.0));
    let mut settings = bench.settings.clone();
    report(&mati_sync(&["sync"], &settings).await);
    let unasked = mati_sync(&["audit"], &settings).await;
    assert_eq!(unasked.status.code(), Some(1));
    assert!(text(&unasked.stdout).contains("set AZURE_SUBSCRIPTION_ID"), "{}", text(&unasked.stdout));

    settings.extend(bench.world.adoption());
    let run = async |arguments: &[&str]| mati_sync(arguments, &settings).await;
    let well = run(&["audit"]).await;
    assert_eq!(well.status.code(), Some(0), "{}", text(&well.stderr));
    let held = bench.world.sentinel.stored();
    assert_eq!(
        text(&well.stdout),
        format!("sentinel: the audit found all {} indicators as they were sent\n", held.len())
    );
    let ((source, id), _) = held.first_key_value().unwrap();
    let change = |object: &mut Value| object["confidence"] = json!(1);
    assert!(bench.world.sentinel.change_by_hand(source, id, change));

    let amiss = run(&["audit", "--json"]).await;
    assert_eq!(amiss.status.code(), Some(1));
    let answer: Value = serde_json::from_slice(&amiss.stdout).unwrap();
    let found = &answer["lanes"]["sentinel"];
    let numbers = ["held", "missing", "changed", "unknown", "expired", "repaired"].map(|name| &found[name]);
    assert_eq!(numbers, [&json!(held.len()), &json!(0), &json!(1), &json!(0), &json!(0), &json!(0)]);
    let told = run(&["audit"]).await;
    assert!(
        text(&told.stdout).contains(&format!("\n  {id}  changed confidence\n")),
        "{}",
        text(&told.stdout)
    );
    let quiet = run(&["audit", "--quiet"]).await;
    assert_eq!((quiet.status.code(), text(&quiet.stdout)), (Some(1), ""));
    assert!(text(&quiet.stderr).contains("1 changed by others"), "{}", text(&quiet.stderr));
    let status = run(&["status", "--quiet"]).await;
    assert_eq!(status.status.code(), Some(1));
    assert!(text(&status.stderr).contains("does not hold what was sent"), "{}", text(&status.stderr));

    let repaired = run(&["audit", "--repair", "--json"]).await;
    assert_eq!(repaired.status.code(), Some(0), "{}", text(&repaired.stderr));
    let answer: Value = serde_json::from_slice(&repaired.stdout).unwrap();
    assert_eq!(
        (&answer["lanes"]["sentinel"]["repaired"], &answer["lanes"]["sentinel"]["repair"]),
        (&json!(1), &json!("done"))
    );
    assert_eq!(run(&["audit", "--quiet"]).await.status.code(), Some(0));
    assert_eq!(run(&["status", "--quiet"]).await.status.code(), Some(0));
}
