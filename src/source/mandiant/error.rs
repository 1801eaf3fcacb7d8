//! Why there is no answer from Mandiant, and what to do about it.

use std::time::Duration;

use crate::{
    azure::key_vault::SecretsError,
    domain::problem::Problem,
    http::{
        error::{HttpError, is_transient_status},
        retry::Transient,
        unexpected::{redirected, rejected_in_between},
    },
};

/// What to wait after a 429 without `Retry-After`; others' clients wait as long.
const UNSTATED_WAIT: Duration = Duration::from_secs(30);
/// The setting that says where Mandiant is.
const BASE_URL: &str = "MATI_BASE_URL";

/// Why there is no page from Mandiant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MandiantError {
    #[error(
        "Mandiant cannot be reached: {0}; check MATI_BASE_URL, and that a firewall lets the app out to it"
    )]
    Http(#[from] HttpError),
    #[error(
        "Mandiant rejected the API key ({status} at {at}), also with a new token: either MATI_KEY or MATI_SECRET is wrong or expired (Mandiant Advantage → Settings → APIv4 Access and Key), or the key has no right to indicators; Mandiant's answer does not tell which{told}"
    )]
    Unauthorized {
        status: u16,
        at: &'static str,
        /// What the answer says all the same, behind a colon; or empty.
        told: String,
    },
    #[error("{}", rejected_in_between(*status, "Mandiant", page, BASE_URL))]
    RejectedInBetween { status: u16, page: String },
    #[error("Mandiant's address {}", redirected(*status, target, BASE_URL))]
    Redirected { status: u16, target: String },
    #[error("Mandiant answered {status}: {body}{}", if *status == 404 { "; check MATI_BASE_URL" } else { "" })]
    Answer { status: u16, retry_after: Option<Duration>, body: String },
    #[error("Mandiant's answer is not what its API promises, perhaps a proxy's in between: {reason}")]
    Unreadable { reason: String },
    #[error("Mandiant gave the same page twice: the cursor does not move on")]
    Loop,
    #[error(
        "Mandiant leaves threat_rating, category and campaigns out of later pages although they were asked for; records are not judged by absent fields. Ask Mandiant's support, or try MATI_BASE_URL of another endpoint"
    )]
    FieldsLost,
    #[error("{0}")]
    Secrets(#[from] SecretsError),
}

impl MandiantError {
    /// What the operator can do.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Secrets(error) => error.problem.clone(),
            other => other.to_string().into(),
        }
    }
}

impl Transient for MandiantError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Http(error) => error.is_transient(),
            // A success other than those that are known is not an answer yet.
            Self::Answer { status, .. } => (200..300).contains(status) || is_transient_status(*status),
            Self::Unreadable { .. } | Self::RejectedInBetween { .. } => true,
            Self::Secrets(error) => error.is_transient,
            Self::Unauthorized { .. } | Self::Redirected { .. } | Self::Loop | Self::FieldsLost => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answer { status: 429, retry_after, .. } => Some(retry_after.unwrap_or(UNSTATED_WAIT)),
            Self::Answer { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
