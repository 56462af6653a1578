//! The way of a wiki: the same stages as the code's, in a project below the mirror's own.
//!
//! A wiki need not be there, whatever GitHub says of it, so that is asked before a project is made. One
//! that vanished keeps its copy. What is found is written to the wiki's own row: the mirror's status is
//! that of its code.

use chrono::Utc;

use super::drive::PATIENCE;
use super::routes::{asks_for_a_closer_look, describe_aside, transfer};
use super::{Tools, routes};
use crate::domain::job::{JobKind, Priority};
use crate::domain::outcome::Synced;
use crate::domain::part::{PartId, PartState};
use crate::domain::policy::{self, DEEP_CHECK};
use crate::stages::failure::{Failure, Verdict};
use crate::stages::messages::{
    Compare, CountRefs, Depth, EnsureWiki, Outcome, RollBackWiki, SeekWiki, Ticket, TwoSides,
};
use crate::stages::transfer::ABSENT;
use crate::store::jobs::{self, Job, NewJob};
use crate::store::mirrors::Mirror;
use crate::store::parts::{self, PartRecord};

/// seek → describe → ensure → transfer; a routine look at a settled wiki goes straight to the transfer.
pub(super) async fn sync(tools: &Tools, job: &Job, ticket: &Ticket, mirror: Mirror) -> Result<Outcome, Failure> {
    if !tools.wiki || !mirror.status.is_synced() || mirror.project.is_none() {
        return Ok(Outcome::Nothing);
    }
    match look(tools, job, ticket, mirror).await {
        Ok(Some(synced)) => Ok(Outcome::Synced(Box::new(synced))),
        Ok(None) => Ok(Outcome::Absent),
        // Upstream as a whole is gone, which the sync of the code finds and says.
        Err(failure) if failure.verdict == Verdict::Gone => Ok(Outcome::Nothing),
        Err(failure) => Err(failure),
    }
}

/// `None`: upstream has no wiki.
async fn look(tools: &Tools, job: &Job, ticket: &Ticket, mirror: Mirror) -> Result<Option<Synced>, Failure> {
    let id = PartId::wiki(mirror.id);
    let wiki = tools
        .store
        .write(move |c| {
            parts::begin(c, id, Utc::now())?;
            parts::find(c, id)
        })
        .await?
        .ok_or_else(routes::forgotten)?;
    if wiki.project.is_none() && !seek(tools, ticket, &mirror).await? {
        return Ok(None);
    }
    if let Some(sides) = settled_sides(&mirror, &wiki, job) {
        let depth = if job.priority >= Priority::CHANGED { Depth::Changed } else { Depth::Quick };
        match transfer(tools, ticket, &sides, depth).await {
            Err(failure) if failure.code == ABSENT || asks_for_a_closer_look(&failure) => {
                tracing::info!(code = failure.code, "looking closer: {}", failure.message);
            }
            other => return other.map(Some),
        }
    }
    let allow_mass_delete = job.allows_mass_delete();
    let sides = TwoSides { allow_mass_delete, ..prepare(tools, ticket, mirror, &wiki).await? };
    match transfer(tools, ticket, &sides, Depth::Full).await {
        Err(failure) if failure.code == ABSENT => {
            roll_back(tools, id).await;
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// The two sides, if nothing asks for a closer look.
fn settled_sides(mirror: &Mirror, wiki: &PartRecord, job: &Job) -> Option<TwoSides> {
    let now = Utc::now();
    let described = mirror.upstream.as_ref().map(|it| it.described_at);
    let proven = wiki.proof.as_ref().map(|it| it.verified_at);
    let fresh = !policy::is_due(described, DEEP_CHECK, now) && !policy::is_due(proven, DEEP_CHECK, now);
    let sound = matches!(wiki.state, PartState::Healthy | PartState::Partial);
    let settled = fresh && sound && job.priority < Priority::ASKED && !job.allows_mass_delete();
    if settled { TwoSides::of_wiki(mirror, wiki) } else { None }
}

async fn seek(tools: &Tools, ticket: &Ticket, mirror: &Mirror) -> Result<bool, Failure> {
    tools.progress.tell(mirror.id, "wiki", 0);
    let message = SeekWiki { ticket: ticket.clone(), repository: mirror.name.clone() };
    tools.stages.transfer.ask(message, PATIENCE).await?
}

/// Asks GitHub by id, which alone tells whose wiki stands under the name, and sees to the project.
async fn prepare(tools: &Tools, ticket: &Ticket, mirror: Mirror, wiki: &PartRecord) -> Result<TwoSides, Failure> {
    let (mirror, _) = describe_aside(tools, ticket, mirror).await?;
    let ensure = EnsureWiki { mirror: mirror.clone(), wiki: wiki.clone() };
    let ensured = tools.stages.ensure.ask(ensure, PATIENCE).await??;
    let sides = TwoSides::of_wiki_at(&mirror, wiki, ensured.id, ensured.path);
    Ok(TwoSides { adopting: ensured.adopting, ..sides })
}

/// Who may see a wiki follows the mirror, at the same time. That it could not be done is told, and the
/// wiki's own job does it.
pub(super) async fn settle(tools: &Tools, mirror: &Mirror) {
    let id = PartId::wiki(mirror.id);
    let settled = async {
        let Some(wiki) = tools.store.read(move |c| parts::find(c, id)).await? else { return Ok(()) };
        if wiki.project.is_some() && mirror.project.is_some() {
            tools.stages.ensure.ask(EnsureWiki { mirror: mirror.clone(), wiki }, PATIENCE).await??;
        }
        Ok(())
    };
    let Err::<(), Failure>(failure) = settled.await else { return };
    tracing::warn!(code = failure.code, "the wiki's project could not be seen to: {}", failure.message);
    let noted = tools.store.write(move |c| {
        parts::record_error(c, id, (failure.code, &failure.message), Utc::now())?;
        parts::schedule(c, id, Some(Utc::now()), Utc::now())
    });
    if let Err(error) = noted.await {
        tracing::warn!(code = error.code(), "that could not be written down: {error}");
    }
}

/// Compares the wiki too, where there is a copy of one. A difference asks for a look at it.
pub(super) async fn verify(tools: &Tools, ticket: &Ticket, mirror: &Mirror) -> Result<(), Failure> {
    let id = PartId::wiki(mirror.id);
    let Some(wiki) = tools.store.read(move |c| parts::find(c, id)).await? else { return Ok(()) };
    let Some(sides) = TwoSides::of_wiki(mirror, &wiki) else { return Ok(()) };
    let compare = Compare { ticket: ticket.clone(), sides };
    let compared = tools.stages.transfer.ask(compare, PATIENCE).await?;
    if let Ok(it) = &compared {
        tracing::info!(differences = it.differences.len(), "compared the wiki");
    }
    let correlation = ticket.correlation;
    tools
        .store
        .write(move |c| {
            let error = match &compared {
                Ok(it) if it.is_level() => return parts::record_verified(c, id, &it.digest, Utc::now()).map(drop),
                Ok(it) => ("not_level", format!("{} refs of the wiki differ from upstream", it.differences.len())),
                Err(failure) => (failure.code, failure.message.clone()),
            };
            if error.0 != ABSENT {
                parts::record_error(c, id, (error.0, &error.1), Utc::now())?;
            }
            jobs::enqueue(c, &NewJob::of(JobKind::Wiki, id.mirror, Priority::CHANGED, correlation), Utc::now())?;
            Ok(())
        })
        .await?;
    Ok(())
}

/// The empty project of a wiki that came to nothing goes, and only that.
pub(super) async fn roll_back(tools: &Tools, id: PartId) {
    let rolled_back = async {
        let found =
            tools.store.read(move |c| Ok((crate::store::mirrors::find(c, id.mirror)?, parts::find(c, id)?))).await?;
        let (Some(mirror), Some(wiki)) = found else { return Ok(false) };
        if !wiki.made_project || wiki.first_proof_at.is_some() {
            return Ok(false);
        }
        let Some(sides) = TwoSides::of_wiki(&mirror, &wiki) else { return Ok(false) };
        if tools.stages.transfer.ask(CountRefs { sides }, PATIENCE).await?? > 0 {
            return Ok(false);
        }
        tools.stages.ensure.ask(RollBackWiki { wiki }, PATIENCE).await?
    };
    match rolled_back.await {
        Ok(true) => tracing::info!("the empty project that was made for this wiki is gone again"),
        Ok(false) => {}
        Err::<bool, Failure>(failure) => {
            tracing::warn!(code = failure.code, "the wiki's empty project stays: {}", failure.message);
        }
    }
}
