//! Where a mirror's project is, or is to be: reading only.

use crate::config::onedev::OnConflict;
use crate::domain::ids::{GithubId, ProjectId};
use crate::domain::naming::{Naming, ProjectPath};
use crate::domain::repository::RepositoryName;
use crate::onedev::{OnedevClient, OnedevError, Project};

/// Where the mirror should be, by the naming rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The upstream that is to be mirrored there.
    pub upstream: GithubId,
    /// The first choice.
    pub path: ProjectPath,
    /// The second, `name-gh<id>`.
    pub suffixed: ProjectPath,
    /// What to do when another project stands at the first.
    pub on_conflict: OnConflict,
}

impl Wanted {
    /// The place of a repository by the naming rule; `list` is the folder of its star list, if it is in any.
    pub fn new(
        naming: &Naming,
        name: &RepositoryName,
        list: Option<&str>,
        id: GithubId,
        on_conflict: OnConflict,
    ) -> Self {
        Self { upstream: id, path: naming.path(name, list), suffixed: naming.suffixed(name, list, id), on_conflict }
    }
}

/// What is remembered of the mirror's project.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// Id and path, as last seen.
    pub project: Option<(ProjectId, String)>,
    /// The path at which a project was about to be created, or to which the remembered one was about to be
    /// moved, committed before the call went out.
    pub intended: Option<ProjectPath>,
}

/// Where the mirror goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Placement {
    /// The mirror's own project: the remembered one, or an empty one where it was about to be made. Of
    /// the latter REST sees no refs; check them by git before the first push.
    Ours(Project),
    /// Nothing is there: commit the intent, then create it.
    Create(ProjectPath),
    /// Another project stands there and may be taken over, but only if its refs (read by git) are none,
    /// or none that upstream lacks, and no other mirror remembers it.
    Adopt(Project),
    /// Another project stands there, and it must not be touched.
    Conflict(Conflict),
}

/// A project in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Where.
    pub path: ProjectPath,
    /// Which.
    pub project: ProjectId,
}

impl From<Conflict> for OnedevError {
    fn from(Conflict { path, project }: Conflict) -> Self {
        Self::Conflict(format!(
            "{path} is another project (id {project}) in OneDev, it is not touched; \
             move it, or set onedev.on_conflict to `suffix` or `adopt`"
        ))
    }
}

/// Finds the place. Writes nothing.
///
/// A remembered id counts only if its project still stands at the remembered path, or where it was about to
/// be moved: OneDev gives ids away again after a restart. A project that somebody moved by hand is therefore
/// not followed; the mirror is looked for at its paths.
///
/// # Errors
/// [`OnedevError`]; a server that is starting is never "nothing there".
pub async fn locate(client: &OnedevClient, wanted: &Wanted, known: &Known) -> Result<Placement, OnedevError> {
    if let Some(project) = remembered(client, known).await? {
        return Ok(Placement::Ours(project));
    }
    if let Some(project) = intended(client, known).await? {
        return Ok(Placement::Ours(project));
    }
    let Some(other) = client.project_at(&wanted.path).await? else {
        return Ok(Placement::Create(wanted.path.clone()));
    };
    let conflict = |path: &ProjectPath, project: &Project| {
        Ok(Placement::Conflict(Conflict { path: path.clone(), project: project.id }))
    };
    // The project itself may know better than the database, which may be a new one.
    match client.marked_as(other.id).await? {
        Some(id) if id == wanted.upstream => return Ok(Placement::Ours(other)),
        Some(_) if wanted.on_conflict == OnConflict::Adopt => return conflict(&wanted.path, &other),
        _ => {}
    }
    match wanted.on_conflict {
        OnConflict::Fail => conflict(&wanted.path, &other),
        OnConflict::Adopt => Ok(Placement::Adopt(other)),
        OnConflict::Suffix => match client.project_at(&wanted.suffixed).await? {
            None => Ok(Placement::Create(wanted.suffixed.clone())),
            Some(other) if client.marked_as(other.id).await? == Some(wanted.upstream) => Ok(Placement::Ours(other)),
            Some(other) => conflict(&wanted.suffixed, &other),
        },
    }
}

async fn remembered(client: &OnedevClient, known: &Known) -> Result<Option<Project>, OnedevError> {
    let Some((id, path)) = &known.project else { return Ok(None) };
    match client.project(*id).await {
        Ok(found) => Ok(found.filter(|it| {
            it.path.eq_ignore_ascii_case(path) || known.intended.as_ref().is_some_and(|there| it.is_at(there))
        })),
        // The id may be by now that of a project which the token must not see.
        Err(OnedevError::Forbidden(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The project that an earlier run made, or was cut off making. With refs in it, it is somebody else's:
/// the id is remembered before anything is pushed.
async fn intended(client: &OnedevClient, known: &Known) -> Result<Option<Project>, OnedevError> {
    let Some(path) = &known.intended else { return Ok(None) };
    let Some(project) = client.project_at(path).await? else { return Ok(None) };
    Ok(client.looks_empty(project.id).await?.then_some(project))
}
