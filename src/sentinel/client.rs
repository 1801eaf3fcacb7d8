//! Uploads to Sentinel: paced, tried again, and answered record by record.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    http::{HeaderValue, Method, Request, header},
};
use azure_core::credentials::Secret;

use super::{
    classify::{Verdict, classify},
    convert::{Style, object},
    wire::Upload,
};
use crate::{
    clock::{Deadline, SharedClock},
    domain::{
        outcome::{Delivery, UploadError},
        plan::Planned,
    },
    http::{
        error::HttpError,
        limiter::Limiter,
        retry::{Failed, LONGEST_ASKED, Patience, Transient, retry},
        traffic::Traffic,
        transport::Transport,
    },
    secrets::{Uploader, UploaderError},
};

/// The most objects in one request, by Microsoft's documentation.
pub const BATCH: usize = 100;
const TIMEOUT: Duration = Duration::from_secs(60);
const ANSWER_BYTES: usize = 1024 * 1024;

/// One workspace.
pub struct Sentinel {
    pub upload_url: String,
    pub source_system: String,
    pub style: Style,
    pub scope: &'static str,
    pub uploader: Uploader,
    pub limiter: Arc<Limiter>,
    pub transport: Transport,
    pub clock: SharedClock,
}

/// Why one try did not settle a request.
enum Attempt {
    Http(HttpError),
    Later { reason: String, wait: Option<Duration> },
    Final(UploadError),
}

impl Transient for Attempt {
    fn is_transient(&self) -> bool {
        match self {
            Self::Http(error) => error.is_transient(),
            Self::Later { .. } => true,
            Self::Final(_) => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Later { wait, .. } => *wait,
            Self::Http(_) | Self::Final(_) => None,
        }
    }
}

impl From<UploaderError> for Attempt {
    fn from(error: UploaderError) -> Self {
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
            Self::Http(error) => format!("Sentinel cannot be reached: {error}"),
            Self::Later { reason, .. } => reason.clone(),
            Self::Final(error) => error.to_string(),
        }
    }
}

impl Sentinel {
    /// The STIX object that stands for `planned`, for a person to read.
    pub fn preview(&self, planned: &Planned) -> serde_json::Value {
        let object = object(planned, &self.style, self.clock.now());
        serde_json::to_value(object).unwrap_or_default()
    }

    /// Uploads one batch and returns what became of each record, in their order.
    ///
    /// # Errors
    /// Nothing of the batch is known to be settled; see [`UploadError`].
    pub async fn upload(
        &self,
        batch: &[Planned],
        deadline: &Deadline,
        traffic: &Traffic,
    ) -> Result<Vec<Delivery>, UploadError> {
        let now = self.clock.now();
        let objects: Vec<_> = batch.iter().map(|planned| object(planned, &self.style, now)).collect();
        let body = serde_json::to_vec(&Upload { sourcesystem: &self.source_system, stixobjects: &objects })
            .expect("our own types are JSON");
        let body = Bytes::from(body);
        let attempt = || self.attempt(body.clone(), batch.len(), deadline, traffic);
        let outcome = retry(Patience::SERVICE, deadline, attempt, |error, wait| {
            traffic.retried();
            tracing::warn!(
                delay_ms = wait.as_millis(),
                "{}; sending again in {:.1} s",
                error.reason(),
                wait.as_secs_f64()
            );
        });
        outcome.await.map_err(|failed| match failed {
            Failed::For(Attempt::Final(error)) => error,
            Failed::For(error) => UploadError::Stalled(error.reason()),
            Failed::OutOfTime(_) => UploadError::OutOfTime,
        })
    }

    /// One try; a token that is refused is renewed once within it.
    async fn attempt(
        &self,
        body: Bytes,
        sent: usize,
        deadline: &Deadline,
        traffic: &Traffic,
    ) -> Result<Vec<Delivery>, Attempt> {
        let mut renewed = false;
        loop {
            let token = deadline.within(self.uploader.token(self.scope)).await;
            let token = token.map_err(|_| Attempt::Final(UploadError::OutOfTime))??;
            let request = self.request(body.clone(), &token).map_err(Attempt::Final)?;
            // A place in the row is taken last, so that fetching a token does not delay a paced request.
            self.limiter.slot(deadline).await.map_err(|_| Attempt::Final(UploadError::OutOfTime))?;
            traffic.requested();
            let answer = deadline.within(self.transport.fetch(request, TIMEOUT, ANSWER_BYTES)).await;
            let answer =
                answer.map_err(|_| Attempt::Final(UploadError::OutOfTime))?.map_err(Attempt::Http)?;
            return match classify(&answer, sent, self.clock.now()) {
                Verdict::Settled(deliveries) => Ok(deliveries),
                Verdict::Later { reason, wait, throttled } => {
                    if throttled {
                        traffic.throttled();
                        self.limiter
                            .hold_back(wait.filter(|wait| *wait <= LONGEST_ASKED).unwrap_or_default());
                    }
                    Err(Attempt::Later { reason, wait })
                }
                Verdict::Refused(reason) => Err(Attempt::Final(UploadError::Refused(reason))),
                Verdict::Blocked(reason) => Err(Attempt::Final(UploadError::Stalled(reason))),
                Verdict::Unauthorized(_) if !renewed => {
                    renewed = true;
                    traffic.retried();
                    self.uploader.forget(self.scope, &token).await;
                    continue;
                }
                Verdict::Unauthorized(reason) => Err(Attempt::Final(UploadError::Stalled(reason))),
            };
        }
    }

    fn request(&self, body: Bytes, token: &Secret) -> Result<Request<Bytes>, UploadError> {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.secret()))
            .map_err(|_| UploadError::Stalled("Entra's token cannot be carried by a header".to_owned()))?;
        bearer.set_sensitive(true);
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.upload_url.parse().map_err(|error| {
            UploadError::Stalled(format!(
                "SENTINEL_BASE_URL and SENTINEL_UPLOAD_PATH make no URL ({}): {error}",
                self.upload_url
            ))
        })?;
        let headers = request.headers_mut();
        headers.insert(header::AUTHORIZATION, bearer);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(request)
    }
}
