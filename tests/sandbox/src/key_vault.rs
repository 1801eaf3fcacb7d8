//! Azure Key Vault's secrets: reading them, and the challenge a client meets before it knows the audience.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{Path, Query, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use crate::{
    clock::Now,
    entra::{Entra, bearer},
};

/// What a vault's tokens are issued for.
pub const AUDIENCE: &str = "https://vault.azure.net";

type Authorize = Arc<dyn Fn(&str) -> bool + Send + Sync>;

struct Version {
    name: String,
    value: String,
    created: DateTime<Utc>,
}

#[derive(Default)]
struct Secret {
    versions: Vec<Version>,
    reads: u64,
    disabled: bool,
}

struct Inner {
    secrets: BTreeMap<String, Secret>,
    authorize: Authorize,
    forbidden: bool,
}

/// A handle on the stand-in; clones share it.
#[derive(Clone)]
pub struct KeyVault {
    now: Now,
    tenant: String,
    inner: Arc<Mutex<Inner>>,
}

impl KeyVault {
    /// A vault that belongs to `tenant` and, until told otherwise, takes any bearer token.
    pub fn new(now: Now, tenant: &str) -> Self {
        let inner = Inner { secrets: BTreeMap::new(), authorize: Arc::new(|_| true), forbidden: false };
        Self { now, tenant: tenant.into(), inner: Arc::new(Mutex::new(inner)) }
    }

    /// Asks `check` about every bearer token.
    pub fn authorize(&self, check: impl Fn(&str) -> bool + Send + Sync + 'static) {
        self.inner.lock().unwrap().authorize = Arc::new(check);
    }

    /// Takes only tokens `entra` issued for vaults.
    pub fn trust(&self, entra: &Entra) {
        let entra = entra.clone();
        self.authorize(move |token| entra.verify(token, AUDIENCE));
    }

    /// Adds a new version of a secret. Names ignore case.
    pub fn set(&self, name: &str, value: &str) {
        let version =
            Version { name: Uuid::new_v4().simple().to_string(), value: value.into(), created: (self.now)() };
        let mut inner = self.inner.lock().unwrap();
        inner.secrets.entry(name.to_ascii_lowercase()).or_default().versions.push(version);
    }

    /// Whether a secret may be read: a disabled one answers 403.
    pub fn enable(&self, name: &str, enabled: bool) {
        if let Some(secret) = self.inner.lock().unwrap().secrets.get_mut(&name.to_ascii_lowercase()) {
            secret.disabled = !enabled;
        }
    }

    /// Whether the caller lacks the role that reads secrets.
    pub fn forbid(&self, forbidden: bool) {
        self.inner.lock().unwrap().forbidden = forbidden;
    }

    /// How often the secret's value was handed out.
    pub fn reads(&self, name: &str) -> u64 {
        self.inner.lock().unwrap().secrets.get(&name.to_ascii_lowercase()).map_or(0, |secret| secret.reads)
    }

    /// `GET /secrets/{name}[/[{version}]]?api-version=…`; the SDK writes the slash before the query.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/secrets/{name}", get(read_latest))
            .route("/secrets/{name}/", get(read_latest))
            .route("/secrets/{name}/{version}", get(read_version))
            .with_state(self.clone())
    }

    fn read(
        &self,
        name: &str,
        version: Option<&str>,
        query: &BTreeMap<String, String>,
        request: &Request,
    ) -> Response {
        let Some(token) = bearer(request.headers()) else {
            return self.challenge("AKV10000: Request is missing a Bearer or PoP token.");
        };
        // Asked outside our lock: the check may look at anything, this vault included.
        let authorize = Arc::clone(&self.inner.lock().unwrap().authorize);
        if !authorize(token) {
            return self.challenge("AKV10022: The token is not valid for this vault.");
        }
        if !query.contains_key("api-version") {
            return error(StatusCode::BAD_REQUEST, "BadParameter", "api-version must be specified", None);
        }
        let mut inner = self.inner.lock().unwrap();
        if inner.forbidden {
            // The shape of Azure's role-based rejection, which an operator sees when the role is missing.
            let text = format!(
                "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny \
                 assignments or role definitions were changed recently, please observe propagation time.\r\n\
                 Action: 'Microsoft.KeyVault/vaults/secrets/getSecret/action'\r\nResource: 'secrets/{name}'\r\n\
                 Assignment: (not found)\r\nDecisionReason: 'DeniedWithNoValidRBAC'\r\n"
            );
            return error(StatusCode::FORBIDDEN, "Forbidden", &text, Some("ForbiddenByRbac"));
        }
        let Some(secret) = inner.secrets.get_mut(&name.to_ascii_lowercase()) else {
            return missing(name);
        };
        let found = match version {
            None => secret.versions.last(),
            Some(version) => secret.versions.iter().find(|candidate| candidate.name == version),
        };
        let Some(found) = found else { return missing(name) };
        if secret.disabled {
            let text = "Operation get is not allowed on a disabled secret.";
            return error(StatusCode::FORBIDDEN, "Forbidden", text, Some("SecretDisabled"));
        }
        secret.reads += 1;
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.or(request.uri().authority().map(|authority| authority.as_str()));
        Json(json!({
            "value": found.value,
            "id": format!("https://{}/secrets/{name}/{}", host.unwrap_or("vault"), found.name),
            "attributes": {
                "enabled": true,
                "created": found.created.timestamp(),
                "updated": found.created.timestamp(),
                "recoveryLevel": "Recoverable+Purgeable",
                "recoverableDays": 90,
            },
        }))
        .into_response()
    }

    /// 401 that names the audience to ask a token for: the client's first request always meets it.
    fn challenge(&self, text: &str) -> Response {
        let value = format!(
            r#"Bearer authorization="https://login.microsoftonline.com/{}", resource="{AUDIENCE}""#,
            self.tenant
        );
        let answer = error(StatusCode::UNAUTHORIZED, "Unauthorized", text, None);
        ([(header::WWW_AUTHENTICATE, value)], answer).into_response()
    }
}

fn missing(name: &str) -> Response {
    let text = format!(
        "A secret with (name/id) {name} was not found in this key vault. If you recently deleted this secret \
         you may be able to recover it using the correct recovery command."
    );
    error(StatusCode::NOT_FOUND, "SecretNotFound", &text, None)
}

fn error(status: StatusCode, code: &str, message: &str, inner: Option<&str>) -> Response {
    let mut body = json!({"error": {"code": code, "message": message}});
    if let Some(inner) = inner {
        body["error"]["innererror"] = json!({"code": inner});
    }
    (status, Json(body)).into_response()
}

type Parameters = Query<BTreeMap<String, String>>;

async fn read_latest(
    State(vault): State<KeyVault>,
    Path(name): Path<String>,
    Query(query): Parameters,
    request: Request,
) -> Response {
    vault.read(&name, None, &query, &request)
}

async fn read_version(
    State(vault): State<KeyVault>,
    Path((name, version)): Path<(String, String)>,
    Query(query): Parameters,
    request: Request,
) -> Response {
    vault.read(&name, Some(&version), &query, &request)
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;
    use crate::clock;

    async fn get(vault: &KeyVault, uri: &str, token: Option<&str>) -> (StatusCode, Option<String>, Value) {
        let mut request = Request::get(uri);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = vault.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let challenge = response.headers().get("www-authenticate").map(|v| v.to_str().unwrap().to_string());
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, challenge, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_challenge_comes_first_and_the_value_second() {
        let vault = KeyVault::new(clock::system(), "tenant");
        vault.set("mandiant-key", "one");
        vault.authorize(|token| token == "good");
        let path = "/secrets/mandiant-key/?api-version=2025-07-01";
        for token in [None, Some("bad")] {
            let (status, challenge, _) = get(&vault, path, token).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED);
            assert_eq!(
                challenge.unwrap(),
                "Bearer authorization=\"https://login.microsoftonline.com/tenant\", \
                 resource=\"https://vault.azure.net\""
            );
        }
        let (status, _, first) = get(&vault, path, Some("good")).await;
        assert_eq!((status, &first["value"]), (StatusCode::OK, &json!("one")));

        vault.set("Mandiant-Key", "two");
        let latest = "/secrets/mandiant-key?api-version=2025-07-01";
        assert_eq!(get(&vault, latest, Some("good")).await.2["value"], "two");
        let version = first["id"].as_str().unwrap().rsplit('/').next().unwrap();
        let old = format!("/secrets/mandiant-key/{version}?api-version=2025-07-01");
        assert_eq!(get(&vault, &old, Some("good")).await.2["value"], "one");
        assert_eq!(vault.reads("mandiant-key"), 3);
    }

    #[tokio::test]
    async fn what_cannot_be_read_says_why() {
        let vault = KeyVault::new(clock::system(), "tenant");
        vault.set("key", "value");
        let path = "/secrets/key?api-version=7.5";
        let (status, _, body) = get(&vault, "/secrets/other?api-version=7.5", Some("any")).await;
        assert_eq!((status, &body["error"]["code"]), (StatusCode::NOT_FOUND, &json!("SecretNotFound")));
        vault.enable("key", false);
        let (_, _, body) = get(&vault, path, Some("any")).await;
        assert_eq!(body["error"]["innererror"]["code"], "SecretDisabled");
        vault.forbid(true);
        let (status, _, body) = get(&vault, path, Some("any")).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert_eq!(body["error"]["innererror"]["code"], "ForbiddenByRbac");
        assert_eq!(vault.reads("key"), 0);
    }
}
