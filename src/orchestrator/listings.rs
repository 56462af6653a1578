//! Batches and sources that are to be read: one process reads one at a time, under a lease, beside the jobs.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::drive::PATIENCE;
use super::{Tools, lease};
use crate::domain::listing::What;
use crate::domain::retry::Retry;
use crate::stages::failure::{Failure, Verdict};
use crate::stages::listing::WalkList;
use crate::store::listings::{self, Listing};

/// Batches that are read at once.
pub const AT_ONCE: usize = 2;

/// Starts to read every batch that is due, or those of `only`, as far as there are permits.
pub(super) async fn begin(tools: &Arc<Tools>, only: Option<Vec<String>>) -> Result<(), Failure> {
    let due = match only {
        // The due ones are told a few at once, and these may stand behind many: a claim says whether they are due.
        Some(only) => only,
        None => tools.store.read(|c| listings::due(c, Utc::now())).await?,
    };
    for id in due {
        let Ok(permit) = Arc::clone(&tools.batches).try_acquire_owned() else { return Ok(()) };
        let lease = chrono::TimeDelta::from_std(tools.lease).unwrap_or(chrono::TimeDelta::MAX);
        let worker = tools.worker.clone();
        let claimed = tools.store.write(move |c| listings::claim(c, &id, &worker, lease, Utc::now())).await?;
        if let Some(listing) = claimed {
            actix::spawn(drive(Arc::clone(tools), listing, permit));
        }
    }
    Ok(())
}

/// One walk, its lease renewed while it lasts.
async fn drive(tools: Arc<Tools>, listing: Listing, permit: OwnedSemaphorePermit) {
    // It may be cut off anywhere, so it does not wait for the end of a shutdown.
    let cancel = tools.stop.child_token();
    let message = WalkList { listing: listing.clone(), worker: tools.worker.clone(), cancel: cancel.clone() };
    let walked = tokio::select! {
        biased;
        () = hold(&tools, &listing.id) => {
            cancel.cancel();
            tracing::warn!(batch = listing.id, "the lease was lost; the batch is left to its next holder");
            return;
        }
        walked = tools.stages.listing.ask(message, PATIENCE) => walked,
    };
    let walked = walked.unwrap_or_else(|unanswered| Err(unanswered.into()));
    if let Err(error) = end(&tools, &listing, walked).await {
        tracing::warn!(code = error.code, batch = listing.id, "the batch is not written down: {}", error.message);
    }
    drop(permit);
}

/// Returns when the lease is lost.
async fn hold(tools: &Tools, id: &str) {
    let renew = |until| async move {
        let (id, worker) = (id.to_owned(), tools.worker.clone());
        tools.store.write(move |c| listings::renew(c, &id, &worker, until)).await
    };
    lease::keep(tools.lease, renew).await;
}

/// Writes down how it went, and when it goes on. One that failed for good goes on when it is asked for again.
async fn end(tools: &Tools, listing: &Listing, walked: Result<(), Failure>) -> Result<(), Failure> {
    let (id, worker) = (listing.id.clone(), tools.worker.clone());
    let (declared, every) = (source_of(listing), tools.sources_every);
    let failure = match walked {
        Ok(()) => {
            let next = declared.as_ref().map(|_| Utc::now() + every);
            tools.store.write(move |c| listings::release(c, &id, &worker, next)).await?;
            match declared {
                Some(source) => tracing::debug!(source, "the whole source is read"),
                None => tracing::info!(batch = listing.id, "the whole batch is read"),
            }
            return Ok(());
        }
        Err(failure) if failure.verdict == Verdict::CalledOff => {
            tools.store.write(move |c| listings::release(c, &id, &worker, Some(Utc::now()))).await?;
            return Ok(());
        }
        Err(failure) => failure,
    };
    let pause: Option<Duration> = match failure.retry {
        Retry::After(pause) => Some(pause),
        Retry::Backoff => tools.rule.pause(listing.failures + 1, rand::random()),
        Retry::Never => None,
    };
    // A source is never given up: it begins anew when its turn comes.
    let gives_up = pause.is_none() && declared.is_some();
    let pause = if gives_up { Some(every) } else { pause };
    let (code, message) = (failure.code, failure.message.clone());
    let is_news = tools
        .store
        .write(move |c| {
            if gives_up {
                listings::rewind(c, &id, &worker)?;
            }
            let is_news = listings::failed(c, &id, &worker, (code, &message), Utc::now())?;
            listings::release(c, &id, &worker, pause.map(|it| Utc::now() + it))?;
            Ok(is_news)
        })
        .await?;
    match declared {
        Some(source) if is_news => {
            tracing::warn!(source, code, "the source cannot be read, others go on: {}", failure.message);
        }
        None if is_news => {
            tracing::warn!(batch = listing.id, code, "the batch cannot be read: {}", failure.message);
        }
        _ => {}
    }
    Ok(())
}

/// What a log calls a source; `None` for a batch.
fn source_of(listing: &Listing) -> Option<String> {
    match &listing.wanted {
        What::Declared { declaration } => Some(declaration.of.label()),
        What::Stars { .. } | What::Names { .. } => None,
    }
}

/// Waits until nothing is read any more; it was called off before.
pub(super) async fn ended(permits: &Semaphore) {
    let all = u32::try_from(AT_ONCE).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(Duration::from_secs(5), permits.acquire_many(all)).await;
}
