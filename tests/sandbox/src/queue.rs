//! Azure Queue Storage: the part of its REST service that a delayed message needs, in memory.
//!
//! Statuses, error codes and limits follow the service's reference; what is not modelled answers 501. Messages are
//! handed out by [`QueueService::take`], as the Functions host would fetch them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    body::to_bytes,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::{clock::Now, entra::bearer};

type Authorize = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// The longest delay, in seconds.
const LONGEST_DELAY: i64 = 7 * 24 * 60 * 60;

/// A message as it lies in a queue.
#[derive(Clone, Debug)]
pub struct Message {
    pub id: String,
    pop_receipt: String,
    /// The text as it travels.
    pub raw: String,
    pub inserted: DateTime<Utc>,
    pub visible: DateTime<Utc>,
    pub expires: DateTime<Utc>,
    pub dequeue_count: u32,
}

impl Message {
    /// The text as the host hands it on; `None` if it is not base64.
    pub fn text(&self) -> Option<String> {
        String::from_utf8(STANDARD.decode(&self.raw).ok()?).ok()
    }
}

#[derive(Default)]
struct Inner {
    queues: BTreeMap<String, Vec<Message>>,
    /// Takes only tokens that this accepts; `None`: signatures that cover queues.
    trusted: Option<Authorize>,
    forbidden: bool,
    requests: Vec<String>,
}

/// A handle on one account's queues; clones share them.
#[derive(Clone)]
pub struct QueueService {
    now: Now,
    inner: Arc<Mutex<Inner>>,
}

impl QueueService {
    /// An account without queues, which takes signatures for queues alone.
    pub fn new(now: Now) -> Self {
        Self { now, inner: Arc::default() }
    }

    /// Takes only tokens, and asks `check` about each.
    pub fn authorize(&self, check: impl Fn(&str) -> bool + Send + Sync + 'static) {
        self.lock().trusted = Some(Arc::new(check));
    }

    /// Whether every caller is rejected for want of a role.
    pub fn forbid(&self, forbidden: bool) {
        self.lock().forbidden = forbidden;
    }

    /// Everything in a queue, visible or not.
    pub fn messages(&self, queue: &str) -> Vec<Message> {
        let now = (self.now)();
        let mut inner = self.lock();
        let messages = inner.queues.entry(queue.to_owned()).or_default();
        messages.retain(|message| message.expires > now);
        messages.clone()
    }

    /// Puts a text there as if the host had.
    pub fn put(&self, queue: &str, text: &str) {
        let now = (self.now)();
        let message = message(STANDARD.encode(text), now, TimeDelta::zero(), TimeDelta::days(7));
        self.lock().queues.entry(queue.to_owned()).or_default().push(message);
    }

    /// Hands out the message that is visible for the longest, and hides it for `lease`; the host's visibility time.
    pub fn take(&self, queue: &str, lease: TimeDelta) -> Option<Message> {
        let now = (self.now)();
        let mut inner = self.lock();
        let messages = inner.queues.get_mut(queue)?;
        messages.retain(|message| message.expires > now);
        let next = messages.iter_mut().filter(|message| message.visible <= now);
        let next = next.min_by_key(|message| message.visible)?;
        next.dequeue_count += 1;
        next.visible = now + lease;
        Some(next.clone())
    }

    /// Takes a message away, as the host does after a success.
    pub fn delete(&self, queue: &str, id: &str) {
        if let Some(messages) = self.lock().queues.get_mut(queue) {
            messages.retain(|message| message.id != id);
        }
    }

    /// Shows a message again after `delay`, as the host does after a failure.
    pub fn put_back(&self, queue: &str, id: &str, delay: TimeDelta) {
        let visible = (self.now)() + delay;
        let mut inner = self.lock();
        let messages = inner.queues.get_mut(queue).into_iter().flatten();
        messages.filter(|message| message.id == id).for_each(|message| message.visible = visible);
    }

    /// When the next message of a queue becomes visible.
    pub fn next_visible(&self, queue: &str) -> Option<DateTime<Utc>> {
        self.messages(queue).iter().map(|message| message.visible).min()
    }

    /// Every request so far as its method and path, without account and credentials.
    pub fn requests(&self) -> Vec<String> {
        self.lock().requests.clone()
    }

    /// The service under every host, with the account as the first segment of the path where the host does not name it.
    pub fn router(&self) -> Router {
        Router::new().fallback(serve).with_state(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn admit(
        &self,
        method: &Method,
        headers: &HeaderMap,
        query: &BTreeMap<String, String>,
    ) -> Result<(), Box<Response>> {
        // To delete a message is to have processed it, as the real emulator says.
        let permission = match method.as_str() {
            "POST" => 'a',
            "PUT" => 'c',
            "DELETE" => 'p',
            _ => 'r',
        };
        let (trusted, forbidden) = {
            let inner = self.lock();
            (inner.trusted.clone(), inner.forbidden)
        };
        let is_let_in = match (trusted, bearer(headers)) {
            (Some(check), Some(token)) if check(token) => headers.contains_key("x-ms-version"),
            (Some(_), _) => return Err(Box::new(error(401, "InvalidAuthenticationInfo"))),
            (None, _) => {
                let has = |name, mark| query.get(name).is_some_and(|marks: &String| marks.contains(mark));
                query.contains_key("sig") && has("ss", 'q') && has("sp", permission)
            }
        };
        match (is_let_in, forbidden) {
            (false, _) => Err(Box::new(error(403, "AuthenticationFailed"))),
            (true, true) => Err(Box::new(error(403, "AuthorizationPermissionMismatch"))),
            (true, false) => Ok(()),
        }
    }

    async fn answer(&self, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let host = head.uri.host().unwrap_or(host);
        let mut path = head.uri.path().trim_matches('/');
        if !host.contains(".queue.") {
            path = path.split_once('/').map_or("", |(_, rest)| rest);
        }
        let query: BTreeMap<String, String> =
            axum::extract::Query::try_from_uri(&head.uri).map(|query| query.0).unwrap_or_default();
        self.lock().requests.push(format!("{} {path}", head.method));
        if let Err(rejection) = self.admit(&head.method, &head.headers, &query) {
            return *rejection;
        }
        let body = to_bytes(body, 1 << 20).await.unwrap_or_default();
        let parts: Vec<&str> = path.split('/').collect();
        let comp = query.get("comp").map(String::as_str);
        match (head.method.as_str(), &parts[..], comp) {
            ("PUT", [queue], None) => self.create(queue),
            ("GET", [queue], Some("metadata")) => self.metadata(queue),
            ("POST", [queue, "messages"], None) => self.post(queue, &query, &String::from_utf8_lossy(&body)),
            ("GET", [queue, "messages"], None)
                if query.get("peekonly").is_some_and(|peek| peek == "true") =>
            {
                self.peek(queue, &query)
            }
            ("DELETE", [queue, "messages", id], None) => self.remove(queue, id, &query),
            _ => error(501, "NotImplemented"),
        }
    }

    fn create(&self, queue: &str) -> Response {
        let mut inner = self.lock();
        match inner.queues.contains_key(queue) {
            true => StatusCode::NO_CONTENT.into_response(),
            false => {
                inner.queues.insert(queue.to_owned(), Vec::new());
                StatusCode::CREATED.into_response()
            }
        }
    }

    fn metadata(&self, queue: &str) -> Response {
        let inner = self.lock();
        let Some(messages) = inner.queues.get(queue) else { return error(404, "QueueNotFound") };
        let count = messages.len().to_string();
        (StatusCode::OK, [("x-ms-approximate-messages-count", count)]).into_response()
    }

    fn post(&self, queue: &str, query: &BTreeMap<String, String>, body: &str) -> Response {
        let number =
            |name: &str, default: i64| query.get(name).map_or(Some(default), |text| text.parse::<i64>().ok());
        let (Some(delay), Some(lifetime)) =
            (number("visibilitytimeout", 0), number("messagettl", 7 * 86_400))
        else {
            return error(400, "InvalidQueryParameterValue");
        };
        let is_for_ever = lifetime == -1;
        if !(0..=LONGEST_DELAY).contains(&delay) || lifetime == 0 || !is_for_ever && delay >= lifetime {
            return error(400, "OutOfRangeQueryParameterValue");
        }
        let text = body.split_once("<MessageText>").and_then(|(_, rest)| rest.split_once("</MessageText>"));
        let Some((raw, "</QueueMessage>")) = text.map(|(raw, rest)| (raw, rest.trim())) else {
            return error(400, "InvalidXmlDocument");
        };
        if raw.len() > 64 * 1024 {
            return error(413, "RequestBodyTooLarge");
        }
        let lifetime = if is_for_ever { TimeDelta::days(36_500) } else { TimeDelta::seconds(lifetime) };
        let put = message(raw.to_owned(), (self.now)(), TimeDelta::seconds(delay), lifetime);
        let mut inner = self.lock();
        let Some(messages) = inner.queues.get_mut(queue) else { return error(404, "QueueNotFound") };
        messages.push(put.clone());
        (StatusCode::CREATED, xml(&[put], true)).into_response()
    }

    fn peek(&self, queue: &str, query: &BTreeMap<String, String>) -> Response {
        let most = query.get("numofmessages").map_or(Some(1), |text| text.parse::<usize>().ok());
        let Some(most) = most.filter(|most| (1..=32).contains(most)) else {
            return error(400, "OutOfRangeQueryParameterValue");
        };
        let now = (self.now)();
        let inner = self.lock();
        let Some(messages) = inner.queues.get(queue) else { return error(404, "QueueNotFound") };
        let visible = messages.iter().filter(|message| message.visible <= now).take(most);
        let visible: Vec<Message> = visible.cloned().collect();
        (StatusCode::OK, xml(&visible, false)).into_response()
    }

    fn remove(&self, queue: &str, id: &str, query: &BTreeMap<String, String>) -> Response {
        let mut inner = self.lock();
        let Some(messages) = inner.queues.get_mut(queue) else { return error(404, "QueueNotFound") };
        let Some(at) = messages.iter().position(|message| message.id == id) else {
            return error(404, "MessageNotFound");
        };
        if query.get("popreceipt") != Some(&messages[at].pop_receipt) {
            return error(400, "PopReceiptMismatch");
        }
        messages.remove(at);
        StatusCode::NO_CONTENT.into_response()
    }
}

fn message(raw: String, now: DateTime<Utc>, delay: TimeDelta, lifetime: TimeDelta) -> Message {
    Message {
        id: Uuid::new_v4().to_string(),
        // As the service's: base64, with characters that do not stand for themselves in a URL.
        pop_receipt: format!("{}+/=", STANDARD.encode(Uuid::new_v4().as_bytes())),
        raw,
        inserted: now,
        visible: now + delay,
        expires: now + lifetime,
        dequeue_count: 0,
    }
}

fn xml(messages: &[Message], put: bool) -> String {
    let mut text = "<?xml version=\"1.0\" encoding=\"utf-8\"?><QueueMessagesList>".to_owned();
    for message in messages {
        let Message { id, pop_receipt, raw, inserted, expires, .. } = message;
        let (inserted, expires) = (inserted.to_rfc2822(), expires.to_rfc2822());
        text.push_str(&format!(
            "<QueueMessage><MessageId>{id}</MessageId><InsertionTime>{inserted}</InsertionTime><ExpirationTime>{expires}</ExpirationTime>"
        ));
        match put {
            true => text.push_str(&format!("<PopReceipt>{pop_receipt}</PopReceipt>")),
            false => text.push_str(&format!("<MessageText>{raw}</MessageText>")),
        }
        text.push_str("</QueueMessage>");
    }
    text + "</QueueMessagesList>"
}

fn error(status: u16, code: &'static str) -> Response {
    let body = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code></Error>");
    let status = StatusCode::from_u16(status).expect("a status");
    (status, [("x-ms-error-code", code)], body).into_response()
}

async fn serve(State(service): State<QueueService>, request: Request) -> Response {
    service.answer(request).await
}
