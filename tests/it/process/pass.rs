//! Passes by the timer, and what they say of themselves.

use std::time::{Duration, Instant};

use sandbox::{
    blob::BlobService,
    clock,
    host::{OutputLine, Status, TimerFire, WorkerState},
    net,
    sentinel::Answer,
};
use serde_json::Value;

use super::{Bench, PATIENCE, assert_disciplined, client, corpus::records, last_pass, tick};

#[tokio::test]
async fn bad_settings_are_told_by_every_function_in_its_own_way_and_stop_nothing_else() {
    let mut bench = Bench::new().await;
    bench.settings.remove("MATI_KEY");
    bench.settings.insert("AZURE_WORKSPACE_ID".into(), "my-workspace".into());
    bench.settings.insert("MINIMUM_CONFIDENCE".into(), "high".into());
    bench.settings.insert("MATI_BASE_URL".into(), "http://mandiant.example".into());
    let faulty = ["MATI_KEY", "AZURE_WORKSPACE_ID", "MINIMUM_CONFIDENCE", "MATI_BASE_URL"];
    let host = bench.host().await;

    let client = client();
    let WorkerState::Initialized { port, .. } = host.state() else { panic!("{:?}", host.state()) };
    let asked = Instant::now();
    let ready = client.get(format!("http://127.0.0.1:{port}/")).send().await.unwrap();
    assert_eq!(ready.status(), 200);
    assert!(asked.elapsed() < Duration::from_secs(1));

    host.fire_timer("SyncTimer", TimerFire::default()).await;
    host.queue("mati-sync")
        .push(r#"{"kind":"continue","run_id":"x","continuation_id":"y","hop":1}"#)
        .unwrap();
    host.queue("mati-sync").deliver_next().await.unwrap();
    // The host throws the body of our own 500 away; what goes through the output arrives.
    let status = client.get(format!("{}/api/status", host.http_base())).send().await.unwrap();
    let sync = client.post(format!("{}/api/sync", host.http_base())).send().await.unwrap();
    for (answer, code) in [(status, 200), (sync, 500)] {
        assert_eq!(answer.status(), code);
        let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        let told = body["faults"].to_string();
        assert!(faulty.iter().all(|name| told.contains(name)), "{body}");
    }

    let invocations = host.invocations();
    assert_eq!(invocations.len(), 4);
    for invocation in invocations {
        let is_http = matches!(invocation.function.as_str(), "Status" | "SyncNow");
        assert_eq!(invocation.succeeded(), is_http, "{invocation:?}");
        let body = invocation.body.unwrap().to_string();
        assert!(faulty.iter().all(|name| body.contains(name)), "{body}");
    }
    // Once at the start, and once more by each invocation.
    let lines: Vec<Value> =
        host.output().iter().filter_map(|line| serde_json::from_str(&line.text).ok()).collect();
    for name in faulty {
        let told = lines.iter().filter(|line| line["level"] == "ERROR" && line["setting"] == name).count();
        assert_eq!(told, 5, "{name}");
    }
    assert_disciplined(&host.output());
}

/// State by a connection string, everything logged, and everything going wrong once.
#[tokio::test]
async fn no_secret_shows_however_much_is_logged() {
    const ACCOUNT_KEY: &str = "c3RvcmFnZS1hY2NvdW50LWtleQ==";
    let mut bench = Bench::new().await;
    let blobs = net::serve(BlobService::new(clock::system()).router(), None).await.unwrap();
    let storage = format!(
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={ACCOUNT_KEY};\
         BlobEndpoint=http://{blobs}/devstoreaccount1;"
    );
    bench.settings.remove("STATE_DIR");
    bench.settings.insert("AzureWebJobsStorage".into(), storage);
    bench.settings.insert("LOG_LEVEL".into(), "trace".into());
    bench.world.mandiant.put_all(records(5, 300, 0.3));
    bench.world.sentinel.knobs(|knobs| {
        let rejection = |status| Answer { status, body: "no".into(), ..Answer::default() };
        knobs.script = [401, 503, 400].map(rejection).into();
    });
    let host = bench.host().await;

    tick(&host).await;
    bench.world.mandiant.set(|knobs| knobs.secret = "another".into());
    bench.world.mandiant.revoke_tokens();
    let fired = host.fire_timer("SyncTimer", TimerFire::default()).await;
    assert!(matches!(fired.status, Status::Failed(_)), "{fired:?}");
    assert_eq!(last_pass(&host.output())["end"], "stalled");
    assert!(host.output().iter().any(|line| line.text.contains(r#""level":"DEBUG""#)));
    assert_disciplined(&host.output());
    for line in host.output() {
        assert!(!line.text.contains(ACCOUNT_KEY), "{}", line.text);
    }
}

/// Nothing else tells it: the host disables the function alone, and nothing of it reaches the program.
#[tokio::test]
async fn a_schedule_that_the_host_cannot_read_is_told_at_the_start_and_on_the_page() {
    let mut bench = Bench::new().await;
    bench.settings.insert("SYNC_CRON".into(), "every hour".into());
    let host = bench.host().await;
    let disabled = client().get(format!("{}/admin/functions/SyncTimer/status", host.http_base())).send();
    let disabled = disabled.await.unwrap().text().await.unwrap();
    assert!(disabled.contains("not recognized as a valid cron expression"), "{disabled}");
    let told = |line: &OutputLine| {
        serde_json::from_str::<Value>(&line.text)
            .is_ok_and(|line| line["level"] == "ERROR" && line["setting"] == "SYNC_CRON")
    };
    let line = host.wait_for_output(told, PATIENCE).await.unwrap();
    assert!(line.text.contains("every hour") && line.text.contains("0 23 * * * *"), "{}", line.text);
    for (accept, word) in [("text/html", "The timer never fires"), ("application/json", "cannot read")] {
        let request = client().get(format!("{}/api/status", host.http_base())).header("accept", accept);
        let page = request.send().await.unwrap().text().await.unwrap();
        assert!(page.contains(word) && page.contains("every hour"), "{page}");
    }
    assert_disciplined(&host.output());
}
