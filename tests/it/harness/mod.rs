//! What the tests share.

pub mod stix;
pub mod world;
