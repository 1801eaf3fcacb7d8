//! What records say, and how those of several lists become one.

use chrono::TimeDelta;
use mati_sync::domain::outcome::End;
use sandbox::gti::{Empty, Factors, Ioc};
use serde_json::{Value, json};

use super::{hours_ago, lane, pass_hours, world};

const SHA256: &str = "0e1f6c05992caf511beec4bf954d798a9297abdcf1e8ac3f682cb54c0f3ecc9b";

fn labels(object: &Value) -> Vec<String> {
    object["labels"].as_array().unwrap().iter().map(|label| label.as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn of_several_lists_the_highest_score_speaks_and_labels_are_united() {
    let world = world();
    let at = hours_ago(&world, 2);
    let one =
        Ioc::domain("c2.example.net").score(85).related("threat_actors", "unc0001").confidence(Some(81));
    let other = Ioc::domain("C2.EXAMPLE.NET")
        .score(95)
        .confidence(Some(88))
        .related("threat_actors", "UNC0001")
        .related("malware_families", "examplerat")
        .factor("normalised_categories", json!(["control-server", "malware", "malware"]));
    world.gti.put("threat-actor", at, &one);
    world.gti.put("malware", at, &other);
    let report = world.tick().await;
    assert_eq!((lane(&report).counts.read, lane(&report).counts.created), (1, 1), "{report:#?}");
    let object = world.object("c2.example.net");
    assert_eq!(object["confidence"], 88);
    let labels = labels(&object);
    for label in ["category:malware", "category:threat-actor", "category:control-server", "severity:high"] {
        assert!(labels.contains(&label.to_owned()), "{label} of {labels:?}");
    }
    let actors: Vec<_> = labels.iter().filter(|label| label.starts_with("threat-actor:")).collect();
    assert_eq!(actors, ["threat-actor:UNC0001"], "one name, in its best spelling");
    assert!(object["description"].as_str().unwrap().contains("threat score 95"), "{object}");
}

#[tokio::test(start_paused = true)]
async fn an_analysts_benign_on_any_list_outranks_the_score() {
    let world = world();
    let at = hours_ago(&world, 2);
    for value in ["analyst.example", "verdict.example"] {
        world.gti.put("malware", at, &Ioc::domain(value).score(95));
    }
    world.gti.put(
        "trending",
        at,
        &Ioc::domain("analyst.example").score(10).factor("mandiant_analyst_benign", true),
    );
    // A verdict speaks with its record, and that one has the lower score.
    world.gti.put("trending", at, &Ioc::domain("verdict.example").score(10).verdict("BENIGN"));
    world.gti.put("trending", at, &Ioc::domain("benign.example").verdict("BENIGN"));
    world.gti.put("trending", at, &Ioc::domain("shared.example").factor("pervasive_indicator", true));
    let report = world.tick().await;
    let dropped = lane(&report).counts.dropped;
    assert_eq!((dropped.benign, dropped.pervasive), (2, 1), "{report:#?}");
    assert_eq!(world.held(), ["verdict.example"]);

    // Said later of what is held, it retracts.
    world.gti.put(
        "malware",
        hours_ago(&world, 1),
        &Ioc::domain("verdict.example").factor("mandiant_analyst_benign", "true"),
    );
    pass_hours(1).await;
    let report = world.tick().await;
    assert_eq!((report.totals().retracted, world.held().len()), (1, 0), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn the_guards_can_be_switched_off() {
    let mut world = world();
    world.set("EXCLUDE_BENIGN", "false").set("EXCLUDE_PERVASIVE", "false");
    let at = hours_ago(&world, 2);
    world.gti.put("trending", at, &Ioc::domain("benign.example").verdict("BENIGN"));
    world.gti.put("trending", at, &Ioc::domain("shared.example").factor("pervasive_indicator", true));
    world.tick().await;
    assert_eq!(world.held(), ["benign.example", "shared.example"]);
}

#[tokio::test(start_paused = true)]
async fn a_score_that_falls_in_a_later_hour_retracts_and_one_that_rises_admits() {
    let world = world();
    for (hours, low, high) in [(3, 95, 20), (2, 20, 95)] {
        let at = hours_ago(&world, hours);
        world.gti.put("malware", at, &Ioc::domain("falling.example").score(low));
        world.gti.put("malware", at, &Ioc::domain("rising.example").score(high));
    }
    let report = world.tick().await;
    assert_eq!(world.held(), ["rising.example"], "{report:#?}");
    let counts = lane(&report).counts;
    assert_eq!((counts.created, counts.retracted, counts.dropped.threat_score), (2, 1, 1), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn confidence_is_found_in_three_places_and_is_not_needed() {
    let mut world = world();
    let at = hours_ago(&world, 2);
    let bare = |value: &str| Ioc::domain(value).confidence(None);
    world.gti.put("malware", at, &Ioc::domain("new.example").confidence(Some(81)));
    world.gti.put("malware", at, &bare("old.example").factor("mandiant_confidence_score", 82));
    world.gti.put("malware", at, &bare("attribute.example").attribute("mandiant_ic_score", 83));
    world.gti.put("malware", at, &bare("none.example").without("contributing_factors"));
    world.gti.put("malware", at, &bare("unrated.example").without("threat_score"));
    world.gti.put("malware", at, &Ioc::domain("unsure.example").confidence(Some(20)));
    let report = world.tick().await;
    let dropped = lane(&report).counts.dropped;
    assert_eq!((dropped.confidence, dropped.threat_score), (1, 1), "{report:#?}");
    assert_eq!(world.held(), ["attribute.example", "new.example", "none.example", "old.example"]);
    let confidences = ["new.example", "old.example", "attribute.example"]
        .map(|value| world.object(value)["confidence"].as_i64());
    assert_eq!(confidences, [Some(81), Some(82), Some(83)]);
    assert_eq!(world.object("none.example").get("confidence"), None);

    world.set("MISSING_CONFIDENCE", "exclude");
    world.gti.put("malware", at, &bare("another.example"));
    let report = world.tick().await;
    assert_eq!((lane(&report).counts.dropped.confidence, world.held().len()), (4, 4), "{report:#?}");
    assert_eq!(report.totals().retracted, 0, "what a record leaves out speaks against nothing");
}

#[tokio::test(start_paused = true)]
async fn the_minimum_severity_lets_pass_what_names_none() {
    let mut world = world();
    world.set("MINIMUM_SEVERITY", "medium");
    let at = hours_ago(&world, 2);
    for word in ["NONE", "LOW", "MEDIUM", "HIGH", "UNKNOWN", "NEW"] {
        let value = format!("{}.example", word.to_lowercase());
        world.gti.put("malware", at, &Ioc::domain(&value).severity(word));
    }
    world.gti.put("malware", at, &Ioc::domain("absent.example").without("severity"));
    let report = world.tick().await;
    assert_eq!(lane(&report).counts.dropped.severity, 2, "{report:#?}");
    let held = ["absent.example", "high.example", "medium.example", "new.example", "unknown.example"];
    assert_eq!(world.held(), held);
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_value_is_sent_and_others_are_counted() {
    let world = world();
    let at = hours_ago(&world, 2);
    let long = format!("http://long.example/{}", "a".repeat(2000));
    for ioc in [
        Ioc::address("198.51.100.7"),
        Ioc::address("2a02:898::7"),
        Ioc::domain("bücher.example"),
        Ioc::url(&long),
        Ioc::file(SHA256, Some("682cc10c29bfa667c94888aaf3aab303")),
        Ioc::new("ssl_cert", "ab"),
        Ioc::new("url", "no-url"),
        Ioc::address("not an address"),
        Ioc::domain("odd.example").factor("associated_actor", json!(["APT1"])),
    ] {
        world.gti.put("malware", at, &ioc);
    }
    let report = world.tick().await;
    let dropped = lane(&report).counts.dropped;
    assert_eq!((dropped.type_, dropped.malformed), (1, 2), "{report:#?}");
    assert_eq!(lane(&report).counts.created, 6, "{report:#?}");
    let held = world.held();
    for value in ["198.51.100.7", "2a02:898::7", "xn--bcher-kva.example", &long] {
        assert!(held.contains(&value.to_owned()), "{value} of {held:?}");
    }
    assert!(labels(&world.object("odd.example")).contains(&"threat-actor:APT1".to_owned()));
    // Google's page of the record.
    let object = world.object("198.51.100.7");
    assert_eq!(
        object["external_references"][0]["url"],
        "https://www.virustotal.com/gui/ip-address/198.51.100.7"
    );
}

/// Neither generation of names, and no form of a package without records, makes a difference.
#[tokio::test(start_paused = true)]
async fn older_names_of_factors_and_every_empty_package_are_read() {
    for (factors, empty) in
        [(Factors::Of2025, Empty::Null), (Factors::Of2026, Empty::Missing), (Factors::Of2025, Empty::List)]
    {
        let world = world();
        world.gti.set(|knobs| {
            knobs.gzip = true;
            (knobs.factors, knobs.empty) = (factors, empty);
        });
        world.gti.put("malware", hours_ago(&world, 2), &Ioc::domain("bad.example").confidence(Some(84)));
        let report = world.tick().await;
        assert_eq!((report.end, lane(&report).counts.read), (End::CaughtUp, 1), "{report:#?}");
        assert_eq!(world.object("bad.example")["confidence"], 84);
    }
}

/// A package that comes late holds values that are known of other lists of its hour.
#[tokio::test(start_paused = true)]
async fn a_late_package_is_put_together_with_what_was_read_of_its_hour() {
    let world = world();
    let at = hours_ago(&world, 2);
    world.gti.set(|knobs| {
        knobs.holes.insert(("trending".to_owned(), at));
    });
    world.gti.put("malware", at, &Ioc::domain("bad.example").score(95));
    world.gti.put("trending", at, &Ioc::domain("bad.example").score(20));
    world.tick().await;
    assert_eq!(world.held(), ["bad.example"]);
    world.gti.set(|knobs| knobs.holes.clear());
    let report = world.tick().await;
    assert_eq!((world.held(), report.totals().updated), (vec!["bad.example".to_owned()], 1), "{report:#?}");
    assert!(labels(&world.object("bad.example")).contains(&"category:trending".to_owned()));

    // One of an older hour changes nothing that a newer one said.
    let older = at - TimeDelta::hours(5);
    world.gti.put("mobile", older, &Ioc::domain("bad.example").score(10));
    let order = mati_sync::domain::request::RunOptions { lookback_days: Some(1), ..Default::default() };
    let report = world.command(order).await;
    assert_eq!((world.held(), report.totals().retracted), (vec!["bad.example".to_owned()], 0), "{report:#?}");
}
