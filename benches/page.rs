//! The work on one page: the bytes of 1,000 records in, the bodies of ten uploads out. No network, no state.

use std::hint::black_box;

use chrono::{DateTime, TimeDelta, Utc};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mati_sync::{
    destination::sentinel::{
        convert::{Style, object},
        wire::{STIX_OBJECTS, Upload},
    },
    domain::{
        attribution::AttributionFilter,
        deciding_record::Refreshes,
        exclusions::Exclusions,
        expiry::{Expirations, Renewal},
        filter::{Filter, IncludedTypes, MissingScore, PerType, Threshold},
        manifest::Manifest,
        observable::{HashType, HashTypes},
        outcome::Counts,
        plan::{Planned, plan_page},
        policy::{Circumstances, Policy},
        purpose::Purpose,
    },
    source::mandiant::PROVIDER,
    source::mandiant::page::parse,
};
use sandbox::corpus::{CorpusSettings, generate};
use serde_json::{json, to_vec};

fn now() -> DateTime<Utc> {
    "2026-03-02T12:00:00Z".parse().expect("a date")
}

fn page() -> Vec<u8> {
    let corpus = CorpusSettings::new(1, 1000, now() - TimeDelta::hours(20), now() - TimeDelta::hours(1));
    let records: Vec<_> = generate(&corpus)
        .into_iter()
        .map(|record| {
            let mut json = record.json().clone();
            json.remove("misp");
            json.remove("reports");
            json
        })
        .collect();
    to_vec(&json!({ "indicators": records, "next": "x".repeat(3200) })).expect("JSON")
}

/// Everything is wanted: the most work a page can be.
fn policy() -> Policy {
    let expirations = Expirations(PerType { ip: 7, fqdn: 7, url: 7, hash: 90 });
    let threshold = Threshold { confidence: 0, threat_score: 0 };
    Policy {
        filter: Filter {
            included: IncludedTypes { ipv4: true, ipv6: true, fqdn: true, url: true, hash: true },
            thresholds: PerType { ip: threshold, fqdn: threshold, url: threshold, hash: threshold },
            missing_confidence: MissingScore::Include,
            missing_threat_score: MissingScore::Include,
            minimum_severity: None,
            exclude_benign: true,
            exclude_pervasive: true,
            attribution: AttributionFilter::default(),
            exclude_osint: false,
            include_uncategorized: true,
        },
        exclusions: Exclusions::default(),
        renewal: Renewal::new(&expirations, TimeDelta::hours(48), TimeDelta::hours(1)),
        expirations,
        hash_types: HashTypes::only(HashType::Sha256),
        deduplicate: true,
        retract: true,
        form: 1,
        attributed_form: 1,
    }
}

fn decode_and_plan(page: &[u8], policy: &Policy) -> Vec<Planned> {
    let indicators = parse(page).expect("a page").page.indicators;
    plan_page(
        policy.named(indicators),
        policy,
        &mut Manifest::default(),
        &Circumstances {
            purpose: Purpose::Live,
            refreshes: Refreshes::default(),
            recalls: true,
            horizon: now(),
            renew_before: now(),
            now: now(),
        },
        &mut Counts::default(),
    )
    .send
}

fn encode(planned: &[Planned]) -> usize {
    let style = Style { action: "alert", marking: None, provider: PROVIDER };
    let bodies = planned.chunks(100).map(|batch| {
        let subjects: Vec<_> = batch.iter().map(Planned::subject).collect();
        let objects = batch.iter().zip(&subjects);
        let objects: Vec<_> = objects.map(|(item, subject)| object(item, subject, &style, now())).collect();
        to_vec(&Upload { source_system: "Mandiant", array: STIX_OBJECTS, objects: &objects })
            .expect("JSON")
            .len()
    });
    bodies.sum()
}

fn bench(criterion: &mut Criterion) {
    let (page, policy) = (page(), policy());
    let planned = decode_and_plan(&page, &policy);
    let mut group = criterion.benchmark_group("page of 1,000 records");
    group.throughput(Throughput::Bytes(page.len() as u64));
    group.bench_function("decode and plan", |bencher| {
        bencher.iter(|| decode_and_plan(black_box(&page), &policy));
    });
    group.bench_function("encode", |bencher| bencher.iter(|| encode(black_box(&planned))));
    group.bench_function("whole", |bencher| {
        bencher.iter(|| encode(&decode_and_plan(black_box(&page), &policy)));
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
