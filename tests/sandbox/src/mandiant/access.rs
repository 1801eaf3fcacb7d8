//! Who may ask: tokens, credentials and the quota.

use std::collections::HashMap;

use axum::http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::Duration;
use rand::RngExt;
use serde_json::json;

use super::{Answer, Rejection, Service};

const TOKEN_LENGTH: usize = 64;

impl Service {
    /// `POST /token`: the OAuth client credentials grant.
    pub(super) fn token(&mut self, headers: &HeaderMap, form: &HashMap<String, String>) -> Answer {
        self.token_requests += 1;
        let rejection = |status, error: &str, description: &str| {
            Answer::new(status, json!({"error": error, "error_description": description}).to_string())
        };
        if !self.basic(headers) {
            let description = "Client authentication failed";
            return rejection(StatusCode::UNAUTHORIZED, "invalid_client", description);
        }
        if form.get("grant_type").map(String::as_str) != Some("client_credentials") {
            let description = "The grant type has to be client_credentials";
            return rejection(StatusCode::BAD_REQUEST, "unsupported_grant_type", description);
        }
        let token: String = (0..TOKEN_LENGTH)
            .map(|_| char::from(b"0123456789abcdef"[self.dice.random_range(0..16)]))
            .collect();
        let life = self.dice.random_range(self.knobs.token_life.clone());
        let end = (self.now)() + Duration::seconds(i64::try_from(life).unwrap_or(i64::from(u32::MAX)));
        self.tokens.insert(token.clone(), end);
        let body = json!({"access_token": token, "token_type": "Bearer", "expires_in": life});
        Answer::new(StatusCode::OK, format!("{body}\n"))
    }

    /// Lets a request of the API proper in, or says why not.
    pub(super) fn admit(&mut self, path: &str, headers: &HeaderMap) -> Result<(), Rejection> {
        if self.knobs.require_app_name && !headers.contains_key("x-app-name") {
            return Err(Rejection::bad_request("X-App-Name is missing"));
        }
        let by_key = headers.get("x-apikey").is_some_and(|key| key == self.knobs.key.as_str());
        let compatible = path.starts_with("/api/v3/");
        if !by_key && (compatible || !self.bearer(headers) && !self.basic(headers)) {
            return Err(Rejection {
                status: self.knobs.unauthorized_status,
                body: self.knobs.unauthorized_body.clone(),
                retry_after: None,
            });
        }
        self.count()
    }

    fn bearer(&self, headers: &HeaderMap) -> bool {
        let end = authorization(headers, "Bearer").and_then(|token| self.tokens.get(token));
        end.is_some_and(|end| (self.now)() < *end)
    }

    fn basic(&self, headers: &HeaderMap) -> bool {
        let expected = STANDARD.encode(format!("{}:{}", self.knobs.key, self.knobs.secret));
        authorization(headers, "Basic") == Some(&expected)
    }

    /// Counts a request against the quota. What is rejected does not count.
    fn count(&mut self) -> Result<(), Rejection> {
        let Some(quota) = self.knobs.quota else { return Ok(()) };
        let now = (self.now)();
        while self.counted.front().is_some_and(|at| now - at >= Duration::minutes(1)) {
            self.counted.pop_front();
        }
        if self.counted.len() < quota.per_minute {
            self.counted.push_back(now);
            return Ok(());
        }
        let mut rejection = Rejection::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests");
        if quota.retry_after {
            // With a quota of none at all there is no first request to wait for.
            let free = self.counted.front().map_or(now, |at| *at) + Duration::minutes(1);
            let seconds = (free - now).num_milliseconds().max(0).unsigned_abs().div_ceil(1000);
            rejection.retry_after = Some(seconds);
        }
        Err(rejection)
    }
}

/// What follows the scheme's name, which is the same in any case.
fn authorization<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let (given, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then_some(rest.trim())
}
