//! Keeps Microsoft Sentinel and Microsoft Defender for Endpoint supplied with indicators of compromise from
//! Mandiant Advantage Threat Intelligence.
//!
//! The program is a custom handler of the Azure Functions host. One pass, from an invocation to its answer:
//!
//! ```text
//! invocation → work → lease → for each lane, side by side:
//!   progress → window → page → admit → plan against the manifest → batch
//!   → upload (rate limit, retry, deadline) → outcomes → commit → next page, next window, or pause
//! → report → answer (+ one message to go on)
//! ```
//!
//! Read on in [`pass`] for that line, in [`domain`] for the decisions on it, in [`state`] for what outlives it.

pub mod app;
pub mod azure;
pub mod check;
pub mod cli;
pub mod clock;
pub mod destination;
pub mod domain;
pub mod host;
pub mod http;
pub mod pass;
pub mod process;
pub mod program;
pub mod settings;
pub mod signals;
pub mod source;
pub mod state;
pub mod telemetry;
