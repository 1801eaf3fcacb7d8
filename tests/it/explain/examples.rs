//! The examples of docs/troubleshooting.md: `explain` prints each of them, and there is one for each answer.

use std::{collections::BTreeSet, time::Duration};

use chrono::TimeDelta;
use mati_sync::domain::{
    explain::{Awaited, Next},
    filter::DropReason,
};
use sandbox::{corpus::Record, gti::Ioc, net::Fault};
use serde_json::Value;

use super::explained;
use crate::{gti, harness::world::World};

/// What is said of `value`, with `…` where times and ids stand.
async fn lines(world: &World, value: &str, said: &mut BTreeSet<String>) {
    let explanation = explained(world, value).await;
    for (about, text) in explanation.lines() {
        let words: Vec<String> = text
            .split(' ')
            .map(|word| match word {
                _ if word.contains("--") || word.starts_with("20") && word.contains('-') => "…".to_owned(),
                _ => word.to_owned(),
            })
            .collect();
        let text = words.join(" ");
        said.insert(if about.is_empty() { text } else { format!("{about}: {text}") });
    }
}

async fn dropped(said: &mut BTreeSet<String>) {
    let mut world = World::new();
    world.set("EXCLUDE", "own.example").set("INCLUDE_IPV6", "false").set("INCLUDE_UNCATEGORIZED", "false");
    let at = world.ago(TimeDelta::hours(3));
    world.mandiant.put_all([
        Record::ipv4("10.0.0.1").updated(at),
        Record::ipv6("2001:4860:4860::8888").updated(at),
        Record::fqdn("www.own.example").updated(at),
        Record::fqdn("doubtful.example").mscore(60).updated(at),
        Record::fqdn("mild.example").threat_score(Some(40)).updated(at),
        Record::fqdn("open.example").sources(&[("urlhaus", true, &["phishing"])]).updated(at),
        Record::fqdn("plain.example").sources(&[("Mandiant", false, &[])]).categories(&[]).updated(at),
    ]);
    for value in [
        "10.0.0.1",
        "2001:4860:4860::8888",
        "www.own.example",
        "doubtful.example",
        "mild.example",
        "open.example",
        "plain.example",
    ] {
        lines(&world, value, said).await;
    }
    let mut world = gti::world();
    world.set("MINIMUM_SEVERITY", "high");
    let hour = gti::hours_ago(&world, 3);
    world.gti.put("malware", hour, &Ioc::domain("good.example").factor("mandiant_analyst_benign", true));
    world.gti.put("malware", hour, &Ioc::domain("shared.example").factor("pervasive_indicator", true));
    world.gti.put("malware", hour, &Ioc::domain("slight.example").severity("LOW"));
    for value in ["good.example", "shared.example", "slight.example"] {
        lines(&world, value, said).await;
    }
    world.set("ATTRIBUTED_ONLY", "true");
    world.gti.put("malware", hour, &Ioc::domain("anonymous.example"));
    lines(&world, "anonymous.example", said).await;
}

async fn fates(said: &mut BTreeSet<String>) {
    let world = World::new();
    world.sentinel.knobs(|knobs| {
        knobs.reject = Some(std::sync::Arc::new(|object: &Value| {
            let pattern = object["pattern"].as_str().unwrap_or_default();
            pattern.contains("unloved").then(|| "it is not wanted".to_owned())
        }));
    });
    let at = world.ago(TimeDelta::hours(3));
    let (md5, sha256) = ("a".repeat(32), "c".repeat(64));
    let names = ["held.example", "changed.example", "lowered.example", "gone.example", "unloved.example"];
    world.mandiant.put_all(names.map(|name| Record::fqdn(name).updated(at)));
    world.mandiant.put(Record::file(Some(&md5), None, None).updated(at));
    lines(&world, "held.example", said).await;
    world.tick().await;
    tokio::time::advance(Duration::from_secs(3600)).await;
    let at = world.ago(TimeDelta::minutes(20));
    world.mandiant.put(Record::file(Some(&md5), None, Some(&sha256)).updated(at));
    world.tick().await;
    tokio::time::advance(Duration::from_secs(3600)).await;
    let at = world.ago(TimeDelta::minutes(5));
    world.mandiant.put(Record::fqdn("changed.example").mscore(99).updated(at));
    world.mandiant.put(Record::fqdn("lowered.example").mscore(10).updated(at));
    let gone = Record::fqdn("gone.example").key().to_owned();
    assert!(world.mandiant.remove(&gone));
    for value in names.iter().copied().chain([md5.as_str(), "unheard-of.example"]) {
        lines(&world, value, said).await;
    }
    tokio::time::advance(Duration::from_secs(6 * 86_400)).await;
    lines(&world, "held.example", said).await;
    lines(&world, "indicator--00000000-0000-5000-8000-000000000001", said).await;
    world.net.on_request(|exchange| {
        (exchange.authority == "api.intelligence.mandiant.com").then_some(Fault::Refuse)
    });
    lines(&world, "held.example", said).await;
}

#[tokio::test(start_paused = true)]
async fn each_reason_and_each_fate_has_an_example_that_explain_prints() {
    let mut said = BTreeSet::new();
    dropped(&mut said).await;
    fates(&mut said).await;
    let document =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/troubleshooting.md")).unwrap();
    let section = document.split("\n## What explain says\n").nth(1).expect("the section");
    let section = section.split("\n## ").next().unwrap();
    let examples: Vec<&str> =
        section.lines().filter_map(|line| line.strip_prefix("| `")?.split("` |").next()).collect();
    for example in &examples {
        assert!(said.contains(*example), "explain prints no {example:?}, but {said:#?}");
    }
    for reason in DropReason::ALL {
        let begin = format!("sentinel: dropped ({}): ", reason.word());
        assert!(examples.iter().any(|example| example.starts_with(&begin)), "no example of {begin}");
    }
    use Next::{Create, Expire, None, Renew, Retract, Unknown, Update, Wait};
    for next in [None, Create, Update, Renew, Retract, Expire, Wait, Unknown] {
        let line = format!("next: {}", next.word());
        assert!(examples.contains(&line.as_str()), "no example of {line}");
    }
    for awaited in Awaited::ALL {
        let line = format!("| *{}* |", awaited.words());
        assert!(section.contains(&line), "the document does not say what to do about {line}");
    }
}
