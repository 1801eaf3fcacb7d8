//! The stand-ins, the executable and the host it runs under.

use std::{
    fs::File,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, Utc};
use sandbox::{
    clock::{self, Now},
    host::{Echo, FunctionsHost, HostOptions, Settings, TimerFire},
    world::World,
};
use tempfile::TempDir;

use crate::{lanes::Lane, report::Report};

/// A pass of the demo that takes longer has gone wrong.
const PATIENCE: Duration = Duration::from_secs(600);

pub struct Stage {
    pub world: World,
    /// Where the indicators go.
    pub lanes: Vec<Lane>,
    host: FunctionsHost,
    /// With which the host was started.
    options: HostOptions,
    client: reqwest::Client,
    now: Now,
    folder: TempDir,
}

impl Stage {
    /// Starts everything, with the unpacked package `app` or else with the mati-sync of this checkout. `keep` leaves the
    /// folder with state and log behind.
    pub async fn set(
        lanes: Vec<Lane>,
        app: Option<&Path>,
        port: u16,
        keep: bool,
        verbose: bool,
    ) -> Result<Self> {
        let mut options = match app {
            Some(app) => HostOptions::new(app),
            None => {
                let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
                let executable = Some(beside()?);
                HostOptions { executable, ..HostOptions::new(root) }
            }
        };
        let now = clock::system();
        let world = World::start(Arc::clone(&now)).await?;
        let mut folder = tempfile::Builder::new().prefix("mati-sync-demo-").tempdir()?;
        folder.disable_cleanup(keep);

        options.settings = world.settings();
        let state = folder.path().join("state").display().to_string();
        options.settings.insert("STATE_DIR".into(), state);
        // The host's own, without which it starts neither timer nor queue; the double has both within.
        options.settings.insert("AzureWebJobsStorage".into(), "UseDevelopmentStorage=true".into());
        let targets: Vec<_> = lanes.iter().map(|lane| lane.name()).collect();
        options.settings.insert("TARGET_APPLICATION".into(), targets.join(","));
        // The story fires the timer by itself: a viewer does not wait for the full hour.
        options.settings.insert("SYNC_CRON".into(), "0 0 * * * *".into());
        options.run_queues = true;
        options.http_port = Some(if TcpListener::bind(("127.0.0.1", port)).is_ok() { port } else { 0 });
        options.echo = Some(log(&folder.path().join("log"), verbose)?);
        let host = FunctionsHost::start(options.clone()).await?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { world, lanes, host, options, client, now, folder })
    }

    /// Starts the host anew with other settings laid over those that it had.
    pub async fn change_source(&mut self, settings: &Settings) -> Result<()> {
        self.host.terminate(Duration::from_secs(10)).await;
        self.options.settings.extend(settings.clone());
        self.options.http_port = Some(0);
        self.host = FunctionsHost::start(self.options.clone()).await?;
        Ok(())
    }

    pub fn now(&self) -> DateTime<Utc> {
        (self.now)()
    }

    pub fn http_base(&self) -> String {
        self.host.http_base()
    }

    pub fn folder(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// Writes a list of what must never be sent.
    pub fn exclude(&self, lines: &str) -> Result<()> {
        let folder = self.folder.path().join("state/exclusions");
        std::fs::create_dir_all(&folder)?;
        Ok(std::fs::write(folder.join("own.txt"), lines)?)
    }

    pub fn log(&self) -> String {
        self.folder.path().join("log").display().to_string()
    }

    /// Leaves the log behind to find out what went wrong.
    pub fn keep_log(&mut self) -> String {
        self.folder.disable_cleanup(true);
        self.log()
    }

    /// One tick of the timer, and the report of its pass.
    pub async fn timer_pass(&self) -> Result<Report> {
        let fired = self.host.fire_timer("SyncTimer", TimerFire::default()).await;
        ensure!(fired.succeeded(), "the timer's invocation ended {:?}", fired.status);
        let run_id =
            fired.logs.first().and_then(|line| line.split(':').next()).context("no pass was reported")?;
        self.report(&format!("/api/status?run={run_id}")).await
    }

    /// A manual rerun, followed until it has ended.
    pub async fn rerun(&self, body: &'static str) -> Result<Report> {
        let request = self.client.post(format!("{}/api/sync", self.http_base())).body(body);
        let answer = request.send().await?;
        ensure!(answer.status() == 202, "POST /api/sync answered {}", answer.status());
        let place = answer.headers().get("location").and_then(|place| place.to_str().ok());
        let place = place.context("POST /api/sync answered without a Location")?;
        let end = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < end {
            let report = self.report(place).await?;
            if report.has_ended() {
                return Ok(report);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("the rerun did not end within {PATIENCE:?}")
    }

    /// What is known of an address.
    pub async fn explain(&self, address: &str) -> Result<serde_json::Value> {
        let place = format!("/api/status?value={address}");
        let answer = self.client.get(format!("{}{place}", self.http_base())).send().await?;
        ensure!(answer.status() == 200, "GET {place} answered {}", answer.status());
        Ok(serde_json::from_slice(&answer.bytes().await?)?)
    }

    async fn report(&self, place: &str) -> Result<Report> {
        let answer = self.client.get(format!("{}{place}", self.http_base())).send().await?;
        ensure!(answer.status() == 200, "GET {place} answered {}", answer.status());
        Ok(Report(serde_json::from_slice(&answer.bytes().await?)?))
    }
}

/// Returns the mati-sync that lies beside this executable: `cargo demo` builds both.
fn beside() -> Result<PathBuf> {
    let executable =
        std::env::current_exe()?.with_file_name(format!("mati-sync{}", std::env::consts::EXE_SUFFIX));
    ensure!(executable.exists(), "{} is missing; `cargo demo` builds it", executable.display());
    Ok(executable)
}

/// Writes every line of the host and of mati-sync into a file, and to the terminal if wanted.
fn log(path: &Path, verbose: bool) -> Result<Echo> {
    let file = Mutex::new(File::create(path)?);
    Ok(Arc::new(move |line| {
        // A full disk is no reason to end the demo.
        _ = writeln!(file.lock().unwrap(), "{}", line.text);
        if verbose {
            eprintln!("{}", line.text);
        }
    }))
}
