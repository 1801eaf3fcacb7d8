//! How much of the quota is used, and what the time is by Google's clock. Asking costs no quota.

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

impl Client {
    /// Asks once, without trying again. Any answer of Google's tells the time, if it tells no quota.
    ///
    /// # Errors
    /// Why no quota was told, beside the time. No message holds the key, although the path does.
    pub async fn standing(&self) -> (Option<DateTime<Utc>>, Result<Option<Quota>, GtiError>) {
        let mut at = None;
        let quota = self.quota(&mut at).await;
        (at, quota)
    }

    /// What is used of the quota of a day, if that is told; and `at` what time, by Google's clock.
    ///
    /// # Errors
    /// No answer, or an error. No message holds the key, although the path does.
    pub(super) async fn quota(&self, at: &mut Option<DateTime<Utc>>) -> Result<Option<Quota>, GtiError> {
        let mut body = Vec::new();
        let path = format!("users/{KEY}/overall_quotas");
        let mut take = |part: &[u8]| body.extend_from_slice(part);
        let Told::Answered(_) = self.get_dated(&path, &mut take, at).await? else { return Ok(None) };
        let quotas: Object<Quotas<'_>> = serde_json::from_slice(&body)
            .map_err(|error| GtiError::Unreadable { reason: format!("the quotas: {error}") })?;
        let Object(Quotas { data: Object(periods) }) = &quotas;
        Ok(quota(&periods.api_requests_daily.0, self.clock.now()))
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
