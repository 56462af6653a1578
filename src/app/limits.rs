//! GitHub's allowance and pauses outlive the process: the client knows them, the database keeps them.

use std::time::Duration;

use chrono::Utc;
use tokio_util::sync::CancellationToken;

use crate::domain::rate::Standing;
use crate::github::GithubClient;
use crate::store::{Store, StoreError, rates};

/// What headers told is written down so often; a pause at once.
const EVERY: Duration = Duration::from_secs(10);

/// Reads what was kept. To be called before anything is sent.
///
/// # Errors
/// Those of the database.
pub(super) async fn recall(store: &Store, github: &GithubClient) -> Result<(), StoreError> {
    github.recall(store.read(rates::load).await?);
    Ok(())
}

/// Keeps what is learned, and learns what other processes were told, until it is stopped.
pub(super) async fn keep(store: Store, github: GithubClient, stop: CancellationToken) {
    let (mut pauses, mut saved) = (github.pauses(), Vec::new());
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let ending = tokio::select! {
            () = stop.cancelled() => true,
            changed = pauses.changed() => changed.is_err(),
            _ = tick.tick() => false,
        };
        if let Err(error) = exchange(&store, &github, &mut saved).await {
            tracing::warn!(code = error.code(), "GitHub's limits are not written down: {error}");
        }
        if ending {
            return;
        }
    }
}

/// Writes down what changed, and takes over the rest.
async fn exchange(store: &Store, github: &GithubClient, saved: &mut Vec<Standing>) -> Result<(), StoreError> {
    recall(store, github).await?;
    let known = github.standings();
    if known != *saved {
        let standings = known.clone();
        store.write(move |c| rates::save(c, &standings, Utc::now())).await?;
        *saved = known;
    }
    Ok(())
}
