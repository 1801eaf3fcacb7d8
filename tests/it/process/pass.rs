//! Passes by the timer, and what they say of themselves.

use std::time::{Duration, Instant};

use sandbox::{
    blob::BlobService,
    clock,
    host::{Status, TimerFire, WorkerState},
    net,
    sentinel::Answer,
};
use serde_json::Value;

use super::{
    Bench, assert_adds_up, assert_disciplined, client,
    corpus::{held, records, wanted},
    count, last_pass, tick, uploaded,
};

#[tokio::test]
async fn exactly_what_is_wanted_arrives_and_only_once() {
    let bench = Bench::new().await;
    let records = records(11, 5_000, 0.2);
    bench.world.mandiant.put_all(records.clone());
    let host = bench.host().await;

    let report = tick(&host).await;
    assert_eq!(report["end"], "caught_up");
    assert_adds_up(&report);
    let given: usize = bench.world.mandiant.requests().iter().map(|request| request.records).sum();
    assert_eq!(count(&report, "read"), given as u64);
    let wanted = wanted(&records);
    assert!(wanted.len() > 500, "a corpus without enough in it: {}", wanted.len());
    assert_eq!(held(&bench.world.sentinel), wanted);
    assert_eq!(count(&report, "created"), wanted.len() as u64);
    assert_eq!(count(&report, "requests"), bench.world.sentinel.requests().len() as u64);
    for reason in ["threat_score", "type", "malformed"] {
        assert!(count(&report, &format!("dropped/{reason}")) > 0, "{reason}");
    }

    let report = tick(&host).await;
    assert_adds_up(&report);
    assert!(count(&report, "read") > 0, "the newest minutes are read again");
    assert_eq!((uploaded(&report), count(&report, "requests")), (0, 0), "{report:#}");
    assert_disciplined(&host.output());
}

#[tokio::test]
async fn bad_settings_are_told_by_every_invocation_and_stop_nothing_else() {
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
    let status = client.get(format!("{}/api/status", host.http_base())).send().await.unwrap().status();
    let sync = client.post(format!("{}/api/sync", host.http_base())).send().await.unwrap().status();
    assert_eq!((status.as_u16(), sync.as_u16()), (500, 500));

    let invocations = host.invocations();
    assert_eq!(invocations.len(), 4);
    for invocation in invocations {
        assert!(matches!(invocation.status, Status::Failed(_)), "{invocation:?}");
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
        let refusal = |status| Answer { status, body: "no".into(), ..Answer::default() };
        knobs.script = [401, 503, 400].map(refusal).into();
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
