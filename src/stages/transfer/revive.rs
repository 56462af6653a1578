//! A kept ref becomes a branch again: one that is foreign from then on, so that no sync moves or deletes it.
//!
//! Asked for by the API and the command line. GitHub may be down or the upstream gone: then what was last
//! mirrored tells which names are upstream's.

use std::sync::Arc;

use actix::{Handler, ResponseActFuture, WrapFuture as _};

use super::TransferActor;
use super::round::{self, Run, Tools};
use crate::config::sync::ForeignRefs;
use crate::domain::ids::MirrorId;
use crate::domain::refs::{Oid, RefName};
use crate::domain::retry::Retry;
use crate::onedev::OnedevError;
use crate::stages::failure::Failure;
use crate::stages::messages::{Revive, Ticket, TwoSides};
use crate::store::kept::Kept;
use crate::store::tips;

impl Handler<Revive> for TransferActor {
    type Result = ResponseActFuture<Self, Result<Oid, Failure>>;

    fn handle(&mut self, message: Revive, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        Box::pin(async move { revive(&tools, &message).await }.into_actor(self))
    }
}

fn refused(code: &'static str, message: String) -> Failure {
    Failure::new(code, message, Retry::Never)
}

async fn revive(tools: &Tools, message: &Revive) -> Result<Oid, Failure> {
    let Revive { mirror, sides, kept, branch } = message;
    let Some(short) = branch.branch() else {
        return Err(refused("branch_malformed", format!("{branch} is no branch")));
    };
    if tools.sync.foreign_refs == ForeignRefs::Prune {
        let why = "sync.foreign_refs is `prune`: the next sync would delete the branch again; set it to `keep`";
        return Err(refused("branch_would_be_pruned", why.to_owned()));
    }
    refuse_upstreams(tools, *mirror, sides, branch).await?;
    let commit = commit_of(tools, sides, kept, branch).await?;
    if !tools.onedev.commit_exists(sides.project, commit).await? {
        let why = format!("{} holds {commit}, which is no commit: it cannot be a branch", kept.kept_ref);
        return Err(refused("kept_no_commit", why));
    }
    match tools.onedev.create_branch(sides.project, short, commit).await {
        Ok(()) => Ok(commit),
        Err(OnedevError::Rejected { text, .. } | OnedevError::Server { text, .. }) => {
            Err(refused("branch_refused", format!("OneDev does not make the branch {short}: {text}")))
        }
        Err(error) => Err(error.into()),
    }
}

/// A name that upstream has, or had when it was last mirrored, is upstream's.
async fn refuse_upstreams(tools: &Tools, mirror: MirrorId, sides: &TwoSides, branch: &RefName) -> Result<(), Failure> {
    let (put, intents) = tools.store.read(move |c| tips::load(c, mirror)).await?;
    let mut taken = put.contains_key(branch) || intents.contains_key(branch);
    taken |= sides.not_level.iter().any(|it| it.name == *branch);
    if !taken {
        let ticket = Ticket::unqueued(mirror);
        let list = async { Run::open(tools, &ticket, sides).await?.read_upstream().await };
        match list.await {
            Ok(list) => taken = list.refs.contains_key(branch),
            Err(failure) => {
                tracing::warn!(
                    code = failure.code,
                    "upstream cannot be read, what was last mirrored decides: {failure}"
                );
            }
        }
    }
    if taken {
        let why = format!("{branch} is a name of upstream's, so the next sync would move it; choose another");
        return Err(refused("branch_is_upstreams", why));
    }
    Ok(())
}

/// The commit that a kept ref ends at; an annotated tag is peeled.
async fn commit_of(tools: &Tools, sides: &TwoSides, kept: &Kept, branch: &RefName) -> Result<Oid, Failure> {
    let project = round::project(tools, &round::path_of(sides)?)?;
    let list = project.ls_refs(&[kept.kept_ref.as_str(), branch.as_str()]).await?;
    if list.refs.contains_key(branch) {
        return Err(refused("branch_exists", format!("there is a {branch} in OneDev already; choose another name")));
    }
    match list.refs.get(&kept.kept_ref) {
        Some(oid) if *oid == kept.oid => Ok(list.peeled.get(&kept.kept_ref).copied().unwrap_or(*oid)),
        _ => Err(refused("kept_ref_gone", format!("{} does not stand in OneDev any more", kept.kept_ref))),
    }
}
