//! What outlives a pass, in a blob container or a local directory.
//!
//! # Consistency
//! `lanes/<lane>/progress.json` is the commit point. It lists the manifest's segments; they are immutable and
//! written first, and what it does not list does not exist. It is replaced only by compare-and-swap. The lease
//! saves work, the compare-and-swap keeps the truth.
//!
//! # Retries
//! Every operation is tried again for some seconds. A conditional write whose reply was lost is recognised by
//! reading it back: no two contents ever written to one name are the same.

pub mod blob;
pub mod directory;
pub mod error;
pub mod home;
pub mod lane;
pub mod lease;
pub mod sas;
pub mod store;
