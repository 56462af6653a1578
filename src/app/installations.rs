//! The App's installations outlive the process: the client knows them, the database keeps them, and other
//! processes learn what one was told.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::github::GithubClient;
use crate::store::installations::{self, Kept};
use crate::store::{Store, StoreError};

/// What other processes were told is seen within this.
const EVERY: Duration = Duration::from_secs(10);

/// Keeps the client and the database level until it is stopped. Nothing to do without an App.
pub(super) async fn keep(store: Store, github: GithubClient, stop: CancellationToken) {
    let Some(mut read) = github.installations_read() else { return };
    let mut seen = None;
    note(learn(&store, &github, &mut seen).await);
    // GitHub may be away now; then the list is read at its first need.
    let _ = tokio::time::timeout(Duration::from_secs(30), github.read_installations()).await;
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let kept = tokio::select! {
            () = stop.cancelled() => return,
            changed = read.changed() => match changed {
                Ok(()) => keep_what_was_read(&store, &github).await,
                Err(_) => return,
            },
            _ = tick.tick() => learn(&store, &github, &mut seen).await,
        };
        note(kept);
    }
}

fn note(kept: Result<(), StoreError>) {
    if let Err(error) = kept {
        tracing::warn!(code = error.code(), "what is known of the App's installations is not kept: {error}");
    }
}

/// Takes over what the database knows, if that is news.
async fn learn(store: &Store, github: &GithubClient, seen: &mut Option<Kept>) -> Result<(), StoreError> {
    let kept = store.read(installations::load).await?;
    if seen.as_ref() != Some(&kept) {
        let Kept { installations, gone, read_at } = kept.clone();
        github.learn_installations(installations, gone, read_at).await;
        *seen = Some(kept);
    }
    Ok(())
}

async fn keep_what_was_read(store: &Store, github: &GithubClient) -> Result<(), StoreError> {
    let Some((all, read_at)) = github.known_installations().await else { return Ok(()) };
    if read_at == DateTime::UNIX_EPOCH {
        return Ok(());
    }
    store.write(move |c| installations::replace(c, &all, read_at, Utc::now())).await
}
