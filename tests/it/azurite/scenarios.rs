//! What state must be able to do in any blob storage. Each takes a place of its own.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use axum::http::Method;
use chrono::TimeDelta;
use mati_sync::{
    domain::{
        manifest_format::SegmentError,
        outcome::{Counts, End},
        progress::SCHEMA,
        report::{LaneReport, Report, Trigger},
        request::{Request, RunOptions},
    },
    state::{
        commit::{LaneState, read_manifest},
        error::StateError,
    },
};

use super::place::{
    LANE, PROGRESS, Place, assert_same, at_once, begin, entries, lease, load, now, origin, run,
};

/// All of them, side by side.
pub async fn all(place: &Place) {
    tokio::join!(
        commits_are_fenced(place.another()),
        large_segments_survive(place.another()),
        frames_are_added_to_one_file(place.another()),
        tidying_keeps_what_is_listed(place.another()),
        damage_is_named(place.another()),
        another_target_starts_anew(place.another()),
        reports_and_requests_are_kept_in_order(place.another()),
        one_holder_at_a_time(place.another()),
    );
}

/// Of two writers that read the same progress one gets through, from the first commit on.
async fn commits_are_fenced(place: Place) {
    let store = place.ready().await;
    store.prepare().await.expect("that it exists is no error");
    let lease = lease(&store, &run(1)).await;
    let mut ours = load(&store, &run(1)).await.unwrap();
    let mut theirs = load(&store, &run(2)).await.unwrap();
    let fenced = StateError::Conflict { name: PROGRESS.to_owned() };
    assert!(fenced.is_fencing());

    ours.commit(&lease, entries(0..1000)).await.unwrap();
    assert_eq!(theirs.commit(&lease, entries(500..600)).await, Err(fenced.clone()));

    let mut theirs = load(&store, &run(3)).await.unwrap();
    assert_same(&mut ours, &mut theirs);
    ours.progress.watermark += TimeDelta::days(1);
    ours.commit(&lease, Vec::new()).await.unwrap();
    assert_eq!(theirs.commit(&lease, entries(2000..2001)).await, Err(fenced));

    // The loser's segments are there, and count for nothing.
    let mut after = load(&store, &run(4)).await.unwrap();
    assert_same(&mut ours, &mut after);
    assert_eq!(after.manifest.len(), 1000);
    assert_eq!(store.progress(LANE).await.unwrap(), Some(ours.progress));
    assert_eq!(read_manifest(&store, LANE).await.unwrap().len(), 1000);
    lease.release().await;
}

/// More than one addition may bring is added in several, and fetched in one piece.
async fn large_segments_survive(place: Place) {
    let store = place.ready().await;
    let lease = lease(&store, &run(1)).await;
    let mut ours = load(&store, &run(1)).await.unwrap();
    ours.commit(&lease, entries(0..300_000)).await.unwrap();
    ours.commit(&lease, entries(299_900..300_100)).await.unwrap();
    assert_eq!(ours.progress.segments.len(), 2, "a full file is not added to");
    assert_same(&mut ours, &mut load(&store, &run(2)).await.unwrap());
    lease.release().await;
}

/// Commits go into one file, as far as it is listed; what others added behind that counts for nothing.
async fn frames_are_added_to_one_file(place: Place) {
    let store = place.ready().await;
    let lease = lease(&store, &run(1)).await;
    let mut ours = load(&store, &run(1)).await.unwrap();
    for round in 0..5 {
        ours.commit(&lease, entries(round * 100..(round + 1) * 100)).await.unwrap();
    }
    let [open] = &ours.progress.segments[..] else { panic!("one file") };
    let (name, listed) = (format!("lanes/{LANE}/manifest/{}", open.name), open.bytes.unwrap());
    let mut other = load(&store, &run(2)).await.unwrap();
    assert_same(&mut ours, &mut other);

    // A pass that was killed before its swap, or does not know yet that it was overtaken.
    place.append(&name, "half a frame").await;
    assert_same(&mut ours, &mut load(&store, &run(3)).await.unwrap());
    other.commit(&lease, entries(500..600)).await.unwrap();
    assert_eq!(other.progress.segments[0].bytes, Some(listed));
    assert_eq!(other.progress.segments.len(), 2, "a new file is begun");
    assert_same(&mut other, &mut load(&store, &run(4)).await.unwrap());
    other.commit(&lease, entries(600..700)).await.unwrap();
    assert_eq!(other.progress.segments.len(), 2, "and added to");
    let fenced = StateError::Conflict { name: PROGRESS.to_owned() };
    assert_eq!(ours.commit(&lease, entries(900..901)).await, Err(fenced));
    assert_same(&mut other, &mut load(&store, &run(5)).await.unwrap());
    lease.release().await;
}

async fn tidying_keeps_what_is_listed(place: Place) {
    let store = place.ready().await;
    let lease = lease(&store, &run(1)).await;
    let mut state = load(&store, &run(1)).await.unwrap();
    state.commit(&lease, entries(0..800)).await.unwrap();
    let mut written = state.listed();
    state.compact(&lease, now()).await.unwrap();
    state.commit(&lease, entries(800..801)).await.unwrap();
    let listed = state.listed();
    written.extend(state.listed());
    assert_eq!((listed.len(), written.len()), (1, 2));
    let rejected = format!("lanes/{LANE}/rejected/{}.jsonl", run(1));
    let lines = "{\"id\":\"a\"}\n{\"id\":\"b\"}\n";
    store.append_rejected(&lease, LANE, &run(1), &mut None, lines).await.unwrap();
    assert_eq!(place.raw(Method::GET, &rejected, "").await.body, lines);

    for (days, orphans_kept, rejected_kept) in [(0, true, true), (2, false, true), (91, false, false)] {
        store.tidy(&lease, LANE, &listed, now() + TimeDelta::days(days)).await.unwrap();
        for name in &written {
            let kept = orphans_kept || listed.contains(name);
            let exists = place.exists(&format!("lanes/{LANE}/manifest/{name}")).await;
            assert_eq!(exists, kept, "{name} after {days} days");
        }
        assert_eq!(place.exists(&rejected).await, rejected_kept, "after {days} days");
    }
    assert_same(&mut state, &mut load(&store, &run(2)).await.unwrap());
    lease.release().await;
}

async fn damage_is_named(place: Place) {
    let store = place.ready().await;
    let lease = lease(&store, &run(1)).await;
    let mut state = load(&store, &run(1)).await.unwrap();
    state.commit(&lease, entries(0..100)).await.unwrap();
    let first = format!("lanes/{LANE}/manifest/{}", state.progress.segments[0].name);
    place.append(&first, "so that another one is begun").await;
    state.commit(&lease, entries(100..150)).await.unwrap();
    state.commit(&lease, entries(150..160)).await.unwrap();
    let [whole, part] = &state.progress.segments[..] else { panic!("two files") };
    let name = format!("lanes/{LANE}/manifest/{}", part.name);
    let failure = |source| StateError::DamagedSegment { name: name.clone(), source };

    let bytes = place.raw(Method::GET, &name, "").await.body.to_vec();
    let mut changed = bytes.clone();
    changed[40] ^= 1;
    // Also a cut between two frames, which leaves each of them whole.
    for damaged in [changed, bytes[..bytes.len() - 1].to_vec(), bytes[..16 + 50 * 32 + 8].to_vec()] {
        place.raw(Method::PUT, &name, damaged).await;
        let error = load(&store, &run(2)).await.err();
        assert_eq!(error, Some(failure(SegmentError::Damaged)));
    }
    place.raw(Method::DELETE, &name, "").await;
    let error = load(&store, &run(2)).await.err().unwrap();
    assert_eq!(error, failure(SegmentError::Missing));
    let message = error.to_string();
    assert!(message.contains(&name) && message.contains("--rebuild"), "{message}");

    let rebuild = LaneState::load(&store, LANE, &run(2), origin("workspace"), true).await;
    let mut rebuilt = rebuild.unwrap();
    assert_eq!(rebuilt.progress.segments, std::slice::from_ref(whole));
    assert_eq!(rebuilt.manifest.len(), 100);
    rebuilt.commit(&lease, entries(100..150)).await.unwrap();
    assert_eq!(load(&store, &run(3)).await.unwrap().manifest.len(), 150);

    place.raw(Method::PUT, PROGRESS, format!(r#"{{"schema":{}}}"#, SCHEMA + 1)).await;
    let newer = StateError::Newer { name: PROGRESS.to_owned(), found: SCHEMA + 1, known: SCHEMA };
    assert_eq!(load(&store, &run(4)).await.err(), Some(newer));
    place.raw(Method::PUT, PROGRESS, "{").await;
    let error = load(&store, &run(4)).await.err();
    assert!(matches!(&error, Some(StateError::Damaged { name, .. }) if name == PROGRESS), "{error:?}");
    lease.release().await;
}

async fn another_target_starts_anew(place: Place) {
    let store = place.ready().await;
    let lease = lease(&store, &run(1)).await;
    let mut old = load(&store, &run(1)).await.unwrap();
    old.commit(&lease, entries(0..100)).await.unwrap();
    let anew = LaneState::load(&store, LANE, &run(2), origin("another workspace"), false).await;
    let mut anew = anew.unwrap();
    assert_eq!((anew.manifest.len(), anew.progress.watermark), (0, begin()));
    anew.commit(&lease, entries(0..10)).await.unwrap();
    store.tidy(&lease, LANE, &anew.listed(), now() + TimeDelta::days(2)).await.unwrap();
    let segment = &old.progress.segments[0].name;
    assert!(place.exists(&format!("lanes/{LANE}/manifest/{segment}")).await);
    let aside = place.raw(Method::GET, &format!("lanes/{LANE}/aside/{}.json", run(2)), "").await;
    assert_eq!(serde_json::from_slice(&aside.body).ok(), Some(old.progress));
    lease.release().await;
}

async fn reports_and_requests_are_kept_in_order(place: Place) {
    let store = place.ready().await;
    let (first, second) = (report(&run(1), End::Paused, None), report(&run(2), End::CaughtUp, Some(&run(1))));
    let third = report(&run(3), End::Stalled, None);
    for report in [&third, &first, &second] {
        store.write_report(report).await.unwrap();
    }
    assert_eq!(store.newest_reports(2).await.unwrap(), [third.clone(), second.clone()]);
    assert_eq!(store.newest_reports(9).await.unwrap(), [third, second.clone(), first]);
    let whole = store.report(&run(1)).await.unwrap().unwrap();
    assert_eq!((whole.end, whole.totals().read), (End::CaughtUp, 14));
    assert_eq!(store.report(&run(2)).await.unwrap(), Some(second));
    assert_eq!(store.report(&run(4)).await.unwrap(), None);

    assert_eq!(store.requests().await.unwrap(), []);
    let [first, second, third] = [1, 2, 3].map(|number| Request {
        run_id: run(number),
        requested_at: begin(),
        order: RunOptions { lookback_days: Some(number.into()), ..RunOptions::default() },
        claim: None,
    });
    for request in [&second, &third, &first] {
        store.write_request(request).await.unwrap();
    }
    assert_eq!(store.requests().await.unwrap(), [&first, &second, &third].map(|request| Ok(request.clone())));
    assert_eq!(store.request(&run(2)).await.unwrap(), Some(Ok(second)));
    for _ in 0..2 {
        store.delete_request(&run(2)).await.unwrap();
    }
    assert_eq!(store.request(&run(2)).await.unwrap(), None);
    assert_eq!(store.requests().await.unwrap(), [Ok(first), Ok(third)]);
}

fn report(run_id: &str, end: End, continues: Option<&str>) -> Report {
    let counts = Counts { read: 7, unchanged: 7, ..Counts::default() };
    let lane = LaneReport { counts, watermark: Some(begin()), ..LaneReport::ended(end, None) };
    Report {
        run_id: run_id.to_owned(),
        trigger: Trigger::Timer,
        dry_run: false,
        started_at: begin(),
        ended_at: begin(),
        end,
        message: "Grüße".to_owned(),
        continues: continues.map(str::to_owned),
        losses: Vec::new(),
        watchdog: None,
        lanes: BTreeMap::from([(LANE.to_owned(), lane)]),
    }
}

/// The lease says whose it is, keeps others out, and is free at once when given back.
async fn one_holder_at_a_time(place: Place) {
    let (here, there) = (place.ready().await, place.open());
    there.probe(&run(9)).await.unwrap();
    for number in [1, 2] {
        let ours = lease(&here, &run(number)).await;
        let seen = place.raw(Method::HEAD, "lease", "").await.headers;
        assert_eq!(seen["x-ms-lease-state"], "leased");
        assert_eq!(seen["x-ms-meta-run_id"], *run(number));
        assert_eq!(seen["x-ms-meta-holder"], *format!("process {}", std::process::id()));
        assert!(there.lease(&run(9), &at_once()).await.unwrap().is_none());
        let holder = format!("{} (process {})", &*run(number), std::process::id());
        assert_eq!(there.probe_lease(&run(9)).await, Ok(Some(holder)));
        ours.check().unwrap();
        ours.release().await;
        assert_eq!(there.probe_lease(&run(9)).await, Ok(None));
        assert_eq!(place.raw(Method::HEAD, "lease", "").await.headers["x-ms-lease-state"], "available");
    }
    // The instance that waits gets it at the next look, without the lease having to run out.
    let ours = lease(&here, &run(3)).await;
    let waiting = tokio::spawn(async move {
        let started = Instant::now();
        let patient = mati_sync::clock::Deadline::after(Duration::from_secs(20));
        let lease = there.lease(&run(4), &patient).await.unwrap().expect("it is given back");
        lease.release().await;
        started.elapsed()
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    ours.release().await;
    assert!(waiting.await.unwrap() < Duration::from_secs(8));
}
