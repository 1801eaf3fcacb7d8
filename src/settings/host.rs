//! The Functions host that started us, and the queue of its storage account.

use azure_core::http::Url;
use secrecy::ExposeSecret;

use super::{
    azure::{Cloud, StateSettings, account_endpoint, is_sound},
    reader::{Reader, flag},
};
use crate::azure::sas::ConnectionString;

/// The names under which the host's own setting that disables the timer may stand in the environment.
const DISABLED: [&str; 3] = [
    "AzureWebJobs.SyncTimer.Disabled",
    "AzureWebJobs__SyncTimer__Disabled",
    "AzureWebJobs_SyncTimer_Disabled",
];

/// What is known of the host.
#[derive(Clone, Debug)]
pub struct HostSettings {
    /// It started this process.
    pub is_present: bool,
    /// The operator stopped the timer.
    pub is_timer_disabled: bool,
    /// Where its queues are. `None` where the state is in a directory, and where the settings do not tell.
    pub queue: Option<QueueSettings>,
}

/// How the host's queues are reached.
#[derive(Clone, Debug)]
pub enum QueueSettings {
    ConnectionString(Box<ConnectionString>),
    Identity { endpoint: Url, client_id: Option<String> },
}

impl HostSettings {
    pub(super) fn read(reader: &Reader<'_>, cloud: Cloud, state: &StateSettings) -> Self {
        let is_set = |name: &&str| reader.raw(name).as_deref().and_then(flag) == Some(true);
        Self {
            is_present: reader.raw("FUNCTIONS_CUSTOMHANDLER_PORT").is_some(),
            is_timer_disabled: DISABLED.iter().any(is_set),
            queue: match state {
                StateSettings::Directory(_) => None,
                StateSettings::ConnectionString { .. } | StateSettings::Identity { .. } => {
                    QueueSettings::read(reader, cloud)
                }
            },
        }
    }
}

impl QueueSettings {
    /// Nothing here is a fault: the host has the same settings, and says itself what is wrong with them.
    fn read(reader: &Reader<'_>, cloud: Cloud) -> Option<Self> {
        if let Some(text) = reader.secret("AzureWebJobsStorage") {
            let connection = ConnectionString::parse(text.expose_secret()).ok()?;
            let is_usable = connection.queue_endpoint.as_ref().is_some_and(is_sound);
            return is_usable.then(|| Self::ConnectionString(Box::new(connection)));
        }
        let by_uri = reader.raw("AzureWebJobsStorage__queueServiceUri");
        let by_uri = by_uri.and_then(|text| Url::parse(&text).ok());
        let by_account =
            || account_endpoint(&reader.raw("AzureWebJobsStorage__accountName")?, "queue", cloud);
        let endpoint = by_uri.or_else(by_account).filter(is_sound)?;
        Some(Self::Identity { endpoint, client_id: reader.raw("AzureWebJobsStorage__clientId") })
    }
}
