//! Microsoft Sentinel as a destination: the upload API for STIX objects, and what a workspace already holds.

pub mod canary;
mod classify;
pub mod client;
pub mod convert;
pub mod inventory;
mod lists;
pub mod pattern;
mod probe;
mod resource;
mod shown;
pub mod stock_rules;
pub mod wire;
