//! The HTTP server: webhooks in, the admin API, health and metrics.
//!
//! ```text
//! request ─▶ shell: ids, access log, panics, problem documents, headers
//!              ├─▶ webhook: limit, size, signature, payload ─▶ stage `accept` ─▶ 202
//!              ├─▶ health, scrape: the store and cached probes
//!              ├─▶ dashboard, sign_in: a page that makes calls of the api by a session
//!              └─▶ api: token, key or session ─▶ the store, or a stage where GitHub or OneDev must be asked
//! ```
//!
//! Handlers decide nothing about mirrors: they check, ask the store or a stage, and answer.

mod api;
mod auth;
mod body;
mod client_address;
mod connections;
mod cors;
mod dashboard;
mod docs;
mod followers;
mod health;
mod jwks;
mod jwt;
mod limits;
mod openapi;
mod page;
mod polish;
mod probes;
mod problem;
mod refusals;
mod request_id;
mod scopes;
mod scrape;
mod server;
mod session;
mod shared;
mod shell;
mod sign_in;
mod upkeep;
mod verified;
mod webhook;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use secrecy::SecretString;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::config::github::Github;
use crate::orchestrator::Stages;
use crate::store::Store;
use crate::telemetry::metrics::Metrics;

pub use jwks::issuer_keys;
pub use openapi::document;
pub use server::{HttpError, start, start_probes};

/// What the server works with.
pub struct Tools {
    /// State.
    pub store: Store,
    /// Who is asked when a delivery is to be taken, or GitHub or OneDev has the answer.
    pub stages: Stages,
    /// Limits of requests. The address to listen on is [`start`]'s.
    pub config: Config,
    /// The webhook's secret and the admin token, as they are at any time.
    pub secrets: watch::Receiver<Secrets>,
    /// What is counted, and what `/metrics` shows.
    pub metrics: Metrics,
    /// What `/readyz` shows besides the database.
    pub components: Vec<Component>,
    /// Cancelled before the server is stopped: answers without an end are ended.
    pub letting_go: CancellationToken,
}

/// What requests must know.
#[derive(Clone, Default)]
pub struct Secrets {
    /// The webhook's present secret, and the one before while it is being changed.
    pub webhook: Vec<SecretString>,
    /// Bearer token of the admin API.
    pub admin: Option<SecretString>,
}

impl Secrets {
    /// Those of a configuration.
    pub fn of(config: &Config) -> Self {
        let Github { webhook_secret, webhook_secret_old, .. } = &config.github;
        let webhook = webhook_secret.iter().chain(webhook_secret_old).cloned().collect();
        Self { webhook, admin: config.admin.token.clone() }
    }
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
