//! A connection to try, for `check`.

use futures::future::BoxFuture;

use super::retry::RetryError;
use crate::domain::problem::Problem;

/// One connection to try, without changing anything that counts.
pub struct Probe<'a> {
    /// What is checked.
    pub name: String,
    /// What is tried, as a sentence in the past.
    pub tried: String,
    /// What it showed, or the problem.
    pub attempt: BoxFuture<'a, Result<String, RetryError<Problem>>>,
}
