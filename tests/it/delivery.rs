//! From the feed to the destination: what is sent, what is not, and what is said of both.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use chrono::TimeDelta;
use mati_sync::domain::outcome::End;
use sandbox::{
    corpus::{CorpusSettings, Record, generate},
    sentinel::Api,
};

use crate::harness::world::World;

#[tokio::test(start_paused = true)]
async fn exactly_the_admitted_set_arrives_and_a_second_pass_sends_nothing() {
    let world = World::new();
    let corpus = CorpusSettings::new(7, 3000, world.ago(TimeDelta::days(29)), world.ago(TimeDelta::hours(1)));
    let records = generate(&corpus.hostile(0.1));
    world.mandiant.put_all(records);

    let first = world.tick().await;
    assert_eq!(first.end, End::CaughtUp, "{first:#?}");
    let totals = first.totals();
    assert!(totals.created > 100, "{totals:#?}");
    assert_eq!(totals.left, 0);
    assert_eq!(totals.rejected, 0);
    let held = world.held();
    assert_eq!(held.len() as u64, totals.created);
    assert_eq!(held.iter().collect::<BTreeSet<_>>().len(), held.len(), "no value twice");

    let uploads = world.sentinel.requests().len();
    let second = world.tick().await;
    assert_eq!(second.end, End::CaughtUp);
    assert_eq!(world.sentinel.requests().len(), uploads, "nothing changed, nothing is sent: {second:#?}");
    assert_eq!(world.held(), held);
}

#[tokio::test(start_paused = true)]
async fn every_filter_counts_under_its_own_reason() {
    let mut world = World::new();
    world
        .set("INCLUDE_URL", "false")
        .set("INCLUDE_UNCATEGORIZED", "false")
        .set("HASH_MINIMUM_CONFIDENCE", "95");
    let at = world.ago(TimeDelta::hours(3));
    let file = |digit: char| {
        let md5 = digit.to_string().repeat(32);
        Record::file(Some(&md5), None, None)
    };
    let good =
        |record: Record| record.updated(at).mscore(90).threat_score(Some(90)).categories(&["phishing"]);
    world.mandiant.put_all([
        good(Record::ipv4("198.51.100.1")),
        good(Record::ipv4("10.0.0.1")),
        good(Record::ipv4("198.51.100.2")).set("value", "not an address"),
        good(Record::new("email", "a@b.example")),
        good(Record::url("https://bad.example/x")),
        good(Record::ipv4("198.51.100.3")).threat_score(Some(79)),
        good(Record::ipv4("198.51.100.4")).threat_score(None),
        good(Record::fqdn("plain.example")).sources(&[("Mandiant", false, &[])]).categories(&[]),
        good(file('a')),
        good(file('b')).mscore(95),
    ]);
    // The server leaves these out when asked; here it is left to us.
    world.mandiant.put(good(Record::ipv4("198.51.100.5")).sources(&[("urlhaus", true, &["malware"])]));
    world.mandiant.set(|knobs| {
        knobs.ignored_parameters.insert("exclude_osint".to_owned());
        knobs.ignored_parameters.insert("gte_mscore".to_owned());
    });
    world.mandiant.put(good(Record::ipv4("198.51.100.6")).mscore(79));

    let report = world.tick().await;
    let dropped = report.totals().dropped;
    assert_eq!(
        (
            dropped.malformed,
            dropped.type_,
            dropped.confidence,
            dropped.threat_score,
            dropped.osint,
            dropped.uncategorized
        ),
        (2, 2, 2, 1, 1, 1),
        "{report:#?}"
    );
    assert_eq!(world.held(), ["198.51.100.1", "198.51.100.4", &"b".repeat(32)]);
}

#[tokio::test(start_paused = true)]
async fn an_object_says_all_that_is_known() {
    let world = World::new();
    let updated = world.ago(TimeDelta::hours(3));
    let sha256 = "0123456789abcdef".repeat(4);
    world.mandiant.put(
        Record::file(None, None, Some(&sha256))
            .set("type", "md5")
            .set("value", "")
            .updated(updated)
            .first_seen(world.ago(TimeDelta::days(400)))
            .mscore(97)
            .threat_score(Some(88))
            .sources(&[("Mandiant", false, &["Control-Server"]), ("urlhaus", true, &["phishing"])])
            .malware("OXEEYE")
            .actor("APT99")
            .campaign("CAMP.26.001", "A 'quoted' title"),
    );
    world.mandiant.put(Record::url(r"https://bad.example/it's\here?A=b").updated(updated));
    let report = world.tick().await;
    assert_eq!(report.totals().created, 2, "{report:#?}");

    let object = world.object(&sha256);
    assert_eq!(
        object["pattern"],
        format!("[file:hashes.'SHA-256' = '{sha256}']"),
        "the strongest where md5 is missing"
    );
    assert_eq!(object["confidence"], 97);
    let labels: BTreeSet<&str> =
        object["labels"].as_array().unwrap().iter().filter_map(|label| label.as_str()).collect();
    for label in [
        "category:control-server",
        "category:phishing",
        "malware:OXEEYE",
        "threat-actor:APT99",
        "campaign:CAMP.26.001",
        "action:alert",
    ] {
        assert!(labels.contains(label), "{label} is not in {labels:?}");
    }
    let description = object["description"].as_str().unwrap();
    for part in ["97", "88", "Mandiant", "urlhaus", "OXEEYE", "A 'quoted' title"] {
        assert!(description.contains(part), "{part} is not in {description}");
    }
    assert!(
        object["external_references"][0]["url"]
            .as_str()
            .unwrap()
            .starts_with("https://advantage.mandiant.com/")
    );
    assert_eq!(object["object_marking_refs"][0], "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82");
    let url = world.object(r"https://bad.example/it's\here?A=b");
    assert_eq!(url["pattern"], r"[url:value = 'https://bad.example/it\'s\\here?A=b']");
}

#[tokio::test(start_paused = true)]
async fn one_value_in_many_spellings_is_one_indicator() {
    let world = World::new();
    let at = world.ago(TimeDelta::hours(3));
    world.mandiant.put_all([
        Record::fqdn("Bad.Example.").updated(at),
        Record::fqdn("bad.example").updated(at + TimeDelta::minutes(1)).mscore(99),
        Record::new("ipv6", "2001:0DB8:0000::0001").updated(at),
        Record::new("ipv6", "2001:db8::1").updated(at),
    ]);
    let report = world.tick().await;
    assert_eq!(world.held(), ["2001:db8::1", "bad.example"], "{report:#?}");
    assert_eq!(world.object("bad.example")["confidence"], 99, "the newest speaks");
    assert_eq!((report.totals().created, report.totals().unchanged), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn rejected_records_are_set_aside_with_their_reason_and_the_others_arrive() {
    let world = World::new();
    let at = world.ago(TimeDelta::hours(3));
    let records = |confidence| {
        (1..=150).map(move |n| Record::ipv4(&format!("198.51.100.{n}")).updated(at).mscore(confidence))
    };
    world.mandiant.put_all(records(90));
    world.sentinel.knobs(|knobs| {
        knobs.reject = Some(Arc::new(|object| {
            object["pattern"].as_str()?.contains(".77'").then(|| "Error for Property=pattern: no.".to_owned())
        }));
    });
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().created, report.totals().rejected), (End::CaughtUp, 149, 1));
    let file = world.state.path().join(format!("lanes/sentinel/rejected/{}.jsonl", report.run_id));
    let line: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(line["reason"], "Error for Property=pattern: no.");
    assert_eq!(line["object"]["name"], "198.51.100.77");
    assert_eq!(line["destination"], "sentinel");

    let uploads = world.sentinel.requests().len();
    let again = world.tick().await;
    assert_eq!(world.sentinel.requests().len(), uploads, "it is not offered again: {again:#?}");

    // It changes, and the destination has come to its senses.
    world.sentinel.knobs(|knobs| knobs.reject = None);
    world.mandiant.put(Record::ipv4("198.51.100.77").updated(world.ago(TimeDelta::minutes(3))).mscore(91));
    let changed = world.tick().await;
    assert_eq!(changed.totals().created, 1, "{changed:#?}");
    assert_eq!(world.held().len(), 150);
}

#[tokio::test(start_paused = true)]
async fn one_record_that_spoils_the_request_is_found_and_the_others_arrive() {
    let world = World::new();
    let at = world.ago(TimeDelta::hours(3));
    world.mandiant.put_all((1..=100).map(|n| Record::ipv4(&format!("198.51.100.{n}")).updated(at)));
    world.sentinel.knobs(|knobs| {
        knobs.reject_whole =
            Some(Arc::new(|object| object["pattern"].as_str()?.contains(".1'").then(|| "bad".to_owned())));
    });
    let report = world.tick().await;
    assert_eq!(
        (report.end, report.totals().created, report.totals().rejected),
        (End::CaughtUp, 99, 1),
        "{report:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn when_every_request_is_rejected_no_record_is_blamed() {
    let world = World::new();
    let at = world.ago(TimeDelta::hours(3));
    world.mandiant.put_all((1..=200).map(|n| Record::ipv4(&format!("198.51.100.{n}")).updated(at)));
    world.sentinel.knobs(|knobs| {
        knobs.reject_whole = Some(Arc::new(|_| Some("sourcesystem is not allowed".to_owned())))
    });
    let report = world.tick().await;
    assert_eq!(
        (report.end, report.totals().rejected, report.totals().left),
        (End::Stalled, 0, 200),
        "{report:#?}"
    );
    assert!(report.message.contains("sourcesystem is not allowed"), "{}", report.message);
    world.sentinel.knobs(|knobs| knobs.reject_whole = None);
    assert_eq!(world.tick().await.totals().created, 200, "nothing was lost");
}

#[tokio::test(start_paused = true)]
async fn throttling_is_waited_out_and_counted() {
    let world = World::new();
    let at = world.ago(TimeDelta::hours(3));
    world
        .mandiant
        .put_all((0..1000).map(|n| Record::ipv4(&format!("198.51.{}.{}", n / 250, n % 250 + 1)).updated(at)));
    world.sentinel.knobs(|knobs| knobs.quota = 5);
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().created), (End::CaughtUp, 1000), "{report:#?}");
    assert!(report.totals().throttled > 0 && report.totals().retried > 0);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_says_which_role_is_missing() {
    let world = World::new();
    world.mandiant.put(Record::ipv4("198.51.100.1").updated(world.ago(TimeDelta::hours(3))));
    world.sentinel.authorize(|_, _| sandbox::sentinel::Authorization::Forbidden);
    for status in [401, 403] {
        world.sentinel.knobs(|knobs| knobs.forbidden_status = status);
        let report = world.tick().await;
        assert_eq!((report.end, report.totals().left), (End::Stalled, 1));
        assert!(report.message.contains("Microsoft Sentinel Contributor"), "{}", report.message);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_rejected_is_renewed_once() {
    let world = World::new();
    world.mandiant.put_all(
        (1..=250).map(|n| Record::ipv4(&format!("198.51.100.{n}")).updated(world.ago(TimeDelta::hours(3)))),
    );
    let app = world.start();
    let deadline = mati_sync::clock::Deadline::after(std::time::Duration::from_secs(600));
    let (entra, uploads) = (world.entra.clone(), AtomicU32::new(0));
    world.net.on_request(move |exchange| {
        let nth = u32::from(exchange.uri.path().ends_with(":upload"));
        if nth == 1 && uploads.fetch_add(1, Ordering::Relaxed) == 1 {
            entra.revoke_all();
        }
        None
    });
    let ended = app.engine.run(mati_sync::pass::Work::Timer, None, &deadline).await;
    assert_eq!(ended.reports[0].end, End::CaughtUp, "{ended:#?}");
    assert_eq!(world.held().len(), 250);
    assert_eq!(world.entra.issued().len(), 2, "one token, and one in its place");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_client_secret_says_so() {
    let mut world = World::new();
    world.set("AZURE_CLIENT_SECRET", "a-secrets-id");
    world.mandiant.put(Record::ipv4("198.51.100.1").updated(world.ago(TimeDelta::hours(3))));
    let report = world.tick().await;
    assert_eq!(report.end, End::Stalled);
    assert!(report.message.contains("AZURE_CLIENT_SECRET is wrong"), "{}", report.message);
    assert!(!report.message.contains("a-secrets-id"), "a secret in a message");
}

#[tokio::test(start_paused = true)]
async fn the_legacy_api_is_served_the_same() {
    let mut world = World::new();
    world.set("SENTINEL_API", "upload-indicators");
    let at = world.ago(TimeDelta::hours(3));
    world
        .mandiant
        .put_all((0..1000).map(|n| Record::ipv4(&format!("198.51.{}.{}", n / 250, n % 250 + 1)).updated(at)));
    world.sentinel.knobs(|knobs| {
        knobs.quota = 5;
        knobs.reject = Some(Arc::new(|object| {
            object["pattern"].as_str()?.contains(".77'").then(|| "Error for Property=pattern: no.".to_owned())
        }));
    });
    let report = world.tick().await;
    let totals = report.totals();
    assert_eq!((report.end, totals.created, totals.rejected), (End::CaughtUp, 996, 4), "{report:#?}");
    assert!(totals.throttled > 0, "{totals:?}");
    let uploads = world.sentinel.requests();
    assert!(uploads.iter().all(|upload| upload.api == Some(Api::LegacyV2)), "{uploads:?}");
    assert!(uploads.iter().all(|upload| upload.status == 429 || upload.objects <= 100), "{uploads:?}");

    // Both APIs fill one workspace: what went through one is not sent again through the other.
    world.tick().await;
    let again = world.set("SENTINEL_API", "stix-objects").tick().await;
    assert_eq!((again.end, again.totals().rejected), (End::CaughtUp, 0), "{again:#?}");
    assert_eq!(world.sentinel.requests().len(), uploads.len());
    assert_eq!(world.held().len(), 996);
}

/// The last uploads of a page are under way while the next page is decided about: what is about the same indicator
/// waits for them, or it would be taken for new.
#[tokio::test(start_paused = true)]
async fn a_value_that_is_under_way_is_not_sent_as_new_by_the_next_page() {
    let world = World::new();
    let (early, late) = (world.ago(TimeDelta::hours(3)), world.ago(TimeDelta::hours(2)));
    let value = |n: usize| format!("198.51.{}.{}", n / 250, n % 250 + 1);
    world.mandiant.put_all((0..1000).map(|n| Record::ipv4(&value(n)).updated(early)));
    // The same values under other ids, on the second page.
    let again = |n: usize| Record::ipv4(&value(n)).set("id", format!("ipv4--{n}")).mscore(95).updated(late);
    world.mandiant.put_all((0..1000).step_by(7).map(again));
    world.sentinel.knobs(|knobs| knobs.delay = std::time::Duration::from_secs(5));

    let totals = world.tick().await.totals();
    assert_eq!((totals.created, totals.updated, totals.unchanged), (1000, 143, 0), "{totals:#?}");
    for n in (0..1000).step_by(7) {
        assert_eq!(world.object(&value(n))["confidence"], 95, "{}", value(n));
    }
    let second = world.tick().await.totals();
    assert_eq!((second.created, second.updated), (0, 0), "{second:#?}");
}
