//! Keeps a mirror's settings: description, issues off, who may see it.

use crate::config::onedev::Visibility;
use crate::onedev::{OnedevClient, OnedevError, Project};

/// OneDev's limit in UTF-16 units; longer is cut silently, through the middle of a character too.
const LONGEST_DESCRIPTION: usize = 15_000;

/// How a mirror's project should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings<'a> {
    /// Upstream's description, as it came.
    pub description: Option<&'a str>,
    /// Who may see mirrors.
    pub visibility: Visibility,
    /// Upstream is private.
    pub upstream_private: bool,
}

/// Brings a project's settings level; nothing is posted if nothing differs, and every field that is
/// not ours stays. `true` if something had to change.
///
/// With `visibility = "private"` (and `"upstream"` for a private upstream) the role `Code Reader` that
/// everybody has on this very project is taken back, so that neither an upstream that turned private
/// nor a changed configuration leaves a mirror open. Authorizations of users and groups, other roles,
/// and whatever the parent projects give are not touched.
///
/// # Errors
/// [`OnedevError`]; [`OnedevError::Conflict`] where the project was moved in the meantime.
pub async fn settle(client: &OnedevClient, project: &Project, settings: &Settings<'_>) -> Result<bool, OnedevError> {
    let path = client.guarded(&project.path)?;
    // Who may see it goes first: a mirror that must be hidden must not wait for its description.
    let seen = match settings.visibility {
        Visibility::Inherit => false,
        Visibility::Private => client.set_readable(project.id, false).await?,
        Visibility::Upstream => client.set_readable(project.id, !settings.upstream_private).await?,
    };
    let description = settings.description.and_then(description);
    if settled(project, description.as_deref()) {
        return Ok(seen);
    }
    // The last writer wins and the whole project is replaced: as fresh as can be.
    let fresh = client.project(project.id).await?.filter(|it| it.is_at(&path));
    let Some(mut fresh) = fresh else {
        return Err(OnedevError::Conflict(format!("project {} does not stand at {path} any more", project.id)));
    };
    if settled(&fresh, description.as_deref()) {
        return Ok(seen);
    }
    fresh.description = description;
    fresh.issue_management = false;
    client.update_project(&fresh).await?;
    Ok(true)
}

fn settled(project: &Project, description: Option<&str>) -> bool {
    project.description.as_deref() == description && !project.issue_management
}

/// A description as OneDev keeps it: trimmed, without NUL (databases refuse it), at most 15,000 UTF-16
/// units with no character cut in two; blank is none.
pub fn description(text: &str) -> Option<String> {
    let mut units = 0;
    let clipped: String = text
        .trim()
        .chars()
        .filter(|it| *it != '\0')
        .take_while(|it| {
            units += it.len_utf16();
            units <= LONGEST_DESCRIPTION
        })
        .collect();
    let clipped = clipped.trim();
    (!clipped.is_empty()).then(|| clipped.to_owned())
}
