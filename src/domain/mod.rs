//! Every decision, as functions from values to values: no I/O, no async, no clock.

pub mod compaction;
pub mod expiry;
pub mod filter;
pub mod fingerprint;
pub mod handles;
pub mod health;
pub mod indicator;
pub mod locality;
pub mod manifest;
pub mod observable;
pub mod outcome;
pub mod plan;
pub mod progress;
pub mod refused;
pub mod report;
pub mod request;
pub mod room;
pub mod schedule;
pub mod segment;
pub mod sorted;
pub mod spelling;
pub mod tally;
pub mod task;
pub mod trivial;
