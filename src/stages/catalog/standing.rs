//! Where the catalog's ref stands in OneDev, what that means, and who else may want its name.

use chrono::Utc;

use super::slice::Slice;
use crate::domain::kept::{KeptRef, Reason, kept_name};
use crate::domain::naming::ProjectPath;
use crate::domain::refs::{Oid, RefMap, RefName};
use crate::domain::retry::Retry;
use crate::git::{Address, Command, Progress, Push, Target};
use crate::stages::failure::Failure;
use crate::store::{catalog, kept, tips};

/// What the next commit is put on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ground {
    /// Where the ref stands, as OneDev must find it.
    pub(super) old: Option<Oid>,
    /// The commit before.
    pub(super) parent: Option<Oid>,
    /// That commit's tree, if it stands there and is known.
    pub(super) tree: Option<Oid>,
}

impl Slice<'_> {
    /// A ref of upstream's is upstream's: the catalog never stands in its place.
    pub(super) async fn check_ref(&self) -> Result<(), Failure> {
        let (mirror, name) = (self.mirror.id, self.tools.sync.metadata_ref.clone());
        let wanted = name.clone();
        let taken = self.tools.store.read(move |c| {
            let (put, _) = tips::load(c, mirror)?;
            Ok(put.contains_key(&name) || put.keys().any(|it| is_below(it, &name) || is_below(&name, it)))
        });
        if wanted.branch().is_none() || !taken.await? {
            return Ok(());
        }
        let message = format!(
            "upstream has {wanted} itself, or a ref in its way: set sync.metadata_ref to a name that no upstream has"
        );
        Err(Failure::new("metadata_ref_taken", message, Retry::Never))
    }

    /// The project.
    pub(super) fn target(&self) -> Result<Target, Failure> {
        let url = self.tools.onedev.push_url(&self.project()?);
        // By SSH a key tells who we are.
        let authorization = (url.scheme() != "ssh").then(|| self.tools.onedev.git_authorization());
        let address = Address { url, authorization, service: "onedev" };
        Ok(Target::new(self.tools.connections.clone(), address, self.tools.metrics.clone(), self.tools.wire)?)
    }

    /// The project's path as it is remembered.
    pub(super) fn project(&self) -> Result<ProjectPath, Failure> {
        let project = self.mirror.project.as_ref();
        let project = project.ok_or_else(|| Failure::new("no_project", "it has no project yet", Retry::Backoff))?;
        project.path.parse().map_err(|error| {
            Failure::new("project_path", format!("the project's path cannot be used: {error}"), Retry::Never)
        })
    }

    /// Compares where the ref stands with where we put it, and keeps what somebody else put there.
    pub(super) async fn ground(&self, target: &Target, refs: &RefMap) -> Result<Ground, Failure> {
        let (mirror, name) = (self.mirror.id, &self.tools.sync.metadata_ref);
        let mut known = self.catalog().await?;
        let old = refs.get(name).copied();
        if let Some((commit, tree)) = known.intent.filter(|(commit, _)| Some(*commit) == old) {
            // The push was carried out, and the run that made it was cut off.
            let (tip, now) = (Some((commit, Some(tree))), Utc::now());
            self.tools.store.write(move |c| catalog::stand(c, mirror, tip, Some(now))).await?;
            (known.tip, known.tree) = (Some(commit), Some(tree));
        }
        let moved = known.ref_name.as_ref().is_some_and(|it| it != name);
        match (old, known.tip) {
            (Some(old), Some(tip)) if old == tip => Ok(Ground { old: Some(old), parent: Some(tip), tree: known.tree }),
            // Another name was configured: the history goes on under the new one.
            (None, Some(tip)) if moved => Ok(Ground { old: None, parent: Some(tip), tree: None }),
            // Somebody deleted it: its objects are most likely still there.
            (None, tip) => Ok(Ground { old: None, parent: tip, tree: None }),
            // We know nothing of it any more: what stands there is what came before, and all of it is written anew,
            // also what a reading back that was cut off has noted.
            (Some(old), None) => {
                self.tools.store.write(move |c| catalog::forget_published(c, mirror)).await?;
                Ok(Ground { old: Some(old), parent: Some(old), tree: None })
            }
            (Some(old), Some(tip)) => {
                self.keep(target, old).await?;
                Ok(Ground { old: Some(old), parent: Some(tip), tree: None })
            }
        }
    }

    /// What somebody else put in the catalog's place has a kept ref before it is replaced.
    async fn keep(&self, target: &Target, oid: Oid) -> Result<(), Failure> {
        let (name, now) = (self.tools.sync.metadata_ref.clone(), Utc::now());
        let kept = kept_name(&name, oid, now)
            .map_err(|error| Failure::new("kept_ref_name", error.to_string(), Retry::Never))?;
        let command = Command { name: kept.clone(), old: Oid::ZERO, new: oid };
        let progress = std::sync::Arc::new(Progress::new(&self.tools.metrics));
        let permit = self.turn().await?;
        let report = target.push(&Push::plain(vec![command]), &progress).await?;
        drop(permit);
        if let Some((name, reason)) = report.refused().next() {
            let message = format!("OneDev refused the kept ref {name} ({}); nothing was overwritten", reason.reason());
            return Err(Failure::new("kept_ref_refused", message, Retry::Backoff));
        }
        self.tools.metrics.kept_refs.inc();
        let mirror = self.mirror.id;
        let keeps = [KeptRef { name, kept, oid, reason: Reason::MovedInOnedev }];
        self.tools.store.write(move |c| kept::insert(c, mirror, &keeps, now)).await?;
        Ok(())
    }
}

fn is_below(name: &RefName, folder: &RefName) -> bool {
    name.as_str().strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
}
