//! A stateful GitHub and a stateful OneDev on loopback, with real git behind both.
//!
//! `starkeep demo` runs the whole service against it, and so do the tests and the benchmarks: the
//! real clients are always the ones under test. Requests come in over HTTP from the adapters
//! (`github`, `onedev`, `git`); state is edited and read by the synchronous control methods.

pub mod git_http;
pub mod git_server;
mod process;
mod server;
#[cfg(test)]
mod testing;

pub use git_server::GitServer;
