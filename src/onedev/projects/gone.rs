//! Says in front of a project's description that its upstream has gone.
//!
//! Nothing here takes the line off again: `settle` writes upstream's own description as soon as upstream is
//! back and was asked for it.

use super::description;
use crate::domain::gone;
use crate::domain::ids::ProjectId;
use crate::onedev::{OnedevClient, OnedevError};

/// Puts `line` in front of the description, in the place of an older one; all else stays. `true` if something
/// had to change; a project that is not there any more, or stands elsewhere, is left alone.
///
/// # Errors
/// [`OnedevError`]; [`OnedevError::Guarded`] for a path that is not below the root.
pub async fn tell_gone(client: &OnedevClient, project: ProjectId, path: &str, line: &str) -> Result<bool, OnedevError> {
    let path = client.guarded(path)?;
    let Some(mut fresh) = client.project(project).await?.filter(|it| it.is_at(&path)) else { return Ok(false) };
    let told = description(&gone::in_front(line, fresh.description.as_deref().unwrap_or_default()));
    if fresh.description == told {
        return Ok(false);
    }
    fresh.description = told;
    client.update_project(&fresh).await?;
    Ok(true)
}
