//! What the configuration declares goes into the database at the start, where walks are kept.

use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use uuid::Uuid;

use crate::config::sources::Sources;
use crate::domain::ids::CorrelationId;
use crate::store::{Connection, Store, listings, turns};

pub(super) async fn declare(store: &Store, sources: &Sources) -> anyhow::Result<()> {
    let Sources { all, interval } = sources.clone();
    let every = TimeDelta::from_std(interval).unwrap_or(TimeDelta::MAX);
    let fresh = || (Uuid::now_v7().to_string(), CorrelationId(Uuid::now_v7()));
    let declare = move |c: &mut Connection| {
        // Processes that start at the same moment would each write a new source down.
        turns::wait(c, "sources")?;
        listings::declare(c, &all, every, fresh, Utc::now())
    };
    let declared = store.write(declare).await;
    declared.context("the sources of the configuration could not be written down")
}
