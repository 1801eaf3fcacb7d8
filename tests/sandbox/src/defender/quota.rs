//! How often the API lets itself be asked.

use std::collections::VecDeque;

use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};

use super::{Knobs, Rejection};

/// When the requests of the last hour were let through.
#[derive(Default)]
pub(super) struct Quota(VecDeque<DateTime<Utc>>);

impl Quota {
    /// Lets a request through unless a window is full. A request that is turned away does not count.
    pub(super) fn take(&mut self, now: DateTime<Utc>, knobs: &Knobs) -> Result<(), Rejection> {
        while self.0.front().is_some_and(|first| now - *first >= TimeDelta::hours(1)) {
            self.0.pop_front();
        }
        for (most, length, text) in [
            (knobs.per_hour, TimeDelta::hours(1), "01:00:00"),
            (knobs.per_minute, TimeDelta::seconds(60), "00:01:00"),
        ] {
            let within = self.0.iter().filter(|at| now - **at < length).count();
            if within < most {
                continue;
            }
            // A place is free when so many have left the window that one more fits.
            let leaves = self.0.iter().rev().nth(most.saturating_sub(1));
            let free = leaves.map_or(length, |at| *at + length - now);
            let seconds = (free.num_milliseconds().max(1) as u64).div_ceil(1000);
            let message = format!(
                "API calls quota exceeded! Maximum allowed {most} per {text} for the key \
                 Destination+TenantID+AppID. You can send requests again in {seconds} seconds."
            );
            let retry_after = knobs.retry_after_header.then_some(seconds);
            return Err(Rejection {
                retry_after,
                ..Rejection::new(StatusCode::TOO_MANY_REQUESTS, "429", message)
            });
        }
        self.0.push_back(now);
        Ok(())
    }
}
