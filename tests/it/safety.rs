//! No secret and no token leaves the process but in the header or query it belongs in, whatever goes wrong.

use std::{
    collections::BTreeSet,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::http::{HeaderMap, StatusCode};
use azure_core::{base64, http::Url};
use chrono::TimeDelta;
use mati_sync::telemetry;
use sandbox::{
    blob::BlobService,
    corpus::Record,
    net::{Exchange, Fault},
};
use serde_json::json;
use tracing_subscriber::layer::SubscriberExt;

use crate::{
    harness::{
        vault::{PLATFORM, PLATFORM_TOKEN, VAULT, with_key_vault},
        world::{CLIENT_SECRET, STORAGE, World},
    },
    protocol::{http, post, serve},
};

const SERVICES: [&str; 6] = [
    "api.intelligence.mandiant.com",
    "login.microsoftonline.com",
    "api.ti.sentinel.azure.com",
    VAULT,
    PLATFORM,
    STORAGE,
];
/// Headers that show who we are.
const CREDENTIALS: [&str; 3] = ["authorization", "x-apikey", "x-identity-header"];

/// Everything that was logged, answered or stored.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn add(&self, text: impl AsRef<[u8]>) {
        self.0.lock().unwrap().extend_from_slice(text.as_ref());
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

/// An answer that repeats what was asked for, as proxies do.
fn echo(status: u16, exchange: &Exchange) -> Fault {
    let body = format!("<html>{} {} cannot be served</html>", exchange.method, exchange.uri);
    Fault::AnswerBefore(StatusCode::from_u16(status).expect("a status"), HeaderMap::new(), body.into())
}

type Make = fn(&Exchange) -> Fault;

const FAULTS: [Make; 12] = [
    |_| Fault::Refuse,
    |_| Fault::ResetAfter,
    |_| Fault::ResetInBody(9),
    |exchange| echo(200, exchange),
    |exchange| echo(301, exchange),
    |exchange| echo(400, exchange),
    |exchange| echo(401, exchange),
    |exchange| echo(403, exchange),
    |exchange| echo(404, exchange),
    |exchange| echo(409, exchange),
    |exchange| echo(429, exchange),
    |exchange| echo(503, exchange),
];

/// A world with a secret of every kind, none of which is used twice.
fn world(auth: &str) -> (World, BlobService) {
    let (mut world, blobs) = World::with_blobs();
    let vault = with_key_vault(&mut world);
    let account_key = base64::encode("the key of the storage account");
    let connection = format!(
        "AccountName=devstoreaccount1;AccountKey={account_key};BlobEndpoint=http://{STORAGE}/devstoreaccount1"
    );
    world.set("AzureWebJobsStorage", &connection).set("MATI_AUTH", auth).set("INITIAL_LOOKBACK", "1");
    if auth == "apikey" {
        world.set("MATI_BASE_URL", "https://api.intelligence.mandiant.com/api/v3/mati");
    }
    vault.set("mati-key", "sandbox-key");
    let at = world.ago(TimeDelta::hours(3));
    world.mandiant.put_all((1..=150).map(|n| Record::ipv4(&format!("198.51.100.{n}")).updated(at)));
    (world, blobs)
}

/// Every secret there is in `world`, with those that travelled.
fn secrets(world: &World) -> BTreeSet<String> {
    let known = ["sandbox-key", "sandbox-secret", CLIENT_SECRET, PLATFORM_TOKEN];
    let mut secrets: BTreeSet<String> = known.map(str::to_owned).into();
    secrets.insert(base64::encode("the key of the storage account"));
    for exchange in world.net.log() {
        for name in CREDENTIALS {
            let value = exchange.headers.get(name).map(|value| value.to_str().expect("text"));
            secrets.extend(value.map(|value| value.rsplit(' ').next().unwrap_or(value).to_owned()));
        }
        // As it travels, and as it is meant.
        let query = exchange.uri.query().unwrap_or_default();
        secrets.extend(query.split('&').filter_map(|part| part.strip_prefix("sig=")).map(str::to_owned));
        let url = Url::parse(&exchange.uri.to_string()).expect("an absolute URL");
        let signature = url.query_pairs().find(|(name, _)| name == "sig");
        secrets.extend(signature.map(|(_, value)| value.into_owned()));
    }
    secrets
}

/// Ticks, asks for the status and has every connection checked, in a new process, and keeps all it says.
async fn tick(world: &World, said: &Lines) {
    let app = serve(world);
    let (_, body) = post(&app, "SyncTimer", r#"{"Data":{"timer":{}}}"#).await;
    said.add(body.to_string());
    for (accept, run) in
        [("text/html", ""), ("application/json", ""), ("text/html", "20260302T120000000Z-0000")]
    {
        let invocation = http(None, json!({ "run": run }), json!({ "Accept": [accept] }));
        let (_, body) = post(&app, "Status", invocation).await;
        said.add(body.to_string());
    }
    for accept in ["text/html", "application/json"] {
        let invocation = http(None, json!({ "check": "true" }), json!({ "Accept": [accept] }));
        let (_, body) = post(&app, "Status", invocation).await;
        said.add(body.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_said_or_stored_whatever_goes_wrong() {
    let said = Lines::default();
    let lines = said.clone();
    let subscriber = tracing_subscriber::registry()
        .with(telemetry::filter(tracing::level_filters::LevelFilter::TRACE))
        .with(tracing_subscriber::fmt::layer().json().with_writer(move || lines.clone()));
    // As long as there is but one subscriber in the process, tests beside this one switch its events off.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut secret = BTreeSet::new();
    // Some requests get through, so that there are tokens and state to be told about.
    let cases = SERVICES.map(|service| ("bearer", service, 3));
    let others = [("bearer", STORAGE, 15), ("basic", SERVICES[0], 3), ("apikey", SERVICES[0], 3)];
    for (auth, service, spared) in cases.into_iter().chain(others) {
        for fault in FAULTS {
            let (world, blobs) = world(auth);
            let seen = AtomicUsize::new(0);
            world.net.on_request(move |exchange| {
                let is_struck =
                    exchange.authority == service && seen.fetch_add(1, Ordering::Relaxed) >= spared;
                is_struck.then(|| fault(exchange))
            });
            tick(&world, &said).await;
            secret.append(&mut secrets(&world));
            for (name, content) in blobs.blobs() {
                said.add(name);
                said.add(content);
            }
        }
    }
    let text = said.text();
    assert!(secret.len() > 50, "tokens and signatures were seen: {secret:?}");
    for heard in ["lane sentinel ended", "cannot be served", "was not given back", "was asked for, and one"] {
        assert!(text.contains(heard), "{heard} was not heard");
    }
    for secret in &secret {
        assert!(secret.len() >= 10, "{secret} is too short to be looked for");
        if let Some(at) = text.find(secret.as_str()) {
            let start = text.floor_char_boundary(at.saturating_sub(300));
            panic!("{secret} is in …{}", &text[start..text.ceil_char_boundary(at + secret.len())]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn headers_that_show_who_we_are_print_themselves_nowhere() {
    for auth in ["bearer", "basic", "apikey"] {
        let (world, _blobs) = world(auth);
        assert_eq!(world.tick().await.totals().created, 150);
        let mut seen = BTreeSet::new();
        for exchange in world.net.log() {
            for name in CREDENTIALS {
                if let Some(value) = exchange.headers.get(name) {
                    assert!(
                        value.is_sensitive(),
                        "{name} to {} is not marked as sensitive",
                        exchange.authority
                    );
                    seen.insert(exchange.authority.clone());
                }
            }
        }
        for service in ["api.intelligence.mandiant.com", "api.ti.sentinel.azure.com", VAULT] {
            assert!(seen.contains(service), "{auth}: {service} is not among {seen:?}");
        }
    }
}
