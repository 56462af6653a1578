//! Takes a project to where the naming rule puts it by now, with all that it holds and all that lies below.

use super::create::container;
use super::locate::{Conflict, Wanted};
use crate::config::onedev::OnConflict;
use crate::domain::naming::ProjectPath;
use crate::onedev::{OnedevClient, OnedevError, Project};

/// Where a mirror's project is to go.
#[derive(Debug, Clone, PartialEq)]
pub enum Destination {
    /// It stands where it should, or where it is best left.
    Here,
    /// Nothing is there: commit the intent, then [`relocate`].
    Go(ProjectPath),
    /// Another project stands there, and it must not be touched.
    Conflict(Conflict),
}

/// Finds the place. Writes nothing; asks nothing of a project that stands at its first choice.
///
/// One at its second choice goes to the first as soon as that is free. What stands in the way is never taken
/// over, whatever `on_conflict` says: the mirror has a project.
///
/// # Errors
/// [`OnedevError`]; a server that is starting is never "nothing there".
pub async fn destination(
    client: &OnedevClient,
    project: &Project,
    wanted: &Wanted,
) -> Result<Destination, OnedevError> {
    if project.is_at(&wanted.path) {
        // Another spelling of the same name is in nobody's way.
        let same = project.name == wanted.path.name();
        return Ok(if same { Destination::Here } else { Destination::Go(wanted.path.clone()) });
    }
    // Only a changed rule can ask for that, and OneDev puts no project into itself.
    if project.path.parse::<ProjectPath>().is_ok_and(|it| wanted.path.is_below(&it)) {
        return Ok(Destination::Here);
    }
    let Some(other) = client.project_id(&wanted.path).await? else {
        return Ok(Destination::Go(wanted.path.clone()));
    };
    if project.is_at(&wanted.suffixed) {
        return Ok(Destination::Here);
    }
    let conflict = |path: &ProjectPath, project| Destination::Conflict(Conflict { path: path.clone(), project });
    if wanted.on_conflict == OnConflict::Fail {
        return Ok(conflict(&wanted.path, other));
    }
    Ok(match client.project_id(&wanted.suffixed).await? {
        None => Destination::Go(wanted.suffixed.clone()),
        Some(other) => conflict(&wanted.suffixed, other),
    })
}

/// Moves a project; the projects that it is to lie in are made if they are missing. One call renames and moves,
/// so it is done whole or not at all; an answer that is lost is looked up. Commit the intent first.
///
/// # Errors
/// [`OnedevError`]: `Conflict` where somebody took the place meanwhile, or moved the project.
pub async fn relocate(client: &OnedevClient, project: &Project, to: &ProjectPath) -> Result<Project, OnedevError> {
    let from = client.guarded(&project.path)?;
    client.guarded(to.as_str())?;
    let parent = match to.parent() {
        Some(parent) if from.parent().as_ref() == Some(&parent) => project.parent_id,
        Some(parent) => Some(container(client, &parent).await?),
        None => None,
    };
    // The last writer wins and the whole project is replaced: as fresh as can be.
    let mut fresh = match client.project(project.id).await? {
        // An earlier call that was given up has come through after all.
        Some(moved) if moved.is_at(to) && moved.name == to.name() => return Ok(moved),
        Some(fresh) if fresh.is_at(&from) => fresh,
        _ => return Err(OnedevError::Conflict(format!("project {} does not stand at {from} any more", project.id))),
    };
    fresh.parent_id = parent;
    to.name().clone_into(&mut fresh.name);
    let outcome = client.update_project(&fresh).await;
    if let Err(error) = &outcome
        && !matches!(error, OnedevError::Conflict(_) | OnedevError::Server { .. } | OnedevError::Transport(_))
    {
        return Err(error.clone());
    }
    let stands = client.project(project.id).await?.filter(|it| it.is_at(to) && it.name == to.name());
    match (stands, outcome) {
        (Some(moved), _) => Ok(moved),
        (None, Err(error)) => Err(error),
        (None, Ok(())) => Err(OnedevError::Transport(format!("{to} was moved while it was put there"))),
    }
}
