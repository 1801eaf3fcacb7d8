//! Answers in the shape of recorded ones, through the client, the conversion and the decision.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use mati_sync::{
    check,
    clock::Deadline,
    domain::{
        filter::DropReason,
        outcome::{Dropped, End},
    },
};
use serde_json::{Value, json};

use super::{hours_ago, lane, world};
use crate::harness::world::World;

macro_rules! fixture {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("../../fixtures/gti/", $name, ".json"))).unwrap()
    };
}

fn put(world: &World, list: &str, answer: &Value) {
    world.gti.put_recorded(list, hours_ago(world, 2), answer);
}

/// What Sentinel holds of a value, without what follows from the time and the pattern.
fn said(world: &World, value: &str) -> Value {
    let object = world.object(value);
    let pages = object["external_references"].as_array().unwrap().iter().map(|reference| &reference["url"]);
    json!({
        "confidence": object["confidence"],
        "labels": object["labels"],
        "description": object["description"],
        "first_page": pages.clone().next(),
    })
}

fn id(answer: &Value, place: usize) -> &str {
    answer["iocs"][place]["data"]["id"].as_str().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_package_of_2025_is_judged_by_its_threat_scores() {
    let world = world();
    let answer = fixture!("threat-list-2025");
    put(&world, "trending", &answer);
    let report = world.tick().await;
    let counts = lane(&report).counts;
    assert_eq!((report.end, counts.read, counts.created), (End::CaughtUp, 4, 2), "{report:#?}");
    assert_eq!(counts.dropped, Dropped { threat_score: 2, ..Dropped::default() });
    assert_eq!(world.held(), ["198.51.100.61", id(&answer, 0)], "under the SHA-256");
    let address = json!({
        "confidence": null,
        "labels": ["category:trending", "severity:high", "action:alert"],
        "description":
            "Google Threat Intelligence: no confidence, threat score 80 of 100, severity high.",
        "first_page": "https://www.virustotal.com/gui/ip-address/198.51.100.61",
    });
    assert_eq!(said(&world, "198.51.100.61"), address);
    let file = id(&answer, 0);
    let told = json!({
        "confidence": null,
        "labels": ["category:trending", "severity:high", "action:alert"],
        "description": format!(
            "Google Threat Intelligence: no confidence, threat score 85 of 100, severity high. First seen 2021-05-31. sha256 {file}. md5 274074f175caca1103c229af6a62aab7."
        ),
        "first_page": format!("https://www.virustotal.com/gui/file/{file}"),
    });
    assert_eq!(said(&world, file), told);
}

#[tokio::test(start_paused = true)]
async fn packages_of_2026_are_put_together_and_judged() {
    let world = world();
    let actors = fixture!("threat-list-threat-actor-2026");
    put(&world, "threat-actor", &actors);
    put(&world, "malware", &fixture!("threat-list-malware-2026"));
    let report = world.tick().await;
    let counts = lane(&report).counts;
    // One file stands in both lists.
    assert_eq!((report.end, counts.read, counts.created), (End::CaughtUp, 9, 4), "{report:#?}");
    // By the first reason that applies: the quiet file's confidence is below the minimum, too.
    let dropped = Dropped { pervasive: 1, confidence: 2, threat_score: 2, ..Dropped::default() };
    assert_eq!(counts.dropped, dropped);
    let file = id(&actors, 0);
    assert_eq!(world.held(), [file, "2a02:898::7", "c2.example", "http://bad.example/a?b=c"]);
    // One name of those that differ in case alone, and the record of the higher threat score speaks.
    let merged = json!({
        "confidence": 90,
        "labels": [
            "category:infostealer", "category:malware", "category:threat-actor", "malware:SAMPLERAT",
            "malware:samplekit", "threat-actor:unc0007", "campaign:CAMP.26.007", "severity:high",
            "action:alert", "ActivityGroup:unc0007",
        ],
        "description": format!(
            "Google Threat Intelligence: confidence 90 of 100, threat score 95 of 100, severity high. First seen 2021-05-31. sha256 {file}. md5 caf9f01dd8ed36092c65fea6ca15a99b. Malware: SAMPLERAT, samplekit. Threat actors: unc0007. Campaigns: CAMP.26.007."
        ),
        "first_page": format!("https://www.virustotal.com/gui/file/{file}"),
    });
    assert_eq!(said(&world, file), merged);
    // A domain's registration is no time at which it was seen, and may lie in the future.
    let domain = json!({
        "confidence": 88,
        "labels": [
            "category:control-server", "category:malware", "category:threat-actor", "threat-actor:unc0007",
            "severity:high", "action:alert", "ActivityGroup:unc0007",
        ],
        "description": "Google Threat Intelligence: confidence 88 of 100, threat score 80 of 100, severity high. Threat actors: unc0007.",
        "first_page": "https://www.virustotal.com/gui/domain/c2.example",
    });
    assert_eq!(said(&world, "c2.example"), domain);
    let address = json!({
        "confidence": 82,
        "labels": ["category:threat-actor", "campaign:CAMP.26.007", "severity:medium", "action:alert"],
        "description": "Google Threat Intelligence: confidence 82 of 100, threat score 80 of 100, severity medium. Campaigns: CAMP.26.007.",
        "first_page": "https://www.virustotal.com/gui/ip-address/2a02%3A898%3A%3A7",
    });
    assert_eq!(said(&world, "2a02:898::7"), address);
    let url = json!({
        "confidence": 80,
        "labels": ["category:threat-actor", "malware:samplerat", "severity:medium", "action:alert"],
        "description": "Google Threat Intelligence: confidence 80 of 100, threat score 80 of 100, severity medium. First seen 2021-05-31. Malware: samplerat.",
        "first_page": format!("https://www.virustotal.com/gui/url/{}", id(&actors, 3)),
    });
    assert_eq!(said(&world, "http://bad.example/a?b=c"), url);
}

#[tokio::test(start_paused = true)]
async fn a_package_without_records_is_read() {
    for answer in [fixture!("threat-list-empty"), fixture!("threat-list-null")] {
        let world = world();
        world.gti.set(|knobs| {
            let body = answer.to_string();
            knobs.answer_override =
                Some(Arc::new(move |_, list, _| (!list.is_empty()).then(|| (StatusCode::OK, body.clone()))));
        });
        let report = world.tick().await;
        assert_eq!((report.end, lane(&report).counts.read), (End::CaughtUp, 0), "{report:#?}");
        assert_eq!(lane(&report).watermark, Some(hours_ago(&world, 1)));
        assert!(report.losses.is_empty());
    }
}

/// What a lane does about each error: how its pass ends when every list answers with it, and what the message says.
#[tokio::test(start_paused = true)]
async fn every_error_has_its_consequence() {
    let answers = fixture!("errors");
    let mut seen = Vec::new();
    for (name, end, words) in [
        ("400-not-yet", End::CaughtUp, ""),
        ("400-bad-request", End::Stalled, "400 BadRequestError: No such type"),
        ("401-wrong-key", End::Stalled, "rejected the API key"),
        ("401-no-key", End::Stalled, "rejected the API key"),
        ("403-no-licence", End::Stalled, "lets us read none of its lists"),
        ("404-not-found", End::CaughtUp, "is missing"),
        ("429-rate", End::Stalled, "gets requests too fast"),
        ("429-quota", End::Stalled, "quota is used up"),
        ("503-transient", End::Stalled, "503 TransientError: Try again"),
        ("504-deadline", End::Stalled, "504 DeadlineExceededError: It took too long"),
    ] {
        let mut world = world();
        world.set("GTI_LISTS", "malware,phishing").set("INITIAL_LOOKBACK", "1");
        let (status, body) = (name[..3].parse::<u16>().unwrap(), answers[name].to_string());
        world.gti.set(|knobs| {
            let answer = (StatusCode::from_u16(status).unwrap(), body);
            knobs.answer_override =
                Some(Arc::new(move |_, list, _| (!list.is_empty()).then(|| answer.clone())));
        });
        let report = world.tick().await;
        let told = lane(&report).message.clone().unwrap_or_default();
        assert_eq!(report.end, end, "{name}: {report:#?}");
        assert!(told.contains(words) && told.is_empty() == words.is_empty(), "{name}: {told}");
        // A hole is passed over; nothing else moves a position.
        let has_moved = lane(&report).watermark > Some(hours_ago(&world, 20));
        assert_eq!(has_moved, name == "404-not-found", "{name}: {report:#?}");
        assert!(report.losses.is_empty(), "{name}: {report:#?}");
        seen.push(name);
    }
    let unused = answers.as_object().unwrap().keys().find(|name| !seen.contains(&name.as_str()));
    assert_eq!(unused, None, "each fixture is used");
}

#[tokio::test(start_paused = true)]
async fn the_quota_is_told_as_google_counts_it() {
    let world = world();
    let body = fixture!("overall-quotas").to_string();
    world.gti.set(|knobs| {
        knobs.answer_override =
            Some(Arc::new(move |_, list, _| list.is_empty().then(|| (StatusCode::OK, body.clone()))));
    });
    world.tick().await;
    let app = world.start();
    let overview = app.engine.overview().await.unwrap();
    let quota = overview.lanes["sentinel"].as_ref().unwrap().quota.expect("it was told");
    assert_eq!((quota.used, quota.allowed), (336, 20_000));
    let findings = check::run(&app.engine, None).await;
    let told = findings.iter().find(|finding| finding.check == "Google Threat Intelligence").unwrap();
    assert!(told.result.contains("336 of 20,000"), "{told:?}");
}

/// A single value comes as an object with more than lists show.
#[tokio::test(start_paused = true)]
async fn objects_are_explained() {
    let world = world();
    let address = fixture!("object-address-benign");
    let file = fixture!("object-file-malicious");
    put(&world, "malware", &json!({ "iocs": [address, file] }));
    let explain = async |value: &str| {
        let deadline = Deadline::after(Duration::from_secs(60));
        world.start().engine.explain(value, &deadline).await
    };
    let of = explain("198.51.100.53").await;
    assert_eq!(of.lanes["sentinel"].decision.reason, Some(DropReason::Benign), "{of:#?}");
    // By any digest, and with the newer of the two confidences that it has.
    let digests = ["md5", "sha1", "sha256"].map(|name| file["data"]["attributes"][name].as_str().unwrap());
    for digest in digests {
        let of = explain(digest).await;
        assert_eq!(of.lanes["sentinel"].decision.admitted, Some(true), "{of:#?}");
        let source = serde_json::to_value(&of).unwrap()["source"].clone();
        assert_eq!((&source["confidence"], &source["threat_score"]), (&json!(84), &json!(95)), "{source}");
    }
}
