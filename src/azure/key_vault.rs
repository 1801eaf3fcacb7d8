//! Secrets in Key Vault, read with the app's own identity.

use std::sync::Arc;

use azure_core::http::{StatusCode, Url};
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use secrecy::SecretString;

use super::{
    identity::Identity,
    sdk::{Service, client_options, is_transient, within_limit},
};
use crate::{
    domain::problem::{Problem, Role},
    http::{error::chain, transport::Transport, unexpected::ELSEWHERE},
};

/// A secret could not be read; the sentence says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct SecretsError {
    pub problem: Problem,
    /// Whether asking again may help.
    pub is_transient: bool,
}

/// One key vault.
pub struct KeyVault {
    pub url: Url,
    /// A vault on this machine has another name than *.vault.azure.net.
    pub is_emulator: bool,
    pub transport: Transport,
    /// The identity that reads it.
    pub identity: Arc<Identity>,
}

impl KeyVault {
    /// Reads the secret `name`, which stands for the setting `setting`; `None` if the vault has no such secret.
    ///
    /// # Errors
    /// The vault cannot be reached, or rejects the identity.
    pub async fn read(&self, name: &str, setting: &str) -> Result<Option<SecretString>, SecretsError> {
        let failed = |reason: String, is_transient: bool| {
            let told =
                format!("the secret {name} (for {setting}) cannot be read from {}: {reason}", self.url);
            let role = Role::KeyVaultSecretsUser;
            let problem = if is_transient || told.contains(ELSEWHERE) {
                Problem::from(told)
            } else {
                Problem::from(format!(
                    "{told}; the app's identity needs the role {} there (a new assignment takes some minutes), and the vault's firewall must let the app in",
                    role.name()
                ))
                .needs(role)
            };
            SecretsError { problem, is_transient }
        };
        let told_by_sdk = |error: azure_core::Error| failed(chain(&error), is_transient(&error));
        let credential =
            self.identity.credential(None).map_err(|error| failed(error.to_string(), error.is_transient))?;
        let options = SecretClientOptions {
            client_options: client_options(&self.transport, Service::KeyVault),
            verify_challenge_resource: Some(!self.is_emulator),
            ..SecretClientOptions::default()
        };
        let client = SecretClient::new(self.url.as_str(), credential, Some(options)).map_err(told_by_sdk)?;
        match within_limit(client.get_secret(name, None)).await {
            Ok(answer) => {
                let secret = answer.into_model().map_err(told_by_sdk)?;
                let value = secret.value.as_deref().map(trimmed).filter(|value| !value.is_empty());
                Ok(value.map(SecretString::from))
            }
            Err(error) if error.http_status() == Some(StatusCode::NotFound) => Ok(None),
            Err(error) => Err(told_by_sdk(error)),
        }
    }
}

/// A secret without what comes with it when it is set from a file: the line break at the end, and a byte order mark.
fn trimmed(value: &str) -> &str {
    value.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n'])
}
