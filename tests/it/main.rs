//! One integration binary: whole-app scenarios in process on the paused clock; real sockets, real Azurite and the
//! real executable where that is the point.

#![allow(clippy::disallowed_methods, reason = "tests may ask the machine for its time and its environment")]

mod adoption;
mod attribution;
mod audit;
mod azurite;
mod backlog;
mod bill;
mod blame;
mod check;
mod continuation;
mod contract;
mod defects;
mod defender;
mod defender_api;
mod delivery;
mod dependencies;
mod digests;
mod documents;
mod domain;
mod exclusions;
mod explain;
mod faults;
mod flood;
mod fuzz;
mod gti;
mod harness;
mod inventory;
mod life;
mod lifecycle;
mod liveness;
mod model;
mod ownership;
mod portable;
mod process;
mod protocol;
mod ranking;
mod requests;
mod retraction;
mod safety;
mod settings;
mod simulation;
mod small_world;
mod source;
mod state;
mod status_page;
mod stock_rules;
mod stored;
mod structure;
mod tidy;
mod values;
mod wire;
mod written;
