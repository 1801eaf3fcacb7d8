//! Stored forms: what earlier versions wrote is read today, to the last field. A format that changes gets a new
//! version and a new file beside the old one.

use chrono::{DateTime, TimeDelta};
use mati_sync::domain::{
    fingerprint::Fingerprint,
    manifest::{Entry, Handle, Known, Rank, State},
    observable::IndicatorType,
    progress::{BackfillKind, Progress, SCHEMA, Withheld},
    report::Report,
    request::Request,
    segment,
};
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
            Entry::new([n; 16].into(), fingerprint, valid_until, Some(updated), state).into()
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
    let written = frames.map(|known| segment::encode(known.into_iter())).concat();
    assert_eq!(written, bytes, "what is written today is version 3");
    let mut newer = bytes;
    newer[4] = 4;
    assert!(matches!(segment::decode(&newer), Err(segment::SegmentError::Newer(4))));
}

fn read(bytes: &[u8]) -> Vec<Known> {
    segment::decode(bytes).unwrap().known().collect()
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
    Entry::new([4; 16].into(), fingerprint, time(1_772_000_004), Some(time(1_771_000_024)), State::Retracted)
}

#[test]
fn progress_schema_1() {
    let progress: Progress = serde_json::from_slice(&fixture("progress-v1.json")).unwrap();
    assert_eq!(progress.schema, 1);
    assert_eq!(progress.watermark.to_rfc3339(), "2026-03-02T11:58:00+00:00");
    assert_eq!((progress.window_seconds, progress.manifest_entries), (86_400, 3));
    assert_eq!(progress.backfills[0].kind, BackfillKind::Rebuild);
    assert_eq!(progress.segments[0].name, "20260302T120000000Z-0001-00001");
    assert_eq!(progress.continuation_id.as_deref(), Some("b9b0c1d2-0000-4000-8000-000000000001"));
    assert!(progress.knows_request("20260301T000000000Z-0000"));
    // Unknown then: such a lane is refreshed at once, and reads everything without the source's filters.
    assert_eq!((progress.created, progress.refreshed), (None, None));
    let task = progress.next_task(progress.watermark + TimeDelta::hours(1), true).unwrap();
    assert!(!progress.may_be_selective(&task));
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
    assert_eq!((progress.backfills[0].kind, progress.backfills[0].survey), (BackfillKind::Refresh, Some(12)));
    assert_eq!(progress.backfills[1].survey, None);
    let again: serde_json::Value = serde_json::to_value(&progress).unwrap();
    let stored: serde_json::Value = serde_json::from_slice(&fixture("progress-v2.json")).unwrap();
    assert_eq!(again, stored, "nothing is lost in reading and writing");
}

#[test]
fn progress_schema_3() {
    let progress: Progress = serde_json::from_slice(&fixture("progress-v3.json")).unwrap();
    assert_eq!((progress.schema, SCHEMA), (3, 3));
    // A file that an older version wrote counts whole; a newer one as far as is listed.
    let listed: Vec<_> =
        progress.segments.iter().map(|part| (part.name.as_str(), part.entries, part.bytes)).collect();
    let expected = [
        ("20260302T120000000Z-0001-00001", 3, None),
        ("20260402T120000000Z-0002-1a2b3c4d-00001", 200, Some(6448)),
    ];
    assert_eq!(listed, expected);
    let again: serde_json::Value = serde_json::to_value(&progress).unwrap();
    let stored: serde_json::Value = serde_json::from_slice(&fixture("progress-v3.json")).unwrap();
    assert_eq!(again, stored, "nothing is lost in reading and writing");
}

#[test]
fn report_and_request() {
    let report: Report = serde_json::from_slice(&fixture("report-v1.json")).unwrap();
    assert_eq!(report.lanes["sentinel"].counts.dropped.type_, 4);
    crate::harness::world::check_report(&report);
    let stored: serde_json::Value = serde_json::from_slice(&fixture("report-v1.json")).unwrap();
    assert_eq!(serde_json::to_value(&report).unwrap(), stored);
    let request: Request = serde_json::from_slice(&fixture("request-v1.json")).unwrap();
    assert_eq!(request.order.lookback_days, Some(30));
}
