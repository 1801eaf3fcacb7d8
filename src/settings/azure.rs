//! Settings of everything Microsoft that no single destination has for itself: cloud, identity, Key Vault, and where
//! state lives.

use std::path::PathBuf;

use azure_core::http::Url;
use secrecy::{ExposeSecret, SecretString};

use super::{
    WRITTEN_OUT, path,
    reader::{Reader, is_loopback},
};
use crate::azure::{identity::Principal, managed_identity::Endpoint, sas::ConnectionString};

/// Which of Microsoft's clouds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud {
    Public,
    UsGov,
    China,
}

/// The values of AZURE_CLOUD.
pub(super) const CLOUDS: [(&str, Cloud); 3] =
    [("public", Cloud::Public), ("usgov", Cloud::UsGov), ("china", Cloud::China)];

impl Cloud {
    fn authority_host(self) -> &'static str {
        match self {
            Self::Public => "https://login.microsoftonline.com",
            Self::UsGov => "https://login.microsoftonline.us",
            Self::China => "https://login.chinacloudapi.cn",
        }
    }

    pub(super) fn resource_manager(self) -> &'static str {
        match self {
            Self::Public => "https://management.azure.com",
            Self::UsGov => "https://management.usgovcloudapi.net",
            Self::China => "https://management.chinacloudapi.cn",
        }
    }

    /// The scope of the upload API is Azure Resource Manager's.
    pub(super) fn resource_manager_scope(self) -> &'static str {
        match self {
            Self::Public => "https://management.azure.com/.default",
            Self::UsGov => "https://management.usgovcloudapi.net/.default",
            Self::China => "https://management.chinacloudapi.cn/.default",
        }
    }

    pub(super) fn sentinel(self) -> &'static str {
        match self {
            Self::Public => "https://api.ti.sentinel.azure.com",
            Self::UsGov => "https://api.ti.sentinel.azure.us",
            Self::China => "https://api.ti.sentinel.azure.cn",
        }
    }

    fn storage_suffix(self) -> &'static str {
        match self {
            Self::Public => "core.windows.net",
            Self::UsGov => "core.usgovcloudapi.net",
            Self::China => "core.chinacloudapi.cn",
        }
    }

    fn vault_suffix(self) -> &'static str {
        match self {
            Self::Public => "vault.azure.net",
            Self::UsGov => "vault.usgovcloudapi.net",
            Self::China => "vault.azure.cn",
        }
    }
}

/// Cloud and identities.
#[derive(Clone, Debug)]
pub struct AzureSettings {
    pub cloud: Cloud,
    authority_host: String,
    tenant_id: Option<String>,
    client_id: Option<String>,
    /// Given directly; otherwise it may come from Key Vault.
    pub client_secret: Option<SecretString>,
    managed_identity_client_id: Option<String>,
    has_managed_identity: bool,
    /// Where the platform gives tokens of the app's managed identity.
    pub endpoint: Option<Endpoint>,
}

impl AzureSettings {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        let cloud = reader.choice("AZURE_CLOUD", &CLOUDS).unwrap_or(Cloud::Public);
        let authority = reader.url("AZURE_AUTHORITY_HOST");
        if authority.as_ref().is_some_and(|url| url.scheme() != "https") {
            reader.fault("AZURE_AUTHORITY_HOST", "is not https, which Microsoft's identity client demands even on this machine (SSL_CERT_FILE names a local CA)");
        }
        let settings = Self {
            cloud,
            authority_host: authority.map_or(cloud.authority_host().to_owned(), |url| base(&url)),
            tenant_id: reader.text("AZURE_TENANT_ID"),
            client_id: reader.guid("AZURE_CLIENT_ID"),
            client_secret: reader.secret("AZURE_CLIENT_SECRET"),
            managed_identity_client_id: reader.guid("MANAGED_IDENTITY_CLIENT_ID"),
            has_managed_identity: reader.raw("IDENTITY_ENDPOINT").is_some(),
            endpoint: endpoint(reader),
        };
        if settings.client_secret.is_some() {
            for (name, value) in
                [("AZURE_TENANT_ID", &settings.tenant_id), ("AZURE_CLIENT_ID", &settings.client_id)]
            {
                if value.is_none() {
                    reader.fault(
                        name,
                        "is missing, and AZURE_CLIENT_SECRET is of no use without it; accepted: a GUID",
                    );
                }
            }
        }
        settings.tell_of_idle_client_id(reader);
        settings
    }

    /// A client id alone names no app registration, and no managed identity either.
    fn tell_of_idle_client_id(&self, reader: &Reader<'_>) {
        let has_vault = ["KEY_VAULT_URL", "KEY_VAULT_NAME"].iter().any(|name| reader.raw(name).is_some());
        let missing = match (&self.tenant_id, &self.client_secret) {
            // Of a secret without a tenant a fault is told.
            (_, Some(_)) => return,
            (None, None) => "AZURE_TENANT_ID and AZURE_CLIENT_SECRET",
            (Some(_), None) if !has_vault => "AZURE_CLIENT_SECRET",
            (Some(_), None) => return,
        };
        if self.client_id.is_some() {
            reader.notice(format!(
                "AZURE_CLIENT_ID has no effect without {missing}: the managed identity uploads, or the login of the Azure CLI; to choose a user-assigned identity, set MANAGED_IDENTITY_CLIENT_ID"
            ));
        }
    }

    /// As whom uploads are made: the app registration where a secret for it is at hand, else the platform's
    /// identity.
    pub fn uploader(&self, has_client_secret: bool) -> Principal {
        match (&self.tenant_id, &self.client_id) {
            (Some(tenant_id), Some(client_id)) if has_client_secret => Principal::App {
                authority_host: self.authority_host.clone(),
                tenant_id: tenant_id.clone(),
                client_id: client_id.clone(),
            },
            _ => self.platform(),
        }
    }

    /// As whom storage and Key Vault are used.
    pub fn platform(&self) -> Principal {
        if self.has_managed_identity {
            Principal::ManagedIdentity { client_id: self.managed_identity_client_id.clone() }
        } else {
            Principal::AzureCli
        }
    }

    /// Where it is told.
    pub fn tenant_id(&self) -> Option<&str> {
        self.tenant_id.as_deref()
    }

    /// Whether an app registration is named, whose secret may be in Key Vault.
    pub fn has_app_registration(&self) -> bool {
        self.tenant_id.is_some() && self.client_id.is_some()
    }
}

/// The platform's two variables, which the environment has, or a settings file that was copied from one.
fn endpoint(reader: &Reader<'_>) -> Option<Endpoint> {
    let url = Url::parse(&reader.raw("IDENTITY_ENDPOINT")?).ok().filter(Url::has_host)?;
    Some(Endpoint { url, header: reader.raw("IDENTITY_HEADER")?.into() })
}

/// Where secrets are that were not given directly.
#[derive(Clone, Debug)]
pub struct KeyVaultSettings {
    pub url: Url,
    /// Name of the secret that holds the API secret.
    pub mati_secret_name: String,
}

/// The address of the key vault `name`; `None`: that is no name of one.
pub(super) fn vault_url(name: &str, cloud: Cloud) -> Option<Url> {
    Url::parse(&format!("https://{name}.{}", cloud.vault_suffix())).ok()
}

impl KeyVaultSettings {
    pub(super) fn read(reader: &Reader<'_>, cloud: Cloud) -> Option<Self> {
        let given = reader.url("KEY_VAULT_URL");
        if given.as_ref().is_some_and(|url| url.scheme() != "https") {
            reader.fault("KEY_VAULT_URL", "is not https, which Microsoft's Key Vault client demands even on this machine (SSL_CERT_FILE names a local CA)");
        }
        let by_name = reader.raw("KEY_VAULT_NAME").and_then(|name| {
            reader.notice("KEY_VAULT_NAME is an older spelling of KEY_VAULT_URL; it is still understood");
            let url = vault_url(&name, cloud);
            if url.is_none() {
                reader.fault("KEY_VAULT_NAME", format!("is {name:?}; accepted: the name of a key vault"));
            }
            url
        });
        if let (Some(given), Some(by_name)) = (&given, &by_name)
            && given != by_name
        {
            reader.fault(
                "KEY_VAULT_URL",
                "is given twice with different values, as KEY_VAULT_URL and as KEY_VAULT_NAME; remove one",
            );
        }
        let name = reader.text("KEY_VAULT_KEY_NAME");
        Some(Self {
            url: given.or(by_name)?,
            mati_secret_name: name.unwrap_or_else(|| "mati-secret".to_owned()),
        })
    }
}

/// Where state lives.
#[derive(Clone, Debug)]
pub enum StateSettings {
    Directory(PathBuf),
    /// Signed with the key of a connection string.
    ConnectionString {
        connection: Box<ConnectionString>,
        container: String,
    },
    /// With the platform's identity; a client id overrides which.
    Identity {
        endpoint: Url,
        container: String,
        client_id: Option<String>,
    },
}

impl StateSettings {
    pub(super) fn read(reader: &Reader<'_>, cloud: Cloud) -> Self {
        let container = container(reader);
        let nowhere = Self::Directory(PathBuf::new());
        let endpoint = reader.url("STORAGE_BLOB_ENDPOINT");
        if let Some(directory) = reader.parsed("STATE_DIR", WRITTEN_OUT, path) {
            if reader.raw("WEBSITE_SITE_NAME").is_some() {
                reader.fault("STATE_DIR", "is set in a Function app, whose disk does not last; remove it and set STORAGE_ACCOUNT_NAME");
            }
            if reader.text("STORAGE_ACCOUNT_NAME").is_some() {
                reader.notice("STATE_DIR wins over STORAGE_ACCOUNT_NAME: the state is in the local directory, and what the storage account holds is neither read nor written; remove one of them");
            }
            return Self::Directory(directory);
        }
        if reader.text("STATE_DIR").is_some() {
            return nowhere;
        }
        if let Some(account) = reader.text("STORAGE_ACCOUNT_NAME") {
            let endpoint = endpoint.or_else(|| account_endpoint(&account, "blob", cloud));
            return Self::by_identity(reader, "STORAGE_ACCOUNT_NAME", endpoint, container, None);
        }
        if let Some(text) = reader.secret("AzureWebJobsStorage") {
            return match ConnectionString::parse(text.expose_secret()) {
                Ok(connection) if is_sound(&connection.blob_endpoint) => {
                    Self::ConnectionString { connection: Box::new(connection), container }
                }
                Ok(_) => {
                    reader.fault(
                        "AzureWebJobsStorage",
                        "has an endpoint that is not https; accepted: https, or http to this machine",
                    );
                    nowhere
                }
                Err(problem) => {
                    reader.fault("AzureWebJobsStorage", format!("cannot be used: {problem}; accepted: a storage connection string or UseDevelopmentStorage=true"));
                    nowhere
                }
            };
        }
        let by_account = reader.raw("AzureWebJobsStorage__accountName");
        let by_uri = reader.url("AzureWebJobsStorage__blobServiceUri");
        if by_account.is_some() || by_uri.is_some() {
            let endpoint = endpoint.or(by_uri).or_else(|| account_endpoint(&by_account?, "blob", cloud));
            let client_id = reader.raw("AzureWebJobsStorage__clientId");
            return Self::by_identity(
                reader,
                "AzureWebJobsStorage__accountName",
                endpoint,
                container,
                client_id,
            );
        }
        reader.fault("STORAGE_ACCOUNT_NAME", "is missing; accepted: a storage account for the state, or AzureWebJobsStorage, or on a laptop STATE_DIR");
        nowhere
    }

    fn by_identity(
        reader: &Reader<'_>,
        setting: &str,
        endpoint: Option<Url>,
        container: String,
        client_id: Option<String>,
    ) -> Self {
        match endpoint {
            Some(endpoint) if endpoint.scheme() == "https" => {
                Self::Identity { endpoint, container, client_id }
            }
            Some(_) => {
                reader.fault("STORAGE_BLOB_ENDPOINT", "is not https, which Microsoft's storage client demands for tokens even on this machine (SSL_CERT_FILE names a local CA)");
                Self::Directory(PathBuf::new())
            }
            None => {
                reader.fault(
                    setting,
                    "is not the name of a storage account; accepted: 3 to 24 lower-case letters and digits",
                );
                Self::Directory(PathBuf::new())
            }
        }
    }
}

/// Where a `service` of an account is; `None`: no account has such a name.
pub(super) fn account_endpoint(account: &str, service: &str, cloud: Cloud) -> Option<Url> {
    let sound = (3..=24).contains(&account.len())
        && account.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let url = format!("https://{account}.{service}.{}", cloud.storage_suffix());
    sound.then(|| Url::parse(&url).ok()).flatten()
}

/// Container names have a grammar of their own (learn.microsoft.com, "Naming and referencing containers").
fn container(reader: &Reader<'_>) -> String {
    let accepted =
        "3 to 63 lower-case letters, digits and single dashes, beginning and ending with a letter or digit";
    let name = reader.parsed("STORAGE_CONTAINER_NAME", accepted, |text| {
        let sound = (3..=63).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !text.contains("--")
            && !text.starts_with('-')
            && !text.ends_with('-');
        sound.then(|| text.to_owned())
    });
    name.unwrap_or_else(|| "mandiant-threat-intel".to_owned())
}

pub(super) fn is_sound(url: &Url) -> bool {
    url.scheme() == "https" || is_loopback(url)
}

/// A URL without the slash at its end.
pub(super) fn base(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}
