//! The project of a mirror's wiki: `wiki` below the mirror's own, by the same rules.

use chrono::Utc;

use super::{Tools, path_of};
use crate::config::onedev::OnConflict;
use crate::domain::ids::ProjectId;
use crate::domain::naming::{InvalidProjectPath, ProjectPath};
use crate::domain::part::PartId;
use crate::domain::retry::Retry;
use crate::onedev::projects::{self, Known, Placement, Removal, Settings, Wanted};
use crate::onedev::{OnedevError, Project};
use crate::stages::failure::Failure;
use crate::stages::messages::Ensured;
use crate::store::mirrors::{self, Mirror};
use crate::store::parts::{self, PartRecord};

/// The line under the title of a wiki's project begins so.
const DESCRIBED: &str = "Wiki of ";

/// Finds the wiki's project or makes it, and keeps its settings.
pub(super) async fn ensure(tools: &Tools, mirror: &Mirror, wiki: &PartRecord) -> Result<Ensured, Failure> {
    tools.panics.strike("ensure");
    let home = home(tools, mirror).await?;
    let path = home.wiki().map_err(too_long)?;
    let wanted = Wanted {
        upstream: mirror.github_id,
        on_conflict: if looks_ours(tools, wiki, &path).await? { OnConflict::Adopt } else { tools.on_conflict },
        path,
        suffixed: home.suffixed_wiki(mirror.github_id).map_err(too_long)?,
    };
    let known = Known {
        project: wiki.project.as_ref().map(|it| (it.id, it.path.clone())),
        intended: wiki.intended_path.as_deref().and_then(|it| it.parse().ok()),
    };
    let description = format!("{DESCRIBED}{}", mirror.name);
    let (project, made) = match projects::locate(&tools.onedev, &wanted, &known).await? {
        Placement::Ours(project) => (project, wiki.project.is_none() || wiki.made_project),
        Placement::Adopt(project) => {
            // Whether it may be taken over the transfer decides; until then nothing of it is changed.
            refuse_taken(tools, wiki.id, project.id).await?;
            return Ok(Ensured { id: project.id, path: project.path, made: false, adopting: true });
        }
        Placement::Create(path) => (create(tools, wiki.id, &path, &description).await?, true),
        Placement::Conflict(conflict) => return Err(OnedevError::from(conflict).into()),
    };
    let settings = Settings {
        description: Some(&description),
        visibility: tools.visibility,
        // Unknown is private: the safe reading.
        upstream_private: mirror.upstream.as_ref().is_none_or(|it| it.private),
    };
    projects::settle(&tools.onedev, &project, &settings).await?;
    if wiki.project.as_ref().is_none_or(|it| it.id != project.id || it.path != project.path) {
        let url = path_of(&project.path).map(|it| tools.onedev.page_url(&it).to_string())?;
        let (id, ours) = (wiki.id, mirrors::Project { id: project.id, path: project.path.clone(), url });
        tools.store.write(move |c| parts::set_project(c, id, &ours, made, Utc::now())).await?;
    }
    Ok(Ensured { id: project.id, path: project.path, made, adopting: false })
}

/// After a lost database the wiki's project is there and nobody knows whose it is. What is called ours and
/// stands in our own project may be taken over, but only if it holds nothing that upstream lacks.
async fn looks_ours(tools: &Tools, wiki: &PartRecord, path: &ProjectPath) -> Result<bool, Failure> {
    if wiki.project.is_some() || wiki.intended_path.is_some() {
        return Ok(false);
    }
    let found = tools.onedev.project_at(path).await?;
    Ok(found.and_then(|it| it.description).is_some_and(|it| it.starts_with(DESCRIBED)))
}

/// The mirror's project, which must be there: it is not for its wiki to make it.
async fn home(tools: &Tools, mirror: &Mirror) -> Result<ProjectPath, Failure> {
    let missing = || {
        let message = "the mirror's own project is not there; its next sync makes it again";
        Failure::new("onedev_not_found", message, Retry::Backoff)
    };
    let project = mirror.project.as_ref().ok_or_else(missing)?;
    let path = path_of(&project.path)?;
    let stands = tools.onedev.project(project.id).await?.is_some_and(|it| it.is_at(&path));
    if stands { Ok(path) } else { Err(missing()) }
}

#[expect(clippy::needless_pass_by_value, reason = "it has the shape that map_err takes")]
fn too_long(error: InvalidProjectPath) -> Failure {
    Failure::new("project_path", format!("there is no room for the wiki's project: {error}"), Retry::Never)
}

/// A project that a mirror or another wiki holds is not there to be adopted.
async fn refuse_taken(tools: &Tools, id: PartId, project: ProjectId) -> Result<(), Failure> {
    let (mirror, part) =
        tools.store.read(move |c| Ok((mirrors::holder(c, project)?, parts::holder(c, project)?))).await?;
    if mirror.is_none() && part.is_none_or(|it| it == id) {
        return Ok(());
    }
    let message = format!("the project {project} holds another mirror; set onedev.on_conflict to `suffix`");
    Err(Failure::new("project_conflict", message, Retry::Never))
}

async fn create(tools: &Tools, id: PartId, path: &ProjectPath, description: &str) -> Result<Project, Failure> {
    let intended = path.to_string();
    tools.store.write(move |c| parts::intend_project(c, id, &intended, Utc::now())).await?;
    Ok(projects::create(&tools.onedev, path, Some(description)).await?.project)
}

/// True if a project went. Only an empty one that was made for this wiki and never proven goes.
pub(super) async fn roll_back(tools: &Tools, wiki: PartRecord) -> Result<bool, Failure> {
    let Some(project) = wiki.project.filter(|_| wiki.made_project && wiki.first_proof_at.is_none()) else {
        return Ok(false);
    };
    let removal = projects::remove_if_empty(&tools.onedev, project.id, &path_of(&project.path)?).await?;
    if removal == Removal::NotEmpty {
        return Ok(false);
    }
    tools.store.write(move |c| parts::forget_project(c, wiki.id, Utc::now())).await?;
    Ok(removal == Removal::Removed)
}

/// Deletes the wiki's project, if it still stands where it is remembered: it goes before its parent, which
/// OneDev would delete with everything below.
pub(super) async fn remove(tools: &Tools, mirror: &Mirror) -> Result<(), Failure> {
    let id = PartId::wiki(mirror.id);
    let Some(wiki) = tools.store.read(move |c| parts::find(c, id)).await? else { return Ok(()) };
    let Some(project) = wiki.project else { return Ok(()) };
    let path = path_of(&project.path)?;
    if tools.onedev.project(project.id).await?.is_some_and(|it| it.is_at(&path)) {
        tools.onedev.delete_project(project.id, &path).await?;
    }
    tools.store.write(move |c| parts::forget_project(c, id, Utc::now())).await?;
    Ok(())
}
