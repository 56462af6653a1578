//! Deliveries that were missed: one process at a time looks for them, at the start and from time to time, and has
//! each processed as if it had come in.

use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::drive::PATIENCE;
use super::{Tools, lease};
use crate::domain::retry::Retry;
use crate::stages::failure::{Failure, Verdict};
use crate::stages::recover::{self, Walked};
use crate::store::recoveries::{self, Recovery};

/// After a failure the look goes on no later than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A delivery that could not be fetched so often is left out.
const MOST_FAILURES: i32 = 5;

/// Looking for missed deliveries.
pub struct Recovering {
    /// What the steps work with.
    pub tools: recover::Tools,
    /// The App.
    pub app: i64,
    /// How often.
    pub every: Duration,
    /// One permit: a process looks once at a time.
    pub permit: Arc<Semaphore>,
}

/// Starts a look if one is due and nobody is at it.
pub(super) async fn begin(tools: &Arc<Tools>) -> Result<(), Failure> {
    let Some(Recovering { app, permit, .. }) = &tools.recovering else { return Ok(()) };
    let app = *app;
    let Ok(permit) = Arc::clone(permit).try_acquire_owned() else { return Ok(()) };
    if !tools.store.read(move |c| recoveries::is_due(c, app, Utc::now())).await? {
        return Ok(());
    }
    let lease = TimeDelta::from_std(tools.lease).unwrap_or(TimeDelta::MAX);
    let worker = tools.worker.clone();
    let claimed = tools.store.write(move |c| recoveries::claim(c, app, &worker, lease, Utc::now())).await?;
    if let Some(recovery) = claimed {
        actix::spawn(drive(Arc::clone(tools), recovery, permit));
    }
    Ok(())
}

/// One look, its lease renewed while it lasts. It may be cut off anywhere.
async fn drive(tools: Arc<Tools>, recovery: Recovery, permit: OwnedSemaphorePermit) {
    let Some(recovering) = &tools.recovering else { return };
    let app = recovery.app;
    let looked = tokio::select! {
        biased;
        () = hold(&tools, app) => {
            tracing::warn!("the lease was lost; the look for missed deliveries is left to its next holder");
            return;
        }
        () = tools.stop.cancelled() => Err(Failure::called_off()),
        looked = look(&tools, recovering, recovery) => looked,
    };
    if let Err(error) = end(&tools, recovering, looked).await {
        tracing::warn!(code = error.code, "the look for missed deliveries is not written down: {}", error.message);
    }
    drop(permit);
}

/// Returns when the lease is lost.
async fn hold(tools: &Tools, app: i64) {
    let renew = |until| async move {
        let worker = tools.worker.clone();
        tools.store.write(move |c| recoveries::renew(c, app, &worker, until)).await
    };
    lease::keep(tools.lease, renew).await;
}

/// Walks through the list, then fetches what is missing, the oldest first. Says how many were processed.
async fn look(tools: &Tools, recovering: &Recovering, recovery: Recovery) -> Result<u64, Failure> {
    let mut recovery = recovery;
    loop {
        match recover::walk(&recovering.tools, &recovery, &tools.worker).await? {
            Walked::On(further) => recovery = further,
            Walked::Done => break,
            Walked::Lost => return Err(Failure::called_off()),
        }
    }
    let mut processed = 0;
    while let Some(missed) = tools.store.read(recoveries::next_missed).await? {
        match recover::fetch(&recovering.tools, &missed).await {
            Ok(Some(accept)) => {
                tools.stages.accept.ask(accept, PATIENCE).await??;
                processed += 1;
            }
            Ok(None) => {}
            Err(failure) => give_up(tools, &missed.guid, failure).await?,
        }
        tools.store.write(move |c| recoveries::dealt_with(c, &missed.guid)).await?;
    }
    Ok(processed)
}

/// One delivery that GitHub fails to show again and again must not keep back those behind it.
///
/// # Errors
/// The failure itself, while it is worth another try.
async fn give_up(tools: &Tools, guid: &str, failure: Failure) -> Result<(), Failure> {
    if let Retry::After(_) = failure.retry {
        return Err(failure);
    }
    let missed = guid.to_owned();
    let failures = tools.store.write(move |c| recoveries::failed(c, &missed)).await?;
    if failures < MOST_FAILURES {
        return Err(failure);
    }
    tracing::warn!(delivery = guid, code = failure.code, "a missed delivery is given up: {}", failure.message);
    Ok(())
}

/// Writes down how a look ended, and when the next one is due.
async fn end(tools: &Tools, recovering: &Recovering, looked: Result<u64, Failure>) -> Result<(), Failure> {
    let pause = match &looked {
        Ok(_) => recovering.every.mul_f64(0.9 + 0.1 * rand::random::<f64>()),
        Err(Failure { verdict: Verdict::CalledOff, .. }) => Duration::ZERO,
        Err(Failure { retry: Retry::After(pause), .. }) => *pause,
        Err(_) => recovering.every.min(LONGEST_PAUSE),
    };
    let done_at = looked.is_ok().then(Utc::now);
    let failure = looked.as_ref().err().filter(|it| it.verdict != Verdict::CalledOff).cloned();
    if let Some(failure) = &failure {
        tracing::warn!(code = failure.code, "missed deliveries cannot be looked for: {}", failure.message);
    }
    if let Some(deliveries) = looked.ok().filter(|it| *it > 0) {
        tracing::info!(deliveries, "missed deliveries were fetched back");
    }
    let (app, worker) = (recovering.app, tools.worker.clone());
    tools
        .store
        .write(move |c| {
            let error = failure.as_ref().map(|it| (it.code, it.message.as_str()));
            recoveries::release(c, app, &worker, Utc::now() + pause, done_at, error)
        })
        .await?;
    Ok(())
}

/// Waits until no look is under way; it was called off before.
pub(super) async fn ended(permit: Option<&Semaphore>) {
    if let Some(permit) = permit {
        let _ = tokio::time::timeout(Duration::from_secs(5), permit.acquire()).await;
    }
}
