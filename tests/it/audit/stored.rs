//! Stored forms of audits, against files.

use chrono::{DateTime, TimeDelta};
use mati_sync::domain::{
    audit::{Rules, Wrong},
    deciding_record::RecordVersion,
    entry::{Entry, State},
    expiry::Expirations,
    filter::PerType,
    findings::{Audit, Repair, Unfinished},
    fingerprint::Fingerprint,
    manifest::Manifest,
    progress::Progress,
    shown::Field,
};

fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/state");
    std::fs::read(format!("{folder}/{name}")).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What the last audits found.
#[test]
fn audit_version_1() {
    let stored: serde_json::Value = serde_json::from_slice(&fixture("audit-v1.json")).unwrap();
    let audit: Audit = serde_json::from_value(stored.clone()).unwrap();
    let findings = &audit.lanes["sentinel"];
    assert_eq!((findings.amiss(), findings.open(), findings.repair), (5, 1, Repair::UnderWay));
    assert_eq!(findings.examples[0].fields, [Field::Confidence, Field::Labels]);
    assert_eq!(serde_json::to_value(&audit).unwrap(), stored, "nothing is lost in reading and writing");
}

/// An audit that is under way, either of its parts.
#[test]
fn unfinished_audit_version_1() {
    let repairing = fixture("audit-repairing-v1.bin");
    let Some(Unfinished::Repairing { findings, marked }) = Unfinished::from_bytes(&repairing) else {
        panic!()
    };
    assert_eq!(findings.missing, 2);
    let wrong = [Wrong::Changed, Wrong::Missing, Wrong::Unknown, Wrong::Expired];
    assert_eq!(marked, (1..).map(|n| [n; 16].into()).zip(wrong).collect::<Vec<_>>());
    assert_eq!(Unfinished::Repairing { findings, marked }.to_bytes(), repairing);

    let bytes = fixture("audit-listing-v1.bin");
    let Some(Unfinished::Listing(listing)) = Unfinished::from_bytes(&bytes) else { panic!() };
    assert_eq!((listing.next.as_deref(), listing.restarts), (Some("token+/=="), 1));
    assert_eq!(Unfinished::Listing(listing.clone()).to_bytes(), bytes);
    let until = DateTime::from_timestamp(1_782_000_000, 0).unwrap();
    let entry =
        |n: u8| Entry::new([n; 16].into(), Fingerprint(4711), until, RecordVersion::default(), State::Held);
    let manifest: Manifest = [1, 2, 3].map(entry).into_iter().collect();
    let expirations = Expirations(PerType { ip: 7, fqdn: 7, url: 7, hash: 90 });
    let rules = Rules { expirations, lag: TimeDelta::zero(), settings_changed: None, absent_since: None };
    let auditor = listing.resumed(rules, &manifest);
    let (held, amiss) = auditor.amiss(&manifest, listing.began);
    assert_eq!((held, auditor.unknown(), auditor.left_alone()), (3, 1, 4));
    let fields: Vec<Vec<Field>> = amiss.iter().map(|amiss| amiss.fields.iter().collect()).collect();
    assert_eq!(fields, [vec![Field::Confidence, Field::Labels], Vec::new()]);
}

/// A lane whose audit is under way.
#[test]
fn progress_with_an_audit() {
    let stored: serde_json::Value = serde_json::from_slice(&fixture("progress-audit.json")).unwrap();
    let progress: Progress = serde_json::from_value(stored.clone()).unwrap();
    assert!(progress.audit.is_under_way);
    assert_eq!(progress.audit.last, Some("2026-03-02T12:00:00Z".parse().unwrap()));
    assert_eq!(serde_json::to_value(&progress).unwrap()["audit"], stored["audit"]);
}
