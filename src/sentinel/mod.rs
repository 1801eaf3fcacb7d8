//! Microsoft Sentinel as a destination: the upload API for STIX objects.

mod classify;
pub mod client;
pub mod convert;
pub mod wire;
