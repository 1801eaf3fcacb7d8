//! Microsoft Entra ID: the token endpoint for applications and the endpoint managed identities ask.
//!
//! Tokens are unsigned JWTs whose claims are what the storage emulator checks; the services of the sandbox
//! ask [`Entra::verify`] instead of reading them, so that revoking and expiring are one decision here.
//! A token says nothing about roles: a missing permission shows only at the service it is used on.

mod identity;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex},
};

use axum::{
    Form, Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::Now;

/// Who a token was issued to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    App,
    ManagedIdentity,
}

/// One token that was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    pub at: DateTime<Utc>,
    pub kind: Kind,
    /// The scope an app asked for (`…/.default`), or the resource a managed identity asked for.
    pub scope_or_resource: String,
    /// Empty for the system-assigned identity.
    pub client_id: String,
}

/// One request for a token that was turned down: its AADSTS number, or the status where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    pub at: DateTime<Utc>,
    pub code: u32,
}

/// What a test may change while the stand-in runs.
#[derive(Clone, Debug)]
pub struct Knobs {
    /// How long an app's token lives: 3599 s in Microsoft's sample.
    pub lifetime: TimeDelta,
    /// How long a managed identity's token lives.
    pub identity_lifetime: TimeDelta,
    /// What `X-IDENTITY-HEADER` must carry: the platform's proof that the caller is inside the sandbox.
    pub identity_header: String,
    /// Whether the system-assigned identity is switched on.
    pub system_identity: bool,
    /// Every managed identity request is answered with this status and message.
    pub reject_identity: Option<(StatusCode, String)>,
    /// Client ids whose secret has expired (7000222).
    pub expired_secrets: BTreeSet<String>,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            lifetime: TimeDelta::seconds(3599),
            identity_lifetime: TimeDelta::hours(24),
            identity_header: "sandbox-identity".into(),
            system_identity: true,
            reject_identity: None,
            expired_secrets: BTreeSet::new(),
        }
    }
}

struct Token {
    audience: String,
    expires: DateTime<Utc>,
}

#[derive(Default)]
struct Inner {
    /// Secrets by tenant and client id.
    apps: BTreeMap<String, BTreeMap<String, String>>,
    /// Client ids of user-assigned identities.
    identities: BTreeSet<String>,
    tokens: HashMap<String, Token>,
    issued: Vec<Issued>,
    rejected: Vec<Rejected>,
    knobs: Knobs,
}

/// A handle on the stand-in; clones share it.
#[derive(Clone)]
pub struct Entra {
    now: Now,
    inner: Arc<Mutex<Inner>>,
}

impl Entra {
    pub fn new(now: Now) -> Self {
        Self { now, inner: Arc::default() }
    }

    /// Registers an application and, with it, its tenant.
    pub fn app(&self, tenant: &str, client_id: &str, secret: &str) {
        let mut inner = self.inner.lock().unwrap();
        inner.apps.entry(tenant.into()).or_default().insert(client_id.into(), secret.into());
    }

    /// Assigns a user-assigned identity to the application that hosts us.
    pub fn identity(&self, client_id: &str) {
        self.inner.lock().unwrap().identities.insert(client_id.into());
    }

    /// Replaces an application's secret, in whichever tenant it is; the old one is wrong from now on.
    pub fn rotate_secret(&self, client_id: &str, secret: &str) {
        let mut inner = self.inner.lock().unwrap();
        inner.knobs.expired_secrets.remove(client_id);
        for known in inner.apps.values_mut().filter_map(|apps| apps.get_mut(client_id)) {
            *known = secret.into();
        }
    }

    /// Ends every token issued so far.
    pub fn revoke_all(&self) {
        self.inner.lock().unwrap().tokens.clear();
    }

    pub fn knobs(&self, change: impl FnOnce(&mut Knobs)) {
        change(&mut self.inner.lock().unwrap().knobs);
    }

    /// Every token handed out so far, oldest first.
    pub fn issued(&self) -> Vec<Issued> {
        self.inner.lock().unwrap().issued.clone()
    }

    /// Every request turned down so far, oldest first.
    pub fn rejected(&self) -> Vec<Rejected> {
        self.inner.lock().unwrap().rejected.clone()
    }

    /// Whether `bearer` was issued here for `audience`, has not expired and was not revoked.
    /// Services accept their audience with and without a trailing slash (Upload API page), and so does this.
    pub fn verify(&self, bearer: &str, audience: &str) -> bool {
        let now = (self.now)();
        self.inner.lock().unwrap().tokens.get(bearer).is_some_and(|token| {
            now < token.expires && token.audience.trim_end_matches('/') == audience.trim_end_matches('/')
        })
    }

    /// The authority: `POST /{tenant}/oauth2/v2.0/token`, and the discovery document a client may ask first.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/{tenant}/oauth2/v2.0/token", post(token))
            .route("/common/discovery/instance", get(discovery))
            .with_state(self.clone())
    }

    /// What `IDENTITY_ENDPOINT` names on App Service and Functions: `GET /msi/token`.
    pub fn managed_identity_router(&self) -> Router {
        Router::new().route("/msi/token", get(identity::token)).with_state(self.clone())
    }

    fn issue(&self, kind: Kind, tenant: &str, client_id: &str, asked: &str) -> (String, DateTime<Utc>) {
        let now = (self.now)();
        let mut inner = self.inner.lock().unwrap();
        let lifetime = match kind {
            Kind::App => inner.knobs.lifetime,
            Kind::ManagedIdentity => inner.knobs.identity_lifetime,
        };
        let expires = now + lifetime;
        let audience = asked.strip_suffix("/.default").unwrap_or(asked);
        let token = unsigned(&json!({
            "aud": audience,
            "iss": format!("https://sts.windows.net/{tenant}/"),
            "iat": now.timestamp(),
            "nbf": now.timestamp(),
            "exp": expires.timestamp(),
            "appid": client_id,
            "oid": Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{tenant}/{client_id}").as_bytes()).to_string(),
            "tid": tenant,
            // Two tokens asked for in the same second are still two tokens.
            "uti": Uuid::new_v4().to_string(),
        }));
        inner.tokens.insert(token.clone(), Token { audience: audience.into(), expires });
        inner.issued.push(Issued {
            at: now,
            kind,
            scope_or_resource: asked.into(),
            client_id: client_id.into(),
        });
        (token, expires)
    }

    fn note_rejection(&self, code: u32) {
        let at = (self.now)();
        self.inner.lock().unwrap().rejected.push(Rejected { at, code });
    }
}

/// The bearer token of a request, if it carries a non-empty one.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then(|| token.trim())
}

fn unsigned(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(&json!({"alg": "none", "typ": "JWT"})), part(claims))
}

/// Why the authority turns a request down (Entra's error code reference).
struct Rejection {
    status: StatusCode,
    error: &'static str,
    code: u32,
    text: String,
}

impl Rejection {
    fn new(status: StatusCode, error: &'static str, code: u32, text: impl Into<String>) -> Self {
        Self { status, error, code, text: text.into() }
    }

    fn missing(field: &str) -> Self {
        let text = format!("The request body must contain the following parameter: '{field}'.");
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", 900144, text)
    }
}

async fn token(
    State(entra): State<Entra>,
    Path(tenant): Path<String>,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    match entra.grant(&tenant, &form) {
        Ok(answer) => Json(answer).into_response(),
        Err(rejection) => {
            entra.note_rejection(rejection.code);
            entra.rejection_answer(&rejection)
        }
    }
}

impl Entra {
    fn grant(&self, tenant: &str, form: &HashMap<String, String>) -> Result<Value, Rejection> {
        let field = |name: &str| {
            form.get(name)
                .map(String::as_str)
                .filter(|v| !v.is_empty())
                .ok_or_else(|| Rejection::missing(name))
        };
        let bad = StatusCode::BAD_REQUEST;
        if field("grant_type")? != "client_credentials" {
            let text = "The app requested an unsupported grant type.";
            return Err(Rejection::new(bad, "unsupported_grant_type", 70003, text));
        }
        let (client_id, scope) = (field("client_id")?, field("scope")?);
        self.check_app(tenant, client_id, form.get("client_secret").map_or("", String::as_str))?;
        // Client credentials name one resource, as `<resource>/.default`.
        if !scope.ends_with("/.default") || scope.contains(' ') {
            let text = format!(
                "The provided value for the input parameter 'scope' is not valid. The scope {scope} is not \
                 valid."
            );
            return Err(Rejection::new(bad, "invalid_scope", 70011, text));
        }
        let (token, expires) = self.issue(Kind::App, tenant, client_id, scope);
        let seconds = (expires - (self.now)()).num_seconds();
        Ok(json!({
            "token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token,
        }))
    }

    fn check_app(&self, tenant: &str, client_id: &str, secret: &str) -> Result<(), Rejection> {
        let inner = self.inner.lock().unwrap();
        let Some(apps) = inner.apps.get(tenant) else {
            let text =
                format!("Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID.");
            return Err(Rejection::new(StatusCode::BAD_REQUEST, "invalid_request", 90002, text));
        };
        let Some(known) = apps.get(client_id) else {
            let text = format!(
                "Application with identifier '{client_id}' was not found in the directory '{tenant}'."
            );
            return Err(Rejection::new(StatusCode::BAD_REQUEST, "unauthorized_client", 700016, text));
        };
        // `invalid_client` is a 401 in RFC 6749 §5.2 and in most recorded answers.
        let wrong =
            |code, text: String| Err(Rejection::new(StatusCode::UNAUTHORIZED, "invalid_client", code, text));
        if known != secret {
            let text = format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is the client \
                 secret value, not the client secret ID, for a secret added to app '{client_id}'."
            );
            return wrong(7000215, text);
        }
        if inner.knobs.expired_secrets.contains(client_id) {
            return wrong(
                7000222,
                format!("The provided client secret keys for app '{client_id}' are expired."),
            );
        }
        Ok(())
    }

    fn rejection_answer(&self, rejection: &Rejection) -> Response {
        let Rejection { status, error, code, text } = rejection;
        let (trace, correlation) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
        let timestamp = (self.now)().format("%Y-%m-%d %H:%M:%SZ").to_string();
        // Line breaks as in Microsoft's sample: a client that borrows this text unescaped stumbles over them.
        let description = format!(
            "AADSTS{code}: {text}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\n\
             Timestamp: {timestamp}"
        );
        let body = json!({
            "error": error,
            "error_description": description,
            "error_codes": [code],
            "timestamp": timestamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
        });
        (*status, Json(body)).into_response()
    }
}

async fn discovery() -> Json<Value> {
    let hosts = ["login.microsoftonline.com", "login.microsoft.com", "login.windows.net", "sts.windows.net"];
    Json(json!({
        "tenant_discovery_endpoint":
            "https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration",
        "api-version": "1.1",
        "metadata": [{"preferred_network": hosts[0], "preferred_cache": hosts[2], "aliases": hosts}],
    }))
}
