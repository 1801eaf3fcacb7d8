//! Secrets from the environment, or from Key Vault.

use std::sync::Arc;

use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use crate::{
    http::{
        azure::{Service, client_options, is_transient, within_limit},
        error::chain,
        identity::{Identity, IdentityError, Principal},
        told::ELSEWHERE,
        transport::Transport,
    },
    settings::{Auth, Settings},
};

/// Names of the secrets in Key Vault; that of the API secret is a setting.
const MATI_KEY: &str = "mati-key";
const CLIENT_SECRET: &str = "azure-client-secret";

/// Everything that must not be shown.
#[derive(Clone)]
pub struct Secrets {
    pub mati_key: SecretString,
    pub mati_secret: SecretString,
    /// Of the app registration; without one the managed identity makes the uploads.
    pub client_secret: Option<SecretString>,
}

impl Secrets {
    /// Whether none of them differs from its counterpart. Nobody outside chooses either side, so the time that the
    /// comparison takes tells nobody anything.
    fn are_same(&self, other: &Self) -> bool {
        self.exposed() == other.exposed()
    }

    fn exposed(&self) -> [Option<&str>; 3] {
        let Self { mati_key, mati_secret, client_secret } = self;
        [Some(mati_key), Some(mati_secret), client_secret.as_ref()]
            .map(|secret| Some(secret?.expose_secret()))
    }
}

/// A secret could not be had; the sentence says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SecretsError {
    message: String,
    /// Whether asking again may help.
    pub is_transient: bool,
}

/// No token to upload with; the sentence says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UploaderError {
    #[error("{0}")]
    Identity(#[from] IdentityError),
    #[error("{0}")]
    Secrets(#[from] SecretsError),
}

impl UploaderError {
    /// Whether asking again may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Identity(error) => error.is_transient,
            Self::Secrets(error) => error.is_transient,
        }
    }
}

/// Whoever makes the uploads: the app registration where there is a secret for it, else the platform's identity.
pub struct Uploader {
    app: Option<Identity>,
    platform: Arc<Identity>,
    secrets: Arc<SecretStore>,
}

impl Uploader {
    pub fn new(app: Option<Identity>, platform: Arc<Identity>, secrets: Arc<SecretStore>) -> Self {
        Self { app, platform, secrets }
    }

    /// A token for `scope`. When Entra refuses the client secret and Key Vault has a newer one, that is used.
    ///
    /// # Errors
    /// No token could be had.
    pub async fn token(&self, scope: &str) -> Result<SecretString, UploaderError> {
        let Some(app) = &self.app else { return Ok(self.platform.token(scope, None).await?) };
        let secrets = self.secrets.get().await?;
        let Some(secret) = &secrets.client_secret else {
            return Ok(self.platform.token(scope, None).await?);
        };
        let refusal = match app.token(scope, Some(secret)).await {
            Ok(token) => return Ok(token),
            Err(outage) if outage.is_transient => return Err(outage.into()),
            Err(refusal) => refusal,
        };
        match self.secrets.renew(&secrets).await? {
            Some(renewed) => Ok(app.token(scope, renewed.client_secret.as_ref()).await?),
            None => Err(refusal.into()),
        }
    }

    /// As whom tokens are had at present.
    pub async fn principal(&self) -> &Principal {
        match &self.app {
            Some(app) if self.secrets.get().await.is_ok_and(|secrets| secrets.client_secret.is_some()) => {
                app.principal()
            }
            _ => self.platform.principal(),
        }
    }

    /// Forgets the token for `scope`, because it was refused.
    pub async fn forget(&self, scope: &str, refused: &SecretString) {
        if let Some(app) = &self.app {
            app.forget(scope, refused).await;
        }
        self.platform.forget(scope, refused).await;
    }
}

/// Secrets, fetched once per process and again after an authentication failed, so that a rotated key heals
/// without a redeploy.
pub struct SecretStore {
    settings: Arc<Settings>,
    transport: Transport,
    /// As whom Key Vault is read.
    platform: Arc<Identity>,
    fetched: Mutex<Option<Secrets>>,
}

impl SecretStore {
    pub fn new(settings: Arc<Settings>, transport: Transport, platform: Arc<Identity>) -> Self {
        Self { settings, transport, platform, fetched: Mutex::default() }
    }

    /// # Errors
    /// Key Vault refuses or lacks one.
    pub async fn get(&self) -> Result<Secrets, SecretsError> {
        let mut fetched = self.fetched.lock().await;
        if let Some(secrets) = &*fetched {
            return Ok(secrets.clone());
        }
        let secrets = self.fetch().await?;
        *fetched = Some(secrets.clone());
        Ok(secrets)
    }

    /// Reads the secrets again, because `refused` did not do; `None` when they are still the same.
    ///
    /// # Errors
    /// As [`SecretStore::get`].
    pub async fn renew(&self, refused: &Secrets) -> Result<Option<Secrets>, SecretsError> {
        let mut fetched = self.fetched.lock().await;
        // Somebody else may have renewed them meanwhile.
        if let Some(secrets) = fetched.as_ref().filter(|secrets| !secrets.are_same(refused)) {
            return Ok(Some(secrets.clone()));
        }
        let secrets = self.fetch().await?;
        *fetched = Some(secrets.clone());
        Ok((!secrets.are_same(refused)).then_some(secrets))
    }

    /// Which secrets are read from which key vault; `None` where all are given directly.
    pub fn from_key_vault(&self) -> Option<(&str, Vec<&str>)> {
        let vault = self.settings.key_vault.as_ref()?;
        let (source, azure) = (&self.settings.source, &self.settings.azure);
        let names = [
            (MATI_KEY, source.key.is_none()),
            (&vault.mati_secret_name, source.secret.is_none() && source.auth != Auth::ApiKey),
            (CLIENT_SECRET, azure.client_secret.is_none() && azure.has_app_registration()),
        ];
        let names: Vec<&str> = names.into_iter().filter(|(_, asked)| *asked).map(|(name, _)| name).collect();
        (!names.is_empty()).then_some((vault.url.as_str(), names))
    }

    /// Reads the secrets once more and changes nothing.
    ///
    /// # Errors
    /// As [`SecretStore::get`].
    pub async fn probe(&self) -> Result<(), SecretsError> {
        self.fetch().await.map(drop)
    }

    async fn fetch(&self) -> Result<Secrets, SecretsError> {
        let source = &self.settings.source;
        let azure = &self.settings.azure;
        let mati_secret_name = match &self.settings.key_vault {
            Some(vault) => vault.mati_secret_name.as_str(),
            None => "",
        };
        let mati_key = self.one(source.key.as_ref(), MATI_KEY, "MATI_KEY").await?;
        let mati_secret = match source.auth {
            Auth::ApiKey => Some(SecretString::default()),
            Auth::Bearer | Auth::Basic => {
                self.one(source.secret.as_ref(), mati_secret_name, "MATI_SECRET").await?
            }
        };
        let client_secret = if azure.has_app_registration() {
            self.one(azure.client_secret.as_ref(), CLIENT_SECRET, "AZURE_CLIENT_SECRET").await?
        } else {
            None
        };
        Ok(Secrets {
            mati_key: mati_key.ok_or_else(|| self.missing("MATI_KEY", MATI_KEY))?,
            mati_secret: mati_secret.ok_or_else(|| self.missing("MATI_SECRET", mati_secret_name))?,
            client_secret,
        })
    }

    /// A secret as given, or from Key Vault; `None` where neither has it.
    async fn one(
        &self,
        given: Option<&SecretString>,
        name: &str,
        setting: &str,
    ) -> Result<Option<SecretString>, SecretsError> {
        if let Some(secret) = given {
            return Ok(Some(secret.clone()));
        }
        let Some(vault) = &self.settings.key_vault else { return Ok(None) };
        let failed = |reason: String, is_transient: bool| {
            let told =
                format!("the secret {name} (for {setting}) cannot be read from {}: {reason}", vault.url);
            let message = if is_transient || told.contains(ELSEWHERE) {
                told
            } else {
                format!(
                    "{told}; the app's identity needs the role Key Vault Secrets User there (a new assignment takes some minutes), and the vault's firewall must let the app in"
                )
            };
            SecretsError { message, is_transient }
        };
        let told_by_sdk = |error: azure_core::Error| failed(chain(&error), is_transient(&error));
        let credential =
            self.platform.credential(None).map_err(|error| failed(error.to_string(), error.is_transient))?;
        let options = SecretClientOptions {
            client_options: client_options(&self.transport, Service::KeyVault),
            // A vault of another name than *.vault.azure.net is an emulator on this machine.
            verify_challenge_resource: Some(!crate::settings::is_local(&vault.url)),
            ..SecretClientOptions::default()
        };
        let client = SecretClient::new(vault.url.as_str(), credential, Some(options)).map_err(told_by_sdk)?;
        match within_limit(client.get_secret(name, None)).await {
            Ok(answer) => {
                let secret = answer.into_model().map_err(told_by_sdk)?;
                Ok(secret
                    .value
                    .as_deref()
                    .map(trimmed)
                    .filter(|value| !value.is_empty())
                    .map(SecretString::from))
            }
            Err(error) if error.http_status() == Some(azure_core::http::StatusCode::NotFound) => Ok(None),
            Err(error) => Err(told_by_sdk(error)),
        }
    }

    fn missing(&self, setting: &str, name: &str) -> SecretsError {
        let vault = self.settings.key_vault.as_ref().map(|vault| vault.url.to_string()).unwrap_or_default();
        SecretsError {
            message: format!(
                "{setting} is not set, and the key vault {vault} has no secret {name}: set one of them"
            ),
            is_transient: false,
        }
    }
}

/// A secret without what comes with it when it is set from a file: the line break at the end, and a byte order mark.
fn trimmed(value: &str) -> &str {
    value.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_any_secret_is_seen() {
        let secrets = |key: &str, secret: &str, client: Option<&str>| Secrets {
            mati_key: key.into(),
            mati_secret: secret.into(),
            client_secret: client.map(Into::into),
        };
        let refused = secrets("key", "secret", Some("client"));
        assert!(refused.are_same(&secrets("key", "secret", Some("client"))));
        for renewed in [
            secrets("new", "secret", Some("client")),
            secrets("key", "new", Some("client")),
            secrets("key", "secret", Some("new")),
            secrets("key", "secret", None),
        ] {
            assert!(!refused.are_same(&renewed));
        }
    }
}
