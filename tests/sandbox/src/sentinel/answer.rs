//! Answers that are not the upload's own: scripted ones, and rejections.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::Answer;

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).expect("a status code");
        let mut response = (status, self.body).into_response();
        // Only what the script says: not even the content type axum would give a text.
        response.headers_mut().remove(header::CONTENT_TYPE);
        for (name, value) in &self.headers {
            let name = header::HeaderName::from_bytes(name.as_bytes()).expect("a header name");
            response.headers_mut().append(name, HeaderValue::from_str(value).expect("a header value"));
        }
        response
    }
}

/// A whole request turned away.
pub(super) struct Rejection {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<u64>,
    pub(super) body: Value,
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A rejection in the shape of API Management, which stands before the service.
pub(super) fn gateway(status: StatusCode, message: &str) -> Rejection {
    let body = json!({"statusCode": status.as_u16(), "message": message});
    Rejection { status, retry_after: None, body }
}

/// A rejection in the service's own shape.
pub(super) fn service(status: StatusCode, code: &str, message: &str) -> Rejection {
    let error =
        json!({"code": code, "message": message, "details": [], "target": null, "additionalInfo": null});
    Rejection { status, retry_after: None, body: json!({"error": error}) }
}
