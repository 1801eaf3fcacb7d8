//! Faults from outside, each with its defined end; and when it is over, everything arrives.

mod acceptance;
mod answers;
mod clock;
mod destination;
mod identity;
mod source;
mod storage;
mod tokens;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use chrono::TimeDelta;
use mati_sync::{
    domain::{outcome::End, report::Report},
    pass::Work,
};
use sandbox::{
    corpus::Record,
    net::{Exchange, Fault},
};

use crate::harness::world::World;

/// What the host grants an invocation.
const LIMIT: Duration = Duration::from_secs(600);

/// Puts `count` records into the feed that are all wanted, over some hours, so that they fill several pages.
fn fill(world: &World, count: u32) {
    let newest = world.ago(TimeDelta::hours(2));
    world.mandiant.put_all((0..count).map(|n| {
        Record::ipv4(&format!("198.{}.{}.{}", n / 62_500, n / 250 % 250, n % 250 + 1))
            .updated(newest - TimeDelta::seconds(i64::from(n) * 3))
    }));
}

/// Everything in the feed, which is what the destination has to hold in the end.
fn wanted(world: &World) -> Vec<String> {
    let mut values: Vec<String> =
        world.mandiant.records().iter().map(|record| record.value().to_owned()).collect();
    values.sort();
    values
}

fn assert_delivered(world: &World) {
    let (held, wanted) = (world.held(), wanted(world));
    let missing: Vec<&String> = wanted.iter().filter(|value| held.binary_search(value).is_err()).collect();
    assert!(missing.is_empty(), "{} of {} are missing: {missing:?}", missing.len(), wanted.len());
    assert_eq!(held.len(), wanted.len(), "and nothing else is held");
}

/// The fault is over: one tick delivers everything there is, and another one has nothing to send.
async fn recovers(world: &World) {
    let report = world.tick().await;
    assert_eq!(report.end, End::CaughtUp, "{report:#?}");
    assert_delivered(world);
    let uploads = world.sentinel.requests().len();
    let report = world.tick().await;
    assert_eq!((report.end, world.sentinel.requests().len()), (End::CaughtUp, uploads), "{report:#?}");
}

/// A tick that meets a fault which lasts: it stalls before the host's limit, and says so in these words.
async fn stalls(world: &World, words: &[&str]) -> Report {
    let began = tokio::time::Instant::now();
    let ended = tokio::time::timeout(2 * LIMIT, world.run(Work::Timer, LIMIT)).await.expect("a pass ends");
    assert!(began.elapsed() < LIMIT, "it took {:?}: {ended:#?}", began.elapsed());
    let [report] = <[Report; 1]>::try_from(ended.reports).expect("one pass, reported once");
    assert_eq!(report.end, End::Stalled, "{report:#?}");
    for word in words {
        assert!(report.message.contains(word), "{word} is not in {}", report.message);
    }
    report
}

/// A fault that lasts until it is mended.
struct Outage(Arc<AtomicBool>);

impl Outage {
    fn begin(world: &World, fault: impl Fn(&Exchange) -> Option<Fault> + Send + Sync + 'static) -> Self {
        let lasts = Arc::new(AtomicBool::new(true));
        let outage = Self(Arc::clone(&lasts));
        world
            .net
            .on_request(move |exchange| lasts.load(Ordering::Relaxed).then(|| fault(exchange)).flatten());
        outage
    }

    fn mend(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// A fault that meets only the requests of the given numbers among those of interest, counted from 0.
fn at(
    numbers: impl Fn(usize) -> bool + Send + Sync + 'static,
    interest: impl Fn(&Exchange) -> bool + Send + Sync + 'static,
    fault: Fault,
) -> impl Fn(&Exchange) -> Option<Fault> + Send + Sync + 'static {
    let seen = AtomicUsize::new(0);
    move |exchange| {
        (interest(exchange) && numbers(seen.fetch_add(1, Ordering::Relaxed))).then(|| fault.clone())
    }
}

fn is_page(exchange: &Exchange) -> bool {
    exchange.uri.path().ends_with("/indicator")
}

fn is_upload(exchange: &Exchange) -> bool {
    exchange.uri.path().ends_with(":upload")
}

/// A gateway's page in the place of the service's answer.
fn html(status: u16) -> (StatusCode, HeaderMap, axum::body::Bytes) {
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("text/html"))]);
    (StatusCode::from_u16(status).expect("a status"), headers, "<html><h1>Bad gateway</h1></html>".into())
}
