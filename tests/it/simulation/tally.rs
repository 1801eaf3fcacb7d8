//! What is counted.

use std::{fmt, ops::AddAssign};

/// What happened, over all seeds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub records: u64,
    pub passes: u64,
    pub kills: u64,
    pub faults: u64,
    pub resent: u64,
    /// Requests that were lost, found out and sent again.
    pub healed: u64,
    /// Passes that a watchdog message started.
    pub watchdogs: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.passes += other.passes;
        self.kills += other.kills;
        self.faults += other.faults;
        self.resent += other.resent;
        self.healed += other.healed;
        self.watchdogs += other.watchdogs;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { records, passes, kills, faults, resent, healed, watchdogs } = self;
        write!(
            f,
            "{records} records, {passes} passes, {kills} kills, {faults} faults, {resent} records sent twice, {healed} lost requests healed, {watchdogs} passes for a dead timer, none lost"
        )
    }
}
