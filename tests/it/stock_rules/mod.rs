//! Whether Microsoft's stock rules can match what is sent. Every object that Sentinel holds at the end of a pass goes
//! through [`check`], in every scenario; and the program's own word for it is held against the rules.

mod row;
mod rules;

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::{
    destination::sentinel::stock_rules::{blind_spots, is_matchable},
    domain::{
        observable::{HashType, HashTypes, Hashes, Observable, Subject},
        outcome::End,
        request::RunOptions,
    },
};
use proptest::prelude::*;
use sandbox::corpus::Record;
use serde_json::{Value, json};

use self::{
    row::Row,
    rules::{Event, Met, RULES},
};
use crate::harness::world::World;

/// The rules that match an event with the raw value of `row`, a minute after Sentinel took it.
fn matching(row: &Row) -> Vec<&'static str> {
    let now = row.time_generated + TimeDelta::minutes(1);
    let events: Vec<Event> = row.met(now);
    let is_matched = |rule: &&rules::Rule| events.iter().any(|event| rule.matches(row, event, now));
    RULES.iter().filter(is_matched).map(|rule| rule.name).collect()
}

/// # Panics
/// The rules do not read of `object`, which Sentinel holds at `now`, what they are meant to.
pub fn check(object: &Value, now: DateTime<Utc>) {
    let row = Row::of(object, now);
    let is_matched = !matching(&row).is_empty();
    let is_unmatchable =
        row.kind() == "ipv6-addr" && row.observable_value.contains(|digit: char| digit.is_ascii_lowercase());
    let is_valid = row.valid_until > now + TimeDelta::minutes(1);
    assert_eq!(is_matched, is_valid && !is_unmatchable, "{object:#}");
    assert!(!row.is_muted(), "the rules pass it over: {object:#}");
    let labels = object["labels"].as_array();
    let actors: Vec<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|label| label.as_str()?.strip_prefix("ActivityGroup:"))
        .collect();
    // The rules' text ends where the list does.
    let told = row.activity_groups();
    assert_eq!(told.is_some(), !actors.is_empty(), "{object:#}");
    let told = told.map(|told| told.trim_end_matches("\"]").replace("\",\"ActivityGroup:", ","));
    assert_eq!(told.unwrap_or_default(), actors.join(","), "{object:#}");
    assert!(!actors.iter().any(|actor| actor.eq_ignore_ascii_case("redacted")), "{object:#}");
}

/// An object with this comparison alone, as far as the rules read it.
fn object(subject: &Subject<'_>) -> Value {
    let pattern =
        mati_sync::destination::sentinel::pattern::Pattern { kind: subject.kind, value: &subject.value };
    json!({"pattern": pattern.to_string(), "valid_until": "2027-01-01T00:00:00Z", "labels": ["action:alert"]})
}

fn now() -> DateTime<Utc> {
    crate::harness::world::START.parse().expect("a date")
}

fn observable() -> impl Strategy<Value = Observable> {
    let file = prop::collection::vec("[0-9a-fA-F]{64}", 1..=3).prop_map(|digits| {
        let mut hashes = Hashes::default();
        for (hash_type, (digits, length)) in HashType::ALL.into_iter().zip(digits.iter().zip([32, 40, 64])) {
            hashes.add(hash_type, &digits[..length]).unwrap();
        }
        hashes
    });
    let value = |found: Result<Observable, _>| found.ok();
    let usable = "none of those that are never sent";
    prop_oneof![
        any::<[u8; 4]>().prop_filter_map(usable, move |[a, b, c, d]| {
            value(Observable::ipv4(&format!("{a}.{b}.{c}.{d}")))
        }),
        ("2[0-9a-fA-F]{3}(:[0-9a-fA-F]{1,4}){7}|2[0-9]{3}(:[0-9]{1,3}){7}")
            .prop_filter_map(usable, move |text: String| value(Observable::ipv6(&text))),
        "[A-Za-z][a-z0-9-]{0,9}[a-z0-9]\\.(com|org|Net|co\\.uk)\\.?"
            .prop_filter_map(usable, move |text: String| value(Observable::domain(&text))),
        "(http|https|HTTP)://[A-Za-z][a-z0-9]{1,9}\\.com(:8080)?(/[A-Za-z0-9_%~-]{0,9}){0,3}(\\?[A-Za-z=]{1,9})?"
            .prop_filter_map(usable, move |text: String| value(Observable::url(&text))),
        file.prop_filter_map(usable, move |hashes| value(Observable::file(hashes))),
    ]
}

proptest! {
    /// The program says that an object can be matched exactly if one of the rules matches an event made of its raw value.
    #[test]
    fn what_is_called_matchable_is_what_a_rule_matches(observable in observable()) {
        for hash_type in HashType::ALL {
            let subject = observable.subject(hash_type);
            let row = Row::of(&object(&subject), now());
            prop_assert_eq!(is_matchable(&subject), !matching(&row).is_empty(), "{:?}", subject);
        }
    }
}

/// The rules that match the file under one of its digests.
fn matching_file(hash_type: HashType, digits: usize) -> Vec<&'static str> {
    let mut hashes = Hashes::default();
    hashes.add(hash_type, &"ab".repeat(digits / 2)).unwrap();
    let observable = Observable::file(hashes).unwrap();
    matching(&Row::of(&object(&observable.subject(hash_type)), now()))
}

#[test]
fn what_is_said_of_a_choice_of_digests_is_what_the_rules_miss() {
    let of = |hash_type, digits| -> Vec<bool> {
        let rules = matching_file(hash_type, digits);
        ["DeviceFileEvents", "Security Event", "CommonSecurityLog"]
            .iter()
            .map(|part| rules.iter().any(|rule| rule.contains(part)))
            .collect()
    };
    assert_eq!(of(HashType::Md5, 32), [false, false, true]);
    assert_eq!(of(HashType::Sha1, 40), [true, false, true]);
    assert_eq!(of(HashType::Sha256, 64), [true, true, true]);
    let told = |named: &[HashType]| blind_spots(HashTypes::of(named).unwrap(), true, false);
    assert!(told(&[HashType::Md5]).unwrap().contains("HASH_TYPE=md5 Microsoft's endpoint rules"));
    assert!(told(&[HashType::Sha1, HashType::Md5]).unwrap().contains("AppLocker"));
    assert_eq!(told(&[HashType::Sha256]), None);
    assert_eq!(told(&[HashType::Md5, HashType::Sha256]), None);
    let all = blind_spots(HashTypes::only(HashType::Md5), true, true).unwrap();
    assert!(all.contains("IPv6") && all.contains("md5"), "{all}");
    assert_eq!(blind_spots(HashTypes::only(HashType::Md5), false, false), None);
}

/// What the rules for firewalls and sign-ins make of a line, as their text says.
#[test]
fn the_rules_for_firewalls_and_sign_ins_read_a_line_as_their_text_says() {
    let row = |observable: Observable| Row::of(&object(&observable.subject(HashType::Sha256)), now());
    let matches = |row: &Row, log: Met| -> Vec<&'static str> {
        let event = Event { at: now(), log };
        RULES.iter().filter(|rule| rule.matches(row, &event, now())).map(|rule| rule.name).collect()
    };
    let azure = |source: &str, destination: &str| Met::AzureFirewall {
        source: source.to_owned(),
        destination: destination.to_owned(),
    };
    let listed = row(Observable::ipv4("203.0.112.7").unwrap());
    let rule = ["TI map IP entity to AzureFirewall"];
    assert_eq!(matches(&listed, azure("10.0.0.4:50000 ", "203.0.112.7:443")), rule);
    assert_eq!(matches(&listed, azure("203.0.112.7:50000 ", "192.168.1.4:443")), rule);
    // Of two public addresses the destination alone is looked at, and a name has no digits in front.
    assert_eq!(matches(&listed, azure("203.0.112.7:50000 ", "198.51.101.1:443")), [""; 0]);
    assert_eq!(matches(&listed, azure("10.0.0.4:50000 ", "evil.example:443")), [""; 0]);
    let sign_in = |ip: &str| Met::SigninLogs { ip_address: ip.to_owned() };
    assert_eq!(matches(&listed, sign_in("203.0.112.7")), ["TI Map IP Entity to SigninLogs"]);
    assert_eq!(matches(&row(Observable::ipv6("2a01:4f8::1").unwrap()), sign_in("2a01:4f8::1")), [""; 0]);
    assert_eq!(matches(&row(Observable::ipv6("2001:1470::1").unwrap()), sign_in("2001:1470::1")).len(), 1);
    let domain = row(Observable::domain("evil.com").unwrap());
    let palo_alto = |class: &str, request_url: &str, extensions: &str| {
        let (class, request_url) = (class.to_owned(), request_url.to_owned());
        let log = Met::CommonSecurityLog {
            class,
            file_hash: String::new(),
            destination_ip: String::new(),
            request_url,
            extensions: extensions.to_owned(),
            is_ssl: false,
        };
        matches(&domain, log)
    };
    let rule = ["TI Map Domain entity to PaloAlto CommonSecurityLog"];
    assert_eq!(palo_alto("URL", "\"Evil.com/x\"", ""), rule);
    assert_eq!(palo_alto("url", "", "\"evil.com/x\""), rule);
    assert_eq!(palo_alto("url", "", "PanOSThing=\"evil.com\""), [""; 0]);
    assert_eq!(palo_alto("traffic", "evil.com/x", ""), [""; 0]);
    assert_eq!(palo_alto("url", "www.evil.com/x", ""), [""; 0]);
}

/// Rules look at events of the last hour, at rows of the last 14 days, and at neither once the indicator has ended.
#[test]
fn the_windows_of_the_rules_are_kept() {
    let observable = Observable::ipv4("203.0.112.7").unwrap();
    let mut row = Row::of(&object(&observable.subject(HashType::Md5)), now());
    let matches = |row: &Row, at, now| {
        let events = row.met(at);
        RULES.iter().any(|rule| events.iter().any(|event| rule.matches(row, event, now)))
    };
    assert!(matches(&row, now(), now()));
    assert!(!matches(&row, now() - TimeDelta::minutes(61), now()), "it arrived too late for the event");
    let later = now() + TimeDelta::days(15);
    assert!(!matches(&row, later, later), "its row is too old");
    row.valid_until = now();
    assert!(!matches(&row, now(), now()));
}

#[tokio::test(start_paused = true)]
async fn the_report_says_how_much_the_rules_can_match() {
    let mut world = World::new();
    world.set("TARGET_APPLICATION", "sentinel,defender").set("HASH_TYPE", "sha256,sha1");
    let at = world.ago(TimeDelta::hours(40));
    world.mandiant.put_all([
        Record::ipv4("198.51.101.7").updated(at).actor("Fancy Bear"),
        Record::ipv6("2a01:4f8:c0c:1234::1").updated(at),
        Record::ipv6("2001:1470:1:18::119").updated(at),
        Record::fqdn("evil.com").updated(at),
        Record::url("https://Evil.com/Gate.php?A=b").updated(at),
        Record::file(Some(&"a".repeat(32)), Some(&"b".repeat(40)), Some(&"c".repeat(64))).updated(at),
    ]);
    let dry = world.command(RunOptions { dry_run: true, ..RunOptions::default() }).await;
    let report = world.tick().await;
    assert_eq!(report.end, End::CaughtUp, "{report:#?}");
    for report in [dry, report] {
        let lane = &report.lanes["sentinel"];
        // Seven objects; the address with letters is the one that no rule matches.
        assert_eq!((lane.counts.created, lane.objects(), lane.matchable), (6, 7, Some(6)), "{report:#?}");
        assert_eq!(report.lanes["defender"].matchable, None);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["lanes"]["sentinel"]["matchable"], 6);
        assert!(json["lanes"]["defender"].get("matchable").is_none());
    }
    let object = world.object("198.51.101.7");
    let labels = object["labels"].as_array().unwrap();
    assert_eq!(labels.last().unwrap(), "ActivityGroup:Fancy_Bear");
    assert_eq!(Row::of(&object, world.now()).activity_groups().unwrap(), "Fancy_Bear\"]");
    // Nothing new, nothing to match.
    assert_eq!(world.tick().await.lanes["sentinel"].matchable, Some(0));
}

/// The rules that infra/ ships are run over rows made of these objects.
#[tokio::test(start_paused = true)]
async fn the_rows_over_which_the_shipped_rules_run_are_what_is_sent() {
    let world = World::new();
    let at = world.ago(TimeDelta::hours(40));
    let cleared = || Record::fqdn("cleared.com").set("id", "fqdn--cleared");
    world.mandiant.put_all([
        Record::ipv6("2a01:4f8:c0c:1234::1").updated(at).mscore(95).actor("Fancy Bear"),
        Record::ipv4("198.51.101.7").updated(at).mscore(85),
        Record::fqdn("evil.com").updated(at).mscore(95).actor("UNC1234"),
        Record::url("https://bad.host-of-url.com:8443/Gate.php?A=b").updated(at).mscore(95),
        Record::file(Some(&"a".repeat(32)), None, Some(&"c".repeat(64))).updated(at).mscore(95),
        cleared().updated(at).mscore(95),
    ]);
    world.tick().await;
    world.mandiant.put(cleared().updated(world.ago(TimeDelta::minutes(10))).mscore(10));
    tokio::time::advance(std::time::Duration::from_secs(3600)).await;
    world.tick().await;
    let lines: String = world
        .sentinel
        .log()
        .iter()
        .map(|row| format!("{}\n", json!({"at": row.at, "object": row.object})))
        .collect();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("infra/checks/objects.jsonl");
    if std::env::var_os("MATI_SYNC_WRITE_DOCUMENTS").is_some() {
        std::fs::write(&path, &lines).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == lines,
        "infra/checks/objects.jsonl is not what is sent; write it anew with \
         MATI_SYNC_WRITE_DOCUMENTS=1 cargo test --test it stock_rules::the_rows"
    );
}
