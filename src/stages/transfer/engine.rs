//! The cached engine's part in a sync: the copy is filled before anything moves, and then asked
//! instead of upstream.

use std::sync::Arc;

use super::round::{Run, Tools, View};
use crate::domain::refs::Oid;
use crate::git::{self, Ancestry, CacheSource, Order, Prepared, WireError};
use crate::stages::failure::Failure;
use crate::store::mirrors;

impl Run<'_> {
    /// Everything that upstream shows is in the copy, if there is one.
    pub(super) async fn fill(&mut self, view: &View) -> Result<(), Failure> {
        let Some(cache) = &self.cache else { return Ok(()) };
        let bytes = Arc::clone(&self.bytes);
        let filled = cache.fill(&self.upstream, &view.upstream, self.tools.sync.max_bytes, &bytes);
        self.stats.bytes_in += self.watched(filled).await?.received;
        Ok(())
    }

    /// Whether moving from one tip to the other loses nothing.
    pub(super) async fn ancestry(&self, old: Oid, new: Oid) -> Ancestry {
        if let Some(cache) = &self.cache {
            let answer = cache.is_ancestor(old, new).await;
            if answer != Ancestry::Unknown {
                return answer;
            }
        }
        git::is_ancestor(&self.upstream, old, new).await
    }

    /// The pack of a push: from upstream, or out of the copy.
    pub(super) async fn prepare(&self, order: &Order, view: &View, streams: bool) -> Result<Prepared, WireError> {
        let Some(cache) = &self.cache else { return self.relay(streams || !self.lfs.on).prepare(order).await };
        // Here it costs nothing to name all that OneDev has.
        let haves: Vec<Oid> = view.target.values().copied().collect();
        let source = CacheSource {
            cache,
            upstream: &self.upstream,
            refs: &view.upstream,
            haves: &haves,
            spool: &self.tools.spool,
            max_bytes: self.tools.sync.max_bytes,
            progress: &self.bytes,
        };
        self.relay(false).prepare_cached(order, &source).await
    }
}

/// Copies of mirrors that are no more, or whose fork network is another one by now, go.
pub(super) async fn tidy(tools: &Tools) -> Result<usize, Failure> {
    let Some(caches) = &tools.caches else { return Ok(0) };
    let mut gone = 0;
    for cache in caches.holders().await? {
        let id = cache.mirror();
        let mirror = tools.store.read(move |c| mirrors::by_github_id(c, id)).await?;
        let network = mirror.map(|it| it.upstream.and_then(|it| it.network).unwrap_or(id));
        if network != Some(cache.network()) {
            cache.forget().await?;
            gone += 1;
        }
    }
    Ok(gone)
}
