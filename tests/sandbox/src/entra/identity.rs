//! The endpoint App Service and Functions give an application for its managed identity.

use std::collections::HashMap;

use axum::{
    Json,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{Entra, Kind};

/// The tenant a managed identity's tokens name when no app has registered one.
const HOME_TENANT: &str = "00000000-0000-4000-8000-00000000aaaa";

pub(super) async fn token(
    State(entra): State<Entra>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    match entra.grant_identity(&query, &headers) {
        Ok(answer) => Json(answer).into_response(),
        Err((status, message)) => {
            entra.note_rejection(status.as_u16().into());
            (status, Json(json!({"statusCode": status.as_u16(), "message": message}))).into_response()
        }
    }
}

impl Entra {
    /// App Service's protocol of 2019-08-01. The statuses of its rejections are not documented, save that
    /// clients read 400 as "not assigned".
    fn grant_identity(
        &self,
        query: &HashMap<String, String>,
        headers: &HeaderMap,
    ) -> Result<Value, (StatusCode, String)> {
        let bad = |message: &str| Err((StatusCode::BAD_REQUEST, message.to_string()));
        let client_id = query.get("client_id").map_or("", String::as_str);
        let tenant = {
            let inner = self.inner.lock().unwrap();
            let proof = headers.get("x-identity-header").map(|value| value.as_bytes());
            if proof != Some(inner.knobs.identity_header.as_bytes()) {
                return Err((StatusCode::UNAUTHORIZED, "The identity header is missing or wrong.".into()));
            }
            if let Some(rejection) = &inner.knobs.reject_identity {
                return Err(rejection.clone());
            }
            let assigned = match client_id {
                "" => inner.knobs.system_identity,
                other => inner.identities.contains(other),
            };
            if !assigned {
                return bad("No managed identity was found for the specified client id.");
            }
            inner.apps.keys().next().cloned().unwrap_or_else(|| HOME_TENANT.into())
        };
        if query.get("api-version").map(String::as_str) != Some("2019-08-01") {
            return bad("The api-version is missing or not supported.");
        }
        let Some(resource) = query.get("resource").filter(|resource| !resource.is_empty()) else {
            return bad("The resource is missing.");
        };
        let (token, expires) = self.issue(Kind::ManagedIdentity, &tenant, client_id, resource);
        // `expires_on` is a string of Unix seconds and there is no `expires_in`: clients reject a number here.
        Ok(json!({
            "access_token": token,
            "expires_on": expires.timestamp().to_string(),
            "resource": resource,
            "token_type": "Bearer",
            "client_id": client_id,
        }))
    }
}
