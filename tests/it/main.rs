//! One integration binary: whole-app scenarios in process on the paused clock; real sockets, real Azurite and the
//! real executable where that is the point.

mod azurite;
mod delivery;
mod harness;
mod life;
mod protocol;
mod requests;
mod settings;
mod source;
mod state;
