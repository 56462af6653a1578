//! What must be asked before anything moves: is the new tip a descendant, and which tags are no commits?

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};

use super::round::{Run, View};
use crate::domain::plan::{Answers, Keep, Plan};
use crate::domain::refs::{Oid, RefName};
use crate::git::{self, Ancestry};
use crate::stages::failure::Failure;

/// Questions at once to one upstream.
const AT_ONCE: usize = 4;
/// More branches than this moved: the rest is kept without asking. When in doubt, keep.
const MOST_ASKED: usize = 64;

impl Run<'_> {
    pub(super) async fn answers(&self, plan: &Plan, view: &View) -> Result<Answers, Failure> {
        let (descendants, odd) = tokio::join!(self.descendants(plan), self.odd_tips(plan, view));
        Ok(Answers { descendants, odd: odd? })
    }

    /// Refs that went forward. A question that fails is answered "not known": the old tip is kept.
    async fn descendants(&self, plan: &Plan) -> BTreeSet<RefName> {
        let asked = plan.changes.iter().filter(|it| it.keep == Keep::Unless).take(MOST_ASKED);
        let asked: Vec<(RefName, Oid, Oid)> = asked.filter_map(|it| Some((it.at.clone(), it.old?, it.new?))).collect();
        stream::iter(asked)
            .map(|(at, old, new)| async move {
                let answer = git::is_ancestor(&self.upstream, old, new).await;
                (answer == Ancestry::Yes).then_some(at)
            })
            .buffer_unordered(AT_ONCE)
            .filter_map(|it| async move { it })
            .collect()
            .await
    }

    /// Tips of tags that are no commits: OneDev's hook trips over them.
    async fn odd_tips(&self, plan: &Plan, view: &View) -> Result<BTreeSet<Oid>, Failure> {
        let tags: Vec<(&RefName, Oid)> =
            plan.changes.iter().filter(|it| it.name.is_tag()).filter_map(|it| Some((&it.name, it.new?))).collect();
        if tags.is_empty() {
            return Ok(BTreeSet::new());
        }
        let census = git::non_commit_tags(&self.upstream, &view.list, tags.iter().map(|(name, _)| *name)).await?;
        Ok(tags.into_iter().filter(|(name, _)| census.not_commits.contains(*name)).map(|(_, oid)| oid).collect())
    }
}
