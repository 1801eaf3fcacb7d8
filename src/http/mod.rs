//! What every client shares: how a request travels, when it is made again, how fast, and as whom.

pub mod azure;
mod coding;
pub mod error;
pub mod identity;
pub mod limiter;
pub mod platform;
pub mod retry;
pub mod text;
pub mod told;
pub mod traffic;
pub mod transport;
