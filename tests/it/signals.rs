//! What others are told of passes: a webhook of changes, a collector of metrics.

mod metrics;

use std::time::Duration;

use chrono::TimeDelta;
use mati_sync::{
    domain::{outcome::End, request::RunOptions},
    pass::Work,
};
use sandbox::{corpus::Record, net::Fault, receiver::Receiver};
use serde_json::{Value, json};

use crate::harness::{vault::with_key_vault, world::World};

const HOST: &str = "hooks.secret-host.example";
const URL: &str = "https://hooks.secret-host.example/services/T000/secret-path?sig=secret-signature";

/// A world with a webhook.
fn world() -> (World, Receiver) {
    let mut world = World::new();
    let receiver = Receiver::new();
    world.net.host(HOST, receiver.router());
    world.set("WEBHOOK_URL", URL);
    (world, receiver)
}

/// What the webhook was told, message by message.
fn told(receiver: &Receiver) -> Vec<Value> {
    let received = receiver.received().into_iter();
    received.map(|request| serde_json::from_slice(&request.body).expect("JSON")).collect()
}

fn states(receiver: &Receiver) -> Vec<String> {
    told(receiver).iter().map(|message| message["state"].as_str().unwrap().to_owned()).collect()
}

/// Mandiant rejects the key, or takes it again.
fn reject_key(world: &World, rejects: bool) {
    world.mandiant.set(|knobs| knobs.key = if rejects { "another".into() } else { "sandbox-key".into() });
    world.mandiant.revoke_tokens();
}

async fn hour() {
    tokio::time::sleep(Duration::from_secs(3600)).await;
}

#[tokio::test(start_paused = true)]
async fn each_change_is_told_once_and_over_restarts() {
    let (world, receiver) = world();
    world.tick().await;
    assert!(told(&receiver).is_empty(), "all is well from the start");
    reject_key(&world, true);
    hour().await;
    let stalled = world.tick().await;
    hour().await;
    world.tick().await;
    let messages = told(&receiver);
    let [message] = &*messages else { panic!("{messages:?}") };
    assert_eq!(message.as_object().unwrap().len(), 4, "{message}");
    assert_eq!((&message["lane"], &message["state"]), (&json!("sentinel"), &json!("stalled")));
    assert_eq!(message["since"], json!(stalled.started_at));
    let text = message["text"].as_str().unwrap();
    assert!(text.contains("sentinel is stalled") && text.contains("Mandiant rejected the API key"), "{text}");
    let request = &receiver.received()[0];
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("POST", "/services/T000/secret-path?sig=secret-signature")
    );
    assert_eq!(request.headers["content-type"], "application/json");
    reject_key(&world, false);
    hour().await;
    world.tick().await;
    hour().await;
    world.tick().await;
    assert_eq!(states(&receiver), ["stalled", "healed"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_arrive_is_sent_with_the_next_pass() {
    let (world, receiver) = world();
    receiver.answer_with([500, 404]);
    reject_key(&world, true);
    for _ in 0..4 {
        assert_eq!(world.tick().await.end, End::Stalled);
        hour().await;
    }
    assert_eq!(states(&receiver), ["stalled", "stalled", "stalled"], "until it arrived, and then no more");
    let first = &told(&receiver)[0];
    assert!(told(&receiver).iter().all(|message| message["since"] == first["since"]));
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_is_down_or_hangs_fails_no_pass() {
    for fault in [Fault::Hang, Fault::Refuse, Fault::status(502)] {
        let (world, receiver) = world();
        reject_key(&world, true);
        world.net.on_request(move |exchange| (exchange.authority == HOST).then(|| fault.clone()));
        let report = world.tick().await;
        assert!(report.message.contains("Mandiant rejected the API key"), "{report:?}");
        assert!(told(&receiver).is_empty());
    }
    // Nor one for which no time is left.
    let (world, _receiver) = world();
    world.net.on_request(|exchange| (exchange.authority == HOST).then_some(Fault::Hang));
    world.mandiant.set(|knobs| knobs.page_delay = Duration::from_secs(20));
    world.mandiant.put_all((0..3000).map(|n| {
        Record::ipv4(&format!("198.51.{}.{}", n / 200, n % 200 + 1)).updated(world.ago(TimeDelta::hours(3)))
    }));
    let ended = world.run(Work::Timer, Duration::from_secs(60)).await;
    assert!(ended.continuation.is_some(), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_confirmation_is_told_and_what_heals_it() {
    let (mut world, receiver) = world();
    world.mandiant.put_all((0..300).map(|n| {
        Record::ipv4(&format!("198.51.{}.{}", n / 200, n % 200 + 1)).updated(world.ago(TimeDelta::hours(3)))
    }));
    world.tick().await;
    // Everything that is held is no longer wanted.
    world.set("MINIMUM_CONFIDENCE", "100");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let report = world.tick().await;
    assert!(report.message.contains("confirm"), "{report:?}");
    assert_eq!(states(&receiver), ["waiting"]);
    assert!(told(&receiver)[0]["text"].as_str().unwrap().contains("waits for a confirmation"));
    world.command(RunOptions { confirm_retraction: true, ..RunOptions::default() }).await;
    hour().await;
    world.tick().await;
    assert_eq!(states(&receiver), ["waiting", "healed"]);
}

#[tokio::test(start_paused = true)]
async fn a_rehearsal_tells_nobody() {
    let (world, receiver) = world();
    reject_key(&world, true);
    world.command(RunOptions { dry_run: true, ..RunOptions::default() }).await;
    assert!(told(&receiver).is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_address_may_come_from_the_key_vault_and_is_asked_for_only_when_something_changed() {
    let (mut world, receiver) = world();
    let vault = with_key_vault(&mut world);
    world.set("WEBHOOK_URL", "");
    vault.set("webhook-url", &format!("{URL}\n"));
    world.tick().await;
    assert_eq!(vault.reads("webhook-url"), 0);
    world.mandiant.set(|knobs| knobs.key = "another".into());
    world.mandiant.revoke_tokens();
    hour().await;
    world.tick().await;
    assert_eq!(states(&receiver), ["stalled"]);
    assert_eq!(vault.reads("webhook-url"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_vault_without_a_webhook_changes_nothing() {
    let mut world = World::new();
    with_key_vault(&mut world);
    world.tick().await;
    world.mandiant.set(|knobs| knobs.key = "another".into());
    world.mandiant.revoke_tokens();
    hour().await;
    let report = world.tick().await;
    assert_eq!(report.end, End::Stalled);
}

#[test]
fn an_address_that_cannot_be_used_is_a_fault_that_shows_nothing_of_it() {
    let mut world = World::new();
    for wrong in ["http://hooks.secret-host.example/x", "secret-host", "ftp://secret-host/x"] {
        world.set("WEBHOOK_URL", wrong);
        let faults = mati_sync::settings::Settings::parse(world.vars()).expect_err("a fault").to_string();
        assert!(faults.contains("WEBHOOK_URL") && faults.contains("accepted: an https:// URL"), "{faults}");
        assert!(!faults.contains("secret-host"), "{faults}");
    }
    world.set("WEBHOOK_URL", "http://127.0.0.1:8080/x");
    world.settings();
}

#[tokio::test]
async fn nothing_of_the_address_is_said_when_it_fails_on_a_real_socket() {
    use mati_sync::{domain::condition::Notice, http::transport::Transport, signals::webhook::Webhook};
    let notice =
        Notice { text: String::new(), lane: String::new(), state: "stalled", since: chrono::Utc::now() };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for address in [
        format!("http://127.0.0.1:{port}/secret-path?sig=secret"),
        format!("https://127.0.0.1:{port}/secret-path?sig=secret"),
        "https://secret-host.invalid/secret-path?sig=secret".to_owned(),
    ] {
        let webhook = Webhook::new(Some(address.clone().into()), None, |_| true, Transport::network());
        let problem =
            webhook.unwrap().send(&address.into(), &notice, Duration::from_secs(5)).await.unwrap_err();
        assert!(problem.starts_with("the webhook "), "{problem}");
        assert!(!problem.contains("secret") && !problem.contains("127.0.0.1"), "{problem}");
    }
}
