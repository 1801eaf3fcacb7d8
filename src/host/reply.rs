//! What the host gets back.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use super::{NEXT, RESPONSE};
use crate::pass::QueueMessage;

/// An invocation's answer to the host.
pub enum Reply {
    Done {
        /// Lines that the host logs with the invocation's id.
        logs: Vec<String>,
        /// To be put on the queue.
        next: Option<QueueMessage>,
        /// What an HTTP trigger's caller gets.
        http: Option<HttpAnswer>,
    },
    /// The portal shows a failed invocation. The host reads no body; this one is for a caller that calls us directly.
    Failed(String),
}

impl Reply {
    pub fn done(log: String) -> Self {
        Self::Done { logs: vec![log], next: None, http: None }
    }

    pub fn http(answer: HttpAnswer) -> Self {
        Self::Done { logs: Vec::new(), next: None, http: Some(answer) }
    }
}

impl From<Reply> for Response {
    /// Outputs are objects throughout: a text that happens to be base64 would be decoded by the host. There is no
    /// return value, because an object there would override the outputs.
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Failed(reason) => {
                (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "error": reason }))).into_response()
            }
            Reply::Done { logs, next, http } => {
                let mut outputs = Map::new();
                outputs.extend(next.map(|message| (NEXT.to_owned(), json!(message))));
                outputs.extend(http.map(|answer| (RESPONSE.to_owned(), answer.into())));
                Json(json!({ "Outputs": outputs, "Logs": logs, "ReturnValue": null })).into_response()
            }
        }
    }
}

/// What the caller of an HTTP trigger gets.
pub struct HttpAnswer {
    status: u16,
    content_type: &'static str,
    /// Of the answer's own.
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl HttpAnswer {
    pub fn json(status: u16, body: &Value) -> Self {
        Self { status, content_type: "application/json", headers: Vec::new(), body: format!("{body:#}\n") }
    }

    /// A page that asks for nothing and runs nothing: of styles only the one that knows the `nonce`. Its form leads back to
    /// it. It is loaded again after `refresh` seconds.
    pub fn html(status: u16, body: String, nonce: &str, refresh: Option<u32>) -> Self {
        let policy = format!(
            "default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        );
        let mut headers = vec![
            ("Content-Security-Policy", policy),
            ("X-Content-Type-Options", "nosniff".to_owned()),
            // The address may hold the function's key.
            ("Referrer-Policy", "no-referrer".to_owned()),
        ];
        headers.extend(refresh.map(|seconds| ("Refresh", seconds.to_string())));
        Self { status, content_type: "text/html; charset=utf-8", headers, body }
    }

    pub fn error(status: u16, reason: &str) -> Self {
        Self::json(status, &json!({ "error": reason }))
    }

    /// Settings that cannot be used: what is wrong with each.
    pub fn faults(status: u16, faults: &[String]) -> Self {
        Self::json(status, &json!({ "error": "the settings cannot be used", "faults": faults }))
    }

    /// 202, with the place where the pass can be followed.
    pub fn accepted(run_id: &str) -> Self {
        let headers = vec![("Location", format!("/api/status?run={run_id}"))];
        Self { headers, ..Self::json(202, &json!({ "run_id": run_id })) }
    }
}

impl From<HttpAnswer> for Value {
    fn from(answer: HttpAnswer) -> Self {
        let mut headers = Map::new();
        headers.insert("Content-Type".to_owned(), answer.content_type.into());
        headers.insert("Cache-Control".to_owned(), "no-store".into());
        headers.extend(answer.headers.into_iter().map(|(name, value)| (name.to_owned(), value.into())));
        json!({ "statusCode": answer.status.to_string(), "headers": headers, "body": answer.body })
    }
}

/// For a function or path that does not exist.
pub fn not_found(reason: &str) -> Response {
    (StatusCode::NOT_FOUND, Json(json!({ "error": reason }))).into_response()
}
