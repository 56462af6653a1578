//! Tells people what became of mirrors: gathered in the database, sent from there.
//!
//! A process takes a message before it sends it and strikes it off after that, so each is sent by one of several; it
//! may come twice if the process dies in between, and is never lost before it is given up.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::config::notify::Notify;
use crate::domain::notice::Digest;
use crate::domain::retry::BackoffRule;
use crate::notify::{Notifier, NotifyError};
use crate::store::notices::{self, Notice};
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;

/// A message that fails so often is given up: with the usual `retry.*` after about half a day.
const TRIES: u32 = 30;
/// Whether there is something to tell is looked at as often at least.
const TICK: Duration = Duration::from_secs(10);
/// Longer than one message can take: only then does another process try, if this one has died.
const SENDING: TimeDelta = TimeDelta::minutes(1);

/// What telling takes.
struct Telling {
    store: Store,
    notifier: Notifier,
    config: Notify,
    /// The configuration with the secrets of the present.
    present: watch::Receiver<Notify>,
    /// When a message that could not be sent is tried again.
    rule: BackoffRule,
    metrics: Metrics,
}

/// A command tells its user; the service tells the others.
pub(super) fn start(
    config: &Config,
    store: &Store,
    metrics: &Metrics,
    present: watch::Receiver<Notify>,
    stop: &CancellationToken,
) -> anyhow::Result<JoinHandle<()>> {
    let telling = Telling {
        store: store.clone(),
        notifier: Notifier::new(&config.notify)?,
        config: config.notify.clone(),
        present,
        rule: BackoffRule { max_attempts: TRIES, ..config.retry.rule() },
        metrics: metrics.clone(),
    };
    Ok(actix::spawn(keep(telling, stop.clone())))
}

/// Tells until it is stopped; ends at once where nobody is to be told.
async fn keep(mut telling: Telling, stop: CancellationToken) {
    if telling.notifier.channels().is_empty() {
        return;
    }
    let mut tick = tokio::time::interval(telling.config.digest.clamp(Duration::from_millis(20), TICK));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        renew(&mut telling);
        // Not broken off: what was received would be sent again.
        if let Err(error) = round(&telling, &stop).await {
            tracing::warn!(code = error.code(), "nobody could be told what became of mirrors: {error}");
        }
    }
}

/// Takes over changed secrets; those that cannot be used are left.
fn renew(telling: &mut Telling) {
    if telling.present.has_changed().unwrap_or(false) {
        match Notifier::new(&telling.present.borrow_and_update()) {
            Ok(notifier) => telling.notifier = notifier,
            Err(error) => {
                tracing::warn!(code = error.code(), "a changed secret cannot be used, the one before is: {error}");
            }
        }
    }
}

/// Gathers and sends, if there is something to tell.
async fn round(it: &Telling, stop: &CancellationToken) -> Result<(), StoreError> {
    if !it.store.read(|c| notices::is_needed(c, Utc::now())).await? {
        return Ok(());
    }
    let (channels, names) = (it.notifier.channels(), it.config.names);
    let digest = TimeDelta::from_std(it.config.digest).unwrap_or(TimeDelta::days(1));
    it.store.write(move |c| notices::gather(c, &channels, names, digest, Utc::now())).await?;
    for notice in it.store.read(|c| notices::due(c, Utc::now())).await? {
        if stop.is_cancelled() {
            break;
        }
        let (id, now) = (notice.id.clone(), Utc::now());
        if it.store.write(move |c| notices::take(c, &id, now + SENDING, now)).await? {
            send(it, notice).await?;
        }
    }
    Ok(())
}

async fn send(it: &Telling, notice: Notice) -> Result<(), StoreError> {
    let Notice { id, channel, body, attempts } = notice;
    let sent = match serde_json::from_str::<Digest>(&body) {
        Ok(digest) => it.notifier.send(&channel, &id, &digest, Utc::now()).await,
        Err(error) => Err(NotifyError::Config(format!("a notice cannot be read: {error}"))),
    };
    let count = |outcome| it.metrics.notices.with_label_values(&[channel.as_str(), outcome]).inc();
    let Err(error) = sent else {
        count("sent");
        return it.store.write(move |c| notices::done(c, &id)).await;
    };
    let Some(pause) = it.rule.pause(attempts.saturating_add(1), rand::random()) else {
        count("given_up");
        tracing::error!(code = error.code(), channel, "a notice is given up: {error}");
        return it.store.write(move |c| notices::done(c, &id)).await;
    };
    count("failed");
    if attempts == 0 {
        tracing::warn!(code = error.code(), channel, "a notice could not be sent, and is tried again: {error}");
    }
    it.store.write(move |c| notices::postpone(c, &id, Utc::now() + pause)).await
}
