//! What must never be sent: lists of the user's own, read in full or nothing is sent; what is held and becomes excluded.

mod lists;
mod naive;

use std::time::Duration;

use chrono::TimeDelta;
use mati_sync::domain::{outcome::End, report::Report, request::RunOptions};
use sandbox::corpus::Record;
use serde_json::json;

use crate::harness::world::World;

const HOUR: Duration = Duration::from_secs(3600);

/// Writes a list of the user's.
fn list(world: &World, name: &str, text: &str) {
    let path = world.state.path().join("exclusions").join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Of every type one that is excluded by `own.txt` of [`own`] and one that is not.
fn fill(world: &World) {
    let at = world.ago(TimeDelta::hours(3));
    let digest = |digit: &str, length| digit.repeat(length);
    world.mandiant.put_all([
        Record::ipv4("198.51.100.7").updated(at),
        Record::ipv4("198.51.100.130").updated(at),
        Record::ipv6("2001:4860:4860::8888").updated(at),
        Record::ipv6("2001:4860:4861::8888").updated(at),
        Record::fqdn("Mail.Own.example").updated(at),
        Record::fqdn("notown.example").updated(at),
        Record::url("https://www.own.example:8443/a?b").updated(at),
        Record::url("https://shared.example/ours/x").updated(at),
        Record::url("https://shared.example/theirs").updated(at),
        Record::url("http://198.51.100.9/x").updated(at),
        Record::file(Some(&digest("a", 32)), Some(&digest("a", 40)), Some(&digest("a", 64))).updated(at),
        Record::file(Some(&digest("b", 32)), Some(&digest("b", 40)), Some(&digest("b", 64))).updated(at),
    ]);
}

/// Excludes seven of [`fill`].
fn own(world: &World) {
    let digest = "A".repeat(40);
    list(
        world,
        "own.txt",
        &format!(
            "\u{feff}# ours\r\n198.51.100.0/25\r\n2001:4860:4860::/48 # a range\r\nOWN.example\r\nshared.example/ours\r\n{digest}\r\n"
        ),
    );
}

const KEPT: [&str; 5] = [
    "198.51.100.130",
    "2001:4860:4861::8888",
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
    "https://shared.example/theirs",
    "notown.example",
];

/// What the tenant of Defender holds of ours.
fn at_defender(world: &World) -> Vec<String> {
    let ours = world.defender.stored().into_values().filter(|held| held["application"] == "mati-sync");
    let mut values: Vec<String> =
        ours.map(|held| held["indicatorValue"].as_str().expect("a value").to_owned()).collect();
    values.sort();
    values
}

async fn hours(world: &World, count: u32) -> Vec<Report> {
    let mut reports = Vec::new();
    for _ in 0..count {
        tokio::time::advance(HOUR).await;
        reports.push(world.tick().await);
    }
    reports
}

#[tokio::test(start_paused = true)]
async fn what_a_list_excludes_is_dropped_and_counted_by_list() {
    let mut world = World::new();
    fill(&world);
    own(&world);
    world.set("EXCLUDE", "198.51.100.130, *.example.org");
    list(&world, "team/second.txt", "# nothing that is not listed already\nown.example\n");
    let report = world.tick().await;
    let lane = &report.lanes["sentinel"];
    assert_eq!(
        (report.end, lane.counts.created, lane.counts.dropped.excluded),
        (End::CaughtUp, 4, 8),
        "{report:#?}"
    );
    assert_eq!(json!(lane.excluded_by), json!({"EXCLUDE": 1, "own.txt": 7}));
    assert_eq!(world.held(), KEPT[1..]);
    assert_eq!(world.tick().await.totals().created, 0, "a second pass sends nothing");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_cannot_be_read_ends_every_lane_and_nothing_is_sent() {
    for (name, text, line) in [
        ("own.txt", "own.example\n\nnot a name\n", 3),
        ("own.txt", "203.0.113.0/33\n", 1),
        ("own.txt", "203.0.113.9-203.0.113.1\n", 1),
        ("own.txt", "a*b.example\n", 1),
        ("own.txt", ".own.example\n", 1),
        ("own.txt", "hxxp://own.example/\n", 1),
        (
            "deep/er/list.json",
            "{\"type\": \"cidr\",\n\"list\": [\n\"203.0.113.0/24\",\n\"203.0.113.0/99\"]}",
            4,
        ),
        ("list.json", "{\"type\": \"string\",\n \"list\": [\"a\", 7]}", 2),
        ("list.json", "{\"type\": \"fuzzy\", \"list\": []}", 1),
        ("list.json", "{\"type\": \"regex\", \"list\": [\n\"/(?=a)b/\"]}", 2),
        ("list.json", "{\"type\": \"string\", \"list\": [\"a\"", 1),
        ("list.json", "{\"name\": \"x\"}", 1),
    ] {
        let mut world = World::new();
        world.set("TARGET_APPLICATION", "sentinel,defender");
        fill(&world);
        list(&world, name, text);
        for dry_run in [false, true] {
            let report = world.command(RunOptions { dry_run, ..RunOptions::default() }).await;
            assert_eq!((report.end, report.lanes.len()), (End::Failed, 2), "{report:#?}");
            for lane in report.lanes.values() {
                let message = lane.message.as_deref().unwrap_or_default();
                assert!(message.contains(&format!("exclusions/{name}, line {line}: ")), "{message}");
                assert_eq!((lane.end, lane.counts.read), (End::Failed, 0));
            }
        }
        assert!(world.held().is_empty() && at_defender(&world).is_empty(), "{text}");
        // Mended, the pass goes on as if nothing had been.
        list(&world, name, "# nothing\n");
        assert_eq!(world.tick().await.end, End::CaughtUp);
        assert_eq!(world.held().len(), 12);
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_text_are_no_list() {
    let world = World::new();
    std::fs::create_dir_all(world.state.path().join("exclusions")).unwrap();
    std::fs::write(world.state.path().join("exclusions/own.txt"), b"own.example\n\xff\xfeo\0w\0n").unwrap();
    let report = world.tick().await;
    assert!(report.message.contains("exclusions/own.txt, line 2: not UTF-8"), "{}", report.message);
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn a_list_behind_a_link_counts() {
    let world = World::new();
    fill(&world);
    let elsewhere = crate::harness::world::memory();
    std::fs::write(elsewhere.path().join("real.txt"), "own.example").unwrap();
    std::fs::create_dir_all(world.state.path().join("exclusions")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), world.state.path().join("exclusions/linked")).unwrap();
    let report = world.tick().await;
    assert_eq!(json!(report.lanes["sentinel"].excluded_by), json!({"linked/real.txt": 2}));
}

#[tokio::test(start_paused = true)]
async fn lists_are_read_from_a_container_as_well() {
    let (world, blobs) = World::with_blobs();
    fill(&world);
    world.tick().await;
    blobs.put("mandiant-threat-intel", "exclusions/own/names.txt", b"own.example\n198.51.100.7");
    let reports = hours(&world, 2).await;
    assert!(reports.iter().all(|report| report.end == End::CaughtUp), "{reports:#?}");
    assert!(
        !world.held().iter().any(|value| value.contains("own.example") && value != "notown.example"),
        "{:?}",
        world.held()
    );
    assert!(!world.held().contains(&"198.51.100.7".to_owned()));
}

/// Sentinel cannot be asked what it holds: exact values go at once, the rest when it is read again.
#[tokio::test(start_paused = true)]
async fn what_is_held_at_sentinel_and_becomes_excluded_is_retracted() {
    let world = World::new();
    fill(&world);
    world.tick().await;
    assert_eq!(world.held().len(), 12);
    own(&world);
    tokio::time::advance(HOUR).await;
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().retracted), (End::CaughtUp, 7), "{report:#?}");
    assert_eq!(world.held(), KEPT);
    // What is excluded no longer comes back, by the refresh that this starts.
    list(&world, "own.txt", "own.example");
    let reports = hours(&world, 2).await;
    assert_eq!(reports[0].totals().created, 5, "{reports:#?}");
    assert_eq!(world.held().len(), 10);
}

/// An exact value is found by its key: no source is read again for it.
#[tokio::test(start_paused = true)]
async fn exact_values_are_retracted_at_the_next_pass_without_a_refresh() {
    let world = World::new();
    fill(&world);
    world.tick().await;
    let warning_list = json!({"name": "ours", "type": "string", "matching_attributes": ["ip-dst", "domain", "url", "sha256"],
        "list": ["198.51.100.7", "MAIL.own.example", "http://198.51.100.9/x", "b".repeat(64), "no value of ours"]});
    list(&world, "ours.json", &warning_list.to_string());
    tokio::time::advance(HOUR).await;
    let report = world.tick().await;
    let counts = report.totals();
    assert_eq!((report.end, counts.retracted, counts.read), (End::CaughtUp, 4, 4), "{report:#?}");
    assert_eq!(world.held().len(), 8);
    // The same content in other words is no change.
    list(&world, "ours.json", "");
    list(&world, "moved.json", &warning_list.to_string().replace("MAIL", "mail"));
    let again = hours(&world, 1).await;
    assert_eq!(again[0].totals().read, 0, "{again:#?}");
}

/// The workspace says itself what it holds.
#[tokio::test(start_paused = true)]
async fn the_workspace_is_asked_for_what_a_range_covers() {
    let mut world = World::new();
    world.adopts();
    fill(&world);
    world.tick().await;
    list(&world, "own.txt", "own.example\n198.51.100.0/25\n");
    tokio::time::advance(HOUR).await;
    let report = world.tick().await;
    let counts = report.totals();
    assert_eq!((report.end, counts.retracted, counts.read), (End::CaughtUp, 4, 4), "{report:#?}");
    assert_eq!(world.held().len(), 8);
    assert_eq!(world.tick().await.totals().read, 0);
}

#[tokio::test(start_paused = true)]
async fn what_becomes_excluded_at_sentinel_is_withheld_beyond_the_limit() {
    let world = World::new();
    let at = world.ago(TimeDelta::hours(30));
    world.mandiant.put_all(
        (0..600).map(|n| Record::ipv4(&format!("198.51.{}.{}", 100 + n / 250, n % 250 + 1)).updated(at)),
    );
    world.tick().await;
    let every: String = (0..300).map(|n| format!("198.51.{}.{}\n", 100 + n / 250, n % 250 + 1)).collect();
    list(&world, "own.txt", &every);
    tokio::time::advance(HOUR).await;
    let report = world.tick().await;
    assert_eq!(report.end, End::Stalled, "{report:#?}");
    assert_eq!(world.held().len(), 600);
    let order = RunOptions { confirm_retraction: true, ..RunOptions::default() };
    world.command(order).await;
    hours(&world, 2).await;
    assert_eq!(world.held().len(), 300);
}

/// Defender tells what it holds: everything excluded goes at the next pass, however much, whatever else is set.
#[tokio::test(start_paused = true)]
async fn at_defender_everything_excluded_goes_at_the_next_pass() {
    for keeps in ["true", "false"] {
        let mut world = World::new();
        world
            .set("TARGET_APPLICATION", "defender")
            .set("DEFAULT_ACTION", "block")
            .set("EXPIRE_RETRACTED", keeps);
        let at = world.ago(TimeDelta::hours(30));
        world.mandiant.put_all(
            (0..600).map(|n| Record::ipv4(&format!("198.51.{}.{}", 100 + n / 250, n % 250 + 1)).updated(at)),
        );
        world.tick().await;
        assert_eq!(at_defender(&world).len(), 600);
        list(&world, "own.txt", "198.51.100.0/23\n");
        tokio::time::advance(HOUR).await;
        let report = world.tick().await;
        let counts = report.totals();
        assert_eq!((report.end, counts.retracted), (End::CaughtUp, 500), "{report:#?}");
        assert_eq!(at_defender(&world).len(), 100);
        let reports = hours(&world, 30).await;
        assert!(reports.iter().all(|report| report.end == End::CaughtUp && report.totals().created == 0));
        assert_eq!(at_defender(&world).len(), 100);
    }
}

/// A file is known there by its SHA-256, and a list may name it by another digest.
#[tokio::test(start_paused = true)]
async fn a_file_goes_whichever_of_its_digests_is_named() {
    for (digit, length) in [("a", 32), ("a", 40), ("a", 64)] {
        for keeps in ["true", "false"] {
            let mut world = World::new();
            world.set("TARGET_APPLICATION", "defender").set("EXPIRE_RETRACTED", keeps);
            fill(&world);
            world.tick().await;
            assert_eq!(at_defender(&world).len(), 12);
            list(&world, "own.txt", &digit.repeat(length));
            hours(&world, 2).await;
            assert_eq!(at_defender(&world).len(), 11, "{length} {keeps}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_built_in_list_is_for_defender_alone_and_can_be_switched_off() {
    for (setting, at_defender_then) in [("true", 2), ("false", 5)] {
        let mut world = World::new();
        world.set("TARGET_APPLICATION", "sentinel,defender").set("EXCLUDE_VITAL", setting);
        let at = world.ago(TimeDelta::hours(3));
        world.mandiant.put_all([
            Record::fqdn("login.microsoftonline.com").updated(at),
            Record::fqdn("github.com").updated(at),
            Record::ipv4("8.8.8.8").updated(at),
            // Every author can publish there.
            Record::url("https://github.com/attacker/tool").updated(at),
            Record::fqdn("attacker.azure.com").updated(at),
        ]);
        let report = world.tick().await;
        assert_eq!((world.held().len(), at_defender(&world).len()), (5, at_defender_then), "{report:#?}");
        let excluded = json!(report.lanes["defender"].excluded_by);
        assert_eq!(excluded, if setting == "true" { json!({"EXCLUDE_VITAL": 3}) } else { json!({}) });
    }
}
