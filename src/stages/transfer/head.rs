//! OneDev's default branch: right from the first push on, and moved before its branch is deleted.

use super::round::{Run, View};
use crate::domain::kept;
use crate::domain::plan::{Change, Keep, Plan};
use crate::domain::refs::{Head, RefName};
use crate::domain::retry::Retry;
use crate::stages::failure::Failure;
use crate::stages::messages::Depth;

impl Run<'_> {
    /// The branch that must be pushed before all others, if one must: on a project without a default
    /// branch OneDev takes the *last* branch of a push for it, so the right one goes alone.
    pub(super) async fn goes_first(&mut self, plan: &Plan, view: &View) -> Result<Option<RefName>, Failure> {
        let creates = |name: &RefName| plan.changes.iter().any(|it| &it.at == name && it.new.is_some());
        let wanted = self.wanted_head(view);
        let has_branches = view.target.keys().any(|it| it.branch().is_some());
        if !has_branches || self.loses_head(plan).await? {
            return Ok(wanted.filter(|it| creates(it) && !self.stands_in_the_way(it, view)));
        }
        Ok(None)
    }

    /// A branch cannot be made while one stands where its folder, or its file, would be.
    fn stands_in_the_way(&self, wanted: &RefName, view: &View) -> bool {
        view.target.keys().any(|it| is_below(it, wanted) || is_below(wanted, it))
    }

    /// Git refuses to delete the branch that HEAD points at: point it elsewhere first.
    pub(super) async fn free_head(&mut self, plan: &Plan, view: &mut View) -> Result<(), Failure> {
        let wanted = self.wanted_head(view).filter(|it| view.target.contains_key(it));
        let gone = |name: &RefName| plan.changes.iter().any(|it| &it.at == name && it.new.is_none());
        let stays = || view.target.keys().find(|it| it.branch().is_some() && !gone(it)).cloned();
        let branch = match wanted.or_else(stays) {
            Some(branch) => branch,
            None => match self.stand_in(view).await? {
                Some(branch) => branch,
                None => return Ok(()),
            },
        };
        self.set_head(&branch).await
    }

    /// A branch for the moment in which none of the old ones stays and the new one has no room yet.
    async fn stand_in(&mut self, view: &mut View) -> Result<Option<RefName>, Failure> {
        let (Ok(name), Some(tip)) = (RefName::new(kept::STAND_IN), self.loose_tip(view)) else { return Ok(None) };
        let change = Change { name: name.clone(), at: name.clone(), old: None, new: Some(tip), keep: Keep::No };
        self.put_announced(&change, view).await?;
        Ok(view.target.contains_key(&name).then_some(name))
    }

    fn loose_tip(&self, view: &View) -> Option<crate::domain::refs::Oid> {
        let head = view.list.head.target().and_then(|it| view.upstream.get(it));
        head.or_else(|| view.upstream.iter().find(|(it, _)| it.branch().is_some()).map(|(_, oid)| oid)).copied()
    }

    pub(super) async fn loses_head(&mut self, plan: &Plan) -> Result<bool, Failure> {
        let deleted: Vec<&str> =
            plan.changes.iter().filter(|it| it.new.is_none()).filter_map(|it| it.at.branch()).collect();
        if deleted.is_empty() {
            return Ok(false);
        }
        let current = self.current_head().await?;
        Ok(current.is_some_and(|it| deleted.contains(&it.as_str())))
    }

    /// Upstream's default branch if it exists there; without one, the branch people would expect.
    fn wanted_head(&self, view: &View) -> Option<RefName> {
        let born = |name: &RefName| view.upstream.contains_key(name) && !self.refused.contains_key(name);
        if let Head::Branch(name) | Head::Unborn(name) = &view.list.head
            && born(name)
        {
            return Some(name.clone());
        }
        let usual = ["refs/heads/main", "refs/heads/master"].iter().filter_map(|it| RefName::new(it).ok()).find(born);
        usual.or_else(|| view.upstream.keys().find(|it| it.branch().is_some() && born(it)).cloned())
    }

    async fn current_head(&mut self) -> Result<Option<String>, Failure> {
        if self.default_branch.is_none() {
            self.default_branch = Some(self.tools.onedev.default_branch(self.sides.project).await?);
        }
        Ok(self.default_branch.clone().flatten())
    }

    async fn set_head(&mut self, branch: &RefName) -> Result<(), Failure> {
        let Some(name) = branch.branch() else { return Ok(()) };
        if self.current_head().await?.as_deref() != Some(name) {
            self.check_project().await?;
            self.tools.onedev.set_default_branch(self.sides.project, name).await?;
            self.default_branch = Some(Some(name.to_owned()));
        }
        Ok(())
    }

    /// REST knows projects by id, and OneDev gives ids away again: none but the project at our path is changed.
    pub(super) async fn check_project(&self) -> Result<(), Failure> {
        let found = self.tools.onedev.project(self.sides.project).await?;
        if found.is_some_and(|it| it.is_at(&self.path)) {
            return Ok(());
        }
        let message = format!("project {} does not stand at {} any more", self.sides.project, self.path);
        Err(Failure::new("onedev_not_found", message, Retry::Backoff))
    }

    /// After the refs are level: the default branch follows upstream's.
    pub(super) async fn settle_head(&mut self, view: &View, depth: Depth) -> Result<(), Failure> {
        let Some(wanted) = self.wanted_head(view) else { return Ok(()) };
        let known = self.sides.default_branch.as_deref() == wanted.branch();
        if known && depth != Depth::Full && self.default_branch.is_none() {
            return Ok(());
        }
        // A push may have moved it since it was read.
        self.default_branch = None;
        self.set_head(&wanted).await
    }

    /// (upstream's, OneDev's) default branch where they differ.
    pub(super) async fn head_difference(&mut self, view: &View) -> Result<Option<(String, Option<String>)>, Failure> {
        let Some(wanted) = self.wanted_head(view).and_then(|it| it.branch().map(str::to_owned)) else {
            return Ok(None);
        };
        let current = self.current_head().await?;
        Ok((current.as_deref() != Some(wanted.as_str())).then_some((wanted, current)))
    }
}

fn is_below(name: &RefName, folder: &RefName) -> bool {
    name.as_str().strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
}
