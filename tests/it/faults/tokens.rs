//! Entra ID, the platform's identity and Key Vault answer, and the answer is no token or no secret.

use axum::http::{HeaderMap, StatusCode, header};
use sandbox::net::{Exchange, Fault};
use serde_json::{Value, json};

use super::{Outage, at, fill, recovers, stalls};
use crate::harness::{
    vault::{PLATFORM, PLATFORM_TOKEN, VAULT, with_key_vault},
    world::{CLIENT_SECRET, World},
};

const ENTRA: &str = "login.microsoftonline.com";

fn answer(status: u16, headers: &[(header::HeaderName, &str)], body: impl ToString) -> Fault {
    let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().expect("a value")));
    let status = StatusCode::from_u16(status).expect("a status");
    Fault::AnswerBefore(status, HeaderMap::from_iter(headers), body.to_string().into())
}

fn of(authority: &'static str) -> impl Fn(&Exchange) -> bool {
    move |exchange| exchange.authority == authority
}

/// Vault requests behind the challenge, which carry a token.
fn reads_secret(exchange: &Exchange) -> bool {
    exchange.authority == VAULT && exchange.headers.contains_key(header::AUTHORIZATION)
}

fn with_vault() -> World {
    let mut world = World::new();
    with_key_vault(&mut world);
    world
}

/// Successes by their status alone, and what of each the operator must see.
const NO_ANSWERS: [(&str, &str); 6] = [
    (r#"{"error":"temporarily_unavailable","error_description":"AADSTS90033: try later"}"#, "AADSTS90033"),
    (r#"{"error":{"code":"InternalServerError","message":"try later"}}"#, "InternalServerError: try later"),
    (r#"{"message":"timed out"}"#, "timed out"),
    (r#"{"access_token":"","value":null,"expires_in":3599}"#, "in it"),
    ("<html>hush-hush</html>", "no object of JSON"),
    ("", "no object of JSON"),
];

#[tokio::test(start_paused = true)]
async fn a_200_without_a_token_or_a_secret_is_asked_again_and_blames_no_setting_and_no_role() {
    for (authority, name) in [(ENTRA, "Entra ID"), (PLATFORM, "identity endpoint"), (VAULT, "Key Vault")] {
        for (body, told) in NO_ANSWERS {
            let world = with_vault();
            fill(&world, 100);
            let interest = move |exchange: &Exchange| {
                if authority == VAULT { reads_secret(exchange) } else { exchange.authority == authority }
            };
            let outage = Outage::begin(&world, at(|_| true, interest, answer(200, &[], body)));
            let report = stalls(&world, &[told, name]).await;
            for word in [
                "check AZURE_TENANT_ID",
                "Key Vault Secrets User",
                "has no secret",
                "system-assigned",
                "hush",
            ] {
                assert!(!report.message.contains(word), "{authority} {body}: {}", report.message);
            }
            outage.mend();
            Outage::begin(&world, at(|number| number == 0, interest, answer(200, &[], body)));
            recovers(&world).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn redirects_and_pages_of_a_proxy_are_told_from_a_rejection() {
    let to = [(header::LOCATION, "https://login.example/sso?x=hush")];
    let html = [(header::CONTENT_TYPE, "text/html")];
    for (authority, setting) in
        [(ENTRA, "AZURE_AUTHORITY_HOST"), (PLATFORM, "IDENTITY_ENDPOINT"), (VAULT, "KEY_VAULT_URL")]
    {
        for (fault, words) in [
            (answer(302, &to, ""), ["https://login.example/sso", setting]),
            (answer(403, &html, "<title>Access denied</title>"), ["between here and", setting]),
            (answer(407, &[], ""), ["between here and", setting]),
        ] {
            let world = with_vault();
            fill(&world, 100);
            let outage = Outage::begin(&world, at(|_| true, of(authority), fault));
            let report = stalls(&world, &words).await;
            for word in ["AZURE_TENANT_ID", "Key Vault Secrets User", "system-assigned", "hush"] {
                assert!(!report.message.contains(word), "{authority}: {}", report.message);
            }
            outage.mend();
            recovers(&world).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_identity_s_token_is_read_in_every_form() {
    let world = with_vault();
    for end in [
        json!("1999999999"),
        json!(1_999_999_999),
        json!("2033-05-18T03:33:19Z"),
        json!("05/18/2033 03:33:19 AM +00:00"),
        Value::Null,
    ] {
        fill(&world, 10);
        let body = json!({"access_token": PLATFORM_TOKEN, "expires_on": end, "resource": "x", "token_type": "Bearer"});
        let outage = Outage::begin(&world, at(|_| true, of(PLATFORM), answer(200, &[], body)));
        recovers(&world).await;
        outage.mend();
    }
}

#[tokio::test(start_paused = true)]
async fn the_line_break_behind_a_secret_that_was_set_from_a_file_is_no_part_of_it() {
    let mut world = World::new();
    let vault = with_key_vault(&mut world);
    for (name, value) in [
        ("mati-key", "sandbox-key"),
        ("mati-secret", "sandbox-secret"),
        ("azure-client-secret", CLIENT_SECRET),
    ] {
        vault.set(name, &format!("\u{feff}{value}\r\n"));
    }
    fill(&world, 100);
    recovers(&world).await;
}
