//! The Functions host's queue, by the service's REST interface (learn.microsoft.com, "Queue Storage REST API"). Messages
//! leave through the host's own binding, which knows no delay: what is here is for a message that becomes visible later,
//! and for what the host put aside.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    http::{HeaderValue, Method, Request, header},
};
use azure_core::{base64, http::Url};
use secrecy::{ExposeSecret, SecretString};

use super::{identity::Identity, sas::ConnectionString};
use crate::{
    clock::SharedClock,
    domain::problem::{Problem, Role},
    http::{
        error::{HttpError, excerpt, is_transient_status, retry_after},
        probe::reached,
        retry::Transient,
        transport::{Answer, Transport},
    },
};

const SCOPE: &str = "https://storage.azure.com/.default";
const VERSION: HeaderValue = HeaderValue::from_static("2025-11-05");
const ERROR_CODE: &str = "x-ms-error-code";
const COUNT: &str = "x-ms-approximate-messages-count";
/// The settings that say where it is.
const SETTINGS: &str = "AzureWebJobsStorage";
/// One try.
const TIMEOUT: Duration = Duration::from_secs(5);
/// 32 messages of 64 KiB, which is more than is ever asked for.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// The longest delay that the service takes, in seconds.
pub const LONGEST_DELAY: u64 = 7 * 24 * 60 * 60;
/// How many of the messages that were put aside are looked at.
const LOOKED_AT: u32 = 5;

/// How the account lets us in.
pub enum Access {
    /// By a connection string's key or signature.
    Signed(Box<ConnectionString>),
    /// By a token of the host's identity.
    Identity { endpoint: Url, identity: Arc<Identity> },
}

/// One queue of the host's storage account, and the one beside it for what failed.
pub struct HostQueue {
    pub access: Access,
    pub name: &'static str,
    pub transport: Transport,
    pub clock: SharedClock,
}

/// Why the queue did not do what was asked; the sentence says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct QueueError {
    pub problem: Problem,
    is_transient: bool,
    wait: Option<Duration>,
    /// Nobody answered at all.
    pub is_unreachable: bool,
}

impl QueueError {
    fn lasting(problem: impl Into<Problem>) -> Self {
        Self { problem: problem.into(), is_transient: false, wait: None, is_unreachable: false }
    }
}

impl Transient for QueueError {
    fn is_transient(&self) -> bool {
        self.is_transient
    }

    fn retry_after(&self) -> Option<Duration> {
        self.wait
    }
}

/// By which a message that was just put can be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    id: String,
    pop_receipt: String,
}

/// What lies in the queue for messages that were tried too often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Poison {
    /// About so many.
    pub count: u64,
    /// The texts of the first few, as far as they can be read.
    pub texts: Vec<String>,
}

impl HostQueue {
    /// The queue of what the host gave up.
    pub fn poison_name(&self) -> String {
        format!("{}-poison", self.name)
    }

    /// Puts `text` on the queue, to become visible after `delay`; the service forgets it after `lifetime`. The text
    /// travels in base64, as host.json says.
    ///
    /// # Errors
    /// The service cannot be reached, or rejects us.
    pub async fn put(
        &self,
        text: &str,
        delay: Duration,
        lifetime: Duration,
    ) -> Result<Option<Receipt>, QueueError> {
        let delay = delay.as_secs().min(LONGEST_DELAY);
        let body = format!(
            "<QueueMessage><MessageText>{}</MessageText></QueueMessage>",
            base64::encode(text.as_bytes())
        );
        let query =
            [("visibilitytimeout", delay.to_string()), ("messagettl", lifetime.as_secs().to_string())];
        let path = format!("{}/messages", self.name);
        let mut answer = self.call(Method::POST, &path, &query, body.clone()).await?;
        if code(&answer) == "QueueNotFound" {
            let made = self.call(Method::PUT, self.name, &[], String::new()).await?;
            if !made.status.is_success() && made.status.as_u16() != 409 {
                return Err(self.explained(&made, "make"));
            }
            answer = self.call(Method::POST, &path, &query, body).await?;
        }
        if answer.status.as_u16() != 201 {
            return Err(self.explained(&answer, "put a message on"));
        }
        let text = String::from_utf8_lossy(&answer.body);
        let receipt = first(&text, "MessageId").zip(first(&text, "PopReceipt"));
        Ok(receipt.map(|(id, pop_receipt)| Receipt { id, pop_receipt }))
    }

    /// Deletes a message that was just put.
    ///
    /// # Errors
    /// As [`HostQueue::put`].
    pub async fn delete(&self, receipt: &Receipt) -> Result<(), QueueError> {
        let path = format!("{}/messages/{}", self.name, receipt.id);
        let query = [("popreceipt", receipt.pop_receipt.clone())];
        let answer = self.call(Method::DELETE, &path, &query, String::new()).await?;
        match answer.status.as_u16() {
            204 | 404 => Ok(()),
            _ => Err(self.explained(&answer, "delete a message of")),
        }
    }

    /// What lies among the messages that the host gave up; nothing where there is no such queue yet.
    ///
    /// # Errors
    /// As [`HostQueue::put`].
    pub async fn poison(&self) -> Result<Poison, QueueError> {
        let name = self.poison_name();
        let metadata = [("comp", "metadata".to_owned())];
        let answer = self.call(Method::GET, &name, &metadata, String::new()).await?;
        if code(&answer) == "QueueNotFound" || answer.status.as_u16() == 404 {
            return Ok(Poison::default());
        }
        if !answer.status.is_success() {
            return Err(self.explained(&answer, "look at the poison queue of"));
        }
        let count = answer.headers.get(COUNT).and_then(|count| count.to_str().ok()?.parse().ok());
        let count = count.unwrap_or_default();
        if count == 0 {
            return Ok(Poison::default());
        }
        let peek = [("peekonly", "true".to_owned()), ("numofmessages", LOOKED_AT.to_string())];
        let answer = self.call(Method::GET, &format!("{name}/messages"), &peek, String::new()).await?;
        if !answer.status.is_success() {
            return Err(self.explained(&answer, "look at the poison queue of"));
        }
        let text = String::from_utf8_lossy(&answer.body);
        let texts = elements(&text, "MessageText");
        let texts = texts.filter_map(|text| String::from_utf8(base64::decode(&text).ok()?).ok());
        Ok(Poison { count, texts: texts.collect() })
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: String,
    ) -> Result<Answer, QueueError> {
        let (mut url, token) = self.entry().await?;
        url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header("x-ms-version", VERSION)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        if let Some(token) = &token {
            let bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()));
            let mut bearer = bearer
                .map_err(|_| QueueError::lasting("the token cannot be carried by a header".to_owned()))?;
            bearer.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, bearer);
        }
        let request = request
            .body(Bytes::from(body))
            .map_err(|_| QueueError::lasting(format!("{SETTINGS} does not give the address of a queue")))?;
        let answer = self.transport.fetch(request, TIMEOUT, ANSWER_BYTES).await.map_err(|error| {
            let (is_transient, is_unreachable) =
                (error.is_transient(), !matches!(error, HttpError::TooLarge { .. }));
            let problem = Problem::from(format!("the queue of {SETTINGS} cannot be reached: {error}"));
            QueueError { problem, is_transient, wait: None, is_unreachable }
        })?;
        if let (401, Access::Identity { identity, .. }, Some(token)) =
            (answer.status.as_u16(), &self.access, &token)
        {
            identity.forget(SCOPE, token).await;
        }
        Ok(answer)
    }

    /// The service's address with its signature, or a token for it.
    async fn entry(&self) -> Result<(Url, Option<SecretString>), QueueError> {
        match &self.access {
            Access::Signed(connection) => {
                let url = connection
                    .signed_queues(self.clock.now())
                    .unwrap_or_else(|| Err("it does not say where the queues are".to_owned()));
                let url = url.map_err(|problem| {
                    QueueError::lasting(format!("{SETTINGS} cannot be used: {problem}"))
                })?;
                Ok((url, None))
            }
            Access::Identity { endpoint, identity } => {
                let token = identity.token(SCOPE, None).await.map_err(|error| QueueError {
                    is_transient: error.is_transient,
                    ..QueueError::lasting(error.to_string())
                })?;
                Ok((endpoint.clone(), Some(token)))
            }
        }
    }

    /// What an answer means that is not the one asked for.
    fn explained(&self, answer: &Answer, verb: &str) -> QueueError {
        let status = answer.status.as_u16();
        // The service's own answers are XML, which elsewhere is a proxy's page, and have a code of their own.
        if code(answer).is_empty()
            && let Err(problem) = reached(answer, "the queue service", SETTINGS)
        {
            return QueueError { is_transient: status >= 500, ..QueueError::lasting(problem) };
        }
        let says = match code(answer) {
            "" => excerpt(&answer.body),
            code => code.to_owned(),
        };
        let told =
            format!("the host's storage does not let us {verb} the queue {} ({status} {says})", self.name);
        if is_transient_status(status) {
            let wait = retry_after(&answer.headers, self.clock.now());
            return QueueError { is_transient: true, wait, ..QueueError::lasting(told) };
        }
        match (&self.access, status) {
            (Access::Identity { identity, .. }, 401 | 403) => {
                let role = Role::StorageQueueDataContributor;
                let problem = Problem::from(format!(
                    "{told}; {} needs the role {} on the account of {SETTINGS}, whose firewall must let the app in",
                    identity.principal(),
                    role.name()
                ));
                // After 401 the token is a new one.
                QueueError { is_transient: status == 401, ..QueueError::lasting(problem.needs(role)) }
            }
            (Access::Signed(connection), 401 | 403) if connection.leaves_out_queues() => QueueError::lasting(
                format!("{told}; check the signature in {SETTINGS}: it does not cover queues (ss=bq)"),
            ),
            (Access::Signed(_), 401 | 403) => QueueError::lasting(format!(
                "{told}; check the key or signature in {SETTINGS}, and the firewall of the account"
            )),
            _ => QueueError::lasting(told),
        }
    }
}

/// The service's own name of an error.
fn code(answer: &Answer) -> &str {
    answer.headers.get(ERROR_CODE).and_then(|code| code.to_str().ok()).unwrap_or_default()
}

/// What stands in the elements called `name`. Those that are read here hold ids, receipts and base64, in which nothing is
/// escaped.
fn elements<'a>(text: &'a str, name: &str) -> impl Iterator<Item = String> + use<'a> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts: Vec<String> = text
        .split(&open)
        .skip(1)
        .filter_map(|part| part.split_once(&close).map(|(inner, _)| inner.trim().to_owned()))
        .collect();
    parts.into_iter()
}

fn first(text: &str, name: &str) -> Option<String> {
    elements(text, name).next()
}
