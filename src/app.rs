//! From a configuration to a running service: adapters, actors, server. The only place that knows them all.

mod adapters;
pub mod archive;
pub mod doctor;
mod events;
mod installations;
mod invitation;
mod kept;
mod limits;
mod notices;
mod role;
pub mod secrets;
mod sources;

use std::net::SocketAddr;
use std::time::Duration;

use actix::Arbiter;
use anyhow::Context as _;
use chrono::Utc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::adapters::Adapters;
use self::secrets::Secrets;
use crate::config::Config;
use crate::domain::event::Account;
use crate::domain::ids::MirrorId;
use crate::domain::outcome::Comparison;
use crate::domain::part::PartId;
use crate::domain::repository::{Repository, RepositoryName};
use crate::orchestrator::{Only, Orchestration, Stages};
use crate::stages::listing::Identify;
use crate::stages::messages::{Compare, Describe, Ticket, TidyCaches, TwoSides};
use crate::stages::panics::Panics;
use crate::stages::transfer;
use crate::store::mirrors::{self, Mirror};
use crate::store::{ServeLock, Store, jobs, listings, parts, polls, recoveries, sweeps};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::progress::Progress;

pub use self::role::Role;

/// How long a command waits for a free place in a stage.
const PATIENCE: Duration = Duration::from_secs(600);

/// What to start.
#[derive(Default)]
pub struct AppOptions {
    /// The configuration.
    pub config: Config,
    /// Serve HTTP, take the database for this process alone where it cannot be shared, and work on
    /// every mirror. Otherwise this is one command's own run.
    pub serve: bool,
    /// Which part of the service this process is, where it serves.
    pub role: Role,
    /// Work on these mirrors only, and on those of [`App::take_on`].
    pub only: Option<Vec<MirrorId>>,
    /// Reads the secrets again while it serves; without it they stay as they are in `config`.
    pub secrets: Option<Secrets>,
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
    /// `None` where others do the work.
    orchestration: Option<Orchestration>,
    server: Option<(actix_web::dev::ServerHandle, SocketAddr)>,
    /// Where browsers reach it.
    home: Option<String>,
    patience: Duration,
    transfers: Arbiter,
    /// Cancelled before the server ends: whoever follows is let go.
    letting_go: CancellationToken,
    upkeep: (CancellationToken, [Option<JoinHandle<()>>; 3]),
    _lock: Option<ServeLock>,
}

impl App {
    /// Opens the database, brings it up to date, starts the actors and, to serve, the server. Must be
    /// called inside a running actix system.
    ///
    /// # Errors
    /// What is wrong, where, and the mend.
    pub async fn start(options: AppOptions) -> anyhow::Result<Self> {
        let AppOptions { config, serve, role, only, secrets, panics } = options;
        role.fits(&config.database)?;
        let only = only.map(Only::from);
        let store = open_store(&config).await?;
        let lock = if serve { Some(take_over(&store).await?) } else { None };
        if serve {
            store.warm_up();
        }
        let works = serve && role.works();
        if works {
            sources::declare(&store, &config.sources).await?;
        }
        let metrics = Metrics::new().context("the metrics could not be registered")?;
        let adapters = Adapters::new(&config, &store, &metrics, &panics)?;
        limits::recall(&store, &adapters.github).await?;
        let (gave_up, transfers) = (CancellationToken::new(), Arbiter::new());
        let stages = adapters.stages(&config, &gave_up, &transfers.handle());
        let (keeping, letting_go) = (CancellationToken::new(), CancellationToken::new());
        let kept = actix::spawn(limits::keep(store.clone(), adapters.github.clone(), keeping.clone()));
        actix::spawn(installations::keep(store.clone(), adapters.github.clone(), keeping.clone()));
        let (renewal, renewed) = secrets::renewal(&config, secrets, &store, adapters.clients(), &metrics);
        let present = renewed.notify.clone();
        let told = if works { Some(notices::start(&config, &store, &metrics, present, &keeping)?) } else { None };
        if let Some(renewal) = renewal {
            actix::spawn(renewal.keep(keeping.clone()));
        }
        let server =
            if serve { Some(adapters.serve(&config, &stages, role, (renewed, letting_go.clone()))?) } else { None };
        let home = server.as_ref().map(|(_, bound)| invitation::home(&config, *bound));
        let following = if role.works() {
            let steps = adapters.progress.listen();
            Some(actix::spawn(events::keep(store.clone(), steps, keeping.clone())))
        } else {
            None
        };
        let orchestration = if role.works() {
            let tools = adapters.orchestration(&config, &stages, only.clone(), worker_name(serve))?;
            Some(Orchestration::start(tools, adapters.pool("orchestrator", 1, &gave_up, &Arbiter::current())))
        } else {
            // Not to hear of work, but to tell of it: the task that listens notifies once for all that has gathered,
            // where each transaction would have to do it by itself.
            drop(store.wakeups());
            None
        };
        if works && adapters.caches.is_some() {
            // Mirrors may have been forgotten while nobody looked.
            let transfer = stages.transfer.clone();
            actix::spawn(async move { transfer.ask(TidyCaches, PATIENCE).await });
        }
        Ok(Self {
            orchestration,
            progress: adapters.progress,
            store,
            stages,
            metrics,
            gave_up,
            only,
            server,
            home,
            patience: config.server.shutdown_timeout,
            transfers,
            letting_go,
            upkeep: (keeping, [Some(kept), told, following]),
            _lock: lock,
        })
    }

    /// Where HTTP is served.
    pub fn address(&self) -> Option<SocketAddr> {
        self.server.as_ref().map(|(_, address)| *address)
    }

    /// Where the first admin signs in, once; nowhere if there is a key of the scope `admin`. A secret.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn invite(&self) -> anyhow::Result<Option<String>> {
        let Some(home) = &self.home else { return Ok(None) };
        invitation::invite(&self.store, home).await
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
        self.letting_go.cancel();
        if let Some((server, _)) = &self.server {
            server.stop(true).await;
        }
        if let Some(orchestration) = self.orchestration {
            orchestration.shut_down(self.patience).await;
        }
        // Before their thread ends, or their parent would start others on it for ever.
        self.stages.close();
        self.transfers.stop();
        let (keeping, kept) = self.upkeep;
        keeping.cancel();
        for task in kept.into_iter().flatten() {
            let _ = task.await;
        }
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

/// The OpenAPI document of the HTTP API.
pub fn openapi() -> serde_json::Value {
    crate::http::document()
}
