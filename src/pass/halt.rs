//! Why a lane cannot go on, and what that makes of the pass.

use std::any::Any;

use crate::{
    clock::OutOfTime, destination::ApiError, domain::outcome::End, source::SourceError,
    state::error::StateError,
};

/// Why a lane cannot go on.
#[derive(Debug)]
pub enum Halt {
    OutOfTime(OutOfTime),
    /// The pass may begin nothing new, for this reason; what is left follows with the next one.
    Interrupted(String),
    /// Another instance took over: write nothing more.
    Fenced(String),
    Stalled(String),
    /// The later pages of a window did not come, however often it was started again.
    PagesLost(String),
    /// Everything else is done; retractions wait for confirmation.
    Withheld(String),
    Failed(String),
}

impl From<OutOfTime> for Halt {
    fn from(out_of_time: OutOfTime) -> Self {
        Self::OutOfTime(out_of_time)
    }
}

impl From<SourceError> for Halt {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::OutOfTime(out_of_time) => Self::OutOfTime(out_of_time),
            SourceError::PagesLost(problem) => Self::PagesLost(problem.message),
            SourceError::Stalled(problem) => Self::Stalled(problem.message),
        }
    }
}

impl From<ApiError> for Halt {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::OutOfTime(out_of_time) => Self::OutOfTime(out_of_time),
            ApiError::Rejected(_) | ApiError::Stalled(_) => Self::Stalled(error.to_string()),
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
    /// Whether the lane only pauses, and another pass is to go on with it.
    pub fn is_pause(&self) -> bool {
        matches!(self, Self::OutOfTime(_) | Self::Interrupted(_))
    }

    /// How the lane ends, and in which words.
    pub fn end(self) -> (End, String) {
        match self {
            Self::OutOfTime(OutOfTime { last_error }) => {
                let mut message =
                    "out of time, or told to stop; what is left follows with the next pass".to_owned();
                if let Some(reason) = last_error {
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
        StateError::Unavailable(_) | StateError::Rejected(_) => End::Stalled,
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
        "mati-sync met a defect, please report it to its maintainers: {}",
        words.unwrap_or("without words")
    )
}
