//! Where indicators come from.

pub mod mandiant;
