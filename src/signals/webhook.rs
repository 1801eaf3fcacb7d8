//! The webhook: one JSON message for each change. Its address is a secret as a whole, the host's name included: nothing of
//! it reaches a message of ours.

use std::time::Duration;

use axum::{
    body::Bytes,
    http::{HeaderValue, Request, header},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::Trouble;
use crate::{
    azure::key_vault::KeyVault,
    domain::condition::Notice,
    http::{error::HttpError, transport::Transport},
};

const SETTING: &str = "WEBHOOK_URL";
const ANSWER_BYTES: usize = 64 * 1024;
/// Where the workflows of Teams listen. They take cards alone.
const WORKFLOWS: [&str; 4] =
    [".logic.azure.com", ".logic.azure.us", ".api.powerplatform.com", ".api.powerplatform.us"];

/// Whoever is told of changes.
pub struct Webhook {
    /// The address, if the settings have it.
    given: Option<SecretString>,
    /// Where it may be otherwise, and under which name.
    vault: Option<(KeyVault, &'static str)>,
    /// Whether a text from the vault is an address that can be used.
    is_address: fn(&str) -> bool,
    transport: Transport,
    pub trouble: Trouble,
}

impl Webhook {
    /// `None` where neither the settings nor a key vault can have the address.
    pub fn new(
        given: Option<SecretString>,
        vault: Option<(KeyVault, &'static str)>,
        is_address: fn(&str) -> bool,
        transport: Transport,
    ) -> Option<Self> {
        let is_possible = given.is_some() || vault.is_some();
        is_possible.then(|| Self { given, vault, is_address, transport, trouble: Trouble::default() })
    }

    /// Whether the settings have the address themselves.
    pub fn is_given(&self) -> bool {
        self.given.is_some()
    }

    /// The address; `None` if there is none. The key vault is asked only when there is something to tell, so that an app
    /// without a webhook makes no request for one.
    ///
    /// # Errors
    /// The key vault cannot be read, or holds something else.
    pub async fn address(&self) -> Result<Option<SecretString>, String> {
        let (None, Some((vault, name))) = (&self.given, &self.vault) else { return Ok(self.given.clone()) };
        let read = vault.read(name, SETTING).await.map_err(|error| error.to_string())?;
        match &read {
            Some(address) if !(self.is_address)(address.expose_secret()) => Err(format!(
                "the key vault's secret {name} is no address that can be used; accepted: an https:// URL"
            )),
            _ => Ok(read),
        }
    }

    /// Sends one message to `address`.
    ///
    /// # Errors
    /// Why it did not arrive, without a word of the address.
    pub async fn send(&self, address: &SecretString, notice: &Notice, limit: Duration) -> Result<(), String> {
        let address = address.expose_secret();
        let body = body(notice, address).to_string();
        let mut request = Request::post(address)
            .body(Bytes::from(body))
            .map_err(|_| format!("{SETTING} is no address that HTTP can use"))?;
        let host = request.uri().host().unwrap_or_default().to_owned();
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answer = self.transport.fetch(request, limit, ANSWER_BYTES).await;
        let answer = answer.map_err(|error| unanswered(&error, &host))?;
        let status = answer.status.as_u16();
        if answer.status.is_success() {
            return Ok(());
        }
        // The body may repeat the address, so it is not quoted.
        let advice = match status {
            300..=399 => "its address leads elsewhere",
            401 | 403 | 404 | 410 => "the address is no longer valid",
            429 => "it gets too many messages",
            _ => "look at its own log",
        };
        Err(format!("the webhook answered {status}: {advice}"))
    }
}

/// Why nobody answered. The words of the libraries below may name the host.
fn unanswered(error: &HttpError, host: &str) -> String {
    let told = match error {
        HttpError::Connect { reason, .. } => format!("the webhook cannot be reached: {reason}"),
        HttpError::Unanswered { reason, .. } | HttpError::Interrupted { reason, .. } => {
            format!("the webhook did not answer: {reason}")
        }
        HttpError::Timeout { .. } => "the webhook did not answer in time".to_owned(),
        HttpError::TooLarge { .. } => "the webhook gave an answer that is too long".to_owned(),
    };
    if host.is_empty() { told } else { told.replace(host, "…") }
}

/// The message, with a card where a workflow of Teams is to post it: their templates know nothing else (learn.microsoft.com,
/// "Create and send messages", and the schema of adaptive cards).
fn body(notice: &Notice, address: &str) -> Value {
    let mut body = json!(notice);
    let host = address.split("://").nth(1).unwrap_or_default();
    let host = host.split(['/', '?', ':']).next().unwrap_or_default().to_ascii_lowercase();
    if WORKFLOWS.iter().any(|suffix| host.ends_with(suffix)) {
        body["type"] = "message".into();
        body["attachments"] = json!([{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": [{ "type": "TextBlock", "text": notice.text, "wrap": true }],
            },
        }]);
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workflow_of_teams_gets_a_card_and_others_the_plain_message() {
        let notice = Notice {
            text: "mati-sync: sentinel is stalled".to_owned(),
            lane: "sentinel".to_owned(),
            state: "stalled",
            since: "2026-03-02T12:23:00Z".parse().unwrap(),
        };
        let plain = json!({
            "text": "mati-sync: sentinel is stalled", "lane": "sentinel", "state": "stalled",
            "since": "2026-03-02T12:23:00Z",
        });
        for other in ["https://hooks.slack.com/services/T/B/x", "https://logic.azure.com.example.org/x"] {
            assert_eq!(body(&notice, other), plain, "{other}");
        }
        for workflow in [
            "https://prod-12.westeurope.logic.azure.com:443/workflows/1/triggers/manual/paths/invoke?sig=x",
            "https://default1.23.environment.API.powerplatform.com/powerautomate/x",
        ] {
            let body = body(&notice, workflow);
            assert_eq!(body["attachments"][0]["content"]["body"][0]["text"], plain["text"], "{workflow}");
            assert_eq!((&body["text"], &body["type"]), (&plain["text"], &json!("message")));
        }
    }
}
