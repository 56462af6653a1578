//! LFS objects that cannot be had: whether a ref of upstream still needs them, and whether upstream
//! itself says that they are kept at another server.
//!
//! An object that no ref needs is tried further, and not missed. Another server is named, never asked: our
//! credential is GitHub's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use serde_json::Value;

use super::round::{Run, View};
use crate::domain::lfs::Pointer;
use crate::domain::lfs_config;
use crate::domain::plan::{Answers, Change, Plan};
use crate::domain::policy;
use crate::domain::refs::RefMap;
use crate::git;
use crate::github::{Question, Told};
use crate::stages::failure::Failure;
use crate::stages::messages::Depth;
use crate::store::Connection;
use crate::store::lfs as table;
use crate::store::lfs::reach;

impl Run<'_> {
    /// Refs are about to be overwritten or deleted: what only they needed is not missed any more. What is
    /// not missed may be needed again by any ref that moves; that has time until the next close look.
    pub(super) async fn doubt_reach(&mut self, plan: &Plan, answers: &Answers) -> Result<(), Failure> {
        let loses = |it: &Change| it.old.is_some() && !answers.descendants.contains(&it.at);
        let loses = plan.changes.iter().any(loses);
        if !self.lfs.known.used || !(loses || self.lfs.known.unneeded) {
            return Ok(());
        }
        self.lfs.loses |= loses;
        if !self.lfs.known.doubted {
            let mirror = self.ticket.mirror;
            self.tools.store.write(move |c| reach::doubt(c, mirror)).await?;
            self.lfs.known.doubted = true;
        }
        Ok(())
    }

    /// Finds out which of the missed objects upstream's refs still need, if refs went since that was last
    /// known. All that they hold is searched, so it is done at a close look or right after they went, but not
    /// for each branch of a day.
    pub(super) async fn miss_only_what_is_needed(&mut self, view: &View, depth: Depth) -> Result<(), Failure> {
        let (mirror, now) = (self.ticket.mirror, Utc::now());
        let rested = policy::is_due(self.lfs.known.searched_at, policy::DEEP_CHECK, now);
        let asks = self.lfs.known.doubted && (depth == Depth::Full || (self.lfs.loses && rested));
        if !(asks && self.lfs.on && self.lfs.known.used) {
            return Ok(());
        }
        let read = move |c: &mut Connection| Ok((reach::missed(c, mirror)?, reach::has_garbage(c, mirror)?));
        let (missed, garbage) = self.tools.store.read(read).await?;
        if missed.is_empty() && !garbage && !self.lfs.known.unneeded {
            return Ok(());
        }
        self.tools.store.write(move |c| reach::begin_search(c, mirror, now)).await?;
        let Some(found) = self.search_tips(view).await else { return Ok(()) };
        let unneeded: Vec<Pointer> = missed.difference(&found.pointers).copied().collect();
        tracing::info!(
            missed = missed.len(),
            unneeded = unneeded.len(),
            "LFS objects are missed only where refs need them"
        );
        self.lfs.known.doubted = false;
        self.lfs.known.unneeded |= !unneeded.is_empty();
        self.lfs.due = true;
        self.tools
            .store
            .write(move |c| {
                table::found(c, mirror, &found.pointers, &found.garbage)?;
                reach::settle(c, mirror, &unneeded, found.garbage.keys())
            })
            .await?;
        self.bring_lfs().await
    }

    /// Every pointer that upstream's refs reach; `None` if that cannot be found out now.
    async fn search_tips(&self, view: &View) -> Option<git::Findings> {
        let wants = git::wants(view.upstream.values(), &RefMap::new());
        if wants.is_empty() {
            return Some(git::Findings::default());
        }
        let search = self.watched(git::scan_all(&self.upstream, &wants, &[]));
        match tokio::time::timeout_at(self.lfs.until, search).await {
            Ok(Ok(found)) if found.is_complete() => return Some(found),
            Ok(Ok(_)) => tracing::warn!("not every LFS pointer could be read; the next close look tries again"),
            Ok(Err(error)) => tracing::warn!(%error, "LFS pointers were not searched for; the next close look does it"),
            Err(_) => tracing::warn!("no time was left to search for LFS pointers; the next close look does it"),
        }
        None
    }

    /// Asks upstream for its `.lfsconfig` once it did not give objects; at each close look anew.
    pub(super) async fn ask_where_objects_are(&mut self, depth: Depth) -> Result<(), Failure> {
        let known = self.lfs.known.elsewhere.is_some() && depth != Depth::Full;
        if !self.lfs.refused || known {
            return Ok(());
        }
        let path = ["contents", ".lfsconfig"];
        let question = Question { repository: self.sides.github_id, path: &path, query: &[], etag: None };
        let text = match self.tools.github.sheet(&question).await.map(|it| it.told) {
            Ok(Told::Items(items)) => items.first().and_then(content).unwrap_or_default(),
            Ok(Told::Absent(_)) => String::new(),
            Ok(Told::Unchanged) => return Ok(()),
            Err(error) => {
                tracing::debug!(%error, "upstream's .lfsconfig could not be read");
                return Ok(());
            }
        };
        let own = self.tools.github.git_url(&self.sides.repository);
        let own = self.tools.github.lfs_url(own);
        let place = lfs_config::elsewhere(&text, &own).map(|it| it.to_string()).unwrap_or_default();
        if self.lfs.known.elsewhere.as_ref() != Some(&place) {
            let (mirror, told) = (self.ticket.mirror, place.clone());
            self.tools.store.write(move |c| reach::set_elsewhere(c, mirror, &told)).await?;
            self.lfs.known.elsewhere = Some(place);
        }
        Ok(())
    }
}

/// The text of a file as GitHub's contents endpoint gives it.
fn content(file: &Value) -> Option<String> {
    let encoded: String = file.get("content")?.as_str()?.split_ascii_whitespace().collect();
    String::from_utf8(STANDARD.decode(encoded).ok()?).ok()
}
