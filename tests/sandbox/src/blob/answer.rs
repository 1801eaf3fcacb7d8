//! How answers and errors look.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use chrono::{DateTime, Utc};
use quick_xml::escape::escape;
use uuid::Uuid;

/// A rejection, as the service's reference of error codes lists them: its status, the code clients branch on,
/// and a sentence for people.
#[derive(Clone, Copy, Debug)]
pub struct Error {
    status: u16,
    code: &'static str,
    text: &'static str,
}

macro_rules! errors {
    ($($name:ident = $status:literal $code:literal $text:literal;)*) => {
        $(pub const $name: Error = Error { status: $status, code: $code, text: $text };)*
    };
}

errors! {
    NO_CREDENTIALS = 403 "AuthenticationFailed"
        "Server failed to authenticate the request. Make sure the signature is formed correctly.";
    BAD_TOKEN = 401 "InvalidAuthenticationInfo"
        "Server failed to authenticate the request. Please refer to the www-authenticate header.";
    NO_ROLE = 403 "AuthorizationPermissionMismatch"
        "This request is not authorized to perform this operation using this permission.";
    NOT_MODELLED = 501 "NotImplemented"
        "The requested operation is not part of this stand-in.";
    BAD_CONTAINER_LENGTH = 400 "OutOfRangeInput"
        "The specified resource name length is not within the permissible limits.";
    BAD_CONTAINER_NAME = 400 "InvalidResourceName"
        "The specified resource name contains invalid characters.";
    BAD_HEADER = 400 "InvalidHeaderValue"
        "The value for one of the HTTP headers is not in the correct format.";
    BAD_PARAMETER = 400 "InvalidQueryParameterValue"
        "Value for one of the query parameters specified in the request URI is invalid.";
    BAD_XML = 400 "InvalidXmlDocument"
        "XML specified is not syntactically valid.";
    BAD_BLOCK_LIST = 400 "InvalidBlockList"
        "The specified block list is invalid.";
    BAD_BLOCK_ID = 400 "InvalidBlobOrBlock"
        "The specified blob or block content is invalid.";
    MISSING_HEADER = 400 "MissingRequiredHeader"
        "An HTTP header that's mandatory for this request is not specified.";
    BODY_TOO_LARGE = 413 "RequestBodyTooLarge"
        "The request body is too large and exceeds the maximum permissible limit.";
    OTHER_TYPE = 409 "InvalidBlobType"
        "The blob type is invalid for this operation.";
    TOO_MANY_BLOCKS = 409 "BlockCountExceedsLimit"
        "The committed block count cannot exceed the maximum limit of 50,000 blocks.";
    APPEND_POSITION = 412 "AppendPositionConditionNotMet"
        "The append position condition specified was not met.";
    APPEND_SIZE = 412 "MaxBlobSizeConditionNotMet"
        "The max blob size condition specified was not met.";
    CONTAINER_EXISTS = 409 "ContainerAlreadyExists"
        "The specified container already exists.";
    CONTAINER_MISSING = 404 "ContainerNotFound"
        "The specified container does not exist.";
    BLOB_EXISTS = 409 "BlobAlreadyExists"
        "The specified blob already exists.";
    BLOB_MISSING = 404 "BlobNotFound"
        "The specified blob does not exist.";
    CONDITION = 412 "ConditionNotMet"
        "The condition specified using HTTP conditional header(s) is not met.";
    NOT_MODIFIED = 304 "ConditionNotMet"
        "The condition specified using HTTP conditional header(s) is not met.";
    BAD_RANGE = 416 "InvalidRange"
        "The range specified is invalid for the current size of the resource.";
    LEASE_ID_MISSING = 412 "LeaseIdMissing"
        "There is currently a lease on the blob and no lease ID was specified in the request.";
    LEASE_OTHER = 412 "LeaseIdMismatchWithBlobOperation"
        "The lease ID specified did not match the lease ID for the blob.";
    LEASE_NONE = 412 "LeaseNotPresentWithBlobOperation"
        "There is currently no lease on the blob.";
    LEASE_LOST = 412 "LeaseLost"
        "A lease ID was specified, but the lease for the blob has expired.";
    LEASE_HELD = 409 "LeaseAlreadyPresent"
        "There is already a lease present.";
    LEASE_MISMATCH = 409 "LeaseIdMismatchWithLeaseOperation"
        "The lease ID specified did not match the lease ID for the blob.";
    LEASE_ABSENT = 409 "LeaseNotPresentWithLeaseOperation"
        "There is currently no lease on the blob.";
    LEASE_BROKEN = 409 "LeaseIsBrokenAndCannotBeRenewed"
        "The lease ID matched, but the lease has been broken explicitly and cannot be renewed.";
    LEASE_BREAKING_ACQUIRE = 409 "LeaseIsBreakingAndCannotBeAcquired"
        "The lease ID matched, but the lease is currently in breaking state.";
    LEASE_BREAKING_CHANGE = 409 "LeaseIsBreakingAndCannotBeChanged"
        "The lease ID matched, but the lease is currently in breaking state.";
}

impl Error {
    pub fn answer(self, method: &Method, now: DateTime<Utc>) -> Response {
        let status = StatusCode::from_u16(self.status).expect("a status code");
        let mut builder = Answer::new(status).with("x-ms-error-code", self.code);
        if status == StatusCode::UNAUTHORIZED {
            let authority = "https://login.microsoftonline.com/common/oauth2/authorize";
            let challenge = format!("Bearer authorization_uri={authority} resource_id={}", super::AUDIENCE);
            builder = builder.with("www-authenticate", challenge);
        }
        if status == StatusCode::NOT_MODIFIED || method == Method::HEAD {
            return builder.empty(now);
        }
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{}</Code>\
             <Message>{}\nRequestId:{}\nTime:{}</Message></Error>",
            self.code,
            escape(self.text),
            Uuid::new_v4(),
            now.to_rfc3339(),
        );
        builder.xml(body, now)
    }
}

/// An answer being put together.
pub struct Answer {
    status: StatusCode,
    headers: HeaderMap,
}

impl Answer {
    pub fn new(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new() }
    }

    /// Adds a header. Values come from our own model, so one that is no header value is our mistake.
    pub fn with(mut self, name: &str, value: impl AsRef<str>) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        self.headers.insert(name, HeaderValue::from_str(value.as_ref()).expect("a header value"));
        self
    }

    pub fn empty(self, now: DateTime<Utc>) -> Response {
        self.body(Body::empty(), now)
    }

    pub fn xml(self, body: String, now: DateTime<Utc>) -> Response {
        self.with("content-type", "application/xml").body(Body::from(body), now)
    }

    pub fn body(self, body: Body, now: DateTime<Utc>) -> Response {
        let request_id = Uuid::new_v4().to_string();
        let this = self
            .with("x-ms-request-id", request_id)
            .with("x-ms-version", "2026-04-06")
            .with(header::DATE.as_str(), http_date(now));
        let mut response = Response::new(body);
        *response.status_mut() = this.status;
        *response.headers_mut() = this.headers;
        response
    }
}

/// A date as HTTP writes it (RFC 9110 §5.6.7).
pub fn http_date(at: DateTime<Utc>) -> String {
    at.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
