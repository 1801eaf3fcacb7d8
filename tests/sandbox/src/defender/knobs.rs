//! What a test may change while the stand-in runs.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use serde_json::Value;

use super::query;
use crate::sentinel::Answer;

/// Looks at one indicator while the model is locked, so it must not ask the model anything.
type Judge = Arc<dyn Fn(&Value) -> Option<String> + Send + Sync>;

/// Looks at the indicators of an import, under the same rule.
type Fate = Arc<dyn Fn(&[Value]) -> bool + Send + Sync>;

/// How the stand-in behaves, as far as it may behave in more than one way.
#[derive(Clone)]
pub struct Knobs {
    /// Names the reason for which one indicator fails; the others of its request are stored.
    pub reject: Option<Judge>,
    /// Names the message with which one indicator makes the whole import a 400.
    pub reject_whole: Option<Judge>,
    /// Whether an import is acknowledged and nothing of it ever shown.
    pub lose: Option<Fate>,
    /// Whether a value the API does not take makes the whole import a 400: both were seen, and neither is
    /// documented.
    pub bad_value_is_bad_request: bool,
    /// Whether `FileMd5` is such a value: by the documentation it is not, by a connector's code it is.
    pub reject_md5: bool,
    /// The most indicators the tenant holds.
    pub capacity: usize,
    /// Requests allowed in any 60 s and in any hour. The documentation counts operations apart, with 30 a minute
    /// for the strictest; here one count is for all.
    pub per_minute: usize,
    pub per_hour: usize,
    /// Whether 429 carries `Retry-After`, as the documentation has it.
    pub retry_after_header: bool,
    /// Whether the application has the permission `Ti.ReadWrite.All`.
    pub permission: bool,
    /// Whether an import's answers come in the reverse order: none is promised.
    pub reverse_answers: bool,
    /// The most indicators on a page of the list.
    pub page: usize,
    /// Where the links to next pages lead (scheme and host); `None`: there are no links.
    pub next_link: Option<String>,
    /// Bodies over this many bytes answer 413; no limit is documented.
    pub max_body: Option<usize>,
    /// Given instead of our own answers, one per request; such a request stores nothing and uses no quota.
    pub script: VecDeque<Answer>,
    /// How long each request takes.
    pub delay: Duration,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            reject: None,
            reject_whole: None,
            lose: None,
            bad_value_is_bad_request: false,
            reject_md5: false,
            capacity: 15_000,
            per_minute: 30,
            per_hour: 1_500,
            retry_after_header: true,
            permission: true,
            reverse_answers: false,
            page: query::MOST_PER_PAGE,
            next_link: None,
            max_body: None,
            script: VecDeque::new(),
            delay: Duration::ZERO,
        }
    }
}
