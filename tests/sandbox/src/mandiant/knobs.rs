//! How the stand-in behaves where the service's behaviour varies, or was never published.

use std::{collections::BTreeSet, ops::RangeInclusive, sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode},
};

/// How an answer says that there is no more. All of these were seen, or are handled by clients in the field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndOfData {
    /// The last page that has records comes without `next`.
    NoNextOnLastPage,
    /// Every page that has records carries `next`; then comes `{"indicators":[]}`. The only form on record.
    #[default]
    ExtraEmptyPage,
    /// Likewise, ended by `{"indicators":null}`.
    NullIndicators,
    /// Likewise, ended by `{}`.
    MissingIndicators,
    /// Likewise, ended by 204 without a body.
    NoContent204,
    /// The last page that has records comes with `"next":""`.
    EmptyNextString,
    /// The last page that has records comes with `"next":null`.
    NullNext,
}

impl EndOfData {
    pub const ALL: [Self; 7] = [
        Self::NoNextOnLastPage,
        Self::ExtraEmptyPage,
        Self::NullIndicators,
        Self::MissingIndicators,
        Self::NoContent204,
        Self::EmptyNextString,
        Self::NullNext,
    ];

    /// Whether a page without records follows those with records.
    pub(super) fn needs_extra_page(self) -> bool {
        !matches!(self, Self::NoNextOnLastPage | Self::EmptyNextString | Self::NullNext)
    }
}

/// Which `include_*` flags count on the pages after the first. Recorded cursors hold
/// the filters, but not these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LaterFlags {
    /// Those of the first request, whatever the later ones say.
    Kept,
    /// None: later pages come as if no flag had been sent. `misp` is on then.
    Dropped,
    /// Those sent with the request for that page.
    #[default]
    RepeatedRequired,
}

/// What a `limit` above 1000 does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LimitBehaviour {
    /// 400.
    #[default]
    Rejected,
    /// Pages of 1000.
    Clamped,
}

/// What filters do that are sent beside `next`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FiltersBesideNext {
    /// Nothing, the cursor holds them.
    #[default]
    Ignored,
    /// 400.
    Rejected,
    /// The query starts anew at its first page; a client in the field once looped for ever on this.
    Restarted,
}

/// What a cursor does that was used before, as a client does that did not get the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsedCursor {
    /// It gives the same page again.
    #[default]
    SamePage,
    /// It gives the following page, as an Elasticsearch scroll would: who repeats a request loses a page.
    NextPage,
    /// It is answered like a stale one.
    Rejected,
}

/// How many requests are answered within any minute; the others get 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub per_minute: usize,
    /// Whether the 429 says in `Retry-After` when to come again.
    pub retry_after: bool,
}

/// Answers in the place of the service. Its argument is the number of the feed request, counted from 0.
pub type AnswerOverride = Arc<dyn Fn(usize) -> Option<(StatusCode, HeaderMap, Bytes)> + Send + Sync>;

/// The settings of a [`Mandiant`](super::Mandiant); the defaults are the likeliest behaviour.
#[derive(Clone)]
pub struct Knobs {
    /// The accepted pair of credentials; `key` is also the accepted `x-apikey`.
    pub key: String,
    pub secret: String,
    /// The seconds a new token lives. It varies from call to call: 8160 to 38416 were recorded.
    pub token_life: RangeInclusive<u64>,
    /// Status of a request without valid credentials. Clients in the field take 401 and 403 alike.
    pub unauthorized_status: StatusCode,
    pub unauthorized_body: String,
    /// Whether `X-App-Name` has to be sent; without it the answer is 400 then.
    pub require_app_name: bool,
    pub end_of_data: EndOfData,
    /// The same for a query that matches nothing, and a look-up that finds nothing.
    pub empty_window: EndOfData,
    pub later_flags: LaterFlags,
    pub limit_behaviour: LimitBehaviour,
    /// The most records on a page, whatever `limit` asks for: a short page is not the end.
    pub longest_page: usize,
    pub filters_beside_next: FiltersBesideNext,
    pub used_cursor: UsedCursor,
    /// How long a cursor lives after its last use. Without it, the 64 youngest queries can be continued.
    pub cursor_ttl: Option<Duration>,
    /// Status for a cursor the service does not know, or no longer.
    pub stale_cursor_status: StatusCode,
    /// From this page on (the first is 1) the answer's cursor leads to the same page again, for ever.
    pub cursor_loop_from: Option<usize>,
    /// Whether `gte_threatscore` lets records pass that have no threat score.
    pub unrated_pass: bool,
    /// Parameters the service takes no notice of; several are only known from clients.
    pub ignored_parameters: BTreeSet<String>,
    pub quota: Option<Quota>,
    /// How long a page takes.
    pub page_delay: Duration,
    /// Whether answers are compressed for clients that accept it.
    pub gzip: bool,
    pub answer_override: Option<AnswerOverride>,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            key: "sandbox-key".into(),
            secret: "sandbox-secret".into(),
            token_life: 8000..=43200,
            unauthorized_status: StatusCode::UNAUTHORIZED,
            unauthorized_body: r#"{"message":"Unauthorized"}"#.into(),
            require_app_name: false,
            end_of_data: EndOfData::default(),
            empty_window: EndOfData::default(),
            later_flags: LaterFlags::default(),
            limit_behaviour: LimitBehaviour::default(),
            longest_page: usize::MAX,
            filters_beside_next: FiltersBesideNext::default(),
            used_cursor: UsedCursor::default(),
            cursor_ttl: None,
            stale_cursor_status: StatusCode::NOT_FOUND,
            cursor_loop_from: None,
            unrated_pass: false,
            ignored_parameters: BTreeSet::new(),
            quota: None,
            page_delay: Duration::ZERO,
            gzip: false,
            answer_override: None,
        }
    }
}
