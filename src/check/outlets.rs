//! What the program does beside its passes: the watchdog's queue, the messages that the host gave up, and whoever is told.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    azure::host_queue::{Poison, QueueError},
    domain::problem::Problem,
    http::{probe::Probe, retry::RetryError},
    pass::{Engine, QueueMessage, Watchdog},
    signals::webhook::Webhook,
};

/// How long the collector has for its answer.
const LIMIT: Duration = Duration::from_secs(10);
/// A message that a check leaves is deleted at once. If that fails, it is gone as soon as it becomes visible.
const DELAY: Duration = Duration::from_secs(60);
const LIFETIME: Duration = Duration::from_secs(61);

/// The checks of all of them, as far as the settings name them.
pub fn probes(engine: &Engine) -> Vec<Probe<'_>> {
    let mut probes = Vec::new();
    if let Some(watchdog) = &engine.watchdog {
        probes.extend(watchdog.is_on.then(|| queue_probe(engine, watchdog)));
        probes.push(poison_probe(watchdog));
    }
    if let Some(metrics) = &engine.signals.metrics {
        let attempt = async {
            metrics.probe(LIMIT).await.map_err(|problem| RetryError::GaveUp(problem.into()))?;
            Ok("the collector took it".to_owned())
        };
        let tried = "a message without metrics was sent to OTEL_EXPORTER_OTLP_ENDPOINT";
        probes.push(Probe::new("metrics", tried, attempt));
    }
    if engine.signals.webhook.as_ref().is_some_and(Webhook::is_given) {
        let why = "it is sent nothing before a lane's state changes".to_owned();
        probes.push(Probe::unproven("webhook", "WEBHOOK_URL was read", why));
    }
    probes
}

/// Whether the watchdog message can be left, shown by one that never becomes visible.
fn queue_probe<'a>(engine: &'a Engine, watchdog: &'a Watchdog) -> Probe<'a> {
    let attempt = async {
        let message = QueueMessage::watchdog(&engine.new_run_id());
        let text = serde_json::to_string(&message).expect("a message is JSON");
        let receipt = watchdog.queue.put(&text, DELAY, LIFETIME).await.map_err(failed)?;
        if let Some(receipt) = receipt {
            watchdog.queue.delete(&receipt).await.map_err(failed)?;
        }
        Ok("if the timer does not fire, a message starts a pass".to_owned())
    };
    let tried = format!("a delayed message was put on the queue {} and deleted", watchdog.queue.name);
    Probe::new("watchdog", tried, attempt)
}

/// What the host gave up after too many tries.
fn poison_probe(watchdog: &Watchdog) -> Probe<'_> {
    let name = watchdog.queue.poison_name();
    let tried = format!("the queue {name} of what the host gave up was looked at");
    let attempt = async move {
        match watchdog.queue.poison().await {
            Ok(Poison { count: 0, .. }) => Ok("nothing lies there".to_owned()),
            Ok(poison) => Err(RetryError::GaveUp(told(&poison, &watchdog.queue.poison_name()).into())),
            // From a laptop the queue may be out of reach, and it is the host's.
            Err(error) if error.is_unreachable && !watchdog.is_on => {
                Ok(format!("it cannot be reached from here: {error}"))
            }
            Err(error) => Err(failed(error)),
        }
    };
    Probe::new("poison queue", tried, attempt)
}

fn told(poison: &Poison, name: &str) -> String {
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for text in &poison.texts {
        let kind = match serde_json::from_str::<QueueMessage>(text) {
            Ok(message) => serde_json::to_value(message.kind).unwrap_or_default(),
            Err(_) => "unreadable".into(),
        };
        *kinds.entry(kind.as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let first = if kinds.is_empty() { String::new() } else { format!(" (the first: {})", kinds.join(", ")) };
    format!(
        "about {} messages lie in {name}{first}: the host delivered each of them 3 times in vain. Nothing is lost, because the next pass goes on and requests are kept in the state; look at the log of SyncContinue for the reason, mend it, and clear the queue: az storage message clear --auth-mode login --account-name <account> --queue-name {name}",
        poison.count
    )
}

fn failed(error: QueueError) -> RetryError<Problem> {
    RetryError::GaveUp(error.problem)
}
