//! What must be asked before anything moves: is the new tip a descendant, and which tags are no commits?

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};

use super::round::{Run, View};
use crate::domain::plan::{Answers, Change, Keep, Plan};
use crate::domain::refs::{Oid, RefName};
use crate::git::{self, Ancestry};
use crate::stages::failure::Failure;

/// Questions at once to one upstream.
const AT_ONCE: usize = 4;
/// More branches than this moved: the rest is kept without asking. When in doubt, keep.
const MOST_ASKED: usize = 64;

impl Run<'_> {
    pub(super) async fn answers(&self, plan: &Plan, view: &View) -> Result<Answers, Failure> {
        let (forward, odd) =
            tokio::join!(self.descendants(plan, |it| it.keep == Keep::Unless), self.odd_tips(plan, view));
        Ok(Answers { odd: odd?, ..forward })
    }

    /// Which of the chosen refs went forward; of many a sample is asked about, spread over all of them. A
    /// question that fails is answered "not known": the old tip is kept.
    pub(super) async fn descendants(&self, plan: &Plan, chosen: impl Fn(&Change) -> bool) -> Answers {
        let all: Vec<&Change> = plan.changes.iter().filter(|it| chosen(it)).collect();
        let sample = spread(all.len(), MOST_ASKED).filter_map(|at| all.get(at));
        let asked: Vec<(RefName, Oid, Oid)> = sample.filter_map(|it| Some((it.at.clone(), it.old?, it.new?))).collect();
        let names = asked.iter().map(|(at, ..)| at.clone()).collect();
        let descendants = stream::iter(asked)
            .map(|(at, old, new)| async move {
                let answer = self.ancestry(old, new).await;
                (answer == Ancestry::Yes).then_some(at)
            })
            .buffer_unordered(AT_ONCE)
            .filter_map(|it| async move { it })
            .collect()
            .await;
        Answers { descendants, asked: names, ..Answers::default() }
    }

    /// Tips of tags that are no commits: OneDev's hook trips over them.
    async fn odd_tips(&self, plan: &Plan, view: &View) -> Result<BTreeSet<Oid>, Failure> {
        let tags: Vec<(&RefName, Oid)> =
            plan.changes.iter().filter(|it| it.name.is_tag()).filter_map(|it| Some((&it.name, it.new?))).collect();
        if tags.is_empty() {
            return Ok(BTreeSet::new());
        }
        if let Some(cache) = &self.cache {
            let odd = cache.not_commits(tags.iter().map(|(name, oid)| ((*name).clone(), *oid)).collect()).await?;
            return Ok(tags.into_iter().filter(|(name, _)| odd.contains(*name)).map(|(_, oid)| oid).collect());
        }
        let census = git::non_commit_tags(&self.upstream, &view.list, tags.iter().map(|(name, _)| *name)).await?;
        Ok(tags.into_iter().filter(|(name, _)| census.not_commits.contains(*name)).map(|(_, oid)| oid).collect())
    }
}

/// At most `most` of the numbers below `len`, evenly spread.
fn spread(len: usize, most: usize) -> impl Iterator<Item = usize> {
    let taken = len.min(most);
    (0..taken).map(move |n| n * len / taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_over_all() {
        assert_eq!(spread(0, 4).count(), 0);
        assert_eq!(spread(3, 4).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(spread(10, 4).collect::<Vec<_>>(), [0, 2, 5, 7]);
    }
}
