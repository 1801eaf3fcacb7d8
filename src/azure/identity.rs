//! As whom we speak to Microsoft's APIs: an app registration, a managed identity, or the login of the Azure CLI.

use std::{collections::HashMap, fmt, sync::Arc};

use azure_core::credentials::{Secret, TokenCredential};
use azure_identity::{
    AzureCliCredential, ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId,
};
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use super::{
    managed_identity::{Endpoint, PlatformCredential},
    sdk::{Service, client_options, credential_options, is_transient, within_limit},
};
use crate::clock::SharedClock;
use crate::http::{error::chain, transport::Transport, unexpected::ELSEWHERE};

/// A token is renewed this long before it ends, so that it does not end under way.
const RENEWAL: TimeDelta = TimeDelta::minutes(5);

/// Who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// An app registration with a client secret.
    App { authority_host: String, tenant_id: String, client_id: String },
    /// The identity of the Function app; a client id picks a user-assigned one.
    ManagedIdentity { client_id: Option<String> },
    /// The account that is logged in with `az login`: a person on a laptop.
    AzureCli,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App { client_id, tenant_id, .. } => {
                write!(f, "the app registration {client_id} of the tenant {tenant_id}")
            }
            Self::ManagedIdentity { client_id: Some(client_id) } => {
                write!(f, "the user-assigned identity {client_id}")
            }
            Self::ManagedIdentity { client_id: None } => f.write_str("the app's system-assigned identity"),
            Self::AzureCli => f.write_str("the login of the Azure CLI"),
        }
    }
}

/// No token could be obtained; the sentence says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct IdentityError {
    message: String,
    /// Whether asking again may help.
    pub is_transient: bool,
}

/// A principal's tokens, one per scope at a time.
pub struct Identity {
    principal: Principal,
    transport: Transport,
    clock: SharedClock,
    /// Where a managed identity's tokens are had; without one, as the SDK finds out.
    endpoint: Option<Endpoint>,
    tokens: Mutex<HashMap<String, Token>>,
}

#[derive(Clone)]
struct Token {
    secret: SecretString,
    expires_at: DateTime<Utc>,
}

impl Identity {
    pub fn new(principal: Principal, transport: Transport, clock: SharedClock) -> Self {
        Self { principal, transport, clock, endpoint: None, tokens: Mutex::default() }
    }

    /// The same, whose tokens come from `endpoint` where it is a managed identity.
    pub fn reached_at(self, endpoint: Option<Endpoint>) -> Self {
        Self { endpoint, ..self }
    }

    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// A credential for the clients of the Azure SDK, which keep its tokens themselves. An app registration
    /// needs its `secret`.
    ///
    /// # Errors
    /// Values the SDK rejects.
    pub fn credential(
        &self,
        secret: Option<&SecretString>,
    ) -> Result<Arc<dyn TokenCredential>, IdentityError> {
        let credential: azure_core::Result<Arc<dyn TokenCredential>> = match &self.principal {
            Principal::App { authority_host, tenant_id, client_id } => {
                let client_options = credential_options(&self.transport, authority_host);
                // The SDK holds it in a type of its own that does not clear itself; see `token` for how long.
                let secret = secret.map(|secret| secret.expose_secret().to_owned()).unwrap_or_default();
                let options = ClientSecretCredentialOptions { client_options };
                ClientSecretCredential::new(tenant_id, client_id.clone(), Secret::from(secret), Some(options))
                    .map(|credential| credential as _)
            }
            Principal::ManagedIdentity { client_id } => {
                if let Some(endpoint) = self.endpoint.clone() {
                    let (client_id, transport) = (client_id.clone(), self.transport.clone());
                    return Ok(Arc::new(PlatformCredential { endpoint, client_id, transport }));
                }
                let options = ManagedIdentityCredentialOptions {
                    user_assigned_id: client_id.clone().map(UserAssignedId::ClientId),
                    client_options: client_options(&self.transport, Service::Identity),
                };
                ManagedIdentityCredential::new(Some(options)).map(|credential| credential as _)
            }
            Principal::AzureCli => AzureCliCredential::new(None).map(|credential| credential as _),
        };
        credential.map_err(|error| self.explain(&error))
    }

    /// A token for `scope`, taken from the cache while it lasts.
    ///
    /// # Errors
    /// Entra or the identity endpoint gives none.
    pub async fn token(
        &self,
        scope: &str,
        secret: Option<&SecretString>,
    ) -> Result<SecretString, IdentityError> {
        let now = self.clock.now();
        // Held while one is fetched: uploads that start together share it.
        let mut tokens = self.tokens.lock().await;
        if let Some(token) = tokens.get(scope).filter(|token| token.expires_at - RENEWAL > now) {
            return Ok(token.secret.clone());
        }
        // A credential made anew each time: the SDK's own cache would hand out a token that was just rejected, and
        // its copies of secret and token, which nothing clears, would stay as long as the process.
        let credential = self.credential(secret)?;
        let token =
            within_limit(credential.get_token(&[scope], None)).await.map_err(|error| self.explain(&error))?;
        // The SDK dates tokens by the machine's clock; what counts is how long this one has left.
        let life = token.expires_on - azure_core::time::OffsetDateTime::now_utc();
        let expires_at = now + TimeDelta::seconds(life.whole_seconds());
        let secret = SecretString::from(token.token.secret());
        tokens.insert(scope.to_owned(), Token { secret: secret.clone(), expires_at });
        Ok(secret)
    }

    /// Forgets the token for `scope`, because it was rejected; a newer one that was fetched meanwhile stays.
    pub async fn forget(&self, scope: &str, rejected: &SecretString) {
        let mut tokens = self.tokens.lock().await;
        if tokens.get(scope).is_some_and(|token| token.secret.expose_secret() == rejected.expose_secret()) {
            tokens.remove(scope);
        }
    }

    /// Says what to do about a rejection, by the code Entra gives (learn.microsoft.com, "Microsoft Entra
    /// authentication and authorization error codes").
    fn explain(&self, error: &azure_core::Error) -> IdentityError {
        let text = chain(error);
        let first_line = text.lines().next().unwrap_or_default();
        let told = format!("no token from Entra ID: {first_line}");
        if self.principal != Principal::AzureCli && is_transient(error) {
            return IdentityError { message: told, is_transient: true };
        }
        if text.contains(ELSEWHERE) {
            return IdentityError { message: told, is_transient: false };
        }
        let advice = match &self.principal {
            Principal::AzureCli => {
                "there is no managed identity here and AZURE_CLIENT_SECRET is not set, so the Azure CLI's login was tried: run `az login`, or set the app registration's settings"
            }
            Principal::ManagedIdentity { client_id: Some(_) } => {
                "check that the identity of MANAGED_IDENTITY_CLIENT_ID is assigned to the Function app"
            }
            Principal::ManagedIdentity { client_id: None } => {
                "check that the Function app has a system-assigned identity, or set MANAGED_IDENTITY_CLIENT_ID"
            }
            Principal::App { .. } => advice(&text),
        };
        IdentityError { message: format!("{told}; {advice}"), is_transient: false }
    }
}

fn advice(text: &str) -> &'static str {
    const ADVICE: [(&str, &str); 8] = [
        (
            "AADSTS7000215",
            "AZURE_CLIENT_SECRET is wrong; often the secret's id was pasted instead of its value",
        ),
        ("AADSTS7000222", "AZURE_CLIENT_SECRET has expired: make a new one in the app registration"),
        ("AADSTS700016", "AZURE_CLIENT_ID is not known in the tenant of AZURE_TENANT_ID"),
        ("AADSTS90002", "AZURE_TENANT_ID is not a tenant of this cloud; see AZURE_CLOUD"),
        ("AADSTS900023", "AZURE_TENANT_ID is not a tenant id"),
        ("AADSTS500011", "the API has no service principal in the tenant of AZURE_TENANT_ID"),
        ("AADSTS53003", "Conditional Access blocks this app registration"),
        ("AADSTS530032", "a security policy of the tenant blocks this app registration"),
    ];
    let known = ADVICE.iter().find(|(code, _)| {
        text.match_indices(code)
            .any(|(at, _)| !text[at + code.len()..].starts_with(|next: char| next.is_ascii_digit()))
    });
    known.map_or("check AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET", |(_, advice)| advice)
}
