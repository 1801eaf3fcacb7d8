//! A window of the feed, page by page.

use std::{fmt, sync::Arc, time::Duration};

use axum::http::{HeaderMap, header};
use chrono::{DateTime, Utc};
use tracing::warn;

use super::{
    client::{Client, Query},
    error::MandiantError,
    page::{Fields, Parsed, parse},
};
use crate::{
    clock::{Deadline, OutOfTime},
    domain::{page::Page, window::Window},
    http::{
        error::HttpError,
        retry::{Patience, RetryError, Transient, retry},
        text::percent_encoded,
    },
};

/// The most records the API gives at once.
const PAGE: usize = 1000;
/// What must be asked for, on every page: the cursor keeps the filters and not these.
pub(super) const INCLUDE: &str =
    "include_misp=false&include_threat_rating=true&include_category=true&include_campaigns=true";
/// A cursor that ran out, or whose page was lost, is met by starting the window again; not for ever.
const RESTARTS: u32 = 3;

enum Position {
    Start,
    Next { cursor: String, first_id: Option<String> },
    End,
}

/// Reads one window; every page is whole or an error.
pub struct Reader {
    client: Arc<Client>,
    window: Window,
    /// Leave out at the server what the settings do not admit.
    selective: bool,
    position: Position,
    /// Of the first page with records.
    fields: Option<Fields>,
    /// Of the page read last.
    first_id: Option<String>,
    restarts: u32,
    asked_at: Option<DateTime<Utc>>,
}

impl Reader {
    /// With `selective`, the server leaves out what the settings do not admit; else drops are seen too.
    pub fn new(client: Arc<Client>, window: Window, selective: bool) -> Self {
        Self {
            client,
            window,
            selective,
            position: Position::Start,
            fields: None,
            first_id: None,
            restarts: 0,
            asked_at: None,
        }
    }

    /// When the window was first asked for, by Mandiant's clock, if it says.
    pub fn asked_at(&self) -> Option<DateTime<Utc>> {
        self.asked_at
    }

    /// The next page; `None` after the last one. A cursor that ran out, or whose page was lost on the way, starts
    /// the window again: what was read before is then read twice.
    ///
    /// # Errors
    /// A page that could not be obtained within the patience for a service, or before the deadline.
    pub async fn next_page(
        &mut self,
        deadline: &Deadline,
    ) -> Result<Option<Page>, RetryError<MandiantError>> {
        loop {
            let parameters = match &self.position {
                Position::End => return Ok(None),
                Position::Start => self.first_parameters(),
                Position::Next { cursor, .. } => format!("next={}&{INCLUDE}", percent_encoded(cursor)),
            };
            let answered = match self.fetch(&parameters, deadline).await {
                Ok(answered) => answered,
                Err(RetryError::GaveUp(error)) if self.may_start_again(&error) => {
                    self.start_again(error, deadline).await?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let (page, fields) = self.take(answered).map_err(RetryError::GaveUp)?;
            if !self.lacks_fields(page.records, fields) {
                return Ok(Some(page));
            }
            return self.ask_for_fields(&parameters, deadline).await.map(Some);
        }
    }

    /// Whether the window was started again as often as that may help: a shorter one, of fewer pages, may do.
    pub fn wants_a_shorter_window(&self) -> bool {
        self.is_under_way() && self.restarts >= RESTARTS
    }

    fn may_start_again(&self, error: &MandiantError) -> bool {
        let is_rejection = matches!(error, MandiantError::Answer { status: 400..=499, .. });
        self.is_under_way() && self.restarts < RESTARTS && (is_rejection || error.is_transient())
    }

    /// Goes back to the start of the window, after a wait that grows.
    async fn start_again(
        &mut self,
        error: MandiantError,
        deadline: &Deadline,
    ) -> Result<(), RetryError<MandiantError>> {
        let wait =
            Duration::from_secs(1 << self.restarts.min(6)).max(error.retry_after().unwrap_or_default());
        self.restarts += 1;
        warn!(
            delay_ms = wait.as_millis(),
            "{error}; the window is read again from its start in {} s",
            wait.as_secs()
        );
        let out_of_time = |_| OutOfTime { last_error: Some(error.to_string()) };
        deadline.sleep(wait).await.map_err(out_of_time)?;
        self.position = Position::Start;
        Ok(())
    }

    /// The page again, with everything that the first request of the window asked for.
    async fn ask_for_fields(
        &mut self,
        parameters: &str,
        deadline: &Deadline,
    ) -> Result<Page, RetryError<MandiantError>> {
        warn!(
            "a later page of Mandiant's lacks the fields asked for; it is asked for again with all parameters"
        );
        let parameters = format!("{parameters}&{}", self.filters());
        let first_id = self.first_id.take();
        let answered = self.fetch(&parameters, deadline).await?;
        // It is the same page by intent, which must not look like a cursor that stands still.
        self.position = Position::Start;
        let (page, fields) = self.take(answered).map_err(RetryError::GaveUp)?;
        // A cursor that moved on gave the page after, and this one would be lost.
        if self.lacks_fields(page.records, fields) || self.first_id != first_id {
            return Err(RetryError::GaveUp(MandiantError::FieldsLost));
        }
        Ok(page)
    }

    /// A single record may be unrated, but the flags survive together or not at all.
    fn lacks_fields(&mut self, records: u64, fields: Fields) -> bool {
        if records == 0 {
            return false;
        }
        let first = *self.fields.get_or_insert(fields);
        !first.none() && fields.none()
    }

    async fn fetch(
        &self,
        parameters: &str,
        deadline: &Deadline,
    ) -> Result<Answered, RetryError<MandiantError>> {
        let ask = || async {
            let answer = self.client.get(parameters).await?;
            match answer.status.as_u16() {
                200 => Answered::read(&answer.headers, &answer.body),
                204 => Answered::read(&answer.headers, &[]),
                _ => Err(self.client.unexpected(&answer)),
            }
        };
        let attempt = || async {
            deadline.within(ask()).await?.map_err(|error| {
                let may_repeat = !self.is_under_way() || was_not_seen(&error);
                RetryError::GaveUp(Try { error, may_repeat })
            })
        };
        deadline.check()?;
        let fetched = retry(Patience::SERVICE, deadline, attempt, |failed, wait| {
            let error = &failed.error;
            warn!(delay_ms = wait.as_millis(), "{error}; asking again in {:.1} s", wait.as_secs_f64());
        });
        fetched.await.map_err(|failed| failed.map(|failed| failed.error))
    }

    /// Takes a page that was answered, and moves on.
    fn take(&mut self, answered: Answered) -> Result<(Page, Fields), MandiantError> {
        self.asked_at = self.asked_at.or(answered.at);
        let Parsed { page, fields, first_id, cursor } = answered.parsed;
        self.first_id.clone_from(&first_id);
        self.position = match cursor {
            // A page without records is the end, whatever cursor it carries.
            Some(cursor) if page.records > 0 => {
                if let Position::Next { cursor: before, first_id: first_before } = &self.position
                    && *before == cursor
                    && *first_before == first_id
                {
                    return Err(MandiantError::Loop);
                }
                Position::Next { cursor, first_id }
            }
            _ => Position::End,
        };
        Ok((page, fields))
    }

    fn is_under_way(&self) -> bool {
        matches!(self.position, Position::Next { .. })
    }

    fn first_parameters(&self) -> String {
        format!("{}&{INCLUDE}", self.filters())
    }

    /// Never `gte_threatscore`: it may hide unrated records.
    fn filters(&self) -> String {
        let Query { minimum_confidence, exclude_osint } = self.client.query;
        let minimum = if self.selective { minimum_confidence } else { 0 };
        let osint = if self.selective && exclude_osint { "&exclude_osint=true" } else { "" };
        format!(
            "start_epoch={}&end_epoch={}&gte_mscore={minimum}{osint}&sort_by=last_updated:asc&limit={PAGE}",
            self.window.from.timestamp(),
            self.window.to.timestamp(),
        )
    }
}

/// A page that did not come, and whether its request may be repeated.
///
/// The cursor stands for a scroll in the server's search engine, and such a scroll moves on with every request: if
/// the server saw the first one and its answer was lost, the second one gets the page after, and a page would be
/// lost in silence.
struct Try {
    error: MandiantError,
    may_repeat: bool,
}

impl fmt::Display for Try {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Transient for Try {
    fn is_transient(&self) -> bool {
        self.may_repeat && self.error.is_transient()
    }

    fn retry_after(&self) -> Option<Duration> {
        self.error.retry_after()
    }
}

/// Whether a request certainly did not reach the search engine.
fn was_not_seen(error: &MandiantError) -> bool {
    matches!(
        error,
        MandiantError::Http(HttpError::Connect { .. })
            | MandiantError::Answer { status: 429, .. }
            | MandiantError::Secrets(_)
    )
}

/// A page, and when it was answered.
struct Answered {
    parsed: Parsed,
    at: Option<DateTime<Utc>>,
}

impl Answered {
    fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, MandiantError> {
        let date = headers.get(header::DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        Ok(Self { parsed: parse(body)?, at: date.map(|date| date.to_utc()) })
    }
}
