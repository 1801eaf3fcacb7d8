//! How much of the quota is used, and what the time is by Google's clock. Asking costs no quota.

use axum::http::header;
use chrono::{DateTime, Utc};

use super::{
    client::{Client, KEY, Told},
    error::GtiError,
    wire::{Holders, Quotas, Used},
};
use crate::{
    domain::feeds::Quota,
    source::lenient::{Object, Scalar},
};

/// What the server says of itself and of us.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing {
    /// By Google's clock.
    pub at: Option<DateTime<Utc>>,
    /// Of a day.
    pub quota: Option<Quota>,
}

impl Client {
    /// Asks once, without trying again.
    ///
    /// # Errors
    /// No answer, or an error. No message holds the key, although the path does.
    pub async fn standing(&self) -> Result<Standing, GtiError> {
        let mut body = Vec::new();
        let path = format!("users/{KEY}/overall_quotas");
        let answer = match self.get(&path, &mut |part| body.extend_from_slice(part)).await? {
            Told::Answered(answer) => answer,
            Told::NotYet | Told::Forbidden | Told::NotFound => return Ok(Standing::default()),
        };
        let date = answer.headers.get(header::DATE).and_then(|date| date.to_str().ok());
        let at = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok()).map(|date| date.to_utc());
        let quotas: Object<Quotas<'_>> = serde_json::from_slice(&body)
            .map_err(|error| GtiError::Unreadable { reason: format!("the quotas: {error}") })?;
        let Object(Quotas { data: Object(periods) }) = &quotas;
        Ok(Standing { at, quota: quota(&periods.api_requests_daily.0, self.clock.now()) })
    }
}

/// Of the user's and the group's, the one of which less is left.
fn quota(Holders { user, group }: &Holders<'_>, at: DateTime<Utc>) -> Option<Quota> {
    let holders = [user, group].into_iter().filter_map(|Object(Used { used, allowed })| {
        Some(Quota { used: count(used)?, allowed: count(allowed)?, at })
    });
    holders.min_by_key(|quota| quota.allowed.saturating_sub(quota.used))
}

fn count(number: &Scalar<'_>) -> Option<u64> {
    let Scalar::Number(number) = number else { return None };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float that is too large is cut"
    )]
    (*number >= 0.0).then_some(*number as u64)
}
