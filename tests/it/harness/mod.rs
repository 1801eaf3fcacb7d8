//! What the tests share.

pub mod azurite;
pub mod node;
pub mod stix;
pub mod vault;
pub mod world;
