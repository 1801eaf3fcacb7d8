//! The identity that uploads: an app registration where there is a secret for it, else the platform's identity.

use std::sync::Arc;

use secrecy::SecretString;

use super::{
    identity::{Identity, IdentityError, Principal},
    key_vault::SecretsError,
    secrets::SecretStore,
};
use crate::domain::problem::Problem;

/// No token to upload with; the sentence says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UploadIdentityError {
    #[error("{0}")]
    Identity(#[from] IdentityError),
    #[error("{0}")]
    Secrets(#[from] SecretsError),
}

impl UploadIdentityError {
    /// Whether asking again may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Identity(error) => error.is_transient,
            Self::Secrets(error) => error.is_transient,
        }
    }

    /// What the operator can do.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Identity(error) => error.to_string().into(),
            Self::Secrets(error) => error.problem.clone(),
        }
    }
}

/// The app registration if there is a secret for it, else the platform's identity.
pub struct UploadIdentity {
    app: Option<Identity>,
    platform: Arc<Identity>,
    secrets: Arc<SecretStore>,
}

impl UploadIdentity {
    pub fn new(app: Option<Identity>, platform: Arc<Identity>, secrets: Arc<SecretStore>) -> Self {
        Self { app, platform, secrets }
    }

    /// A token for `scope`. When Entra rejects the client secret and Key Vault has a newer one, that is used.
    ///
    /// # Errors
    /// No token could be obtained.
    pub async fn token(&self, scope: &str) -> Result<SecretString, UploadIdentityError> {
        let Some(app) = &self.app else { return Ok(self.platform.token(scope, None).await?) };
        let secrets = self.secrets.get().await?;
        let Some(secret) = &secrets.client_secret else {
            return Ok(self.platform.token(scope, None).await?);
        };
        let rejection = match app.token(scope, Some(secret)).await {
            Ok(token) => return Ok(token),
            Err(outage) if outage.is_transient => return Err(outage.into()),
            Err(rejection) => rejection,
        };
        match self.secrets.renew(&secrets).await? {
            Some(renewed) => Ok(app.token(scope, renewed.client_secret.as_ref()).await?),
            None => Err(rejection.into()),
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

    /// Forgets the token for `scope`, because it was rejected.
    pub async fn forget(&self, scope: &str, rejected: &SecretString) {
        if let Some(app) = &self.app {
            app.forget(scope, rejected).await;
        }
        self.platform.forget(scope, rejected).await;
    }
}
