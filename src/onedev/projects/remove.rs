//! Takes back a project that was made for a mirror which then could not be filled.

use crate::domain::ids::ProjectId;
use crate::domain::naming::ProjectPath;
use crate::onedev::{OnedevClient, OnedevError};

/// The outcome of [`remove_if_empty`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is deleted.
    Removed,
    /// It was not there any more, or stands elsewhere by now: nothing was done.
    Absent,
    /// It holds something: refs that REST sees, or child projects. Nothing was done.
    NotEmpty,
}

/// Deletes a project that stands at `expected`, below the root, and holds nothing that REST sees; its
/// parents stay. Refs outside branches and tags are invisible to REST: check them by git before.
///
/// # Errors
/// [`OnedevError`]; [`OnedevError::Guarded`] for a path that is not below the root.
pub async fn remove_if_empty(
    client: &OnedevClient,
    project: ProjectId,
    expected: &ProjectPath,
) -> Result<Removal, OnedevError> {
    client.guarded(expected.as_str())?;
    match client.project(project).await {
        Ok(Some(found)) if found.is_at(expected) => {}
        // Forbidden: the id has become that of a project which the token must not see.
        Ok(_) | Err(OnedevError::Forbidden(_)) => return Ok(Removal::Absent),
        Err(error) => return Err(error),
    }
    if !client.looks_empty(project).await? || client.has_children(expected).await? {
        return Ok(Removal::NotEmpty);
    }
    Ok(if client.delete_project(project, expected).await? { Removal::Removed } else { Removal::Absent })
}
