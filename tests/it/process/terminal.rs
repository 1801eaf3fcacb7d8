//! The command line as people and scripts meet it: a terminal, a pipe, a monitoring system.

use std::{
    collections::BTreeSet,
    io::Read,
    os::fd::OwnedFd,
    process::{Command as Process, Output, Stdio},
    time::Duration,
};

use nix::pty::{Winsize, openpty};
use sandbox::{corpus::Record, host::Settings};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{Bench, EXECUTABLE, corpus::records, now};
use mati_sync::{
    clock::Deadline,
    state::{directory::DirectoryHome, home::Home, store::Store},
};

pub(super) async fn mati_sync(arguments: &[&str], environment: &Settings) -> Output {
    Command::new(EXECUTABLE).args(arguments).env_clear().envs(environment).output().await.unwrap()
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a terminal of 80 columns gets to see, and how the command ended.
async fn in_a_terminal(arguments: &[&str], environment: &Settings) -> (Option<i32>, String) {
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let pair = openpty(&size, None).unwrap();
    let side = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
    let mut command = Process::new(EXECUTABLE);
    command.args(arguments).env_clear().envs(environment).stdin(Stdio::null());
    command.stdout(side(&pair.slave)).stderr(side(&pair.slave));
    let mut child = command.spawn().unwrap();
    // The parent's copies of the slave's side keep the terminal open otherwise.
    drop((command, pair.slave));
    let reading = tokio::task::spawn_blocking(move || {
        let (mut seen, mut terminal) = (Vec::new(), std::fs::File::from(pair.master));
        let mut part = [0; 4096];
        // Linux tells the end of a terminal as an error.
        while let Ok(length @ 1..) = terminal.read(&mut part) {
            seen.extend_from_slice(&part[..length]);
        }
        (child.wait().unwrap().code(), text(&seen))
    });
    reading.await.unwrap()
}

#[tokio::test]
async fn called_bare_in_a_terminal_it_shows_its_help() {
    let (code, seen) = in_a_terminal(&[], &Settings::new()).await;
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("Usage: mati-sync") && seen.contains("Examples:"), "{seen}");
    assert!(seen.lines().all(|line| line.trim_end().chars().count() <= 80), "{seen}");
    let piped = mati_sync(&[], &Settings::new()).await;
    assert_eq!(piped.status.code(), Some(1));
}

#[tokio::test]
async fn the_help_groups_and_names_the_settings() {
    let help = text(&mati_sync(&["--help"], &Settings::new()).await.stdout);
    for part in ["Commands:", "Output:", "Source:", "State, schedule, run time:", "MATI_KEY", "LOG_LEVEL"] {
        assert!(help.contains(part), "{part} is not in {help}");
    }
    let names = help.lines().skip_while(|line| !line.starts_with("Settings, "));
    assert!(names.clone().count() > 12 && names.into_iter().all(|line| line.len() <= 100), "{help}");
}

#[tokio::test]
async fn a_check_in_a_terminal_has_symbols_and_colors_unless_they_are_unwanted() {
    let mut bench = Bench::new().await;
    bench.settings.insert("TERM".into(), "xterm".into());
    // Above it there would be a warning on standard error.
    bench.settings.insert("SENTINEL_REQUESTS_PER_MINUTE".into(), "100".into());
    let (code, seen) = in_a_terminal(&["check"], &bench.settings).await;
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("\u{1b}[32m✓\u{1b}[0m settings") && seen.contains("\u{1b}[33m?"), "{seen}");
    assert!(seen.contains("could not be proven"), "{seen}");
    for line in seen.lines().map(|line| line.replace("\u{1b}[32m", "").replace("\u{1b}[33m", "")) {
        let wide = line.replace("\u{1b}[0m", "").trim_end().chars().count();
        assert!(wide <= 80 || !line.trim().contains(' '), "{wide}: {line:?}");
    }
    let (_, plain) = in_a_terminal(&["check", "--color", "never"], &bench.settings).await;
    assert!(plain.contains("✓ settings") && !plain.contains("\u{1b}[3"), "{plain:?}");
    bench.settings.insert("NO_COLOR".into(), "1".into());
    let (_, plain) = in_a_terminal(&["check"], &bench.settings).await;
    assert!(!plain.contains("\u{1b}[3"), "{plain:?}");
    let piped = text(&mati_sync(&["check", "--color", "always"], &bench.settings).await.stdout);
    assert!(piped.contains("\u{1b}[32mok"), "{piped}");
}

#[tokio::test]
async fn the_spinner_moves() {
    let mut bench = Bench::new().await;
    bench.world.mandiant.put_all(records(3, 50, 0.0));
    bench.settings.insert("TERM".into(), "xterm".into());
    // The first upload waits for its place too.
    bench.settings.insert("SENTINEL_REQUESTS_PER_MINUTE".into(), "40".into());
    let (code, seen) = in_a_terminal(&["sync"], &bench.settings).await;
    assert_eq!(code, Some(0), "{seen}");
    // The spinner's signs are those of braille.
    let frames: BTreeSet<char> =
        seen.chars().filter(|sign| ('\u{2801}'..='\u{28ff}').contains(sign)).collect();
    assert!(frames.len() > 3, "{frames:?} in {seen:?}");
}

#[tokio::test]
async fn a_reader_that_leaves_early_is_no_error() {
    let bench = Bench::new().await;
    bench.world.mandiant.put_all(records(5, 100, 0.0));
    assert_eq!(mati_sync(&["sync"], &bench.settings).await.status.code(), Some(0));
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["state", "export"],
        &["check"],
        &["sync", "--json"],
        &["--help"],
        &["man"],
        &["completions", "bash"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(EXECUTABLE);
        command.args(arguments).env_clear().envs(&bench.settings).stdout(writer).stderr(Stdio::piped());
        let output = command.output().await.unwrap();
        let told = text(&output.stderr);
        assert!(
            !told.contains("panicked") && !told.to_lowercase().contains("broken pipe"),
            "{arguments:?}: {told}"
        );
        assert!(output.status.code().is_some_and(|code| code < 100), "{arguments:?}: {:?}", output.status);
    }
}

#[tokio::test]
async fn results_come_as_json_and_quietly_where_that_is_wanted() {
    let mut bench = Bench::new().await;
    bench.world.mandiant.put_all(records(5, 100, 0.0));
    let checked = mati_sync(&["check", "--json"], &bench.settings).await;
    let result: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!((checked.status.code(), &result["ok"]), (Some(0), &json!(true)));
    for probe in result["probes"].as_array().unwrap() {
        assert!(probe["name"].is_string() && probe["detail"].is_string(), "{probe}");
        assert!(["ok", "unproven"].contains(&probe["result"].as_str().unwrap()), "{probe}");
    }
    let quiet = mati_sync(&["--quiet", "check"], &bench.settings).await;
    assert_eq!((quiet.status.code(), quiet.stdout.len()), (Some(0), 0));

    let synced = mati_sync(&["sync", "--json"], &bench.settings).await;
    let report: Value = serde_json::from_slice(&synced.stdout).unwrap();
    assert_eq!((report["end"].as_str(), report["trigger"].as_str()), (Some("caught_up"), Some("cli")));
    let quiet = mati_sync(&["sync", "-q"], &bench.settings).await;
    assert_eq!((quiet.status.code(), quiet.stdout.len(), quiet.stderr.len()), (Some(0), 0, 0), "{quiet:?}");
    let verbose = mati_sync(&["status", "--verbose"], &bench.settings).await;
    assert_eq!(verbose.status.code(), Some(0));

    bench.settings.insert("MATI_SECRET".into(), "a-secret-of-the-test".into());
    let failed = mati_sync(&["check", "--json"], &bench.settings).await;
    let result: Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!((failed.status.code(), &result["ok"]), (Some(1), &json!(false)));
    let mandiant =
        result["probes"].as_array().unwrap().iter().find(|probe| probe["name"] == "Mandiant").unwrap();
    assert_eq!(mandiant["result"], "failed");
    let quiet = text(&mati_sync(&["check", "--quiet"], &bench.settings).await.stdout);
    assert!(quiet.lines().count() == 1 && quiet.starts_with("failed  Mandiant"), "{quiet}");
}

#[tokio::test]
async fn status_exits_with_1_when_something_is_wrong_and_its_json_has_what_the_page_has() {
    let mut bench = Bench::new().await;
    bench.settings.insert("SYNC_CRON".into(), "61 * * * * *".into());
    let never = mati_sync(&["status"], &bench.settings).await;
    assert_eq!(never.status.code(), Some(1), "the timer never fires");
    assert!(text(&never.stdout).contains("wrong: SYNC_CRON is"), "{}", text(&never.stdout));
    // A terminal needs no schedule.
    bench.settings.remove("SYNC_CRON");
    assert_eq!(mati_sync(&["status"], &bench.settings).await.status.code(), Some(0), "before the first pass");
    bench.world.mandiant.put_all(records(5, 100, 0.0));
    mati_sync(&["sync"], &bench.settings).await;
    let well = mati_sync(&["status", "--json"], &bench.settings).await;
    let body: Value = serde_json::from_slice(&well.stdout).unwrap();
    assert_eq!((well.status.code(), &body["healthy"]), (Some(0), &json!(true)), "{body:#}");
    let lane = &body["lanes"]["sentinel"];
    assert_eq!(lane["health"]["end"], "caught_up");
    assert_eq!(lane["counts"]["held"]["total"], bench.world.sentinel.stored().len());
    assert!(
        body["schedule"].is_object() && body["version"].is_string() && lane["newest_rejected"].is_array()
    );

    bench.settings.insert("MATI_SECRET".into(), "a-secret-of-the-test".into());
    assert_eq!(mati_sync(&["sync"], &bench.settings).await.status.code(), Some(1));
    let ill = mati_sync(&["status", "--json"], &bench.settings).await;
    let body: Value = serde_json::from_slice(&ill.stdout).unwrap();
    assert_eq!((ill.status.code(), &body["healthy"]), (Some(1), &json!(false)));
    assert!(body["complaints"][0].as_str().unwrap().contains("sentinel is stalled since"), "{body:#}");
    let ill = mati_sync(&["status", "--quiet"], &bench.settings).await;
    assert_eq!((ill.status.code(), ill.stdout.len()), (Some(1), 0));
    assert!(text(&ill.stderr).contains("sentinel is stalled since"));
}

#[tokio::test]
async fn the_running_pass_is_shown_by_status_and_by_who_waits_for_it() {
    const RUN_ID: &str = "20260302T110000000Z-0001";
    let bench = Bench::new().await;
    let store = Store::new(Home::Directory(DirectoryHome::new(bench.path().join("state"))));
    store.prepare().await.unwrap();
    let deadline = Deadline::after(Duration::from_secs(60));
    let lease = store.lease(RUN_ID, &deadline).await.unwrap().unwrap();
    let status = text(&mati_sync(&["status"], &bench.settings).await.stdout);
    assert!(
        status.starts_with(&format!("a pass is running since 2026-03-02 11:00:00 UTC ({RUN_ID}")),
        "{status}"
    );
    let body: Value =
        serde_json::from_slice(&mati_sync(&["status", "--json"], &bench.settings).await.stdout).unwrap();
    assert_eq!(
        (&body["running"]["run_id"], &body["running"]["since"]),
        (&json!(RUN_ID), &json!("2026-03-02T11:00:00Z"))
    );

    let waiting = mati_sync(&["sync"], &bench.settings);
    let releasing = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        lease.release().await;
    };
    let (synced, ()) = tokio::join!(waiting, releasing);
    assert_eq!(synced.status.code(), Some(0));
    let told = text(&synced.stderr);
    assert!(told.contains(&format!("a pass is running since 11:00:00 UTC ({RUN_ID}")), "{told}");
    let body: Value =
        serde_json::from_slice(&mati_sync(&["status", "--json"], &bench.settings).await.stdout).unwrap();
    assert_eq!(body["running"], Value::Null);
}

#[tokio::test]
async fn a_mere_question_creates_no_directory() {
    let bench = Bench::new().await;
    for arguments in [&["status"][..], &["status", "--json"], &["state", "export"]] {
        let asked = mati_sync(arguments, &bench.settings).await;
        assert_eq!(asked.status.code(), Some(0), "{}", text(&asked.stderr));
        assert!(!bench.path().join("state").exists(), "{arguments:?} created the directory");
    }
}

#[tokio::test]
async fn control_characters_of_a_server_never_reach_a_terminal() {
    let bench = Bench::new().await;
    bench.world.mandiant.put(Record::fqdn("one.example").updated(now() - chrono::TimeDelta::minutes(5)));
    bench.world.sentinel.knobs(|knobs| {
        knobs.reject =
            Some(std::sync::Arc::new(|_: &Value| Some("no\u{1b}[2J\u{9b}31m\u{7}\u{202e}way".into())))
    });
    let (_, seen) = in_a_terminal(&["sync"], &bench.settings).await;
    let (_, status) = in_a_terminal(&["status"], &bench.settings).await;
    let (_, body) = in_a_terminal(&["status", "--json"], &bench.settings).await;
    for seen in [seen, status, body] {
        for sign in ["\u{1b}[2J", "\u{9b}", "\u{7}", "\u{202e}"] {
            assert!(!seen.contains(sign), "{sign:?} in {seen:?}");
        }
    }
}

#[tokio::test]
async fn completions_a_manual_page_and_an_older_file_need_no_settings() {
    let nothing = Settings::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = mati_sync(&["completions", shell], &nothing).await;
        assert_eq!(script.status.code(), Some(0));
        assert!(text(&script.stdout).contains("lookback-days"), "{shell}");
    }
    let page = mati_sync(&["man"], &nothing).await;
    let page = text(&page.stdout);
    assert!(page.contains(".TH mati-sync 1") && page.contains("MATI_KEY"), "{page}");
    let page = text(&mati_sync(&["man", "sync"], &nothing).await.stdout);
    assert!(page.contains("lookback") && page.contains("mati\\-sync sync"), "{page}");
    let unknown = mati_sync(&["man", "sing"], &nothing).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("the commands are sync, check"), "{unknown:?}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("older.env");
    std::fs::write(&file, "MATI_KEY=hush-key\nSYNC_SCHEDULE=4\nTARGET_APPLICATION=Azure Sentinel\n").unwrap();
    let carried = mati_sync(&["settings", "--from", file.to_str().unwrap()], &nothing).await;
    assert_eq!(carried.status.code(), Some(0));
    let printed: Value = serde_json::from_slice(&carried.stdout).unwrap();
    assert_eq!(printed["Values"]["SYNC_CRON"], "0 23 */4 * * *");
    assert_eq!(printed["Values"]["TARGET_APPLICATION"], "sentinel");
    let told = text(&carried.stderr);
    assert!(told.contains("MATI_KEY is a secret"), "{told}");
    assert!(!told.contains("hush") && !text(&carried.stdout).contains("hush"));
    let missing = mati_sync(&["settings", "--from", "/nowhere/at.all"], &nothing).await;
    assert_eq!(missing.status.code(), Some(1));
}
