//! The released program under a host, with the host's queue over a socket, a webhook and a collector beside it.

use chrono::TimeDelta;
use sandbox::{
    blob::BlobService,
    clock,
    host::{Status, TimerFire},
    net,
    queue::QueueService,
    receiver::Receiver,
};
use serde_json::Value;

use super::{Bench, last_pass, tick};

const QUEUE: &str = "mati-sync";
const ACCOUNT_KEY: &str = "c3RvcmFnZS1hY2NvdW50LWtleQ==";

#[tokio::test]
async fn a_pass_under_the_host_leaves_a_message_and_tells_others() {
    let mut bench = Bench::new().await;
    let blobs = net::serve(BlobService::new(clock::system()).router(), None).await.unwrap();
    let queues = QueueService::new(clock::system());
    let queue = net::serve(queues.router(), None).await.unwrap();
    let (webhook, collector) = (Receiver::new(), Receiver::new());
    let hook = net::serve(webhook.router(), None).await.unwrap();
    let metrics = net::serve(collector.router(), None).await.unwrap();
    bench.settings.remove("STATE_DIR");
    for (name, value) in [
        (
            "AzureWebJobsStorage",
            format!(
                "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={ACCOUNT_KEY};BlobEndpoint=http://{blobs}/devstoreaccount1;QueueEndpoint=http://{queue}/devstoreaccount1"
            ),
        ),
        ("WEBHOOK_URL", format!("http://{hook}/secret-path?sig=secret-signature")),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{metrics}")),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret-header".to_owned()),
    ] {
        bench.settings.insert(name.into(), value);
    }
    let host = bench.host().await;
    let report = tick(&host).await;
    let messages = queues.messages(QUEUE);
    let [message] = &*messages else { panic!("{messages:?}") };
    let text: Value = serde_json::from_str(&message.text().unwrap()).unwrap();
    assert_eq!((&text["kind"], &text["run_id"]), (&"watchdog".into(), &report["run_id"]));
    assert_eq!(message.visible - message.inserted, TimeDelta::hours(2), "{report}");
    assert_eq!(collector.received().len(), 1);
    assert_eq!(collector.received()[0].headers["api-key"], "secret-header");
    assert!(webhook.received().is_empty());

    // The host fetches it two hours later; no pass ended since.
    host.queue(QUEUE).push(&message.text().unwrap()).unwrap();
    let invocation = host.queue(QUEUE).deliver_next().await.unwrap();
    assert!(invocation.succeeded(), "{invocation:?}");
    let made_up = last_pass(&host.output());
    assert_eq!((&made_up["trigger"], &made_up["end"]), (&"watchdog".into(), &"caught_up".into()));
    // It is delivered once more.
    host.queue(QUEUE).push(&message.text().unwrap()).unwrap();
    assert!(host.queue(QUEUE).deliver_next().await.unwrap().succeeded());
    assert_eq!(last_pass(&host.output())["run_id"], made_up["run_id"]);
    assert_eq!(queues.messages(QUEUE).len(), 2, "one of each pass");

    webhook.answer_with([500]);
    bench.world.mandiant.set(|knobs| knobs.secret = "another".into());
    bench.world.mandiant.revoke_tokens();
    let fired = host.fire_timer("SyncTimer", TimerFire::default()).await;
    assert!(matches!(fired.status, Status::Failed(_)), "{fired:?}");
    let told: Value = serde_json::from_slice(&webhook.received()[0].body).unwrap();
    assert_eq!((&told["lane"], &told["state"]), (&"sentinel".into(), &"stalled".into()));
    let log: String = host.output().into_iter().map(|line| line.text + "\n").collect();
    assert!(log.contains("the webhook answered 500"), "{log}");
    for secret in ["secret-path", "secret-signature", "secret-header", &hook.to_string()] {
        assert!(!log.contains(secret), "{secret} is said:\n{log}");
    }
}
