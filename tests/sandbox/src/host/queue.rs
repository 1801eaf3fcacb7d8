//! Storage queues as the host uses them: outputs fill them, the queue trigger empties them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use anyhow::{Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    Inner,
    answer::print_time,
    call::Call,
    configuration::QueueOptions,
    function::{Function, Trigger},
    invocation::Invocation,
    output::{Level, News},
};

/// The service's limit for the text of a message, as it travels.
const SIZE_LIMIT: usize = 64 * 1024;

/// How long the service keeps a message that no worker deletes.
const TIME_TO_LIVE: TimeDelta = TimeDelta::days(7);

/// The queues of a storage account. Clones share them: two hosts given the same queues are two instances.
#[derive(Clone)]
pub struct Queues(Arc<Storage>);

struct Storage {
    file: Option<PathBuf>,
    queues: Mutex<BTreeMap<String, Stored>>,
    news: News,
}

#[derive(Default, Serialize, Deserialize)]
struct Stored {
    messages: Vec<QueueMessage>,
    /// So many successful deliveries are yet to be forgotten by the service.
    #[serde(skip)]
    lost_deletions: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QueueMessage {
    pub id: String,
    /// The text as it travels, in base64 where the app says so.
    pub raw: String,
    /// How often it was handed out.
    pub dequeue_count: u32,
    pub inserted: DateTime<Utc>,
    /// From when on it may be handed out.
    pub visible: DateTime<Utc>,
    #[serde(skip)]
    pub in_flight: bool,
}

impl QueueMessage {
    /// The text as the handler gets it; `None` if it is not base64 and should be.
    fn text(&self, base64: bool) -> Option<String> {
        if !base64 {
            return Some(self.raw.clone());
        }
        String::from_utf8(STANDARD.decode(&self.raw).ok()?).ok()
    }
}

impl Default for Queues {
    fn default() -> Self {
        Self(Arc::new(Storage { file: None, queues: Mutex::default(), news: News::new() }))
    }
}

impl Queues {
    /// Queues that outlive the program, in a file of `folder`.
    pub fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let file = folder.join("queues.json");
        let queues = match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error.into()),
        };
        Ok(Self(Arc::new(Storage { file: Some(file), queues: Mutex::new(queues), news: News::new() })))
    }

    /// The messages of a queue, in the order they came.
    pub fn messages(&self, queue: &str) -> Vec<QueueMessage> {
        self.lock().get(queue).map(|stored| stored.messages.clone()).unwrap_or_default()
    }

    pub(super) fn push(&self, queue: &str, text: &str, base64: bool) -> Result<()> {
        self.push_raw(queue, if base64 { STANDARD.encode(text) } else { text.to_owned() })
    }

    fn push_raw(&self, queue: &str, raw: String) -> Result<()> {
        ensure!(raw.len() <= SIZE_LIMIT, "RequestBodyTooLarge: a message holds at most {SIZE_LIMIT} bytes");
        let now = Utc::now();
        let id = Uuid::new_v4().to_string();
        let message =
            QueueMessage { id, raw, dequeue_count: 0, inserted: now, visible: now, in_flight: false };
        self.change(|queues| {
            queues.entry(queue.to_owned()).or_default().messages.push(message);
            Some(())
        });
        Ok(())
    }

    /// Hands out the message that is visible for the longest; with `hurry`, if none is, the one that will be
    /// soonest.
    fn take(&self, queue: &str, lease: Duration, hurry: bool) -> Option<Lease> {
        let now = Utc::now();
        self.change(|queues| {
            let waiting = queues.get_mut(queue)?.messages.iter_mut().filter(|message| !message.in_flight);
            let next = waiting.min_by_key(|message| message.visible)?;
            if next.visible > now && !hurry {
                return None;
            }
            next.in_flight = true;
            next.dequeue_count += 1;
            next.visible = now + lease;
            let (queues, queue, message) = (self.clone(), queue.to_owned(), next.clone());
            Some(Lease { queues, queue, message, lease, settled: false })
        })
    }

    /// When the next message becomes visible that no worker holds.
    fn next_visible(&self, queue: &str) -> Option<DateTime<Utc>> {
        let queues = self.lock();
        let messages = queues.get(queue)?.messages.iter();
        messages.filter(|message| !message.in_flight).map(|message| message.visible).min()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Stored>> {
        self.0.queues.lock().unwrap()
    }

    /// Makes a change, keeps it and tells of it; `None` means that there was nothing to change.
    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<String, Stored>) -> Option<T>) -> Option<T> {
        let mut queues = self.lock();
        let result = change(&mut queues)?;
        if let Some(file) = &self.0.file {
            let text = serde_json::to_vec_pretty(&*queues).expect("messages are plain data");
            let beside = file.with_extension("new");
            // A demo whose disk is full goes on in memory.
            _ = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, file));
        }
        drop(queues);
        self.0.news.announce();
        Some(result)
    }
}

/// The name of the queue for messages that were tried too often.
fn poison(queue: &str) -> String {
    format!("{queue}-poison")
}

/// A message that was handed out. Dropped unsettled (its host died), it comes back when its lease runs out.
struct Lease {
    queues: Queues,
    queue: String,
    message: QueueMessage,
    lease: Duration,
    settled: bool,
}

impl Lease {
    /// After a success: the message is deleted, unless the service is to forget that.
    fn complete(mut self) {
        self.settle(|stored, at| match stored.lost_deletions.checked_sub(1) {
            Some(left) => {
                stored.lost_deletions = left;
                stored.messages[at].visible = Utc::now();
            }
            None => _ = stored.messages.remove(at),
        });
    }

    /// After a failure: the message comes back later, or is put aside after the last try.
    fn fail(self, options: &QueueOptions) {
        if self.message.dequeue_count >= options.max_dequeue_count {
            self.put_aside();
        } else {
            let visible = Utc::now() + options.visibility_timeout;
            let mut lease = self;
            lease.settle(|stored, at| stored.messages[at].visible = visible);
        }
    }

    fn put_aside(mut self) {
        // The text fitted once, so it fits again.
        _ = self.queues.push_raw(&poison(&self.queue), self.message.raw.clone());
        self.settle(|stored, at| _ = stored.messages.remove(at));
    }

    fn settle(&mut self, settle: impl FnOnce(&mut Stored, usize)) {
        self.settled = true;
        self.queues.change(|queues| {
            let stored = queues.get_mut(&self.queue)?;
            let at = stored.messages.iter().position(|message| message.id == self.message.id)?;
            stored.messages[at].in_flight = false;
            settle(stored, at);
            Some(())
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.settled {
            let visible = Utc::now() + self.lease;
            self.settle(|stored, at| stored.messages[at].visible = visible);
        }
    }
}

impl Inner {
    /// Delivers one message of the function's queue, whether or not it is visible yet.
    async fn deliver_next(&self, function: &Function, queue: &str) -> Option<Invocation> {
        loop {
            let lease = self.queues.take(queue, self.message_lease, true)?;
            if let Some(invocation) = self.deliver(function, lease).await {
                return Some(invocation);
            }
        }
    }

    /// Calls the function with a message and settles the message by the result; `None` if it never got so far.
    async fn deliver(&self, function: &Function, lease: Lease) -> Option<Invocation> {
        let options = &self.app.queues;
        let message = &lease.message;
        let Some(text) = message.text(options.base64) else {
            let text = "Message decoding has failed! Check MessageEncoding settings. MessageId=";
            self.output.host(Level::Warning, format!("{text}{}.", message.id));
            lease.put_aside();
            return None;
        };
        if message.dequeue_count > options.max_dequeue_count {
            // Its host died during the last try.
            lease.put_aside();
            return None;
        }
        let reason = format!("New queue message detected on '{}'.", lease.queue);
        let invocation = self.invoke(function, call(function, message, &text, reason)).await;
        match invocation.succeeded() {
            true => lease.complete(),
            false => lease.fail(options),
        }
        Some(invocation)
    }

    /// Delivers the messages of the function's queue until dropped.
    pub(super) async fn pump(self: Arc<Self>, function: Function) {
        let Trigger::Queue { queue } = &function.trigger else { return };
        let options = &self.app.queues;
        let mut running = JoinSet::new();
        let mut changes = self.queues.0.news.subscribe();
        loop {
            self.worker().listening().await;
            changes.mark_unchanged();
            // A new batch is fetched only when few messages of the last one are left.
            let hungry = running.len() <= options.new_batch_threshold;
            let batch = std::iter::from_fn(|| self.queues.take(queue, self.message_lease, false));
            for lease in batch.take(if hungry { options.batch_size } else { 0 }) {
                let (inner, function) = (self.clone(), function.clone());
                running.spawn(async move { inner.deliver(&function, lease).await });
            }
            changes.mark_unchanged();
            let hungry = running.len() <= options.new_batch_threshold;
            let next = self.queues.next_visible(queue).filter(|_| hungry);
            let pause = next.map(|next| (next - Utc::now()).to_std().unwrap_or_default());
            tokio::select! {
                _ = changes.changed() => {}
                Some(_) = running.join_next() => {}
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            }
        }
    }
}

/// The call with a message: its text and what the trigger knows of it (`QueueTriggerBinding`).
fn call(function: &Function, message: &QueueMessage, text: &str, reason: String) -> Call {
    let mut call = Call::new(&function.input, json!(text), reason);
    // Counts are texts already when they are encoded, times are printed by another rule.
    let plain = [
        ("DequeueCount", message.dequeue_count.to_string()),
        ("ExpirationTime", whole_seconds(message.inserted + TIME_TO_LIVE)),
        ("InsertionTime", whole_seconds(message.inserted)),
        ("NextVisibleTime", whole_seconds(message.visible)),
    ];
    call.metadata.extend(plain.map(|(name, text)| (name.to_owned(), Value::String(text))));
    call.bind("Id", json!(message.id));
    call.bind("PopReceipt", json!(STANDARD.encode(message.visible.to_rfc3339())));
    call.bind_members(text);
    call
}

fn whole_seconds(time: DateTime<Utc>) -> String {
    print_time(chrono::DurationRound::duration_trunc(time, TimeDelta::seconds(1)).unwrap_or(time), "+00:00")
}

/// A test's hand on one queue of a running host.
pub struct Queue<'a> {
    pub(super) inner: &'a Inner,
    pub(super) name: String,
}

impl Queue<'_> {
    /// The texts in the queue, those being delivered included.
    pub fn messages(&self) -> Vec<String> {
        self.texts(&self.name)
    }

    /// The texts that were put aside after too many tries.
    pub fn poison(&self) -> Vec<String> {
        self.texts(&poison(&self.name))
    }

    fn texts(&self, queue: &str) -> Vec<String> {
        let messages = self.inner.queues.messages(queue);
        messages.into_iter().map(|m| m.text(self.inner.app.queues.base64).unwrap_or(m.raw)).collect()
    }

    /// Adds a message as the app's own output would.
    pub fn push(&self, text: &str) -> Result<()> {
        self.inner.queues.push(&self.name, text, self.inner.app.queues.base64)
    }

    /// Adds a message just as it is, as a tool that knows nothing of base64 would.
    pub fn push_raw(&self, raw: &str) -> Result<()> {
        self.inner.queues.push_raw(&self.name, raw.to_owned())
    }

    /// Delivers the next message, as if the time until it is visible had passed, and waits for the result.
    /// `None` if there is no message, or no function that it triggers.
    pub async fn deliver_next(&self) -> Option<Invocation> {
        self.inner.deliver_next(self.inner.app.triggered_by(&self.name)?, &self.name).await
    }

    /// The next message that is delivered with success is delivered once more: its deletion gets lost.
    pub fn duplicate_next(&self) {
        self.inner.queues.change(|queues| {
            queues.entry(self.name.clone()).or_default().lost_deletions += 1;
            Some(())
        });
    }
}

#[cfg(test)]
mod tests;
