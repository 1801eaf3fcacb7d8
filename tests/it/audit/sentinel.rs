//! What an audit of a workspace finds.

use chrono::TimeDelta;
use mati_sync::domain::{
    audit::Wrong,
    findings::{Example, Repair},
    outcome::End,
    shown::Field,
};
use sandbox::{corpus::Record, resource_manager::planted, sentinel::Authorization};
use serde_json::json;
use uuid::Uuid;

use super::{HOUR, numbers};
use crate::harness::world::World;

/// A workspace that holds 250 addresses from one to 250, and has shown them for long.
pub async fn held() -> World {
    let mut world = World::new();
    world.adopts();
    let at = world.ago(TimeDelta::days(2) + TimeDelta::minutes(10));
    world.mandiant.put_all((1..=250).map(|n| Record::ipv4(&address(n)).updated(at).mscore(90)));
    assert_eq!(world.tick().await.totals().created, 250);
    tokio::time::advance(4 * HOUR).await;
    world
}

pub fn address(n: u32) -> String {
    format!("198.51.100.{n}")
}

#[tokio::test(start_paused = true)]
async fn nothing_is_amiss_where_all_is_as_it_was_sent() {
    let world = held().await;
    world.resource_manager.knobs(|knobs| knobs.largest_page = 30);
    let uploads = world.sentinel.requests().len();
    let audit = world.audit().await;
    let findings = &audit.lanes["sentinel"];
    assert_eq!((findings.held, numbers(findings)), (250, ([0; 4], 0)), "{audit:#?}");
    assert!(findings.is_well());
    assert_eq!(world.kept(), Some(audit), "the result is kept");
    assert_eq!(world.sentinel.requests().len(), uploads, "nothing is sent");
    let json = serde_json::to_value(world.kept()).unwrap();
    for field in ["held", "missing", "changed", "unknown", "expired", "repaired"] {
        assert!(json["lanes"]["sentinel"][field].is_u64(), "{field} of {json}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_deleted_by_hand_is_missing_and_named() {
    let world = held().await;
    world.delete_by_hand(&address(7));
    world.delete_by_hand(&address(200));
    let findings = world.audit().await.lanes["sentinel"].clone();
    assert_eq!((findings.held, numbers(&findings)), (250, ([2, 0, 0, 0], 0)), "{findings:#?}");
    let example = Example { id: World::id(&address(7)), wrong: Wrong::Missing, fields: Vec::new() };
    assert!(findings.examples.contains(&example), "{findings:#?}");
    assert!(!findings.is_well() && findings.repair == Repair::No);
}

#[tokio::test(start_paused = true)]
async fn what_a_workspace_need_not_show_yet_is_not_missing_and_what_it_shows_still_is_not_changed() {
    let world = held().await;
    world.resource_manager.knobs(|knobs| knobs.lag = TimeDelta::hours(2));
    // New, changed and retracted an hour ago: the workspace shows what it held before.
    let at = world.ago(TimeDelta::minutes(5));
    world.mandiant.put(Record::ipv4("198.51.101.1").updated(at));
    world.mandiant.put(Record::ipv4(&address(1)).updated(at).mscore(97));
    world.mandiant.put(Record::ipv4(&address(2)).updated(at).mscore(3));
    let counts = world.tick().await.totals();
    assert_eq!((counts.created, counts.updated, counts.retracted), (1, 1, 1));
    tokio::time::advance(HOUR).await;
    let findings = world.audit().await.lanes["sentinel"].clone();
    assert_eq!((findings.held, numbers(&findings)), (250, ([0; 4], 0)), "{findings:#?}");
    // Three hours later it has to.
    world.resource_manager.knobs(|knobs| knobs.lag = TimeDelta::hours(5));
    tokio::time::advance(3 * HOUR).await;
    let findings = world.audit().await.lanes["sentinel"].clone();
    assert_eq!(numbers(&findings), ([1, 1, 1, 0], 0), "{findings:#?}");
}

#[tokio::test(start_paused = true)]
async fn what_others_changed_is_found_by_its_fields() {
    let world = held().await;
    let later = (world.now() + TimeDelta::days(300)).to_rfc3339();
    let sooner = (world.now() + TimeDelta::hours(1)).to_rfc3339();
    for (number, field, content, expected) in [
        (1, "valid_until", json!(later), Field::ValidUntil),
        (2, "valid_until", json!(sooner), Field::ValidUntil),
        (3, "revoked", json!(true), Field::Revoked),
        (4, "confidence", json!(10), Field::Confidence),
        (5, "labels", json!(["reviewed"]), Field::Labels),
        (6, "labels", json!([]), Field::Labels),
        (7, "pattern", json!("[ipv4-addr:value = '192.0.2.99']"), Field::Pattern),
        (8, "pattern", json!("[ipv4-addr:value = '198.51.100.8' AND url:value = 'x']"), Field::Pattern),
        (9, "description", json!("Reviewed. State: inactive; see ticket 4711"), Field::Description),
    ] {
        world.change_by_hand(&address(number), field, content);
        let findings = world.audit().await.lanes["sentinel"].clone();
        assert_eq!(numbers(&findings), ([0, u64::from(number), 0, 0], 0), "{field}: {findings:#?}");
        let id = World::id(&address(number));
        let example = Example { id, wrong: Wrong::Changed, fields: vec![expected] };
        assert!(findings.examples.contains(&example), "{example:?} is not in {findings:#?}");
    }
    let findings = world.audit().await.lanes["sentinel"].clone();
    assert_eq!(findings.fields[&Field::ValidUntil], 2);
    assert_eq!(findings.fields[&Field::Pattern], 2);
}

/// What the API itself does to indicators is nobody's change: it leaves out what is empty, shows no labels, moves times of
/// its own, and cuts descriptions.
#[tokio::test(start_paused = true)]
async fn what_microsoft_rewrites_is_not_changed_by_others() {
    let world = held().await;
    for n in 1..=250 {
        let change = |object: &mut serde_json::Value| {
            let fields = object.as_object_mut().unwrap();
            fields.remove("labels");
            fields.remove("external_references");
            fields["modified"] = json!("2026-03-02T15:00:00Z");
            let description: String = fields["description"].as_str().unwrap().chars().take(60).collect();
            fields["description"] = json!(description);
            let until = fields["valid_until"].as_str().unwrap().replace(".000Z", ".0000000Z");
            fields["valid_until"] = json!(until);
        };
        assert!(world.sentinel.change_by_hand("Mandiant", &World::id(&address(n)), change));
    }
    let findings = world.audit().await.lanes["sentinel"].clone();
    assert_eq!((findings.held, numbers(&findings)), (250, ([0; 4], 0)), "{findings:#?}");
}

#[tokio::test(start_paused = true)]
async fn what_ended_before_its_time_is_expired_whether_ended_ones_are_listed_or_not() {
    for hides_disabled in [false, true] {
        let world = held().await;
        world.resource_manager.knobs(|knobs| knobs.hides_disabled = hides_disabled);
        world.change_by_hand(&address(1), "valid_until", json!(world.now().to_rfc3339()));
        world.change_by_hand(&address(2), "revoked", json!(true));
        let findings = world.audit().await.lanes["sentinel"].clone();
        assert_eq!(numbers(&findings), ([0, 1, 0, 1], 0), "{findings:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_bears_our_source_and_is_not_known_is_unknown_and_others_are_not_ours() {
    let world = held().await;
    world.resource_manager.knobs(|knobs| knobs.ignore_sources = true);
    let until = (world.now() + TimeDelta::days(5)).to_rfc3339();
    let plant = |source: &str, id: &str, pattern: &str, until: &str| {
        world.resource_manager.plant(planted(source, id, pattern, 90, until));
    };
    let theirs = |n: u128| format!("indicator--{}", Uuid::from_u128(n));
    // Under our own id, and under another product's.
    plant("Mandiant", &World::id("203.0.113.1"), "[ipv4-addr:value = '203.0.113.1']", &until);
    plant("Mandiant", &theirs(2), "[ipv4-addr:value = '203.0.113.2']", &until);
    // What has ended, another source's, what we would never send, and a second one for a value that is held.
    plant("Mandiant", &World::id("203.0.113.3"), "[ipv4-addr:value = '203.0.113.3']", "2026-03-01T00:00:00Z");
    plant("Another", &World::id("203.0.113.4"), "[ipv4-addr:value = '203.0.113.4']", &until);
    plant("mandiant", &World::id("203.0.113.5"), "[ipv4-addr:value = '203.0.113.5']", &until);
    plant("Mandiant", &theirs(6), "[email-addr:value = 'a@b.example']", &until);
    plant("Mandiant", &theirs(7), "[ipv4-addr:value = '198.51.100.7']", &until);
    let findings = world.audit().await.lanes["sentinel"].clone();
    assert_eq!((numbers(&findings), findings.left_alone), (([0, 0, 2, 0], 0), 2), "{findings:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_workspace_that_cannot_be_asked_is_told_with_what_to_do() {
    let mut world = held().await;
    world.resource_manager.authorize(|_, _| Authorization::Forbidden);
    let findings = world.audit().await.lanes["sentinel"].clone();
    let error = findings.error.clone().unwrap();
    assert!(error.contains("Microsoft Sentinel Reader") && !findings.is_well(), "{error}");
    let report = world.repair().await;
    assert_eq!(report.end, End::CaughtUp, "the lane itself goes on: {report:#?}");
    assert!(report.message.contains("Microsoft Sentinel Reader"), "{}", report.message);

    for name in ["AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP_NAME", "AZURE_WORKSPACE_NAME"] {
        world.set(name, "");
    }
    let findings = world.audit().await.lanes["sentinel"].clone();
    let error = findings.error.clone().unwrap();
    assert!(error.contains("set AZURE_SUBSCRIPTION_ID") && !findings.is_well(), "{error}");
    let report = world.repair().await;
    assert!(report.message.contains("set AZURE_SUBSCRIPTION_ID"), "{}", report.message);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_cannot_be_gone_on_with_is_read_again_and_given_up_in_the_end() {
    let world = held().await;
    world.delete_by_hand(&address(3));
    world.resource_manager.knobs(|knobs| (knobs.largest_page, knobs.token_pages) = (20, Some(2)));
    let error = world.audit().await.lanes["sentinel"].error.clone().unwrap();
    assert!(error.contains("does not go on with the list of indicators"), "{error}");
    world.resource_manager.knobs(|knobs| knobs.token_pages = None);
    assert_eq!(numbers(&world.audit().await.lanes["sentinel"]), ([1, 0, 0, 0], 0));
}
