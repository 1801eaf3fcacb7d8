//! Rejected records: written down with their reasons, and offered again when an operator asks for it.

pub(super) mod log;
pub(super) mod retry;
