//! A whole pass of 10,000 and of 100,000 records, all admitted, against stand-ins in the same process; then a
//! second one that finds nothing new. Each size runs in a process of its own, so that peak memory is its own.
//!
//! The clock is paused: waits for the rate limit take no time. CPU and memory include the stand-ins'.

use std::{collections::BTreeMap, process::Command, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::{
    app::App,
    clock::{Clock, Deadline, SharedClock},
    http::transport::Transport,
    pass::Work,
};
use sandbox::{
    corpus::{CorpusSettings, Generator},
    entra::Entra,
    mandiant::Mandiant,
    net::Net,
    sentinel::Sentinel,
};

const WORKSPACE: &str = "5f1c2d3e-0a1b-4c2d-8e3f-5a6b7c8d9e0f";
const TENANT: &str = "11111111-2222-4333-8444-555555555555";
const CLIENT: &str = "66666666-7777-4888-8999-aaaaaaaaaaaa";
const SIZE: &str = "MATI_SYNC_BENCH_SIZE";

struct TokioClock(DateTime<Utc>, tokio::time::Instant);

impl Clock for TokioClock {
    fn now(&self) -> DateTime<Utc> {
        self.0 + self.1.elapsed()
    }
}

#[expect(clippy::disallowed_methods, reason = "how a bench tells its child what to do; no setting")]
fn main() {
    if let Some(size) = std::env::var(SIZE).ok().and_then(|size| size.parse().ok()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        return runtime.expect("a runtime").block_on(measure(size));
    }
    println!("records     pass       wall s    CPU s   records/s   peak MiB (all with the stand-ins')");
    for size in [10_000, 100_000] {
        let this = std::env::current_exe().expect("this executable");
        let status = Command::new(this).env(SIZE, size.to_string()).status().expect("start a process");
        assert!(status.success(), "the pass of {size} records failed");
    }
}

async fn measure(size: usize) {
    let clock: SharedClock =
        Arc::new(TokioClock("2026-03-02T12:00:00Z".parse().expect("a date"), tokio::time::Instant::now()));
    let now = {
        let clock = Arc::clone(&clock);
        Arc::new(move || clock.now()) as sandbox::clock::Now
    };
    let mandiant = Mandiant::new(Arc::clone(&now));
    let corpus =
        CorpusSettings::new(1, size, clock.now() - TimeDelta::hours(26), clock.now() - TimeDelta::hours(1));
    mandiant.put_all(Generator::new(&corpus));
    let entra = Entra::new(Arc::clone(&now));
    entra.app(TENANT, CLIENT, "secret");
    let sentinel = Sentinel::new(now, WORKSPACE);
    sentinel.knobs(|knobs| knobs.quota = usize::MAX);
    let net = Net::new();
    net.host("api.intelligence.mandiant.com", mandiant.router());
    net.host("login.microsoftonline.com", entra.router());
    net.host("api.ti.sentinel.azure.com", sentinel.router());
    let state = tempfile::TempDir::new().expect("a directory");
    let directory = state.path().display().to_string();
    let vars: BTreeMap<String, String> = [
        ("MATI_KEY", "sandbox-key"),
        ("MATI_SECRET", "sandbox-secret"),
        ("AZURE_WORKSPACE_ID", WORKSPACE),
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", CLIENT),
        ("AZURE_CLIENT_SECRET", "secret"),
        ("STATE_DIR", &directory),
        ("MINIMUM_CONFIDENCE", "0"),
        ("MINIMUM_THREAT_SCORE", "0"),
        ("EXCLUDE_OSINT", "false"),
        ("SENTINEL_REQUESTS_PER_MINUTE", "1000000"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let handler = {
        let net = net.clone();
        Transport::InProcess(Arc::new(move |request| {
            let net = net.clone();
            Box::pin(async move { net.call(request).await.map_err(Into::into) })
        }))
    };
    for pass in ["first", "second"] {
        let app = App::build(&vars, &handler, &clock, |_, _| {}).expect("sound settings");
        let (wall, cpu) = (std::time::Instant::now(), cpu_seconds());
        let ended = app.engine.run(Work::Timer, None, &Deadline::after(Duration::from_secs(86_400))).await;
        let (wall, cpu) = (wall.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        let totals = ended.reports[0].totals();
        let expected =
            if pass == "first" { totals.read - totals.unchanged - totals.dropped.total() } else { 0 };
        assert_eq!(totals.created, expected, "{ended:?}");
        println!(
            "{size:>7}     {pass:<7} {wall:>9.2} {cpu:>8.2} {:>11.0} {:>10.1}",
            totals.read as f64 / wall,
            peak_mib()
        );
    }
}

/// User and system time of this process: fields 14 and 15 of /proc/self/stat, in ticks of 10 ms (proc(5)).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

/// `VmHWM` of /proc/self/status (proc(5)).
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    let kib = line.split_whitespace().nth(1).and_then(|number| number.parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}
