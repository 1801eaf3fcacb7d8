//! Why there is no answer from Google Threat Intelligence, and what to do about it.

use std::time::Duration;

use chrono::{DateTime, Datelike, Days, NaiveDate, Utc};

use crate::{
    azure::key_vault::SecretsError,
    domain::problem::Problem,
    http::{
        error::{HttpError, is_transient_status},
        retry::Transient,
        unexpected::{redirected, rejected_in_between},
    },
};

/// What to wait after a 429 that does not say how long; Google's own client waits as long.
const UNSTATED_WAIT: Duration = Duration::from_secs(60);
const NAME: &str = "Google Threat Intelligence";
/// The setting that says where the API is.
const BASE_URL: &str = "GTI_BASE_URL";

/// Why there is no package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GtiError {
    #[error(
        "Google Threat Intelligence cannot be reached: {0}; check GTI_BASE_URL, and that a firewall lets the app out to it"
    )]
    Http(#[from] HttpError),
    #[error(
        "Google Threat Intelligence rejected the API key ({told}): GTI_API_KEY is wrong, or its user is no longer active. Take a key from Google Threat Intelligence → API key, best of a service account"
    )]
    Unauthorized { told: String },
    #[error(
        "Google Threat Intelligence does not take the request ({told}): check GTI_QUERY and GTI_LISTS, if they are set"
    )]
    BadRequest { told: String },
    #[error(
        "Google Threat Intelligence's quota is used up ({told}). The lane keeps its position and goes on when there is quota again: a daily one is full at {}, a monthly one at {}. mati-sync check shows what is used",
        midnight(*at), first_of_month(*at)
    )]
    QuotaUsedUp { told: String, at: DateTime<Utc> },
    #[error("Google Threat Intelligence gets requests too fast ({told})")]
    TooFast { told: String, retry_after: Option<Duration> },
    #[error("{}", rejected_in_between(*status, NAME, page, BASE_URL))]
    RejectedInBetween { status: u16, page: String },
    #[error("Google Threat Intelligence's address {}", redirected(*status, target, BASE_URL))]
    Redirected { status: u16, target: String },
    #[error("Google Threat Intelligence answered {status}: {body}")]
    Answer { status: u16, retry_after: Option<Duration>, body: String },
    #[error(
        "Google Threat Intelligence's answer is not what its API promises, perhaps a proxy's in between: {reason}"
    )]
    Unreadable { reason: String },
    #[error(
        "none of {records} records of the list {list} carries gti_assessment, so none can be judged. Google leaves it out if the header x-tool does not arrive: check that no proxy removes x-tool from requests"
    )]
    NotAssessed { list: String, records: usize },
    #[error("{0}")]
    Secrets(#[from] SecretsError),
}

impl GtiError {
    /// What the operator can do.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Secrets(error) => error.problem.clone(),
            other => other.to_string().into(),
        }
    }
}

impl Transient for GtiError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Http(error) => error.is_transient(),
            // A success other than those that are known is not an answer yet.
            Self::Answer { status, .. } => (200..300).contains(status) || is_transient_status(*status),
            Self::TooFast { .. } | Self::Unreadable { .. } | Self::RejectedInBetween { .. } => true,
            Self::Secrets(error) => error.is_transient,
            Self::Unauthorized { .. }
            | Self::BadRequest { .. }
            | Self::QuotaUsedUp { .. }
            | Self::Redirected { .. }
            | Self::NotAssessed { .. } => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooFast { retry_after, .. } => Some(retry_after.unwrap_or(UNSTATED_WAIT)),
            Self::Answer { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// When the next day begins.
fn midnight(now: DateTime<Utc>) -> String {
    at(now.date_naive().checked_add_days(Days::new(1)).unwrap_or(now.date_naive()))
}

/// When the next month begins.
fn first_of_month(now: DateTime<Utc>) -> String {
    let (year, month) = match now.month() {
        12 => (now.year() + 1, 1),
        month => (now.year(), month + 1),
    };
    at(NaiveDate::from_ymd_opt(year, month, 1).unwrap_or(now.date_naive()))
}

fn at(day: NaiveDate) -> String {
    format!("{day} 00:00 UTC")
}
