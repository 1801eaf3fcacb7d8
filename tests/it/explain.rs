//! Why a value is where it is: `explain` says of every record what a pass does about it, and the document shows an example
//! of each answer.

mod examples;
mod foresight;

use std::time::Duration;

use chrono::TimeDelta;
use mati_sync::{
    clock::Deadline,
    domain::{explain::Next, observable::IndicatorType, outcome::Dropped, request::RunOptions},
    pass::Explanation,
};
use sandbox::{
    corpus::{CorpusSettings, Record, generate},
    gti::Ioc,
    net::Fault,
};

use crate::{gti, harness::world::World};

async fn explained(world: &World, value: &str) -> Explanation {
    world.start().engine.explain(value, &Deadline::after(Duration::from_secs(600))).await
}

#[tokio::test(start_paused = true)]
async fn explain_agrees_with_the_dry_run_for_every_record_of_a_seed() {
    let mut world = World::new();
    world
        .set("TARGET_APPLICATION", "sentinel,defender")
        .set("EXCLUDE", "198.51.100.0/24, evil.example")
        .set("INCLUDE_IPV6", "false")
        .set("MINIMUM_SEVERITY", "medium");
    let (from, to) = (world.ago(TimeDelta::days(3)), world.ago(TimeDelta::hours(1)));
    let mut admitted = 0;
    for record in generate(&CorpusSettings::new(17, 150, from, to).hostile(0.4)) {
        world.mandiant.restore([record.clone()]);
        let order = RunOptions { dry_run: true, ..RunOptions::default() };
        let report = world.command(order).await;
        let said = explained(&world, record.value()).await;
        for (name, lane) in &report.lanes {
            let standing = &said.lanes[name.as_str()];
            let mut dropped = Dropped::default();
            standing.decision.reason.iter().for_each(|reason| dropped.add(*reason));
            let what = format!("{name}: {record:?}\n{said:#?}");
            assert_eq!(lane.counts.read, 1, "{what}");
            assert_eq!(lane.counts.dropped, dropped, "{what}");
            assert_eq!(lane.counts.created == 1, standing.decision.admitted == Some(true), "{what}");
            assert_eq!(lane.counts.created == 1, standing.next == Next::Create, "{what}");
            admitted += lane.counts.created;
        }
    }
    assert!(admitted > 20, "{admitted} were admitted");
}

#[tokio::test(start_paused = true)]
async fn a_file_is_found_by_any_of_its_digests_and_a_record_by_its_id() {
    let world = World::new();
    let (md5, sha1, sha256) = ("a".repeat(32), "b".repeat(40), "c".repeat(64));
    let record = Record::file(Some(&md5), Some(&sha1), Some(&sha256)).updated(world.ago(TimeDelta::hours(3)));
    world.mandiant.put(record.clone());
    world.tick().await;
    for asked in [md5.to_uppercase(), sha1, sha256, record.key().to_owned()] {
        let said = explained(&world, &asked).await;
        let lane = &said.lanes["sentinel"];
        assert!(lane.held && said.error.is_none(), "{asked}: {said:#?}");
        assert_eq!((said.source.found, lane.next), (Some(true), Next::None), "{asked}");
        // By our id the manifest alone can be asked.
        let by_id = explained(&world, lane.id.as_deref().unwrap()).await;
        assert!(by_id.lanes["sentinel"].held, "{by_id:#?}");
        assert_eq!((by_id.indicator_type, by_id.error), (Some(IndicatorType::Hash), None));
    }
}

/// What a lane holds is known although the source is not, and what the next pass does is then not known.
#[tokio::test(start_paused = true)]
async fn without_the_source_s_answer_neither_the_decision_nor_what_comes_next_is_told() {
    let world = World::new();
    world.mandiant.put(Record::fqdn("evil.example").updated(world.ago(TimeDelta::hours(3))));
    world.tick().await;
    let id = explained(&world, "evil.example").await.lanes["sentinel"].id.clone().unwrap();
    world.net.on_request(|exchange| {
        (exchange.authority == "api.intelligence.mandiant.com").then_some(Fault::Refuse)
    });
    let unreached = "the source could not be asked";
    let not_asked = "the source is not asked for an id of ours, which does not tell its value";
    for (asked, held, silence) in [
        ("evil.example", true, unreached),
        ("unheard-of.example", false, unreached),
        (id.as_str(), true, not_asked),
        ("indicator--00000000-0000-5000-8000-000000000001", false, not_asked),
    ] {
        let said = explained(&world, asked).await;
        let lane = &said.lanes["sentinel"];
        assert_eq!((said.source.found, lane.held, lane.next), (None, held, Next::Unknown), "{said:#?}");
        for decision in [&said.decision, &lane.decision] {
            assert_eq!((decision.admitted, decision.detail.as_str()), (None, silence), "{said:#?}");
        }
        // That an id is not asked for is no failure.
        assert_eq!(said.error.is_some(), silence == unreached, "{said:#?}");
        let lines = said.lines();
        let text = lines.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("\n");
        assert!(text.contains(&format!("unknown, because {silence}")), "{text}");
        assert!(!text.contains("nothing is known") && !text.contains("next: nothing"), "{text}");
    }
}

/// By our id the file of what was rejected tells the reason, also where the source is not asked.
#[tokio::test(start_paused = true)]
async fn the_id_of_what_was_rejected_tells_the_reason() {
    let world = World::new();
    world.sentinel.knobs(|knobs| {
        knobs.reject = Some(std::sync::Arc::new(|_| Some("it is not wanted".to_owned())));
    });
    world.mandiant.put(Record::fqdn("evil.example").updated(world.ago(TimeDelta::hours(3))));
    world.tick().await;
    let by_value = explained(&world, "evil.example").await;
    let by_id = explained(&world, by_value.lanes["sentinel"].id.as_deref().unwrap()).await;
    for said in [by_value, by_id] {
        let reason = said.lanes["sentinel"].rejected.as_deref();
        assert!(reason.is_some_and(|reason| reason.contains("it is not wanted")), "{said:#?}");
    }
}

/// The source compares without case, and a path that differs in it is another URL.
#[tokio::test(start_paused = true)]
async fn another_case_of_a_url_is_another_value() {
    let world = World::new();
    let at = world.ago(TimeDelta::hours(3));
    world.mandiant.put_all([
        Record::url("https://evil.example/Path").updated(at),
        Record::url("https://evil.example/path").mscore(10).updated(at),
    ]);
    let said = explained(&world, "https://EVIL.example/path").await;
    assert_eq!(said.decision.detail, "confidence 10 is below 80", "{said:#?}");
    assert_eq!(said.source.others, 0);
}

#[tokio::test(start_paused = true)]
async fn what_lies_before_all_that_is_read_is_never_created() {
    let world = World::new();
    world.mandiant.put(Record::fqdn("evil.example").updated(world.ago(TimeDelta::days(60))));
    world.tick().await;
    let said = explained(&world, "evil.example").await;
    assert_eq!((said.decision.admitted, said.lanes["sentinel"].next), (Some(true), Next::None));
}

#[tokio::test(start_paused = true)]
async fn under_google_threat_intelligence_the_object_is_looked_up() {
    let world = gti::world();
    let hour = gti::hours_ago(&world, 3);
    let (url, sha256) = ("http://evil.example/a?b=c", "c".repeat(64));
    for ioc in
        [Ioc::domain("evil.example"), Ioc::url(url), Ioc::address("198.51.100.7"), Ioc::file(&sha256, None)]
    {
        world.gti.put("malware", hour, &ioc);
    }
    world.tick().await;
    for value in ["evil.example", url, "198.51.100.7", &sha256] {
        let said = explained(&world, value).await;
        assert_eq!((said.source.found, said.decision.admitted), (Some(true), Some(true)), "{said:#?}");
        assert!(said.lanes["sentinel"].held && said.error.is_none(), "{said:#?}");
    }
    assert_eq!(explained(&world, "good.example").await.source.found, Some(false));
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_confirmation_is_told_and_then_what_confirming_did() {
    let world = World::new();
    let at = world.ago(TimeDelta::hours(30));
    let value = |n: u32| format!("198.51.{}.{}", 100 + n / 250, n % 250 + 1);
    world.mandiant.put_all((0..600).map(|n| Record::ipv4(&value(n)).updated(at)));
    world.tick().await;
    let folder = world.state.path().join("exclusions");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("own.txt"), (0..300).map(|n| value(n) + "\n").collect::<String>()).unwrap();
    let before = explained(&world, &value(7)).await;
    assert_eq!(before.lanes["sentinel"].next, Next::Retract, "{before:#?}");
    tokio::time::advance(Duration::from_secs(3600)).await;
    let report = world.tick().await;
    let withheld = &report.lanes["sentinel"].withheld;
    assert_eq!((withheld.retracted, withheld.examples.len()), (300, 100));
    assert!(withheld.examples.iter().any(
        |example| example.value == value(7) && example.reason == "excluded: own.txt, line 8 excludes it"
    ));
    let waiting = explained(&world, &value(7)).await;
    let lane = &waiting.lanes["sentinel"];
    assert_eq!((lane.held, lane.next, lane.entries[0].state.as_str()), (true, Next::Wait, "unwanted"));
    assert_eq!(lane.excluded_by.as_deref(), Some("own.txt, line 8"));
    let confirmed = world.command(RunOptions { confirm_retraction: true, ..RunOptions::default() }).await;
    let told = "300 indicators that are no longer wanted are retracted, as confirmed";
    assert!(confirmed.message.contains(told), "{}", confirmed.message);
    assert!(!explained(&world, &value(7)).await.lanes["sentinel"].held);
}
