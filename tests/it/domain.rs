//! The decisions, for any input.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::domain::{
    attribution::AttributionFilter,
    capacity::Capacity,
    deciding_record::Refreshes,
    entry::Handle,
    exclusions::Exclusions,
    expiry::{Expirations, Renewal},
    filter::{Filter, IncludedTypes, MissingScore, PerType, Threshold},
    indicator::Indicator,
    manifest::Manifest,
    observable::{HashType, HashTypes, Hashes, Key, Observable},
    outcome::{Change, Counts},
    plan::{Plan, Planned, plan_page},
    policy::{Circumstances, Policy},
    progress::{DestinationId, Progress},
    purpose::{Backfill, Purpose},
    schedule::Schedule,
    window::{Window, whole_second},
};
use mati_sync::source::mandiant::LIMITS;
use proptest::prelude::*;

fn start() -> DateTime<Utc> {
    crate::harness::world::START.parse().unwrap()
}

fn policy() -> Policy {
    let expirations = Expirations(PerType { ip: 7, fqdn: 7, url: 7, hash: 90 });
    let threshold = Threshold { confidence: 80, threat_score: 80 };
    Policy {
        filter: Filter {
            included: IncludedTypes { ipv4: true, ipv6: true, fqdn: true, url: false, hash: true },
            thresholds: PerType { ip: threshold, fqdn: threshold, url: threshold, hash: threshold },
            missing_confidence: MissingScore::Include,
            missing_threat_score: MissingScore::Include,
            minimum_severity: None,
            exclude_benign: true,
            exclude_pervasive: true,
            attribution: AttributionFilter::default(),
            exclude_osint: true,
            include_uncategorized: true,
        },
        exclusions: Exclusions::default(),
        renewal: Renewal::new(&expirations, TimeDelta::hours(48), TimeDelta::hours(1)),
        expirations,
        hash_types: HashTypes::only(HashType::Md5),
        deduplicate: true,
        retract: true,
        form: 1,
        attributed_form: 1,
    }
}

fn observable() -> impl Strategy<Value = Observable> {
    prop_oneof![
        (1..=30_u8).prop_map(|n| Observable::ipv4(&format!("198.51.100.{n}")).unwrap()),
        (1..=10_u8).prop_map(|n| Observable::domain(&format!("Bad{n}.example.")).unwrap()),
        (1..=5_u8).prop_map(|n| Observable::url(&format!("https://bad.example/{n}")).unwrap()),
        (0..=5_u8, any::<bool>()).prop_map(|(n, both)| {
            let mut hashes = Hashes::default();
            hashes.add(HashType::Sha256, &format!("{n:064x}")).unwrap();
            if both {
                hashes.add(HashType::Md5, &format!("{n:032X}")).unwrap();
                hashes.add(HashType::Sha1, &format!("{n:040x}")).unwrap();
            }
            Observable::file(hashes).unwrap()
        }),
    ]
}

fn indicator() -> impl Strategy<Value = Indicator> {
    (observable(), 75..=85_u8, prop::option::of(75..=85_u8), any::<bool>(), 0..5_i64).prop_map(
        |(observable, confidence, threat_score, osint_only, minutes)| Indicator {
            source_id: "x--1".to_owned(),
            confidence: Some(confidence),
            threat_score,
            osint_only,
            last_updated: Some(start() - TimeDelta::minutes(minutes)),
            ..Indicator::bare(observable)
        },
    )
}

fn keys(policy: &Policy, indicator: &Indicator) -> Vec<Key> {
    policy.names(indicator).into_iter().map(|name| name.key).collect()
}

fn hash_types() -> impl Strategy<Value = HashTypes> {
    prop::sample::subsequence(HashType::ALL.to_vec(), 1..=3).prop_map(|named| HashTypes::of(&named).unwrap())
}

/// What a page calls for; what is only noted is in the manifest afterwards.
fn plan(page: Vec<Indicator>, policy: &Policy, manifest: &mut Manifest, counts: &mut Counts) -> Vec<Planned> {
    let reading = Circumstances {
        purpose: Purpose::Live,
        refreshes: Refreshes::default(),
        recalls: true,
        horizon: start(),
        renew_before: start(),
        now: start(),
    };
    let Plan { send, notes, .. } = plan_page(policy.named(page), policy, manifest, &reading, counts);
    notes.into_iter().for_each(|known| manifest.put(known));
    send
}

proptest! {
    /// Every record has a fate, nothing is sent twice, only wanted records are sent, each under all its names, and the
    /// newest speaks.
    #[test]
    fn a_plan_accounts_for_every_record(
        page in prop::collection::vec(indicator(), 0..80),
        hash_types in hash_types(),
    ) {
        let (policy, mut manifest, mut counts) = (policy(), Manifest::default(), Counts::default());
        let policy = Policy { hash_types, ..policy };
        let planned = plan(page.clone(), &policy, &mut manifest, &mut counts);
        let records: BTreeSet<_> = planned.iter().map(|item| item.record).collect();
        prop_assert_eq!(counts.settled() + records.len() as u64, page.len() as u64);
        let sent: BTreeSet<_> = planned.iter().map(|item| item.key).collect();
        prop_assert_eq!(sent.len(), planned.len());
        let wanted = page.iter().filter(|indicator| policy.filter.admit(indicator).is_ok());
        for item in wanted.flat_map(|indicator| keys(&policy, indicator)) {
            let newest = page.iter().filter(|other| keys(&policy, other).contains(&item));
            let newest = newest.max_by_key(|other| other.last_updated).unwrap();
            prop_assert!(sent.contains(&item) || policy.filter.admit(newest).is_err());
        }
        for item in &planned {
            prop_assert!(policy.filter.admit(&item.indicator).is_ok());
            let same_key = |other: &&Indicator| keys(&policy, other).contains(&item.key);
            let newest = page.iter().filter(same_key).map(|other| other.last_updated).max().unwrap();
            prop_assert_eq!(item.indicator.last_updated, newest);
            manifest.put(item.acknowledged(None));
        }
        let mut again = Counts::default();
        let rest = plan(page, &policy, &mut manifest, &mut again);
        prop_assert!(rest.is_empty(), "a second reading sends nothing: {:?}", rest);
    }

    /// Circumstances again after a change of mind: whatever is held, is known and is no longer wanted is retracted, and a
    /// third reading changes nothing.
    #[test]
    fn what_is_no_longer_wanted_is_retracted_once(page in prop::collection::vec(indicator(), 0..80), stricter in 80..=86_u8) {
        let (mut policy, mut manifest, mut counts) = (policy(), Manifest::default(), Counts::default());
        let read = |policy: &Policy, manifest: &mut Manifest, counts: &mut Counts| plan(page.clone(), policy, manifest, counts);
        read(&policy, &mut manifest, &mut counts).iter().for_each(|item| manifest.put(item.acknowledged(None)));
        policy.filter.thresholds.ip.confidence = stricter;
        let planned = read(&policy, &mut manifest, &mut counts);
        for item in &planned {
            prop_assert_eq!(item.change, Change::Retracted);
            prop_assert!(policy.filter.admit(&item.indicator).is_err() && manifest.get(item.key).is_some());
        }
        planned.iter().for_each(|item| manifest.put(item.acknowledged(None)));
        let key = |indicator: &Indicator| keys(&policy, indicator)[0];
        for (place, indicator) in page.iter().enumerate().filter(|(_, one)| policy.filter.admit(one).is_err()) {
            let rivals = page.iter().enumerate().filter(|(_, other)| key(other) == key(indicator));
            let newest = rivals.max_by_key(|(place, other)| (other.last_updated, *place)).unwrap().0;
            let held = manifest.get(key(indicator)).is_some_and(|entry| entry.is_held(start()));
            prop_assert!(newest != place || !held, "{:?}", indicator);
        }
        prop_assert!(read(&policy, &mut manifest, &mut counts).is_empty());
    }

    /// Whatever comes, in whatever pages: the limit is kept, and at the end no indicator outside is better than any
    /// inside.
    #[test]
    fn the_best_have_room(pages in prop::collection::vec(prop::collection::vec(indicator(), 0..30), 0..6), limit in 0..20_usize) {
        let (policy, mut manifest) = (policy(), Manifest::default());
        let mut room = Capacity::new(limit, []);
        let mut inside = std::collections::BTreeMap::new();
        let mut outside = std::collections::BTreeMap::new();
        let mut only_new = true;
        for page in pages {
            let planned = plan(page, &policy, &mut manifest, &mut Counts::default());
            let (gone, planned): (Vec<_>, Vec<_>) =
                planned.into_iter().partition(|item| item.change == Change::Retracted);
            for item in gone {
                inside.remove(&item.key);
                room.leave(item.key);
                manifest.put(item.acknowledged(None));
                only_new = false;
            }
            let places: std::collections::BTreeMap<_, _> = planned
                .iter()
                .map(|item| (item.key, (item.rank(), item.acknowledged(None).entry.updated())))
                .collect();
            let count = planned.len();
            only_new &= planned.iter().all(|item| item.change == Change::Created);
            let admitted = room.admit(planned, |_| false);
            prop_assert_eq!(admitted.sent.len() + admitted.turned_away.len(), count);
            for key in admitted.displaced {
                let place = inside.remove(&key).expect("only one that is held gives way");
                outside.insert(key, place);
                manifest.put(manifest.get(key).unwrap().absent(start()));
            }
            outside.extend(places.iter().map(|(key, place)| (*key, *place)));
            for item in &admitted.sent {
                outside.remove(&item.key);
                inside.insert(item.key, places[&item.key]);
                let handle = Handle::Numbered { id: 1, rank: item.rank() };
                manifest.put(item.acknowledged(Some(handle)));
            }
            prop_assert!(inside.len() <= limit, "{} of {}", inside.len(), limit);
            prop_assert!(outside.is_empty() || inside.len() == limit || !only_new);
            let (best, weakest) = (outside.values().max(), inside.values().min());
            // One inside that becomes weaker stays until the others are offered again.
            let settled = best.is_none() || weakest.is_none() || best <= weakest;
            prop_assert!(settled || !only_new, "{:?} {:?}", best, weakest);
        }
    }

    /// However passes are cut short and windows halve and double, everything up to the watermark was read whole,
    /// the watermark never moves back, and the end is reached.
    #[test]
    fn windows_cover_everything(fates in prop::collection::vec(0..4_u8, 0..400), days in 1..60_i64, backfill in any::<bool>()) {
        let target = DestinationId { place: "w".to_owned(), name: "s".to_owned() };
        let mut progress = Progress::new(target, String::new(), start() - TimeDelta::days(days), start(), LIMITS.longest);
        let mut now = start();
        let mut settled: Vec<(Window, DateTime<Utc>)> = Vec::new();
        let from = progress.begin - TimeDelta::days(3);
        if backfill {
            let to = whole_second(now - LIMITS.lag);
            progress.backfills.push(Backfill { run_id: "r".to_owned(), purpose: Purpose::Lookback, from, to, position: from });
        }
        let mut fates = fates.into_iter();
        progress.start_live(now, LIMITS);
        while let Some(task) = progress.next_window(now, LIMITS) {
            let window = task.window;
            prop_assert!(window.from <= window.to && window.to <= now - LIMITS.lag);
            match fates.next() {
                // The pass runs out of time in this window; the next one begins later.
                Some(0) => {
                    progress.halve_window(window, LIMITS);
                    now += TimeDelta::minutes(7);
                    progress.start_live(now, LIMITS);
                }
                // It dies after committing this window, or ends well and a new one begins.
                fate => {
                    let before = progress.clone();
                    progress.settle(&task, &Default::default(), now, LIMITS).unwrap();
                    prop_assert!(progress.watermark >= before.watermark);
                    settled.push((window, now));
                    if fate == Some(1) {
                        progress.start_live(now, LIMITS);
                    }
                }
            }
            prop_assert!(progress.window_seconds >= LIMITS.grain.num_seconds());
        }
        // What is indexed up to 15 minutes late is read all the same: where the next pass begins, everything before was
        // read that long after its update.
        progress.start_live(now, LIMITS);
        let again = progress.next_window(now, LIMITS).unwrap().window.from;
        let sound = |(window, at): &(Window, DateTime<Utc>)| {
            Window { to: window.to.min(whole_second(*at - LIMITS.lag) - LIMITS.overlap), ..*window }
        };
        let mut sound: Vec<Window> = settled.iter().map(sound).filter(|window| window.from <= window.to).collect();
        sound.sort_by_key(|window| window.from);
        let reach = |until, window: &Window| if window.from <= until { window.to.max(until) } else { until };
        let sound = sound.iter().fold(progress.begin, reach);
        prop_assert!(again <= sound, "begins at {} and only what is before {} is sound", again, sound);
        let mut settled: Vec<Window> = settled.into_iter().map(|(window, _)| window).collect();
        prop_assert!(progress.watermark >= whole_second(now - LIMITS.lag));
        settled.sort_by_key(|window| window.from);
        let mut covered = progress.begin;
        for window in settled.iter().filter(|window| window.to >= progress.begin) {
            prop_assert!(window.from <= covered, "nothing read from {} to {}", covered, window.from);
            covered = covered.max(window.to);
        }
        prop_assert!(covered >= progress.watermark);
        prop_assert!(progress.backfills.is_empty() && (!backfill || progress.knows_request("r")));
    }
}

#[test]
fn a_step_that_leaves_a_gap_is_rejected_and_changes_nothing() {
    let target = DestinationId { place: "w".to_owned(), name: "s".to_owned() };
    let mut progress =
        Progress::new(target, String::new(), start() - TimeDelta::days(3), start(), LIMITS.longest);
    let mut task = progress.next_window(start(), LIMITS).unwrap();
    task.window.from += TimeDelta::seconds(1);
    let before = progress.clone();
    assert!(progress.advance(&task).is_err());
    assert_eq!(progress, before);
}

#[test]
fn local_addresses_and_malformed_values_are_rejected() {
    for value in [
        "10.1.2.3",
        "127.0.0.1",
        "192.168.0.1",
        "172.16.0.1",
        "169.254.1.1",
        "0.0.0.0",
        "224.0.0.1",
        "1.2.3",
        "01.2.3.4",
        "1.2.3.4/32",
        "",
    ] {
        assert!(Observable::ipv4(value).is_err(), "{value}");
    }
    for value in ["::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:10.0.0.1", "1.2.3.4"] {
        assert!(Observable::ipv6(value).is_err(), "{value}");
    }
    for value in ["", ".", "a b.example", "a..b", "bad.example/x", "'x'.example", &"a".repeat(64)] {
        assert!(Observable::domain(value).is_err(), "{value}");
    }
    for value in ["", "   ", "https://a\n.example"] {
        assert!(Observable::url(value).is_err(), "{value}");
    }
    let mut hashes = Hashes::default();
    assert!(hashes.add(HashType::Md5, "zz").is_err());
    assert!(hashes.add(HashType::Sha1, "").is_ok(), "an empty digest is no digest, and no error");
    assert!(Observable::file(hashes).is_err());
}

/// Fields of a schedule, most of them near to what the host reads.
fn schedule() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        4 => "\\*(/-?[0-9]{1,2})?",
        4 => "[0-9]{1,2}(-[0-9]{1,2})?(/[0-9]{1,2})?",
        2 => "(mon|SAT|s|ju|Dece|x)(-(fri|9|au))?(/[0-9])?",
        1 => "[0-9]{1,2}(,[0-9]{1,2}){1,3}",
        1 => "[0-9*,/+-]{1,5}",
        1 => "[0-9]{1,11}",
    ];
    proptest::collection::vec(field, 4..=7).prop_map(|fields| fields.join(" "))
}

proptest! {
    /// The rules were written down twice, apart from each other: here and in the double of the host.
    #[test]
    fn a_schedule_is_read_as_the_double_of_the_host_reads_it(text in schedule()) {
        let ours = Schedule::parse(&text).map(|schedule| schedule.next_after(start()));
        let hosts = sandbox::host::Schedule::parse(&text).ok();
        let hosts = hosts.map(|schedule| Some(schedule.next(start())).filter(|next| *next < DateTime::<Utc>::MAX_UTC));
        prop_assert_eq!(ours, hosts, "{}", text);
    }
}
