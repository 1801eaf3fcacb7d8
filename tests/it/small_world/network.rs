//! The time that everybody here lives in, the stand-ins, and the way to them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{Method, Request, Response},
};
use chrono::{DateTime, Utc};
use mati_sync::clock::Clock;
use sandbox::{
    corpus::Record,
    defender::Defender,
    entra::Entra,
    mandiant::{EndOfData, Mandiant},
    sentinel::Sentinel,
};
use tokio::time::Instant;
use tower::ServiceExt;

use crate::harness::world::{CLIENT, CLIENT_SECRET, DEFENDER, TENANT, WORKSPACE};

const SOURCE: &str = "api.intelligence.mandiant.com";
const SENTINEL: &str = "api.ti.sentinel.azure.com";

/// The time of everybody here, which can be set.
pub struct Time {
    base: Mutex<(DateTime<Utc>, Instant)>,
}

impl Time {
    pub fn from(start: DateTime<Utc>) -> Self {
        Self { base: Mutex::new((start, Instant::now())) }
    }

    pub fn set(&self, to: DateTime<Utc>) {
        *self.base.lock().unwrap() = (to, Instant::now());
    }
}

impl Clock for Time {
    fn now(&self) -> DateTime<Utc> {
        let (base, since) = *self.base.lock().unwrap();
        base + since.elapsed()
    }
}

/// The stand-ins, and the way to them.
pub struct Network {
    mandiant: Mandiant,
    pub sentinel: Sentinel,
    pub defender: Defender,
    routers: BTreeMap<&'static str, Router>,
    /// What a destination has stored is never answered.
    pub is_killing: AtomicBool,
    /// When the records of the feed were updated, in seconds.
    updated: Mutex<Vec<i64>>,
    empty: Bytes,
}

impl Network {
    pub fn new(time: &Arc<Time>) -> Self {
        let now = {
            let time = Arc::clone(time);
            Arc::new(move || time.now()) as sandbox::clock::Now
        };
        let mandiant = Mandiant::new(Arc::clone(&now));
        // Each record stands on a page of its own.
        mandiant.set(|knobs| {
            knobs.longest_page = 1;
            knobs.end_of_data = EndOfData::NoNextOnLastPage;
        });
        let entra = Entra::new(Arc::clone(&now));
        entra.app(TENANT, CLIENT, CLIENT_SECRET);
        let sentinel = Sentinel::new(Arc::clone(&now), WORKSPACE);
        let defender = Defender::new(now);
        let routers = [
            (SOURCE, mandiant.router()),
            ("login.microsoftonline.com", entra.router()),
            (SENTINEL, sentinel.router()),
            (DEFENDER, defender.router()),
        ];
        Self {
            mandiant,
            sentinel,
            defender,
            routers: routers.into(),
            is_killing: AtomicBool::new(false),
            updated: Mutex::default(),
            empty: Bytes::from_static(br#"{"indicators":[]}"#),
        }
    }

    pub fn list(&self, records: Vec<Record>) {
        let seconds = records.iter().map(|record| record.last_updated_at().timestamp());
        *self.updated.lock().unwrap() = seconds.collect();
        self.mandiant.restore(records);
    }

    pub async fn answer(&self, request: Request<Bytes>) -> Response<Body> {
        let host = request.uri().host().unwrap_or_default();
        if host == SOURCE && self.is_empty(request.uri().query().unwrap_or_default()) {
            return Response::new(Body::from(self.empty.clone()));
        }
        let is_destination = host == SENTINEL || host == DEFENDER;
        let is_lost = is_destination && request.method() == Method::POST;
        let router =
            self.routers.get(host).unwrap_or_else(|| panic!("no stand-in answers as {host}")).clone();
        let Ok(response) = router.oneshot(request.map(Body::from)).await;
        if is_lost && self.is_killing.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        response
    }

    /// Whether this asks for a window in which nothing was updated: most of a refresh does, and the way over the
    /// stand-in takes ten times as long.
    fn is_empty(&self, query: &str) -> bool {
        let number = |name: &str| -> Option<i64> {
            query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
        };
        match (number("start_epoch"), number("end_epoch")) {
            (Some(start), Some(end)) => {
                !self.updated.lock().unwrap().iter().any(|at| (start..=end).contains(at))
            }
            _ => false,
        }
    }
}
