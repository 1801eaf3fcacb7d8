//! Defects planted on purpose, so that the simulation can show that it would find them.
//!
//! Only the feature `mutants`, which nothing but the tests turns on, can make one of them live; without it
//! [`is_live`] is a constant and the branches behind it vanish.

/// A defect of the kinds that programs of this sort have been seen with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The checkpoint moves although the window's uploads failed.
    CheckpointBeforeAcknowledgement,
    /// Records count as held before they are uploaded.
    ManifestBeforeUpload,
    /// A page's cursor is kept and used by the next pass.
    CursorPersisted,
    /// Passes do not wait for one another.
    LeaseIgnored,
    /// Passes do not wait for one another, and the last to write wins.
    SwapWithoutCompare,
    /// A 200 is taken for an acknowledgement of every record.
    PartialErrorsIgnored,
    /// Requests are made again for ever.
    RetryWithoutBudget,
    /// Requests go as fast as they can.
    LimiterIgnored,
    /// A pass starts exactly where the last one ended.
    OverlapDropped,
    /// A page that cannot be had ends the window.
    ErrorEndsWindow,
    /// What is held is never sent again, whatever its content.
    ChangesIgnored,
    /// Any continuation message is taken up.
    StaleContinuationAccepted,
    /// A window starts one second behind the end of the one before.
    TiesSkipped,
    /// Refused records are not set aside.
    RefusalsForgotten,
    /// What no time was left for counts as done.
    LeftoversSettled,
    /// What is no longer wanted stays.
    RetractionsIgnored,
    /// More is sent than there is room for.
    LimitIgnored,
    /// Whoever gives way stays all the same.
    DisplacedStay,
}

impl Mutant {
    pub const ALL: [Self; 18] = [
        Self::CheckpointBeforeAcknowledgement,
        Self::ManifestBeforeUpload,
        Self::CursorPersisted,
        Self::LeaseIgnored,
        Self::SwapWithoutCompare,
        Self::PartialErrorsIgnored,
        Self::RetryWithoutBudget,
        Self::LimiterIgnored,
        Self::OverlapDropped,
        Self::ErrorEndsWindow,
        Self::ChangesIgnored,
        Self::StaleContinuationAccepted,
        Self::TiesSkipped,
        Self::RefusalsForgotten,
        Self::LeftoversSettled,
        Self::RetractionsIgnored,
        Self::LimitIgnored,
        Self::DisplacedStay,
    ];
}

#[cfg(feature = "mutants")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
    /// What [`Mutant::CursorPersisted`] keeps: the start of a window and the cursor of its next page.
    pub static CURSOR: std::cell::RefCell<Option<(i64, String)>> = const { std::cell::RefCell::new(None) };
}

/// Plants a defect for whatever runs on this thread, or removes it.
#[cfg(feature = "mutants")]
pub fn plant(mutant: Option<Mutant>) {
    PLANTED.set(mutant);
    CURSOR.take();
}

/// Whether a defect is planted.
#[cfg(feature = "mutants")]
pub fn is_live(mutant: Mutant) -> bool {
    PLANTED.get() == Some(mutant)
}

/// Whether a defect is planted: never.
#[cfg(not(feature = "mutants"))]
pub const fn is_live(_: Mutant) -> bool {
    false
}
