//! What every client shares: how a request travels, when it is made again, and how fast.

mod coding;
pub mod error;
pub mod limiter;
pub mod probe;
pub mod retry;
pub mod text;
pub mod traffic;
pub mod transport;
pub mod unexpected;
