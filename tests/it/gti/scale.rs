//! A day of every list that does not fit into one pass: paused, continued, and never more of it in memory than two hours.

use std::{collections::BTreeMap, time::Duration};

use chrono::NaiveDateTime;
use mati_sync::domain::outcome::End;
use sandbox::gti::{Ioc, LISTS};

use super::{hours_ago, lane, world};

const HOURS: i64 = 24;
/// Records of a package; half of them stand in two lists.
const RECORDS: usize = 60;
/// What the host grants an invocation.
const LIMIT: Duration = Duration::from_secs(300);

#[tokio::test(start_paused = true)]
async fn a_day_of_every_list_is_paused_and_continued_and_two_hours_of_it_are_held_at_most() {
    let mut world = world();
    world.set("INITIAL_LOOKBACK", "2").set("SENTINEL_REQUESTS_PER_MINUTE", "12");
    world.gti.set(|knobs| knobs.body_delay = Duration::from_secs(2));
    for hours in 0..HOURS {
        let at = hours_ago(&world, 2 + hours);
        for (place, (list, _)) in LISTS.iter().enumerate() {
            // Files alone are in every list.
            let first = hours as usize * LISTS.len() * RECORDS + place * RECORDS / 2;
            let files =
                (first..first + RECORDS).map(|number| Ioc::file(&format!("{:064x}", number + 4096), None));
            world.gti.put_all(list, at, files);
        }
    }
    let reports = world.chain(LIMIT).await;
    let paused = reports.iter().filter(|report| report.end == End::Paused).count();
    let last = reports.last().expect("it ran");
    assert!(paused > 2, "it is more than fits into a pass: {paused} of {}", reports.len());
    assert_eq!((last.end, lane(last).watermark), (End::CaughtUp, Some(hours_ago(&world, 1))), "{last:#?}");
    assert!(reports.iter().all(|report| report.losses.is_empty()), "{reports:#?}");
    let of_an_hour = LISTS.len() * RECORDS / 2 + RECORDS / 2;
    assert_eq!(world.held().len(), of_an_hour * HOURS as usize);

    // Where a pass ended, the next one goes on: no package is read more than once in each of them.
    let mut asked: BTreeMap<(String, String), usize> = BTreeMap::new();
    for request in world.gti.requests().iter().filter(|request| !request.list.is_empty()) {
        *asked.entry((request.list.clone(), request.package.clone())).or_default() += 1;
    }
    let again = asked.values().filter(|times| **times > 1).count();
    assert!(again <= 2 * LISTS.len() * reports.len(), "{again} packages were read again");
    assert!(asked.values().all(|times| *times <= 3), "{asked:#?}");
    // Sent once: what a pass could not settle of its last hour, the manifest knows.
    assert_eq!(world.sentinel.log().len(), world.held().len());

    // In memory are the hour that is delivered and the next one: when a package is asked for, everything is taken that came
    // before the hour before it.
    let accepted = world.sentinel.log();
    for request in world.gti.requests().iter().filter(|request| request.records > 0) {
        let hour =
            NaiveDateTime::parse_from_str(&format!("{}00", request.package), "%Y%m%d%H%M").unwrap().and_utc();
        let before = (hour - hours_ago(&world, 1 + HOURS)).num_hours() - 1;
        let taken = accepted.iter().take_while(|row| row.at <= request.at).count();
        let least = of_an_hour * usize::try_from(before).unwrap_or(0);
        assert!(taken >= least, "{taken} of {least} were taken when {hour} was asked for");
    }
}

/// What is new waits at Defender until the best of it is known, for half of the time at most: also if nothing comes in the
/// hours that are read meanwhile, and more of them than a pass can read.
#[tokio::test(start_paused = true)]
async fn what_waits_at_defender_is_delivered_though_only_empty_hours_follow() {
    let mut world = world();
    world.set("GTI_LISTS", "malware").set("INITIAL_LOOKBACK", "7").set("TARGET_APPLICATION", "defender");
    world.gti.set(|knobs| knobs.body_delay = Duration::from_secs(5));
    world.gti.put("malware", hours_ago(&world, 160), &Ioc::domain("bad.example"));
    let reports = world.chain(LIMIT).await;
    assert_eq!((reports[0].end, reports[0].totals().created), (End::Paused, 1), "{:#?}", reports[0]);
    assert!(reports.iter().all(|report| report.end != End::Stalled), "{reports:#?}");
    let last = reports.last().expect("it ran");
    let watermark = last.lanes["defender"].watermark;
    assert_eq!((last.end, watermark), (End::CaughtUp, Some(hours_ago(&world, 1))), "{last:#?}");
}
