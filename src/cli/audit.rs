//! `starkeep audit`: is the log whole, and the log as JSON lines.

use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde_json::json;

use super::{Given, output};
use crate::app;
use crate::store::audit::{self, chain};
use crate::store::{Connection, Store, StoreError};

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Follow the chain of hashes; exit 1 and name the first row that is missing or altered
    Verify {
        /// An end that an earlier run printed: its entry must still be there
        #[arg(long, value_name = "SEQ:HASH", value_parser = end)]
        head: Option<chain::End>,
    },
    /// Print the log as JSON lines, the oldest entry first
    Export {
        /// Only entries of this time (RFC 3339) and later
        #[arg(long, value_name = "TIME")]
        since: Option<DateTime<Utc>>,
    },
}

fn end(text: &str) -> Result<chain::End, String> {
    let read = || {
        let (seq, hash) = text.split_once(':')?;
        let is_hash = hash.len() == 64 && hash.bytes().all(|it| it.is_ascii_hexdigit());
        is_hash.then_some(())?;
        Some(chain::End { seq: seq.parse().ok()?, hash: hash.to_ascii_lowercase() })
    };
    read().ok_or_else(|| "write a number, a colon and 64 hexadecimal digits, as `audit verify` prints it".to_owned())
}

pub(super) async fn run(given: &Given, action: Action) -> anyhow::Result<u8> {
    let config = given.quiet_config().await?;
    let store = app::open_store(&config).await?;
    match action {
        Action::Verify { head } => verify(given, &store, head).await,
        Action::Export { since } => export(&store, since).await,
    }
}

async fn verify(given: &Given, store: &Store, expected: Option<chain::End>) -> anyhow::Result<u8> {
    while store.write(chain::extend).await? > 0 {}
    let verdict = store.read(move |c| chain::verify(c, expected.as_ref())).await?;
    let chain::Verdict { entries, unchained, anchor, head, broken } = &verdict;
    if given.json {
        let broken = broken.as_ref().map(|it| json!({ "seq": it.seq, "id": it.id, "why": it.why }));
        output::json(&json!({
            "whole": broken.is_none(),
            "entries": entries,
            "unchained": unchained,
            "anchor": { "seq": anchor.seq, "hash": anchor.hash },
            "head": { "seq": head.seq, "hash": head.hash },
            "broken": broken,
        }))?;
    } else if let Some(it) = broken {
        let row = it.id.map_or_else(String::new, |id| format!(" (row {id})"));
        output::line(&format!("the audit log is broken at entry {}{row}: {}", it.seq, it.why));
    } else {
        output::line(&format!("{entries} entries, whole; the head is {}:{}", head.seq, head.hash));
    }
    Ok(u8::from(broken.is_some()))
}

async fn export(store: &Store, since: Option<DateTime<Utc>>) -> anyhow::Result<u8> {
    let mut after = 0;
    loop {
        let read = move |c: &mut Connection| -> Result<_, StoreError> { audit::export(c, since, after) };
        let piece = store.read(read).await?;
        let Some(last) = piece.last() else { return Ok(0) };
        after = last.id;
        piece.into_iter().for_each(|it| output::line(&serde_json::json!(it.view()).to_string()));
    }
}
