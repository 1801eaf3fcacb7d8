//! What everything of Microsoft's is reached with: identities, secrets, paced calls, the SDK's transport.

pub mod api;
pub mod host_queue;
pub mod identity;
pub mod key_vault;
pub mod managed_identity;
pub mod sas;
pub mod sdk;
pub mod secrets;
pub mod upload_identity;
