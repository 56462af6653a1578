//! The cached engine's copies: a bare repository on disk for each fork network.
//!
//! ```text
//! Upstream ── fetch (wire client) ──▶ intake: pack ▶ indexer ▶ objects/pack     (thin packs completed)
//!                                     refs/starkeep/mirrors/<id>/…              (where upstream stood)
//! questions: ancestors, kinds of tags ◀── graph
//! Target ◀── push (wire client) ── spool ◀── packbuilder: what OneDev lacks
//! ```
//!
//! What holds at any moment, a `kill -9` included: every object that is there has all that it needs
//! there too. A pack counts only when it is whole and indexed, refs are moved after it, and packs go
//! only after one that holds all that any ref reaches. A copy in which that does not hold any more is
//! damaged: it is thrown away and fetched again. Nothing but time is lost with it.
//!
//! - [`Caches`]: the folder, for the process. [`Cache`]: the part of one mirror.

mod copy;
mod intake;
mod lock;
mod pack;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use self::copy::Copy;
use self::lock::Guard;
use super::ancestry::Ancestry;
use super::error::WireError;
use super::fetch::FetchOptions;
use super::progress::{Phase, Progress};
use super::scan::{Scan, Thoroughness};
use super::spool::{Spool, Spooled};
use super::upstream::Upstream;
use crate::domain::ids::GithubId;
use crate::domain::refs::{Oid, RefMap, RefName};

/// The folder of all copies: `sync.cache_dir`.
#[derive(Debug, Clone)]
pub struct Caches {
    folder: Arc<Path>,
}

/// The copy of a fork network, as one mirror uses it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: Arc<Path>,
    network: GithubId,
    mirror: GithubId,
}

/// What came while a copy was filled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filled {
    /// Bytes of packs from upstream.
    pub received: u64,
    /// Objects in them.
    pub objects: u64,
}

/// Why a copy could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// It does not hold what it should: throw it away.
    #[error("the copy is damaged: {0}")]
    Damaged(git2::Error),
    /// The disk is full, may not be written, or the work was called off.
    #[error("{0}")]
    Disk(std::io::Error),
    /// Upstream.
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl From<git2::Error> for Trouble {
    fn from(error: git2::Error) -> Self {
        // The system's refusals are no damage: a new copy would meet them too.
        match error.class() {
            git2::ErrorClass::Os | git2::ErrorClass::NoMemory if error.code() != git2::ErrorCode::NotFound => {
                Self::Disk(std::io::Error::other(error))
            }
            _ => Self::Damaged(error),
        }
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Disk(error)
    }
}

impl Caches {
    /// The folder is made if it is not there; its parent must be.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(folder: PathBuf) -> std::io::Result<Self> {
        match std::fs::create_dir(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(Self { folder: folder.into() }),
        }
    }

    /// The copy that a mirror uses. Touches nothing.
    pub fn of(&self, network: GithubId, mirror: GithubId) -> Cache {
        Cache { folder: Arc::clone(&self.folder), network, mirror }
    }

    /// Every mirror of which something is kept, with its network. Also removes what a run that was cut
    /// off has left to be thrown away.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn holders(&self) -> Result<Vec<Cache>, WireError> {
        let caches = self.clone();
        let found = tokio::task::spawn_blocking(move || caches.look()).await;
        found.map_err(std::io::Error::other).and_then(|it| it).map_err(|error| failed(&self.folder, &error))
    }

    fn look(&self) -> std::io::Result<Vec<Cache>> {
        let mut holders = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.contains(copy::GONE) {
                // It may be in the middle of being removed.
                let _ = std::fs::remove_dir_all(entry.path());
            }
            let Some(network) = name.strip_suffix(".git").and_then(|it| it.parse().ok()).map(GithubId) else {
                continue;
            };
            // One that cannot be read is its first mirror's to find out about.
            let mirrors = copy::mirrors_of(&entry.path()).unwrap_or_else(|_| [network].into());
            holders.extend(mirrors.into_iter().map(|mirror| self.of(network, mirror)));
        }
        Ok(holders)
    }
}

impl Cache {
    /// The mirror whose part this is.
    pub fn mirror(&self) -> GithubId {
        self.mirror
    }

    /// The network whose copy holds it.
    pub fn network(&self) -> GithubId {
        self.network
    }

    fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.git", self.network))
    }

    async fn lock(&self) -> Result<Arc<Guard>, Trouble> {
        Ok(Arc::new(Guard::take(&self.folder.join(format!("{}.lock", self.network))).await?))
    }

    /// Runs git on a thread that may block, holding the lock until it is really done.
    async fn work<T: Send + 'static>(
        &self,
        guard: &Arc<Guard>,
        work: impl FnOnce(&Copy) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let (path, guard, mirror) = (self.path(), Arc::clone(guard), self.mirror);
        let done = tokio::task::spawn_blocking(move || {
            let _held = guard;
            work(&Copy::open(&path, mirror)?)
        });
        done.await.map_err(std::io::Error::other)?
    }

    /// Brings the copy level with what upstream shows: fetches what is missing, then moves its refs.
    /// A damaged copy is thrown away and fetched anew, once.
    ///
    /// # Errors
    /// Those of fetching; [`WireError::Cache`] where the disk refuses, or a new copy cannot be used either.
    pub async fn fill(
        &self,
        upstream: &Upstream,
        refs: &RefMap,
        max_bytes: Option<u64>,
        progress: &Progress,
    ) -> Result<Filled, WireError> {
        match self.filled(upstream, refs, max_bytes, progress).await {
            Err(Trouble::Damaged(why)) => {
                self.discard(&why).await?;
                let again = self.filled(upstream, refs, max_bytes, progress).await;
                again.map_err(|it| self.told(it))
            }
            other => other.map_err(|it| self.told(it)),
        }
    }

    async fn filled(
        &self,
        upstream: &Upstream,
        refs: &RefMap,
        max_bytes: Option<u64>,
        progress: &Progress,
    ) -> Result<Filled, Trouble> {
        let guard = self.lock().await?;
        let wanted: BTreeSet<Oid> = refs.values().copied().collect();
        let (missing, haves) = self.work(&guard, move |it| Ok((it.missing(&wanted)?, it.haves()?))).await?;
        let mut filled = Filled::default();
        if !missing.is_empty() {
            progress.enter(Phase::Fetching);
            let pack = upstream.fetch(&missing, &haves, FetchOptions::RELAY).await?;
            filled.objects = u64::from(pack.objects());
            progress.promised(pack.objects());
            filled.received = intake::take(pack, &self.path(), &guard, max_bytes, progress).await?;
        }
        let refs = refs.clone();
        self.work(&guard, move |it| it.set_refs(&refs)).await?;
        let repacked = self.work(&guard, Copy::repack_if_due).await;
        if let Err(Trouble::Disk(error)) = &repacked {
            tracing::warn!(%error, network = %self.network, "the copy could not be repacked; it goes on as it is");
            return Ok(filled);
        }
        repacked.map(|()| filled)
    }

    /// A pack of everything that `wants` need and `haves` do not imply, out of the copy. A copy that is
    /// damaged is filled anew first.
    ///
    /// # Errors
    /// As [`Cache::fill`], and those of the spool.
    pub(crate) async fn pack(&self, source: &CacheSource<'_>, needs: Needs<'_>) -> Result<Built, WireError> {
        let fill = || self.fill(source.upstream, source.refs, source.max_bytes, source.progress);
        if self.lacks(needs.wants).await.map_err(|it| self.told(it))? {
            fill().await?;
        }
        match self.built(source.spool, needs).await {
            Err(Trouble::Damaged(why)) => {
                self.discard(&why).await?;
                fill().await?;
                self.built(source.spool, needs).await.map_err(|it| self.told(it))
            }
            other => other.map_err(|it| self.told(it)),
        }
    }

    async fn lacks(&self, wants: &[Oid]) -> Result<bool, Trouble> {
        let wanted: BTreeSet<Oid> = wants.iter().copied().collect();
        let guard = self.lock().await?;
        match self.work(&guard, move |it| Ok(!it.missing(&wanted)?.is_empty())).await {
            // Filling finds out, and mends it.
            Err(Trouble::Damaged(_)) => Ok(true),
            other => other,
        }
    }

    async fn built(&self, spool: &Spool, needs: Needs<'_>) -> Result<Built, Trouble> {
        let guard = self.lock().await?;
        let called_off = CancellationToken::new();
        let _when_dropped = called_off.clone().drop_guard();
        let (tell, told) = tokio::sync::mpsc::channel(8);
        let (wants, haves) = (needs.wants.to_vec(), needs.haves.to_vec());
        let work = self.work(&guard, move |it| pack::build(it, &wants, &haves, &tell, &called_off));
        let (pieces, scan) = needs.scan.then(|| Scan::begin(Thoroughness::Whole)).unzip();
        let (objects, spooled) = tokio::join!(work, spool.hold_pieces(told, pieces));
        // A spool that fails calls the making off: its own word is the cause.
        let spooled = spooled?;
        Ok(Built { objects: objects?, spooled, scan })
    }

    /// Whether `old` is reachable from `new`; [`Ancestry::Unknown`] if the copy does not hold both.
    pub async fn is_ancestor(&self, old: Oid, new: Oid) -> Ancestry {
        let asked = async {
            let guard = self.lock().await?;
            self.work(&guard, move |it| it.is_ancestor(old, new)).await
        };
        asked.await.unwrap_or(Ancestry::Unknown)
    }

    /// Which of these refs do not end at a commit. Those that the copy lacks are not named.
    ///
    /// # Errors
    /// Where the copy cannot be read.
    pub async fn not_commits(&self, refs: Vec<(RefName, Oid)>) -> Result<BTreeSet<RefName>, WireError> {
        let asked = async {
            let guard = self.lock().await?;
            self.work(&guard, move |it| Ok(it.not_commits(refs))).await
        };
        asked.await.map_err(|it| self.told(it))
    }

    /// Forgets the mirror. The copy goes with the last one; what only this one needed goes when the
    /// copy is repacked.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn forget(&self) -> Result<(), WireError> {
        let forgotten = async {
            let guard = self.lock().await?;
            let is_last = self.work(&guard, |it| it.forget()).await;
            if !matches!(is_last, Ok(false)) {
                self.remove(&guard).await?;
            }
            Ok(())
        };
        forgotten.await.map_err(|it: Trouble| self.told(it))
    }

    async fn discard(&self, why: &git2::Error) -> Result<(), WireError> {
        tracing::warn!(network = %self.network, error = %why, "a damaged copy is thrown away");
        let discarded = async {
            let guard = self.lock().await?;
            self.remove(&guard).await
        };
        discarded.await.map_err(|it: Trouble| self.told(it))
    }

    async fn remove(&self, guard: &Arc<Guard>) -> Result<(), Trouble> {
        let (path, guard) = (self.path(), Arc::clone(guard));
        let removed = tokio::task::spawn_blocking(move || {
            let _held = guard;
            copy::remove(&path)
        });
        Ok(removed.await.map_err(std::io::Error::other)??)
    }

    fn told(&self, trouble: Trouble) -> WireError {
        match trouble {
            Trouble::Wire(error) => error,
            other => failed(&self.folder, &std::io::Error::other(other.to_string())),
        }
    }
}

fn failed(folder: &Path, error: &std::io::Error) -> WireError {
    WireError::Cache { folder: folder.to_owned(), detail: error.to_string() }
}

/// What a pack is needed for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needs<'a> {
    pub(crate) wants: &'a [Oid],
    pub(crate) haves: &'a [Oid],
    /// Look for LFS pointers in it.
    pub(crate) scan: bool,
}

/// A copy as the source of packs, and what to fill it from should it turn out to be damaged.
#[derive(Debug, Clone, Copy)]
pub struct CacheSource<'a> {
    /// The copy.
    pub cache: &'a Cache,
    /// Where it comes from.
    pub upstream: &'a Upstream,
    /// What upstream shows.
    pub refs: &'a RefMap,
    /// Objects that the target has; more than would be told to a server.
    pub haves: &'a [Oid],
    /// Where the pack waits.
    pub spool: &'a Spool,
    /// Packs above so many bytes are given up.
    pub max_bytes: Option<u64>,
    /// Told as bytes move.
    pub progress: &'a Progress,
}

/// A pack that was made out of a copy.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) objects: u32,
    pub(crate) spooled: Spooled,
    pub(crate) scan: Option<Scan>,
}
