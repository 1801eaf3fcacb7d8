//! What was seen under the real Functions host 4.1037, row by row.

use std::time::Duration;

use sandbox::host::{ExitMode, FunctionsHost, HostSignal, Level, Status, TimerFire, WorkerState};
use serde_json::{Value, json};

use super::{App, PATIENCE, process};

#[tokio::test]
async fn the_code_for_a_restart_starts_a_process_at_once_and_is_never_counted() {
    for mode in [ExitMode::Seen4_1037, ExitMode::Modern2026] {
        let app = App::new();
        let mut options = app.options();
        options.exit_mode = mode;
        options.settings.insert("EXIT_CODE".into(), "200".into());
        let host = FunctionsHost::start(options).await.unwrap();
        for started in 2..=5 {
            host.fire_timer("Exit", TimerFire::default()).await;
            // The answer's end can be seen before the process's.
            let text = "Language Worker Process exited";
            let told = || host.output().iter().filter(|line| line.text.starts_with(text)).count();
            while told() < started as usize - 1 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            host.ready().await.unwrap();
            assert!(host.fire_timer("Timer", TimerFire::default()).await.succeeded());
            assert_eq!(process(&host), started, "{mode:?}");
        }
    }
}

/// Sends a request as it stands and gives the answer's head and body.
async fn raw(host: &FunctionsHost, request: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = host.http_base().replace("http://localhost", "127.0.0.1");
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_request_arrives_as_it_was_written_and_a_chunked_body_not_at_all() {
    let app = App::new();
    let host = app.host().await;
    let head = "POST /API/Now HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-oDD-Name: 1\r\n\
                content-TYPE: application/json\r\n";
    let whole = format!("{head}Content-Length: 13\r\n\r\n{{\"dry\": true}}");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\nd\r\n{{\"dry\": true}}\r\n0\r\n\r\n");
    assert!(raw(&host, &whole).await.starts_with("HTTP/1.1 202"));
    assert!(raw(&host, &chunked).await.starts_with("HTTP/1.1 202"));
    let calls: Vec<Value> =
        host.invocations().iter().map(|done| serde_json::from_str(&done.logs[0]).unwrap()).collect();
    let headers = &calls[0]["Data"]["req"]["Headers"];
    assert_eq!(
        (&headers["X-oDD-Name"], &headers["content-TYPE"]),
        (&json!(["1"]), &json!(["application/json"]))
    );
    assert_eq!(
        (&calls[0]["Data"]["req"]["Body"], &calls[0]["Metadata"]["dry"]),
        (&json!("{\"dry\": true}"), &json!("true"))
    );
    let lost = &calls[1]["Data"]["req"];
    assert!(lost.get("Body").is_none() && calls[1]["Metadata"].get("dry").is_none(), "{lost}");
    assert_eq!(lost["Headers"]["Transfer-Encoding"], json!(["chunked"]));
    assert!(lost["Headers"].get("Content-Length").is_none(), "{lost}");
}

#[tokio::test]
async fn what_a_caller_gets_is_what_the_host_makes_of_the_answer() {
    let app = App::new();
    let host = app.host().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |method: reqwest::Method, path: &str, body: Vec<u8>| {
        let request = client.request(method, format!("{}{path}", host.http_base())).body(body);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.text().await.unwrap())
    };
    let get = async |path: &str| ask(reqwest::Method::GET, path, Vec::new()).await;
    assert_eq!(get("/api/Empty").await, (200, "{}".into()));
    assert_eq!(get("/api/None").await, (204, String::new()));
    assert_eq!(get("/API/PAGE?code=any").await, (503, "out of order".into()), "delivered with its body");
    for method in ["HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(ask(method.clone(), "/api/Page", Vec::new()).await, (404, String::new()), "{method}");
    }
    // It answers before it has read the request.
    assert_eq!(ask(reqwest::Method::POST, "/api/Deaf", vec![b'x'; 16_000_000]).await, (500, String::new()));
    let deaf = host.invocations().pop().unwrap();
    assert!(matches!(deaf.status, Status::Failed(_)), "{deaf:?}");
}

#[tokio::test]
async fn a_function_that_cannot_be_indexed_is_disabled_alone_and_says_why() {
    let app = App::new();
    let timer = json!({"type": "timerTrigger", "name": "timer", "schedule": "every hour"});
    app.function("Broken", &[timer]);
    let item =
        json!({"type": "queueTrigger", "name": "item", "queueName": "more", "connection": "Elsewhere"});
    app.function("Astray", &[item]);
    let host = app.host().await;
    assert!(host.fire_timer("Timer", TimerFire::default()).await.succeeded());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let status = async |name: &str| {
        let answer =
            client.get(format!("{}/admin/functions/{name}/status", host.http_base())).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert!(status("Broken").await.1.contains("not recognized as a valid cron expression"));
    assert!(status("Astray").await.1.contains("'Elsewhere' does not exist"));
    assert_eq!(status("Timer").await, (200, "{}".into()));
    assert_eq!(status("Missing").await.0, 404);
    let told = host.output().into_iter().filter(|line| line.text.contains("function is in error"));
    assert_eq!(told.count(), 2);
}

/// The id of the handler's newest process.
fn pid(host: &FunctionsHost) -> String {
    let line = host.output().into_iter().rev().find(|line| line.text.starts_with("listening as")).unwrap();
    line.text.rsplit(' ').next().unwrap().to_owned()
}

/// By the shell's own `kill`: a program of that name is missing in small images.
async fn signal(pid: &str, signal: &str) -> bool {
    let status = tokio::process::Command::new("sh")
        .args(["-c", &format!("kill -{signal} {pid}")])
        .stderr(std::process::Stdio::null())
        .status();
    status.await.unwrap().success()
}

#[tokio::test]
async fn a_host_that_dies_leaves_its_handler_behind_and_an_idle_one_that_ends_does_not() {
    for (sent, busy, is_left) in [
        (HostSignal::Kill, false, true),
        (HostSignal::Interrupt, false, false),
        (HostSignal::InterruptGroup, false, false),
        (HostSignal::Interrupt, true, true),
    ] {
        let app = App::new();
        let mut options = app.options();
        options.own_process = true;
        let host = FunctionsHost::start(options).await.unwrap();
        let pid = pid(&host);
        host.signal(HostSignal::Terminate).await.unwrap();
        assert!(host.fire_timer("Timer", TimerFire::default()).await.succeeded(), "SIGTERM is swallowed");
        let ends = async {
            if busy {
                host.wait_for_output(|line| line.text.starts_with("Executing 'Functions.Slow'"), PATIENCE)
                    .await
                    .unwrap();
            }
            let told = std::time::Instant::now();
            host.signal(sent).await.unwrap();
            assert_eq!(busy, told.elapsed() > Duration::from_secs(10), "{sent:?}");
        };
        if busy {
            let (slow, ()) = tokio::join!(
                tokio::time::timeout(Duration::from_secs(13), host.fire_timer("Slow", TimerFire::default())),
                ends
            );
            assert!(slow.is_err(), "no call ended it: {slow:?}");
        } else {
            ends.await;
        }
        assert!(matches!(host.state(), WorkerState::Stopped(_)), "{sent:?}");
        assert_eq!(signal(&pid, "0").await, is_left, "{sent:?}");
        signal(&pid, "KILL").await;
    }
}

#[tokio::test]
async fn ctrl_c_waits_for_the_running_answer() {
    let app = App::new();
    let host = app.host().await;
    let ends = async {
        host.wait_for_output(|line| line.text.starts_with("Executing 'Functions.Brief'"), PATIENCE)
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        host.signal(HostSignal::InterruptGroup).await.unwrap();
    };
    let (brief, ()) = tokio::join!(host.fire_timer("Brief", TimerFire::default()), ends);
    assert!(brief.succeeded(), "{brief:?}");
    assert!(matches!(host.state(), WorkerState::Stopped(_)));
}

#[tokio::test]
async fn a_changed_host_json_makes_two_handlers_until_the_old_one_is_idle() {
    let app = App::new();
    let host = app.host().await;
    let old = pid(&host);
    let change = async {
        host.wait_for_output(|line| line.text.starts_with("Executing 'Functions.Brief'"), PATIENCE)
            .await
            .unwrap();
        host.change_host_json().await.unwrap();
        let new = pid(&host);
        assert_ne!(new, old);
        assert!(host.fire_timer("Timer", TimerFire::default()).await.succeeded());
        assert!(signal(&old, "0").await && signal(&new, "0").await, "both are there");
    };
    let (brief, ()) = tokio::join!(host.fire_timer("Brief", TimerFire::default()), change);
    assert!(brief.succeeded(), "{brief:?}");
    while signal(&old, "0").await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(host.fire_timer("Timer", TimerFire::default()).await.succeeded());
}

#[tokio::test]
async fn a_host_without_its_bundle_never_starts() {
    let app = App::new();
    let mut host =
        json!({"version": "2.0", "customHandler": {"description": {"defaultExecutablePath": "absent"}}});
    let mut options = app.options();
    options.has_bundle = false;
    FunctionsHost::start(options.clone()).await.unwrap();
    host["extensionBundle"] =
        json!({"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)"});
    app.write("host.json", &host);
    let error = FunctionsHost::start(options.clone()).await.err().unwrap().to_string();
    assert!(error.contains("extension bundle"), "{error}");
    options.has_bundle = true;
    FunctionsHost::start(options).await.unwrap();
}

#[tokio::test]
async fn a_default_level_of_information_makes_an_idle_host_talk() {
    let app = App::new();
    for (level, lines) in [("Information", 18), ("Warning", 0)] {
        let mut options = app.options();
        options.settings.insert("AzureFunctionsJobHost__logging__logLevel__default".into(), level.into());
        let host = FunctionsHost::start(options).await.unwrap();
        assert!(host.fire_timer("Timer", TimerFire::default()).await.succeeded());
        let said: Vec<_> =
            host.output().into_iter().filter(|line| line.text.starts_with("Azure.Core")).collect();
        let bytes: usize = said.iter().map(|line| line.text.len()).sum();
        assert_eq!(said.len(), lines, "{level}");
        assert!(lines == 0 || (29_000..32_000).contains(&bytes), "{bytes}");
    }
}

#[tokio::test]
async fn a_failed_invocation_is_told_twice_at_length_and_without_its_reason() {
    let app = App::new();
    let host = app.host().await;
    host.queue("jobs").push("fail").unwrap();
    assert!(!host.queue("jobs").deliver_next().await.unwrap().succeeded());
    let told: Vec<_> =
        host.output().into_iter().filter(|line| line.text.contains("FunctionInvocationException")).collect();
    assert_eq!(told.len(), 2);
    assert!(
        told.iter().all(|line| (11_000..12_000).contains(&line.text.len()) && !line.text.contains("500"))
    );
    host.queue("jobs").push_raw("not base64").unwrap();
    host.drain(PATIENCE).await.unwrap();
    let decoding =
        host.output().into_iter().find(|line| line.text.starts_with("Message decoding has failed!"));
    assert_eq!(decoding.unwrap().level, Level::Warning);
}
