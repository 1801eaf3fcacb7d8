//! What outlives a pass, in a blob container or a local directory.
//!
//! # Consistency
//! `lanes/<lane>/progress.json` is the commit point. It lists the manifest's files, and up to which length each
//! counts; what is to count is written first, behind that length, and what it does not list does not exist. It is
//! replaced only by compare-and-swap, in [`commit`]. The lease saves work, the compare-and-swap keeps the truth.
//!
//! # Retries
//! Every operation is tried again for some seconds. A conditional write whose reply was lost is recognised by
//! reading it back: no two contents ever written to one name are the same. So is an addition to a file, which happens
//! only where the file ends.

pub mod after_pass;
pub mod blob;
pub mod commit;
pub mod directory;
pub mod error;
pub mod files;
pub mod home;
pub mod lease;
pub mod object;
pub mod rejections;
pub mod requests;
pub mod store;
