//! What the program does under a host, known by its HTTP alone: under the double, under a double of which nothing but
//! the address and a key is used, and under a running host that `MATI_SYNC_HOST` names (see `running`).

use std::{io::Write, sync::Arc};

use reqwest::{Method, RequestBuilder, Response, header};
use sandbox::host::FunctionsHost;
use serde_json::{Value, json};

use super::{
    Bench, PATIENCE, assert_adds_up, assert_disciplined, client,
    corpus::{held, records, wanted},
    count, now,
    running::{CANNOT, RunningHost},
    tick, uploaded,
};

enum Host {
    Double(Box<FunctionsHost>),
    Running(RunningHost),
}

impl Host {
    fn request(&self, method: Method, place: &str) -> RequestBuilder {
        match self {
            Self::Double(host) => client().request(method, format!("{}{place}", host.http_base())),
            Self::Running(host) => client()
                .request(method, format!("{}{place}", host.base()))
                .header("x-functions-key", host.key()),
        }
    }

    async fn get(&self, place: &str) -> Value {
        body(self.request(Method::GET, place).send().await.unwrap()).await
    }

    /// One tick of the timer, and the report of its pass.
    async fn tick(&self) -> Value {
        match self {
            Self::Double(host) => tick(host).await,
            Self::Running(host) => host.tick().await,
        }
    }

    /// A manual rerun, followed until it has ended.
    async fn rerun(&self, order: &'static str) -> Value {
        let accepted = self.request(Method::POST, "/api/sync").body(order).send().await.unwrap();
        assert_eq!(accepted.status(), 202);
        let place = accepted.headers()[header::LOCATION].to_str().unwrap().to_owned();
        let run_id = body(accepted).await["run_id"].as_str().unwrap().to_owned();
        assert_eq!(place, format!("/api/status?run={run_id}"));
        // A host that delivers by hand is told to; another one does it by itself.
        if let Self::Double(host) = self {
            host.drain(PATIENCE).await.unwrap();
        }
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let report = self.get(&place).await;
            assert_eq!(report["run_id"], run_id.as_str());
            if !report["end"].is_null() {
                return report;
            }
            assert!(tokio::time::Instant::now() < end, "it never ran: {report}");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }

    /// The log is the double's to show; another host's is its own.
    fn assert_disciplined(&self) {
        if let Self::Double(host) = self {
            assert_disciplined(&host.output());
        }
    }
}

async fn body(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

async fn exactly_what_is_wanted_arrives_and_only_once(bench: &Bench, host: &Host) {
    let records = records(11, 5_000, 0.2);
    bench.world.mandiant.put_all(records.clone());
    let report = host.tick().await;
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

    let report = host.tick().await;
    assert_adds_up(&report);
    assert!(count(&report, "read") > 0, "the newest minutes are read again");
    assert_eq!((uploaded(&report), count(&report, "requests")), (0, 0), "{report:#}");
    host.assert_disciplined();
}

async fn a_manual_rerun_goes_through_the_queue(bench: &Bench, host: &Host) {
    bench.world.mandiant.put_all(records(3, 300, 0.0));
    let first = host.tick().await;
    let report = host.rerun(r#"{"lookback_days": 7}"#).await;
    assert_eq!((&report["trigger"], &report["end"]), (&json!("manual"), &json!("caught_up")));
    assert_adds_up(&report);
    assert!(count(&report, "read") >= count(&first, "read"));
    assert_eq!(count(&report, "requests"), 0);
    let overview = host.get("/api/status").await;
    let runs: Vec<_> = overview["runs"].as_array().unwrap().iter().map(|run| &run["run_id"]).collect();
    assert_eq!(runs, [&report["run_id"], &first["run_id"]]);
    let page =
        host.request(Method::GET, "/api/status").header(header::ACCEPT, "text/html").send().await.unwrap();
    assert!(page.headers()[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/html"));
    assert!(page.headers().contains_key(header::CONTENT_SECURITY_POLICY));
    assert!(page.text().await.unwrap().contains(report["run_id"].as_str().unwrap()));
    host.assert_disciplined();
}

async fn what_was_rejected_is_accepted_when_it_is_offered_again(bench: &Bench, host: &Host) {
    let at = now() - chrono::TimeDelta::hours(3);
    let address = |n: u8| sandbox::corpus::Record::ipv4(&format!("198.51.100.{n}")).updated(at);
    bench.world.mandiant.put_all((1..=6).map(address));
    bench.world.sentinel.knobs(|knobs| {
        knobs.reject =
            Some(Arc::new(|object| object["name"].as_str()?.ends_with(".4").then(|| "not today".to_owned())));
    });
    let report = host.tick().await;
    assert_eq!((count(&report, "created"), count(&report, "rejected")), (5, 1), "{report:#}");
    bench.world.sentinel.knobs(|knobs| knobs.reject = None);
    assert_eq!(count(&host.tick().await, "requests"), 0, "no request asked for it");
    let report = host.rerun(r#"{"retry_rejected": true}"#).await;
    assert_adds_up(&report);
    assert_eq!((count(&report, "created"), count(&report, "rejected")), (1, 0), "{report:#}");
    assert_eq!(held(&bench.world.sentinel).len(), 6);
}

async fn what_makes_no_sense_is_rejected_and_starts_nothing(_: &Bench, host: &Host) {
    let unknown = host.request(Method::GET, "/api/status?run=20260101T000000000Z-0000").send().await.unwrap();
    assert_eq!(unknown.status(), 404);
    let spaces = |count: usize| format!("{{}}{}", " ".repeat(count));
    for (text, status, word) in [
        (r#"{"lookback": 7}"#.to_owned(), 400, "lookback_days"),
        (r#"{"lookback_days": "seven"}"#.to_owned(), 400, "lookback_days"),
        (r#"{"lookback_days": 90}"#.to_owned(), 400, "89"),
        (r#"{"destinations": ["splunk"]}"#.to_owned(), 400, "sentinel"),
        ("[]".to_owned(), 400, "object"),
        ("{".to_owned(), 400, "dry_run"),
        (spaces(64 * 1024), 413, "65536"),
        // If the rest stayed unread, the host would answer with a bare 500.
        (spaces(6_000_000), 413, "65536"),
        (spaces(30_000_000), 413, "65536"),
    ] {
        let start = text[..text.len().min(40)].to_owned();
        let answer = host.request(Method::POST, "/api/sync").body(text).send().await.unwrap();
        assert_eq!(answer.status(), status, "{start}");
        let error = body(answer).await["error"].as_str().unwrap().to_owned();
        assert!(error.contains(word), "{start}: {error}");
    }
    // The host loses a body of unknown length: a dry run would become a live pass.
    let piece = Ok::<_, std::io::Error>(axum::body::Bytes::from_static(br#"{"dry_run": true}"#));
    let chunked = reqwest::Body::wrap_stream(futures::stream::iter([piece]));
    let request = host.request(Method::POST, "/api/sync").header(header::CONTENT_TYPE, "application/json");
    let answer = request.body(chunked).send().await.unwrap();
    assert_eq!(answer.status(), 411);
    assert!(body(answer).await["error"].as_str().unwrap().contains("Content-Length"));
    for (method, place) in
        [(Method::HEAD, "/api/status"), (Method::POST, "/api/status"), (Method::GET, "/api/sync")]
    {
        assert_eq!(
            host.request(method.clone(), place).send().await.unwrap().status(),
            404,
            "{method} {place}"
        );
    }
    let overview = host.get("/api/status").await;
    assert_eq!((&overview["requests"], &overview["runs"]), (&json!([]), &json!([])), "{overview:#}");
}

/// Each scenario as tests of its own.
macro_rules! scenarios {
    ($($name:ident),+ $(,)?) => {
        $(
            mod $name {
                /// Under the running host where one is given, else under the double.
                #[tokio::test]
                async fn under_the_host() {
                    if let Some(host) = super::RunningHost::given() {
                        let (bench, _turn) = super::RunningHost::bench().await;
                        return super::$name(&bench, &super::Host::Running(host)).await;
                    }
                    let bench = super::Bench::new().await;
                    let host = bench.host().await;
                    super::$name(&bench, &super::Host::Double(Box::new(host))).await;
                }

                /// Nothing but HTTP is used, so that the tests are known to work under a host that is not ours.
                #[tokio::test]
                async fn by_address_and_key_alone() {
                    let bench = super::Bench::new().await;
                    let mut options = bench.options();
                    (options.enable_auth, options.run_queues) = (true, true);
                    let double = super::FunctionsHost::start(options).await.unwrap();
                    let host = super::Host::Running(super::RunningHost::of(&double));
                    super::$name(&bench, &host).await;
                    super::assert_disciplined(&double.output());
                }
            }
        )+
    };
}

scenarios!(
    exactly_what_is_wanted_arrives_and_only_once,
    a_manual_rerun_goes_through_the_queue,
    what_was_rejected_is_accepted_when_it_is_offered_again,
    what_makes_no_sense_is_rejected_and_starts_nothing,
);

/// A run of the tests against a running host says what is not tried there; a new module must be in the list.
#[test]
fn what_a_running_host_cannot_do_is_named() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/process.rs")).unwrap();
    let modules = text.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    let mut modules: Vec<&str> =
        modules.filter(|module| !["corpus", "hosted", "running"].contains(module)).collect();
    modules.sort_unstable();
    assert_eq!(modules, CANNOT.map(|(module, _)| module));
    if RunningHost::given().is_some() {
        for (module, reason) in CANNOT {
            // Past the capture of the test runner, which shows nothing of a test that passes.
            writeln!(std::io::stderr(), "not under the running host: process::{module}, because {reason}")
                .unwrap();
        }
    }
}
