//! Whose stars are to be looked at: one process looks at a user at a time, under a lease, beside the jobs
//! and not out of their permits, so that a first import does not keep fresh stars waiting.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::drive::PATIENCE;
use super::{Tools, lease};
use crate::domain::retry::Retry;
use crate::stages::failure::{Failure, Verdict};
use crate::stages::stars::{LookAtStars, Looked};
use crate::store::polls::{self, Poll};

/// Users at once.
pub const AT_ONCE: usize = 2;
/// After failures the next look comes later each time, no later than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Looking at users' stars.
pub struct Polling {
    /// Whose, as the configuration has the logins.
    pub users: Vec<String>,
    /// How often; `None` is never.
    pub every: Option<Duration>,
    /// One permit for each user at a time: [`AT_ONCE`].
    pub permits: Arc<Semaphore>,
}

/// Starts a look at every user whose turn it is, as far as there are permits.
pub(super) async fn begin(tools: &Arc<Tools>) -> Result<(), Failure> {
    let Polling { users, every: Some(_), permits } = &tools.polling else { return Ok(()) };
    if users.is_empty() {
        return Ok(());
    }
    let known = tools.store.read(polls::list).await?;
    let now = Utc::now();
    for login in users {
        let poll = known.iter().find(|it| it.login.eq_ignore_ascii_case(login));
        let waits = |it: &Poll| it.next_at > now || it.lease.as_ref().is_some_and(|(_, until)| *until >= now);
        if poll.is_some_and(waits) {
            continue;
        }
        let Ok(permit) = Arc::clone(permits).try_acquire_owned() else { return Ok(()) };
        let lease = chrono::TimeDelta::from_std(tools.lease).unwrap_or(chrono::TimeDelta::MAX);
        let (login, worker) = (login.clone(), tools.worker.clone());
        let claimed = tools
            .store
            .write(move |c| {
                polls::ensure(c, &login, Utc::now())?;
                polls::claim(c, &login, &worker, lease, Utc::now())
            })
            .await?;
        if let Some(poll) = claimed {
            actix::spawn(drive(Arc::clone(tools), poll, permit));
        }
    }
    Ok(())
}

/// One look, its lease renewed while it lasts.
async fn drive(tools: Arc<Tools>, poll: Poll, permit: OwnedSemaphorePermit) {
    // A look may be cut off anywhere, so it does not wait for the end of a shutdown.
    let cancel = tools.stop.child_token();
    let message = LookAtStars { poll: poll.clone(), worker: tools.worker.clone(), cancel: cancel.clone() };
    let looked = tokio::select! {
        biased;
        () = hold(&tools, &poll.login) => {
            cancel.cancel();
            tracing::warn!(user = poll.login, "the lease was lost; the look at the stars is left to its next holder");
            return;
        }
        looked = tools.stages.stars.ask(message, PATIENCE) => looked,
    };
    let looked = looked.unwrap_or_else(|unanswered| Err(unanswered.into()));
    if let Err(error) = end(&tools, &poll, looked).await {
        tracing::warn!(code = error.code, user = poll.login, "the look is not written down: {}", error.message);
    }
    drop(permit);
}

/// Returns when the lease is lost.
async fn hold(tools: &Tools, login: &str) {
    let renew = |until| async move {
        let (login, worker) = (login.to_owned(), tools.worker.clone());
        tools.store.write(move |c| polls::renew(c, &login, &worker, until)).await
    };
    lease::keep(tools.lease, renew).await;
}

/// Writes down how a look ended, and when the next one is due.
async fn end(tools: &Tools, poll: &Poll, looked: Result<Looked, Failure>) -> Result<(), Failure> {
    let (login, worker) = (poll.login.clone(), tools.worker.clone());
    let every = tools.polling.every.unwrap_or(LONGEST_PAUSE);
    let failure = match looked {
        Ok(looked) => {
            // Within the interval, and not all users at once.
            let next = Utc::now() + looked.next_in.mul_f64(0.9 + 0.1 * rand::random::<f64>());
            let ended = move |c: &mut _| {
                polls::succeeded(c, &login, &worker, Utc::now())?;
                polls::release(c, &login, &worker, next)
            };
            tools.store.write(ended).await?;
            return Ok(());
        }
        Err(failure) if failure.verdict == Verdict::CalledOff => {
            tools.store.write(move |c| polls::release(c, &login, &worker, Utc::now())).await?;
            return Ok(());
        }
        Err(failure) => failure,
    };
    let doubled = every.saturating_mul(1 << poll.failures.min(16)).min(LONGEST_PAUSE.max(every));
    let pause = match failure.retry {
        Retry::After(pause) => pause,
        Retry::Backoff | Retry::Never => doubled,
    };
    let (code, message) = (failure.code, failure.message.clone());
    let is_news = tools
        .store
        .write(move |c| {
            let is_news = polls::failed(c, &login, &worker, (code, &message), Utc::now())?;
            polls::release(c, &login, &worker, Utc::now() + pause)?;
            Ok(is_news)
        })
        .await?;
    // Told once; the look after next would say the same.
    if is_news {
        tracing::warn!(user = poll.login, code, "the stars cannot be looked at: {}", failure.message);
    }
    Ok(())
}

/// Waits until no look is under way; they were called off before.
pub(super) async fn ended(permits: &Semaphore) {
    let all = u32::try_from(AT_ONCE).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(Duration::from_secs(5), permits.acquire_many(all)).await;
}
