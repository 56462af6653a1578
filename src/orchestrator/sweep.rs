//! When upstreams are swept, and by whom: one process at a time, under a lease, beside the jobs.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::drive::PATIENCE;
use super::{Tools, lease};
use crate::domain::ids::MirrorId;
use crate::domain::retry::Retry;
use crate::domain::sweep::Pace;
use crate::stages::failure::{Failure, Verdict};
use crate::stages::sweep::{SweepUpstreams, Swept};
use crate::store::sweeps::{self, Sweep, UPSTREAMS};
use crate::store::{Connection, StoreError, mirrors};

/// After a failure the next sweep comes so much later, and later each time.
const PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// After so many failures in a row git looks in the sweeps' place, until one comes to its end.
const TRUSTED: u32 = 3;

/// Sweeping upstreams.
pub struct Sweeping {
    /// GitHub can be asked about many at once: there is a credential.
    pub on: bool,
    /// When looks are due.
    pub pace: Pace,
    /// One permit: this process does one at a time.
    pub permit: Arc<Semaphore>,
}

/// Begins a sweep if one is due. Says whether git may leave to sweeps what they can look at.
pub(super) async fn begin(tools: &Arc<Tools>) -> Result<bool, Failure> {
    let Sweeping { on: true, pace, permit } = &tools.sweeping else { return Ok(false) };
    let now = Utc::now();
    let until = now + pace.ahead();
    let known = tools.store.read(|c| sweeps::find(c, UPSTREAMS)).await?;
    let is_trusted = known.as_ref().is_none_or(|it| it.failures < TRUSTED);
    if !known.as_ref().is_none_or(|it| it.is_free(now)) {
        return Ok(is_trusted);
    }
    if !tools.store.read(move |c| mirrors::is_sweep_due(c, until, now)).await? {
        return Ok(is_trusted);
    }
    let Ok(permit) = Arc::clone(permit).try_acquire_owned() else { return Ok(is_trusted) };
    let lease = chrono::TimeDelta::from_std(tools.lease).unwrap_or(chrono::TimeDelta::MAX);
    let worker = tools.worker.clone();
    if tools.store.write(move |c| sweeps::claim(c, UPSTREAMS, &worker, lease, Utc::now())).await? {
        actix::spawn(drive(Arc::clone(tools), known, permit));
    }
    Ok(is_trusted)
}

/// Mirrors that are due and that git is to look at.
pub(super) fn due(
    tools: &Tools,
    is_trusted: bool,
    limit: u32,
) -> impl Fn(&mut Connection) -> Result<Vec<MirrorId>, StoreError> + Copy + Send + 'static {
    let ahead = tools.sweeping.pace.ahead();
    move |c| match is_trusted {
        true => mirrors::due_by_git(c, Utc::now() + ahead, Utc::now(), limit),
        false => mirrors::due(c, Utc::now(), limit),
    }
}

/// One sweep, its lease renewed while it lasts.
async fn drive(tools: Arc<Tools>, known: Option<Sweep>, permit: OwnedSemaphorePermit) {
    // A sweep may be cut off anywhere, so it does not wait for the end of a shutdown.
    let cancel = tools.stop.child_token();
    let swept = tokio::select! {
        biased;
        () = hold(&tools) => {
            cancel.cancel();
            tracing::warn!("the lease was lost; the sweep is left to its next holder");
            return;
        }
        swept = tools.stages.sweep.ask(SweepUpstreams { cancel: cancel.clone() }, PATIENCE) => swept,
    };
    let swept = swept.unwrap_or_else(|unanswered| Err(unanswered.into()));
    if let Err(error) = end(&tools, known, swept).await {
        tracing::warn!(code = error.code, "the end of a sweep is not written down: {}", error.message);
    }
    drop(permit);
}

/// Returns when the lease is lost.
async fn hold(tools: &Tools) {
    let renew = |until| async move {
        let worker = tools.worker.clone();
        tools.store.write(move |c| sweeps::renew(c, UPSTREAMS, &worker, until)).await
    };
    lease::keep(tools.lease, renew).await;
}

/// Writes down how a sweep ended, and when the next one may begin.
async fn end(tools: &Tools, known: Option<Sweep>, swept: Result<Swept, Failure>) -> Result<(), Failure> {
    let before = known.map_or(0, |it| it.failures);
    let (pause, failures) = match &swept {
        Ok(_) => (Duration::ZERO, 0),
        Err(failure) if failure.verdict == Verdict::CalledOff => (Duration::ZERO, before),
        Err(failure) => match failure.retry {
            // Waiting that GitHub asked for is no failure.
            Retry::After(pause) => (pause, before),
            Retry::Backoff | Retry::Never => (PAUSE.saturating_mul(1 << before.min(8)), before.saturating_add(1)),
        },
    };
    let (worker, next) = (tools.worker.clone(), Utc::now() + pause.min(LONGEST_PAUSE));
    tools.store.write(move |c| sweeps::release(c, UPSTREAMS, &worker, next, failures)).await?;
    match swept {
        Ok(_) if before >= TRUSTED => tracing::info!("GitHub tells again what changed"),
        Err(failure) if failures != before && (failures == 1 || failures == TRUSTED) => {
            let git = failures >= TRUSTED;
            tracing::warn!(code = failure.code, git, "upstreams cannot be swept: {}", failure.message);
        }
        _ => {}
    }
    Ok(())
}

/// Waits until no sweep is under way; it was called off before.
pub(super) async fn ended(permit: &Semaphore) {
    let _ = tokio::time::timeout(Duration::from_secs(5), permit.acquire()).await;
}
