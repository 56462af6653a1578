//! starkeep: star a repository on GitHub and it is kept, whole and for good, on your own OneDev server.
//!
//! The way of one star, from left to right; modules stand below in the order of their layers.
//!
//! ```text
//! GitHub ──webhook──▶ accept ─┐                                   ┌─▶ OneDev (REST)
//! admin API, command line ────┴▶ jobs (database) ▶ orchestrator ▶ describe ▶ ensure ▶ transfer ▶ record
//!                                  ▲  the row is the work        │        │         │        │
//!                                  └───────── outcome ◀──────────┴────────┴─────────┴────────┘
//! ```

pub mod app;
#[cfg(test)]
mod canned;
pub mod cli;
pub mod config;
pub mod domain;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod git;
pub mod github;
pub mod http;
pub mod notify;
pub mod onedev;
pub mod orchestrator;
mod outbound;
pub mod secret_stores;
pub mod simulator;
pub mod stages;
pub mod store;
pub mod telemetry;
pub mod webhook;
