//! Microsoft Sentinel as a destination: the upload API for STIX objects, and what a workspace already holds.

mod bounds;
mod classify;
pub mod client;
pub mod convert;
pub mod inventory;
pub mod pattern;
mod probe;
mod resource;
pub mod wire;
