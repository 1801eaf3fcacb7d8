//! The Functions host's protocol for custom handlers: every trigger arrives as `POST /{Function}`.
//!
//! Four rules shape it. `GET /` is the host's question whether we are up: it is answered at once, whatever the
//! settings or the network say. An answer of 2xx must be a JSON object, or the invocation hangs until the host
//! kills the process. Any other status fails the invocation, and its body is thrown away: whatever is worth
//! knowing is logged and in the state before. An HTTP function therefore always answers the host with 200, and its
//! caller's status, 4xx and 5xx too, stands in the output: that one is delivered with its body.

mod invocation;
mod reply;
mod status_page;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
    routing::{get, post},
};
use tokio::sync::watch;
use tracing::{Instrument, error, info_span};

use self::{
    invocation::Invocation,
    reply::{HttpAnswer, Reply},
    status_page::View,
};
use crate::{
    check::{self, Finding},
    clock::Deadline,
    pass::{Engine, QueueMessage, Work},
    settings::Faults,
};

/// Names of the bindings in `function.json`.
pub const TIMER: &str = "timer";
pub const MESSAGE: &str = "message";
pub const REQUEST: &str = "request";
pub const RESPONSE: &str = "response";
pub const NEXT: &str = "next";
/// The queue of [`NEXT`] and [`MESSAGE`].
pub const QUEUE: &str = "mati-sync";

const INVOCATION_ID: &str = "x-azure-functions-invocationid";

/// What the server serves with.
pub struct Server {
    /// Bad settings do not stop the server: then timer and queue fail with the list of faults, and HTTP functions
    /// answer with it.
    pub engine: Result<Engine, Faults>,
    /// `SYNC_CRON`, by which the host's timer fires.
    pub schedule: Option<String>,
    /// The host kills the process when an invocation takes longer.
    pub function_timeout: Duration,
    /// Becomes true when the process is asked to end.
    pub stop: watch::Receiver<bool>,
}

/// The server's routes.
pub fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/", get(|| async { concat!("mati-sync ", env!("CARGO_PKG_VERSION")) }))
        .route("/{function}", post(invoke))
        .fallback(|| async { reply::not_found("mati-sync answers GET / and POST /{Function}") })
        .with_state(server)
}

/// One invocation. It runs as a task of its own: a connection that breaks does not cut a pass off, and a defect
/// ends as a failed invocation.
async fn invoke(
    State(server): State<Arc<Server>>,
    Path(function): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    // Made first: reading the body counts against the host's limit too.
    let deadline = Deadline::for_invocation(server.function_timeout, server.stop.clone());
    let id = headers.get(INVOCATION_ID).and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    let span = info_span!("invocation", invocation_id = id, function);
    let has_http_output = matches!(function.as_str(), "SyncNow" | "Status");
    let work = async move {
        let body = invocation::read(body).await;
        match function.as_str() {
            "SyncTimer" => server.timer(&id, body, &deadline).await,
            "SyncContinue" => server.message(&id, body, &deadline).await,
            "SyncNow" => server.sync_now(body).await,
            "Status" => server.status(body, &deadline).await,
            _ => return reply::not_found(&format!("there is no function {function}")),
        }
        .into()
    };
    match tokio::spawn(work.instrument(span)).await {
        Ok(response) => response,
        Err(defect) => {
            error!("this invocation met a defect: {defect}");
            let reason = "a defect; see the log";
            match has_http_output {
                true => Reply::http(HttpAnswer::error(500, reason)),
                false => Reply::Failed(reason.to_owned()),
            }
            .into()
        }
    }
}

/// What arrived, as far as it can be read.
type Arrival = Result<Invocation, invocation::Unreadable>;

impl Server {
    async fn timer(&self, id: &str, body: Arrival, deadline: &Deadline) -> Reply {
        if let Ok(invocation) = &body
            && invocation.is_past_due()
        {
            tracing::info!("this tick is late: the schedule was missed");
        }
        self.run(Work::Timer, id, deadline).await
    }

    async fn message(&self, id: &str, body: Arrival, deadline: &Deadline) -> Reply {
        match body.and_then(|invocation| invocation.message::<QueueMessage>()) {
            Ok(message) => self.run(Work::QueueMessage(message), id, deadline).await,
            Err(unreadable) => {
                // Trying again would not make it readable; the timer goes on whatever it was.
                error!("a message on the queue {QUEUE} is not ours and is dropped: {unreadable}");
                Reply::done(format!("dropped: {unreadable}"))
            }
        }
    }

    async fn run(&self, work: Work, id: &str, deadline: &Deadline) -> Reply {
        let engine = match &self.engine {
            Ok(engine) => engine,
            Err(faults) => {
                tell(faults);
                return Reply::Failed(faults.to_string());
            }
        };
        let ended = engine.run(work, Some(id), deadline).await;
        if ended.is_failure() {
            let reasons: Vec<String> = ended.reports.into_iter().map(|report| report.message).collect();
            return Reply::Failed(reasons.join(" "));
        }
        let logs = ended.reports.into_iter().map(|report| format!("{}: {}", report.run_id, report.message));
        Reply::Done { logs: logs.collect(), next: ended.continuation, http: None }
    }

    /// Accepts a manual rerun. An HTTP function has 230 seconds and a pass may take minutes, so it never runs
    /// here: the request is made durable, and a message nudges `SyncContinue`.
    async fn sync_now(&self, body: Arrival) -> Reply {
        let engine = match &self.engine {
            Ok(engine) => engine,
            Err(faults) => {
                tell(faults);
                let list: Vec<String> = faults.0.iter().map(ToString::to_string).collect();
                return Reply::http(HttpAnswer::faults(500, &list));
            }
        };
        let order = match body.and_then(|invocation| invocation.order()) {
            Ok(order) => order,
            Err(unreadable) => return Reply::http(unreadable.into()),
        };
        if let Err(problem) = order.check(&engine.lane_names(), "destinations") {
            return Reply::http(HttpAnswer::error(400, &problem));
        }
        match engine.accept(order).await {
            Ok(message) => {
                let answer = HttpAnswer::accepted(&message.run_id);
                Reply::Done { logs: Vec::new(), next: Some(message), http: Some(answer) }
            }
            Err(error) => {
                error!("the request was not accepted: {error}");
                Reply::http(HttpAnswer::error(503, &error.to_string()))
            }
        }
    }

    async fn status(&self, body: Arrival, deadline: &Deadline) -> Reply {
        let invocation = match body {
            Ok(invocation) => invocation,
            Err(unreadable) => return Reply::http(unreadable.into()),
        };
        let Some(request) = invocation.http() else {
            let reason = format!("the invocation has no HTTP request {REQUEST:?}");
            return Reply::http(HttpAnswer::error(400, &reason));
        };
        let view = View::of(&request);
        if request.is_set("check") {
            return Reply::http(view.findings(&self.check().await));
        }
        if let Some(section) = request.query("runbook") {
            return Reply::http(view.runbook(section));
        }
        let engine = match &self.engine {
            Ok(engine) => engine,
            Err(faults) => {
                tell(faults);
                return Reply::http(view.faults(faults, self.schedule.as_deref()));
            }
        };
        if request.is_set("compare") {
            return Reply::http(match engine.comparison().await {
                Ok(comparison) => view.comparison(comparison.as_ref()),
                Err(error) => view.unavailable(&error),
            });
        }
        if request.is_set("audit") {
            let reach = engine.source.limits().reach;
            return Reply::http(match engine.last_audit().await {
                Ok(audit) => view.audit(audit.as_ref(), reach),
                Err(error) => view.unavailable(&error),
            });
        }
        if let Some(value) = request.query("value").filter(|value| !value.trim().is_empty()) {
            return Reply::http(view.explanation(&engine.explain(value, deadline).await));
        }
        let answer = match request.query("run") {
            Some(run_id) => match engine.report_of(run_id).await {
                Ok(status) => view.run(run_id, status.as_ref()),
                Err(error) => view.unavailable(&error),
            },
            None => match engine.overview().await {
                Ok(overview) => view.overview(&overview, self.schedule.as_deref()),
                Err(error) => view.unavailable(&error),
            },
        };
        Reply::http(answer)
    }
}

impl Server {
    /// Bad settings are an answer here: a caller who asks for a check wants to know them.
    async fn check(&self) -> Vec<Finding> {
        let schedule = self.schedule.as_deref();
        let mut findings = match &self.engine {
            // It is among the checks where it is set.
            Ok(engine) if schedule.is_some() => return check::run(engine, schedule).await,
            Ok(engine) => check::run(engine, schedule).await,
            Err(faults) => check::faulty(faults),
        };
        findings.extend(check::timer(schedule));
        findings
    }
}

/// Logs every fault of the settings, with each invocation that meets them.
fn tell(faults: &Faults) {
    for fault in &faults.0 {
        error!(setting = fault.setting, "{fault}");
    }
}
