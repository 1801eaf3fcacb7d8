//! The comparison itself, as a property: whatever was done to a destination by hand is found, each once and as what it is,
//! in whatever order and however often its list shows it, and also if the audit is interrupted on the way.

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::domain::{
    audit::{Amiss, Auditor, Rules, Wrong},
    deciding_record::{RecordVersion, Tag},
    entry::{Entry, State},
    expiry::Expirations,
    filter::PerType,
    findings::{Findings, Listing, Unfinished, mended, ranges},
    fingerprint::Fingerprint,
    manifest::Manifest,
    observable::{IndicatorType, Key},
    shown::{Field, Fields, Labels, Shown, ShownPage},
};
use mati_sync::source::mandiant::LIMITS;
use proptest::prelude::*;

/// What was done to one indicator.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Done {
    Nothing,
    Deleted,
    Prolonged,
    Shortened,
    Ended,
    Revoked,
    Rescored,
    Stripped,
    Retracted,
    Unwanted,
    /// It was sent an hour ago, and the destination shows nothing of it yet.
    SentJustNow,
    /// The same, and shows what it held before.
    RenewedJustNow,
    RetractedJustNow,
    Planted,
}

const ALL: [Done; 14] = [
    Done::Nothing,
    Done::Deleted,
    Done::Prolonged,
    Done::Shortened,
    Done::Ended,
    Done::Revoked,
    Done::Rescored,
    Done::Stripped,
    Done::Retracted,
    Done::Unwanted,
    Done::SentJustNow,
    Done::RenewedJustNow,
    Done::RetractedJustNow,
    Done::Planted,
];

fn now() -> DateTime<Utc> {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

fn rules() -> Rules {
    let expirations = Expirations(PerType { ip: 7, fqdn: 7, url: 7, hash: 90 });
    Rules { expirations, lag: TimeDelta::hours(3), settings_changed: None, absent_since: None }
}

fn key(n: usize) -> Key {
    let mut bytes = [7; 16];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    bytes.into()
}

/// The entry, if there is one, and what the destination shows of it, if anything.
fn made(n: usize, done: Done) -> (Option<Entry>, Option<Shown>) {
    // Days apart from one another.
    let sent = now() - TimeDelta::hours(10 + n as i64 % 100);
    let just_now = now() - TimeDelta::hours(1);
    let week = TimeDelta::days(7);
    let (state, until) = match done {
        Done::Retracted => (State::Retracted, sent),
        Done::RetractedJustNow => (State::Retracted, just_now),
        Done::Unwanted => (State::Unwanted, sent + week),
        Done::SentJustNow | Done::RenewedJustNow => (State::Held, just_now + week),
        _ => (State::Held, sent + week),
    };
    let version = RecordVersion { updated: 1_772_000_000, tag: Tag::of("record") };
    let entry = Entry::new(key(n), Fingerprint(4711), until, version, state).of_type(IndicatorType::Ipv4);
    let shown = Shown {
        id: Some(key(n)),
        value: Some(key(n)),
        handle: None,
        // What a destination shows has another precision.
        valid_until: Some(sent + week + TimeDelta::milliseconds(n as i64 % 1000)),
        fingerprint: Fingerprint::adopted(90),
        tag: Tag::UNKNOWN,
        indicator_type: None,
        differs: Fields::default(),
        differs_today: Fields::default(),
        labels: Labels::Some,
        edited: None,
    };
    let shown = match done {
        Done::Deleted | Done::SentJustNow | Done::Unwanted => None,
        Done::Prolonged => Some(Shown { valid_until: None, ..shown }),
        Done::Shortened => Some(Shown { valid_until: Some(now() + TimeDelta::minutes(9)), ..shown }),
        Done::Ended => Some(Shown { valid_until: Some(now() - TimeDelta::minutes(9)), ..shown }),
        Done::Retracted => Some(Shown { valid_until: Some(sent), ..shown }),
        Done::Revoked => Some(Shown { differs: Fields::default().with(Field::Revoked, true), ..shown }),
        Done::Rescored => Some(Shown { differs: Fields::default().with(Field::Confidence, true), ..shown }),
        Done::Stripped => Some(Shown { labels: Labels::None, ..shown }),
        _ => Some(shown),
    };
    ((done != Done::Planted).then_some(entry), shown)
}

fn expected(done: Done) -> Option<Wrong> {
    match done {
        Done::Deleted => Some(Wrong::Missing),
        Done::Prolonged | Done::Shortened | Done::Revoked | Done::Rescored | Done::Stripped => {
            Some(Wrong::Changed)
        }
        Done::Ended => Some(Wrong::Expired),
        Done::Planted => Some(Wrong::Unknown),
        _ => None,
    }
}

proptest! {
    #[test]
    fn what_was_done_is_found_once_and_as_what_it_is(
        done in prop::collection::vec(prop::sample::select(&ALL[..]), 1..60),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..200),
        size in 1..20_usize,
        interrupted_after in 0..20_usize,
    ) {
        let made: Vec<_> = done.iter().enumerate().map(|(n, done)| made(n, *done)).collect();
        let manifest: Manifest = made.iter().filter_map(|(entry, _)| *entry).collect();
        let all: Vec<&Shown> = made.iter().filter_map(|(_, shown)| shown.as_ref()).collect();
        // Everything is shown at least once, some of it more often, in any order.
        let again = order.iter().filter(|_| !all.is_empty()).map(|index| *index.get(&all));
        let mut list: Vec<Shown> = all.iter().copied().chain(again).cloned().collect();
        let length = list.len();
        order.iter().enumerate().filter(|_| length > 1).for_each(|(at, index)| {
            list.swap(at % length, index.index(length));
        });
        let mut auditor = Auditor::new(now(), rules());
        let mut unknown = Vec::new();
        for (number, shown) in list.chunks(size).enumerate() {
            let page = ShownPage { shown: shown.to_vec(), ..ShownPage::default() };
            unknown.extend(auditor.take(&page, &manifest, now()));
            if number == interrupted_after {
                let listing = Box::new(Listing::of(&auditor, &manifest, Some("token".to_owned()), 1));
                let bytes = Unfinished::Listing(listing.clone()).to_bytes();
                prop_assert_eq!(Unfinished::from_bytes(&bytes), Some(Unfinished::Listing(listing.clone())));
                // The manifest that is loaded then may be in another order.
                auditor = listing.resumed(rules(), &manifest);
            }
        }
        let (held, amiss) = auditor.amiss(&manifest, now());
        prop_assert_eq!(held, manifest.held(now()));
        let shows_labels = done.iter().any(|done| {
            let (entry, shown) = self::made(0, *done);
            entry.is_some_and(|entry| entry.is_held(now())) && shown.is_some_and(|shown| shown.labels == Labels::Some)
        });
        let mut found: Vec<(Key, Wrong)> = amiss.iter().map(|amiss| (amiss.known.entry.key, amiss.wrong)).collect();
        found.extend(unknown.iter().map(|known| (known.entry.key, Wrong::Unknown)));
        found.sort();
        let expected = done.iter().enumerate().filter_map(|(n, done)| {
            // A destination that shows no labels at all is not one where they were taken off.
            let wrong = expected(*done).filter(|_| *done != Done::Stripped || shows_labels);
            Some((key(n), wrong?))
        });
        let expected: Vec<_> = expected.collect();
        prop_assert_eq!(auditor.unknown(), unknown.len() as u64);
        prop_assert_eq!(&found, &expected);
        let findings = Findings::of(now(), held, &amiss, 0);
        prop_assert_eq!(findings.amiss() + auditor.unknown(), expected.len() as u64);
        // What is mended is not amiss any more, unless it is still to be sent.
        let mut manifest = manifest;
        amiss.iter().for_each(|amiss| manifest.put(mended(amiss, now())));
        unknown.iter().for_each(|known| manifest.put(*known));
        for (key, wrong) in expected {
            let entry = manifest.get(key).unwrap();
            match wrong {
                Wrong::Missing => prop_assert_eq!(entry.state(), State::Absent),
                Wrong::Unknown => prop_assert!(entry.is_held(now())),
                Wrong::Changed | Wrong::Expired => prop_assert_eq!(entry.fingerprint, Fingerprint::VOID),
            }
        }
    }

    /// What is read again covers every record, within what the source gives, and in a few ranges.
    #[test]
    fn the_ranges_of_a_repair_cover_what_it_needs(ages in prop::collection::vec(0..200_i64, 1..40)) {
        let updated = |age: &i64| now() - TimeDelta::hours(age * 11 + 1);
        let amiss: Vec<Amiss> = ages.iter().enumerate().map(|(n, age)| {
            let version = RecordVersion { updated: updated(age).timestamp().try_into().unwrap(), tag: Tag::of("r") };
            let known = Entry::new(key(n), Fingerprint(4711), now(), version, State::Held).into();
            Amiss { known, wrong: Wrong::Missing, fields: Fields::default() }
        }).collect();
        let found = ranges(&amiss, TimeDelta::days(30), LIMITS, now());
        prop_assert!(found.len() <= 8 && found.is_sorted_by(|one, next| one.to < next.from), "{:?}", found);
        let (earliest, end) = (LIMITS.earliest(now()), LIMITS.end(now()));
        prop_assert!(found.iter().all(|range| range.from >= earliest && range.to <= end));
        for updated in ages.iter().map(updated).filter(|updated| *updated >= earliest && *updated <= end) {
            prop_assert!(found.iter().any(|range| range.from <= updated && updated <= range.to), "{}", updated);
        }
        let days: i64 = found.iter().map(|range| (range.to - range.from).num_hours()).sum();
        prop_assert!(found.len() == 8 || days <= 24 * ages.len() as i64, "no more than a day for each");
    }
}

#[test]
fn an_unfinished_audit_that_is_damaged_is_none() {
    let repairing = Unfinished::Repairing {
        findings: Findings { at: now(), missing: 2, ..Findings::default() },
        marked: vec![(key(1), Wrong::Missing), (key(2), Wrong::Expired)],
    };
    let bytes = repairing.to_bytes();
    assert_eq!(Unfinished::from_bytes(&bytes), Some(repairing));
    assert_eq!(Unfinished::from_bytes(&bytes[..bytes.len() - 1]), None);
    assert_eq!(Unfinished::from_bytes(b"{}\n"), None);
    assert_eq!(Unfinished::from_bytes(b""), None);
}
