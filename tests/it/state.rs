//! Deadlines, continuations, two passes at once, and state that is not what it should be.

use std::{fs, io::Write, sync::Arc, time::Duration};

use azure_core::{
    credentials::{AccessToken, TokenCredential, TokenRequestOptions},
    http::Url,
    time::OffsetDateTime,
};
use chrono::TimeDelta;
use mati_sync::{
    clock::Deadline,
    domain::{outcome::End, request::RunOptions},
    pass::{MessageKind, Work},
    state::blob::BlobHome,
};
use sandbox::corpus::Record;

use crate::harness::world::World;

const LIMIT: Duration = Duration::from_secs(600);

fn records(world: &World, count: u32) -> Vec<Record> {
    let newest = world.ago(TimeDelta::hours(2));
    (0..count)
        .map(|n| {
            Record::ipv4(&format!("198.{}.{}.{}", n / 62_500, n / 250 % 250, n % 250 + 1))
                .updated(newest - TimeDelta::seconds(i64::from(n) * 20))
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_stale_or_repeated_continuation_does_nothing() {
    let mut world = World::new();
    world.set("SENTINEL_REQUESTS_PER_MINUTE", "1");
    world.mandiant.put_all(records(&world, 500));
    let first = world.run(Work::Timer, LIMIT.mul_f64(0.2)).await.continuation.expect("it paused");
    assert_eq!((first.kind, first.hop), (MessageKind::Continue, 1));
    let second = world.run(Work::QueueMessage(first.clone()), LIMIT.mul_f64(0.2)).await.continuation.unwrap();
    assert_eq!((second.hop, &second.run_id), (2, &first.run_id));
    let repeated = world.run(Work::QueueMessage(first), LIMIT).await;
    assert!(repeated.reports.is_empty() && repeated.continuation.is_none(), "{repeated:#?}");
    let last = world.run(Work::QueueMessage(second), LIMIT).await;
    assert_eq!(last.reports[0].end, End::CaughtUp, "{last:#?}");
    assert_eq!(world.held().len(), 500);
}

#[tokio::test(start_paused = true)]
async fn of_two_passes_at_once_one_works_and_the_other_is_skipped() {
    let mut world = World::new();
    world.set("SENTINEL_REQUESTS_PER_MINUTE", "1");
    world.mandiant.put_all(records(&world, 200));
    let (one, other) = tokio::join!(world.run(Work::Timer, LIMIT), async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        world.run(Work::Timer, LIMIT).await
    });
    assert_eq!(
        (one.reports[0].end, other.reports[0].end),
        (End::CaughtUp, End::Skipped),
        "{one:#?} {other:#?}"
    );
    assert!(!other.is_failure());
    let waited = other.reports[0].ended_at - other.reports[0].started_at;
    assert!((38..=42).contains(&waited.num_seconds()), "waited {waited}");
    assert_eq!(world.held().len(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_finds_the_lease_taken_is_applied_by_whoever_holds_it() {
    let mut world = World::new();
    world.set("SENTINEL_REQUESTS_PER_MINUTE", "1");
    world.mandiant.put_all(records(&world, 200));
    let app = world.start();
    let order = mati_sync::domain::request::RunOptions { lookback_days: Some(3), ..Default::default() };
    let (working, skipped) = tokio::join!(world.run(Work::Timer, LIMIT), async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let message = app.engine.accept(order).await.unwrap();
        world.run(Work::QueueMessage(message), LIMIT).await
    });
    assert_eq!(skipped.reports[0].end, End::Skipped, "{skipped:#?}");
    assert_eq!(working.reports.len(), 2, "{working:#?}");
    assert_eq!(working.reports[1].end, End::CaughtUp);
    assert_eq!(working.reports[1].totals().unchanged, 200);
}

#[tokio::test(start_paused = true)]
async fn a_process_told_to_stop_commits_and_pauses() {
    let mut world = World::new();
    world.set("SENTINEL_REQUESTS_PER_MINUTE", "10");
    world.mandiant.put_all(records(&world, 1000));
    let app = world.start();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let deadline = Deadline::for_invocation(LIMIT, stopped);
    let began = tokio::time::Instant::now();
    let (ended, ()) = tokio::join!(app.engine.run(Work::Timer, None, &deadline), async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        stop.send(true).unwrap();
    });
    assert!(began.elapsed() < Duration::from_secs(30));
    let report = &ended.reports[0];
    assert_eq!(report.end, End::Paused, "{report:#?}");
    assert_eq!(report.totals().created, world.sentinel.log().len() as u64, "what arrived is known");
    assert_eq!(world.tick().await.totals().created, 1000 - report.totals().created);
}

#[tokio::test(start_paused = true)]
async fn another_workspace_starts_anew_and_the_old_state_is_set_aside() {
    let mut world = World::new();
    world.mandiant.put_all(records(&world, 20));
    world.tick().await;
    world.set("SOURCE_SYSTEM", "Mandiant feed");
    let report = world.tick().await;
    assert_eq!(report.totals().created, 20, "{report:#?}");
    let aside = world.state.path().join("lanes/sentinel/aside");
    assert_eq!(fs::read_dir(aside).unwrap().count(), 1);
    assert_eq!(world.tick().await.totals().created, 0);
}

#[tokio::test(start_paused = true)]
async fn state_of_a_newer_version_is_left_alone() {
    let world = World::new();
    world.mandiant.put_all(records(&world, 20));
    world.tick().await;
    let path = world.state.path().join("lanes/sentinel/progress.json");
    let newer = r#"{"schema":99,"whatever":{}}"#;
    fs::write(&path, newer).unwrap();
    let report = world.tick().await;
    assert_eq!(report.end, End::Failed);
    assert!(report.message.contains("newer version"), "{}", report.message);
    assert_eq!(fs::read_to_string(path).unwrap(), newer);
}

#[tokio::test(start_paused = true)]
async fn progress_that_cannot_be_read_is_said_so_and_never_overwritten() {
    let world = World::new();
    world.mandiant.put_all(records(&world, 20));
    world.tick().await;
    let path = world.state.path().join("lanes/sentinel/progress.json");
    fs::write(&path, "{").unwrap();
    let report = world.tick().await;
    assert_eq!(report.end, End::Failed);
    assert!(report.message.contains("lanes/sentinel/progress.json"), "{}", report.message);
    assert_eq!(fs::read_to_string(path).unwrap(), "{");
}

/// What a pass that was killed between its frame and its swap leaves behind counts for nothing and blocks no later pass;
/// what is listed and gone is said.
#[tokio::test(start_paused = true)]
async fn bytes_that_are_not_listed_do_not_exist_and_those_that_are_must() {
    let world = World::new();
    let records = records(&world, 60);
    let folder = world.state.path().join("lanes/sentinel/manifest");
    let files = || {
        let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        files
    };
    for (number, part) in records.chunks(20).enumerate() {
        tokio::time::advance(Duration::from_secs(3600)).await;
        let newest = world.ago(TimeDelta::minutes(10));
        world.mandiant.put_all(part.iter().map(|record| record.clone().updated(newest)));
        assert_eq!(world.tick().await.totals().created, 20);
        assert_eq!(files().len(), number + 1, "a file that ends elsewhere is not added to");
        let open = files().pop().unwrap();
        let half_a_frame = fs::read(&open).unwrap()[..100].to_vec();
        fs::OpenOptions::new().append(true).open(&open).unwrap().write_all(&half_a_frame).unwrap();
    }
    assert_eq!(world.tick().await.totals().created, 0);

    let listed = files().pop().unwrap();
    fs::OpenOptions::new().write(true).open(&listed).unwrap().set_len(300).unwrap();
    let report = world.tick().await;
    assert_eq!(report.end, End::Failed);
    assert!(report.message.contains("manifest/") && report.message.contains("--rebuild"), "{report:#?}");
    let order = mati_sync::domain::request::RunOptions { rebuild: true, ..Default::default() };
    assert_eq!(world.command(order).await.end, End::CaughtUp);
    assert_eq!(world.tick().await.totals().created, 0);
}

#[tokio::test(start_paused = true)]
async fn state_in_a_container_behaves_like_state_in_a_directory() {
    let (world, blobs) = World::with_blobs();
    world.mandiant.put_all(records(&world, 1500));
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().created), (End::CaughtUp, 1500), "{report:#?}");
    assert_eq!(world.tick().await.totals().created, 0);
    let names: Vec<String> = blobs.blobs().into_keys().collect();
    for part in ["/lease", "/lanes/sentinel/progress.json", "/lanes/sentinel/manifest/", "/runs/"] {
        assert!(names.iter().any(|name| name.contains(part)), "{part} is not among {names:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_lost_its_lease_ends_fenced_and_writes_nothing_more() {
    let (mut world, _blobs) = World::with_blobs();
    world.set("SENTINEL_REQUESTS_PER_MINUTE", "2");
    world.mandiant.put_all(records(&world, 1500));
    // The storage stops renewing after a while, and another instance takes over when the lease has run out.
    let start = world.now();
    let clock = std::sync::Arc::clone(&world.clock);
    world.net.on_request(move |exchange| {
        let age = (mati_sync::clock::Clock::now(&*clock) - start).num_seconds();
        let renewal = exchange.headers.get("x-ms-lease-action").is_some_and(|action| action == "renew");
        (renewal && (60..88).contains(&age)).then(|| sandbox::net::Fault::status(503))
    });
    let (one, other) = tokio::join!(world.run(Work::Timer, LIMIT), async {
        tokio::time::sleep(Duration::from_secs(65)).await;
        world.run(Work::Timer, LIMIT).await
    });
    assert_eq!(
        (one.reports[0].end, other.reports[0].end),
        (End::Fenced, End::CaughtUp),
        "{one:#?} {other:#?}"
    );
    assert!(!one.is_failure() && one.continuation.is_none());
    let [theirs, ours] = [&one, &other].map(|ended| ended.reports[0].totals().created);
    // What was in flight is sent again at worst.
    assert!(theirs > 0 && (1500..=1900).contains(&(theirs + ours)), "{theirs} and {ours}");
    assert_eq!(world.held().len(), 1500);
}

#[tokio::test(start_paused = true)]
async fn the_lost_reply_of_a_commit_is_recognised_as_our_own_write() {
    let (world, _blobs) = World::with_blobs();
    world.mandiant.put_all(records(&world, 300));
    let lost = std::sync::atomic::AtomicU32::new(0);
    world.net.on_request(move |exchange| {
        let commit =
            exchange.method == axum::http::Method::PUT && exchange.uri.path().contains("progress.json");
        let nth = if commit { lost.fetch_add(1, std::sync::atomic::Ordering::Relaxed) } else { 1 };
        (nth % 2 == 0).then_some(sandbox::net::Fault::ResetAfter)
    });
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().created), (End::CaughtUp, 300), "{report:#?}");
    assert_eq!(world.tick().await.totals().created, 0);
}

/// Only some of a file's lines could be done away with, and it begins with those that could not.
#[tokio::test(start_paused = true)]
async fn lines_that_stay_outlive_their_file_in_a_container() {
    const WEAK: &str = "198.51.100.1";
    const STRONG: &str = "198.51.100.2";
    let (mut world, blobs) = World::with_blobs();
    world.set("TARGET_APPLICATION", "defender").set("DEFENDER_INDICATOR_LIMIT", "2");
    let at = world.ago(TimeDelta::hours(6));
    let record = |address: &str, minutes, mscore| {
        Record::ipv4(address).updated(at + TimeDelta::minutes(minutes)).mscore(mscore)
    };
    world.defender.knobs(|knobs| {
        knobs.reject = Some(Arc::new(|object| {
            let is_rejected = [WEAK, STRONG].contains(&object["indicatorValue"].as_str()?);
            is_rejected.then(|| "not today".to_owned())
        }));
    });
    let lines = || -> Vec<String> {
        let files = blobs.blobs().into_iter().filter(|(name, _)| name.contains("lanes/defender/rejected/"));
        let texts = files.map(|(_, bytes)| String::from_utf8(bytes).expect("a text"));
        texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    };
    let holds = |world: &World, address: &str| {
        world.defender.stored().values().any(|held| held["indicatorValue"] == address)
    };
    let retry = RunOptions { retry_rejected: true, ..RunOptions::default() };
    // One after the other, and then rejected once more in this order: what stays later is how the file begins.
    for rejected in [record(WEAK, 0, 80), record(STRONG, 1, 95)] {
        world.mandiant.put(rejected);
        world.command(RunOptions { lookback_days: Some(2), ..RunOptions::default() }).await;
    }
    world.command(retry.clone()).await;
    let both = lines();
    assert!(
        matches!(&both[..], [first, second] if first.contains(WEAK) && second.contains(STRONG)),
        "{both:?}"
    );
    world.mandiant.put_all([record("198.51.100.3", 2, 90), record("198.51.100.4", 3, 90)]);
    world.command(RunOptions { lookback_days: Some(2), ..RunOptions::default() }).await;
    world.defender.knobs(|knobs| knobs.reject = None);
    world.command(retry.clone()).await;
    assert!(holds(&world, STRONG) && !holds(&world, WEAK), "there is room for the better one only");
    let left = lines();
    assert!(matches!(&left[..], [line] if line.contains(WEAK)), "{left:?}");
    world.set("DEFENDER_INDICATOR_LIMIT", "9");
    let report = world.command(retry).await;
    assert!(holds(&world, WEAK), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_no_longer_is_removed_and_nothing_else() {
    const STATE: &str = "mandiant-threat-intel";
    let (world, blobs) = World::with_blobs();
    world.mandiant.put_all(records(&world, 20));
    world.sentinel.knobs(|knobs| {
        knobs.reject = Some(Arc::new(|object| (object["name"] == "198.0.0.1").then(|| "no".to_owned())));
    });
    let first = world.tick().await;
    for number in 0..510 {
        blobs.put(STATE, &format!("runs/20250101T000000000Z-{number:04x}.json"), "{}");
    }
    blobs.put(STATE, "lanes/sentinel/manifest/orphan", "left behind by a commit that was not finished");
    let count = |part: &str| blobs.blobs().keys().filter(|name| name.contains(part)).count();
    world.tick().await;
    assert_eq!(count("/runs/"), 501, "500, and the one written after tidying");
    assert!(blobs.blobs().contains_key(&format!("{STATE}/runs/{}.json", first.run_id)), "the oldest went");
    assert_eq!((count("/manifest/orphan"), count("/rejected/")), (1, 1));

    tokio::time::advance(Duration::from_secs(2 * 86_400)).await;
    world.tick().await;
    assert_eq!((count("/manifest/orphan"), count("/manifest/"), count("/rejected/")), (0, 1, 1));
    tokio::time::advance(Duration::from_secs(89 * 86_400)).await;
    world.tick().await;
    assert_eq!(count("/rejected/"), 0);
}

#[tokio::test(start_paused = true)]
async fn storage_that_rejects_us_says_what_to_look_at() {
    let (world, blobs) = World::with_blobs();
    blobs.forbid(true);
    let report = world.tick().await;
    assert_eq!(report.end, End::Stalled);
    assert!(report.message.contains("AzureWebJobsStorage"), "{}", report.message);
    assert!(!report.message.contains("sig="), "a signature in a message");

    let endpoint = Url::parse("https://127.0.0.1:10000/devstoreaccount1").unwrap();
    let home = BlobHome::new(endpoint, Some(Arc::new(AnyToken)), "container", &world.transport()).unwrap();
    let message = home.prepare().await.unwrap_err().to_string();
    assert!(message.contains("Storage Blob Data Contributor"), "{message}");
}

#[derive(Debug)]
struct AnyToken;

#[async_trait::async_trait]
impl TokenCredential for AnyToken {
    async fn get_token(
        &self,
        _scopes: &[&str],
        _options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let expires_on = OffsetDateTime::now_utc() + azure_core::time::Duration::hours(1);
        Ok(AccessToken::new("token", expires_on))
    }
}
