//! Packages of more records than one answer holds.

use mati_sync::domain::outcome::End;
use sandbox::gti::{Filters, Ioc};

use super::{hours_ago, lane, world};
use crate::harness::world::World;

/// So many of a list's records are domains of every score, and as many addresses.
fn full(world: &World, list: &str, count: usize) {
    let at = hours_ago(world, 2);
    let score = |number: usize| 80 + i64::try_from(number % 21).unwrap();
    let domains = (0..count).map(|n| Ioc::domain(&format!("bad{n}.example")).score(score(n)));
    let addresses =
        (0..count).map(|n| Ioc::address(&format!("198.51.{}.{}", n / 250, n % 250 + 1)).score(score(n)));
    world.gti.put_all(list, at, domains.chain(addresses));
}

#[tokio::test(start_paused = true)]
async fn a_full_answer_is_asked_for_in_parts_until_none_is_full() {
    let mut world = world();
    world.set("GTI_LISTS", "malware").set("GTI_QUERY", "has:reports");
    // Ours asks for 4,000 and believes an answer of fewer; so the stand-in has as many.
    full(&world, "malware", 5000);
    let report = world.tick().await;
    assert_eq!((report.end, lane(&report).counts.created), (End::CaughtUp, 10_000), "{:?}", report.message);
    assert!(report.losses.is_empty(), "{:?}", report.losses);
    let queries: Vec<_> =
        world.gti.requests().iter().filter_map(|request| request.parameters.get("query").cloned()).collect();
    assert!(queries.iter().all(|query| query.starts_with("has:reports")), "the user's own filter stays");
}

#[tokio::test(start_paused = true)]
async fn what_is_still_full_is_delivered_and_the_hour_told() {
    for (types, bands) in [
        (Filters::Taken, Filters::Rejected),
        (Filters::Taken, Filters::Ignored),
        (Filters::Rejected, Filters::Taken),
        (Filters::Ignored, Filters::Ignored),
    ] {
        let mut world = world();
        world.set("GTI_LISTS", "malware");
        world.gti.set(|knobs| (knobs.types, knobs.bands) = (types, bands));
        full(&world, "malware", 4500);
        let report = world.tick().await;
        assert_eq!(report.end, End::CaughtUp, "{:?}", report.message);
        let [loss] = &report.losses[..] else { panic!("{types:?} {bands:?}: {:?}", report.losses) };
        assert!(loss.what.starts_with("malware: possibly incomplete"), "{loss:?}");
        assert_eq!((loss.from, loss.to), (hours_ago(&world, 2), hours_ago(&world, 1)));
        assert!(lane(&report).counts.created >= 4000);
        assert!(world.gti.asked("malware") < 200, "{types:?} {bands:?}: it stops asking in vain");
    }
}

#[tokio::test(start_paused = true)]
async fn files_alone_are_split_by_score_at_once() {
    let mut world = world();
    world.set("GTI_LISTS", "ransomware");
    let files = (0..6000).map(|n| Ioc::file(&format!("{:064x}", n + 4096), None).score(80 + n % 21));
    world.gti.put_all("ransomware", hours_ago(&world, 2), files);
    let report = world.tick().await;
    assert_eq!(lane(&report).counts.created, 6000, "{:?}", report.message);
    assert!(report.losses.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_list_with_more_types_than_are_documented_is_split_by_those_that_it_shows() {
    let mut world = world();
    world.set("GTI_LISTS", "ransomware");
    let file = |n: usize| Ioc::file(&format!("{:064x}", n + 4096), None);
    let domain = |n: usize| Ioc::domain(&format!("bad{n}.example"));
    let both = (0..3000).flat_map(|n| [file(n), domain(n)]).map(|ioc| ioc.score(90));
    world.gti.put_all("ransomware", hours_ago(&world, 2), both);
    let report = world.tick().await;
    assert_eq!(lane(&report).counts.created, 6000, "{:?}", report.message);
    assert!(report.losses.is_empty(), "{:?}", report.losses);
}
