//! A first sync of two hundred thousand records: how fast it goes, and how much of the feed is held at a time.
//!
//! The feed and the destination are plainer than the stand-ins elsewhere, which keep every record: this feed makes
//! its records up when it is asked for them, and this destination only counts.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::Query, routing::get};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use mati_sync::{
    clock::Clock,
    domain::{
        outcome::{Counts, End},
        report::Report,
    },
    pass::RunStatus,
};
use serde::{Deserialize, de::IgnoredAny};

use crate::harness::world::{TestClock, World};

const RECORDS: i64 = 200_000;
/// Between two records, which makes eighteen days in all.
const SECONDS_APART: i64 = 8;
const PAGE: i64 = 1000;
/// Requests to Sentinel that the settings permit by default.
const PER_MINUTE: usize = 100;
const BATCH: i64 = 100;
const IN_FLIGHT: i64 = 4;
/// How long a page and an upload take: longer than the space between two uploads (0.6 s), so that nothing may wait for
/// a page's end.
const PAGE_LATENCY: Duration = Duration::from_secs(1);
const UPLOAD_LATENCY: Duration = Duration::from_millis(1000);
/// What the host grants an invocation.
const LIMIT: Duration = Duration::from_secs(600);

/// What both services saw.
#[derive(Default)]
struct Seen {
    /// Records from the oldest up to the newest that was served.
    served: i64,
    accepted: i64,
    /// The most records at any time that were served and not accepted: what the program has to hold.
    held: i64,
    /// When each upload arrived.
    uploads: Vec<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct Asked {
    start_epoch: Option<i64>,
    end_epoch: Option<i64>,
    /// From where on, and up to where.
    next: Option<String>,
}

/// The record of this number, counted from the oldest.
fn record(number: i64, begin: i64) -> String {
    let value = format!("198.{}.{}.{}", number / 62_500, number / 250 % 250, number % 250 + 1);
    let at = DateTime::from_timestamp(begin + number * SECONDS_APART, 0).expect("a time");
    let at = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    format!(
        r#"{{"id":"ipv4--{number:032x}","type":"ipv4","value":"{value}","mscore":90,"last_updated":"{at}","threat_rating":{{"threat_score":90}},"campaigns":[]}}"#
    )
}

/// The feed, oldest first from `begin`.
fn feed(begin: i64, seen: Arc<Mutex<Seen>>) -> Router {
    let page = move |Query(asked): Query<Asked>| async move {
        tokio::time::sleep(PAGE_LATENCY).await;
        let (from, to) = match asked.next.as_deref().and_then(|next| next.split_once('-')) {
            Some((from, to)) => (from.parse().expect("ours"), to.parse().expect("ours")),
            None => {
                let after = |epoch: Option<i64>| epoch.expect("a window") - begin;
                let from = (after(asked.start_epoch) + SECONDS_APART - 1).div_euclid(SECONDS_APART);
                let to = after(asked.end_epoch).div_euclid(SECONDS_APART) + 1;
                (from.max(0), to.clamp(0, RECORDS))
            }
        };
        let end = to.min(from + PAGE);
        let records: Vec<String> = (from..end).map(|number| record(number, begin)).collect();
        let next = if end < to { format!(r#","next":"{end}-{to}""#) } else { String::new() };
        let mut seen = seen.lock().unwrap();
        seen.served = seen.served.max(end);
        seen.held = seen.held.max(seen.served - seen.accepted);
        format!(r#"{{"indicators":[{}]{next}}}"#, records.join(","))
    };
    Router::new().route("/v4/indicator", get(page))
}

#[derive(Deserialize)]
struct Upload {
    stixobjects: Vec<IgnoredAny>,
}

fn destination(clock: Arc<TestClock>, seen: Arc<Mutex<Seen>>) -> Router {
    Router::new().fallback(move |body: Bytes| async move {
        let upload: Upload = serde_json::from_slice(&body).expect("an upload");
        seen.lock().unwrap().uploads.push(clock.now());
        tokio::time::sleep(UPLOAD_LATENCY).await;
        seen.lock().unwrap().accepted += i64::try_from(upload.stixobjects.len()).expect("a batch");
    })
}

#[tokio::test(start_paused = true)]
async fn a_first_sync_uses_the_permitted_rate_and_holds_two_pages() {
    let (world, _blobs) = World::with_blobs();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let begin = world.ago(TimeDelta::hours(2) + TimeDelta::seconds(RECORDS * SECONDS_APART)).timestamp();
    let feed = feed(begin, Arc::clone(&seen)).fallback_service(world.mandiant.router());
    world.net.host("api.intelligence.mandiant.com", feed);
    let destination = destination(Arc::clone(&world.clock), Arc::clone(&seen));
    world.net.host("api.ti.sentinel.azure.com", destination);

    let reports = world.chain(LIMIT).await;
    let ends: Vec<End> = reports.iter().map(|report| report.end).collect();
    assert_eq!(ends, [End::Paused, End::Paused, End::CaughtUp], "{reports:#?}");
    for Report { started_at, ended_at, .. } in &reports {
        assert!((*ended_at - *started_at).to_std().is_ok_and(|took| took < LIMIT), "until {ended_at}");
    }
    let sum = |count: fn(&Counts) -> u64| reports.iter().map(|report| count(&report.totals())).sum::<u64>();
    assert_eq!(sum(|counts| counts.created), RECORDS.unsigned_abs());
    assert_eq!(sum(|counts| counts.updated + counts.renewed), 0, "nothing twice");

    let seen = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(seen.accepted, RECORDS, "nothing twice");
    assert!(seen.held <= 2 * PAGE + IN_FLIGHT * BATCH, "{} records were held at a time", seen.held);
    let over =
        seen.uploads.windows(PER_MINUTE + 1).find(|row| row[PER_MINUTE] - row[0] < TimeDelta::minutes(1));
    assert!(over.is_none(), "more than permitted within 60 s: {over:?}");
    let (first, last) = (seen.uploads[0], seen.uploads[seen.uploads.len() - 1]);
    let permitted = PER_MINUTE as f64 * (last - first).as_seconds_f64() / 60.0;
    let used = seen.uploads.len() as f64 / permitted;
    println!("{:.1} % of the permitted rate, {} records held at a time", 100.0 * used, seen.held);
    assert!(used >= 0.98, "{used} of the permitted rate");

    // The chain as a whole can be followed under the id of its first pass.
    let status = world.start().engine.report_of(&reports[0].run_id).await.unwrap().unwrap();
    let RunStatus::Ended(whole) = status else { panic!("{status:?}") };
    assert_eq!((whole.end, whole.totals().created), (End::CaughtUp, RECORDS.unsigned_abs()));
}
