//! The third stage: sees to the mirror's OneDev project, and takes it away again where that is due.
//!
//! Where a project is about to be made is committed first, so that an empty project found there after
//! a crash is known as ours.

mod follow;
mod lists;
mod wiki;

use std::sync::Arc;

pub use lists::Lists;

use actix::{Actor, Context, Handler, ResponseActFuture, WrapFuture as _};
use chrono::Utc;

use super::failure::Failure;
use super::messages::{Ensure, EnsureWiki, Ensured, FindAgain, Remove, RollBack, RollBackWiki, TellGone};
use super::panics::Panics;
use super::pool::Guard;
use crate::config::onedev::{OnConflict, OnRename, Visibility};
use crate::domain::ids::ProjectId;
use crate::domain::naming::{Naming, ProjectPath};
use crate::domain::repository::Repository;
use crate::domain::retry::Retry;
use crate::onedev::projects::{self, Known, Placement, Removal, Settings, Wanted};
use crate::onedev::{OnedevClient, OnedevError};
use crate::store::audit::NewEntry;
use crate::store::mirrors::{self, Mirror};
use crate::store::{Store, audit};

/// What the stage works with.
pub struct Tools {
    /// State.
    pub store: Store,
    /// Where the projects are.
    pub onedev: OnedevClient,
    /// Where a mirror goes.
    pub naming: Naming,
    /// What to do with somebody's project.
    pub on_conflict: OnConflict,
    /// Whether a project follows its upstream's name.
    pub on_rename: OnRename,
    /// Who may see a mirror.
    pub visibility: Visibility,
    /// Whose star lists say where a mirror goes, where the naming rule asks.
    pub lists: Lists,
    /// Planned panics; none in production.
    pub panics: Panics,
}

/// The actor: one project at a time.
pub struct EnsureActor {
    tools: Arc<Tools>,
    _guard: Guard,
}

impl EnsureActor {
    /// One child of the stage's pool.
    pub fn new(tools: Arc<Tools>, guard: Guard) -> Self {
        Self { tools, _guard: guard }
    }
}

impl Actor for EnsureActor {
    type Context = Context<Self>;
}

impl Handler<Ensure> for EnsureActor {
    type Result = ResponseActFuture<Self, Result<Ensured, Failure>>;

    fn handle(&mut self, message: Ensure, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        Box::pin(async move { ensure(&tools, message.mirror, &message.repository).await }.into_actor(self))
    }
}

impl Handler<EnsureWiki> for EnsureActor {
    type Result = ResponseActFuture<Self, Result<Ensured, Failure>>;

    fn handle(&mut self, message: EnsureWiki, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        Box::pin(async move { wiki::ensure(&tools, &message.mirror, &message.wiki).await }.into_actor(self))
    }
}

impl Handler<FindAgain> for EnsureActor {
    type Result = ResponseActFuture<Self, Result<(), Failure>>;

    fn handle(&mut self, message: FindAgain, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        Box::pin(async move { follow::find_again(&tools, &message.mirror).await }.into_actor(self))
    }
}

impl Handler<RollBackWiki> for EnsureActor {
    type Result = ResponseActFuture<Self, Result<bool, Failure>>;

    fn handle(&mut self, message: RollBackWiki, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        Box::pin(async move { wiki::roll_back(&tools, message.wiki).await }.into_actor(self))
    }
}

impl Handler<RollBack> for EnsureActor {
    type Result = ResponseActFuture<Self, Result<bool, Failure>>;

    fn handle(&mut self, message: RollBack, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        Box::pin(async move { roll_back(&tools, message.mirror).await }.into_actor(self))
    }
}

impl Handler<TellGone> for EnsureActor {
    type Result = ResponseActFuture<Self, Result<bool, Failure>>;

    fn handle(&mut self, message: TellGone, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        let work = async move {
            let Some(project) = message.mirror.project else { return Ok(false) };
            Ok(projects::tell_gone(&tools.onedev, project.id, &project.path, &message.line).await?)
        };
        Box::pin(work.into_actor(self))
    }
}

impl Handler<Remove> for EnsureActor {
    type Result = ResponseActFuture<Self, Result<(), Failure>>;

    fn handle(&mut self, message: Remove, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        Box::pin(async move { remove(&tools, message.mirror).await }.into_actor(self))
    }
}

async fn ensure(tools: &Tools, mirror: Mirror, repository: &Repository) -> Result<Ensured, Failure> {
    tools.panics.strike("ensure");
    let listed = lists::known(tools, &mirror).await?;
    let wanted = Wanted::new(&tools.naming, &repository.name, listed.folder(), repository.id, tools.on_conflict);
    let known = Known {
        project: mirror.project.as_ref().map(|it| (it.id, it.path.clone())),
        intended: mirror.intended_path.as_deref().and_then(|it| it.parse().ok()),
    };
    let (project, made, adopting) = match projects::locate(&tools.onedev, &wanted, &known).await? {
        Placement::Ours(project) => (project, mirror.project.is_none(), false),
        Placement::Adopt(project) => (project, false, true),
        Placement::Create(path) => (create(tools, &mirror, &path, repository).await?, true, false),
        Placement::Conflict(conflict) => return Err(OnedevError::from(conflict).into()),
    };
    if adopting {
        // Whether it may be taken over the transfer decides; until then nothing of it is changed or remembered.
        refuse_taken(tools, &mirror, project.id).await?;
        return Ok(Ensured { id: project.id, path: project.path, made, adopting });
    }
    if mirror.project.as_ref().is_none_or(|it| it.id != project.id || it.path != project.path) {
        follow::remember(tools, &mirror, &project, made).await?;
    }
    let project = match listed {
        lists::Known::NotYet(_) => project,
        _ => follow::follow(tools, &mirror, project, &wanted).await?,
    };
    let settings = Settings {
        description: repository.description.as_deref(),
        visibility: tools.visibility,
        upstream_private: repository.private,
    };
    projects::settle(&tools.onedev, &project, &settings).await?;
    lists::label(tools, &mirror, project.id, &listed).await?;
    Ok(Ensured { id: project.id, path: project.path, made, adopting })
}

/// A project that another mirror holds is not there to be adopted.
async fn refuse_taken(tools: &Tools, mirror: &Mirror, project: ProjectId) -> Result<(), Failure> {
    let holder = tools.store.read(move |c| mirrors::holder(c, project)).await?;
    match holder {
        Some(other) if other != mirror.id => {
            let message = format!("the project {project} holds another mirror; set onedev.on_conflict to `suffix`");
            Err(Failure::new("project_conflict", message, Retry::Never))
        }
        _ => Ok(()),
    }
}

async fn create(
    tools: &Tools,
    mirror: &Mirror,
    path: &ProjectPath,
    repository: &Repository,
) -> Result<crate::onedev::Project, Failure> {
    let (id, intended) = (mirror.id, path.to_string());
    tools.store.write(move |c| mirrors::intend_project(c, id, &intended, Utc::now())).await?;
    Ok(projects::create(&tools.onedev, path, repository.description.as_deref()).await?.project)
}

/// True if a project went. Only an empty one that was made for this mirror and never proven goes.
async fn roll_back(tools: &Tools, mirror: Mirror) -> Result<bool, Failure> {
    let Some(project) = mirror.project.filter(|_| mirror.made_project && mirror.first_proof_at.is_none()) else {
        return Ok(false);
    };
    let removal = projects::remove_if_empty(&tools.onedev, project.id, &path_of(&project.path)?).await?;
    if removal == Removal::NotEmpty {
        return Ok(false);
    }
    tools.store.write(move |c| mirrors::forget_project(c, mirror.id, Utc::now())).await?;
    Ok(removal == Removal::Removed)
}

async fn remove(tools: &Tools, mirror: Mirror) -> Result<(), Failure> {
    wiki::remove(tools, &mirror).await?;
    if let Some(project) = &mirror.project {
        tools.onedev.delete_project(project.id, &path_of(&project.path)?).await?;
    }
    let (id, let_go, entry) =
        (mirror.id, mirror.is_let_go(), NewEntry::of("starkeep", "mirror.remove", &mirror.name.to_string()));
    tools
        .store
        .write(move |c| {
            // A star that came in meanwhile asks for a new project, and must not go with the old one.
            if let_go && mirrors::find(c, id)?.is_some_and(|it| !it.is_let_go()) {
                return mirrors::forget_project(c, id, Utc::now());
            }
            audit::append(c, &entry, Utc::now())?;
            mirrors::delete(c, id)
        })
        .await?;
    Ok(())
}

fn path_of(path: &str) -> Result<ProjectPath, Failure> {
    path.parse().map_err(|error| Failure::new("project_path", format!("{error}"), Retry::Never))
}
