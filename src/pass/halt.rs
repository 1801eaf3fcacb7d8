//! Why a lane cannot go on, and what that makes of the pass.

use std::any::Any;

use crate::{
    clock::OutOfTime,
    domain::outcome::{End, UploadError},
    http::retry::Failed,
    source::mandiant::error::SourceError,
    state::error::StateError,
};

/// Why a lane cannot go on.
#[derive(Debug)]
pub enum Halt {
    OutOfTime {
        /// What the last try met, if it failed.
        after: Option<String>,
    },
    /// The pass may begin nothing new, for this reason; what is left follows with the next one.
    Interrupted(String),
    /// Somebody else took over: write nothing more.
    Fenced(String),
    Stalled(String),
    /// The later pages of a window did not come, however often it was started again.
    PagesLost(String),
    /// Everything else is done; retractions wait for confirmation.
    Withheld(String),
    Failed(String),
}

impl From<OutOfTime> for Halt {
    fn from(OutOfTime: OutOfTime) -> Self {
        Self::OutOfTime { after: None }
    }
}

impl From<Failed<SourceError>> for Halt {
    fn from(failed: Failed<SourceError>) -> Self {
        match failed {
            Failed::OutOfTime(SourceError::OutOfTime) | Failed::For(SourceError::OutOfTime) => {
                Self::OutOfTime { after: None }
            }
            Failed::OutOfTime(error) => Self::OutOfTime { after: Some(error.to_string()) },
            Failed::For(error) => Self::Stalled(error.to_string()),
        }
    }
}

impl From<UploadError> for Halt {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::OutOfTime { after } => Self::OutOfTime { after },
            UploadError::Refused(_) | UploadError::Stalled(_) => Self::Stalled(error.to_string()),
        }
    }
}

impl From<StateError> for Halt {
    fn from(error: StateError) -> Self {
        let message = error.to_string();
        match end_of(&error) {
            End::Paused => Self::Interrupted(message),
            End::Fenced => Self::Fenced(message),
            End::Stalled => Self::Stalled(message),
            _ => Self::Failed(message),
        }
    }
}

impl Halt {
    /// How the lane ends, and in which words.
    pub fn end(self) -> (End, String) {
        match self {
            Self::OutOfTime { after } => {
                let mut message =
                    "out of time, or told to stop; what is left follows with the next pass".to_owned();
                if let Some(reason) = after {
                    message.push_str(&format!(". The last that was heard: {reason}"));
                }
                (End::Paused, message)
            }
            Self::Interrupted(message) => (End::Paused, message),
            Self::Fenced(message) => (End::Fenced, message),
            Self::Stalled(message) | Self::PagesLost(message) | Self::Withheld(message) => {
                (End::Stalled, message)
            }
            Self::Failed(message) => (End::Failed, message),
        }
    }
}

/// How a pass ends that meets this error.
pub fn end_of(error: &StateError) -> End {
    match error {
        StateError::Conflict { .. } | StateError::LeaseLost => End::Fenced,
        StateError::LeaseLapsed => End::Paused,
        StateError::Unavailable(_) | StateError::Refused(_) => End::Stalled,
        StateError::DamagedSegment { .. } | StateError::Damaged { .. } | StateError::Newer { .. } => {
            End::Failed
        }
    }
}

/// A defect of ours in the words it left.
pub fn described(defect: &(dyn Any + Send)) -> String {
    let words =
        defect.downcast_ref::<String>().map(String::as_str).or(defect.downcast_ref::<&str>().copied());
    format!(
        "mati-sync met a defect, which its maintainers should hear of: {}",
        words.unwrap_or("without words")
    )
}
