//! Two sources side by side, before one takes the other's place.

use std::sync::LazyLock;

use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::{
    clock::Deadline,
    domain::{
        comparison::{Comparer, Comparison, Counted, Exchange, Lane, ScoreDifferences, Shares, Side},
        indicator::Indicator,
        observable::{IndicatorType, Observable},
        policy::Policy,
    },
    pass::CompareError,
};
use proptest::prelude::*;
use sandbox::{corpus::Record, gti::Ioc, net::Fault};
use serde_json::{Value, json};

use super::{hours_ago, world as gti_world};
use crate::{
    harness::{
        vault::with_key_vault,
        world::{START, World},
    },
    protocol::{answered, http, post, serve},
};

/// A world that reads Mandiant and has a key for the other source too.
fn world() -> World {
    let mut world = World::new();
    world.set("GTI_API_KEY", "sandbox-gti-key").set("GTI_LISTS", "malware,phishing");
    world
}

async fn compare(world: &World, with: &str, days: i64) -> Result<Comparison, CompareError> {
    let (_sender, stop) = tokio::sync::watch::channel(false);
    let engine = world.start().engine;
    engine.compare(with, TimeDelta::days(days), &Deadline::unlimited(stop)).await
}

/// What changes hands at Sentinel, where each object is a row and 100 go into a request.
fn at_sentinel(gained: u64, lost: u64, updated: u64) -> Exchange {
    let rows = gained + updated;
    Exchange { gained, lost, updated, rows: Some(rows), requests: rows.div_ceil(100) }
}

fn shares(here: u64, there: u64, both: u64) -> Shares {
    Shares { here, there, both }
}

fn at_mandiant(world: &World, record: Record, hours: i64) {
    world.mandiant.put(record.updated(world.ago(TimeDelta::hours(hours))));
}

fn at_google(world: &World, ioc: &Ioc, hours: i64) {
    world.gti.put("malware", hours_ago(world, hours), ioc);
}

fn scored(value: &str, score: i64) -> Record {
    Record::fqdn(value).mscore(95).threat_score(Some(score))
}

#[tokio::test(start_paused = true)]
async fn values_are_counted_by_type_and_destination_and_nothing_is_sent() {
    let mut world = world();
    world.set("TARGET_APPLICATION", "sentinel,defender").set("EXCLUDE", "excluded.example");
    let (md5, sha256) = ("a".repeat(32), "c".repeat(64));
    at_mandiant(&world, scored("both.example", 95), 20);
    at_google(&world, &Ioc::domain("both.example").score(85), 30);
    at_mandiant(&world, scored("here.example", 90), 20);
    at_google(&world, &Ioc::domain("there.example"), 5);
    // Both list it, and one of them not high enough.
    at_mandiant(&world, scored("apart.example", 90), 20);
    at_google(&world, &Ioc::domain("apart.example").score(45), 20);
    // The newest record decides.
    at_google(&world, &Ioc::domain("fallen.example"), 40);
    at_google(&world, &Ioc::domain("fallen.example").score(10), 20);
    // One file, of which the sources tell different digests.
    at_mandiant(&world, Record::file(Some(&md5), None, None).mscore(90).threat_score(Some(90)), 20);
    at_google(&world, &Ioc::file(&sha256, Some(&md5)), 20);
    // Never sent, and never to one of the destinations.
    at_mandiant(&world, scored("excluded.example", 90), 20);
    at_google(&world, &Ioc::domain("excluded.example"), 20);
    at_google(&world, &Ioc::domain("login.microsoftonline.com"), 20);
    // Before the span.
    at_mandiant(&world, scored("old.example", 90), 24 * 4);
    at_google(&world, &Ioc::domain("older.example"), 24 * 4);

    let comparison = compare(&world, "gti", 3).await.unwrap();
    assert_eq!(comparison.span.to, hours_ago(&world, 1), "as far as both are");
    assert_eq!(comparison.span.from, hours_ago(&world, 1 + 3 * 24));
    assert_eq!(comparison.types[&IndicatorType::Fqdn], shares(2, 2, 1), "{comparison:#?}");
    assert_eq!(comparison.types[&IndicatorType::Hash], shares(0, 0, 1));
    assert_eq!(comparison.types[&IndicatorType::Url], shares(0, 0, 0));
    let apart = [(-50, -40), (-10, 0), (0, 10)];
    let apart = apart.map(|(from, to)| ScoreDifferences { from, to, values: 1 });
    assert_eq!(comparison.scores, apart);
    assert_eq!(comparison.lanes["sentinel"], at_sentinel(2, 2, 2));
    let at_defender = Exchange { gained: 1, lost: 2, updated: 2, rows: None, requests: 1 };
    assert_eq!(comparison.lanes["defender"], at_defender, "the built-in list");
    let lists = [("malware", shares(0, 2, 2)), ("phishing", shares(0, 0, 0))];
    assert_eq!(comparison.lists, lists.map(|(list, shares)| (list.to_owned(), shares)).into());
    assert!(comparison.gaps.is_empty(), "{comparison:#?}");

    let written = serde_json::to_value(&comparison).unwrap();
    assert_eq!(written["types"]["fqdn"], json!({ "here": 2, "there": 2, "both": 1 }));
    let exchange = json!({ "gained": 2, "lost": 2, "updated": 2, "rows": 4, "requests": 1 });
    assert_eq!(written["lanes"]["sentinel"], exchange);
    assert_eq!(written["lists"]["malware"], json!({ "here": 0, "there": 2, "both": 2 }));
    assert_eq!((&written["here"], &written["there"]), (&json!("mandiant"), &json!("gti")));
    assert!(written["from"].is_string() && written["to"].is_string(), "{written:#}");
    assert!(world.sentinel.requests().is_empty() && world.defender.stored().is_empty());
    let kept: Value =
        serde_json::from_slice(&std::fs::read(world.state.path().join("compare.json")).unwrap()).unwrap();
    assert_eq!(kept, written);
    assert!(!world.state.path().join("lanes").exists(), "no lane has moved");
}

/// The same from the other side: nothing depends on which of them is the source of the settings.
#[tokio::test(start_paused = true)]
async fn the_way_back_is_compared_too() {
    let mut world = world();
    at_mandiant(&world, scored("here.example", 100), 20);
    at_google(&world, &Ioc::domain("here.example").score(80), 20);
    at_google(&world, &Ioc::domain("there.example"), 20);
    let there = compare(&world, "gti", 1).await.unwrap();
    world.set("SOURCE", "gti");
    let back = compare(&world, "mandiant", 1).await.unwrap();
    assert_eq!((there.span, &there.here), (back.span, &back.there));
    let of = |comparison: &Comparison| comparison.types[&IndicatorType::Fqdn];
    assert_eq!((of(&there), of(&back)), (shares(0, 1, 1), shares(1, 0, 1)));
    assert_eq!(there.lanes["sentinel"], at_sentinel(1, 0, 1));
    assert_eq!(back.lanes["sentinel"], at_sentinel(0, 1, 1));
    assert_eq!((there.lists["malware"], back.lists["malware"]), (shares(0, 1, 1), shares(1, 0, 1)));
    assert_eq!((there.scores[0].from, back.scores[0].from), (-20, 20));
}

/// A value counts for each list that names it within the span, and a file for each digest that is sent.
#[tokio::test(start_paused = true)]
async fn lists_are_compared_and_what_the_change_sends_is_foretold() {
    let mut world = world();
    world.set("HASH_TYPE", "sha256,md5").set("GTI_LISTS", "malware,phishing,trending,mobile");
    let put = |list: &str, hours: i64, ioc: &Ioc| world.gti.put(list, hours_ago(&world, hours), ioc);
    at_mandiant(&world, scored("both.example", 95), 20);
    put("malware", 30, &Ioc::domain("both.example"));
    put("phishing", 20, &Ioc::domain("both.example"));
    put("phishing", 20, &Ioc::domain("there.example"));
    // A category of the same name is no list.
    put(
        "phishing",
        20,
        &Ioc::url("http://there.example/").factor("normalised_categories", json!(["malware"])),
    );
    // The newest package decides, and speaks against it.
    put("trending", 20, &Ioc::domain("fallen.example"));
    put("malware", 10, &Ioc::domain("fallen.example").score(10));
    for number in 0..99_u64 {
        put(
            "mobile",
            9,
            &Ioc::file(&format!("{:064x}", number + 4096), Some(&format!("{:032x}", number + 4096))),
        );
    }
    let comparison = compare(&world, "gti", 3).await.unwrap();
    let lists = [("malware", 0, 1), ("phishing", 2, 1), ("trending", 0, 0), ("mobile", 99, 0)];
    let lists = lists.map(|(list, there, both)| (list.to_owned(), shares(0, there, both)));
    assert_eq!(comparison.lists, lists.into());
    // 99 files of two digests, and three other values.
    let exchange = Exchange { gained: 101, lost: 0, updated: 1, rows: Some(201), requests: 3 };
    assert_eq!(comparison.lanes["sentinel"], exchange);

    // What is foretold comes true.
    world.tick().await;
    let (rows, requests) = (world.sentinel.log().len(), world.sentinel.requests().len());
    world.set("SOURCE", "gti");
    let order = mati_sync::domain::request::RunOptions { lookback_days: Some(3), ..Default::default() };
    let report = world.command(order).await;
    // And the value whose score fell within the span comes and goes.
    assert_eq!(report.totals().retracted, 1, "{report:#?}");
    assert_eq!(world.sentinel.log().len() - rows, 201 + 2, "{report:#?}");
    assert!(world.sentinel.requests().len() - requests >= 3);
}

#[tokio::test(start_paused = true)]
async fn the_key_of_the_other_source_is_asked_for_by_its_setting() {
    let without = |setting| {
        let mut world = world();
        world.set(setting, "");
        world
    };
    let told = compare(&without("GTI_API_KEY"), "gti", 3).await.unwrap_err().to_string();
    assert!(told.starts_with("GTI_API_KEY is not set, and a comparison reads both sources"), "{told}");
    let told = compare(&gti_world(), "mandiant", 3).await.unwrap_err().to_string();
    assert!(told.starts_with("MATI_KEY is not set"), "{told}");
    let mut world = without("MATI_SECRET");
    world.set("SOURCE", "gti");
    let told = compare(&world, "mandiant", 3).await.unwrap_err().to_string();
    assert!(told.starts_with("MATI_SECRET is not set"), "{told}");
    let told = compare(&world, "gti", 3).await.unwrap_err().to_string();
    assert_eq!(told, "SOURCE is gti already: compare it with the other source");

    // A key vault may have it, and is asked.
    let mut world = without("GTI_API_KEY");
    let vault = with_key_vault(&mut world);
    let told = compare(&world, "gti", 3).await.unwrap_err().to_string();
    assert!(told.contains("has no secret gti-api-key"), "{told}");
    vault.set("gti-api-key", "sandbox-gti-key");
    compare(&world, "gti", 3).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_read_is_named() {
    let world = world();
    let hole = hours_ago(&world, 5);
    world.gti.set(|knobs| {
        knobs.forbidden.insert("phishing".to_owned());
        knobs.holes.insert(("malware".to_owned(), hole));
        knobs.late.insert(("malware".to_owned(), hours_ago(&world, 2)));
    });
    let gaps: Vec<String> = compare(&world, "gti", 1).await.unwrap().gaps.into_iter().collect();
    let [late, missing, closed] = &gaps[..] else { panic!("{gaps:#?}") };
    assert_eq!(missing, &format!("malware: the package of {hole} is missing"));
    assert_eq!(late, &format!("malware: nothing is there yet from {} on", hours_ago(&world, 2)));
    assert!(closed.starts_with("phishing: the licence does not give it"), "{closed}");
    assert!(world.gti.asked("phishing") < 3, "what is closed is not asked for every hour");

    world.gti.set(|knobs| _ = knobs.forbidden.insert("malware".to_owned()));
    let told = compare(&world, "gti", 1).await.unwrap_err().to_string();
    assert!(told.starts_with("Google Threat Intelligence could not be read"), "{told}");
    assert!(told.contains("malware: the licence"), "{told}");

    let host = "api.intelligence.mandiant.com";
    let denied = Fault::AnswerBefore(StatusCode::UNAUTHORIZED, HeaderMap::new(), "{}".into());
    world.net.on_request(move |exchange| (exchange.authority == host).then(|| denied.clone()));
    let told = compare(&world, "gti", 1).await.unwrap_err().to_string();
    assert!(told.starts_with("Mandiant could not be read") && told.contains("MATI_KEY"), "{told}");
    assert!(world.state.path().join("compare.json").exists(), "the result of before stays");
}

#[tokio::test(start_paused = true)]
async fn the_status_page_leads_to_the_last_comparison() {
    let world = world();
    let get = async |query: Value, accept: &str| {
        let (_, body) =
            post(&serve(&world), "Status", http(None, query, json!({ "Accept": [accept] }))).await;
        body["Outputs"]["response"].clone()
    };
    let none = get(json!({ "compare": "true" }), "application/json").await;
    assert_eq!(none["statusCode"], "404", "{none:#}");
    let page = get(json!({}), "text/html").await["body"].to_string();
    assert!(!page.contains("compare=true"), "{page}");

    at_google(&world, &Ioc::domain("there.example"), 5);
    let comparison = compare(&world, "gti", 3).await.unwrap();
    let page = get(json!({}), "text/html").await["body"].to_string();
    assert!(page.contains("?compare=true") && page.contains("mandiant and gti"), "{page}");
    let page = get(json!({ "compare": "true" }), "text/html").await["body"].to_string();
    assert!(page.contains("fqdn: 0 only in mandiant, 1 only in gti, 0 in both"), "{page}");
    let cost = "sentinel: gti would add 1, send 0 once more and take away 0: 1 rows in 1 requests";
    assert!(page.contains(cost), "{page}");
    assert!(page.contains("list malware: 1 only in gti, 0 in both"), "{page}");
    let (_, body) = post(&serve(&world), "Status", http(None, json!({ "compare": "1" }), json!({}))).await;
    let (status, answer) = answered(&body);
    assert_eq!((status.as_str(), answer), ("200", serde_json::to_value(&comparison).unwrap()));

    std::fs::write(world.state.path().join("compare.json"), "{").unwrap();
    let page = get(json!({}), "text/html").await;
    assert_eq!(page["statusCode"], "200", "a damaged comparison hides no lane");
}

static POLICY: LazyLock<Policy> = LazyLock::new(|| World::new().start().engine.lanes[0].policy.clone());

/// The lists that name a record: the other side has them alone.
fn lists_of(side: Side, indicator: &Indicator) -> Vec<String> {
    let place = usize::from(indicator.source_id.len().is_multiple_of(2));
    match side {
        Side::Here => Vec::new(),
        Side::There => vec![["malware", "phishing"][place].to_owned()],
    }
}

fn record() -> impl Strategy<Value = (Side, Indicator)> {
    let side = prop_oneof![Just(Side::Here), Just(Side::There)];
    (side, 0..4_u8, 60..=100_u8, 0..50_i64, 0..3_u8).prop_map(|(side, value, score, minute, id)| {
        let mut indicator = Indicator::bare(Observable::domain(&format!("value-{value}.example")).unwrap());
        let start: DateTime<Utc> = START.parse().unwrap();
        // Records of one id are one, so they say the same at one time.
        indicator.source_id = format!("{value}-{id}-{score}");
        (indicator.confidence, indicator.threat_score) = (Some(90), Some(score));
        indicator.categories = vec!["malware".to_owned()];
        indicator.last_updated = Some(start - TimeDelta::minutes(minute));
        (side, indicator)
    })
}

proptest! {
    /// The order in which records come says nothing, and neither does that some come twice, as they do when a window is
    /// read again.
    #[test]
    fn a_comparison_depends_on_what_is_listed_alone(
        (records, shuffled, twice) in proptest::collection::vec(record(), 0..40).prop_flat_map(|records| {
            let twice = proptest::sample::subsequence(records.clone(), 0..=records.len());
            (Just(records.clone()), Just(records).prop_shuffle(), twice)
        }),
    ) {
        let policies = [POLICY.clone()];
        let count = |records: &mut dyn Iterator<Item = &(Side, Indicator)>| {
            let mut comparer = Comparer::default();
            let horizon = START.parse().unwrap();
            records.for_each(|(side, indicator)| {
                let lists = lists_of(*side, indicator);
                comparer.hear(*side, indicator, &lists, horizon, &policies);
            });
            comparer.count(&[Lane { name: "sentinel", batch: 3, capacity: None, is_billed: true }])
        };
        let counted = count(&mut records.iter());
        prop_assert_eq!(&count(&mut shuffled.iter().chain(&twice)), &counted);
        let Counted { types, lists, lanes, .. } = counted;
        let Shares { here, there, both } = types[&IndicatorType::Fqdn];
        let rows = there + both;
        let exchange =
            Exchange { gained: there, lost: here, updated: both, rows: Some(rows), requests: rows.div_ceil(3) };
        prop_assert_eq!(lanes["sentinel"], exchange);
        // Each value is named by one list or two, and by none that is not of its side.
        let named = lists.values().map(|shares| shares.there + shares.both).sum::<u64>();
        prop_assert!(named >= rows && named <= 2 * rows && lists.values().all(|shares| shares.here == 0));
        // And what is on either side, by a rule of one line.
        let wanted = |of: Side, value: u8| {
            let name = format!("value-{value}.example");
            let about = records.iter().filter(|(side, indicator)| {
                *side == of && indicator.observable == Observable::domain(&name).unwrap()
            });
            let version = |indicator: &Indicator| {
                mati_sync::domain::deciding_record::RecordVersion::of(indicator, START.parse().unwrap())
            };
            let deciding = about.max_by_key(|(_, indicator)| version(indicator));
            deciding.is_some_and(|(_, indicator)| indicator.threat_score >= Some(80))
        };
        let both = (0..4).filter(|value| wanted(Side::Here, *value) && wanted(Side::There, *value)).count();
        prop_assert_eq!(types[&IndicatorType::Fqdn].both, both as u64);
    }
}
