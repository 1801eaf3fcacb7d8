//! Microsoft Defender for Endpoint as a destination: the indicators API.

mod classify;
pub mod client;
pub mod convert;
mod inventory;
pub mod wire;
