//! Stored forms: what earlier versions wrote is read today, to the last field. A format that changes gets a new
//! version and a new file beside the old one.

use chrono::{DateTime, TimeDelta};
use mati_sync::domain::{
    arrival::Arrivals,
    comparison::Comparison,
    condition::{Condition, SignalMemory},
    days::Day,
    deciding_record::{RecordVersion, Refreshes, Tag, WholeRefresh},
    entry::{Entry, Handle, Known, Rank, State},
    exclusions::{Builder, Exclusions, Fingerprints},
    fingerprint::Fingerprint,
    manifest_format,
    observable::IndicatorType,
    outcome::End,
    progress::{LastRefresh, Progress, SCHEMA},
    purpose::Purpose,
    report::{Report, Trigger, WithheldReport},
    request::Request,
    unasked::Unasked,
    withheld::{WhyNew, Withheld},
};
use mati_sync::source::mandiant::LIMITS;
use uuid::Uuid;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/state");

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{FOLDER}/{name}")).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn entries() -> Vec<Known> {
    let time = |seconds: i64| DateTime::from_timestamp(seconds, 0).unwrap();
    [(1, State::Held), (2, State::Rejected), (3, State::UpdateRejected)]
        .map(|(n, state)| {
            let fingerprint = Fingerprint(0x0102_0304_0506_0700 + u64::from(n));
            let (valid_until, updated) =
                (time(1_772_000_000 + i64::from(n)), time(1_771_000_020 + i64::from(n)));
            // Versions before 4 kept the minute, and not whose record it was.
            let version = RecordVersion { updated: seconds(updated) / 60 * 60, tag: Tag::UNKNOWN };
            Entry::new([n; 16].into(), fingerprint, valid_until, version, state).into()
        })
        .to_vec()
}

#[test]
fn segment_version_1() {
    let bytes = fixture("segment-v1.bin");
    assert_eq!(read(&bytes), entries());
}

#[test]
fn segment_version_2() {
    assert_eq!(read(&fixture("segment-v2.bin")), with_handles());
}

/// Two frames, the first of them with handles.
#[test]
fn segment_version_3() {
    let bytes = fixture("segment-v3.bin");
    let frames = [with_handles(), entries()];
    assert_eq!(read(&bytes), frames.concat());
}

/// A file that version 3 began and version 4 went on with: every state, contested entries, with handles.
#[test]
fn segment_version_4() {
    let bytes = fixture("segment-v4.bin");
    assert_eq!(read(&bytes), [with_handles(), of_version_4()].concat());
    let written = manifest_format::encode(of_version_4().into_iter());
    assert!(bytes.ends_with(&written), "what is written today is version 4");
    let mut newer = written;
    newer[4] = 5;
    assert!(matches!(manifest_format::decode(&newer), Err(manifest_format::SegmentError::Newer(5))));
}

fn of_version_4() -> Vec<Known> {
    let entry = |(n, state): (u8, State)| {
        let fingerprint = Fingerprint(0x0102_0304_0506_0700 + u64::from(n));
        let valid_until = DateTime::from_timestamp(1_782_000_000 + i64::from(n), 0).unwrap();
        let version =
            RecordVersion { updated: 1_781_000_007 + u32::from(n), tag: Tag::of(&format!("ipv4--{n}")) };
        let entry = Entry::new([n; 16].into(), fingerprint, valid_until, version, state)
            .of_type(IndicatorType::ALL[usize::from(n % 5)]);
        let contested = entry.contested(Refreshes { begun: 260 + u64::from(n), whole: None }.last_seen());
        let handle = (n % 3 == 0).then(|| Handle::Foreign(Uuid::from_u128(u128::from(n))));
        Known { entry: if n % 2 == 0 { contested } else { entry }, handle }
    };
    // Those of today; what came later is added behind.
    (1..).zip(State::ALL).take(9).map(entry).collect()
}

fn seconds(time: DateTime<chrono::Utc>) -> u32 {
    time.timestamp().try_into().unwrap()
}

fn read(bytes: &[u8]) -> Vec<Known> {
    manifest_format::decode(bytes).unwrap().known().collect()
}

fn with_handles() -> Vec<Known> {
    let rank = Rank { threat_score: 91, confidence: 87 };
    let handles = [
        None,
        Some(Handle::Foreign(Uuid::from_u128(0x0a0b_0c0d_0e0f_4001_8002_0304_0506_0708))),
        None,
        Some(Handle::Numbered { id: 0x0102_0304_0506, rank }),
    ];
    let mut known = entries();
    known.push(Known { entry: retracted(), handle: None });
    let types = [Some(IndicatorType::Ipv4), None, Some(IndicatorType::Hash), Some(IndicatorType::Url)];
    for (known, (handle, indicator_type)) in known.iter_mut().zip(handles.into_iter().zip(types)) {
        known.handle = handle;
        if let Some(indicator_type) = indicator_type {
            known.entry = known.entry.of_type(indicator_type);
        }
        assert_eq!(known.entry.indicator_type(), indicator_type);
    }
    known
}

fn retracted() -> Entry {
    let fingerprint = Fingerprint(0x0102_0304_0506_0704);
    let time = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
    let version = RecordVersion { updated: seconds(time(1_771_000_024)) / 60 * 60, tag: Tag::UNKNOWN };
    Entry::new([4; 16].into(), fingerprint, time(1_772_000_004), version, State::Retracted)
}

#[test]
fn progress_schema_1() {
    let progress: Progress = serde_json::from_slice(&fixture("progress-v1.json")).unwrap();
    assert_eq!(progress.schema, 1);
    assert_eq!(progress.watermark.to_rfc3339(), "2026-03-02T11:58:00+00:00");
    assert_eq!((progress.window_seconds, progress.manifest_entries), (86_400, 3));
    assert_eq!(progress.backfills[0].purpose, Purpose::Rebuild);
    assert_eq!(progress.segments[0].name, "20260302T120000000Z-0001-00001");
    assert_eq!(progress.continuation_id.as_deref(), Some("b9b0c1d2-0000-4000-8000-000000000001"));
    assert!(progress.knows_request("20260301T000000000Z-0000"));
    // Unknown then: such a lane is refreshed at once, and reads everything without the source's filters.
    assert_eq!((progress.created, progress.refreshed), (None, None));
    let mut begun = progress.clone();
    begun.start_live(progress.watermark + TimeDelta::hours(1), LIMITS);
    let task = begun.next_window(progress.watermark + TimeDelta::hours(1), LIMITS).unwrap();
    assert_eq!(task.window.from, progress.watermark - TimeDelta::minutes(15));
    assert!(progress.wants_refresh(progress.watermark, TimeDelta::days(3)));
}

#[test]
fn progress_schema_2() {
    let progress: Progress = serde_json::from_slice(&fixture("progress-v2.json")).unwrap();
    assert_eq!(progress.schema, 2);
    assert_eq!(progress.created.unwrap().to_rfc3339(), "2026-03-02T11:00:00+00:00");
    assert_eq!(progress.refreshed.unwrap().to_rfc3339(), "2026-03-05T23:00:00+00:00");
    assert_eq!(progress.withheld, Some(Withheld { retractions: 300, of: 1000 }));
    assert_eq!(progress.adoption.as_ref().unwrap().skip_token.as_deref(), Some("page-7"));
    // What an older version's survey counted is not marked in the manifest: the refresh begins again.
    assert_eq!(progress.backfills[0].purpose, Purpose::Survey);
    assert_eq!(progress.backfills[0].position, progress.backfills[0].from);
    assert!(progress.unasked.is_new());
}

#[test]
fn progress_schema_3() {
    let progress: Progress = serde_json::from_slice(&fixture("progress-v3.json")).unwrap();
    assert_eq!(progress.schema, 3);
    // A file that an older version wrote counts whole; a newer one as far as is listed.
    let listed: Vec<_> =
        progress.segments.iter().map(|part| (part.name.as_str(), part.entries, part.bytes)).collect();
    let expected = [
        ("20260302T120000000Z-0001-00001", 3, None),
        ("20260402T120000000Z-0002-1a2b3c4d-00001", 200, Some(6448)),
    ];
    assert_eq!(listed, expected);
}

#[test]
fn progress_schema_4() {
    let progress: Progress = serde_json::from_slice(&fixture("progress-v4.json")).unwrap();
    assert_eq!(progress.schema, 4);
    let purposes: Vec<_> = progress.backfills.iter().map(|backfill| backfill.purpose).collect();
    assert_eq!(purposes, [Purpose::Collection { allowance: 33 }, Purpose::Lookback]);
    let whole = WholeRefresh { number: 7, from: "2026-03-03T00:00:00Z".parse().unwrap() };
    assert_eq!(progress.refreshes, Refreshes { begun: 8, whole: Some(whole) });
    assert_eq!(progress.withheld, Some(Withheld { retractions: 300, of: 1000 }));
    assert_eq!((progress.swept, progress.fruitless), (1, 1));
    assert_eq!(progress.reread.unwrap().to_rfc3339(), "2026-03-02T11:50:00+00:00");
    assert_eq!(progress.continues.as_deref(), Some("20260402T120000000Z-0002"));
    let now = "2026-04-02T12:00:00Z".parse().unwrap();
    let mut limit = Unasked::default();
    limit.note_held(now - TimeDelta::hours(30), 1000);
    limit.note_retracted(now - TimeDelta::hours(2), 150);
    assert_eq!((progress.unasked.retractions_left(now, None), &progress.unasked), (50, &limit));
    let again: serde_json::Value = serde_json::to_value(&progress).unwrap();
    let stored: serde_json::Value = serde_json::from_slice(&fixture("progress-v4.json")).unwrap();
    assert_eq!(again, stored, "nothing is lost in reading and writing");
}

#[test]
fn progress_schema_5() {
    let progress: Progress = serde_json::from_slice(&fixture("progress-v5.json")).unwrap();
    assert_eq!((progress.schema, SCHEMA), (5, 5));
    let until = "2026-03-10T11:00:00Z".parse().unwrap();
    assert_eq!(progress.last_refresh, Some(LastRefresh { seconds: 5400, before: 600, until }));
    assert_eq!(progress.refresh_took(), TimeDelta::seconds(5400));
    let waiting = progress.waiting.as_ref().unwrap();
    assert_eq!((waiting.total(), waiting.reason), (320, WhyNew::Settings));
    let now = "2026-04-02T12:00:00Z".parse().unwrap();
    assert_eq!(progress.unasked.creations_left(now, None), 0);
    let again: serde_json::Value = serde_json::to_value(&progress).unwrap();
    let stored: serde_json::Value = serde_json::from_slice(&fixture("progress-v5.json")).unwrap();
    assert_eq!(again, stored, "nothing is lost in reading and writing");
}

/// The states that came after the file of version 4, by the byte that stands for them.
#[test]
fn the_states_of_what_waits_to_be_created() {
    for (state, mark) in [(State::Waiting, 0b0100_0001), (State::Confirmed, 0b0100_0010)] {
        let until = DateTime::from_timestamp(1_782_000_000, 0).unwrap();
        let entry = Entry::new([1; 16].into(), Fingerprint(1), until, RecordVersion::default(), state);
        let bytes = manifest_format::encode(std::iter::once(Known::from(entry)));
        assert!(bytes.windows(2).any(|pair| pair == [0, mark]), "{state:?} in {bytes:?}");
        assert_eq!(read(&bytes), [Known::from(entry)]);
    }
}

#[test]
fn report_and_request() {
    let report: Report = serde_json::from_slice(&fixture("report-v1.json")).unwrap();
    assert_eq!(report.lanes["sentinel"].counts.dropped.type_, 4);
    crate::harness::world::check_report(&report);
    let stored: serde_json::Value = serde_json::from_slice(&fixture("report-v1.json")).unwrap();
    let again = serde_json::to_value(&report).unwrap();
    assert!(covers(&again, &stored), "nothing is lost in reading and writing: {again:#}");
    assert_eq!(report.lanes["sentinel"].withheld, WithheldReport::default(), "nothing was withheld then");
    let report: Report = serde_json::from_slice(&fixture("report-v2.json")).unwrap();
    assert_eq!(
        (report.lanes["sentinel"].withheld.created, report.lanes["sentinel"].withheld.retracted),
        (7, 300)
    );
    crate::harness::world::check_report(&report);
    let stored: serde_json::Value = serde_json::from_slice(&fixture("report-v2.json")).unwrap();
    let again = serde_json::to_value(&report).unwrap();
    assert!(covers(&again, &stored), "nothing is lost in reading and writing: {again:#}");
    let request: Request = serde_json::from_slice(&fixture("request-v1.json")).unwrap();
    assert_eq!(request.order.lookback_days, Some(30));
}

/// Whether `written` has everything that `stored` has. A later version may know more.
fn covers(written: &serde_json::Value, stored: &serde_json::Value) -> bool {
    match (written.as_object(), stored.as_object()) {
        (Some(written), Some(stored)) => {
            stored.iter().all(|(name, value)| written.get(name).is_some_and(|again| covers(again, value)))
        }
        _ => written == stored,
    }
}

/// Rows without numbers that are zero, and one of an older version that knew fewer.
#[test]
fn days_version_1() {
    let days: Vec<Day> = serde_json::from_slice(&fixture("days-v1.json")).unwrap();
    assert_eq!(days.len(), 3);
    let [first, second, third] = days.as_slice() else { panic!("{days:?}") };
    assert_eq!((first.day.to_string().as_str(), first.held.total(), first.bytes), ("2026-03-01", 21, 40_960));
    assert_eq!((first.held.hash, first.held.unknown, first.fates.dropped.type_), (5, 6, 4));
    assert_eq!((first.fates.read, first.fates.throttled, first.rows.displaced), (66, 2, 5));
    assert_eq!((second.held.total(), second.fates.read, second.rows.created), (21, 0, 0));
    assert_eq!((third.held.ipv4, third.bytes), (7, 0));
    let rows: Vec<String> = days.iter().map(|day| serde_json::to_string(day).unwrap()).collect();
    let written = format!("[\n{}\n]\n", rows.join(",\n"));
    let third = r#"{"day":"2026-03-03","held":{"ipv4":7},"fates":{},"rows":{},"bytes":0}"#;
    let stored = String::from_utf8(fixture("days-v1.json")).unwrap();
    assert_eq!(written, stored.replace(r#"{"day":"2026-03-03","held":{"ipv4":7}}"#, third));
}

/// A lane's progress as it is stored: writing it again loses nothing and adds nothing.
fn progress(name: &str) -> Progress {
    let stored: serde_json::Value = serde_json::from_slice(&fixture(name)).unwrap();
    let progress: Progress = serde_json::from_value(stored.clone()).unwrap();
    assert_eq!(serde_json::to_value(&progress).unwrap(), stored, "{name}");
    progress
}

/// What waits to be seen; a file without it, or without some of it, is one of a lane that waits for nothing.
#[test]
fn arrival_version_1() {
    let bytes = fixture("arrival-v1.json");
    let arrivals: Arrivals = serde_json::from_slice(&bytes).unwrap();
    let [missing, awaited] = arrivals.awaited.as_slice() else { panic!("{arrivals:?}") };
    assert_eq!(missing.stix_id(), "indicator--0a0b0c0d-0e0f-4001-8002-030405060708");
    assert_eq!((missing.request.len(), missing.offered), (2, missing.missing));
    assert_eq!((awaited.value.as_str(), awaited.looked, awaited.missing), ("x.example", None, None));
    assert!(arrivals.canary.unwrap().missing.is_some());
    let again = serde_json::to_string_pretty(&arrivals).unwrap() + "\n";
    assert_eq!(again.as_bytes(), bytes, "nothing is lost or added");
    assert_eq!(serde_json::from_str::<Arrivals>("{}").unwrap(), Arrivals::default());
}

/// A lane of Google Threat Intelligence: its source, positions, missing packages, losses and quota.
#[test]
fn progress_with_feeds() {
    let progress = progress("progress-feeds.json");
    assert_eq!(progress.source.as_deref(), Some("gti"));
    let feeds: Vec<_> = progress.feeds.iter().collect();
    let [("malware", malware), ("phishing", phishing)] = feeds[..] else { panic!("{feeds:?}") };
    assert_eq!((malware.position.to_rfc3339(), malware.holes.len()), ("2026-03-02T11:00:00+00:00".into(), 1));
    assert_eq!(phishing.closed.as_deref(), Some("the licence does not give it"));
    assert_eq!((progress.losses[0].loss.what.as_str(), progress.quota.unwrap().allowed), ("malware", 20_000));
}

/// The last comparison of two sources, of a version that told neither lists nor costs.
#[test]
fn comparison_version_1() {
    let comparison: Comparison = serde_json::from_slice(&fixture("compare-v1.json")).unwrap();
    assert_eq!((comparison.lists.len(), comparison.lanes["sentinel"].rows), (0, None));
    assert_eq!((comparison.lanes["sentinel"].gained, comparison.lanes["sentinel"].requests), (8, 0));
}

/// The last comparison of two sources.
#[test]
fn comparison_version_2() {
    let stored: serde_json::Value = serde_json::from_slice(&fixture("compare-v2.json")).unwrap();
    let comparison: Comparison = serde_json::from_value(stored.clone()).unwrap();
    assert_eq!(comparison.types[&IndicatorType::Fqdn].both, 6);
    assert_eq!((comparison.scores[0].from, comparison.lanes["sentinel"].lost), (-20, 9));
    assert_eq!(serde_json::to_value(&comparison).unwrap(), stored, "nothing is lost in reading and writing");
}

/// A lane that heard of lists of exclusions, and asks its workspace for what they cover.
#[test]
fn progress_with_exclusions() {
    let progress = progress("progress-exclusions.json");
    assert_eq!(progress.exclusions.as_deref(), Some("0123456789abcdef"));
    assert_eq!(progress.sweep.as_ref().unwrap().skip_token.as_deref(), Some("page-3"));
}

/// `exclusions.bin`: an entry of each kind that a list can have. Another form of it would be a change of every list.
#[test]
fn known_exclusions_version_1() {
    let mut builder = Builder::default();
    let plain = format!(
        "own.example\n*.below.example\n203.0.113.7\n198.51.100.0/24\n2001:db8::7\n2001:db8:1::/48\n\
         https://own.example/a\nshared.example/ours\n{}\n{}\n{}\n",
        "a".repeat(32),
        "b".repeat(40),
        "c".repeat(64)
    );
    builder.file("own.txt", plain.as_bytes()).unwrap();
    for list in [
        r#"{"type": "string", "matching_attributes": ["domain"], "list": ["name.example"]}"#,
        r#"{"type": "string", "matching_attributes": ["url"], "list": ["https://exact.example/a"]}"#,
        r#"{"type": "substring", "list": ["part"]}"#,
        r#"{"type": "regex", "list": ["/^own[0-9]/i"]}"#,
    ] {
        builder.file("list.json", list.as_bytes()).unwrap();
    }
    let lists = std::sync::Arc::new(builder.build().unwrap());
    let known = Exclusions { lists, ..Exclusions::default() }.fingerprints();
    let written: Vec<String> = known
        .to_bytes()
        .chunks(8)
        .map(|number| number.iter().map(|byte| format!("{byte:02x}")).collect())
        .collect();
    let stored = fixture("exclusions-v1.bin");
    let golden: Vec<String> =
        stored.chunks(8).map(|number| number.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
    assert_eq!(written, golden);
    assert_eq!(Fingerprints::from_bytes(&stored), known);
}

/// What the webhook was told, what it was not, and the counters of the metrics.
#[test]
fn signals_version_1() {
    let memory: SignalMemory = serde_json::from_slice(&fixture("signals-v1.json")).unwrap();
    let lane = &memory.lanes.0["sentinel"];
    assert_eq!((lane.condition, lane.told), (Condition::Waiting, Condition::Stalled));
    assert_eq!(lane.losses[0].what, "ransomware");
    let totals = memory.totals.as_ref().unwrap();
    assert_eq!(totals.lanes["sentinel"].records["created"], 125);
    assert_eq!(totals.passes[&Trigger::Watchdog][&End::CaughtUp].count, 1);
    let mut written = serde_json::to_string_pretty(&memory).unwrap();
    written.push('\n');
    assert_eq!(written.as_bytes(), fixture("signals-v1.json"));
    // A file of before there were any counters, or of a lane that tells no webhook.
    assert_eq!(serde_json::from_str::<SignalMemory>("{}").unwrap(), SignalMemory::default());
}
