//! The queue of the host's storage account: how it lets us in, and what `check` says of it.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use mati_sync::{
    azure::{
        host_queue::{Access, HostQueue, Poison},
        sas::ConnectionString,
    },
    check::{self, Finding, Verdict},
    clock::SystemClock,
    http::transport::Transport,
};
use sandbox::net::Fault;

use super::{QUEUE, deliver, next, pending, report, tick};
use crate::harness::{
    azurite::{ACCOUNT, Azurite, KEY},
    vault::{PLATFORM_TOKEN, with_key_vault},
    world::{QUEUES, World},
};

async fn finding(world: &World, name: &str) -> Finding {
    let app = world.start();
    let findings = check::run(&app.engine, app.schedule.as_deref()).await;
    findings.iter().find(|finding| finding.check == name).unwrap_or_else(|| panic!("{findings:?}")).clone()
}

#[tokio::test(start_paused = true)]
async fn the_host_s_identity_leaves_messages_too() {
    let (mut world, _blobs, queues) = World::hosted();
    with_key_vault(&mut world);
    queues.authorize(|token| token == PLATFORM_TOKEN);
    world.net.host("hosting.queue.core.windows.net", queues.router());
    let storage = world.state.path().display().to_string();
    for (name, value) in [
        ("AzureWebJobsStorage", ""),
        ("AzureWebJobsStorage__accountName", "hosting"),
        ("AzureWebJobsStorage__credential", "managedidentity"),
    ] {
        world.set(name, value);
    }
    assert!(!storage.is_empty());
    world.net.host("hosting.blob.core.windows.net", _blobs.router());
    assert!(tick(&world).await.watchdog.is_some());
    assert_eq!(pending(&queues).len(), 1);
    let ended = deliver(&world, &next(&queues).await).await;
    assert!(report(&ended).watchdog.is_some());
    assert!(finding(&world, "watchdog").await.ok);
    // Another address of the queues alone.
    world.set("AzureWebJobsStorage__queueServiceUri", "https://127.0.0.1:10001/hosting");
    assert!(tick(&world).await.watchdog.is_some());
    queues.forbid(true);
    assert_eq!(tick(&world).await.watchdog, None);
    let missing = finding(&world, "watchdog").await;
    assert!(!missing.ok && missing.cure.unwrap().contains("Storage Queue Data Contributor"));
}

#[tokio::test(start_paused = true)]
async fn a_signature_must_cover_queues() {
    let (mut world, blobs, queues) = World::hosted();
    let of = |services: &str| {
        format!(
            "BlobEndpoint=http://127.0.0.1:10000/a;QueueEndpoint=http://127.0.0.1:10001/a;SharedAccessSignature=sv=2025-11-05&ss={services}&srt=sco&sp=rwdlac&se=2030-01-01T00:00:00Z&sig=abc%3D"
        )
    };
    world.set("AzureWebJobsStorage", &of("bq"));
    assert!(tick(&world).await.watchdog.is_some());
    world.set("AzureWebJobsStorage", &of("b"));
    assert_eq!(tick(&world).await.watchdog, None);
    let told = finding(&world, "watchdog").await;
    assert!(!told.ok && told.result.contains("does not cover queues"), "{told:?}");
    assert!(!told.result.contains("abc"), "the signature is a secret: {told:?}");
    assert_eq!(pending(&queues).len(), 1);
    assert!(!blobs.blobs().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_check_leaves_nothing_on_the_queue() {
    let (world, _blobs, queues) = World::hosted();
    let told = finding(&world, "watchdog").await;
    assert_eq!(told.verdict, Verdict::Ok, "{told:?}");
    assert!(queues.messages(QUEUE).is_empty());
    let requests = queues.requests();
    assert!(requests.iter().any(|request| request.starts_with("DELETE mati-sync/messages/")), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_host_gave_up_is_told_with_what_to_do() {
    let (world, _blobs, queues) = World::hosted();
    let told = finding(&world, "poison queue").await;
    assert!(told.ok && told.result.contains("nothing lies there"), "{told:?}");
    for text in [
        r#"{"kind":"continue","run_id":"x","continuation_id":"y","hop":3}"#,
        r#"{"kind":"continue","run_id":"x","continuation_id":"y","hop":4}"#,
        "of somebody else",
    ] {
        queues.put("mati-sync-poison", text);
    }
    let told = finding(&world, "poison queue").await;
    assert!(!told.ok, "{told:?}");
    assert!(told.result.contains("about 3 messages lie in mati-sync-poison"), "{told:?}");
    assert!(told.result.contains("2 continue, 1 unreadable"), "{told:?}");
    assert!(told.cure.as_ref().is_some_and(|cure| cure.contains("az storage message clear")), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_a_laptop_cannot_reach_fails_no_check_there() {
    let (mut world, _blobs, _queues) = World::hosted();
    world.net.on_request(|exchange| (exchange.authority == QUEUES).then_some(Fault::Refuse));
    assert!(!finding(&world, "watchdog").await.ok);
    assert!(!finding(&world, "poison queue").await.ok);
    world.set("FUNCTIONS_CUSTOMHANDLER_PORT", "");
    let told = finding(&world, "poison queue").await;
    assert!(told.ok && told.result.contains("cannot be reached from here"), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_busy_queue_answers_is_asked_again() {
    let (world, _blobs, queues) = World::hosted();
    let busy = std::sync::atomic::AtomicUsize::new(0);
    world.net.on_request(move |exchange| {
        let is_first =
            exchange.authority == QUEUES && busy.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 2;
        is_first.then_some(Fault::status(503))
    });
    assert!(tick(&world).await.watchdog.is_some());
    let left = pending(&queues);
    assert_eq!(left.len(), 1);
    assert!(left[0].0 - world.now() <= TimeDelta::hours(2));
}

/// What the stand-in says, the real emulator says too.
#[tokio::test]
async fn the_real_emulator_takes_shows_and_deletes_messages() {
    let azurite = Azurite::queues();
    let text = format!(
        "AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint=http://127.0.0.1:1/a;QueueEndpoint={}",
        azurite.endpoint
    );
    let queue = |name: &'static str| HostQueue {
        access: Access::Signed(Box::new(ConnectionString::parse(&text).unwrap())),
        name,
        transport: Transport::network(),
        clock: Arc::new(SystemClock),
    };
    let (hour, week) = (Duration::from_secs(3600), Duration::from_secs(7 * 24 * 3600));
    let ours = queue("mati-sync");
    assert_eq!(ours.poison().await.unwrap(), Poison::default(), "there is no such queue yet");
    // The queue is made with the first message, and the longest delay is taken.
    let receipt = ours.put("one", week, week + week).await.unwrap().expect("a receipt");
    assert_eq!(ours.delete(&receipt).await, Ok(()));
    assert_eq!(ours.delete(&receipt).await, Ok(()), "it is gone already");
    let given_up = queue("mati-sync-poison");
    given_up.put("two <&>", Duration::ZERO, hour).await.unwrap();
    given_up.put("not visible yet", hour, week).await.unwrap();
    let poison = ours.poison().await.unwrap();
    assert_eq!((poison.count, poison.texts), (2, vec!["two <&>".to_owned()]));
    let wrong = text.replace(KEY, "d3Jvbmc=");
    let wrong =
        HostQueue { access: Access::Signed(Box::new(ConnectionString::parse(&wrong).unwrap())), ..ours };
    let error = wrong.put("three", hour, week).await.unwrap_err().to_string();
    assert!(error.contains("check the key or signature in AzureWebJobsStorage"), "{error}");
    assert!(!error.contains("sig="), "{error}");
}
