//! A defect of ours, which nothing outside can provoke: here the network panics under the program's feet.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, http::StatusCode};
use chrono::TimeDelta;
use sandbox::{corpus::Record, net::Exchange};
use serde_json::{Value, json};

use crate::{
    harness::world::{STORAGE, World},
    protocol::{answered, http, post, serve},
};

const TICK: &str = r#"{"Data":{"timer":{}}}"#;

/// Panics at the first request that `is_it`.
fn panic_once(world: &World, is_it: impl Fn(&Exchange) -> bool + Send + Sync + 'static) -> Arc<AtomicBool> {
    let armed = Arc::new(AtomicBool::new(true));
    let trap = Arc::clone(&armed);
    world.net.on_request(move |exchange| {
        assert!(!(is_it(exchange) && trap.swap(false, Ordering::Relaxed)), "a defect made for this test");
        None
    });
    armed
}

async fn newest_pass(app: &Router) -> Value {
    let (_, body) = post(app, "Status", http(None, json!({}), json!({}))).await;
    answered(&body).1["runs"][0].clone()
}

#[tokio::test(start_paused = true)]
async fn a_defect_in_a_pass_is_reported_and_the_next_invocation_goes_on() {
    for place in ["/indicator", ":upload", "oauth2/v2.0/token", "progress.json"] {
        let (world, _blobs) = World::with_blobs();
        let at = world.ago(TimeDelta::hours(3));
        world.mandiant.put_all((1..=250).map(|n| Record::ipv4(&format!("198.51.100.{n}")).updated(at)));
        let app = serve(&world);
        let armed = panic_once(&world, move |exchange| exchange.uri.path().contains(place));
        let (status, body) = post(&app, "SyncTimer", TICK).await;
        assert!(!armed.load(Ordering::Relaxed), "{place} was never asked for");
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{place}: {body}");
        let report = newest_pass(&app).await;
        assert_eq!(
            (&report["end"], &report["trigger"]),
            (&json!("failed"), &json!("timer")),
            "{place}: {report:#}"
        );
        for text in [report["message"].as_str().unwrap(), body["error"].as_str().unwrap()] {
            assert!(text.contains("a defect") && text.contains("made for this test"), "{place}: {text}");
        }

        // Run ids are in the order of their milliseconds.
        tokio::time::advance(Duration::from_secs(1)).await;
        let began = tokio::time::Instant::now();
        let (status, body) = post(&app, "SyncTimer", TICK).await;
        assert_eq!(status, StatusCode::OK, "{place}: {body}");
        assert!(began.elapsed().as_secs() < 20, "the lease was given back");
        assert_eq!(newest_pass(&app).await["end"], "caught_up");
        assert_eq!(world.held().len(), 250);
    }
}

/// Where no pass has begun there is nothing to report; the host hears of it all the same.
#[tokio::test(start_paused = true)]
async fn a_defect_outside_a_pass_fails_that_invocation_alone() {
    for function in ["SyncTimer", "SyncNow", "Status"] {
        let (world, _blobs) = World::with_blobs();
        let app = serve(&world);
        let invocation = http(None, json!({}), json!({}));
        panic_once(&world, |exchange| exchange.authority == STORAGE);
        let (status, body) = post(&app, function, &invocation).await;
        if function == "SyncTimer" {
            assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{function}: {body}");
        } else {
            // The host would throw the body of our own 500 away.
            let (inner, answer) = answered(&body);
            assert_eq!((status, inner.as_str()), (StatusCode::OK, "500"), "{function}: {body}");
            assert!(answer["error"].as_str().unwrap().contains("a defect"), "{answer}");
        }
        let (status, body) = post(&app, function, &invocation).await;
        assert_eq!(status, StatusCode::OK, "{function}: {body}");
        assert_ne!(body["Outputs"]["response"]["statusCode"], "500", "{function}: {body}");
    }
}
