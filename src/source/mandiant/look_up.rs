//! What the source says of one value.

use axum::http::StatusCode;
use serde_json::json;

use super::{client::Client, error::MandiantError, page::parse};
use crate::{
    clock::Deadline,
    domain::page::{Page, SourceId},
    http::{
        retry::{Patience, RetryError, retry},
        text::percent_encoded,
    },
};

impl Client {
    /// Every record of one of `values`, which are spellings of one value. Their case does not matter to the server.
    ///
    /// # Errors
    /// No answer within the patience for a service, or before the deadline.
    pub async fn look_up(
        &self,
        values: &[String],
        deadline: &Deadline,
    ) -> Result<Page, RetryError<MandiantError>> {
        let body = json!({
            "requests": [{ "values": values }],
            "include_threat_rating": true,
            "include_category": true,
            "include_campaigns": true,
            "include_misp": false,
        });
        let body = body.to_string().into();
        let ask = || async {
            let answer = self.ask(&self.feed(), Some(&body)).await?;
            match answer.status {
                StatusCode::OK => Ok(parse(&answer.body)?.page),
                StatusCode::NO_CONTENT => Ok(Page::default()),
                _ => Err(self.unexpected(&answer)),
            }
        };
        let attempt = || async { deadline.within(ask()).await?.map_err(RetryError::GaveUp) };
        retry(Patience::SERVICE, deadline, attempt, |_, _| {}).await
    }

    /// The record that has this id, if there is one.
    ///
    /// # Errors
    /// As for [`Client::look_up`].
    pub async fn look_up_id(
        &self,
        id: &SourceId,
        deadline: &Deadline,
    ) -> Result<Page, RetryError<MandiantError>> {
        let url = format!("{}/{}?{}", self.feed(), percent_encoded(&id.0), super::reader::INCLUDE);
        let ask = || async {
            let answer = self.ask(&url, None).await?;
            match answer.status {
                StatusCode::OK if answer.body.trim_ascii() == b"null" => Ok(Page::default()),
                // It is a record alone.
                StatusCode::OK => {
                    let list = [&b"{\"indicators\":["[..], &answer.body, b"]}"].concat();
                    Ok(parse(&list)?.page)
                }
                StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Ok(Page::default()),
                _ => Err(self.unexpected(&answer)),
            }
        };
        let attempt = || async { deadline.within(ask()).await?.map_err(RetryError::GaveUp) };
        retry(Patience::SERVICE, deadline, attempt, |_, _| {}).await
    }
}
