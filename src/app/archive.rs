//! Adoption, restoring and drills for the command line: the adapters without the actors.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::seq::IndexedRandom as _;

use super::{App, AppOptions, open_store};
use crate::config::Config;
use crate::domain::ids::MirrorId;
use crate::domain::job::JobKind;
use crate::domain::mirror::Status;
use crate::domain::outcome::Comparison;
use crate::domain::part::PartId;
use crate::git;
use crate::github::GithubClient;
use crate::onedev::OnedevClient;
use crate::stages::adopt::{self, Rules};
use crate::stages::restore::drill::Bounds;
use crate::stages::restore::{self, drill, folder, plan, remote};
use crate::store::drills::{self, Drill};
use crate::store::mirrors::{self, Mirror, Proven};
use crate::store::{Store, jobs, parts};
use crate::telemetry::metrics::Metrics;

pub use crate::stages::adopt::{Adopted, Line};
pub use crate::stages::restore::folder::wiki_of as wiki_folder;
pub use crate::stages::restore::remote::{Destination, wiki_of as wiki_address};
pub use crate::stages::restore::{Moved, Restored, Wanted};

/// What reads OneDev for a person, beside a service that may run on the same database.
pub struct Archive {
    /// State.
    pub store: Store,
    tools: restore::Tools,
    bounds: Bounds,
}

impl Archive {
    /// Opens the database and prepares the clients; nothing is sent.
    ///
    /// # Errors
    /// What is wrong, where, and the mend.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let store = open_store(config).await?;
        let tools = tools(config, &store, &Metrics::new()?)?;
        Ok(Self { store, tools, bounds: bounds(config) })
    }

    /// What a mirror held when it was last proven, or at a time.
    ///
    /// # Errors
    /// When nothing was proven by then.
    pub async fn wanted(&self, mirror: &Mirror, at: Option<DateTime<Utc>>) -> anyhow::Result<Wanted> {
        Ok(plan::wanted(&self.store, mirror, at).await?)
    }

    /// Restores into a folder, and a wiki into another.
    ///
    /// # Errors
    /// When a folder holds something else, or OneDev cannot be read.
    pub async fn to_folder(
        &self,
        mirror: &Mirror,
        wanted: &Wanted,
        to: &Path,
        wiki: &Path,
    ) -> anyhow::Result<Restored> {
        Ok(folder::restore(&self.tools, mirror.github_id, wanted, to, wiki).await?)
    }

    /// Restores onto a git server, a wiki to an address of its own.
    ///
    /// # Errors
    /// When the repository there is not empty, or one of the servers fails.
    pub async fn to_remote(&self, wanted: &Wanted, to: &Destination, wiki: &Destination) -> anyhow::Result<Restored> {
        Ok(remote::restore(&self.tools, wanted, to, wiki).await?)
    }

    /// Bytes of packs and LFS objects that came out of OneDev so far.
    pub fn moved(&self) -> u64 {
        self.tools.progress.snapshot().received
    }

    /// Restores a mirror on trial.
    ///
    /// # Errors
    /// When OneDev cannot be read, or the temporary folder not be written.
    pub async fn drill(&self, mirror: &Mirror) -> anyhow::Result<Drill> {
        Ok(drill::drill(&self.tools, mirror, &self.bounds).await?)
    }

    /// Some mirrors by chance, of those that can be restored.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn sample(&self, most: usize) -> anyhow::Result<Vec<Mirror>> {
        let all = self.store.read(drills::candidates).await?;
        let chosen: Vec<MirrorId> = all.choose_multiple(&mut rand::rng(), most).copied().collect();
        let found =
            self.store.read(move |c| chosen.iter().map(|it| mirrors::find(c, *it)).collect::<Result<Vec<_>, _>>());
        Ok(found.await?.into_iter().flatten().collect())
    }
}

/// How much a drill does, and where.
pub(super) fn bounds(config: &Config) -> Bounds {
    Bounds { scratch: config.sync.spool_dir.clone(), lfs_bytes: config.drill.lfs_bytes }
}

/// What restoring works with.
pub(super) fn tools(config: &Config, store: &Store, metrics: &Metrics) -> anyhow::Result<restore::Tools> {
    Ok(restore::Tools {
        store: store.clone(),
        onedev: OnedevClient::new(&config.onedev, metrics)?,
        http: git::http_client()?,
        wire: git::Patience { stall: config.sync.stall_timeout, ..git::Patience::default() },
        spool: git::Spool::new(config.sync.spool_memory, config.sync.spool_dir.clone()),
        progress: Arc::new(git::Progress::new(metrics)),
        metrics: metrics.clone(),
    })
}

/// Rebuilds the database from OneDev, then reads both sides of every mirror that was made.
///
/// # Errors
/// When OneDev or the database cannot be used.
pub async fn adopt(config: &Config, dry_run: bool) -> anyhow::Result<Vec<Line>> {
    let metrics = Metrics::new()?;
    let github = GithubClient::new(&config.github, &metrics)?;
    let rules = Rules {
        instance: github.instance(),
        keep_overwritten: config.sync.keep_overwritten,
        wiki: config.sync.wiki,
        catalog: config.sync.metadata.then(|| config.sync.metadata_ref.clone()),
        pages: github.pages(),
        dry_run,
    };
    let store = open_store(config).await?;
    let lines = adopt::adopt(&tools(config, &store, &metrics)?, &rules).await?;
    if !dry_run {
        verify(config, &lines).await?;
    }
    Ok(lines)
}

/// A mirror that is level is proven by that; any other is left to the next sync, which is due at once.
async fn verify(config: &Config, lines: &[Line]) -> anyhow::Result<()> {
    let made: Vec<_> = lines
        .iter()
        .filter_map(|it| if let Adopted::Made(name) = &it.outcome { Some(name.clone()) } else { None })
        .collect();
    let app =
        App::start(AppOptions { config: config.clone(), only: Some(Vec::new()), ..AppOptions::default() }).await?;
    for name in made {
        let wanted = name.clone();
        let Some(mirror) = app.store.read(move |c| mirrors::by_name(c, &wanted)).await? else { continue };
        if mirror.status != Status::Pending {
            continue;
        }
        if let Err(error) = app.prove(&mirror, config).await {
            tracing::warn!(%name, "it could not be verified; the next sync will look: {error:#}");
        }
        if let Err(error) = app.prove_wiki(&mirror, config).await {
            tracing::warn!(%name, "its wiki could not be verified; its next look does it: {error:#}");
        }
    }
    app.shut_down().await;
    Ok(())
}

impl App {
    /// Reads both sides of a mirror; level is a proof, with all that a sync would record of it.
    async fn prove(&self, mirror: &Mirror, config: &Config) -> anyhow::Result<()> {
        let found = self.compare(mirror).await?;
        if !found.is_level() {
            return Ok(());
        }
        let (id, now) = (mirror.id, Utc::now());
        let proven = proven(found, now, config.sync.interval);
        self.store
            .write(move |c| {
                mirrors::record_proof(c, id, &proven)?;
                jobs::cancel_queued(c, id, JobKind::Sync, now).map(drop)
            })
            .await?;
        Ok(())
    }

    /// The same for its wiki, where there is a copy of one.
    async fn prove_wiki(&self, mirror: &Mirror, config: &Config) -> anyhow::Result<()> {
        let Some(found) = self.compare_wiki(mirror).await? else { return Ok(()) };
        if !found.is_level() {
            return Ok(());
        }
        let (of, now) = (PartId::wiki(mirror.id), Utc::now());
        let proven = proven(found, now, config.sync.wiki_interval);
        self.store.write(move |c| parts::record_proof(c, of, &proven)).await?;
        Ok(())
    }
}

/// What a comparison that found both sides level proves.
fn proven(found: Comparison, now: DateTime<Utc>, interval: Duration) -> Proven {
    Proven {
        digest: found.digest.clone(),
        onedev_digest: Some(found.digest),
        head: found.head,
        ref_count: i64::try_from(found.ref_count).unwrap_or(i64::MAX),
        default_branch: found.upstream_head.as_ref().and_then(|it| it.branch()).map(str::to_owned),
        upstream_head: found.upstream_head,
        status: if found.not_level.is_empty() { Status::Healthy } else { Status::Partial },
        not_level: found.not_level,
        changed: false,
        verified_at: now,
        next_sync_at: Some(now + interval),
    }
}
