//! The double of the Functions host over a real process.

#[path = "host/seen.rs"]
mod seen;

use std::{path::Path, time::Duration};

use sandbox::host::{ExitMode, FunctionsHost, HostOptions, Level, Status, Stream, TimerFire, WorkerState};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(5);

struct App {
    folder: tempfile::TempDir,
}

impl App {
    fn new() -> Self {
        let app = Self { folder: tempfile::tempdir().unwrap() };
        app.write(
            "host.json",
            &json!({
                "version": "2.0",
                "functionTimeout": "00:10:00",
                "extensions": {"queues": {"batchSize": 1, "newBatchThreshold": 0, "maxDequeueCount": 2}},
                "customHandler": {"description": {"defaultExecutablePath": "absent"}},
            }),
        );
        for name in ["Timer", "Null", "Slow", "Exit", "Brief"] {
            app.function(name, &[json!({"type": "timerTrigger", "name": "timer", "schedule": "%CRON%"})]);
        }
        let next = json!({"type": "queue", "direction": "out", "name": "next", "queueName": "jobs"});
        let item = json!({"type": "queueTrigger", "direction": "in", "name": "item", "queueName": "jobs"});
        app.function("Work", &[item, next.clone()]);
        let request = json!({"type": "httpTrigger", "name": "req", "route": "now", "methods": ["post"]});
        let response = json!({"type": "http", "direction": "out", "name": "res"});
        app.function("Now", &[request, response.clone(), next]);
        for name in ["Deaf", "Empty", "None", "Page"] {
            let request = json!({"type": "httpTrigger", "name": "req", "methods": ["get", "post"]});
            app.function(name, &[request, response.clone()]);
        }
        app
    }

    fn write(&self, file: &str, value: &Value) {
        let path = self.root().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, value.to_string()).unwrap();
    }

    fn function(&self, name: &str, bindings: &[Value]) {
        self.write(&format!("{name}/function.json"), &json!({"bindings": bindings}));
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn options(&self) -> HostOptions {
        let mut options = HostOptions::new(self.root());
        options.executable = Some(env!("CARGO_BIN_EXE_echo-handler").into());
        options.settings.insert("CRON".into(), "0 0 * * * *".into());
        options.settings.insert("AzureWebJobsStorage".into(), "UseDevelopmentStorage=true".into());
        options
    }

    async fn host(&self) -> FunctionsHost {
        FunctionsHost::start(self.options()).await.unwrap()
    }
}

fn process(host: &FunctionsHost) -> u64 {
    match host.state() {
        WorkerState::Initialized { process, .. } => process,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_timer_is_called_as_the_host_calls_it() {
    let app = App::new();
    let host = app.host().await;
    let fired = host.fire_timer("Timer", TimerFire { is_past_due: true, schedule_status: None }).await;
    assert_eq!((&fired.status, fired.http_status), (&Status::Succeeded, Some(200)));
    let call = serde_json::from_str::<Value>(&fired.logs[0]).unwrap();
    let expected = json!({"Schedule": {"AdjustForDST": true}, "ScheduleStatus": null, "IsPastDue": true});
    assert_eq!(call["Data"]["timer"], expected);
    assert_eq!(call["Metadata"]["sys"]["MethodName"], "Timer");
    let headers = fired.logs[1..].join("\n");
    assert!(
        headers.contains("transfer-encoding: chunked") && !headers.contains("content-length"),
        "{headers}"
    );
    assert!(headers.contains(&format!("x-azure-functions-invocationid: {}", fired.id)), "{headers}");
    assert!(headers.contains("content-type: application/json; charset=utf-8"), "{headers}");
    assert!(!headers.contains("traceparent"), "Application Insights is not configured: {headers}");
    assert_eq!(host.fire_timer("Null", TimerFire::default()).await.status, Status::Hung);
    host.stop().await;
}

#[tokio::test]
async fn a_process_that_dies_is_replaced_twice() {
    let app = App::new();
    let host = app.host().await;
    for died in 1..=3 {
        assert_eq!(process(&host), died);
        let exit = host.fire_timer("Exit", TimerFire::default()).await;
        assert!(matches!(exit.status, Status::Failed(_)), "{exit:?}");
        // The answer's end can be seen before the process's.
        let text = "exited with code 1 (0x1) going down";
        let told = || host.output().iter().filter(|line| line.text.contains(text)).count();
        while told() < died as usize {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if died < 3 {
            host.ready().await.unwrap();
        }
    }
    let gone = host.ready().await.unwrap_err().to_string();
    assert!(gone.starts_with("Exceeded http worker restart retry count."), "{gone}");
    host.restart_host().await.unwrap();
    assert!(host.fire_timer("Timer", TimerFire::default()).await.succeeded());
}

#[tokio::test]
async fn a_handler_that_cannot_start_fails_the_start() {
    let app = App::new();
    let mut options = app.options();
    options.settings.insert("EXIT_AT_START".into(), "1".into());
    let error = FunctionsHost::start(options).await.err().unwrap().to_string();
    assert!(error.contains("echo-handler exited with code 3 (0x3) no settings"), "{error}");
}

#[tokio::test]
async fn a_kill_fails_what_is_in_flight() {
    let app = App::new();
    let host = app.host().await;
    let kill = async {
        host.wait_for_output(|line| line.text.starts_with("Executing 'Functions.Slow'"), PATIENCE)
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        host.kill().await;
    };
    let (slow, ()) = tokio::join!(host.fire_timer("Slow", TimerFire::default()), kill);
    assert!(matches!(slow.status, Status::Failed(_)), "{slow:?}");
    host.ready().await.unwrap();
    // SIGTERM ends a process without a handler of its own; modern hosts do not count that.
    host.terminate(PATIENCE).await;
    host.ready().await.unwrap();
    assert_eq!(process(&host), 3);
    let error =
        |line: &&sandbox::host::OutputLine| line.stream == Stream::Host && line.text.contains("(0x89)");
    assert_eq!(host.output().iter().find(error).unwrap().level, Level::Error);
}

#[tokio::test]
async fn an_old_host_leaves_the_app_without_a_process_after_exit_0() {
    let app = App::new();
    let mut options = app.options();
    options.exit_mode = ExitMode::Seen4_1037;
    options.settings.insert("EXIT_CODE".into(), "0".into());
    let host = FunctionsHost::start(options).await.unwrap();
    host.fire_timer("Exit", TimerFire::default()).await;
    let after = host.fire_timer("Timer", TimerFire::default()).await;
    assert!(matches!(after.status, Status::Failed(_)), "{after:?}");
    assert_eq!(process(&host), 1);
}

#[tokio::test]
async fn a_timeout_kills_the_process_and_everything_in_it() {
    let app = App::new();
    let mut options = app.options();
    options.function_timeout = Some(Duration::from_secs(1));
    options.wait_out_hangs = true;
    let host = FunctionsHost::start(options).await.unwrap();
    let later = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        host.fire_timer("Null", TimerFire::default()).await
    };
    let (slow, null) = tokio::join!(host.fire_timer("Slow", TimerFire::default()), later);
    assert_eq!((&slow.status, &null.status), (&Status::TimedOut, &Status::TimedOut));
    assert!(slow.duration >= Duration::from_secs(3), "{:?}", slow.duration);
    host.ready().await.unwrap();
    assert!(host.fire_timer("Timer", TimerFire::default()).await.succeeded());
    // Killed by the host itself, and once: the second timeout finds its process gone.
    assert_eq!(process(&host), 2);
}

#[tokio::test]
async fn messages_go_round_by_hand() {
    let app = App::new();
    let host = app.host().await;
    let queue = host.queue("jobs");
    assert!(queue.deliver_next().await.is_none());
    queue.push("again hello").unwrap();
    queue.duplicate_next();
    assert!(queue.deliver_next().await.unwrap().succeeded());
    assert_eq!(queue.messages(), ["again hello", "hello"]);
    host.drain(PATIENCE).await.unwrap();
    assert_eq!(host.invocations().len(), 4);
    queue.push("fail").unwrap();
    queue.push_raw("not base64").unwrap();
    host.drain(PATIENCE).await.unwrap();
    assert_eq!(queue.poison(), ["not base64", "fail"]);
}

#[tokio::test]
async fn an_http_function_answers_and_nudges_a_queue_of_two_hosts() {
    let app = App::new();
    let mut options = app.options();
    options.run_queues = true;
    let host = FunctionsHost::start(options.clone()).await.unwrap();
    options.queues = Some(host.queues());
    options.enable_auth = true;
    let second = FunctionsHost::start(options).await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let now = format!("{}/api/now", host.http_base());
    let response = client.post(&now).body("hello").send().await.unwrap();
    assert_eq!(response.status(), 202);
    assert_eq!(response.headers()["location"], "/api/state");
    let body = response.bytes().await.unwrap();
    let body = serde_json::from_slice::<Value>(&body).unwrap();
    assert_eq!(body, json!({"method": "POST", "body": "hello"}));
    assert_eq!(client.get(&now).send().await.unwrap().status(), 404);
    host.drain(PATIENCE).await.unwrap();
    second.drain(PATIENCE).await.unwrap();
    let works =
        host.invocations().into_iter().chain(second.invocations()).filter(|done| done.function == "Work");
    assert_eq!(works.count(), 1);

    let locked = format!("{}/api/now", second.http_base());
    assert_eq!(client.post(&locked).send().await.unwrap().status(), 401);
    let key = second.function_key().unwrap();
    assert_eq!(client.post(&locked).header("x-functions-key", key).send().await.unwrap().status(), 202);
    let status = format!("{}/admin/host/status?code=", second.http_base());
    assert_eq!(client.get(status.as_str()).send().await.unwrap().status(), 401);
    assert_eq!(client.get(format!("{status}{key}")).send().await.unwrap().status(), 403);
    let ping = format!("{}/admin/host/ping", second.http_base());
    assert_eq!(client.get(ping).send().await.unwrap().status(), 200);
    let master = second.master_key().unwrap();
    assert_eq!(client.get(format!("{status}{master}")).send().await.unwrap().status(), 200);

    let admin = format!("{}/admin/functions/Timer", host.http_base());
    assert_eq!(client.post(&admin).send().await.unwrap().status(), 400);
    assert_eq!(client.post(&admin).body(r#"{"input": ""}"#).send().await.unwrap().status(), 415);
    let run = async |address: &str, body: &'static str| {
        let request = client.post(address).header("content-type", "application/json").body(body);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(run(&admin, "{}").await, 202, "without an input");
    let done = |done: &sandbox::host::Invocation| done.function == "Timer" && done.succeeded();
    let timer = host.wait_for_invocation(done, PATIENCE).await.unwrap();
    let call = serde_json::from_str::<Value>(&timer.logs[0]).unwrap();
    assert_eq!(call["Metadata"]["timer"], "\"\"", "only a run by hand has it");
    assert_eq!(run(&format!("{}/admin/functions/Missing", host.http_base()), "{}").await, 404);
    assert_eq!(run(&format!("{}/admin/functions/Page", host.http_base()), "{}").await, 202);
    let page = host.wait_for_invocation(|done| done.function == "Page", PATIENCE).await.unwrap();
    assert!(matches!(page.status, Status::Failed(_)) && page.http_status.is_none(), "{page:?}");
}

#[tokio::test]
async fn a_retried_run_is_one_invocation() {
    let app = App::new();
    let timer = json!({"type": "timerTrigger", "name": "timer", "schedule": "%CRON%"});
    let retry = json!({"strategy": "fixedDelay", "maxRetryCount": 2, "delayInterval": "00:00:00.05"});
    app.write("Unknown/function.json", &json!({"bindings": [timer], "retry": retry}));
    let host = app.host().await;
    let failed = host.fire_timer("Unknown", TimerFire::default()).await;
    assert_eq!(failed.http_status, Some(404));
    let attempt = |line: &&sandbox::host::OutputLine| {
        line.text.starts_with("Executing") && line.text.contains(&format!("Id={}", failed.id))
    };
    assert_eq!(host.output().iter().filter(attempt).count(), 3);
}

#[tokio::test]
async fn a_schedule_runs_and_makes_up_for_a_missed_run() {
    let app = App::new();
    let mut options = app.options();
    options.settings.insert("CRON".into(), "*/1 * * * * *".into());
    options.settings.extend(
        ["Null", "Slow", "Exit", "Brief"]
            .map(|name| (format!("AzureWebJobs.{name}.Disabled"), "true".to_owned())),
    );
    options.run_timers = true;
    let host = FunctionsHost::start(options.clone()).await.unwrap();
    host.wait_for_invocation(|done| done.function == "Timer", PATIENCE).await.unwrap();
    host.stop().await;

    options.settings.insert("CRON".into(), "0 0 0 1 1 *".into());
    let status = tempfile::tempdir().unwrap();
    let file = status.path().join("timers/Timer.status");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let last = "2001-01-01T00:00:00+00:00";
    let stored = json!({"Last": last, "Next": "2002-01-01T00:00:00+00:00", "LastUpdated": last});
    std::fs::write(&file, stored.to_string()).unwrap();
    options.status_folder = Some(status.path().to_owned());
    let host = FunctionsHost::start(options).await.unwrap();
    let late = host.wait_for_invocation(|done| done.function == "Timer", PATIENCE).await.unwrap();
    let call = serde_json::from_str::<Value>(&late.logs[0]).unwrap();
    assert_eq!(call["Data"]["timer"]["IsPastDue"], true);
    assert_eq!(call["Data"]["timer"]["ScheduleStatus"], stored);
    while host.timer_status("Timer").unwrap().next < chrono::Utc::now() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
