//! A container of a test's own, reached as the product reaches it and, for a look from outside, without it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    http::{Method, Request},
};
use azure_core::http::Url;
use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::{
    app::App,
    azure::sas::ConnectionString,
    clock::{Clock, Deadline, SystemClock},
    domain::{
        deciding_record::RecordVersion,
        entry::{Entry, Known, State},
        fingerprint::Fingerprint,
        progress::DestinationId,
        report::run_id,
    },
    http::transport::{Answer, Transport},
    source::mandiant::LIMITS,
    state::{
        commit::{LaneState, Origin},
        error::StateError,
        lease::Lease,
        store::Store,
    },
};
use uuid::Uuid;

use crate::harness::azurite::{ACCOUNT, Azurite};

pub const LANE: &str = "sentinel";
pub const PROGRESS: &str = "lanes/sentinel/progress.json";

/// Settings that lead to one container, and a signed URL that leads there too.
#[derive(Clone)]
pub struct Place {
    settings: BTreeMap<String, String>,
    transport: Transport,
    signed: Url,
    container: String,
}

impl Place {
    /// By connection string.
    pub fn by_key(connection_string: &str) -> Self {
        Self::new(connection_string, &[("AzureWebJobsStorage", connection_string)])
    }

    /// With the managed identity of this process's environment.
    pub fn by_identity(azurite_connection_string: &str, endpoint: &str) -> Self {
        let settings = [
            ("STORAGE_ACCOUNT_NAME", ACCOUNT),
            ("STORAGE_BLOB_ENDPOINT", endpoint),
            ("IDENTITY_ENDPOINT", "only whether it is set matters here"),
        ];
        Self::new(azurite_connection_string, &settings)
    }

    pub fn of(azurite: &Azurite) -> Self {
        Self::by_key(&azurite.connection_string())
    }

    fn new(connection_string: &str, storage: &[(&str, &str)]) -> Self {
        let container = format!("test-{}", Uuid::new_v4());
        let required = [
            ("MATI_KEY", "key"),
            ("MATI_SECRET", "secret"),
            ("AZURE_WORKSPACE_ID", "11111111-2222-4333-8444-555555555555"),
            ("STORAGE_CONTAINER_NAME", &container),
        ];
        let settings = required.iter().chain(storage);
        Self {
            settings: settings.map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            transport: Transport::network(),
            signed: ConnectionString::parse(connection_string)
                .and_then(|parsed| parsed.signed_endpoint(now()))
                .expect("a connection string"),
            container,
        }
    }

    /// The same place over another network.
    pub fn over(&self, transport: Transport) -> Self {
        Self { transport, ..self.clone() }
    }

    /// The same service with a container of its own.
    pub fn another(&self) -> Self {
        let mut other = self.clone();
        other.container = format!("test-{}", Uuid::new_v4());
        other.settings.insert("STORAGE_CONTAINER_NAME".to_owned(), other.container.clone());
        other
    }

    /// The state as an invocation opens it.
    pub fn open(&self) -> Store {
        let app = App::build(&self.settings, &self.transport, &clock(), |_, _| {}).expect("sound settings");
        (app.engine.open_store)().expect("a store")
    }

    /// The same, with the container made.
    pub async fn ready(&self) -> Store {
        let store = self.open();
        store.prepare().await.expect("make the container");
        store
    }

    /// A request about one blob that does not go through the product.
    pub async fn raw(&self, method: Method, name: &str, body: impl Into<Bytes>) -> Answer {
        self.request(method, name, None, body.into()).await
    }

    /// Adds to the end of a blob, wherever that is.
    pub async fn append(&self, name: &str, body: &'static str) {
        let added = self.request(Method::PUT, name, Some("appendblock"), body.into()).await;
        assert_eq!(added.status, 201, "{name}");
    }

    async fn request(&self, method: Method, name: &str, comp: Option<&str>, body: Bytes) -> Answer {
        let mut url = self.signed.clone();
        url.set_path(&format!("{}/{}/{name}", self.signed.path(), self.container));
        if let Some(comp) = comp {
            url.query_pairs_mut().append_pair("comp", comp);
        }
        let request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header("x-ms-version", "2025-11-05")
            .header("x-ms-blob-type", "BlockBlob")
            .body(body)
            .expect("a request");
        Transport::network().fetch(request, Duration::from_secs(20), 1 << 24).await.expect("an answer")
    }

    pub async fn exists(&self, name: &str) -> bool {
        let status = self.raw(Method::HEAD, name, "").await.status;
        assert!(status.is_success() || status == 404, "{status} for {name}");
        status.is_success()
    }
}

pub fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

pub fn now() -> DateTime<Utc> {
    SystemClock.now()
}

/// Too short for a second try.
pub fn at_once() -> Deadline {
    Deadline::after(Duration::from_secs(1))
}

pub async fn lease(store: &Store, run_id: &str) -> Lease {
    store.lease(run_id, &at_once()).await.expect("ask for the lease").expect("no other instance holds it")
}

/// A run id; a larger number makes a later one.
pub fn run(number: u16) -> String {
    run_id(begin(), number)
}

pub fn begin() -> DateTime<Utc> {
    "2026-01-01T00:00:00Z".parse().expect("a time")
}

pub fn origin(place: &str) -> Origin {
    Origin {
        target: DestinationId { place: place.to_owned(), name: "Mandiant".to_owned() },
        settings_hash: "settings".to_owned(),
        begin: begin(),
        now: begin() + TimeDelta::days(30),
        first_window: LIMITS.longest,
    }
}

pub async fn load(store: &Store, run_id: &str) -> Result<LaneState, StateError> {
    LaneState::load(store, LANE, run_id, origin("workspace"), false).await
}

/// As many different entries as there are numbers.
pub fn entries(numbers: std::ops::Range<u32>) -> Vec<Known> {
    let valid_until = begin() + TimeDelta::days(10_000);
    let entry = |number: u32| {
        let key = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        Entry::new(
            key.to_be_bytes().into(),
            Fingerprint(u64::from(number) + 1),
            valid_until,
            RecordVersion::default(),
            State::Held,
        )
        .into()
    };
    numbers.map(entry).collect()
}

/// That both know the same.
pub fn assert_same(left: &mut LaneState, right: &mut LaneState) {
    assert_eq!(left.progress, right.progress);
    assert!(left.manifest.entries() == right.manifest.entries(), "the manifests differ");
}
