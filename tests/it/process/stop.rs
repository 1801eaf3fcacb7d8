//! The end of a process in the middle of its work.

use std::time::{Duration, Instant};

use sandbox::host::{ExitMode, FunctionsHost, HostSignal, Status, TimerFire, WorkerState};
use serde_json::json;
use tokio::process::Command;

use super::{
    Bench, EXECUTABLE, PATIENCE, assert_adds_up, assert_disciplined, client,
    corpus::{held, records, wanted},
    count, last_pass, tick,
};

#[tokio::test]
async fn a_stop_signal_pauses_a_pass_and_the_next_one_completes_it() {
    let bench = Bench::new().await;
    let records = records(13, 5_000, 0.0);
    let sentinel = &bench.world.sentinel;
    bench.world.mandiant.put_all(records.clone());
    sentinel.knobs(|knobs| knobs.delay = Duration::from_millis(700));
    let mut options = bench.options();
    // After exit code 0 this host starts no other process; 143 it counts as an error.
    options.exit_mode = ExitMode::Seen4_1037;
    let host = FunctionsHost::start(options).await.unwrap();

    let stop = async {
        while sentinel.stored().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let told = Instant::now();
        host.terminate(PATIENCE).await;
        told.elapsed()
    };
    let (fired, took) = tokio::join!(host.fire_timer("SyncTimer", TimerFire::default()), stop);
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(fired.succeeded(), "{fired:?}");
    let paused = last_pass(&host.output());
    assert_eq!(paused["end"], "paused");
    assert_adds_up(&paused);
    assert!(count(&paused, "left") > 0, "{paused:#}");
    let said = |text: &str| host.output().iter().any(|line| line.text.contains(text));
    assert!(said(r#""message":"stopped""#) && !said("exited with code"), "{:#?}", host.output());

    sentinel.knobs(|knobs| knobs.delay = Duration::ZERO);
    host.ready().await.unwrap();
    let report = tick(&host).await;
    assert_eq!(report["end"], "caught_up");
    assert_adds_up(&report);
    assert_eq!(held(sentinel), wanted(&records));
    assert_eq!(sentinel.log().len(), wanted(&records).len(), "something settled was sent again");

    // The message by which the paused pass wanted to go on has nothing left to do.
    let stale = host.queue("mati-sync").deliver_next().await.unwrap();
    assert!(stale.succeeded(), "{stale:?}");
    assert_eq!(last_pass(&host.output()), report);
    assert_disciplined(&host.output());
}

/// More often than a host bears errors within half an hour.
#[tokio::test]
async fn a_stop_signal_is_an_intended_restart_however_often_it_comes() {
    for exit_mode in [ExitMode::Seen4_1037, ExitMode::Modern2026] {
        let bench = Bench::new().await;
        let mut options = bench.options();
        options.exit_mode = exit_mode;
        let host = FunctionsHost::start(options).await.unwrap();
        for _ in 0..4 {
            host.terminate(PATIENCE).await;
            host.ready().await.unwrap();
            assert_eq!(tick(&host).await["end"], "caught_up");
        }
        let WorkerState::Initialized { process, .. } = host.state() else { panic!("{:?}", host.state()) };
        assert_eq!(process, 5, "{exit_mode:?}");
        assert!(host.output().iter().all(|line| !line.text.contains("exited with code")));
        assert_disciplined(&host.output());
    }
}

/// By the shell's own `kill`: a program of that name is missing in small images.
async fn signal(pid: &str, signal: &str) -> bool {
    let line = format!("kill -{signal} {pid}");
    let status = Command::new("sh").args(["-c", &line]).stderr(std::process::Stdio::null()).status();
    status.await.unwrap().success()
}

#[tokio::test]
async fn a_handler_whose_host_is_gone_commits_and_ends() {
    tokio::join!(commits_and_ends_after(HostSignal::Kill), commits_and_ends_after(HostSignal::Interrupt));
}

async fn commits_and_ends_after(sent: HostSignal) {
    let bench = Bench::new().await;
    let sentinel = &bench.world.sentinel;
    let records = records(23, 12_000, 0.0);
    bench.world.mandiant.put_all(records.clone());
    sentinel.knobs(|knobs| knobs.delay = Duration::from_secs(2));
    let mut options = bench.options();
    options.own_process = true;
    let host = FunctionsHost::start(options).await.unwrap();
    let dies = async {
        while sentinel.stored().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        host.signal(sent).await.unwrap();
    };
    let tick_of_dead = tokio::time::timeout(PATIENCE, host.fire_timer("SyncTimer", TimerFire::default()));
    let (_, ()) = tokio::join!(tick_of_dead, dies);
    // What it holds is free for the next host, and what it had sent is known.
    sentinel.knobs(|knobs| knobs.delay = Duration::ZERO);
    let next = bench.host().await;
    assert_eq!(tick(&next).await["end"], "caught_up");
    assert_eq!(held(sentinel), wanted(&records));
    assert_eq!(sentinel.log().len(), wanted(&records).len(), "something settled was sent again");
    let runs = std::fs::read_dir(bench.path().join("state/runs")).unwrap();
    let mut ends: Vec<String> = runs
        .map(|run| serde_json::from_slice(&std::fs::read(run.unwrap().path()).unwrap()).unwrap())
        .map(|run: serde_json::Value| run["end"].as_str().unwrap().to_owned())
        .collect();
    ends.sort_unstable();
    assert_eq!(ends, ["caught_up", "paused"], "{sent:?}: the pass under the dead host did not go on");
}

/// Idle, it has nothing to commit, and must not stay either.
#[tokio::test]
async fn an_idle_handler_ends_with_its_host() {
    let bench = Bench::new().await;
    let mut options = bench.options();
    options.own_process = true;
    let host = FunctionsHost::start(options).await.unwrap();
    let WorkerState::Initialized { port, .. } = host.state() else { panic!("{:?}", host.state()) };
    let place = format!("http://127.0.0.1:{port}/");
    assert_eq!(client().get(&place).send().await.unwrap().status(), 200);
    host.signal(HostSignal::Kill).await.unwrap();
    let killed = Instant::now();
    while client().get(&place).send().await.is_ok() {
        assert!(killed.elapsed() < Duration::from_secs(20), "the handler stays without its host");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn ctrl_c_lets_the_running_pass_commit_and_ends_everything() {
    let bench = Bench::new().await;
    let sentinel = &bench.world.sentinel;
    bench.world.mandiant.put_all(records(31, 5_000, 0.0));
    sentinel.knobs(|knobs| knobs.delay = Duration::from_millis(700));
    let mut options = bench.options();
    options.exit_mode = ExitMode::Seen4_1037;
    let host = FunctionsHost::start(options).await.unwrap();
    let interrupt = async {
        while sentinel.stored().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        host.signal(HostSignal::InterruptGroup).await.unwrap();
    };
    let (fired, ()) = tokio::join!(host.fire_timer("SyncTimer", TimerFire::default()), interrupt);
    assert!(fired.succeeded(), "{fired:?}");
    assert_eq!(last_pass(&host.output())["end"], "paused");
    assert!(matches!(host.state(), WorkerState::Stopped(_)));
    let started = host.output().iter().filter(|line| line.text.starts_with("Worker process started")).count();
    assert_eq!(started, 1, "Ctrl-C is no restart");
    assert_disciplined(&host.output());
}

/// A changed host.json starts a second handler while the first still works: the lease keeps them apart.
#[tokio::test]
async fn two_handlers_at_once_send_nothing_twice() {
    let bench = Bench::new().await;
    let sentinel = &bench.world.sentinel;
    let records = records(37, 4_000, 0.0);
    bench.world.mandiant.put_all(records.clone());
    sentinel.knobs(|knobs| knobs.delay = Duration::from_millis(500));
    let host = bench.host().await;
    let change = async {
        while sentinel.stored().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        host.change_host_json().await.unwrap();
        host.fire_timer("SyncTimer", TimerFire::default()).await
    };
    let (first, second) = tokio::join!(host.fire_timer("SyncTimer", TimerFire::default()), change);
    assert_eq!((&first.status, &second.status), (&Status::Succeeded, &Status::Succeeded));
    assert_eq!(held(sentinel), wanted(&records));
    assert_eq!(sentinel.log().len(), wanted(&records).len());
    assert_disciplined(&host.output());
}

/// A process that is started by hand, with the port in a settings file, has no host: an end by SIGTERM is an end.
#[tokio::test]
async fn started_by_hand_it_ends_with_0() {
    let bench = Bench::new().await;
    for by_host in [false, true] {
        let port =
            std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port().to_string();
        let mut settings = bench.settings.clone();
        let mut command = Command::new(EXECUTABLE);
        command.env_clear().kill_on_drop(true).stdout(std::process::Stdio::null());
        match by_host {
            true => _ = command.env("FUNCTIONS_CUSTOMHANDLER_PORT", &port),
            false => _ = settings.insert("FUNCTIONS_CUSTOMHANDLER_PORT".into(), port.clone()),
        }
        let file = bench.path().join("local.settings.json");
        std::fs::write(&file, json!({"Values": settings}).to_string()).unwrap();
        let mut child = command.arg("--settings").arg(&file).spawn().unwrap();
        let place = format!("http://127.0.0.1:{port}/");
        while client().get(&place).send().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(signal(&child.id().unwrap().to_string(), "TERM").await);
        let ended = child.wait().await.unwrap();
        assert_eq!(ended.code(), Some(if by_host { 200 } else { 0 }));
    }
}
