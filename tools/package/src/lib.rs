//! The package that a function app is deployed from: what goes in, how it is written, what it is rejected for.
//!
//! The same input gives the same bytes, so that anybody can build a release again and compare.

pub mod archive;
pub mod contents;
pub mod linkage;

/// The executable's name in the package: `defaultExecutablePath` of host.json.
pub const EXECUTABLE: &str = "mati-sync";
