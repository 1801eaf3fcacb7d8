//! What the status page and the executable's caller read of an audit.

use serde_json::{Value, json};

use super::sentinel::{address, held};
use crate::{
    protocol::{http, post, serve},
    status_page::page,
};

#[tokio::test(start_paused = true)]
async fn the_page_says_what_an_audit_found_and_how_it_is_repaired() {
    let mut world = held().await;
    // The next pass is due tomorrow.
    world.set("SYNC_CRON", "0 0 12 * * *");
    let audits = page(&world, json!({ "audit": "true" }), "audit-none").await;
    assert_eq!(audits.headline(), "Nothing was audited yet");

    world.audit().await;
    let overview = page(&world, json!({}), "audit-well").await;
    assert!(overview.headline().starts_with("Healthy"), "{}", overview.text());
    assert!(overview.section("lane-sentinel").contains("all 250 as they were sent"), "{}", overview.text());
    let audits = page(&world, json!({ "audit": "true" }), "audit-page-well").await;
    assert_eq!(audits.headline(), "What was sent is there");

    world.delete_by_hand(&address(1));
    world.change_by_hand(&address(2), "confidence", json!(10));
    world.audit().await;
    let overview = page(&world, json!({}), "audit-amiss").await;
    assert_eq!(overview.headline(), "2 indicators are not as they were sent at Microsoft Sentinel");
    assert!(overview.section("now").contains("mati-sync audit --repair"), "{}", overview.text());
    assert!(overview.link("what the audit found").is_some(), "{}", overview.text());
    let audits = page(&world, json!({ "audit": "true" }), "audit-page-amiss").await;
    let text = audits.text();
    assert_eq!(audits.headline(), "Not all that was sent is there");
    assert!(text.contains("1 missing, 1 changed by others (confidence: 1)"), "{text}");
    assert!(text.contains("changed confidence"), "{text}");

    let (_, body) = post(&serve(&world), "Status", http(None, json!({ "audit": "true" }), json!({}))).await;
    let answer = &body["Outputs"]["response"]["body"];
    let answer: Value = answer.as_str().map_or(answer.clone(), |text| serde_json::from_str(text).unwrap());
    assert_eq!(answer["lanes"]["sentinel"]["missing"], 1, "{body}");

    world.repair().await;
    let overview = page(&world, json!({}), "audit-repaired").await;
    assert!(overview.headline().starts_with("Healthy"), "{}", overview.text());
    assert!(overview.section("lane-sentinel").contains("2 repaired"), "{}", overview.text());
}
