//! Makes a mirror's project and the projects that it lies in, one by one.

use crate::domain::ids::ProjectId;
use crate::domain::naming::ProjectPath;
use crate::onedev::{OnedevClient, OnedevError, Project};

/// The outcome of [`create`].
#[derive(Debug, Clone, PartialEq)]
pub struct Created {
    /// The project, empty as far as REST sees.
    pub project: Project,
    /// This call made it. If not, it was there: from an earlier try, or by a race.
    pub made: bool,
}

/// Makes the project at `path`, which must lie below the root; the root and whatever lies between are
/// made if they are missing. Races and repeats are harmless: eight at once give one project. Commit the
/// intent first; what is found there and is not empty is left alone.
///
/// # Errors
/// [`OnedevError`]: `Conflict` where a project with refs in it stands at `path`, `Forbidden` where the
/// token may not create.
pub async fn create(
    client: &OnedevClient,
    path: &ProjectPath,
    description: Option<&str>,
) -> Result<Created, OnedevError> {
    client.guarded(path.as_str())?;
    let parent = match path.parent() {
        Some(parent) => Some(container(client, &parent).await?),
        None => None,
    };
    let description = description.and_then(super::description);
    let (id, made) = one(client, parent, path, description.as_deref()).await?;
    let project = client.project(id).await?.filter(|it| it.is_at(path));
    let project = project.ok_or_else(|| OnedevError::Transport(format!("{path} was moved while it was made")))?;
    if !made && !client.looks_empty(id).await? {
        return Err(OnedevError::Conflict(format!("{path} is another project (id {id}) in OneDev, it is not touched")));
    }
    Ok(Created { project, made })
}

/// The id of a project that others lie in. What exists stays as it is.
pub(super) async fn container(client: &OnedevClient, path: &ProjectPath) -> Result<ProjectId, OnedevError> {
    // Mostly it is there: one request instead of one for each level.
    if let Some(id) = client.project_id(path).await? {
        return Ok(id);
    }
    let mut levels = vec![path.clone()];
    while let Some(parent) = levels.last().and_then(ProjectPath::parent) {
        levels.push(parent);
    }
    let mut id = None;
    for level in levels.iter().rev() {
        id = Some(match client.project_id(level).await? {
            Some(id) => id,
            None => one(client, id, level, None).await.map_err(|error| explain(client, level, error))?.0,
        });
    }
    id.ok_or_else(|| OnedevError::Malformed(format!("{path} has no segments")))
}

/// Makes one project, or finds the one that somebody else has made at the same time.
async fn one(
    client: &OnedevClient,
    parent: Option<ProjectId>,
    path: &ProjectPath,
    description: Option<&str>,
) -> Result<(ProjectId, bool), OnedevError> {
    match client.create_project(parent, path.name(), description).await {
        Ok(id) => Ok((id, true)),
        // The name is taken, or several created it at once: all but one get a 500. A broken connection
        // leaves open what happened.
        Err(error @ (OnedevError::Conflict(_) | OnedevError::Server { .. } | OnedevError::Transport(_))) => {
            match client.project_id(path).await {
                Ok(Some(id)) => Ok((id, false)),
                Ok(None) | Err(_) => Err(error),
            }
        }
        // The parent went away between its look-up and now: not "this project is missing".
        Err(error) if error.is_missing_project() => {
            Err(OnedevError::Server { status: 404, text: format!("the parent of {path} has just gone") })
        }
        Err(error) => Err(error),
    }
}

/// A token that is bound to a project can make nothing at the top.
fn explain(client: &OnedevClient, level: &ProjectPath, error: OnedevError) -> OnedevError {
    let root = client.root();
    match error {
        OnedevError::Forbidden(text) if root == level || root.is_below(level) => OnedevError::Config(format!(
            "onedev.root: the project `{level}` does not exist, or the token does not see it, and the token may not \
             make it ({text}); create it in OneDev and give the token the role Project Owner on it"
        )),
        other => other,
    }
}
