//! A custom handler with all the bad habits the double of the Functions host has to know about.
//!
//! Every function answers with the request it got as its log, and with whatever its name says.

use std::time::Duration;

use axum::{
    Json, Router,
    body::Bytes,
    extract::Path,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    if std::env::var("EXIT_AT_START").is_ok() {
        eprintln!("no settings");
        std::process::exit(3);
    }
    let port = std::env::var("FUNCTIONS_CUSTOMHANDLER_PORT").expect("started by a Functions host");
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let worker = std::env::var("FUNCTIONS_CUSTOMHANDLER_WORKER_ID").unwrap_or_default();
    println!("listening as {worker}, process {}", std::process::id());
    let router = Router::new()
        .route("/", get(|| async { "ready" }))
        // Answers without reading what it is asked.
        .route("/Deaf", post(|| async { Json(json!({"Outputs": {"res": {"body": "what?"}}})) }))
        .route("/{function}", post(invoke));
    let interrupted = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    axum::serve(listener, router).with_graceful_shutdown(interrupted).await
}

async fn invoke(Path(function): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    let Ok(call) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let data = &call["Data"];
    match function.as_str() {
        "Timer" => answer(json!({}), &headers, &call),
        // The first decoding of the text gives the message as it was sent.
        "Work" => match decoded(&data["item"]).as_str() {
            "fail" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            text => answer(json!({"next": text.strip_prefix("again ")}), &headers, &call),
        },
        "Now" => {
            let body = json!({"method": data["req"]["Method"], "body": data["req"]["Body"]});
            let location = json!({"Location": "/api/state"});
            let outputs = json!({
                "res": {"statusCode": "202", "headers": location, "body": body},
                "next": {"kind": "nudge"},
            });
            answer(outputs, &headers, &call)
        }
        "Empty" => Json(json!({"Outputs": {}})).into_response(),
        "None" => Json(json!({"Outputs": null})).into_response(),
        "Page" => answer(json!({"res": {"statusCode": "503", "body": "out of order"}}), &headers, &call),
        "Brief" => {
            tokio::time::sleep(Duration::from_secs(2)).await;
            answer(json!({}), &headers, &call)
        }
        "Null" => Json(Value::Null).into_response(),
        "Slow" => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            answer(json!({}), &headers, &call)
        }
        "Exit" => {
            eprintln!("going down");
            // The host's readers get the line before the end of the pipe.
            std::process::exit(std::env::var("EXIT_CODE").map_or(1, |code| code.parse().unwrap_or(1)))
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn decoded(text: &Value) -> String {
    serde_json::from_str(text.as_str().unwrap_or_default()).unwrap_or_default()
}

fn answer(outputs: Value, headers: &HeaderMap, call: &Value) -> Response {
    let headers =
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or_default()));
    let logs = [call.to_string()].into_iter().chain(headers).collect::<Vec<_>>();
    Json(json!({"Outputs": outputs, "Logs": logs, "ReturnValue": null})).into_response()
}
