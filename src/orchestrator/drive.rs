//! One job from its claim to its outcome: the lease is renewed while the stages work, and whatever
//! happens, the outcome is written down or the lease runs out.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{Tools, gone, lease, outages, routes, wiki};
use crate::domain::ids::MirrorId;
use crate::domain::job::{JobKind, Priority};
use crate::domain::part::PartId;
use crate::domain::rate::Urgency;
use crate::domain::retry::Retry;
use crate::stages::failure::{Failure, Verdict};
use crate::stages::messages::{CountRefs, Ending, Outcome, Record, RollBack, Ticket, TwoSides};
use crate::store::jobs::{self, Job};
use crate::store::mirrors;
use crate::telemetry::traces;

/// How long a driver waits for a free child of a stage. There are as many children as permits, so
/// this is only reached when children die faster than they are replaced.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// Tries to write an outcome down, when the stage that does it dies or the database is away.
const RECORD_TRIES: u32 = 5;

pub(super) async fn drive(tools: Arc<Tools>, job: Job, permit: OwnedSemaphorePermit) {
    let span = tracing::info_span!("job", correlation_id = %job.correlation, job = %job.id, kind = %job.kind);
    traces::follow(&span, job.correlation);
    let wake = tools.store.clone();
    drive_claimed(&tools, job).instrument(span).await;
    drop(permit);
    // A permit is free again: there may be a job for it.
    wake.wake();
}

async fn drive_claimed(tools: &Tools, job: Job) {
    let Some(mirror) = job.mirror else {
        tracing::error!("a job without a mirror was queued; it is left to its lease");
        return;
    };
    let ticket = Ticket {
        job: job.id,
        mirror,
        correlation: job.correlation,
        urgency: if job.priority >= Priority::FRESH { Urgency::Fresh } else { Urgency::Routine },
        cancel: tools.call_off.child_token(),
    };
    let started_at = Utc::now();
    let outcome = tokio::select! {
        biased;
        () = hold(tools, &job, &ticket.cancel) => {
            // The next holder will find what was done; nothing of ours may be written any more.
            ticket.cancel.cancel();
            tracing::warn!("the lease was lost; the work is left to its next holder");
            return;
        }
        outcome = work_or_undo(tools, &job, &ticket) => outcome,
    };
    report(&job, &outcome);
    // Before it is over, so that nobody sees a moment in which there is nothing to do.
    if let Err(failure) = outages::bring_back(tools).await {
        tracing::warn!(code = failure.code, "jobs that waited for a server come back later: {}", failure.message);
    }
    tools.progress.tell(mirror, "record", 0);
    let record = || Record {
        ticket: ticket.clone(),
        job: job.clone(),
        worker: tools.worker.clone(),
        started_at,
        outcome: outcome.clone(),
    };
    let ending = write_down(tools, record).await;
    tools.progress.tell(mirror, if matches!(outcome, Outcome::Failed(_)) { "failed" } else { "done" }, 0);
    if ending.is_none() {
        tracing::error!("the outcome is not written down; the lease will run out and the job run again");
    }
}

/// Returns when the job's lease is lost. Never while the work has been called off, since that ends by itself.
async fn hold(tools: &Tools, job: &Job, cancel: &CancellationToken) {
    let renew = |until| async move {
        if cancel.is_cancelled() {
            std::future::pending::<()>().await;
        }
        let (id, worker) = (job.id, tools.worker.clone());
        tools.store.write(move |c| jobs::renew(c, id, &worker, until, Utc::now())).await
    };
    lease::keep(tools.lease, renew).await;
}

/// Works, and takes back what was made for nothing if that failed for good. Both under the lease, so that
/// nobody else works on the mirror meanwhile.
async fn work_or_undo(tools: &Tools, job: &Job, ticket: &Ticket) -> Outcome {
    let outcome = match work(tools, job, ticket).await {
        Ok(outcome) => outcome,
        Err(failure) if failure.verdict == Verdict::Gone && job.kind.tells_of_the_mirror() => {
            Outcome::Failed(gone::brake(tools, ticket.mirror, failure).await)
        }
        Err(failure) => Outcome::Failed(failure),
    };
    if let Outcome::Failed(failure) = &outcome
        && is_final(tools, job, failure)
    {
        match job.kind {
            JobKind::Sync => roll_back(tools, ticket.mirror).await,
            JobKind::Wiki => wiki::roll_back(tools, PartId::wiki(ticket.mirror)).await,
            JobKind::Verify | JobKind::Remove | JobKind::Mark | JobKind::Drill | JobKind::Catalog => {}
        }
        if failure.verdict == Verdict::Gone && job.kind.tells_of_the_mirror() {
            gone::tell(tools, ticket.mirror, failure).await;
        }
    }
    outcome
}

/// Nobody will try it again by himself.
fn is_final(tools: &Tools, job: &Job, failure: &Failure) -> bool {
    match (failure.verdict, failure.retry) {
        (Verdict::CalledOff | Verdict::Held { .. }, _) => false,
        (Verdict::Gone | Verdict::Paused, _) | (_, Retry::Never) => true,
        (_, Retry::After(_)) => false,
        (_, Retry::Backoff) => tools.rule.pause(job.attempts + 1, 0.0).is_none(),
    }
}

async fn work(tools: &Tools, job: &Job, ticket: &Ticket) -> Result<Outcome, Failure> {
    let id = ticket.mirror;
    let Some(mirror) = routes::found(tools, id).await? else { return Ok(Outcome::Nothing) };
    match job.kind {
        JobKind::Sync => routes::sync(tools, job, ticket, mirror).await,
        JobKind::Verify => routes::verify(tools, ticket, mirror).await,
        JobKind::Wiki => wiki::sync(tools, job, ticket, mirror).await,
        JobKind::Remove => routes::remove(tools, mirror).await,
        JobKind::Mark => routes::mark(tools, ticket).await,
        JobKind::Drill => routes::drill(tools, ticket, mirror).await,
        JobKind::Catalog => routes::catalog(tools, ticket, mirror).await,
    }
}

/// The outcome is logged once, here, where it is known.
fn report(job: &Job, outcome: &Outcome) {
    match outcome {
        Outcome::Synced(it) => tracing::info!(
            digest = it.digest,
            refs = it.ref_count,
            both_read = it.both_read,
            bytes = it.stats.bytes_in,
            created = it.stats.created,
            moved = it.stats.moved,
            deleted = it.stats.deleted,
            kept = it.stats.kept,
            not_level = it.not_level.len(),
            "proven level"
        ),
        Outcome::Compared(it) => tracing::info!(differences = it.differences.len(), "compared"),
        Outcome::Absent => tracing::info!("upstream has no wiki"),
        Outcome::Cataloged(it) => {
            tracing::info!(pages = it.pages, commits = it.commits, more = it.more.is_some(), "cataloged");
        }
        Outcome::Nothing => tracing::info!("nothing to do"),
        Outcome::Failed(failure) if failure.verdict == (Verdict::Held { told: true }) => {
            tracing::info!(code = failure.code, "still waits for an admin");
        }
        Outcome::Failed(failure) => {
            tracing::warn!(code = failure.code, attempts = job.attempts, "{}", failure.message);
        }
    }
}

async fn write_down(tools: &Tools, record: impl Fn() -> Record) -> Option<Ending> {
    for again in 1..=RECORD_TRIES {
        let failure = match tools.stages.record.ask(record(), PATIENCE).await {
            Ok(Ok(ending)) => return Some(ending),
            Ok(Err(failure)) => failure,
            Err(unanswered) => unanswered.into(),
        };
        tracing::warn!(code = failure.code, again, "the outcome could not be written down: {}", failure.message);
        tokio::time::sleep(Duration::from_millis(50) * again * again).await;
    }
    None
}

/// The empty project of a first mirror that failed for good goes, and only that. REST sees branches and
/// tags alone, so all refs are counted by git first.
async fn roll_back(tools: &Tools, id: MirrorId) {
    let rolled_back = async {
        let Some(mirror) = tools.store.read(move |c| mirrors::find(c, id)).await? else { return Ok(false) };
        if !mirror.made_project || mirror.first_proof_at.is_some() {
            return Ok(false);
        }
        let Some(sides) = TwoSides::of(&mirror) else { return Ok(false) };
        if tools.stages.transfer.ask(CountRefs { sides }, PATIENCE).await?? > 0 {
            return Ok(false);
        }
        tools.stages.ensure.ask(RollBack { mirror }, PATIENCE).await?
    };
    match rolled_back.await {
        Ok(true) => tracing::info!("the empty project that was made for this mirror is gone again"),
        Ok(false) => {}
        Err::<bool, Failure>(failure) => {
            tracing::warn!(code = failure.code, "the empty project stays: {}", failure.message);
        }
    }
}
