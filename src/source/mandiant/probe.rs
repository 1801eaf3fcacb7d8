//! Whether the feed answers us, for as little as it takes.

use chrono::TimeDelta;

use super::{access::Scheme, client::Client, error::SourceError, page::parse, reader::INCLUDE};
use crate::{
    azure::secrets::SecretStore,
    clock::{Deadline, OutOfTime},
    http::retry::{Failed, Patience, retry},
};

impl Client {
    /// Asks for one record of the last day; true when there was one.
    ///
    /// # Errors
    /// No page could be had before the deadline.
    pub async fn probe(&self, deadline: &Deadline) -> Result<bool, SourceError> {
        let now = self.access.clock.now();
        let from = (now - TimeDelta::days(1)).timestamp();
        let parameters = format!(
            "start_epoch={from}&end_epoch={}&gte_mscore=0&sort_by=last_updated:asc&limit=1&{INCLUDE}",
            now.timestamp()
        );
        let attempt = || async {
            let answer = deadline.within(self.get(&parameters)).await;
            let answer = answer.map_err(|OutOfTime| SourceError::OutOfTime)??;
            match answer.status.as_u16() {
                200 => Ok(parse(&answer.body)?.page.records > 0),
                204 => Ok(false),
                _ => Err(self.unexpected(&answer)),
            }
        };
        retry(Patience::SERVICE, deadline, attempt, |_, _| {}).await.map_err(Failed::into_error)
    }

    /// Whether a token is fetched before anything is asked.
    pub fn uses_tokens(&self) -> bool {
        self.access.scheme == Scheme::Bearer
    }

    /// What the source's secrets are taken from.
    pub fn secrets(&self) -> &SecretStore {
        &self.secrets
    }
}
