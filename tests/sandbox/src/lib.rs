//! Everything mati-sync talks to, as small stateful models with an HTTP face.
//!
//! Each stand-in is an axum [`Router`](axum::Router) over a model the test can ask afterwards what it
//! received. The same routers are called in process through [`net::Net`] (on tokio's paused clock) or
//! served over real sockets by [`net::serve`]. Nothing here depends on the crate under test.

pub mod blob;
pub mod clock;
pub mod corpus;
pub mod defender;
pub mod entra;
pub mod gti;
pub mod host;
pub mod key_vault;
pub mod mandiant;
pub mod net;
pub mod queue;
pub mod receiver;
pub mod resource_manager;
pub mod running;
pub mod sentinel;
pub mod tls;
pub mod tree;
pub mod world;
