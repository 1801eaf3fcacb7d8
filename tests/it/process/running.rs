//! A host that is known by its address and its master key alone, such as Microsoft's own.
//!
//! `MATI_SYNC_HOST=http://127.0.0.1:7071/?code=KEY` points the scenarios of `hosted` at one that runs already, with the
//! settings that `cargo run --bin running-host-settings` prints and the program of this checkout. The stand-ins are
//! served by the tests, on the ports which those settings name. `.ci/host` does all of it with Core Tools.

use std::time::Instant;

use reqwest::{Response, Url, header};
use sandbox::{
    clock,
    host::FunctionsHost,
    running::{FIRST_PORT, state},
    world::World,
};
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use super::{Bench, PATIENCE, client};

/// The running host is one, and so are the ports of its stand-ins.
static TURN: Mutex<()> = Mutex::const_new(());

/// Modules of these tests that need more of a host than an address and a key give, and what it is.
pub const CANNOT: [(&str, &str); 12] = [
    ("command_line", "no host takes part"),
    ("kill", "the handler's process is killed at chosen moments"),
    ("lifecycle", "app settings change between passes, and the state is edited under the host's feet"),
    ("package", "the host starts on the package, unpacked"),
    ("pass", "app settings that are wrong, and a look at every line of the host's output"),
    ("proxy", "no host takes part"),
    (
        "requests",
        "messages are looked at in the queue and delivered twice, and the output is searched for keys",
    ),
    ("secrets", "app settings with an app registration and Key Vault"),
    ("stop", "signals to the host and to the handler, and exit codes"),
    ("terminal", "no host takes part"),
    ("values", "no host takes part"),
    ("watchdog", "the host's queue is a stand-in, and app settings name whom else it tells"),
];

pub struct RunningHost {
    base: String,
    key: String,
}

impl RunningHost {
    /// The one that these tests are pointed at.
    pub fn given() -> Option<Self> {
        let text = std::env::var("MATI_SYNC_HOST").ok().filter(|text| !text.is_empty())?;
        let url = Url::parse(&text)
            .expect("MATI_SYNC_HOST is an address with the key, http://127.0.0.1:7071/?code=KEY");
        let key = url.query_pairs().find(|(name, _)| name == "code").map(|(_, value)| value.into_owned());
        Some(Self { base: url.origin().ascii_serialization(), key: key.unwrap_or_default() })
    }

    /// A double, of which nothing else is used.
    pub fn of(double: &FunctionsHost) -> Self {
        Self { base: double.http_base(), key: double.master_key().expect("it asks for keys").to_owned() }
    }

    /// The stand-ins where the given host looks for them, and no state; for as long as the guard lives.
    pub async fn bench() -> (Bench, MutexGuard<'static, ()>) {
        let turn = TURN.lock().await;
        match std::fs::remove_dir_all(state()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
        (Bench::with(World::start_at(clock::system(), Some(FIRST_PORT)).await.unwrap()), turn)
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    async fn newest(&self) -> Value {
        let request = client().get(format!("{}/api/status", self.base)).header("x-functions-key", &self.key);
        let answer: Response = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let overview: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        overview["runs"][0].clone()
    }

    /// Runs the timer's function through the admin API, which answers before it has run, and waits for its report.
    pub async fn tick(&self) -> Value {
        let before = self.newest().await["run_id"].clone();
        let request = client()
            .post(format!("{}/admin/functions/SyncTimer", self.base))
            .header("x-functions-key", &self.key)
            .header(header::CONTENT_TYPE, "application/json")
            .body(r#"{"input": ""}"#);
        assert_eq!(request.send().await.unwrap().status(), 202);
        let begun = Instant::now();
        loop {
            let newest = self.newest().await;
            if !newest.is_null() && newest["run_id"] != before {
                return newest;
            }
            assert!(begun.elapsed() < PATIENCE, "no pass within {PATIENCE:?}; the newest is {newest:#}");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}
