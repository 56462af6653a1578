//! The project follows its upstream's name: where the naming rule puts it now, there it goes.
//!
//! The path is committed before the project moves. Cut off in between, [`find_again`] looks where it stands, before
//! anything else is done with the mirror.

use chrono::Utc;
use uuid::Uuid;

use super::{Tools, path_of};
use crate::config::onedev::OnRename;
use crate::domain::ids::{CorrelationId, ProjectId};
use crate::domain::job::{JobKind, Priority};
use crate::domain::part::PartId;
use crate::onedev::projects::{self, Destination, Wanted};
use crate::onedev::{OnedevError, Project};
use crate::stages::failure::Failure;
use crate::store::jobs::{self, NewJob};
use crate::store::mirrors::{self, Mirror};
use crate::store::parts;

/// Moves the project, if it stands elsewhere than it should; answers where it stands. The mirror remembers it.
pub(super) async fn follow(
    tools: &Tools,
    mirror: &Mirror,
    project: Project,
    wanted: &Wanted,
) -> Result<Project, Failure> {
    if tools.on_rename == OnRename::Keep {
        return Ok(project);
    }
    for again in [false, true] {
        let to = match projects::destination(&tools.onedev, &project, wanted).await? {
            Destination::Here => return Ok(project),
            Destination::Conflict(conflict) => return Err(OnedevError::from(conflict).into()),
            Destination::Go(to) => to,
        };
        let (id, intended) = (mirror.id, to.to_string());
        tools.store.write(move |c| mirrors::intend_project(c, id, &intended, Utc::now())).await?;
        match projects::relocate(&tools.onedev, &project, &to).await {
            // Somebody took the place meanwhile: there is a second one.
            Err(OnedevError::Conflict(text)) if !again => tracing::info!("{text}; looking for another place"),
            moved => {
                let moved = moved?;
                tracing::info!(from = project.path, to = moved.path, "the project follows its upstream's name");
                remember(tools, mirror, &moved, false).await?;
                return Ok(moved);
            }
        }
    }
    Ok(project)
}

/// Writes down where the project stands; one that is known and stands elsewhere was moved, and its wiki with it.
pub(super) async fn remember(tools: &Tools, mirror: &Mirror, project: &Project, made: bool) -> Result<(), Failure> {
    let id = mirror.id;
    let (known, wiki) =
        tools.store.read(move |c| Ok((mirrors::find(c, id)?, parts::find(c, PartId::wiki(id))?))).await?;
    let before = known.and_then(|it| it.project).filter(|it| it.id == project.id && it.path != project.path);
    let ours = place(tools, project.id, &project.path)?;
    let Some(before) = before else {
        tools.store.write(move |c| mirrors::set_project(c, id, &ours, made, Utc::now())).await?;
        return Ok(());
    };
    let below = wiki.and_then(|it| it.project).and_then(|it| {
        let root = path_of(&before.path).ok()?;
        let tail = path_of(&it.path).ok().filter(|path| path.is_below(&root)).and(it.path.get(before.path.len()..))?;
        Some((it.id, format!("{}{tail}", project.path)))
    });
    let below = below.map(|(id, path)| place(tools, id, &path)).transpose()?;
    let left = before.path;
    tools
        .store
        .write(move |c| {
            mirrors::moved(c, id, &ours, below.as_ref(), Utc::now())?;
            // Its old place may be what another mirror has been waiting for.
            for other in mirrors::beside(c, &left)? {
                let job = NewJob::of(JobKind::Sync, other, Priority::CHANGED, CorrelationId(Uuid::now_v7()));
                mirrors::doubt_description(c, other)?;
                jobs::enqueue(c, &job, Utc::now())?;
            }
            Ok(())
        })
        .await?;
    Ok(())
}

fn place(tools: &Tools, id: ProjectId, path: &str) -> Result<mirrors::Project, Failure> {
    let url = path_of(path).map(|it| tools.onedev.page_url(&it).to_string()).unwrap_or_default();
    Ok(mirrors::Project { id, path: path.to_owned(), url })
}

/// Looks where a project stands that was about to be moved. One that is in neither place is looked for by the next
/// sync, as any that is lost.
pub(super) async fn find_again(tools: &Tools, mirror: &Mirror) -> Result<(), Failure> {
    let (Some(project), Some(intended)) = (&mirror.project, &mirror.intended_path) else { return Ok(()) };
    let stands = match tools.onedev.project(project.id).await {
        Ok(stands) => stands,
        // The id has become that of a project which the token must not see.
        Err(OnedevError::Forbidden(_)) => None,
        Err(error) => return Err(error.into()),
    };
    match stands {
        Some(it) if it.path.eq_ignore_ascii_case(intended) => remember(tools, mirror, &it, false).await,
        Some(it) if it.path.eq_ignore_ascii_case(&project.path) => {
            let (id, path) = (mirror.id, project.path.clone());
            tools.store.write(move |c| mirrors::renounce_move(c, id, &path, Utc::now())).await?;
            Ok(())
        }
        _ => Ok(()),
    }
}
