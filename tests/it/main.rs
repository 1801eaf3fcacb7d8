//! The program as a whole, in one binary.

#![allow(clippy::disallowed_methods, reason = "tests may ask the machine for its time and its environment")]

mod contract;
mod tidy;
