//! The HTTP server: webhooks in, the admin API, health and metrics.
//!
//! ```text
//! request ─▶ shell: ids, access log, panics, problem documents, headers
//!              ├─▶ webhook: limit, size, signature, payload ─▶ stage `accept` ─▶ 202
//!              ├─▶ health, scrape: the store and cached probes
//!              └─▶ api: token or key ─▶ the store, or a stage where GitHub or OneDev must be asked
//! ```
//!
//! Handlers decide nothing about mirrors: they check, ask the store or a stage, and answer.

mod api;
mod auth;
mod body;
mod client_address;
mod docs;
mod health;
mod limits;
mod openapi;
mod polish;
mod probes;
mod problem;
mod refusals;
mod request_id;
mod scopes;
mod scrape;
mod server;
mod shared;
mod shell;
mod upkeep;
mod verified;
mod webhook;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::config::Config;
use crate::orchestrator::Stages;
use crate::store::Store;
use crate::telemetry::metrics::Metrics;

pub use openapi::document;
pub use server::{HttpError, start};

/// What the server works with.
pub struct Tools {
    /// State.
    pub store: Store,
    /// Who is asked when a delivery is to be taken, or GitHub or OneDev has the answer.
    pub stages: Stages,
    /// Limits of requests, the webhook's secret, the admin token. The address to listen on is [`start`]'s.
    pub config: Config,
    /// What is counted, and what `/metrics` shows.
    pub metrics: Metrics,
    /// What `/readyz` shows besides the database.
    pub components: Vec<Component>,
}

/// Something starkeep needs that may be down while webhooks are still taken.
#[derive(Clone)]
pub struct Component {
    /// `github`, `onedev`.
    pub name: &'static str,
    /// Asks how it is. Bounded and cached by the caller, so it may take its time.
    pub probe: Arc<dyn Fn() -> BoxFuture<'static, ComponentState> + Send + Sync>,
}

impl Component {
    /// A component of this name, asked by this probe.
    pub fn new(
        name: &'static str,
        probe: impl Fn() -> BoxFuture<'static, ComponentState> + Send + Sync + 'static,
    ) -> Self {
        Self { name, probe: Arc::new(probe) }
    }
}

/// How a component is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ComponentState {
    /// It answers and lets starkeep work.
    Ok,
    /// It does not; says why, free of secrets: anybody may read it.
    Degraded(String),
}
