//! The host's own HTTP face: HTTP functions under their routes, and the admin API. What "seen" is said of was seen
//! under the real Functions host 4.1037.

mod listener;

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, Query, Request},
    http::{Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    HOST_VERSION, Inner,
    call::Call,
    function::{Access, Function, Target, Trigger},
    invocation::Invocation,
    process::WorkerState,
    timer::TimerFire,
};

/// The host's own limit for a request (`FUNCTIONS_REQUEST_BODY_SIZE_LIMIT`).
const BODY_LIMIT: usize = 104_857_600;

use listener::Spelling;
pub(super) use listener::serve;

/// The keys of the app, made anew at every start.
pub(super) struct Keys {
    pub master: String,
    pub function: String,
}

impl Keys {
    pub fn new() -> Self {
        let key = || Uuid::new_v4().simple().to_string();
        Self { master: key(), function: key() }
    }
}

pub(super) fn router(inner: Arc<Inner>) -> Router {
    Router::new().fallback(move |request: Request| {
        let inner = inner.clone();
        // On a task of its own: an invocation goes on when its caller hangs up.
        async move { tokio::spawn(inner.answer(request)).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR) }
    })
}

/// One request, taken apart.
struct Asked {
    parts: Parts,
    path: Vec<String>,
    query: BTreeMap<String, String>,
    body: Bytes,
}

impl Asked {
    async fn read(request: Request) -> Result<Self, StatusCode> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let pairs =
            Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(|_| StatusCode::BAD_REQUEST)?;
        let mut query = BTreeMap::<String, String>::new();
        for (name, value) in pairs.0 {
            // Repeated names are joined, as .NET prints several values.
            query.entry(name).and_modify(|known| *known += &format!(",{value}")).or_insert(value);
        }
        // Seen: the binding fails, and not the server.
        let body =
            axum::body::to_bytes(body, BODY_LIMIT).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        Ok(Self { parts, path, query, body })
    }

    fn key(&self) -> Option<&str> {
        let header = self.parts.headers.get("x-functions-key").and_then(|value| value.to_str().ok());
        header.or(self.query.get("code").map(String::as_str))
    }
}

impl Inner {
    async fn answer(self: Arc<Self>, request: Request) -> Response {
        if let WorkerState::Stopped(reason) = self.worker().state() {
            return (StatusCode::SERVICE_UNAVAILABLE, reason).into_response();
        }
        let asked = match Asked::read(request).await {
            Ok(asked) => asked,
            Err(status) => return status.into_response(),
        };
        let path = asked.path.iter().map(String::as_str).collect::<Vec<_>>();
        match path.as_slice() {
            [] => "Your Functions host is up and running.".into_response(),
            // Seen: a ping needs no key, and a function's key is known and not enough.
            ["admin", "host", "ping"] => StatusCode::OK.into_response(),
            ["admin", rest @ ..] if self.may(&asked, Access::Admin) => self.admin(&asked, rest),
            ["admin", ..] if self.may(&asked, Access::Function) => StatusCode::FORBIDDEN.into_response(),
            ["admin", ..] => StatusCode::UNAUTHORIZED.into_response(),
            _ => self.function_answer(&asked).await,
        }
    }

    fn may(&self, asked: &Asked, level: Access) -> bool {
        let Some(keys) = &self.keys else { return true };
        match level {
            Access::Anonymous => true,
            Access::Function => asked.key().is_some_and(|key| key == keys.master || key == keys.function),
            Access::Admin => asked.key() == Some(&keys.master),
        }
    }

    fn admin(self: Arc<Self>, asked: &Asked, path: &[&str]) -> Response {
        match (&asked.parts.method, path) {
            (&Method::GET, ["host", "status"]) => {
                let state = match self.worker().state() {
                    WorkerState::Initialized { .. } => "Running",
                    _ => "Initialized",
                };
                axum::Json(json!({"id": "double", "state": state, "version": HOST_VERSION})).into_response()
            }
            (&Method::GET, ["functions", name, "status"]) => {
                let mut disabled = self.app.disabled.iter();
                match (self.app.function(name), disabled.find(|(own, _)| own.eq_ignore_ascii_case(name))) {
                    (_, Some((_, error))) => axum::Json(json!({"errors": [error]})).into_response(),
                    (Some(_), None) => axum::Json(json!({})).into_response(),
                    (None, None) => StatusCode::NOT_FOUND.into_response(),
                }
            }
            (&Method::POST, ["functions", name]) => match self.app.function(name).cloned() {
                Some(function) => self.run_by_hand(function, asked),
                None => StatusCode::NOT_FOUND.into_response(),
            },
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    }

    /// Answers at once and runs in the background. A timer function run like this does not hold the lock of
    /// its schedule: it can overlap the scheduled run. Seen: a body that is not said to be JSON is rejected, one without
    /// `input` runs, and an HTTP function is called without a request and fails.
    fn run_by_hand(self: Arc<Self>, function: Function, asked: &Asked) -> Response {
        let content_type =
            asked.parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if asked.body.is_empty() {
            return StatusCode::BAD_REQUEST.into_response();
        }
        if !media_type.eq_ignore_ascii_case("application/json") {
            return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
        }
        let Ok(Value::Object(body)) = serde_json::from_slice(&asked.body) else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        let input = match body.get("input") {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
            Some(_) => return StatusCode::BAD_REQUEST.into_response(),
        };
        let in_flight = self.busy.enter();
        tokio::spawn(async move {
            let _in_flight = in_flight;
            let reason = "This function was programmatically called via the host APIs.".to_owned();
            match function.trigger {
                Trigger::Timer { monitored, .. } => {
                    let schedule_status = self.timers.get(&function.name).filter(|_| monitored);
                    let fire = TimerFire { is_past_due: false, schedule_status };
                    self.fire(&function, fire, reason, Some(&input)).await;
                }
                Trigger::Queue { .. } => {
                    let mut call = Call::new(&function.input, json!(input), reason);
                    call.bind_members(&input);
                    self.invoke(&function, call).await;
                }
                Trigger::Http { .. } => {
                    let why = "Exception binding parameter: the value is no HTTP request.";
                    self.failed_to_bind(&function, why);
                }
            }
        });
        StatusCode::ACCEPTED.into_response()
    }

    async fn function_answer(&self, asked: &Asked) -> Response {
        let prefix = self.app.route_prefix.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>();
        let mut candidates = Vec::new();
        for function in &self.app.functions {
            let Trigger::Http { methods, route, level } = &function.trigger else { continue };
            let method = asked.parts.method.as_str();
            if methods.as_ref().is_none_or(|all| all.iter().any(|own| own.eq_ignore_ascii_case(method)))
                && let Some(rest) = below(&asked.path, &prefix)
                && let Some(parameters) = capture(route, rest)
            {
                candidates.push((function, *level, parameters));
            }
        }
        // The route with the fewest parameters is the most exact.
        let Some((function, level, parameters)) = candidates.into_iter().min_by_key(|found| found.2.len())
        else {
            return StatusCode::NOT_FOUND.into_response();
        };
        if !self.may(asked, level) {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        respond(function, &self.invoke(function, call(function, asked, parameters)).await)
    }
}

fn below<'a>(path: &'a [String], prefix: &[&str]) -> Option<&'a [String]> {
    let (head, rest) = path.split_at_checked(prefix.len())?;
    head.iter().zip(prefix).all(|(part, own)| part.eq_ignore_ascii_case(own)).then_some(rest)
}

/// The parameters of a path that fits the route: `literal/{name}/{name?}/{*rest}`; constraints are not checked.
fn capture(route: &str, path: &[String]) -> Option<Map<String, Value>> {
    let mut parameters = Map::new();
    let mut path = path.iter();
    for part in route.split('/').filter(|part| !part.is_empty()) {
        let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
            path.next().filter(|own| own.eq_ignore_ascii_case(part))?;
            continue;
        };
        if let Some(name) = name.strip_prefix('*') {
            let rest = path.by_ref().map(String::as_str).collect::<Vec<_>>().join("/");
            parameters.insert(name.trim_start_matches('*').to_owned(), json!(rest));
            continue;
        }
        let plain = name.split([':', '?', '=']).next().unwrap_or(name);
        match path.next() {
            Some(value) => _ = parameters.insert(plain.to_owned(), json!(value)),
            None if name.ends_with('?') => {}
            None => return None,
        }
    }
    path.next().is_none().then_some(parameters)
}

/// The call of an HTTP function in the default mode, request forwarding off.
fn call(function: &Function, asked: &Asked, parameters: Map<String, Value>) -> Call {
    let headers = &asked.parts.headers;
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let host = Some(text(header::HOST)).filter(|host| !host.is_empty()).unwrap_or("localhost");
    let path = asked.parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = json!({
        "Url": format!("http://{host}{path}"),
        "Method": asked.parts.method.as_str(),
        "Query": asked.query,
        "Headers": header_lists(asked),
        "Params": parameters,
        "Identities": [identity()],
    });
    // A body of unknown length is not read at all: a client that sends in chunks seems to send nothing, neither a body
    // nor members among the metadata. Seen: the header Transfer-Encoding is all that is left of it.
    let length = text(header::CONTENT_LENGTH).parse::<u64>().unwrap_or_default();
    let content_type = text(header::CONTENT_TYPE).to_ascii_lowercase();
    let binary =
        content_type.starts_with("application/octet-stream") || content_type.starts_with("multipart/");
    let body = match binary {
        true => STANDARD.encode(&asked.body),
        false => String::from_utf8_lossy(&asked.body).into_owned(),
    };
    if length > 0 {
        request["Body"] = json!(body);
    }
    let reason = "This function was programmatically called via the host APIs.".to_owned();
    let mut call = Call::new(&function.input, request, reason);
    let joined = header_lists(asked).into_iter().map(|(name, values)| (name, values.join(",")));
    call.bind("Query", json!(asked.query));
    call.bind("Headers", json!(joined.collect::<BTreeMap<_, _>>()));
    if !parameters.is_empty() {
        // Seen: a route without parameters has none among the metadata.
        call.bind("Params", json!(parameters));
    }
    if length > 0 && content_type.starts_with("application/json") {
        call.bind_members(&body);
    }
    call
}

/// Headers under their names as the client wrote them (seen).
fn header_lists(asked: &Asked) -> BTreeMap<String, Vec<String>> {
    let spelling = asked.parts.extensions.get::<ConnectInfo<Spelling>>().map(|info| &info.0);
    let mut lists = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in &asked.parts.headers {
        let name = spelling.map_or(name.as_str(), |spelling| spelling.of(name.as_str()));
        lists
            .entry(name.to_owned())
            .or_default()
            .push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    lists
}

/// Who a local host takes every caller for.
fn identity() -> Value {
    json!({
        "AuthenticationType": "WebJobsAuthLevel",
        "IsAuthenticated": true,
        "Actor": null,
        "BootstrapContext": null,
        "Claims": [{
            "Issuer": "LOCAL AUTHORITY",
            "OriginalIssuer": "LOCAL AUTHORITY",
            "Properties": {},
            "Type": "http://schemas.microsoft.com/2017/07/functions/claims/authlevel",
            "Value": "Admin",
            "ValueType": "http://www.w3.org/2001/XMLSchema#string",
        }],
        "Label": null,
        "Name": null,
        "NameClaimType": "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
        "RoleClaimType": "http://schemas.microsoft.com/ws/2008/06/identity/claims/role",
    })
}

/// The answer to the caller of an HTTP function.
fn respond(function: &Function, invocation: &Invocation) -> Response {
    if !invocation.succeeded() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let http = function.outputs.iter().find(|output| matches!(output.target, Target::Http));
    let output = http.and_then(|output| invocation.outputs.get(&output.name));
    match output {
        Some(output) => response(output),
        // Seen: 200 with `{}` for empty outputs, and 204 for none.
        None if http.is_some() && invocation.has_outputs => axum::Json(json!({})).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

/// An HTTP output `{statusCode | status, headers, body}` as a response.
fn response(output: &Value) -> Response {
    let member = |wanted: &str| {
        let members = output.as_object().into_iter().flatten();
        members.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
    };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let status = member("statusCode").filter(|value| !value.is_null()).or(member("status")).map(text);
    let status = status.map_or(Ok(StatusCode::OK), |status| status.parse());
    let mut response = match member("body") {
        None | Some(Value::Null) => Response::new(Body::empty()),
        Some(Value::String(text)) => text.clone().into_response(),
        Some(other) => axum::Json(other).into_response(),
    };
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in member("headers").and_then(Value::as_object).into_iter().flatten() {
        if let (Ok(name), Ok(value)) = (name.parse::<header::HeaderName>(), text(value).parse()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests;
