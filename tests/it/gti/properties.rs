//! What holds in whatever order lists, packages and passes come.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::{
    domain::{
        feeds::{Account, Feeds, Outcome},
        indicator::Indicator,
        observable::Observable,
    },
    source::gti::{
        LIMITS,
        merge::{Hour, Part, Sighting, Standing, Topic},
    },
};
use proptest::prelude::*;

fn start() -> DateTime<Utc> {
    crate::harness::world::START.parse().unwrap()
}

fn sighting() -> impl Strategy<Value = Sighting> {
    let part = (0..4_usize, 0..3_u8, any::<bool>()).prop_map(|(topic, name, is_loud)| {
        let topic = [Topic::Category, Topic::Malware, Topic::Actor, Topic::Campaign][topic];
        let (id, name) = match topic {
            Topic::Category => (String::new(), format!("category{name}")),
            _ if is_loud => (format!("id--{name}"), format!("NAME{name}")),
            _ => (format!("id--{name}"), format!("name{name}")),
        };
        Part { topic, id, name }
    });
    let standing = (
        prop::option::of(78..=83_u8),
        prop::option::of(79..=81_u8),
        any::<bool>(),
        prop::option::of(0..5_usize),
    );
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (0..4_u8, standing, flags, prop::collection::vec(part, 0..4), prop::option::of(0..9_i64)).prop_map(
        |(value, (threat_score, confidence, is_malign, severity), flags, parts, seen)| Sighting {
            observable: Observable::domain(&format!("bad{value}.example")).unwrap(),
            former: None,
            page: format!("domain/bad{value}.example"),
            standing: Standing { threat_score, confidence, is_malign, severity },
            is_benign_by_analyst: flags.0,
            is_pervasive: flags.1,
            is_open_source: flags.2,
            parts,
            first_seen: seen.map(|hours| start() - TimeDelta::hours(hours)),
        },
    )
}

/// What becomes of the sightings, by value.
fn merged(sightings: impl Iterator<Item = Sighting>) -> BTreeMap<String, Indicator> {
    let mut hour = Hour::ending(start());
    sightings.for_each(|sighting| hour.add(Ok(sighting)));
    hour.close();
    let mut found = BTreeMap::new();
    while let Some(page) = hour.take_page() {
        for indicator in page.indicators {
            assert!(found.insert(indicator.source_id.clone(), indicator).is_none(), "a value comes once");
        }
    }
    found
}

proptest! {
    /// Lists are read side by side, and a part of a full one comes more than once.
    #[test]
    fn the_order_and_the_number_of_times_in_which_records_come_change_nothing(
        sightings in prop::collection::vec(sighting(), 1..12),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..24),
    ) {
        let straight = merged(sightings.iter().cloned());
        let again = order.iter().map(|index| index.get(&sightings));
        let mixed = merged(again.chain(sightings.iter().rev()).cloned());
        prop_assert_eq!(&straight, &mixed);
        for (page, indicator) in &straight {
            let of_value = || sightings.iter().filter(|sighting| sighting.page == *page);
            let best = of_value().map(|sighting| sighting.standing).max().unwrap();
            prop_assert_eq!(indicator.threat_score, best.threat_score);
            prop_assert_eq!(indicator.confidence, best.confidence);
            let by_analyst = of_value().any(|sighting| sighting.is_benign_by_analyst);
            prop_assert_eq!(indicator.is_benign, by_analyst || !best.is_malign);
        }
    }

    /// Whatever the source answers, each package is read, or told as lost, or belongs to a feed that was closed; no
    /// position moves back but to read again, and a pass ends.
    #[test]
    fn no_package_is_passed_over_in_silence(
        rounds in prop::collection::vec((1..60_i64, prop::collection::vec((0..6_u8, any::<prop::sample::Index>()), 1..40)), 1..12),
    ) {
        let names: Vec<String> = ["a", "b", "c"].map(str::to_owned).into();
        let begin = LIMITS.floor(start());
        let mut feeds = Feeds::default();
        let (mut now, mut read, mut lost) = (start(), BTreeSet::new(), BTreeSet::new());
        let mut ever_closed = BTreeSet::new();
        // Of very many packages that were missing, a pass tries some.
        let calm = (0..24).map(|_| (2, Vec::new()));
        for (hours, answers) in rounds.into_iter().chain(calm) {
            now += TimeDelta::hours(hours);
            for loss in feeds.begin(&names, Feeds::default(), begin, now, LIMITS) {
                let mut at = loss.from;
                while at < loss.to {
                    lost.extend(loss.what.split(", ").map(|name| (name.to_owned(), at)));
                    at += LIMITS.grain;
                }
            }
            let mut steps = 0;
            while let Some((at, choice)) = feeds.next(now, LIMITS) {
                steps += 1;
                prop_assert!(steps < 5000, "the pass does not end");
                prop_assert!(!choice.due.is_empty() && at + LIMITS.grain <= LIMITS.end(now));
                let asked = |names: &[String]| -> Account { names.iter().map(|name| {
                    // An answer rests with its feed and time, as a service's does for a while.
                    let hash = at.timestamp() / 3600 * 7 + i64::from(name.as_bytes()[0]);
                    let answer = answers.get(usize::try_from(hash).unwrap() % answers.len().max(1));
                    let outcome = match answer.map(|(kind, _)| *kind) {
                        Some(0) => Outcome::NotYet,
                        Some(1) => Outcome::Missing,
                        Some(2) => Outcome::Closed("forbidden".to_owned()),
                        Some(3) => Outcome::Empty,
                        Some(4) => Outcome::Incomplete("full".to_owned()),
                        _ => Outcome::Read,
                    };
                    (name.clone(), outcome)
                }).collect() };
                let mut account = asked(&choice.due);
                // What was settled before is asked again if something came.
                if account.values().any(|outcome| matches!(outcome, Outcome::Read | Outcome::Incomplete(_))) {
                    account.extend(asked(&choice.beside));
                }
                for (name, outcome) in &account {
                    match outcome {
                        Outcome::Read | Outcome::Empty | Outcome::Incomplete(_) => {
                            read.insert((name.clone(), at));
                        }
                        Outcome::Closed(_) => {
                            ever_closed.insert(name.clone());
                        }
                        Outcome::NotYet | Outcome::Missing => {}
                    }
                }
                feeds.note_closed(&account);
                feeds.settle(at, &choice, &account, LIMITS);
            }
        }
        let end = LIMITS.end(now);
        prop_assert_eq!(feeds.settled_to(), Some(end), "in calm everything is read");
        for name in names.iter().filter(|name| !ever_closed.contains(*name)) {
            let mut at = begin;
            while at < end {
                let package = (name.clone(), at);
                prop_assert!(read.contains(&package) || lost.contains(&package), "{} of {} is passed over", at, name);
                at += LIMITS.grain;
            }
        }
    }
}

/// A package that came late has everything after it read again. Where that stops at one that is not ready, a missing package
/// beyond it may come first: what lies between is read again all the same.
#[test]
fn a_missing_package_that_comes_beyond_the_position_passes_nothing_over() {
    let names: Vec<String> = ["a", "b"].map(str::to_owned).into();
    let hours = |count: i64| LIMITS.floor(start()) + TimeDelta::hours(count);
    let mut feeds = Feeds::default();
    let answer = |feeds: &mut Feeds, at: i64, a: Outcome, b: Outcome, now: DateTime<Utc>| {
        let (found, choice) = feeds.next(now, LIMITS).expect("more is there");
        assert_eq!(found, hours(at));
        let account = Account::from([("a".to_owned(), a), ("b".to_owned(), b)]);
        feeds.settle(found, &choice, &account, LIMITS);
    };
    let now = hours(4) + LIMITS.lag;
    feeds.begin(&names, Feeds::default(), hours(0), now, LIMITS);
    answer(&mut feeds, 0, Outcome::Read, Outcome::Missing, now);
    answer(&mut feeds, 1, Outcome::Read, Outcome::Read, now);
    answer(&mut feeds, 2, Outcome::Read, Outcome::Read, now);
    answer(&mut feeds, 3, Outcome::Missing, Outcome::Read, now);
    assert_eq!(feeds.next(now, LIMITS), None);

    feeds.begin(&names, Feeds::default(), hours(0), now, LIMITS);
    answer(&mut feeds, 0, Outcome::Read, Outcome::Read, now);
    answer(&mut feeds, 1, Outcome::NotYet, Outcome::Read, now);
    answer(&mut feeds, 2, Outcome::NotYet, Outcome::Read, now);
    answer(&mut feeds, 3, Outcome::Read, Outcome::Read, now);
    feeds.begin(&names, Feeds::default(), hours(0), now, LIMITS);
    let (at, choice) = feeds.next(now, LIMITS).expect("it is to be read again");
    assert_eq!((at, choice.due), (hours(1), vec!["a".to_owned()]));
}
