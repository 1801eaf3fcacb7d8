//! From one source to the other, and back.

use std::sync::Arc;

use chrono::TimeDelta;
use mati_sync::{
    check,
    clock::Deadline,
    domain::{
        outcome::{Counts, End},
        request::RunOptions,
    },
};
use sandbox::{corpus::Record, gti::Ioc, net::Fault};

use super::{hours_ago, lane, pass_hours};
use crate::harness::world::World;

fn gti(world: &mut World) {
    world.set("SOURCE", "gti").set("GTI_API_KEY", "sandbox-gti-key").set("GTI_LISTS", "malware,phishing");
}

#[tokio::test(start_paused = true)]
async fn the_new_source_begins_where_the_old_one_stood_and_nothing_is_sent_twice() {
    let mut world = World::new();
    for value in ["both.example", "mandiant.example"] {
        world.mandiant.put(Record::fqdn(value).updated(world.ago(TimeDelta::hours(5))));
    }
    let report = world.tick().await;
    assert_eq!((report.end, world.held().len()), (End::CaughtUp, 2), "{report:#?}");
    let id = world.object("both.example")["id"].clone();

    gti(&mut world);
    pass_hours(30).await;
    world.gti.put("malware", hours_ago(&world, 29), &Ioc::domain("both.example"));
    world.gti.put("malware", hours_ago(&world, 2), &Ioc::domain("gti.example"));
    // Before the old source's watermark.
    world.gti.put("malware", hours_ago(&world, 60), &Ioc::domain("earlier.example"));
    let report = world.tick().await;
    assert_eq!(report.end, End::CaughtUp, "{report:#?}");
    assert_eq!(world.held(), ["both.example", "gti.example", "mandiant.example"], "{report:#?}");
    assert_eq!(world.object("both.example")["id"], id, "the id stays");
    assert_eq!((report.totals().created, report.totals().updated), (1, 1), "{report:#?}");
    assert!(report.losses.is_empty() && world.gti.asked("malware") < 33, "{report:#?}");
    let rows = world.sentinel.log().len();
    pass_hours(1).await;
    world.tick().await;
    assert_eq!(world.sentinel.log().len(), rows, "nothing is sent again");

    // And back: everything is read again, and nothing is retracted because only the other source lists it.
    world.set("SOURCE", "mandiant");
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().retracted), (End::CaughtUp, 0), "{report:#?}");
    assert!(world.held().contains(&"gti.example".to_owned()), "it ages out");
    let asked = world.mandiant.requests();
    let oldest = asked.iter().rev().take(70).filter_map(|request| request.parameter("start_epoch")).min();
    let month_ago = world.ago(TimeDelta::days(29)).timestamp();
    assert!(oldest.unwrap().parse::<i64>().unwrap() < month_ago, "a refresh reads a month");
}

#[tokio::test(start_paused = true)]
async fn a_gap_between_the_sources_is_a_loss() {
    let mut world = World::new();
    let stood = lane(&world.tick().await).watermark.unwrap();
    gti(&mut world);
    pass_hours(12 * 24).await;
    let report = world.tick().await;
    let [loss] = &report.losses[..] else { panic!("{report:#?}") };
    assert!(loss.from <= stood && loss.from > stood - TimeDelta::hours(1), "{report:#?}");
    assert_eq!((report.end, loss.to), (End::CaughtUp, hours_ago(&world, 7 * 24)));
}

/// A world four hours after Sentinel lost what Mandiant listed, in which Google listed it, too, and in the same hour what it
/// took back two hours later.
async fn lost_on_its_way() -> World {
    let mut world = World::new();
    world.verifies();
    world.sentinel.knobs(|knobs| knobs.lose = Some(Arc::new(|_| true)));
    world.mandiant.put(Record::fqdn("lost.example").updated(hours_ago(&world, 6)));
    let report = world.tick().await;
    assert_eq!((lane(&report).counts.created, world.held().len()), (1, 0), "{report:#?}");
    world.sentinel.knobs(|knobs| knobs.lose = None);
    world.gti.put("malware", hours_ago(&world, 6), &Ioc::domain("lost.example"));
    world.gti.put("malware", hours_ago(&world, 6), &Ioc::domain("taken-back.example"));
    world.gti.put("malware", hours_ago(&world, 4), &Ioc::domain("taken-back.example").score(Some(3)));
    pass_hours(4).await;
    world
}

/// What a package of the past says held then. Nothing before the change was read in the lists, so it is not known that a
/// later package says something else.
#[tokio::test(start_paused = true)]
async fn what_is_offered_again_brings_nothing_back_that_the_new_source_took_back_before_the_change() {
    let mut world = lost_on_its_way().await;
    gti(&mut world);
    let report = world.tick().await;
    assert!(report.message.contains("is offered again"), "{report:#?}");
    assert_eq!(world.held(), ["lost.example"], "{report:#?}");
}

/// Its contract with Mandiant has ended meanwhile.
#[tokio::test(start_paused = true)]
async fn a_range_of_the_other_source_goes_on_to_the_present() {
    let mut world = lost_on_its_way().await;
    // What is offered again is noted, and cannot be read.
    world.net.on_request(|exchange| exchange.uri.path().contains("indicator").then(|| Fault::status(403)));
    world.tick().await;
    gti(&mut world);
    pass_hours(1).await;
    let report = world.tick().await;
    assert_eq!(report.end, End::CaughtUp, "{report:#?}");
    assert_eq!(world.held(), ["lost.example"], "{}", report.message);
}

/// A confirmation reads again, but not all that Google lists: what it does not meet may be listed still.
#[tokio::test(start_paused = true)]
async fn confirmations_bring_nothing_back_that_the_other_source_took_back() {
    let mut world = World::new();
    let list = |hours, score| {
        let record = Record::fqdn("taken-back.example").updated(hours_ago(&world, hours));
        world.mandiant.put(record.threat_score(Some(score)));
    };
    list(5, 90);
    world.tick().await;
    pass_hours(2).await;
    list(1, 10);
    let report = world.tick().await;
    assert_eq!((report.totals().retracted, world.held().len()), (1, 0), "{report:#?}");

    world.gti.put("malware", hours_ago(&world, 4), &Ioc::domain("taken-back.example"));
    gti(&mut world);
    pass_hours(2).await;
    let confirm = RunOptions { confirm_retraction: true, ..RunOptions::default() };
    for order in [confirm.clone(), confirm, RunOptions { lookback_days: Some(1), ..RunOptions::default() }] {
        let report = world.command(order).await;
        assert_eq!((report.end, world.held().len()), (End::CaughtUp, 0), "{report:#?}");
    }
}

/// What another source was read in between does not settle a package that was missing, nor what the licence did not give.
#[tokio::test(start_paused = true)]
async fn what_was_not_there_before_a_change_of_source_is_tried_again_when_the_source_comes_back() {
    let mut world = World::new();
    gti(&mut world);
    let missing = hours_ago(&world, 3);
    world.gti.put("malware", missing, &Ioc::domain("missing.example"));
    world.gti.put("phishing", missing, &Ioc::url("http://forbidden.example/a"));
    world.gti.set(|knobs| {
        knobs.holes.insert(("malware".to_owned(), missing));
        knobs.forbidden.insert("phishing".to_owned());
    });
    assert_eq!((world.tick().await.end, world.held().len()), (End::CaughtUp, 0));
    world.set("SOURCE", "mandiant");
    for _ in 0..2 {
        pass_hours(4).await;
        assert_eq!(world.tick().await.end, End::CaughtUp);
    }
    gti(&mut world);
    world.gti.set(|knobs| (knobs.holes, knobs.forbidden) = Default::default());
    pass_hours(4).await;
    let report = world.tick().await;
    assert_eq!((report.end, report.losses.len()), (End::CaughtUp, 0), "{report:#?}");
    assert_eq!(world.held(), ["http://forbidden.example/a", "missing.example"], "{report:#?}");
}

/// Two sources that partly list the same, four passes, the change, four passes, and back: at each step the workspace has
/// what one of them listed last, each value under one id, and what both list is valid in every hour.
#[tokio::test(start_paused = true)]
async fn a_change_of_source_and_the_way_back_leave_no_hole() {
    let mut world = World::new();
    for value in ["both.example", "mandiant.example"] {
        world.mandiant.put(Record::fqdn(value).updated(world.ago(TimeDelta::hours(5))));
    }
    world.tick().await;
    let ids = ["both.example", "mandiant.example"].map(|value| world.object(value)["id"].clone());
    let mut sent = four_days(&world).await;
    assert_eq!((sent.created, sent.updated), (0, 0), "{sent:?}");
    let before = world.object("mandiant.example");

    gti(&mut world);
    sent = four_days(&world).await;
    assert_eq!((sent.created, sent.updated, sent.retracted), (1, 1, 0), "{sent:?}");
    assert_eq!(world.held(), ["both.example", "gti.example", "mandiant.example"]);
    sent = four_days(&world).await;
    assert_eq!((sent.created, sent.updated, sent.retracted), (0, 0, 0), "{sent:?}");
    assert_eq!(world.object("mandiant.example"), before, "neither renewed nor retracted");
    assert_eq!(world.held(), ["both.example", "gti.example"], "what is not listed any more aged out");
    let before = world.object("gti.example");

    world.set("SOURCE", "mandiant");
    sent = four_days(&world).await;
    // What had aged out is known still, and becomes valid again: by two refreshes, as what both list.
    assert_eq!((sent.created, sent.renewed, sent.updated, sent.retracted), (0, 4, 0, 0), "{sent:?}");
    assert_eq!(world.object("gti.example"), before, "neither renewed nor retracted");
    assert_eq!(world.held(), ["both.example", "gti.example", "mandiant.example"]);
    assert_eq!(["both.example", "mandiant.example"].map(|value| world.object(value)["id"].clone()), ids);
    assert_eq!(world.sentinel.stored().len(), 3, "no value has a second id");
}

/// A pass a day, and what the four of them sent. Google lists its values again each day, to every client.
async fn four_days(world: &World) -> Counts {
    let mut sent = Counts::default();
    for _ in 0..4 {
        for _ in 0..24 {
            pass_hours(1).await;
            assert!(world.held().contains(&"both.example".to_owned()), "it lapsed at {}", world.now());
        }
        for value in ["both.example", "gti.example"] {
            world.gti.put("malware", hours_ago(world, 4), &Ioc::domain(value));
        }
        let report = world.tick().await;
        assert_eq!(report.end, End::CaughtUp, "{report:#?}");
        assert!(report.losses.is_empty(), "{report:#?}");
        let counts = report.totals();
        sent.created += counts.created;
        sent.updated += counts.updated;
        sent.renewed += counts.renewed;
        sent.retracted += counts.retracted;
    }
    sent
}

#[tokio::test(start_paused = true)]
async fn check_tells_what_a_change_of_source_brings() {
    let mut world = World::new();
    let stood = lane(&world.tick().await).watermark.unwrap();
    let changes = async |world: &World| {
        let findings = check::run(&world.start().engine, None).await;
        findings.into_iter().find(|finding| finding.check == "changes").expect("it is checked").result
    };
    assert_eq!(changes(&world).await, "nothing has changed");
    gti(&mut world);
    assert_eq!(
        changes(&world).await,
        format!(
            "the source of sentinel is gti now, and was mandiant: the next pass begins where that one stood, at {stood}"
        )
    );
    world.set("SOURCE_SYSTEM", "Google");
    let told = changes(&world).await;
    assert!(told.starts_with("SOURCE and SOURCE_SYSTEM have both changed"), "{told}");
    assert!(told.ends_with("set SOURCE_SYSTEM to \"Mandiant\" again"), "{told}");

    // Once that is done, there is nothing left to warn of.
    world.tick().await;
    assert_eq!(changes(&world).await, "nothing has changed");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_source_renews_no_more_often() {
    let mut rows = Vec::new();
    for from_mandiant in [false, true] {
        let mut world = World::new();
        world.set("GTI_LISTS", "malware").set("GTI_API_KEY", "sandbox-gti-key");
        if from_mandiant {
            world.tick().await;
        }
        world.set("SOURCE", "gti");
        pass_hours(1).await;
        world.tick().await;
        for _ in 0..(30 * 24) {
            world.gti.put("malware", hours_ago(&world, 1), &Ioc::domain("bad.example"));
            pass_hours(1).await;
            let report = world.tick().await;
            assert_eq!(report.end, End::CaughtUp, "{report:#?}");
        }
        rows.push(world.sentinel.log().len());
    }
    assert_eq!(rows[0], rows[1], "{rows:?}");
}

#[tokio::test(start_paused = true)]
async fn an_audit_of_defender_sees_what_is_gone_after_a_change_of_source() {
    let mut found = Vec::new();
    for from_mandiant in [false, true] {
        let mut world = World::new();
        world.set("GTI_LISTS", "malware").set("GTI_API_KEY", "sandbox-gti-key");
        world.set("TARGET_APPLICATION", "defender");
        if from_mandiant {
            world.tick().await;
        }
        world.set("SOURCE", "gti");
        pass_hours(1).await;
        for name in ["a.example", "b.example"] {
            world.gti.put("malware", hours_ago(&world, 2), &Ioc::domain(name));
        }
        world.tick().await;
        assert_eq!(world.defender.stored().len(), 2);
        let (id, _) = world.defender.stored().into_iter().next().unwrap();
        assert!(world.defender.remove(id));
        world.gti.put("malware", hours_ago(&world, 1), &Ioc::domain("c.example"));
        pass_hours(1).await;
        world.tick().await;
        pass_hours(2).await;
        let (_sender, stop) = tokio::sync::watch::channel(false);
        let audit = world.start().engine.audit(&Deadline::unlimited(stop)).await.unwrap();
        found.push(audit.lanes["defender"].missing);
    }
    assert_eq!(found, [1, 1]);
}
