//! Every secret of the program, given in the settings or read from Key Vault, and read again when a service rejects it.

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use super::key_vault::{KeyVault, SecretsError};

/// Everything that must not be shown.
#[derive(Clone)]
pub struct Secrets {
    /// Those of the sources are empty where the settings do not call for them.
    pub mati_key: SecretString,
    pub mati_secret: SecretString,
    pub gti_key: SecretString,
    /// Of the app registration; without one the managed identity makes the uploads.
    pub client_secret: Option<SecretString>,
}

impl Secrets {
    /// Whether none of them differs from its counterpart. No outsider chooses either side, so the time that the
    /// comparison takes reveals nothing.
    fn are_same(&self, other: &Self) -> bool {
        self.exposed() == other.exposed()
    }

    fn exposed(&self) -> [Option<&str>; 4] {
        let Self { mati_key, mati_secret, gti_key, client_secret } = self;
        [Some(mati_key), Some(mati_secret), Some(gti_key), client_secret.as_ref()]
            .map(|secret| Some(secret?.expose_secret()))
    }
}

/// Where one secret comes from.
#[derive(Clone, Debug)]
pub struct SecretSource {
    /// The setting that gives it directly.
    pub setting: &'static str,
    pub given: Option<SecretString>,
    /// Its name in Key Vault.
    pub name: String,
}

/// Where all secrets come from. `None`: the settings call for no such secret.
#[derive(Clone, Debug)]
pub struct SecretSources {
    pub mati_key: Option<SecretSource>,
    pub mati_secret: Option<SecretSource>,
    pub gti_key: Option<SecretSource>,
    pub client_secret: Option<SecretSource>,
}

/// Secrets, fetched once per process and again after an authentication failed, so that a rotated key heals
/// without a redeploy.
pub struct SecretStore {
    sources: SecretSources,
    vault: Option<KeyVault>,
    fetched: Mutex<Option<Secrets>>,
}

impl SecretStore {
    /// `vault` has the secrets that are not given directly.
    pub fn new(sources: SecretSources, vault: Option<KeyVault>) -> Self {
        Self { sources, vault, fetched: Mutex::default() }
    }

    /// # Errors
    /// Key Vault rejects or lacks one.
    pub async fn get(&self) -> Result<Secrets, SecretsError> {
        let mut fetched = self.fetched.lock().await;
        if let Some(secrets) = &*fetched {
            return Ok(secrets.clone());
        }
        let secrets = self.fetch().await?;
        *fetched = Some(secrets.clone());
        Ok(secrets)
    }

    /// Reads the secrets again, because `rejected` did not do; `None` when they are still the same.
    ///
    /// # Errors
    /// As [`SecretStore::get`].
    pub async fn renew(&self, rejected: &Secrets) -> Result<Option<Secrets>, SecretsError> {
        let mut fetched = self.fetched.lock().await;
        // Another request may have renewed them meanwhile.
        if let Some(secrets) = fetched.as_ref().filter(|secrets| !secrets.are_same(rejected)) {
            return Ok(Some(secrets.clone()));
        }
        let secrets = self.fetch().await?;
        *fetched = Some(secrets.clone());
        Ok((!secrets.are_same(rejected)).then_some(secrets))
    }

    /// Which secrets are read from which key vault; `None` where all are given directly.
    pub fn from_key_vault(&self) -> Option<(&str, Vec<&str>)> {
        let vault = self.vault.as_ref()?;
        let SecretSources { mati_key, mati_secret, gti_key, client_secret } = &self.sources;
        let wanted = [mati_key, mati_secret, gti_key, client_secret];
        let names = wanted.into_iter().flatten().filter(|source| source.given.is_none());
        let names: Vec<&str> = names.map(|source| source.name.as_str()).collect();
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
        let SecretSources { mati_key, mati_secret, gti_key, client_secret } = &self.sources;
        Ok(Secrets {
            mati_key: self.of_source(mati_key.as_ref()).await?,
            mati_secret: self.of_source(mati_secret.as_ref()).await?,
            gti_key: self.of_source(gti_key.as_ref()).await?,
            client_secret: match client_secret {
                Some(source) => self.one(source).await?,
                None => None,
            },
        })
    }

    /// A secret without which the source cannot be read, if the settings call for it.
    async fn of_source(&self, source: Option<&SecretSource>) -> Result<SecretString, SecretsError> {
        match source {
            Some(source) => self.one(source).await?.ok_or_else(|| self.missing(source)),
            None => Ok(SecretString::default()),
        }
    }

    /// A secret as given, or from Key Vault; `None` where neither has it.
    async fn one(&self, source: &SecretSource) -> Result<Option<SecretString>, SecretsError> {
        match (&source.given, &self.vault) {
            (Some(secret), _) => Ok(Some(secret.clone())),
            (None, Some(vault)) => vault.read(&source.name, source.setting).await,
            (None, None) => Ok(None),
        }
    }

    fn missing(&self, SecretSource { setting, name, .. }: &SecretSource) -> SecretsError {
        let vault = self.vault.as_ref().map(|vault| vault.url.to_string()).unwrap_or_default();
        SecretsError {
            problem: format!(
                "{setting} is not set, and the key vault {vault} has no secret {name}: set one of them"
            )
            .into(),
            is_transient: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_any_secret_is_seen() {
        let secrets = |key: &str, secret: &str, client: Option<&str>| Secrets {
            mati_key: key.into(),
            mati_secret: secret.into(),
            gti_key: SecretString::default(),
            client_secret: client.map(Into::into),
        };
        let rejected = secrets("key", "secret", Some("client"));
        assert!(rejected.are_same(&secrets("key", "secret", Some("client"))));
        for renewed in [
            secrets("new", "secret", Some("client")),
            secrets("key", "new", Some("client")),
            secrets("key", "secret", Some("new")),
            secrets("key", "secret", None),
        ] {
            assert!(!rejected.are_same(&renewed));
        }
    }
}
