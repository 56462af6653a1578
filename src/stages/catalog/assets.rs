//! Release assets and attachments: brought into OneDev as LFS objects, hashed on the way.
//!
//! GitHub tells the digest of newer assets. Of all other files the content is read once to learn what it
//! is, and once more to bring it: that keeps nothing on disk and memory flat. What OneDev says it has is
//! read back and hashed, since a server that was killed leaves short files.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use url::Url;

use super::slice::Slice;
use crate::domain::catalog::Kind;
use crate::domain::catalog::asset::Asset;
use crate::domain::lfs::{self, Pointer};
use crate::domain::retry::Retry;
use crate::git::{
    Address, Answer, Download, LfsEndpoint, ObjectError, Operation, Progress, Side, Source, Standing, measure,
};
use crate::stages::failure::Failure;
use crate::store::catalog::assets::{self, Kept};

/// Smaller files are read whole before their upload begins.
const SMALL: u64 = 1 << 20;

/// Why a file could not be brought.
struct Trouble {
    reason: String,
    retry: Retry,
}

impl<E: Into<Failure>> From<E> for Trouble {
    fn from(error: E) -> Self {
        let failure: Failure = error.into();
        Self { reason: failure.message, retry: failure.retry }
    }
}

fn object(error: &ObjectError) -> Trouble {
    Trouble { reason: error.to_string(), retry: error.retry() }
}

impl Slice<'_> {
    /// Brings the next file that is due; `false` when none is. What cannot be brought is named and tried
    /// again at its time.
    pub(super) async fn bring_one(&self) -> Result<bool, Failure> {
        let mirror = self.mirror.id;
        if !self.tools.sync.lfs {
            return Ok(false);
        }
        let Some(kept) = self.tools.store.read(move |c| assets::due(c, mirror, Utc::now())).await? else {
            return Ok(false);
        };
        let asset = kept.asset.clone();
        let limit = self.tools.sync.timeout;
        let brought = tokio::time::timeout(limit, self.bring(&kept)).await;
        match brought.unwrap_or_else(|_| Err(too_slow(limit))) {
            Ok(()) => self.tools.store.write(move |c| assets::arrived(c, mirror, &asset)).await?,
            Err(Trouble { reason, retry }) => {
                tracing::info!(name = asset.name, "a file of the catalog is not there: {reason}");
                let next = Utc::now() + lfs::pause(retry, kept.attempts + 1, rand::random());
                self.tools.store.write(move |c| assets::failed(c, mirror, &asset, &reason, next)).await?;
            }
        }
        Ok(true)
    }

    async fn bring(&self, kept: &Kept) -> Result<(), Trouble> {
        let asset = &kept.asset;
        let most = self.most(asset);
        if let Some(size) = asset.size.filter(|it| most.is_some_and(|most| *it > most)) {
            return Err(too_large(size, most));
        }
        let pointer = match kept.pointer {
            Some(pointer) => pointer,
            None => self.measured(asset, most).await?,
        };
        if pointer.is_empty() {
            return Ok(());
        }
        let target = self.lfs()?;
        let _claim = target.claim(&[pointer]).await;
        let link = match target.ask(Operation::Upload, &[pointer]).await.map_err(|error| object(&error))?.pop() {
            Some((_, Answer::Link(link))) => link,
            Some((_, Answer::Refused(error))) => return Err(object(&error)),
            Some((_, Answer::Present)) | None => match target.check(pointer).await.map_err(|error| object(&error))? {
                Standing::Good => return Ok(()),
                _ => target.known_address(pointer.oid),
            },
        };
        let stall = self.tools.wire.stall;
        let response = self.opened(asset).await?;
        let download = Download::of(response, pointer, Side::Upstream, stall).map_err(|error| object(&error))?;
        let progress = Arc::new(Progress::new(&self.tools.metrics));
        let download = download.counted_by(&progress);
        let source = if pointer.size <= SMALL {
            Source::Whole(download.whole().await.map_err(|error| object(&error))?)
        } else {
            Source::Coming(Box::new(download))
        };
        target.put(pointer, link, source, &progress).await.map_err(|error| object(&error))
    }

    /// Reads a file to learn what it is, and remembers that.
    async fn measured(&self, asset: &Asset, most: Option<u64>) -> Result<Pointer, Trouble> {
        let response = self.opened(asset).await?;
        let found = measure(response, Side::Upstream, self.tools.wire.stall, most.unwrap_or(u64::MAX)).await;
        let Some(pointer) = found.map_err(|error| object(&error))? else {
            return Err(too_large(most.unwrap_or_default(), most));
        };
        if let Some(size) = asset.size.filter(|it| *it != pointer.size) {
            let reason = format!("GitHub says {size} bytes and gives {}", pointer.size);
            return Err(Trouble { reason, retry: Retry::Backoff });
        }
        let (mirror, asset) = (self.mirror.id, asset.clone());
        self.tools.store.write(move |c| assets::measured(c, mirror, &asset, pointer)).await.map_err(Failure::from)?;
        Ok(pointer)
    }

    async fn opened(&self, asset: &Asset) -> Result<reqwest::Response, Trouble> {
        let github = &self.tools.github;
        if asset.kind == Kind::Release {
            return Ok(github.asset(self.mirror.github_id, &asset.key).await?);
        }
        let url = Url::parse(&asset.url)
            .map_err(|_| Trouble { reason: "its address is malformed".to_owned(), retry: Retry::Never })?;
        Ok(github.attachment(&url).await?)
    }

    /// The largest file of this kind that is brought. Bytes.
    fn most(&self, asset: &Asset) -> Option<u64> {
        let sync = &self.tools.sync;
        if asset.kind == Kind::Release { sync.max_bytes } else { Some(sync.attachment_max_bytes) }
    }

    fn lfs(&self) -> Result<LfsEndpoint, Trouble> {
        let tools = self.tools;
        let address = Address {
            url: tools.onedev.git_url(&self.project()?),
            authorization: Some(tools.onedev.git_authorization()),
            service: "onedev",
        };
        let (http, claims, metrics) = (tools.connections.http(), tools.claims.clone(), tools.metrics.clone());
        Ok(LfsEndpoint::new(http, address, Side::Target, claims, metrics, tools.wire)?)
    }
}

fn too_slow(limit: Duration) -> Trouble {
    Trouble { reason: format!("it took longer than sync.timeout ({limit:?})"), retry: Retry::Backoff }
}

fn too_large(size: u64, most: Option<u64>) -> Trouble {
    let reason = format!("it has {size} bytes or more; at most {} are brought", most.unwrap_or_default());
    // Only another setting helps, and that is looked at from time to time.
    Trouble { reason, retry: Retry::After(Duration::from_secs(86_400)) }
}
