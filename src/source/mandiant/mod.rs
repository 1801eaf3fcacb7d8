//! The source: Mandiant Advantage Threat Intelligence, API v4.

pub mod access;
pub mod client;
pub mod convert;
pub mod date;
pub mod error;
mod lenient;
pub mod page;
mod probe;
pub mod reader;
mod split;
pub mod wire;
