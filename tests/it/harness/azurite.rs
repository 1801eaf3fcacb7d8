//! Azurite, Microsoft's storage emulator: installed where it is not yet, and shared by the tests that run at
//! one time.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use axum::{
    body::Bytes,
    http::{Method, Request},
};
use mati_sync::{
    azure::sas::ConnectionString,
    clock::{Clock, SystemClock},
    http::transport::Transport,
};
use sandbox::tls::Tls;
use tempfile::TempDir;

use super::node::{NEEDED, install, missing};

/// The emulator's well-known account and key (learn.microsoft.com, "Use the Azurite emulator"); not a secret.
pub const ACCOUNT: &str = "devstoreaccount1";
pub const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/azurite");
/// However the test process ends, the pipe on Azurite's standard input closes, and Azurite ends too.
const END_WITH_PARENT: &str = "data:text/javascript,process.stdin.on('end',()=>process.exit()).resume()";

/// A service of its own on a free port, with its data in memory: of blobs, if nothing else is said.
pub struct Azurite {
    /// With the account in its path, as emulators have it.
    pub endpoint: String,
    process: Child,
    /// Kept open: Azurite would stumble over a closed pipe.
    _output: BufReader<ChildStdout>,
    folder: TempDir,
}

impl Azurite {
    /// Over http: shared keys and signatures only.
    pub fn plain() -> Arc<Self> {
        static RUNNING: Mutex<Weak<Azurite>> = Mutex::new(Weak::new());
        Self::shared(&RUNNING, false)
    }

    /// Over https with a certificate of [`Azurite::authority`]: takes Entra's tokens besides.
    pub fn secured() -> Arc<Self> {
        static RUNNING: Mutex<Weak<Azurite>> = Mutex::new(Weak::new());
        Self::shared(&RUNNING, true)
    }

    /// The certificate authority of a secured one, for `SSL_CERT_FILE`.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub fn connection_string(&self) -> String {
        connection_string(&self.endpoint, KEY)
    }

    /// Ends whatever lease is on a blob, without knowing its id.
    pub async fn break_lease(&self, container: &str, blob: &str) {
        let signed = ConnectionString::parse(&self.connection_string())
            .and_then(|parsed| parsed.signed_endpoint(SystemClock.now()));
        let mut url = signed.expect("a connection string");
        url.set_path(&format!("{}/{container}/{blob}", url.path()));
        url.query_pairs_mut().append_pair("comp", "lease");
        let request = Request::builder()
            .method(Method::PUT)
            .uri(url.as_str())
            .header("x-ms-version", "2025-11-05")
            .header("x-ms-lease-action", "break")
            .header("x-ms-lease-break-period", "0")
            .body(Bytes::new())
            .expect("a request");
        let answer = Transport::network().fetch(request, Duration::from_secs(20), 1 << 16).await;
        let status = answer.expect("an answer").status;
        // 409: there is no lease; 404: there is not even a blob yet.
        assert!(matches!(status.as_u16(), 202 | 404 | 409), "{status} for breaking the lease on {blob}");
    }

    /// Weak, because what is static is never dropped: the last test to end stops Azurite.
    fn shared(running: &Mutex<Weak<Self>>, secured: bool) -> Arc<Self> {
        let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(azurite) = running.upgrade() {
            return azurite;
        }
        install(Path::new(FOLDER));
        let azurite = Arc::new(Self::start(secured));
        *running = Arc::downgrade(&azurite);
        azurite
    }

    /// A queue service of its own, over http.
    pub fn queues() -> Self {
        install(Path::new(FOLDER));
        Self::start_service("queue", false)
    }

    fn start(secured: bool) -> Self {
        Self::start_service("blob", secured)
    }

    fn start_service(service: &str, secured: bool) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = folder.path().join("stderr");
        let mut command = Command::new("node");
        command
            .args(["--import", END_WITH_PARENT])
            .arg(Path::new(FOLDER).join(format!("node_modules/azurite/dist/src/{service}/main.js")))
            .args([&*format!("--{service}Port"), "0"])
            .args(["--inMemoryPersistence", "--silent", "--disableTelemetry"])
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("a file for Azurite's messages"));
        if secured {
            Tls::new(&["127.0.0.1", "localhost"]).write(folder.path()).expect("write the certificates");
            command.args(["--oauth", "basic", "--cert", "leaf.pem", "--key", "leaf.key"]);
        }
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{}", missing("node", &error)));
        let mut output = BufReader::new(process.stdout.take().expect("its output is piped"));
        let Some(address) = listening(&mut output) else {
            let _ = process.kill();
            let said = fs::read_to_string(log).unwrap_or_default();
            panic!(
                "Azurite did not start: {said}\n{NEEDED} To install Azurite again, remove {FOLDER}/node_modules."
            );
        };
        Self { endpoint: format!("{address}/{ACCOUNT}"), process, _output: output, folder }
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A connection string for an emulator's endpoint with a key of the caller's choice.
pub fn connection_string(endpoint: &str, key: &str) -> String {
    format!("AccountName={ACCOUNT};AccountKey={key};BlobEndpoint={endpoint}")
}

/// Waits until Azurite says where it listens; `None` when it ends before that.
fn listening(output: &mut impl BufRead) -> Option<String> {
    output.lines().map_while(Result::ok).find_map(|line| {
        line.split_once("successfully listens on ").map(|(_, address)| address.trim().to_owned())
    })
}
