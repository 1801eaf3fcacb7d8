//! What can happen in the small world, and which orders of it are worth trying.

use std::fmt;

/// A record of the feed. Two each are of one value; the file has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Id {
    A1,
    A2,
    B1,
    B2,
    File,
}

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Thing {
    A,
    B,
    File,
}

impl Thing {
    pub const ALL: [Self; 3] = [Self::A, Self::B, Self::File];
}

impl Id {
    pub fn thing(self) -> Thing {
        match self {
            Self::A1 | Self::A2 => Thing::A,
            Self::B1 | Self::B2 => Thing::B,
            Self::File => Thing::File,
        }
    }

    /// The first record of the same value: which of two comes first makes no difference.
    pub fn first(self) -> Self {
        match self {
            Self::A2 => Self::A1,
            Self::B2 => Self::B1,
            other => other,
        }
    }
}

/// How far a pass gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Never,
    /// It is killed when the destinations have stored its first requests and it has not heard of it.
    Killed,
    /// Its time is over after a few seconds.
    Paused,
}

/// What a person asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Lookback,
    RetryRejected,
    ConfirmRetraction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The source lists a record that the settings admit.
    Emit(Id),
    /// Its score falls below what the settings admit.
    Lower(Id),
    /// Its score rises: another content, which the settings admit.
    Raise(Id),
    /// The source lists it no longer.
    Withdraw(Id),
    /// The file's record gains its stronger digests, or loses them.
    Digest,
    /// The destinations reject whatever is sent about value A.
    Refuse,
    Heal,
    /// A pass an hour later.
    Pass(Stop),
    /// A pass when a refresh is due.
    Refresh(Stop),
    Request(Request),
}

impl Event {
    pub fn is_pass(self) -> bool {
        matches!(self, Self::Pass(_) | Self::Refresh(_) | Self::Request(_))
    }

    fn record(self) -> Option<Id> {
        match self {
            Self::Emit(id) | Self::Lower(id) | Self::Raise(id) | Self::Withdraw(id) => Some(id),
            Self::Digest => Some(Id::File),
            _ => None,
        }
    }

    /// Whether trying `self` right after `before` can show anything that a shorter sequence, or another order of the
    /// same events, does not: between two passes, what happens to different things happens in one order only.
    pub fn is_new_after(self, before: Option<Self>) -> bool {
        let Some(before) = before else { return true };
        match (before.record(), self.record()) {
            (Some(first), Some(second)) if first == second => {
                matches!((before, self), (Self::Emit(_), Self::Lower(_) | Self::Digest))
            }
            (Some(first), Some(second)) => first.thing() <= second.thing(),
            // Rejections begin and end before the feed changes.
            (Some(_), None) => self.is_pass(),
            (None, _) => match (before, self) {
                (Self::Refuse | Self::Heal, Self::Refuse | Self::Heal) => false,
                // The first of them has read all there is.
                (Self::Pass(_) | Self::Refresh(_) | Self::Request(_), Self::Pass(_)) => {
                    before.stops() != Stop::Never
                }
                _ => before != self,
            },
        }
    }

    /// How far a pass gets.
    pub fn stops(self) -> Stop {
        match self {
            Self::Pass(stop) | Self::Refresh(stop) => stop,
            _ => Stop::Never,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Emit(id) => write!(f, "emit {id:?}"),
            Self::Lower(id) => write!(f, "lower {id:?}"),
            Self::Raise(id) => write!(f, "raise {id:?}"),
            Self::Withdraw(id) => write!(f, "withdraw {id:?}"),
            Self::Digest => write!(f, "gain or lose a digest"),
            Self::Refuse => write!(f, "reject A"),
            Self::Heal => write!(f, "heal"),
            Self::Pass(Stop::Never) => write!(f, "pass"),
            Self::Pass(stop) => write!(f, "pass ({stop:?})"),
            Self::Refresh(Stop::Never) => write!(f, "refresh"),
            Self::Refresh(stop) => write!(f, "refresh ({stop:?})"),
            Self::Request(request) => write!(f, "request {request:?}"),
        }
    }
}
