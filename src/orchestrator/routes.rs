//! Which stages a job passes through, and in what order.

use chrono::{DateTime, Utc};

use super::drive::PATIENCE;
use super::room::Full;
use super::{Drills, Tools, wiki};
use crate::domain::bounds::Beyond;
use crate::domain::ids::MirrorId;
use crate::domain::job::{JobKind, Priority};
use crate::domain::mirror::Status;
use crate::domain::policy::{self, DEEP_CHECK};
use crate::domain::repository::Repository;
use crate::domain::retry::Retry;
use crate::stages::failure::{Failure, Verdict};
use crate::stages::messages::{
    Catalog, Compare, Depth, Describe, Ensure, FindAgain, Mark, Outcome, Remove, Ticket, TidyCaches, Transfer, TwoSides,
};
use crate::stages::restore;
use crate::store::jobs::{self, Job, NewJob};
use crate::store::mirrors::{self, Mirror};

/// describe → ensure → transfer. The first two run only when something says they must: a new mirror,
/// an event, an error, age. A routine check goes straight to the transfer.
pub(super) async fn sync(tools: &Tools, job: &Job, ticket: &Ticket, mirror: Mirror) -> Result<Outcome, Failure> {
    if !mirror.status.is_synced() {
        return Ok(Outcome::Nothing);
    }
    let allow_mass_delete = job.allows_mass_delete();
    let settled = if allow_mass_delete { None } else { settled_sides(&mirror, job.priority) };
    if let Some(sides) = settled {
        let depth = if job.priority >= Priority::CHANGED { Depth::Changed } else { Depth::Quick };
        match transfer(tools, ticket, &sides, depth).await {
            Err(failure) if asks_for_a_closer_look(&failure) => {
                tracing::info!(code = failure.code, "looking closer: {}", failure.message);
            }
            other => return Ok(Outcome::Synced(Box::new(other?))),
        }
    }
    let sides = TwoSides { allow_mass_delete, ..prepare(tools, ticket, mirror.clone()).await? };
    let synced = transfer(tools, ticket, &sides, Depth::Full).await?;
    if sides.adopting {
        // It is ours by now, so its settings are too.
        prepare(tools, ticket, mirror).await?;
    }
    Ok(Outcome::Synced(Box::new(synced)))
}

pub(super) async fn transfer(
    tools: &Tools,
    ticket: &Ticket,
    sides: &TwoSides,
    depth: Depth,
) -> Result<crate::domain::outcome::Synced, Failure> {
    tools.progress.tell(ticket.mirror, "transfer", 0);
    let message = Transfer { ticket: ticket.clone(), sides: sides.clone(), depth };
    tools.stages.transfer.ask(message, PATIENCE).await?
}

/// The two sides, if nothing asks for a closer look at the project or at upstream's metadata: a person,
/// an error, an event, or the age of what is known.
fn settled_sides(mirror: &Mirror, priority: Priority) -> Option<TwoSides> {
    let now = Utc::now();
    let described = mirror.upstream.as_ref().map(|it| it.described_at);
    let proven = mirror.proof.as_ref().map(|it| it.verified_at);
    let fresh = !policy::is_due(described, DEEP_CHECK, now) && !policy::is_due(proven, DEEP_CHECK, now);
    let sound = matches!(mirror.status, Status::Healthy | Status::Partial);
    if fresh && sound && priority < Priority::ASKED { TwoSides::of(mirror) } else { None }
}

/// The mirror of a job. A move that was cut off is seen to first: until then nobody knows whose project stands
/// at its path.
pub(super) async fn found(tools: &Tools, id: MirrorId) -> Result<Option<Mirror>, Failure> {
    let mirror = tools.store.read(move |c| mirrors::find(c, id)).await?;
    let Some(moving) = mirror.as_ref().filter(|it| it.is_moving()) else { return Ok(mirror) };
    tools.stages.ensure.ask(FindAgain { mirror: moving.clone() }, PATIENCE).await??;
    Ok(tools.store.read(move |c| mirrors::find(c, id)).await?)
}

/// Asks GitHub by id, which alone tells who is who. After a new name, and whatever else was told, what it says is
/// taken for old until the project was seen to: a sync that is cut off before that asks again.
pub(super) async fn describe(tools: &Tools, ticket: &Ticket, mirror: Mirror) -> Result<(Mirror, Repository), Failure> {
    tools.progress.tell(mirror.id, "describe", 0);
    let describe = Describe::Mirror(ticket.clone(), mirror.github_id, mirror.name.clone());
    let repository = tools.stages.describe.ask(describe, PATIENCE).await??;
    check_bounds(tools, &mirror, &repository).await?;
    let (id, described) = (mirror.id, repository.clone());
    let doubted = is_doubted(&mirror);
    let mirror = tools
        .store
        .write(move |c| {
            let renamed = mirrors::set_description(c, id, &described, Utc::now())?;
            if renamed || doubted {
                mirrors::doubt_description(c, id)?;
            }
            mirrors::find(c, id)
        })
        .await?
        .ok_or_else(forgotten)?;
    Ok((mirror, repository))
}

/// The same where only the sync sees to the project: after a new name one is queued.
pub(super) async fn describe_aside(
    tools: &Tools,
    ticket: &Ticket,
    mirror: Mirror,
) -> Result<(Mirror, Repository), Failure> {
    let before = mirror.name.clone();
    let (mirror, repository) = describe(tools, ticket, mirror).await?;
    if mirror.name != before && mirror.status.is_synced() {
        let job = NewJob::of(JobKind::Sync, mirror.id, Priority::CHANGED, ticket.correlation);
        tools.store.write(move |c| jobs::enqueue(c, &job, Utc::now())).await?;
    }
    Ok((mirror, repository))
}

/// Nothing that GitHub told is believed before the project was seen to.
fn is_doubted(mirror: &Mirror) -> bool {
    mirror.upstream.as_ref().is_some_and(|it| it.described_at == DateTime::UNIX_EPOCH)
}

pub(super) fn forgotten() -> Failure {
    Failure::new("forgotten", "the mirror was forgotten meanwhile", Retry::Never)
}

/// Asks GitHub, and sees to the project.
async fn prepare(tools: &Tools, ticket: &Ticket, mirror: Mirror) -> Result<TwoSides, Failure> {
    let (mirror, repository) = describe(tools, ticket, mirror).await?;
    tools.progress.tell(mirror.id, "ensure", 0);
    let ensure = Ensure { ticket: ticket.clone(), mirror: mirror.clone(), repository };
    let ensured = tools.stages.ensure.ask(ensure, PATIENCE).await??;
    let (id, doubted) = (mirror.id, is_doubted(&mirror));
    let seen_to = move |c: &mut _| {
        if doubted {
            mirrors::trust_description(c, id, Utc::now())?;
        }
        mirrors::find(c, id)
    };
    // It may stand elsewhere now.
    let mirror = tools.store.write(seen_to).await?.ok_or_else(forgotten)?;
    wiki::settle(tools, &mirror).await;
    Ok(TwoSides { adopting: ensured.adopting, ..TwoSides::at(&mirror, ensured.id, ensured.path) })
}

async fn check_bounds(tools: &Tools, mirror: &Mirror, repository: &Repository) -> Result<(), Failure> {
    if repository.disabled {
        let message = format!("GitHub has disabled {}; the copy stays as it is", repository.name);
        return Err(Failure::new("upstream_disabled", message, Retry::Never).meaning(Verdict::Gone));
    }
    let (bounds, bytes) = (tools.bounds, repository.bytes());
    if let Err(Beyond::Each(most) | Beyond::Total(most)) = bounds.check_each(bytes) {
        let message =
            format!("upstream has {bytes} bytes, more than sync.max_bytes ({most}): raise it and resume the mirror");
        return Err(Failure::new("too_large", message, Retry::Never).meaning(Verdict::Paused));
    }
    // What has its place in OneDev is kept, however much it grows.
    if bounds.total.is_none() || mirror.project.is_some() || mirror.intended_path.is_some() {
        return Ok(());
    }
    if let Err(Full { most, kept }) = tools.room.take(&tools.store, bounds, bytes).await? {
        let message = format!(
            "upstream has {bytes} bytes and {kept} are kept already, together more than policy.max_total_bytes \
             ({most}): raise it and resume the mirror"
        );
        return Err(Failure::new("total_too_large", message, Retry::Never).meaning(Verdict::Paused));
    }
    Ok(())
}

/// Upstream or the project may not be where it was, or not what it was: git cannot tell, GitHub's and
/// OneDev's REST can. Without a credential GitHub's git says 401 for a repository that is not there.
pub(super) fn asks_for_a_closer_look(failure: &Failure) -> bool {
    matches!(
        failure.code,
        "upstream_changed"
            | "lfs_unsearched"
            | "upstream_redirected"
            | "upstream_not_found"
            | "upstream_unauthorized"
            | "upstream_forbidden"
            | "upstream_http_status"
            | "onedev_not_found"
    )
}

pub(super) async fn verify(tools: &Tools, ticket: &Ticket, mirror: Mirror) -> Result<Outcome, Failure> {
    let Some(sides) = TwoSides::of(&mirror) else { return Ok(Outcome::Nothing) };
    let compare = |sides| async {
        let message = Compare { ticket: ticket.clone(), sides };
        tools.stages.transfer.ask(message, PATIENCE).await?
    };
    wiki::verify(tools, ticket, &mirror).await?;
    let comparison = match compare(sides.clone()).await {
        Err(failure) if asks_for_a_closer_look(&failure) => {
            let repository = describe_aside(tools, ticket, mirror).await?.1.name;
            compare(TwoSides { repository, ..sides }).await?
        }
        other => other?,
    };
    Ok(Outcome::Compared(comparison))
}

/// The project is told what its mirror is.
pub(super) async fn mark(tools: &Tools, ticket: &Ticket) -> Result<Outcome, Failure> {
    tools.stages.transfer.ask(Mark { ticket: ticket.clone() }, PATIENCE).await??;
    Ok(Outcome::Nothing)
}

/// The mirror is restored on trial; what is found is written down there.
pub(super) async fn drill(tools: &Tools, ticket: &Ticket, mirror: Mirror) -> Result<Outcome, Failure> {
    let Drills { restore, bounds, .. } = &tools.drills;
    tokio::select! {
        biased;
        () = ticket.cancel.cancelled() => Err(Failure::called_off()),
        found = restore::drill::drill(restore, &mirror, bounds) => {
            if let Some(problem) = found?.problem {
                tracing::error!(mirror = %mirror.name, "a restore drill failed: {problem}");
            }
            Ok(Outcome::Nothing)
        }
    }
}

/// Only a mirror that is still un-starred goes.
pub(super) async fn remove(tools: &Tools, mirror: Mirror) -> Result<Outcome, Failure> {
    if mirror.is_let_go() {
        tools.stages.ensure.ask(Remove { mirror }, PATIENCE).await??;
        tools.stages.transfer.ask(TidyCaches, PATIENCE).await??;
    }
    Ok(Outcome::Nothing)
}

/// What git does not carry, of a mirror that was proven once.
pub(super) async fn catalog(tools: &Tools, ticket: &Ticket, mirror: Mirror) -> Result<Outcome, Failure> {
    if !tools.metadata || !mirror.status.is_synced() || mirror.first_proof_at.is_none() {
        return Ok(Outcome::Nothing);
    }
    tools.progress.tell(ticket.mirror, "catalog", 0);
    let message = Catalog { ticket: ticket.clone(), mirror };
    Ok(Outcome::Cataloged(tools.stages.catalog.ask(message, PATIENCE).await??))
}
