//! Which stages a job passes through, and in what order.

use chrono::Utc;

use super::Tools;
use super::drive::PATIENCE;
use crate::domain::ids::ProjectId;
use crate::domain::job::Priority;
use crate::domain::mirror::Status;
use crate::domain::policy::{self, DEEP_CHECK};
use crate::domain::repository::Repository;
use crate::domain::retry::Retry;
use crate::stages::failure::{Failure, Verdict};
use crate::stages::messages::{Compare, Depth, Describe, Ensure, Outcome, Remove, Ticket, Transfer, TwoSides};
use crate::store::jobs::Job;
use crate::store::mirrors::{self, Mirror};

/// describe → ensure → transfer. The first two run only when something says they must: a new mirror,
/// an event, an error, age. A routine check goes straight to the transfer.
pub(super) async fn sync(tools: &Tools, job: &Job, ticket: &Ticket, mirror: Mirror) -> Result<Outcome, Failure> {
    if !mirror.status.is_synced() {
        return Ok(Outcome::Nothing);
    }
    let (mirror, project) = match settled_project(&mirror) {
        Some(project) => (mirror, project),
        None => prepare(tools, ticket, mirror).await?,
    };
    let depth = depth(&mirror, job.priority);
    let sides = sides(&mirror, project.0, project.1, project.2);
    let synced = match transfer(tools, ticket, &sides, depth).await {
        // Upstream or the project is not where it was: look by id, and try once more.
        Err(failure) if is_misplaced(&failure) => {
            let (mirror, project) = prepare(tools, ticket, mirror).await?;
            let sides = self::sides(&mirror, project.0, project.1, project.2);
            transfer(tools, ticket, &sides, Depth::Full).await?
        }
        other => other?,
    };
    Ok(Outcome::Synced(Box::new(synced)))
}

async fn transfer(
    tools: &Tools,
    ticket: &Ticket,
    sides: &TwoSides,
    depth: Depth,
) -> Result<crate::domain::outcome::Synced, Failure> {
    tools.progress.tell(ticket.mirror, "transfer", 0);
    let message = Transfer { ticket: ticket.clone(), sides: sides.clone(), depth };
    tools.stages.transfer.ask(message, PATIENCE).await?
}

/// (id, path, adopting)
type Place = (ProjectId, String, bool);

/// The project, if nothing asks for a closer look at it or at upstream's metadata.
fn settled_project(mirror: &Mirror) -> Option<Place> {
    let described = mirror.upstream.as_ref().map(|it| it.described_at);
    let fresh = !policy::is_due(described, DEEP_CHECK, Utc::now());
    let sound = matches!(mirror.status, Status::Healthy | Status::Partial | Status::Syncing);
    let project = mirror.project.as_ref().filter(|_| fresh && sound && mirror.proof.is_some())?;
    Some((project.id, project.path.clone(), false))
}

/// Asks GitHub by id, sees to the project, and reads the mirror again.
async fn prepare(tools: &Tools, ticket: &Ticket, mirror: Mirror) -> Result<(Mirror, Place), Failure> {
    tools.progress.tell(mirror.id, "describe", 0);
    let describe = Describe::Mirror(ticket.clone(), mirror.github_id);
    let repository = tools.stages.describe.ask(describe, PATIENCE).await??;
    check_bounds(tools, &repository)?;
    let (id, described) = (mirror.id, repository.clone());
    let mirror = tools
        .store
        .write(move |c| {
            mirrors::set_name(c, id, &described.name, Utc::now())?;
            mirrors::set_description(c, id, &described, Utc::now())?;
            mirrors::find(c, id)
        })
        .await?
        .ok_or_else(|| Failure::new("forgotten", "the mirror was forgotten meanwhile", Retry::Never))?;
    tools.progress.tell(id, "ensure", 0);
    let ensure = Ensure { ticket: ticket.clone(), mirror: mirror.clone(), repository };
    let ensured = tools.stages.ensure.ask(ensure, PATIENCE).await??;
    Ok((mirror, (ensured.id, ensured.path, ensured.adopting)))
}

fn check_bounds(tools: &Tools, repository: &Repository) -> Result<(), Failure> {
    if repository.disabled {
        let message = format!("GitHub has disabled {}; the copy stays as it is", repository.name);
        return Err(Failure::new("upstream_disabled", message, Retry::Never).meaning(Verdict::Gone));
    }
    let bytes = u64::try_from(repository.size_kib).unwrap_or(0).saturating_mul(1024);
    match tools.max_bytes {
        Some(most) if bytes > most => {
            let message = format!(
                "upstream has {bytes} bytes, more than sync.max_bytes ({most}): raise it and resume the mirror"
            );
            Err(Failure::new("too_large", message, Retry::Never).meaning(Verdict::Paused))
        }
        _ => Ok(()),
    }
}

fn sides(mirror: &Mirror, project: ProjectId, path: String, adopting: bool) -> TwoSides {
    TwoSides { adopting, ..TwoSides::at(mirror, project, path) }
}

/// Somebody who asked gets the full look, and so does a proof that is old or was followed by an error.
fn depth(mirror: &Mirror, priority: Priority) -> Depth {
    let proven = mirror.proof.as_ref().map(|it| it.verified_at);
    let sound = matches!(mirror.status, Status::Healthy | Status::Partial);
    if priority >= Priority::ASKED || !sound || policy::is_due(proven, DEEP_CHECK, Utc::now()) {
        Depth::Full
    } else if priority >= Priority::CHANGED {
        Depth::Changed
    } else {
        Depth::Quick
    }
}

fn is_misplaced(failure: &Failure) -> bool {
    matches!(failure.code, "upstream_not_found" | "onedev_not_found" | "upstream_redirected")
}

pub(super) async fn verify(tools: &Tools, ticket: &Ticket, mirror: Mirror) -> Result<Outcome, Failure> {
    let Some(sides) = TwoSides::of(&mirror) else { return Ok(Outcome::Nothing) };
    let comparison = tools.stages.transfer.ask(Compare { ticket: ticket.clone(), sides }, PATIENCE).await??;
    Ok(Outcome::Compared(comparison))
}

/// Only a mirror that is still un-starred goes.
pub(super) async fn remove(tools: &Tools, mirror: Mirror) -> Result<Outcome, Failure> {
    if mirror.status == Status::Archived && mirror.unstarred_at.is_some() {
        tools.stages.ensure.ask(Remove { mirror }, PATIENCE).await??;
    }
    Ok(Outcome::Nothing)
}
