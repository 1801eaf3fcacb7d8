//! What an audit finds in a tenant of Defender for Endpoint, and what it leaves alone.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use mati_sync::domain::shown::Field;
use sandbox::corpus::Record;
use serde_json::{Value, json};

use super::{HOUR, numbers, of};
use crate::harness::world::World;

fn address(n: u32) -> String {
    format!("198.51.100.{n}")
}

async fn held() -> World {
    let mut world = World::new();
    world.set("TARGET_APPLICATION", "defender").set("DEFAULT_ACTION", "block");
    let at = world.ago(TimeDelta::days(2));
    world.mandiant.put_all((1..=100).map(|n| Record::ipv4(&address(n)).updated(at)));
    let digest = "a".repeat(64);
    world.mandiant.put(Record::file(None, None, Some(&digest)).updated(at));
    assert_eq!(world.tick().await.totals().created, 101);
    tokio::time::advance(4 * HOUR).await;
    world
}

/// What the tenant holds, by value.
fn stored(world: &World) -> BTreeMap<String, (u64, Value)> {
    let all = world.defender.stored().into_iter();
    all.map(|(id, held)| (held["indicatorValue"].as_str().unwrap().to_owned(), (id, held))).collect()
}

fn change(world: &World, value: &str, field: &str, content: Value) {
    let (_, mut held) = stored(world)[value].clone();
    held[field] = content;
    held["lastUpdatedBy"] = "somebody@example.com".into();
    world.defender.put(held);
}

#[tokio::test(start_paused = true)]
async fn what_was_deleted_or_changed_by_hand_is_found_and_brought_back() {
    let world = held().await;
    assert!(world.audit().await.lanes["defender"].is_well());
    let theirs = json!({
        "indicatorValue": "203.0.113.9", "indicatorType": "IpAddress", "action": "Allowed",
        "title": "theirs", "description": "theirs", "application": "another", "generateAlert": false,
    });
    world.defender.put(theirs);
    let (before, other) = (stored(&world), stored(&world)["203.0.113.9"].clone());
    assert!(world.defender.remove(before[&address(1)].0));
    change(&world, &address(2), "action", "Allowed".into());
    change(&world, &address(3), "action", "Audit".into());
    change(&world, &address(4), "generateAlert", false.into());
    change(&world, &address(5), "severity", "Informational".into());
    change(&world, &address(6), "expirationTime", Value::Null);
    let ends = (world.now() + TimeDelta::hours(2)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    change(&world, &address(7), "expirationTime", ends.into());
    let findings = world.audit().await.lanes["defender"].clone();
    assert_eq!((findings.held, numbers(&findings)), (101, ([1, 6, 0, 0], 0)), "{findings:#?}");
    let fields = &findings.fields;
    assert_eq!(
        [fields[&Field::Action], fields[&Field::GenerateAlert], fields[&Field::ValidUntil]],
        [2, 1, 2]
    );
    assert_eq!(fields[&Field::Edited], 6, "the tenant says so of each");

    let report = world.repair().await;
    let findings = of(&report, "defender");
    assert_eq!(findings.repaired, 7, "{report:#?}");
    assert!(findings.is_well(), "{report:#?}");
    let after = stored(&world);
    for n in 1..=7 {
        for field in ["action", "severity", "generateAlert", "title", "externalId"] {
            assert_eq!(after[&address(n)].1[field], before[&address(n)].1[field], "{field} of {n}");
        }
        assert!(after[&address(n)].1["expirationTime"].is_string());
    }
    assert_eq!(after["203.0.113.9"], other, "another application's is not touched");
    assert_eq!(numbers(&world.audit().await.lanes["defender"]), ([0; 4], 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_ours_and_unknown_is_adopted_and_retracted_where_it_is_unwanted() {
    let world = held().await;
    for (value, id) in [("203.0.113.1", "ipv4--a"), ("203.0.113.2", "ipv4--b")] {
        world.defender.put(json!({
            "indicatorValue": value, "indicatorType": "IpAddress", "action": "Block", "title": "t",
            "description": "d", "application": "mati-sync", "generateAlert": true,
            "externalId": World::id(value), "expirationTime": "2026-03-09T00:00:00Z",
            "recommendedActions": format!("https://advantage.mandiant.com/indicator/{id}"),
        }));
    }
    world.mandiant.put(Record::ipv4("203.0.113.2").updated(world.ago(TimeDelta::days(9))).mscore(3));
    assert_eq!(numbers(&world.audit().await.lanes["defender"]), ([0, 0, 2, 0], 0));
    let report = world.repair().await;
    assert_eq!(numbers(&of(&report, "defender")), ([0, 0, 2, 0], 2), "{report:#?}");
    assert_eq!(report.totals().retracted, 1, "{report:#?}");
    assert!(!stored(&world).contains_key("203.0.113.2"));
}

/// After a change of settings what was sent before has another action, which nobody changed.
#[tokio::test(start_paused = true)]
async fn another_action_in_the_settings_is_nobodys_change() {
    let mut world = held().await;
    // Only what the refresh meets is sent anew: this one is listed no longer.
    world.mandiant.remove(Record::ipv4(&address(1)).key());
    world.set("DEFAULT_ACTION", "alert");
    world.tick().await;
    assert_eq!(stored(&world)[&address(1)].1["action"], "Block");
    assert_eq!(stored(&world)[&address(2)].1["action"], "Audit");
    let findings = world.audit().await.lanes["defender"].clone();
    assert_eq!(numbers(&findings), ([0; 4], 0), "{findings:#?}");
    change(&world, &address(2), "action", "Block".into());
    assert_eq!(numbers(&world.audit().await.lanes["defender"]), ([0, 1, 0, 0], 0));
}

/// A pass notes by itself what is gone as soon as it has something to send, and would send it again with the next refresh.
#[tokio::test(start_paused = true)]
async fn what_a_pass_found_to_be_gone_is_missing_until_it_is_sent_again() {
    let world = held().await;
    assert!(world.defender.remove(stored(&world)[&address(1)].0));
    world.mandiant.put(Record::ipv4("203.0.113.1").updated(world.ago(TimeDelta::minutes(5))));
    assert_eq!(world.tick().await.totals().created, 1);
    let findings = world.audit().await.lanes["defender"].clone();
    assert_eq!((findings.held, numbers(&findings)), (101, ([1, 0, 0, 0], 0)), "{findings:#?}");
    let report = world.repair().await;
    assert_eq!(numbers(&of(&report, "defender")), ([1, 0, 0, 0], 1), "{report:#?}");
    assert_eq!(stored(&world).len(), 102);
}

/// What made way for better ones is not missing, and what found no room is not either.
#[tokio::test(start_paused = true)]
async fn what_made_way_is_not_missing() {
    let mut world = World::new();
    world.set("TARGET_APPLICATION", "defender").set("DEFENDER_INDICATOR_LIMIT", "50");
    let at = world.ago(TimeDelta::days(2));
    world.mandiant.put_all((1..=60).map(|n| Record::ipv4(&address(n)).updated(at).threat_score(Some(85))));
    world.tick().await;
    tokio::time::advance(4 * HOUR).await;
    let at = world.ago(TimeDelta::minutes(5));
    world.mandiant.put_all((61..=70).map(|n| Record::ipv4(&address(n)).updated(at).threat_score(Some(99))));
    assert_eq!(world.tick().await.totals().displaced, 10);
    let findings = world.audit().await.lanes["defender"].clone();
    assert_eq!((findings.held, numbers(&findings)), (50, ([0; 4], 0)), "{findings:#?}");
}
