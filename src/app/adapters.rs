//! The clients and stores that one process has, and the stages that work with them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use actix::{Arbiter, ArbiterHandle};
use anyhow::Context as _;
use chrono::TimeDelta;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::secrets::Renewed;
use super::{Role, archive};
use crate::config::Config;
use crate::config::sync::Engine;
use crate::domain::naming::Naming;
use crate::domain::rate::Urgency;
use crate::git;
use crate::github::GithubClient;
use crate::http::{self, Component, ComponentState};
use crate::onedev::OnedevClient;
use crate::orchestrator::{self, BATCHES_AT_ONCE, Only, POLLS_AT_ONCE, Polling, Recovering, Stages, Sweeping};
use crate::stages::accept::{self, AcceptActor};
use crate::stages::catalog::{self, CatalogActor};
use crate::stages::describe::{self, DescribeActor};
use crate::stages::ensure::{self, EnsureActor};
use crate::stages::listing::{self, ListingActor};
use crate::stages::panics::Panics;
use crate::stages::pool::{PAUSE, Pool, PoolOptions};
use crate::stages::record::{self, RecordActor};
use crate::stages::recover;
use crate::stages::stars::{self, StarsActor};
use crate::stages::sweep::{self, SweepActor};
use crate::stages::transfer::{self, TransferActor};
use crate::store::Store;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::progress::Progress;

/// Deliveries in hand at once: as many share one commit of the database.
const RECEPTIONS: usize = 64;

/// LFS objects on their way at once, over all mirrors; each holds at most 256 KiB.
const LFS_AT_ONCE: usize = 8;

/// The cached engine's folder, if that is the engine.
fn caches(config: &Config) -> anyhow::Result<Option<git::Caches>> {
    let folder = config.sync.cache_dir.as_ref().filter(|_| config.sync.engine == Engine::Cached);
    let made =
        folder.map(|it| git::Caches::new(it.clone()).with_context(|| format!("sync.cache_dir: {}", it.display())));
    made.transpose()
}

pub(super) struct Adapters {
    store: Store,
    pub(super) github: GithubClient,
    onedev: OnedevClient,
    naming: Naming,
    connections: git::Connections,
    spool: git::Spool,
    pub(super) caches: Option<git::Caches>,
    claims: git::Claims,
    metrics: Metrics,
    panics: Panics,
    pub(super) progress: Progress,
}

impl Adapters {
    pub(super) fn new(config: &Config, store: &Store, metrics: &Metrics, panics: &Panics) -> anyhow::Result<Self> {
        Ok(Self {
            store: store.clone(),
            github: GithubClient::new(&config.github, metrics)?,
            onedev: OnedevClient::new(&config.onedev, metrics)?,
            naming: Naming::parse(&config.onedev.naming, &config.onedev.root)?,
            connections: git::Connections::of(config).map_err(anyhow::Error::msg)?,
            spool: git::Spool::new(config.sync.spool_memory, config.sync.spool_dir.clone()),
            caches: caches(config)?,
            claims: git::Claims::default(),
            metrics: metrics.clone(),
            panics: panics.clone(),
            progress: Progress::default(),
        })
    }

    /// Said once: whoever sorts by star lists without reading them finds everything in one folder.
    fn say_if_lists_are_missed(&self, config: &Config) {
        if self.naming.uses_list() && config.stars.lists(self.github.has_credential()).is_none() {
            tracing::warn!(
                "onedev.naming has {{list}}, but star lists are not read: that takes github.token or an App, stars.users, \
                 stars.poll_interval and stars.lists_interval; mirrors of unknown lists go to `unlisted`"
            );
        }
    }

    pub(super) fn pool(
        &self,
        name: &'static str,
        size: usize,
        gave_up: &CancellationToken,
        arbiter: &ArbiterHandle,
    ) -> PoolOptions {
        PoolOptions {
            name,
            size,
            arbiter: arbiter.clone(),
            pause: PAUSE,
            gave_up: gave_up.clone(),
            metrics: self.metrics.clone(),
        }
    }

    /// Transfers run on a thread of their own, so that no pack is in the way of a delivery.
    pub(super) fn stages(&self, config: &Config, gave_up: &CancellationToken, transfers: &ArbiterHandle) -> Stages {
        let (here, size) = (Arbiter::current(), config.sync.workers);
        let accept = Arc::new(accept::Tools {
            store: self.store.clone(),
            stars: config.stars.clone(),
            github: self.github.clone(),
            metadata: config.sync.metadata,
            panics: self.panics.clone(),
        });
        let describe = Arc::new(describe::Tools { github: self.github.clone(), panics: self.panics.clone() });
        let ensure = Arc::new(self.ensure(config));
        let pushes = Arc::new(Semaphore::new(config.onedev.concurrent_pushes));
        let catalog = Arc::new(self.catalog(config, &pushes));
        let transfer = Arc::new(transfer::Tools {
            store: self.store.clone(),
            github: self.github.clone(),
            onedev: self.onedev.clone(),
            connections: self.connections.clone(),
            wire: git::Patience { stall: config.sync.stall_timeout, ..git::Patience::default() },
            spool: self.spool.clone(),
            caches: self.caches.clone(),
            pushes: Arc::clone(&pushes),
            lfs: Arc::new(Semaphore::new(LFS_AT_ONCE)),
            claims: self.claims.clone(),
            sync: config.sync.clone(),
            policy: config.policy.clone(),
            metrics: self.metrics.clone(),
            progress: self.progress.clone(),
            panics: self.panics.clone(),
        });
        let (stars, listing) = (Arc::new(self.stars(config)), Arc::new(self.listing(config)));
        let sweep = Arc::new(sweep::Tools {
            store: self.store.clone(),
            github: self.github.clone(),
            pace: config.sync.pace(),
            rule: config.retry.rule(),
            metrics: self.metrics.clone(),
            panics: self.panics.clone(),
        });
        let record = Arc::new(record::Tools {
            store: self.store.clone(),
            sync: config.sync.clone(),
            rule: config.retry.rule(),
            metrics: self.metrics.clone(),
            panics: self.panics.clone(),
        });
        let pool = |name, size, arbiter: &ArbiterHandle| self.pool(name, size, gave_up, arbiter);
        Stages {
            accept: Pool::start(pool("accept", RECEPTIONS, &here), move |it| AcceptActor::new(Arc::clone(&accept), it)),
            describe: Pool::start(pool("describe", size, &here), move |it| {
                DescribeActor::new(Arc::clone(&describe), it)
            }),
            ensure: Pool::start(pool("ensure", size, &here), move |it| EnsureActor::new(Arc::clone(&ensure), it)),
            transfer: Pool::start(pool("transfer", size, transfers), move |it| {
                TransferActor::new(Arc::clone(&transfer), it)
            }),
            record: Pool::start(pool("record", size, &here), move |it| RecordActor::new(Arc::clone(&record), it)),
            catalog: Pool::start(pool("catalog", size, transfers), move |it| {
                CatalogActor::new(Arc::clone(&catalog), it)
            }),
            // One more than are read at once, for whoever asks who a user is.
            listing: Pool::start(pool("listing", BATCHES_AT_ONCE + 1, &here), move |it| {
                ListingActor::new(Arc::clone(&listing), it)
            }),
            stars: Pool::start(pool("stars", POLLS_AT_ONCE, &here), move |it| StarsActor::new(Arc::clone(&stars), it)),
            sweep: Pool::start(pool("sweep", 1, &here), move |it| SweepActor::new(Arc::clone(&sweep), it)),
        }
    }

    /// What the orchestrator works with. `only`: certain mirrors; `worker`: the holder of its leases.
    pub(super) fn orchestration(
        &self,
        config: &Config,
        stages: &Stages,
        only: Option<Only>,
        worker: String,
    ) -> anyhow::Result<orchestrator::Tools> {
        Ok(orchestrator::Tools {
            store: self.store.clone(),
            stages: stages.clone(),
            permits: Arc::new(Semaphore::new(config.sync.workers)),
            lease: config.sync.lease,
            rule: config.retry.rule(),
            drills: orchestrator::Drills {
                restore: archive::tools(config, &self.store, &self.metrics)?,
                every: config.drill.interval.map(|it| (it, config.drill.sample)),
                bounds: archive::bounds(config),
            },
            polling: Polling {
                users: config.stars.users.clone(),
                every: config.stars.poll_interval,
                permits: Arc::new(Semaphore::new(POLLS_AT_ONCE)),
            },
            batches: Arc::new(Semaphore::new(BATCHES_AT_ONCE)),
            sources_every: config.sources.interval,
            sweeping: Sweeping {
                on: self.github.has_credential(),
                pace: config.sync.pace(),
                permit: Arc::new(Semaphore::new(1)),
            },
            recovering: self.recovering(config),
            history: config.sync.history,
            records: orchestrator::Records {
                deliveries: config.deliveries.keep,
                most_deliveries: config.deliveries.max_count,
                audit: config.audit.keep,
            },
            bounds: config.bounds(),
            room: orchestrator::Room::default(),
            mass_gone: config.policy.mass_gone,
            wiki: config.sync.wiki,
            metadata: config.sync.metadata,
            only,
            worker,
            stop: CancellationToken::new(),
            call_off: CancellationToken::new(),
            outages: self.metrics.outages.clone(),
            progress: self.progress.clone(),
            panics: self.panics.clone(),
        })
    }

    /// Those whose credentials may change.
    pub(super) fn clients(&self) -> (GithubClient, OnedevClient) {
        (self.github.clone(), self.onedev.clone())
    }

    /// Only an App can ask what was delivered.
    fn recovering(&self, config: &Config) -> Option<Recovering> {
        let (every, app) = (config.github.recover_interval?, self.github.app_id()?);
        let overlap = TimeDelta::from_std(every).unwrap_or(TimeDelta::MAX);
        let tools = recover::Tools { store: self.store.clone(), github: self.github.clone(), overlap };
        Some(Recovering { tools, app: i64::try_from(app).ok()?, every, permit: Arc::new(Semaphore::new(1)) })
    }

    fn ensure(&self, config: &Config) -> ensure::Tools {
        ensure::Tools {
            store: self.store.clone(),
            onedev: self.onedev.clone(),
            naming: self.naming.clone(),
            on_conflict: config.onedev.on_conflict,
            on_rename: config.onedev.on_rename,
            visibility: config.onedev.visibility,
            lists: ensure::Lists {
                users: config.stars.users.clone(),
                are_read: config.stars.lists(self.github.has_credential()).is_some(),
                labels_refused: AtomicBool::new(false),
            },
            panics: self.panics.clone(),
        }
    }

    fn stars(&self, config: &Config) -> stars::Tools {
        stars::Tools {
            store: self.store.clone(),
            github: self.github.clone(),
            stars: config.stars.clone(),
            lists: config
                .stars
                .lists(self.github.has_credential())
                .map(|every| stars::ListRule { every, placing: self.naming.uses_list() }),
            policy: config.policy.clone(),
            rule: config.retry.rule(),
            metrics: self.metrics.clone(),
            panics: self.panics.clone(),
        }
    }

    fn listing(&self, config: &Config) -> listing::Tools {
        listing::Tools {
            store: self.store.clone(),
            github: self.github.clone(),
            onedev: self.onedev.clone(),
            naming: self.naming.clone(),
            rule: config.retry.rule(),
            panics: self.panics.clone(),
        }
    }

    fn catalog(&self, config: &Config, pushes: &Arc<Semaphore>) -> catalog::Tools {
        catalog::Tools {
            store: self.store.clone(),
            github: self.github.urged(Urgency::Background),
            onedev: self.onedev.clone(),
            connections: self.connections.clone(),
            wire: git::Patience { stall: config.sync.stall_timeout, ..git::Patience::default() },
            folder: config.sync.spool_dir.clone().unwrap_or_else(std::env::temp_dir),
            pushes: Arc::clone(pushes),
            claims: self.claims.clone(),
            sync: config.sync.clone(),
            metrics: self.metrics.clone(),
            progress: self.progress.clone(),
            panics: self.panics.clone(),
        }
    }

    pub(super) fn serve(
        &self,
        config: &Config,
        stages: &Stages,
        role: Role,
        (secrets, letting_go): (Renewed, CancellationToken),
    ) -> anyhow::Result<(actix_web::dev::ServerHandle, SocketAddr)> {
        self.say_if_lists_are_missed(config);
        let tools = http::Tools {
            store: self.store.clone(),
            stages: stages.clone(),
            config: config.clone(),
            secrets: secrets.requests,
            metrics: self.metrics.clone(),
            components: self.components().into_iter().chain(secrets.component).collect(),
            letting_go,
        };
        let start = if role == Role::Worker { http::start_probes } else { http::start };
        let (server, address) = start(tools, config.server.bind)?;
        let handle = server.handle();
        actix::spawn(server);
        Ok((handle, address))
    }

    /// The two servers that may be away while deliveries are still taken.
    fn components(&self) -> Vec<Component> {
        let (github, onedev) = (self.github.clone(), self.onedev.clone());
        vec![
            Component::new("github", move || {
                let github = github.clone();
                Box::pin(async move {
                    let state = github.reachable().await;
                    if state.is_up() { ComponentState::Ok } else { ComponentState::Degraded(state.to_string()) }
                })
            }),
            Component::new("onedev", move || {
                let onedev = onedev.clone();
                Box::pin(async move {
                    match onedev.check().await {
                        Ok(_) => ComponentState::Ok,
                        Err(error) => ComponentState::Degraded(error.to_string()),
                    }
                })
            }),
        ]
    }
}
