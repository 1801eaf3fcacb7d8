//! What a test may change while the stand-in runs.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use serde_json::Value;

use super::Answer;

/// Looks at one object while the model is locked, so it must not ask the model anything.
type Judge = Arc<dyn Fn(&Value) -> Option<String> + Send + Sync>;

/// Looks at the objects of a request that would be stored, under the same rule.
type Fate = Arc<dyn Fn(&[Value]) -> bool + Send + Sync>;

/// What a test may change while the stand-in runs.
#[derive(Clone)]
pub struct Knobs {
    /// Names the message with which one object is rejected; the others of its request are stored.
    pub reject: Option<Judge>,
    /// Names the message with which one object makes the whole request a 400.
    pub reject_whole: Option<Judge>,
    /// Whether a request is acknowledged and nothing of it ever stored.
    pub lose: Option<Fate>,
    /// Whether a request none of whose objects is good answers 400 instead of 200: it is not documented.
    pub all_invalid_is_bad_request: bool,
    /// The status that carries `UnauthorizedAccess`: it was seen in the field without its status.
    pub forbidden_status: u16,
    /// Requests allowed in any window of 60 s.
    pub quota: usize,
    /// Whether 429 carries `Retry-After`: the documentation does not promise it.
    pub retry_after_header: bool,
    /// Bodies over this many bytes answer 413; no limit is documented.
    pub max_body: Option<usize>,
    /// Given instead of our own answers, one per request; such a request stores nothing and uses no quota.
    pub script: VecDeque<Answer>,
    /// Whether what is accepted is kept; measurements of a million objects do without.
    pub keep: bool,
    /// How long each request takes.
    pub delay: Duration,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            reject: None,
            reject_whole: None,
            lose: None,
            all_invalid_is_bad_request: false,
            forbidden_status: 403,
            quota: 100,
            retry_after_header: true,
            max_body: None,
            script: VecDeque::new(),
            keep: true,
            delay: Duration::ZERO,
        }
    }
}
