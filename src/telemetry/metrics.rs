//! The Prometheus metrics, one struct, handed to whoever counts.
//!
//! Names are part of the public surface; no label has unbounded values.

use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::outages::Outages;

/// Everything that is counted. Cloning shares the numbers.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Where all of them are registered; `/metrics` renders it.
    pub registry: Registry,
    /// Webhook deliveries by event and outcome.
    pub webhook_deliveries: IntCounterVec,
    /// Time from a webhook's arrival to its answer.
    pub webhook_duration: Histogram,
    /// Jobs by kind and state, refreshed when scraped.
    pub jobs: IntGaugeVec,
    /// Age of the oldest queued job that is due, by kind, refreshed when scraped.
    pub job_oldest: prometheus::GaugeVec,
    /// Syncs by outcome and engine.
    pub syncs: IntCounterVec,
    /// Time of a sync by size class.
    pub sync_duration: HistogramVec,
    /// Bytes by direction: `in` from GitHub, `out` to OneDev.
    pub transferred_bytes: IntCounterVec,
    /// Mirrors by status, refreshed when scraped.
    pub mirrors: IntGaugeVec,
    /// Sources of the configuration by state, refreshed when scraped.
    pub sources: IntGaugeVec,
    /// Age of the oldest proof of a mirror that should be level.
    pub oldest_verification: Gauge,
    /// Kept refs made.
    pub kept_refs: IntCounter,
    /// Restore drills by outcome.
    pub drills: IntCounterVec,
    /// Messages to people, by channel and outcome.
    pub notices: IntCounterVec,
    /// What GitHub last said is left, by resource.
    pub github_rate_limit_remaining: IntGaugeVec,
    /// Requests to GitHub that waited, by the reason.
    pub github_held_requests: IntCounterVec,
    /// Tokens that GitHub refuses and that are set aside.
    pub github_credentials_set_aside: IntGauge,
    /// How often the secrets were looked up again, by outcome.
    pub secret_refreshes: IntCounterVec,
    /// Sweeps over upstreams, by how they ended.
    pub sweeps: IntCounterVec,
    /// Mirrors that sweeps looked at, by what they found.
    pub swept_mirrors: IntCounterVec,
    /// Looks at users' stars, by what they found.
    pub star_polls: IntCounterVec,
    /// Age of the oldest good look at a watched user's stars, refreshed when scraped.
    pub star_poll_age: Gauge,
    /// Requests that starkeep made, by service (`github`, `onedev`) and status code.
    pub upstream_requests: IntCounterVec,
    /// Servers that do not answer at present, 0 or 1 for each.
    pub server_away: IntGaugeVec,
    /// Who may ask which server at present; `server_away` shows it.
    pub outages: Outages,
    /// Restarts of actors by actor.
    pub actor_restarts: IntCounterVec,
    /// Messages that wait for an actor.
    pub mailbox_depth: IntGaugeVec,
}

impl Metrics {
    /// Registers every metric in a registry of its own.
    ///
    /// # Errors
    /// Only if two metrics had one name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let it = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(it.clone()))?;
            Ok(it)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| -> Result<IntGaugeVec, prometheus::Error> {
            let it = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(it.clone()))?;
            Ok(it)
        };
        let build = gauge("starkeep_build_info", "Always 1; the version is a label.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let plain = |name: &str, help: &str| -> Result<Gauge, prometheus::Error> {
            let it = Gauge::new(name, help)?;
            registry.register(Box::new(it.clone()))?;
            Ok(it)
        };
        let server_away = server_away(&registry)?;
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(Self {
            webhook_deliveries: counter(
                "starkeep_webhook_deliveries_total",
                "Webhook deliveries.",
                &["event", "outcome"],
            )?,
            webhook_duration: webhook_duration(&registry)?,
            jobs: gauge("starkeep_jobs", "Jobs by kind and state.", &["kind", "state"])?,
            job_oldest: job_oldest(&registry)?,
            syncs: counter("starkeep_syncs_total", "Syncs by outcome.", &["outcome", "engine"])?,
            sync_duration: sync_duration(&registry)?,
            transferred_bytes: counter(
                "starkeep_transferred_bytes_total",
                "Bytes of packs: in from GitHub, out to OneDev.",
                &["direction"],
            )?,
            mirrors: gauge("starkeep_mirrors", "Mirrors by status.", &["status"])?,
            sources: gauge("starkeep_sources", "Sources by state: new, read, failing.", &["state"])?,
            oldest_verification: oldest_verification(&registry)?,
            kept_refs: kept_refs(&registry)?,
            drills: counter("starkeep_drills_total", "Restore drills.", &["outcome"])?,
            notices: counter("starkeep_notices_total", "Messages to people.", &["channel", "outcome"])?,
            github_rate_limit_remaining: gauge(
                "starkeep_github_rate_limit_remaining",
                "Requests left as GitHub last said.",
                &["resource"],
            )?,
            github_held_requests: counter(
                "starkeep_github_held_requests_total",
                "Requests to GitHub that had to wait: for a pause, for their turn, or for the next hour.",
                &["reason"],
            )?,
            github_credentials_set_aside: set_aside(&registry)?,
            secret_refreshes: counter(
                "starkeep_secret_refreshes_total",
                "How often the secrets were looked up again.",
                &["outcome"],
            )?,
            sweeps: counter("starkeep_sweeps_total", "Sweeps over upstreams, by outcome.", &["outcome"])?,
            swept_mirrors: counter(
                "starkeep_swept_mirrors_total",
                "Mirrors that sweeps looked at, by what they found.",
                &["finding"],
            )?,
            star_polls: counter("starkeep_star_polls_total", "Looks at users' stars, by outcome.", &["outcome"])?,
            star_poll_age: plain(
                "starkeep_star_poll_age_seconds",
                "Age of the oldest good look at a watched user's stars.",
            )?,
            upstream_requests: counter("starkeep_upstream_requests_total", "Requests made.", &["service", "code"])?,
            outages: Outages::new(server_away.clone()),
            server_away,
            actor_restarts: counter("starkeep_actor_restarts_total", "Actors replaced after a panic.", &["actor"])?,
            mailbox_depth: gauge("starkeep_mailbox_depth", "Messages that wait for an actor.", &["actor"])?,
            registry,
        })
    }
}

fn oldest_verification(registry: &Registry) -> Result<Gauge, prometheus::Error> {
    let help = "Age of the oldest proof of a mirror that should be level.";
    let it = Gauge::new("starkeep_oldest_verification_seconds", help)?;
    registry.register(Box::new(it.clone()))?;
    Ok(it)
}

fn job_oldest(registry: &Registry) -> Result<prometheus::GaugeVec, prometheus::Error> {
    let options = Opts::new("starkeep_job_oldest_seconds", "Age of the oldest queued job that is due.");
    let it = prometheus::GaugeVec::new(options, &["kind"])?;
    registry.register(Box::new(it.clone()))?;
    Ok(it)
}

fn kept_refs(registry: &Registry) -> Result<IntCounter, prometheus::Error> {
    let it = IntCounter::new("starkeep_kept_refs_total", "Kept refs made.")?;
    registry.register(Box::new(it.clone()))?;
    Ok(it)
}

fn set_aside(registry: &Registry) -> Result<IntGauge, prometheus::Error> {
    let it = IntGauge::new("starkeep_github_credentials_set_aside", "Tokens that GitHub refuses at present.")?;
    registry.register(Box::new(it.clone()))?;
    Ok(it)
}

fn server_away(registry: &Registry) -> Result<IntGaugeVec, prometheus::Error> {
    let options = Opts::new("starkeep_server_away", "1 while a server is away: github_api, github_git, onedev.");
    let it = IntGaugeVec::new(options, &["server"])?;
    registry.register(Box::new(it.clone()))?;
    Ok(it)
}

fn webhook_duration(registry: &Registry) -> Result<Histogram, prometheus::Error> {
    let options =
        HistogramOpts::new("starkeep_webhook_duration_seconds", "Time from a webhook's arrival to its answer.")
            .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0]);
    let it = Histogram::with_opts(options)?;
    registry.register(Box::new(it.clone()))?;
    Ok(it)
}

fn sync_duration(registry: &Registry) -> Result<HistogramVec, prometheus::Error> {
    let options = HistogramOpts::new(
        "starkeep_sync_duration_seconds",
        "Time of a sync; size is the pack: small < 100 MB, medium < 1 GB, large.",
    )
    .buckets(vec![0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0]);
    let it = HistogramVec::new(options, &["size"])?;
    registry.register(Box::new(it.clone()))?;
    Ok(it)
}
