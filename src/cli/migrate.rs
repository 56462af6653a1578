//! `starkeep migrate`: brings the database up to date.

use super::{Given, output};
use crate::store::Store;

pub(super) async fn run(given: &Given) -> anyhow::Result<u8> {
    let config = given.quiet_config().await?;
    let done = Store::open(&config.database).await?.migrate().await?;
    if given.json {
        output::json(&serde_json::json!({ "migrations": done }))?;
    } else if done.is_empty() {
        output::line("the database is up to date");
    } else {
        done.iter().for_each(|name| output::line(&format!("migrated {name}")));
    }
    Ok(0)
}
