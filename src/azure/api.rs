//! Calls of Microsoft's APIs: with a token, paced, and made again where that helps.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Bytes,
    http::{HeaderValue, Method, Request, header},
};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    azure::upload_identity::{UploadIdentity, UploadIdentityError},
    clock::{Deadline, OutOfTime, SharedClock},
    domain::{outcome::Rejection, problem::Problem},
    http::{
        error::{HttpError, excerpt, is_transient_status, retry_after, wait_in},
        limiter::Limiter,
        probe::Probe,
        retry::{LONGEST_ASKED, Patience, RetryError, Transient, retry},
        traffic::Traffic,
        transport::{Answer, Transport},
        unexpected::{error_in, page_for_people, redirect, redirected, rejected_in_between, used_up},
    },
};

const TIMEOUT: Duration = Duration::from_secs(60);
/// A connection that breaks so often over one request, and no answer came: perhaps something in between takes no
/// request of that length. Fewer than for an outage, since the halves have to be tried in the same pass.
const RESETS: usize = 3;

/// One of Microsoft's APIs, as one identity with one budget of requests.
pub struct Api {
    /// As it is called in sentences.
    pub name: &'static str,
    /// The scope of its tokens.
    pub scope: String,
    /// The longest answer that is read, in bytes.
    pub longest_answer: usize,
    pub uploader: Arc<UploadIdentity>,
    pub limiter: Arc<Limiter>,
    pub transport: Transport,
    pub clock: SharedClock,
}

/// A request that can be made any number of times.
pub struct Call {
    pub method: Method,
    pub url: String,
    /// The settings that `url` was made of, for the operator.
    pub settings: &'static str,
    /// JSON; empty for a request without a body.
    pub body: Bytes,
    /// In how many requests the same could be said: the records in it.
    pub parts: usize,
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<T> {
    Answered(T),
    /// The same request may go well after a wait.
    Later {
        reason: String,
        wait: Option<Duration>,
        throttled: bool,
    },
    /// The request as a whole was rejected because of something in it.
    Rejected(Rejection),
    /// The token was rejected.
    Unauthorized(String),
    /// Something only the operator can mend.
    Blocked(Problem),
}

impl<T> Verdict<T> {
    /// What 408, 429 and 5xx mean for every one of these APIs; `None` for another status. `reason` is what the answer
    /// says.
    pub fn later(name: &str, answer: &Answer, reason: &str, now: DateTime<Utc>) -> Option<Self> {
        let status = answer.status.as_u16();
        let wait = retry_after(&answer.headers, now);
        let throttled = status == 429;
        is_transient_status(status).then(|| Self::Later {
            reason: match throttled {
                true => format!("{name} throttles: {reason}"),
                false => format!("{name} answered {status}: {reason}"),
            },
            wait: if throttled { wait.max(wait_in(reason)) } else { wait },
            throttled,
        })
    }

    /// Something only the operator can mend.
    pub fn blocked(problem: impl Into<Problem>) -> Self {
        Self::Blocked(problem.into())
    }
}

/// Why a request settled nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The next try does not fit before the deadline.
    #[error(transparent)]
    OutOfTime(#[from] OutOfTime),
    /// The request was rejected as a whole because of something in it: one of its records, perhaps.
    #[error("the destination rejected the request: {0}")]
    Rejected(Rejection),
    /// The service is down, or only the operator can mend the problem; the sentence says what to do.
    #[error("{0}")]
    Stalled(Problem),
}

impl From<ApiError> for RetryError<Problem> {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::OutOfTime(out_of_time) => Self::OutOfTime(out_of_time),
            ApiError::Stalled(problem) => Self::GaveUp(problem),
            ApiError::Rejected(_) => Self::GaveUp(error.to_string().into()),
        }
    }
}

/// Why one try did not settle a request.
enum Attempt {
    Http(&'static str, HttpError),
    Later { reason: String, wait: Option<Duration> },
    Final(ApiError),
}

impl Transient for Attempt {
    fn is_transient(&self) -> bool {
        match self {
            Self::Http(_, error) => error.is_transient(),
            Self::Later { .. } => true,
            Self::Final(_) => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Later { wait, .. } => *wait,
            Self::Http(..) | Self::Final(_) => None,
        }
    }
}

impl From<UploadIdentityError> for Attempt {
    fn from(error: UploadIdentityError) -> Self {
        if error.is_transient() {
            Self::Later { reason: error.to_string(), wait: None }
        } else {
            Self::Final(ApiError::Stalled(error.problem()))
        }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(name, error) => write!(f, "{name} cannot be reached: {error}"),
            Self::Later { reason, .. } => f.write_str(reason),
            Self::Final(error) => error.fmt(f),
        }
    }
}

impl Api {
    /// A token to be asked for.
    pub fn token_probe<'a>(&'a self, deadline: &'a Deadline) -> Probe<'a> {
        let tried = format!("a token of Entra ID for {} was asked for", self.scope);
        Probe::new(format!("token for {}", self.name), tried, async move {
            let token = deadline.within(self.uploader.token(&self.scope)).await?;
            token.map_err(|error| RetryError::GaveUp(error.problem()))?;
            Ok(format!("it was issued to {}", self.uploader.principal().await))
        })
    }

    /// Makes a request, again where that may help, and reads its answer with `read`.
    ///
    /// # Errors
    /// Nothing is known to be settled; see [`ApiError`].
    pub async fn call<T>(
        &self,
        call: &Call,
        read: impl Fn(&Answer) -> Verdict<T>,
        deadline: &Deadline,
        traffic: &Traffic,
    ) -> Result<T, ApiError> {
        let resets = AtomicUsize::new(0);
        let attempt = || async {
            let tried = self.attempt(call, &read, deadline, traffic).await;
            if let Err(RetryError::GaveUp(Attempt::Http(_, HttpError::Unanswered { .. }))) = &tried {
                let resets = resets.fetch_add(1, Ordering::Relaxed) + 1;
                if resets >= RESETS && call.parts > 1 {
                    return Err(RetryError::GaveUp(Attempt::Final(ApiError::Rejected(self.too_long(call)))));
                }
            }
            tried
        };
        let outcome = retry(Patience::SERVICE, deadline, attempt, |error, wait| {
            traffic.retried();
            tracing::warn!(
                delay_ms = wait.as_millis(),
                "{error}; asking again in {:.1} s",
                wait.as_secs_f64()
            );
        });
        outcome.await.map_err(|failed| match failed {
            RetryError::GaveUp(Attempt::Final(error)) => error,
            RetryError::GaveUp(error) => ApiError::Stalled(error.to_string().into()),
            RetryError::OutOfTime(out_of_time) => out_of_time.into(),
        })
    }

    /// What is said of a request over which the connection breaks each time. It is cut in halves like one that is
    /// rejected for its length; what stands alone and breaks all the same meets an outage.
    fn too_long(&self, call: &Call) -> Rejection {
        Rejection {
            reason: format!(
                "the connection to {} broke {RESETS} times before it answered a request of {} bytes: perhaps something in between takes none of that length",
                self.name,
                call.body.len()
            ),
            request_id: None,
        }
    }

    /// One try; a token that is rejected is renewed once within it.
    async fn attempt<T>(
        &self,
        call: &Call,
        read: impl Fn(&Answer) -> Verdict<T>,
        deadline: &Deadline,
        traffic: &Traffic,
    ) -> Result<T, RetryError<Attempt>> {
        let mut renewed = false;
        loop {
            let token = deadline.within(self.uploader.token(&self.scope)).await;
            let token = token?.map_err(|error| RetryError::GaveUp(error.into()))?;
            let request =
                self.request(call, &token).map_err(|error| RetryError::GaveUp(Attempt::Final(error)))?;
            // A place in the row is taken last, so that fetching a token does not delay a paced request.
            self.limiter.slot(deadline).await?;
            traffic.requested();
            let answer = deadline.within(self.transport.fetch(request, TIMEOUT, self.longest_answer)).await;
            let answer = answer?.map_err(|error| RetryError::GaveUp(Attempt::Http(self.name, error)))?;
            let verdict = self.in_between(call, &answer).unwrap_or_else(|| read(&answer));
            let failed = match verdict {
                Verdict::Answered(value) => {
                    traffic.delivered(call.body.len());
                    return Ok(value);
                }
                Verdict::Later { reason, wait, throttled } => {
                    if throttled {
                        traffic.throttled();
                        self.limiter.pause(wait.filter(|wait| *wait <= LONGEST_ASKED).unwrap_or_default());
                    }
                    Attempt::Later { reason, wait }
                }
                Verdict::Rejected(rejection) => Attempt::Final(ApiError::Rejected(rejection)),
                Verdict::Blocked(problem) => Attempt::Final(ApiError::Stalled(problem)),
                Verdict::Unauthorized(_) if !renewed => {
                    renewed = true;
                    traffic.retried();
                    self.uploader.forget(&self.scope, &token).await;
                    continue;
                }
                Verdict::Unauthorized(reason) => Attempt::Final(ApiError::Stalled(reason.into())),
            };
            return Err(RetryError::GaveUp(failed));
        }
    }

    /// What an answer means that is not the API's own: another address, a page of a proxy or an edge, the gateway's
    /// quota.
    fn in_between<T>(&self, call: &Call, answer: &Answer) -> Option<Verdict<T>> {
        let (status, name) = (answer.status.as_u16(), self.name);
        if let Some(target) = redirect(answer) {
            return Some(Verdict::blocked(format!("{name} {}", redirected(status, &target, call.settings))));
        }
        let page = match status {
            401 | 403 => page_for_people(answer),
            407 | 511 => Some(excerpt(&answer.body)),
            _ => None,
        };
        if let Some(page) = page {
            let reason = rejected_in_between(status, name, &page, call.settings);
            return Some(Verdict::Later { reason, wait: None, throttled: false });
        }
        let told = if status == 403 { error_in(&answer.body)? } else { return None };
        used_up(&told).map(|wait| Verdict::Later {
            reason: format!("the quota of {name} is used up: {told}"),
            wait: wait.max(retry_after(&answer.headers, self.clock.now())),
            throttled: true,
        })
    }

    fn request(&self, call: &Call, token: &SecretString) -> Result<Request<Bytes>, ApiError> {
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).map_err(|_| {
                ApiError::Stalled("Entra's token cannot be carried by a header".to_owned().into())
            })?;
        bearer.set_sensitive(true);
        let mut request = Request::new(call.body.clone());
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = call.url.parse().map_err(|error| {
            ApiError::Stalled(format!("{} make no URL ({}): {error}", call.settings, call.url).into())
        })?;
        let headers = request.headers_mut();
        headers.insert(header::AUTHORIZATION, bearer);
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if !call.body.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Ok(request)
    }
}
