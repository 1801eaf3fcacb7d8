//! What the tests share.

pub mod azurite;
pub mod stix;
pub mod vault;
pub mod world;
