//! Is the old tip part of the new one's history? Asked of upstream with an ordinary fetch.
//!
//! Wanting the old tip while having the new one brings an empty pack exactly if the new one implies
//! the old one. Right with any server that has both, but it may walk over a whole history to find
//! out: OneDev's REST API answers cheaper.

use super::error::WireError;
use super::fetch::FetchOptions;
use super::upstream::Upstream;
use crate::domain::refs::Oid;

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ancestry {
    /// Moving from old to new loses nothing.
    Yes,
    /// The old tip is not reachable from the new one, or upstream does not know the new one.
    No,
    /// Upstream would not or could not tell: treat it as [`Ancestry::No`].
    Unknown,
}

/// Whether `old` is reachable from `new` (or is it). One small request.
pub async fn is_ancestor(upstream: &Upstream, old: Oid, new: Oid) -> Ancestry {
    if old == new {
        return Ancestry::Yes;
    }
    match objects_missing(upstream, old, new).await {
        Ok(0) => Ancestry::Yes,
        Ok(_) => Ancestry::No,
        Err(error) => {
            tracing::debug!(%error, "upstream does not tell whether the old tip is an ancestor");
            Ancestry::Unknown
        }
    }
}

/// How many objects `old` needs beyond those of `new`. The pack itself is not read, save an empty
/// one, whose connection is used again.
async fn objects_missing(upstream: &Upstream, old: Oid, new: Oid) -> Result<u32, WireError> {
    // Leaving trees out makes a "no" cheaper for upstream, which is not worth a request of its own.
    let options = FetchOptions { without_trees: upstream.is_known_to_filter(), ..FetchOptions::default() };
    let mut pack = upstream.fetch(&[old], &[new], options).await?;
    if pack.objects() == 0 {
        while pack.next().await?.is_some() {}
    }
    Ok(pack.objects())
}
