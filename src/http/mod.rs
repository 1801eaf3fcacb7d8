//! What every client shares: how a request travels, when it is made again, how fast, and as whom.

pub mod azure;
pub mod error;
pub mod identity;
pub mod limiter;
pub mod retry;
pub mod text;
pub mod traffic;
pub mod transport;
