//! One invocation: its encoding, its request to the handler, its time limit and its result.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::body::Bytes;
use futures::StreamExt;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    HOST_VERSION, Inner,
    answer::{Answer, Reply, Verdict, queue_messages},
    call::Call,
    configuration::print_span,
    function::{Function, Retry, Target},
    output::Level,
    process::Act,
};

/// How long after its timeout an invocation may still save its process by answering.
const GRACE: Duration = Duration::from_secs(2);

/// How much of a request is written at a time.
const PIECE: usize = 16 * 1024;

/// How an invocation ended, as the portal would show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    Succeeded,
    Failed(String),
    /// Longer than `functionTimeout`; the process was killed unless it answered within 2 s more.
    TimedOut,
    /// The answer was empty or null: the real host waits for `functionTimeout` and then kills the process.
    /// `HostOptions::wait_out_hangs` makes the double do so too.
    Hung,
}

/// A finished invocation, all its attempts included.
#[derive(Clone, Debug)]
pub struct Invocation {
    pub id: String,
    pub function: String,
    pub status: Status,
    /// The status code of the handler's answer, if there was one.
    pub http_status: Option<u16>,
    /// The body of the answer as it came, also where the host threw it away.
    pub body: Option<Value>,
    /// The values of declared outputs that the host accepted.
    pub outputs: Map<String, Value>,
    /// Whether the answer had `Outputs` at all.
    pub has_outputs: bool,
    /// The `Logs` that the host accepted.
    pub logs: Vec<String>,
    pub duration: Duration,
}

impl Invocation {
    pub fn succeeded(&self) -> bool {
        self.status == Status::Succeeded
    }
}

/// Counts invocations in flight.
#[derive(Default)]
pub(super) struct Busy(Arc<AtomicUsize>);

pub(super) struct InFlight(Arc<AtomicUsize>);

impl Busy {
    pub fn enter(&self) -> InFlight {
        self.0.fetch_add(1, Ordering::SeqCst);
        InFlight(self.0.clone())
    }

    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The result of one attempt.
struct Attempt {
    status: Status,
    reply: Option<Reply>,
    outputs: Map<String, Value>,
    has_outputs: bool,
    logs: Vec<String>,
}

impl Attempt {
    fn ended(status: Status) -> Self {
        Self { status, reply: None, outputs: Map::new(), has_outputs: false, logs: Vec::new() }
    }
}

impl Inner {
    /// Calls the function and waits for its result, over all attempts of its retry policy.
    pub(super) async fn invoke(&self, function: &Function, call: Call) -> Invocation {
        let _in_flight = self.busy.enter();
        let id = Uuid::new_v4().to_string();
        let start = Instant::now();
        let mut number = 0;
        let attempt = loop {
            let retry = function.retry.as_ref();
            let body = call.body(function, retry.map(|retry| retry_context(retry, number, function)));
            let attempt = self.logged_attempt(function, &call.reason, &id, body).await;
            let failed = matches!(attempt.status, Status::Failed(_) | Status::TimedOut);
            match retry.filter(|retry| failed && retry.limit.is_none_or(|limit| number < limit)) {
                Some(retry) => tokio::time::sleep(retry.pause(number)).await,
                None => break attempt,
            }
            number += 1;
        };
        let invocation = Invocation {
            id,
            function: function.name.clone(),
            status: attempt.status,
            http_status: attempt.reply.as_ref().map(|reply| reply.status),
            body: attempt.reply.as_ref().and_then(Reply::body),
            outputs: attempt.outputs,
            has_outputs: attempt.has_outputs,
            logs: attempt.logs,
            duration: start.elapsed(),
        };
        self.invocations.lock().unwrap().push(invocation.clone());
        self.news.announce();
        invocation
    }

    /// An invocation that never reaches the handler, because its trigger's value is none.
    pub(super) fn failed_to_bind(&self, function: &Function, why: &str) {
        let id = Uuid::new_v4().to_string();
        let name = &function.name;
        self.output.host(Level::Error, format!("Executed 'Functions.{name}' (Failed, Id={id}) {why}"));
        self.invocations.lock().unwrap().push(Invocation {
            id,
            function: name.clone(),
            status: Status::Failed(why.to_owned()),
            http_status: None,
            body: None,
            outputs: Map::new(),
            has_outputs: false,
            logs: Vec::new(),
            duration: Duration::ZERO,
        });
        self.news.announce();
    }

    async fn logged_attempt(&self, function: &Function, reason: &str, id: &str, body: Value) -> Attempt {
        let name = &function.name;
        self.output
            .host(Level::Information, format!("Executing 'Functions.{name}' (Reason='{reason}', Id={id})"));
        let start = Instant::now();
        let attempt = self.attempt(function, id, body).await;
        for log in &attempt.logs {
            self.output.host(Level::Information, log);
        }
        let (level, status) = match &attempt.status {
            Status::Succeeded => (Level::Information, "Succeeded"),
            _ => (Level::Error, "Failed"),
        };
        let duration = start.elapsed().as_millis();
        let mut text = format!("Executed 'Functions.{name}' ({status}, Id={id}, Duration={duration}ms)");
        match &attempt.status {
            Status::Succeeded => {}
            Status::Failed(why) => text += &format!(" {why}"),
            Status::TimedOut => text += " FunctionTimeoutException",
            Status::Hung => text += " the answer was null: the real host would wait for functionTimeout",
        }
        self.output.host(level, text);
        if level == Level::Error {
            // Seen: the same exception twice, neither of which has the reason.
            let exception = exception(name);
            self.output.host(level, &exception);
            self.output.host(level, exception);
        }
        attempt
    }

    async fn attempt(&self, function: &Function, id: &str, body: Value) -> Attempt {
        let worker = self.worker();
        let _at_work = worker.enter();
        let (process, port) = match worker.ready().await {
            Ok(ready) => ready,
            Err(reason) => return Attempt::ended(Status::Failed(reason)),
        };
        let mut limit = std::pin::pin!(async {
            match self.app.function_timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        });
        let mut exchange = std::pin::pin!(self.send(function, port, id, body));
        let answered = tokio::select! {
            reply = &mut exchange => Some(reply),
            () = &mut limit => None,
        };
        let pending = answered.is_none();
        let attempt = match answered {
            Some(Ok(reply)) => self.judge(function, reply),
            Some(Err(error)) => Attempt::ended(Status::Failed(error)),
            None => Attempt::ended(Status::TimedOut),
        };
        match attempt.status {
            Status::Hung if self.wait_out_hangs => limit.await,
            Status::TimedOut => {}
            _ => return attempt,
        }
        self.output.host(Level::Error, self.timeout_text(function, id));
        let grace = async {
            match pending {
                true => _ = exchange.await,
                // A hung invocation has had its answer: nothing more can come.
                false => std::future::pending().await,
            }
        };
        if tokio::time::timeout(GRACE, grace).await.is_err() {
            let text = "A function timeout has occurred. Restarting worker process executing invocationId";
            self.output.host(Level::Error, format!("{text} '{id}'."));
            worker.act(Act::Dispose(process)).await;
        }
        Attempt { status: Status::TimedOut, ..attempt }
    }

    fn timeout_text(&self, function: &Function, id: &str) -> String {
        let timeout = print_span(self.app.function_timeout.unwrap_or_default());
        let name = &function.name;
        format!(
            "Timeout value of {timeout} exceeded by function 'Functions.{name}' (Id: '{id}'). Initiating cancellation."
        )
    }

    async fn send(&self, function: &Function, port: u16, id: &str, body: Value) -> Result<Reply, String> {
        // A body of unknown length is sent in chunks, without Content-Length, as the host does.
        let body = body.to_string().into_bytes();
        let is_sent = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_sent);
        let pieces = body.chunks(PIECE).map(Bytes::copy_from_slice).collect::<Vec<_>>();
        let pieces = futures::stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
        let end = futures::stream::once(async move {
            told.store(true, Ordering::SeqCst);
            Ok(Bytes::new())
        });
        let request = self
            .client
            .post(format!("http://127.0.0.1:{port}/{}", function.name))
            .header("x-azure-functions-hostversion", HOST_VERSION)
            .header("x-azure-functions-invocationid", id)
            .header("user-agent", format!("Azure-Functions-Host/{HOST_VERSION}"))
            .header("content-type", "application/json; charset=utf-8");
        let request = match self.app.is_traced {
            true => request.header("traceparent", trace_parent()),
            // Seen: without Application Insights there is none.
            false => request,
        };
        let request = request.body(reqwest::Body::wrap_stream(pieces.chain(end)));
        let response = request.send().await.map_err(explain)?;
        let content_type = response.headers().get("content-type");
        let content_type = content_type.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(explain)?.to_vec();
        if !is_sent.load(Ordering::SeqCst) {
            // Seen from 4 MB on: an answer that comes before the request was read is lost, and the caller gets a
            // bare 500.
            return Err("HttpRequestException: Error while copying content to a stream.".into());
        }
        Ok(Reply { status, content_type, body })
    }

    /// Evaluates an answer and hands its queue outputs to the queues.
    fn judge(&self, function: &Function, reply: Reply) -> Attempt {
        let answer = match reply.judge(&function.outputs) {
            Verdict::Success(answer) => answer,
            Verdict::Failure(why) => {
                return Attempt { reply: Some(reply), ..Attempt::ended(Status::Failed(why)) };
            }
            Verdict::Hang => return Attempt { reply: Some(reply), ..Attempt::ended(Status::Hung) },
        };
        let mut status = Status::Succeeded;
        for output in &function.outputs {
            if let (Target::Queue(queue), Some(value)) = (&output.target, answer.outputs.get(&output.name)) {
                for text in queue_messages(value) {
                    if let Err(error) = self.queues.push(queue, &text, self.app.queues.base64) {
                        status = Status::Failed(format!("{error:#}"));
                    }
                }
            }
        }
        let Answer { outputs, has_outputs, logs } = answer;
        Attempt { status, reply: Some(reply), outputs, has_outputs, logs }
    }
}

/// Exists whenever there is a retry policy, also on the first attempt; only these three members carry values.
fn retry_context(retry: &Retry, number: u32, function: &Function) -> Value {
    let exception = (number > 0).then(|| {
        json!({
            "ClassName": "Microsoft.Azure.WebJobs.Host.FunctionInvocationException",
            "Message": format!("Exception while executing function: Functions.{}", function.name),
        })
    });
    json!({
        "RetryCount": number,
        "MaxRetryCount": retry.limit.map_or(-1, i64::from),
        "Exception": exception,
        "Instance": null,
        "State": {},
    })
}

fn trace_parent() -> String {
    let trace = Uuid::new_v4().simple().to_string();
    let span = &Uuid::new_v4().simple().to_string()[..16];
    format!("00-{trace}-{span}-00")
}

/// What the host logs of a failed invocation, at its seen length of 11.5 KB.
fn exception(function: &str) -> String {
    let head = "Microsoft.Azure.WebJobs.Host.FunctionInvocationException: Exception while executing function";
    let frame = "   at Microsoft.Azure.WebJobs.Host.Executors.FunctionExecutor.ExecuteWithWatchersAsync\n";
    format!("{head}: Functions.{function}\n{}", frame.repeat(11_500 / frame.len()))
}

/// An error with all its causes: a lost connection says so only at the bottom.
fn explain(error: reqwest::Error) -> String {
    let mut text = format!("HttpRequestException: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}
