//! Calls of Microsoft's APIs: with a token, paced, and made again where that helps.

use std::{
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
use secrecy::{ExposeSecret, SecretString};

use crate::{
    azure::upload_identity::{UploadIdentity, UploadIdentityError},
    clock::{Deadline, SharedClock},
    domain::outcome::{Refusal, UploadError},
    http::{
        error::{HttpError, excerpt, retry_after},
        limiter::Limiter,
        retry::{Failed, LONGEST_ASKED, Patience, Transient, retry},
        told::{error_in, page_for_people, redirect, redirected, refused_in_between, used_up},
        traffic::Traffic,
        transport::{Answer, Transport},
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
    /// The request as a whole was refused because of something in it.
    Refused(Refusal),
    /// The token was refused.
    Unauthorized(String),
    /// Something only the operator can mend.
    Blocked(String),
}

/// Why one try did not settle a request.
enum Attempt {
    Http(&'static str, HttpError),
    Later { reason: String, wait: Option<Duration> },
    Final(UploadError),
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
        let reason = error.to_string();
        if error.is_transient() {
            Self::Later { reason, wait: None }
        } else {
            Self::Final(UploadError::Stalled(reason))
        }
    }
}

impl Attempt {
    fn reason(&self) -> String {
        match self {
            Self::Http(name, error) => format!("{name} cannot be reached: {error}"),
            Self::Later { reason, .. } => reason.clone(),
            Self::Final(error) => error.to_string(),
        }
    }
}

impl Api {
    /// Makes a request, again where that may help, and reads its answer with `read`.
    ///
    /// # Errors
    /// Nothing is known to be settled; see [`UploadError`].
    pub async fn call<T>(
        &self,
        call: &Call,
        read: impl Fn(&Answer) -> Verdict<T>,
        deadline: &Deadline,
        traffic: &Traffic,
    ) -> Result<T, UploadError> {
        let resets = AtomicUsize::new(0);
        let attempt = || async {
            let tried = self.attempt(call, &read, deadline, traffic).await;
            if let Err(Attempt::Http(_, HttpError::Unanswered { .. })) = &tried {
                let resets = resets.fetch_add(1, Ordering::Relaxed) + 1;
                if resets >= RESETS && call.parts > 1 {
                    return Err(Attempt::Final(UploadError::Refused(self.too_long(call))));
                }
            }
            tried
        };
        let outcome = retry(Patience::SERVICE, deadline, attempt, |error, wait| {
            traffic.retried();
            tracing::warn!(
                delay_ms = wait.as_millis(),
                "{}; asking again in {:.1} s",
                error.reason(),
                wait.as_secs_f64()
            );
        });
        outcome.await.map_err(|failed| match failed {
            Failed::For(Attempt::Final(error)) => error,
            Failed::For(error) => UploadError::Stalled(error.reason()),
            Failed::OutOfTime(error) => UploadError::OutOfTime { after: Some(error.reason()) },
        })
    }

    /// What is said of a request over which the connection breaks each time. It is cut in halves like one that is
    /// refused for its length; what stands alone and breaks all the same meets an outage.
    fn too_long(&self, call: &Call) -> Refusal {
        Refusal {
            reason: format!(
                "the connection to {} broke {RESETS} times before it answered a request of {} bytes: perhaps something in between takes none of that length",
                self.name,
                call.body.len()
            ),
            request_id: None,
        }
    }

    /// One try; a token that is refused is renewed once within it.
    async fn attempt<T>(
        &self,
        call: &Call,
        read: impl Fn(&Answer) -> Verdict<T>,
        deadline: &Deadline,
        traffic: &Traffic,
    ) -> Result<T, Attempt> {
        let out_of_time = || Attempt::Final(UploadError::OutOfTime { after: None });
        let mut renewed = false;
        loop {
            let token = deadline.within(self.uploader.token(&self.scope)).await;
            let token = token.map_err(|_| out_of_time())??;
            let request = self.request(call, &token).map_err(Attempt::Final)?;
            // A place in the row is taken last, so that fetching a token does not delay a paced request.
            self.limiter.slot(deadline).await.map_err(|_| out_of_time())?;
            traffic.requested();
            let answer = deadline.within(self.transport.fetch(request, TIMEOUT, self.longest_answer)).await;
            let answer =
                answer.map_err(|_| out_of_time())?.map_err(|error| Attempt::Http(self.name, error))?;
            let verdict = self.in_between(call, &answer).unwrap_or_else(|| read(&answer));
            return match verdict {
                Verdict::Answered(value) => Ok(value),
                Verdict::Later { reason, wait, throttled } => {
                    if throttled {
                        traffic.throttled();
                        self.limiter
                            .hold_back(wait.filter(|wait| *wait <= LONGEST_ASKED).unwrap_or_default());
                    }
                    Err(Attempt::Later { reason, wait })
                }
                Verdict::Refused(refusal) => Err(Attempt::Final(UploadError::Refused(refusal))),
                Verdict::Blocked(reason) => Err(Attempt::Final(UploadError::Stalled(reason))),
                Verdict::Unauthorized(_) if !renewed => {
                    renewed = true;
                    traffic.retried();
                    self.uploader.forget(&self.scope, &token).await;
                    continue;
                }
                Verdict::Unauthorized(reason) => Err(Attempt::Final(UploadError::Stalled(reason))),
            };
        }
    }

    /// What an answer means that is not the API's own: another address, a page of a proxy or an edge, the gateway's
    /// quota.
    fn in_between<T>(&self, call: &Call, answer: &Answer) -> Option<Verdict<T>> {
        let (status, name) = (answer.status.as_u16(), self.name);
        if let Some(target) = redirect(answer) {
            return Some(Verdict::Blocked(format!("{name} {}", redirected(status, &target, call.settings))));
        }
        let page = match status {
            401 | 403 => page_for_people(answer),
            407 | 511 => Some(excerpt(&answer.body)),
            _ => None,
        };
        if let Some(page) = page {
            let reason = refused_in_between(status, name, &page, call.settings);
            return Some(Verdict::Later { reason, wait: None, throttled: false });
        }
        let told = if status == 403 { error_in(&answer.body)? } else { return None };
        used_up(&told).map(|wait| Verdict::Later {
            reason: format!("the quota of {name} is used up: {told}"),
            wait: wait.max(retry_after(&answer.headers, self.clock.now())),
            throttled: true,
        })
    }

    fn request(&self, call: &Call, token: &SecretString) -> Result<Request<Bytes>, UploadError> {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
            .map_err(|_| UploadError::Stalled("Entra's token cannot be carried by a header".to_owned()))?;
        bearer.set_sensitive(true);
        let mut request = Request::new(call.body.clone());
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = call.url.parse().map_err(|error| {
            UploadError::Stalled(format!("{} make no URL ({}): {error}", call.settings, call.url))
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
