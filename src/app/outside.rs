//! What the program needs of the platform beside its APIs: the state's home, the key vault, the host's queue, and whom it
//! tells of passes.

use std::sync::Arc;

use crate::{
    azure::{
        host_queue::{Access, HostQueue},
        identity::{Identity, Principal},
        key_vault::KeyVault,
    },
    clock::SharedClock,
    domain::schedule::Schedule,
    host::QUEUE,
    http::transport::Transport,
    pass::{OpenStore, Watchdog},
    settings::{self, QueueSettings, Settings, StateSettings},
    signals::{Signals, Trouble, metrics::Metrics, webhook::Webhook},
    state::{blob::BlobHome, directory::DirectoryHome, error::StateError, home::Home, store::Store},
};

/// Opens the state, wherever that is.
pub(super) fn open_store(
    settings: &Arc<Settings>,
    transport: &Transport,
    clock: &SharedClock,
    platform: Arc<Identity>,
) -> OpenStore {
    let (settings, transport, clock) = (Arc::clone(settings), transport.clone(), Arc::clone(clock));
    Box::new(move || {
        let home = match &settings.state {
            StateSettings::Directory(root) => Home::Directory(DirectoryHome::new(root.clone())),
            StateSettings::ConnectionString { connection, container } => {
                let endpoint = connection.signed_endpoint(clock.now()).map_err(|problem| {
                    StateError::rejected(format!("AzureWebJobsStorage cannot be used: {problem}"))
                })?;
                Home::Blob(BlobHome::new(endpoint, None, container, &transport)?)
            }
            StateSettings::Identity { endpoint, container, client_id } => {
                let own = own_identity(client_id.as_deref(), &settings, &transport, &clock);
                let credential = own.as_ref().unwrap_or(&platform).credential(None);
                let credential = credential.map_err(|error| StateError::rejected(error.to_string()))?;
                Home::Blob(BlobHome::new(endpoint.clone(), Some(credential), container, &transport)?)
            }
        };
        Ok(Store::new(home))
    })
}

/// The identity that the host's storage has for itself, if the settings name one.
fn own_identity(
    client_id: Option<&str>,
    settings: &Settings,
    transport: &Transport,
    clock: &SharedClock,
) -> Option<Arc<Identity>> {
    let principal = Principal::ManagedIdentity { client_id: Some(client_id?.to_owned()) };
    let identity = Identity::new(principal, transport.clone(), Arc::clone(clock));
    Some(Arc::new(identity.reached_at(settings.azure.endpoint.clone())))
}

/// The key vault, where the settings name one.
pub(super) fn key_vault(
    settings: &Settings,
    transport: &Transport,
    platform: &Arc<Identity>,
) -> Option<KeyVault> {
    settings.key_vault.as_ref().map(|vault| KeyVault {
        url: vault.url.clone(),
        is_emulator: settings::is_local(&vault.url),
        transport: transport.clone(),
        identity: Arc::clone(platform),
    })
}

/// What makes up for a timer that does not fire, where the settings give the host's queue.
pub(super) fn watchdog(
    settings: &Settings,
    transport: &Transport,
    clock: &SharedClock,
    platform: &Arc<Identity>,
) -> Option<Watchdog> {
    let access = match settings.host.queue.as_ref()? {
        QueueSettings::ConnectionString(connection) => Access::Signed(connection.clone()),
        QueueSettings::Identity { endpoint, client_id } => {
            let own = own_identity(client_id.as_deref(), settings, transport, clock);
            let identity = own.unwrap_or_else(|| Arc::clone(platform));
            Access::Identity { endpoint: endpoint.clone(), identity }
        }
    };
    let queue = HostQueue { access, name: QUEUE, transport: transport.clone(), clock: Arc::clone(clock) };
    Some(Watchdog {
        queue,
        schedule: settings.schedule.as_deref().and_then(Schedule::parse),
        is_on: settings.host.is_present && !settings.host.is_timer_disabled,
        trouble: Trouble::default(),
    })
}

/// Whoever is told of passes.
pub(super) fn signals(settings: &Settings, transport: &Transport, platform: &Arc<Identity>) -> Signals {
    let metrics = settings.signals.metrics.clone().map(|metrics| {
        let url = metrics.url.as_str().to_owned();
        Metrics::new(url, metrics.headers, metrics.is_delta, metrics.resource, transport.clone())
    });
    let vault = key_vault(settings, transport, platform).map(|vault| (vault, super::WEBHOOK));
    let given = settings.signals.webhook.clone();
    Signals { webhook: Webhook::new(given, vault, settings::is_webhook, transport.clone()), metrics }
}
