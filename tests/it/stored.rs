//! Stored forms: what earlier versions wrote is read today, to the last field. A format that changes gets a new
//! version and a new file beside the old one.

use chrono::DateTime;
use mati_sync::domain::{
    fingerprint::Fingerprint,
    manifest::{Entry, State},
    progress::{BackfillKind, Progress},
    report::Report,
    request::Request,
    segment,
};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/state");

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{FOLDER}/{name}")).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn entries() -> Vec<Entry> {
    let time = |seconds: i64| DateTime::from_timestamp(seconds, 0).unwrap();
    [(1, State::Held), (2, State::Rejected), (3, State::UpdateRejected)]
        .map(|(n, state)| {
            let fingerprint = Fingerprint(0x0102_0304_0506_0700 + u64::from(n));
            let (valid_until, updated) =
                (time(1_772_000_000 + i64::from(n)), time(1_771_000_020 + i64::from(n)));
            Entry::new([n; 16].into(), fingerprint, valid_until, Some(updated), state)
        })
        .to_vec()
}

#[test]
fn segment_version_1() {
    let bytes = fixture("segment-v1.bin");
    assert_eq!(segment::decode(&bytes).unwrap(), entries());
    assert_eq!(segment::encode(&entries()), bytes, "what is written today is version 1 too");
    let mut newer = bytes;
    newer[4] = 2;
    assert_eq!(segment::decode(&newer), Err(segment::SegmentError::Newer(2)));
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
    let again: serde_json::Value = serde_json::to_value(&progress).unwrap();
    let stored: serde_json::Value = serde_json::from_slice(&fixture("progress-v1.json")).unwrap();
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
