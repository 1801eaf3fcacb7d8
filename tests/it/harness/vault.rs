//! A key vault, and the platform's identity that reads it.

use std::sync::Arc;

use axum::{Json, Router, extract::Query, routing::get};
use sandbox::key_vault::KeyVault;
use serde_json::{Value, json};

use super::world::{CLIENT_SECRET, TENANT, World};

/// Where the vault answers.
pub const VAULT: &str = "secrets.vault.azure.net";
/// Where a managed identity is asked for, unless the process's environment says otherwise.
pub const PLATFORM: &str = "169.254.169.254";
/// The one token of the platform's identity.
pub const PLATFORM_TOKEN: &str = "platform-token-value";

/// Moves a world's secrets into a key vault.
pub fn with_key_vault(world: &mut World) -> KeyVault {
    let now = world.now();
    let vault = KeyVault::new(Arc::new(move || now), TENANT);
    vault.authorize(|token| token == PLATFORM_TOKEN);
    world.net.host(VAULT, vault.router());
    world.net.host(PLATFORM, platform_identity());
    for (name, value) in [
        ("mati-key", "sandbox-key"),
        ("mati-secret", "sandbox-secret"),
        ("azure-client-secret", CLIENT_SECRET),
    ] {
        vault.set(name, value);
    }
    for (name, value) in [
        ("KEY_VAULT_URL", "https://secrets.vault.azure.net"),
        ("MATI_KEY", ""),
        ("MATI_SECRET", ""),
        ("AZURE_CLIENT_SECRET", ""),
        ("IDENTITY_ENDPOINT", "only whether it is set matters here"),
    ] {
        world.set(name, value);
    }
    vault
}

fn platform_identity() -> Router {
    let token = |Query(query): Query<Value>| async move {
        let in_an_hour = azure_core::time::OffsetDateTime::now_utc().unix_timestamp() + 3600;
        Json(json!({
            "access_token": PLATFORM_TOKEN,
            "expires_on": in_an_hour.to_string(),
            "resource": query["resource"],
            "token_type": "Bearer",
        }))
    };
    Router::new().route("/metadata/identity/oauth2/token", get(token))
}
