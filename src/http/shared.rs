//! What all handlers share, on all threads.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::auth::Door;
use super::body::Room;
use super::connections::{Connections, Patience};
use super::followers::Followers;
use super::jwt::Issuer;
use super::limits::{Failures, Gate, webhook_gate};
use super::probes::Probes;
use super::refusals::Refusals;
use super::scrape::Gauges;
use super::session::Cookies;
use super::{Secrets, Tools};
use crate::config::Config;
use crate::domain::bounds::Bounds;
use crate::orchestrator::Stages;
use crate::store::Store;
use crate::telemetry::metrics::Metrics;

/// GitHub gives up after 10 s. Who is told 503 may find that the delivery was taken after all: it is a
/// duplicate then.
const WEBHOOK_LIMIT: Duration = Duration::from_secs(9);

/// Made once, in [`super::start`].
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) stages: Stages,
    pub(super) metrics: Metrics,
    pub(super) secrets: watch::Receiver<Secrets>,
    pub(super) max_webhook_bytes: u64,
    pub(super) trusted_proxies: Vec<IpAddr>,
    pub(super) webhook_gate: Gate,
    /// How long a delivery may take once its body is here.
    pub(super) webhook_limit: Duration,
    pub(super) room: Room,
    pub(super) door: Door,
    /// Where people see repositories at GitHub.
    pub(super) github_web: String,
    /// Those of sessions.
    pub(super) cookies: Cookies,
    /// Refused calls of the admin API.
    pub(super) refusals: Refusals,
    pub(super) probes: Probes,
    pub(super) gauges: Gauges,
    /// `sync.metadata`: catalogs are kept.
    pub(super) metadata: bool,
    /// What a batch must fit into.
    pub(super) bounds: Bounds,
    /// How slow a client may be.
    pub(super) patience: Patience,
    /// Those that are open.
    pub(super) connections: Connections,
    /// Those who follow the events.
    pub(super) followers: Followers,
    /// `server.request_timeout`.
    pub(super) request_timeout: Duration,
    /// `server.cors_origins`.
    pub(super) cors_origins: Vec<String>,
    /// `stars.users`: whose stars are looked at; nobody's where that is left to webhooks.
    pub(super) watched: Vec<String>,
}

impl Shared {
    pub(super) fn new(tools: Tools) -> Self {
        let Tools { store, stages, config, secrets, metrics, components, letting_go } = tools;
        let (bounds, github_web) = (config.bounds(), config.github.web_url());
        let Config { server, stars, sync, admin, .. } = config;
        let mut door = Door::new(secrets.clone(), Failures::new(Instant::now));
        door.issuer = admin.jwt.map(Issuer::new);
        Self {
            door,
            cookies: Cookies::of(server.public_url.as_ref()),
            refusals: Refusals::default(),
            probes: Probes::new(store.clone(), components),
            gauges: Gauges::default(),
            metadata: sync.metadata,
            bounds,
            github_web,
            watched: stars.poll_interval.map_or_else(Vec::new, |_| stars.users),
            webhook_gate: webhook_gate(server.webhook_rate_per_minute),
            webhook_limit: WEBHOOK_LIMIT,
            room: Room::default(),
            patience: Patience::default(),
            connections: Connections::default(),
            followers: Followers::new(letting_go),
            request_timeout: server.request_timeout,
            cors_origins: server.cors_origins,
            max_webhook_bytes: server.max_webhook_bytes,
            trusted_proxies: server.trusted_proxies,
            store,
            stages,
            metrics,
            secrets,
        }
    }
}
