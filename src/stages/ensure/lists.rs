//! Where star lists put a mirror, and the labels that the lists beyond the first give to its project.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Tools;
use crate::domain::ids::{AccountId, MirrorId, ProjectId};
use crate::domain::star_lists::{Shelf, shelve};
use crate::stages::failure::Failure;
use crate::store::mirrors::Mirror;
use crate::store::polls::{self, Poll};
use crate::store::star_lists::{self, Label};
use crate::store::{Connection, StoreError};

/// A user whom GitHub does not know has no lists to wait for.
const NO_USER: &str = "github_no_user";

/// Whose lists count.
pub struct Lists {
    /// Logins as the configuration has them, in its order.
    pub users: Vec<String>,
    /// They are read from time to time: there is a credential, and nobody switched it off.
    pub are_read: bool,
    /// The token may not make labels: said once, and not tried again before the next start.
    pub labels_refused: AtomicBool,
}

/// What is known of a mirror's lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// The naming rule does not ask.
    Idle,
    /// Where they put it.
    Shelf(Shelf),
    /// Somebody's lists were not read yet: a project that is there stays where it is until they were.
    NotYet(Shelf),
}

impl Known {
    pub(super) fn folder(&self) -> Option<&str> {
        match self {
            Self::Idle => None,
            Self::Shelf(shelf) | Self::NotYet(shelf) => shelf.folder.as_deref(),
        }
    }
}

/// Asks the database alone.
pub(super) async fn known(tools: &Tools, mirror: &Mirror) -> Result<Known, Failure> {
    if !tools.naming.uses_list() {
        return Ok(Known::Idle);
    }
    let (id, logins, are_read) = (mirror.github_id, tools.lists.users.clone(), tools.lists.are_read);
    let read = move |c: &mut Connection| -> Result<Known, StoreError> {
        let (accounts, all_read) = accounts(c, &logins)?;
        let shelf = shelve(&accounts, &star_lists::of_repository(c, id)?);
        // Where nobody reads them there is nothing to wait for: what was read once still holds.
        Ok(if all_read || !are_read { Known::Shelf(shelf) } else { Known::NotYet(shelf) })
    };
    Ok(tools.store.read(read).await?)
}

/// The users' accounts in the order of the configuration, and whether the lists of all of them were read once.
fn accounts(c: &mut Connection, logins: &[String]) -> Result<(Vec<AccountId>, bool), StoreError> {
    let (polls, readings) = (polls::list(c)?, star_lists::readings(c)?);
    let (mut accounts, mut all_read) = (Vec::new(), true);
    for login in logins {
        let poll = polls.iter().find(|it| it.login.eq_ignore_ascii_case(login));
        let account = poll.and_then(|it| it.account.as_ref()).map(|it| it.0);
        let is_read = |id| readings.iter().any(|it| it.account == id && it.read_at.is_some());
        all_read &= account.map_or_else(|| poll.is_some_and(is_nobody), is_read);
        accounts.extend(account);
    }
    Ok((accounts, all_read))
}

fn is_nobody(poll: &Poll) -> bool {
    poll.error.as_ref().is_some_and(|it| it.0 == NO_USER)
}

/// Brings a project's labels level with its mirror's lists. They are a decoration: a failure is told and tried
/// again when the project is looked at again. Labels of other hands stay.
pub(super) async fn label(tools: &Tools, mirror: &Mirror, project: ProjectId, known: &Known) -> Result<(), Failure> {
    let Known::Shelf(shelf) = known else { return Ok(()) };
    let id = mirror.id;
    let have = tools.store.read(move |c| star_lists::labels(c, id)).await?;
    let there: BTreeSet<&str> = have.iter().filter(|it| it.is_on(project)).map(|it| it.name.as_str()).collect();
    let missing: Vec<&String> = shelf.labels.iter().filter(|it| !there.contains(it.as_str())).collect();
    let surplus: Vec<&Label> = have.iter().filter(|it| !shelf.labels.contains(&it.name)).collect();
    let done = async {
        take_away(tools, id, project, &surplus).await?;
        if missing.is_empty() || tools.lists.labels_refused.load(Ordering::Relaxed) {
            return Ok(());
        }
        put(tools, id, project, &missing, &have).await
    };
    if let Err(failure) = done.await {
        let Failure { code, message, .. } = failure;
        tracing::warn!(code, repository = %mirror.name, "the labels of its lists are not level: {message}");
    }
    Ok(())
}

async fn take_away(tools: &Tools, mirror: MirrorId, project: ProjectId, surplus: &[&Label]) -> Result<(), Failure> {
    let removes = surplus.iter().any(|it| it.ours && it.project_id == project.0);
    let on_project = if removes { tools.onedev.project_labels(project).await? } else { Vec::new() };
    for label in surplus {
        let ours =
            on_project.iter().find(|it| label.ours && label.project_id == project.0 && it.spec_id == label.spec_id);
        if let Some(ours) = ours {
            tools.onedev.remove_label(project, *ours).await?;
        }
        let name = label.name.clone();
        tools.store.write(move |c| star_lists::forget_label(c, mirror, &name)).await?;
    }
    Ok(())
}

async fn put(
    tools: &Tools,
    mirror: MirrorId,
    project: ProjectId,
    missing: &[&String],
    have: &[Label],
) -> Result<(), Failure> {
    let Some(specs) = tools.onedev.label_specs().await? else {
        refused(tools);
        return Ok(());
    };
    let on_project = tools.onedev.project_labels(project).await?;
    for name in missing {
        let spec_id = match specs.iter().find(|it| it.name == **name) {
            Some(spec) => spec.id,
            None => match tools.onedev.create_label(name).await? {
                Some(id) => id,
                None => {
                    refused(tools);
                    return Ok(());
                }
            },
        };
        let was_there = on_project.iter().any(|it| it.spec_id == spec_id);
        // What an earlier try was about to put there is ours.
        let meant = have.iter().any(|it| it.name == **name && it.ours && it.project_id == project.0);
        let label = Label {
            name: (*name).clone(),
            spec_id,
            project_id: project.0,
            ours: meant || !was_there,
            is_there: was_there,
        };
        remember(tools, mirror, &label).await?;
        if !was_there {
            tools.onedev.add_label(project, spec_id).await?;
            remember(tools, mirror, &Label { is_there: true, ..label }).await?;
        }
    }
    Ok(())
}

async fn remember(tools: &Tools, mirror: MirrorId, label: &Label) -> Result<(), Failure> {
    let label = label.clone();
    Ok(tools.store.write(move |c| star_lists::set_label(c, mirror, &label)).await?)
}

fn refused(tools: &Tools) {
    if !tools.lists.labels_refused.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            "onedev.token may not make labels, which takes an administrator's: star lists beyond a repository's first \
             are not shown in OneDev"
        );
    }
}
