//! What the tests share.

pub mod azurite;
