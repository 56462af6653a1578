//! Writes what requests left to be written later: uses of keys, and refused calls.

use std::sync::Weak;
use std::time::{Duration, Instant};

use chrono::Utc;
use uuid::Uuid;

use super::shared::Shared;
use super::verified::Uses;
use crate::store::audit::{self, NewEntry};
use crate::store::{Store, api_keys};

/// How often it is looked at; what is written at a time is decided where it gathers.
const EVERY: Duration = Duration::from_secs(15);

/// Runs until the server is gone. What has gathered in its last minute is lost with it: numbers only, since the
/// first use and the first refusal are written at once.
pub(super) async fn run(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(shared) = shared.upgrade() else { return };
        write_uses(&shared.store, shared.door.uses.due(Utc::now())).await;
        write_entries(&shared.store, shared.refusals.close(Instant::now())).await;
    }
}

/// Adds uses to the rows of their keys.
pub(super) async fn write_uses(store: &Store, uses: Vec<(Uuid, Uses)>) {
    if uses.is_empty() {
        return;
    }
    let work = move |c: &mut _| {
        uses.iter().try_for_each(|(id, it)| api_keys::used(c, *id, it.count, it.at, &it.address.to_string()))
    };
    if let Err(error) = store.write(work).await {
        tracing::warn!(code = error.code(), "uses of keys could not be recorded: {error}");
    }
}

/// Appends entries to the audit log.
pub(super) async fn write_entries(store: &Store, entries: Vec<NewEntry>) {
    if entries.is_empty() {
        return;
    }
    let work = move |c: &mut _| entries.iter().try_for_each(|it| audit::append(c, it, Utc::now()));
    if let Err(error) = store.write(work).await {
        tracing::warn!(code = error.code(), "refused calls could not be recorded: {error}");
    }
}
