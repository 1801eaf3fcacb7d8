//! The message that each pass leaves, and what it does when the timer does not fire.

mod queue;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::{
    domain::{
        outcome::End,
        report::{Report, Trigger},
        request::RunOptions,
    },
    pass::{Ended, MessageKind, QueueMessage, Work},
};
use sandbox::{
    corpus::Record,
    net::Fault,
    queue::{Message, QueueService},
};

use crate::harness::world::{QUEUES, World};

const QUEUE: &str = "mati-sync";
const LIMIT: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3600);

/// The one pass of an invocation.
fn report(ended: &Ended) -> &Report {
    let [report] = &*ended.reports else { panic!("{:?}", ended.reports) };
    report
}

async fn tick(world: &World) -> Report {
    report(&world.run(Work::Timer, LIMIT).await).clone()
}

fn parsed(message: &Message) -> QueueMessage {
    serde_json::from_str(&message.text().expect("base64")).expect("a message of ours")
}

/// Waits until the next message becomes visible and hands it out, as the host would.
async fn next(queues: &QueueService) -> QueueMessage {
    let wake = queues.next_visible(QUEUE).expect("a message");
    let now = |queues: &QueueService| queues.messages(QUEUE).iter().map(|message| message.inserted).max();
    loop {
        if let Some(message) = queues.take(QUEUE, TimeDelta::minutes(10)) {
            queues.delete(QUEUE, &message.id);
            return parsed(&message);
        }
        assert!(now(queues).is_some(), "it is gone before it woke at {wake}");
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
}

async fn deliver(world: &World, message: &QueueMessage) -> Ended {
    world.run(Work::QueueMessage(message.clone()), LIMIT).await
}

/// When each message wakes, and for which pass.
fn pending(queues: &QueueService) -> Vec<(DateTime<Utc>, String)> {
    let messages = queues.messages(QUEUE);
    messages.iter().map(|message| (message.visible, parsed(message).run_id)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_pass_leaves_one_message_that_wakes_after_twice_the_schedule() {
    let (world, _blobs, queues) = World::hosted();
    let first = tick(&world).await;
    let messages = queues.messages(QUEUE);
    let [message] = &*messages else { panic!("{messages:?}") };
    assert_eq!(message.visible - message.inserted, TimeDelta::hours(2));
    assert!(message.expires > message.visible + TimeDelta::days(6), "it outlives a weekend without a host");
    let expected = QueueMessage {
        kind: MessageKind::Watchdog,
        run_id: first.run_id.clone(),
        continuation_id: None,
        hop: 0,
    };
    assert_eq!(parsed(message), expected);
    assert!(message.text().unwrap().contains(r#""kind":"watchdog""#), "{:?}", message.text());
    assert_eq!(first.watchdog.map(|wakes| wakes.timestamp()), Some(message.visible.timestamp()));
    // One request, once the queue is there.
    let before = queues.requests().len();
    tick(&world).await;
    assert_eq!(queues.requests()[before..], ["POST mati-sync/messages"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_ends_without_a_pass_if_one_ended_meanwhile() {
    let (world, _blobs, queues) = World::hosted();
    tick(&world).await;
    tokio::time::sleep(HOUR).await;
    let second = tick(&world).await;
    let ended = deliver(&world, &next(&queues).await).await;
    assert!(ended.reports.is_empty() && !ended.is_failure(), "{ended:?}");
    let left: Vec<String> = pending(&queues).into_iter().map(|(_, run_id)| run_id).collect();
    assert_eq!(left, [second.run_id], "that of the newer pass alone");
}

#[tokio::test(start_paused = true)]
async fn a_dead_timer_is_made_up_for_and_told() {
    let (world, _blobs, queues) = World::hosted();
    let mut before = tick(&world).await;
    for round in 0..4 {
        world.mandiant.put(Record::ipv4(&format!("198.51.100.{round}")).updated(world.now()));
        let ended = deliver(&world, &next(&queues).await).await;
        let report = report(&ended);
        assert_eq!((report.trigger, report.end), (Trigger::Watchdog, End::CaughtUp));
        assert!(report.message.contains("the timer does not fire"), "{}", report.message);
        let pause = report.started_at - before.ended_at;
        assert!(
            (TimeDelta::hours(2)..TimeDelta::hours(2) + TimeDelta::minutes(2)).contains(&pause),
            "{pause}"
        );
        assert_eq!(pending(&queues).len(), 1, "chains never multiply");
        before = report.clone();
    }
    assert_eq!(world.held().len(), 4, "what was updated is delivered");
    let overview = world.start().engine.overview().await.expect("the state");
    let complaints = overview.complaints(Some("0 23 * * * *"));
    assert!(
        complaints.iter().any(|complaint| complaint.contains("a watchdog message did")),
        "{complaints:?}"
    );
    // The timer fires again: all is well, and the message finds that.
    tick(&world).await;
    let overview = world.start().engine.overview().await.expect("the state");
    assert_eq!(overview.complaints(Some("0 23 * * * *")), [""; 0]);
    assert!(deliver(&world, &next(&queues).await).await.reports.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_message_delivered_twice_at_once_starts_one_pass() {
    let (world, _blobs, queues) = World::hosted();
    tick(&world).await;
    let message = next(&queues).await;
    world.sentinel.knobs(|knobs| knobs.delay = Duration::from_secs(5));
    world.mandiant.put(Record::ipv4("198.51.100.7").updated(world.now() - TimeDelta::hours(1)));
    let (one, two) = tokio::join!(deliver(&world, &message), deliver(&world, &message));
    assert_eq!(one.reports.len() + two.reports.len(), 1, "{one:?}\n{two:?}");
    assert_eq!(pending(&queues).len(), 1);
    // And a third time, an hour later.
    tokio::time::sleep(HOUR).await;
    assert!(deliver(&world, &message).await.reports.is_empty());
    assert_eq!(pending(&queues).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_finds_a_pass_at_work_is_left_once_more() {
    let (world, _blobs, queues) = World::hosted();
    let first = tick(&world).await;
    let message = next(&queues).await;
    // A pass that takes longer than a message waits for the lease, and dies.
    world.sentinel.knobs(|knobs| knobs.delay = Duration::from_secs(300));
    world.mandiant.put(Record::ipv4("198.51.100.7").updated(world.now() - TimeDelta::hours(1)));
    let dying = tokio::time::timeout(Duration::from_secs(50), world.run(Work::Timer, LIMIT));
    let (dead, ended) = tokio::join!(dying, deliver(&world, &message));
    assert!(dead.is_err() && ended.reports.is_empty() && !ended.is_failure(), "{ended:?}");
    assert_eq!(pending(&queues).len(), 1, "the dead pass left none");
    world.sentinel.knobs(|knobs| knobs.delay = Duration::ZERO);
    let message = next(&queues).await;
    assert_eq!(message.run_id, first.run_id);
    assert_eq!(report(&deliver(&world, &message).await).trigger, Trigger::Watchdog);
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_stalled_is_not_started_again_by_the_host_s_retries() {
    let (world, _blobs, queues) = World::hosted();
    tick(&world).await;
    let message = next(&queues).await;
    world.mandiant.set(|knobs| knobs.key = "another".into());
    world.mandiant.revoke_tokens();
    let stalled = deliver(&world, &message).await;
    assert!(stalled.is_failure() && report(&stalled).end == End::Stalled);
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(120)).await;
        let again = deliver(&world, &message).await;
        assert!(again.reports.is_empty() && !again.is_failure(), "{again:?}");
    }
    assert_eq!(pending(&queues).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pass_of_the_command_line_does_not_end_the_chain() {
    let (world, _blobs, queues) = World::hosted();
    tick(&world).await;
    // A second message of the same pass, as duplicates are.
    let text = queues.messages(QUEUE)[0].text().unwrap();
    tokio::time::sleep(HOUR).await;
    let command = world.command(RunOptions::default()).await;
    assert_eq!(command.watchdog, None);
    queues.put(QUEUE, &text);
    let duplicate = next(&queues).await;
    assert!(deliver(&world, &duplicate).await.reports.is_empty());
    let message = next(&queues).await;
    assert!(deliver(&world, &message).await.reports.is_empty(), "the command's pass ended meanwhile");
    let left = pending(&queues);
    let [(wakes, run_id)] = &*left else { panic!("{left:?}") };
    assert_eq!(*run_id, command.run_id);
    let after = *wakes - command.ended_at;
    assert!((TimeDelta::hours(2)..TimeDelta::minutes(122)).contains(&after), "{after}");
    assert_eq!(report(&deliver(&world, &next(&queues).await).await).trigger, Trigger::Watchdog);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_down_fails_no_pass_and_breaks_no_chain() {
    let (world, _blobs, queues) = World::hosted();
    tick(&world).await;
    tokio::time::sleep(HOUR).await;
    let is_down = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let down = std::sync::Arc::clone(&is_down);
    world.net.on_request(move |exchange| {
        let is_hit = exchange.authority == QUEUES && down.load(std::sync::atomic::Ordering::Relaxed);
        is_hit.then_some(Fault::status(503))
    });
    let second = tick(&world).await;
    assert_eq!((second.end, second.watchdog), (End::CaughtUp, None));
    is_down.store(false, std::sync::atomic::Ordering::Relaxed);
    // The timer dies. The first pass's message goes on in the name of the second.
    assert!(deliver(&world, &next(&queues).await).await.reports.is_empty());
    let message = next(&queues).await;
    assert_eq!(message.run_id, second.run_id);
    assert_eq!(report(&deliver(&world, &message).await).trigger, Trigger::Watchdog);
    assert_eq!(pending(&queues).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_does_not_answer_delays_no_pause_beyond_the_host_s_limit() {
    let (world, _blobs, _queues) = World::hosted();
    world.net.on_request(|exchange| (exchange.authority == QUEUES).then_some(Fault::Hang));
    world.mandiant.set(|knobs| knobs.page_delay = Duration::from_secs(20));
    world.mandiant.put_all((0..3000).map(|n| {
        Record::ipv4(&format!("198.51.{}.{}", n / 200, n % 200 + 1)).updated(world.ago(TimeDelta::hours(3)))
    }));
    let limit = Duration::from_secs(60);
    let began = tokio::time::Instant::now();
    let ended = world.run(Work::Timer, limit).await;
    assert!(began.elapsed() < limit, "{:?}", began.elapsed());
    assert_eq!((report(&ended).end, ended.continuation.is_some()), (End::Paused, true), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn rehearsals_and_passes_without_a_host_leave_nothing() {
    let (mut world, _blobs, queues) = World::hosted();
    world.start().engine.accept(RunOptions { dry_run: true, ..RunOptions::default() }).await.unwrap();
    let ended = world.run(Work::Command(RunOptions::default()), LIMIT).await;
    assert_eq!(ended.reports.len(), 2, "the command's pass and the rehearsal");
    assert_eq!(pending(&queues), []);
    for (name, value) in [
        ("AzureWebJobs.SyncTimer.Disabled", "true"),
        ("AzureWebJobs__SyncTimer__Disabled", "1"),
        ("STATE_DIR", &world.state.path().display().to_string()),
        ("FUNCTIONS_CUSTOMHANDLER_PORT", ""),
    ] {
        let before = world.vars().get(name).cloned().unwrap_or_default();
        world.set(name, value);
        assert_eq!(tick(&world).await.watchdog, None, "{name}");
        world.set(name, &before);
    }
    assert_eq!(pending(&queues), []);
}

#[tokio::test(start_paused = true)]
async fn a_message_does_nothing_while_the_operator_has_stopped_the_timer() {
    let (mut world, _blobs, queues) = World::hosted();
    tick(&world).await;
    let message = next(&queues).await;
    world.set("AzureWebJobs.SyncTimer.Disabled", "true");
    let ended = deliver(&world, &message).await;
    assert!(ended.reports.is_empty() && !ended.is_failure() && pending(&queues).is_empty(), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rare_schedule_is_watched_within_seven_days() {
    let (mut world, _blobs, queues) = World::hosted();
    for (cron, delay) in [
        ("0 0 9 * * 1", TimeDelta::days(7)),
        ("0 0 9 1 * *", TimeDelta::days(7)),
        ("0 7 */6 * * *", TimeDelta::hours(12)),
        // In a form that only the host reads.
        ("01:00:00", TimeDelta::days(2)),
    ] {
        world.set("SYNC_CRON", cron);
        tick(&world).await;
        let messages = queues.messages(QUEUE);
        let message = messages.last().expect("one was left");
        assert_eq!(message.visible - message.inserted, delay, "{cron}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_s_pass_counts_however_old_its_id_is() {
    let (world, _blobs, queues) = World::hosted();
    // Made before the tick, and run after it, within the same second of the storage's clock.
    world.mandiant.set(|knobs| knobs.page_delay = Duration::from_millis(100));
    let order = RunOptions { lookback_days: Some(1), ..RunOptions::default() };
    let request = world.start().engine.accept(order).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let ended = world.run(Work::Timer, LIMIT).await;
    let ids: Vec<&str> = ended.reports.iter().map(|report| report.run_id.as_str()).collect();
    assert_eq!(ids.len(), 2);
    assert!(ids[1] == request.run_id && ids[1] < ids[0], "{ids:?}");
    let (own, requests) = (next(&queues).await, next(&queues).await);
    assert!(deliver(&world, &own).await.reports.is_empty(), "the request's pass ended after it");
    assert_eq!(report(&deliver(&world, &requests).await).trigger, Trigger::Watchdog);
}
