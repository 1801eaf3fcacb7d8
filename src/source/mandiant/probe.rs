//! Whether the feed answers us, for as little as it takes.

use axum::http::StatusCode;
use chrono::TimeDelta;

use super::{access::Scheme, client::Client, error::MandiantError, page::parse, reader::INCLUDE};
use crate::{
    clock::Deadline,
    http::{
        probe::Probe,
        retry::{Patience, RetryError, retry},
    },
};

impl Client {
    /// The connection to the feed, to be tried before `deadline`.
    pub fn probe<'a>(&'a self, deadline: &'a Deadline) -> Probe<'a> {
        let tried = match self.access.scheme {
            Scheme::Bearer => "a token was asked for, and one record of the last day",
            Scheme::Basic | Scheme::ApiKey => "one record of the last day was asked for",
        };
        let attempt = async move {
            let found =
                self.has_a_record(deadline).await.map_err(|failed| failed.map(|error| error.problem()))?;
            Ok(match found {
                true => "it came".to_owned(),
                false => "it answered that there is none, which is unusual for a whole day".to_owned(),
            })
        };
        Probe::new("Mandiant", tried, attempt)
    }

    /// Asks for one record of the last day; true when there was one.
    async fn has_a_record(&self, deadline: &Deadline) -> Result<bool, RetryError<MandiantError>> {
        let now = self.access.clock.now();
        let from = (now - TimeDelta::days(1)).timestamp();
        let parameters = format!(
            "start_epoch={from}&end_epoch={}&gte_mscore=0&sort_by=last_updated:asc&limit=1&{INCLUDE}",
            now.timestamp()
        );
        let ask = || async {
            let answer = self.get(&parameters).await?;
            match answer.status {
                StatusCode::OK => Ok(parse(&answer.body)?.page.records > 0),
                StatusCode::NO_CONTENT => Ok(false),
                _ => Err(self.unexpected(&answer)),
            }
        };
        let attempt = || async { deadline.within(ask()).await?.map_err(RetryError::GaveUp) };
        retry(Patience::SERVICE, deadline, attempt, |_, _| {}).await
    }
}
