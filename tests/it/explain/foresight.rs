//! What comes next, foretold of each record that a dry run reads: also where the destination is full, and where the lane
//! has done as much unasked as it may.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::{
    domain::{
        explain::{Awaited, Next},
        outcome::End,
        report::{LaneReport, Report},
        request::RunOptions,
    },
    pass::Explanation,
};
use sandbox::corpus::{CorpusSettings, Record, generate};
use serde_json::json;

use super::explained;
use crate::harness::world::World;

const HOUR: Duration = Duration::from_secs(3600);

async fn dry_run(world: &World) -> Report {
    world.command(RunOptions { dry_run: true, ..RunOptions::default() }).await
}

/// What a dry run that read one record says of it; `None`: nothing is sent, and nothing waits.
fn fate(lane: &LaneReport) -> Option<Next> {
    let counts = &lane.counts;
    let waiting = counts.over_limit + counts.left + lane.withheld.created;
    let fates = [
        (waiting, Next::Wait),
        (counts.created, Next::Create),
        (counts.updated, Next::Update),
        (counts.renewed, Next::Renew),
        (counts.retracted, Next::Retract),
    ];
    fates.into_iter().find(|(count, _)| *count > 0).map(|(_, next)| next)
}

/// Holds `explain` against a dry run that reads `record` alone, and returns what both say of it at `lane`.
async fn compare(world: &World, record: &Record, lane: &str) -> (Next, Explanation) {
    world.mandiant.restore([record.clone()]);
    let report = dry_run(world).await;
    let said = explained(world, record.value()).await;
    let (counted, standing) = (&report.lanes[lane], &said.lanes[lane]);
    let what = format!("{record:?}\n{counted:#?}\n{said:#?}");
    assert_eq!(counted.counts.read, 1, "{what}");
    assert_eq!(said.error, None, "{what}");
    match fate(counted) {
        Some(next) => assert_eq!(standing.next, next, "{what}"),
        None => assert!(matches!(standing.next, Next::None | Next::Expire | Next::Wait), "{what}"),
    }
    (standing.next, said)
}

fn address(n: usize) -> String {
    format!("198.51.{}.{}", 100 + n / 250, n % 250 + 1)
}

/// A Defender that holds all it can, and one indicator of another application; and when ours were updated.
async fn full_defender() -> (World, DateTime<Utc>) {
    let mut world = World::new();
    world.set("TARGET_APPLICATION", "defender").set("DEFENDER_INDICATOR_LIMIT", "31");
    world.defender.put(json!({"indicatorValue": "theirs.com", "indicatorType": "DomainName"}));
    let at = world.ago(TimeDelta::hours(3));
    world
        .mandiant
        .put_all((0..30).map(|n| {
            Record::ipv4(&address(n)).threat_score(Some(80 + n as i64 % 10)).mscore(90).updated(at)
        }));
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().created), (End::CaughtUp, 30), "{report:#?}");
    tokio::time::advance(HOUR).await;
    (world, at)
}

#[tokio::test(start_paused = true)]
async fn explain_agrees_with_the_dry_run_where_defender_is_full() {
    let mut met = std::collections::BTreeMap::new();
    for seed in [3, 17, 44] {
        let (world, _) = full_defender().await;
        let (from, to) = (world.ago(TimeDelta::minutes(30)), world.ago(TimeDelta::minutes(5)));
        let generated = generate(&CorpusSettings::new(seed, 25, from, to).hostile(0.2));
        let near = |n: usize, score: i64, mscore: i64| {
            Record::ipv4(&address(n)).threat_score(Some(score)).mscore(mscore).updated(to)
        };
        // New ones around the weakest; known ones that get better, worse, and unwanted; and what another application holds.
        let more = [
            near(100, 79, 90),
            near(101, 80, 90),
            near(102, 81, 90),
            near(103, 80, 91),
            near(0, 99, 90),
            near(9, 80, 90),
            near(5, 85, 10),
            Record::fqdn("theirs.com").updated(to),
        ];
        for record in generated.into_iter().chain(more) {
            let (next, _) = compare(&world, &record, "defender").await;
            *met.entry(next.word()).or_insert(0) += 1;
        }
    }
    for next in [Next::None, Next::Create, Next::Update, Next::Retract, Next::Wait] {
        assert!(met.contains_key(next.word()), "nothing of the kind {next:?} was met: {met:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_room_and_what_makes_way_is_told() {
    let (world, first) = full_defender().await;
    let at = world.ago(TimeDelta::minutes(5));
    let weak = Record::fqdn("weak.com").threat_score(Some(80)).mscore(80).updated(at);
    let (next, said) = compare(&world, &weak, "defender").await;
    let lane = &said.lanes["defender"];
    assert_eq!((next, lane.waits_for), (Next::Wait, Some(Awaited::Room)));
    assert_eq!(lane.weakest.map(|weakest| (weakest.threat_score, weakest.confidence)), Some((80, 90)));
    let strong = Record::fqdn("strong.com").threat_score(Some(99)).mscore(99).updated(at);
    let (next, said) = compare(&world, &strong, "defender").await;
    assert_eq!(next, Next::Create);
    let leaver: Vec<u64> = said.lanes["defender"].displaces.iter().map(|id| id.parse().unwrap()).collect();
    let [leaver] = leaver[..] else { panic!("{said:#?}") };
    let before = world.defender.stored();
    world.tick().await;
    assert!(before.contains_key(&leaver) && !world.defender.stored().contains_key(&leaver));
    // One that was displaced waits for room again.
    let value = before[&leaver]["indicatorValue"].as_str().unwrap();
    let displaced = Record::ipv4(value).threat_score(Some(80)).mscore(90).updated(first);
    world.mandiant.restore([displaced]);
    let said = explained(&world, value).await;
    let lane = &said.lanes["defender"];
    assert_eq!((lane.next, lane.entries[0].state.as_str()), (Next::Wait, "absent"), "{said:#?}");
    let foreign = Record::fqdn("theirs.com").updated(world.ago(TimeDelta::minutes(5)));
    world.mandiant.restore([foreign]);
    tokio::time::advance(HOUR).await;
    world.tick().await;
    let said = explained(&world, "theirs.com").await;
    assert_eq!(said.lanes["defender"].waits_for, Some(Awaited::Application), "{said:#?}");
}

/// A dry run over a full Defender counts what the pass then does.
#[tokio::test(start_paused = true)]
async fn a_dry_run_heeds_what_defender_has_room_for() {
    let (world, _) = full_defender().await;
    let at = world.ago(TimeDelta::minutes(30));
    world.mandiant.put_all((100..160).map(|n| {
        let score = 75 + n as i64 * 7 % 20;
        Record::ipv4(&address(n)).threat_score(Some(score)).mscore(90).updated(at)
    }));
    let numbers = |report: &Report| {
        let counts = report.lanes["defender"].counts;
        (counts.read, counts.created, counts.over_limit, counts.displaced, counts.dropped.total())
    };
    let dry = dry_run(&world).await;
    let requests = world.defender.stored();
    let report = world.tick().await;
    assert_ne!(requests, world.defender.stored());
    assert!(report.lanes["defender"].counts.over_limit > 5, "{report:#?}");
    assert_eq!(numbers(&dry), numbers(&report), "{dry:#?}\n{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_cannot_be_asked_is_told() {
    let (world, _) = full_defender().await;
    world.net.on_request(|exchange| {
        let is_list = exchange.authority == crate::harness::world::DEFENDER;
        is_list.then(|| sandbox::net::Fault::status(403))
    });
    let record = Record::fqdn("new.com").threat_score(Some(99)).updated(world.ago(TimeDelta::minutes(5)));
    world.mandiant.restore([record]);
    let said = explained(&world, "new.com").await;
    assert_eq!(said.lanes["defender"].next, Next::Create, "{said:#?}");
    assert!(said.error.as_ref().unwrap().contains("what defender has room for"), "{said:#?}");
}

/// A lane that has created and retracted as much as it does unasked, while nothing waits yet.
#[tokio::test(start_paused = true)]
async fn explain_agrees_with_the_dry_run_where_the_limits_are_reached() {
    let world = World::new();
    let at = world.ago(TimeDelta::hours(30));
    world.mandiant.put_all((0..600).map(|n| Record::ipv4(&address(n)).updated(at)));
    world.tick().await;
    tokio::time::advance(HOUR).await;
    let at = world.ago(TimeDelta::minutes(30));
    let new = (1000..3000).map(|n| Record::ipv4(&address(n)).updated(at));
    let lowered = (0..100).map(|n| Record::ipv4(&address(n)).updated(at).mscore(10));
    world.mandiant.put_all(new.chain(lowered));
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().created, report.totals().retracted), (End::CaughtUp, 2000, 100));
    tokio::time::advance(HOUR).await;
    let at = world.ago(TimeDelta::minutes(5));
    let one = |value: &str| Record::ipv4(value).updated(at);
    let new = compare(&world, &one("203.0.112.7"), "sentinel").await;
    assert_eq!((new.0, new.1.lanes["sentinel"].waits_for), (Next::Wait, Some(Awaited::ConfirmCreation)));
    let lowered = compare(&world, &one(&address(200)).mscore(10), "sentinel").await;
    assert_eq!(
        (lowered.0, lowered.1.lanes["sentinel"].waits_for),
        (Next::Wait, Some(Awaited::ConfirmRetraction))
    );
    // Neither limit concerns what is held already, and what is not wanted.
    assert_eq!(compare(&world, &one(&address(201)).mscore(99), "sentinel").await.0, Next::Update);
    assert_eq!(compare(&world, &one(&address(202)), "sentinel").await.0, Next::None);
    assert_eq!(compare(&world, &one("203.0.112.8").mscore(10), "sentinel").await.0, Next::None);
    // A day later it may do more, and says how much.
    tokio::time::advance(25 * HOUR).await;
    world.tick().await;
    let at = world.ago(TimeDelta::minutes(5));
    let said = compare(&world, &Record::ipv4("203.0.112.7").updated(at), "sentinel").await;
    assert_eq!((said.0, said.1.lanes["sentinel"].left_unasked), (Next::Create, Some(2000)));
}

/// The manifest keeps ends of validity: when something was sent follows only if the validity was the same then.
#[tokio::test(start_paused = true)]
async fn since_is_told_only_where_it_is_known() {
    let mut world = World::new();
    world.mandiant.put(Record::fqdn("held.com").updated(world.ago(TimeDelta::hours(3))));
    world.tick().await;
    let sent = world.now();
    tokio::time::advance(HOUR).await;
    let since = async |world: &World| explained(world, "held.com").await.lanes["sentinel"].since;
    let told = since(&world).await.expect("the validity is what it was");
    assert!((sent - told).abs() < TimeDelta::seconds(60), "{told} is not {sent}");
    world.set("FQDN_INDICATOR_EXPIRATION", "3");
    assert_eq!(since(&world).await, None, "under another validity that would be four days later");
    tokio::time::advance(HOUR).await;
    world.tick().await;
    let renewed = since(&world).await;
    assert!(renewed.is_none_or(|renewed| renewed >= sent), "{renewed:?}");
}
