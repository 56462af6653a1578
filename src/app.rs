//! From a configuration to a running service: adapters, actors, server. The only place that knows them all.

pub mod archive;
pub mod doctor;
mod installations;
mod kept;
mod limits;
mod sources;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use actix::{Arbiter, ArbiterHandle};
use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::Config;
use crate::config::sync::Engine;
use crate::domain::event::Account;
use crate::domain::ids::MirrorId;
use crate::domain::naming::Naming;
use crate::domain::outcome::Comparison;
use crate::domain::part::PartId;
use crate::domain::rate::Urgency;
use crate::domain::repository::{Repository, RepositoryName};
use crate::git;
use crate::github::GithubClient;
use crate::http::{self, Component, ComponentState};
use crate::onedev::OnedevClient;
use crate::orchestrator::{
    self, BATCHES_AT_ONCE, Only, Orchestration, POLLS_AT_ONCE, Polling, Recovering, Stages, Sweeping,
};
use crate::stages::accept::{self, AcceptActor};
use crate::stages::catalog::{self, CatalogActor};
use crate::stages::describe::{self, DescribeActor};
use crate::stages::ensure::{self, EnsureActor};
use crate::stages::listing::{self, Identify, ListingActor};
use crate::stages::messages::{Compare, Describe, Ticket, TidyCaches, TwoSides};
use crate::stages::panics::Panics;
use crate::stages::pool::{PAUSE, Pool, PoolOptions};
use crate::stages::record::{self, RecordActor};
use crate::stages::recover;
use crate::stages::stars::{self, StarsActor};
use crate::stages::sweep::{self, SweepActor};
use crate::stages::transfer::{self, TransferActor};
use crate::store::mirrors::{self, Mirror};
use crate::store::{ServeLock, Store, jobs, listings, parts, polls, recoveries, sweeps};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::progress::Progress;

/// Deliveries in hand at once: as many share one commit of the database.
const RECEPTIONS: usize = 64;

/// LFS objects on their way at once, over all mirrors; each holds at most 256 KiB.
const LFS_AT_ONCE: usize = 8;

/// How long a command waits for a free place in a stage.
const PATIENCE: Duration = Duration::from_secs(600);

/// What to start.
#[derive(Clone, Default)]
pub struct AppOptions {
    /// The configuration.
    pub config: Config,
    /// Serve HTTP, take the database for this process alone where it cannot be shared, and work on
    /// every mirror. Otherwise this is one command's own run.
    pub serve: bool,
    /// Work on these mirrors only, and on those of [`App::take_on`].
    pub only: Option<Vec<MirrorId>>,
    /// Planned panics; none in production.
    pub panics: Panics,
}

/// A running service.
pub struct App {
    /// State.
    pub store: Store,
    /// The stages.
    pub stages: Stages,
    /// What is counted.
    pub metrics: Metrics,
    /// Tells what is being done.
    pub progress: Progress,
    /// Cancelled when an actor keeps dying: the process should end.
    pub gave_up: CancellationToken,
    only: Option<Only>,
    orchestration: Orchestration,
    server: Option<(actix_web::dev::ServerHandle, SocketAddr)>,
    patience: Duration,
    transfers: Arbiter,
    limits: (CancellationToken, tokio::task::JoinHandle<()>),
    _lock: Option<ServeLock>,
}

impl App {
    /// Opens the database, brings it up to date, starts the actors and, to serve, the server. Must be
    /// called inside a running actix system.
    ///
    /// # Errors
    /// What is wrong, where, and the mend.
    pub async fn start(options: AppOptions) -> anyhow::Result<Self> {
        let AppOptions { config, serve, only, panics } = options;
        let only = only.map(Only::from);
        let store = open_store(&config).await?;
        let lock = if serve { Some(take_over(&store).await?) } else { None };
        if serve {
            store.warm_up();
            sources::declare(&store, &config.sources).await?;
        }
        let metrics = Metrics::new().context("the metrics could not be registered")?;
        let adapters = Adapters::new(&config, &store, &metrics, &panics)?;
        limits::recall(&store, &adapters.github).await?;
        let (gave_up, transfers) = (CancellationToken::new(), Arbiter::new());
        let stages = adapters.stages(&config, &gave_up, &transfers.handle());
        let tools = orchestrator::Tools {
            store: store.clone(),
            stages: stages.clone(),
            permits: Arc::new(Semaphore::new(config.sync.workers)),
            lease: config.sync.lease,
            rule: config.retry.rule(),
            drills: orchestrator::Drills {
                restore: archive::tools(&config, &store, &metrics)?,
                every: config.drill.interval.map(|it| (it, config.drill.sample)),
                bounds: archive::bounds(&config),
            },
            polling: Polling {
                users: config.stars.users.clone(),
                every: config.stars.poll_interval,
                permits: Arc::new(Semaphore::new(POLLS_AT_ONCE)),
            },
            batches: Arc::new(Semaphore::new(BATCHES_AT_ONCE)),
            sources_every: config.sources.interval,
            sweeping: Sweeping {
                on: adapters.github.has_credential(),
                pace: config.sync.pace(),
                permit: Arc::new(Semaphore::new(1)),
            },
            recovering: adapters.recovering(&config),
            history: config.sync.history,
            records: orchestrator::Records {
                deliveries: config.deliveries.keep,
                most_deliveries: config.deliveries.max_count,
                audit: config.audit.keep,
            },
            bounds: config.bounds(),
            mass_gone: config.policy.mass_gone,
            wiki: config.sync.wiki,
            metadata: config.sync.metadata,
            only: only.clone(),
            worker: worker_name(serve),
            stop: CancellationToken::new(),
            call_off: CancellationToken::new(),
            progress: adapters.progress.clone(),
            panics,
        };
        let workers = u32::try_from(config.sync.workers).unwrap_or(u32::MAX);
        let keeping = CancellationToken::new();
        let kept = actix::spawn(limits::keep(store.clone(), adapters.github.clone(), keeping.clone()));
        actix::spawn(installations::keep(store.clone(), adapters.github.clone(), keeping.clone()));
        let pool = adapters.pool("orchestrator", 1, &gave_up, &Arbiter::current());
        let server = if serve { Some(adapters.serve(&config, &stages)?) } else { None };
        if serve && adapters.caches.is_some() {
            // Mirrors may have been forgotten while nobody looked.
            let transfer = stages.transfer.clone();
            actix::spawn(async move { transfer.ask(TidyCaches, PATIENCE).await });
        }
        Ok(Self {
            orchestration: Orchestration::start(tools, workers, pool),
            progress: adapters.progress,
            store,
            stages,
            metrics,
            gave_up,
            only,
            server,
            patience: config.server.shutdown_timeout,
            transfers,
            limits: (keeping, kept),
            _lock: lock,
        })
    }

    /// Where HTTP is served.
    pub fn address(&self) -> Option<SocketAddr> {
        self.server.as_ref().map(|(_, address)| *address)
    }

    /// Works on these mirrors too, from now on, if it does not work on all anyway.
    pub fn take_on(&self, mirrors: impl IntoIterator<Item = MirrorId>) {
        if let Some(only) = &self.only {
            only.add(mirrors);
            self.store.wake();
        }
    }

    /// Reads this batch too, if it does not read all of them anyway.
    pub fn take_on_batch(&self, id: &str) {
        if let Some(only) = &self.only {
            only.add_batch(id.to_owned());
        }
    }

    /// Asks GitHub who has a login.
    ///
    /// # Errors
    /// What GitHub says, or why it could not be asked.
    pub async fn identify(&self, login: &str) -> anyhow::Result<Account> {
        Ok(self.stages.listing.ask(Identify { login: login.to_owned() }, PATIENCE).await??)
    }

    /// Asks GitHub for a repository by its name.
    ///
    /// # Errors
    /// What GitHub says, or why it could not be asked.
    pub async fn describe(&self, name: RepositoryName) -> anyhow::Result<Repository> {
        Ok(self.stages.describe.ask(Describe::Name(name), PATIENCE).await??)
    }

    /// Reads both sides of a mirror and compares them; level is a proof and recorded as one.
    ///
    /// # Errors
    /// When a side cannot be read, or there is no project yet.
    pub async fn compare(&self, mirror: &Mirror) -> anyhow::Result<Comparison> {
        let sides = TwoSides::of(mirror).context("it has no project yet: it was never synced")?;
        let ticket = Ticket::unqueued(mirror.id);
        let comparison = self.stages.transfer.ask(Compare { ticket, sides }, PATIENCE).await??;
        if comparison.is_level() {
            let (id, digest) = (mirror.id, comparison.digest.clone());
            self.store.write(move |c| mirrors::record_verified(c, id, &digest, Utc::now())).await?;
        }
        Ok(comparison)
    }

    /// The same for the mirror's wiki; `None` where there is no copy of one.
    ///
    /// # Errors
    /// When a side cannot be read.
    pub async fn compare_wiki(&self, mirror: &Mirror) -> anyhow::Result<Option<Comparison>> {
        let id = PartId::wiki(mirror.id);
        let Some(wiki) = self.store.read(move |c| parts::find(c, id)).await? else { return Ok(None) };
        let Some(sides) = TwoSides::of_wiki(mirror, &wiki) else { return Ok(None) };
        let ticket = Ticket::unqueued(mirror.id);
        let comparison = match self.stages.transfer.ask(Compare { ticket, sides }, PATIENCE).await? {
            // Its copy stays, and there is nothing to compare it with.
            Err(failure) if failure.code == transfer::ABSENT => return Ok(None),
            compared => compared?,
        };
        if comparison.is_level() {
            let digest = comparison.digest.clone();
            self.store.write(move |c| parts::record_verified(c, id, &digest, Utc::now())).await?;
        }
        Ok(Some(comparison))
    }

    /// Waits until no job is due or running.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn idle(&self) -> anyhow::Result<()> {
        let mut wakeups = self.store.wakeups();
        while self.store.read(|c| jobs::is_busy(c, Utc::now())).await? {
            let _ = tokio::time::timeout(Duration::from_millis(50), wakeups.changed()).await;
        }
        Ok(())
    }

    /// Takes no more requests, claims no more jobs, waits for what is under way, calls off the rest.
    pub async fn shut_down(self) {
        if let Some((server, _)) = &self.server {
            server.stop(true).await;
        }
        self.orchestration.shut_down(self.patience).await;
        // Before their thread ends, or their parent would start others on it for ever.
        self.stages.close();
        self.transfers.stop();
        let (keeping, kept) = self.limits;
        keeping.cancel();
        let _ = kept.await;
    }
}

/// Opens the database and sees to its schema.
///
/// # Errors
/// What is wrong, where, and the mend.
pub async fn open_store(config: &Config) -> anyhow::Result<Store> {
    let store = Store::open(&config.database).await?;
    if config.database.migrate {
        for name in store.migrate().await? {
            tracing::info!(migration = name, "the database was brought up to date");
        }
    } else {
        let pending = store.pending_migrations().await?;
        anyhow::ensure!(
            pending.is_empty(),
            "the database lacks the migrations {}: run `starkeep migrate`, or set database.migrate = true",
            pending.join(", ")
        );
    }
    Ok(store)
}

/// Unique to this process; the first word tells a service's leases from a command's.
fn worker_name(serve: bool) -> String {
    format!("{}/{}/{}", if serve { "serve" } else { "command" }, std::process::id(), Uuid::new_v4().simple())
}

/// Where the database serves one process only, that process frees the leases of its dead forerunner.
async fn take_over(store: &Store) -> anyhow::Result<ServeLock> {
    let lock = store.serve_lock()?;
    if !store.is_postgres() {
        let freed = store
            .write(|c| {
                polls::free_held_by(c, "serve/")?;
                listings::free_held_by(c, "serve/")?;
                sweeps::free_held_by(c, "serve/")?;
                recoveries::free_held_by(c, "serve/")?;
                jobs::free_held_by(c, "serve/", Utc::now())
            })
            .await?;
        if freed > 0 {
            tracing::warn!(jobs = freed, "an earlier run was cut off; its jobs are free again");
        }
    }
    Ok(lock)
}

/// The cached engine's folder, if that is the engine.
fn caches(config: &Config) -> anyhow::Result<Option<git::Caches>> {
    let folder = config.sync.cache_dir.as_ref().filter(|_| config.sync.engine == Engine::Cached);
    let made =
        folder.map(|it| git::Caches::new(it.clone()).with_context(|| format!("sync.cache_dir: {}", it.display())));
    made.transpose()
}

struct Adapters {
    store: Store,
    github: GithubClient,
    onedev: OnedevClient,
    naming: Naming,
    connections: git::Connections,
    spool: git::Spool,
    caches: Option<git::Caches>,
    claims: git::Claims,
    metrics: Metrics,
    panics: Panics,
    progress: Progress,
}

impl Adapters {
    fn new(config: &Config, store: &Store, metrics: &Metrics, panics: &Panics) -> anyhow::Result<Self> {
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

    fn pool(
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
    fn stages(&self, config: &Config, gave_up: &CancellationToken, transfers: &ArbiterHandle) -> Stages {
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

    fn serve(&self, config: &Config, stages: &Stages) -> anyhow::Result<(actix_web::dev::ServerHandle, SocketAddr)> {
        self.say_if_lists_are_missed(config);
        let tools = http::Tools {
            store: self.store.clone(),
            stages: stages.clone(),
            config: config.clone(),
            metrics: self.metrics.clone(),
            components: self.components(),
        };
        let (server, address) = http::start(tools, config.server.bind)?;
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
