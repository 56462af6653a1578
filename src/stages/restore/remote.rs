//! Restoring onto a git server: relayed out of OneDev, without a copy on this disk.

use std::sync::Arc;

use secrecy::SecretString;
use tokio::sync::Semaphore;
use url::Url;

use super::{Restored, Tools, Wanted, everything, project};
use crate::domain::plan::is_troublesome;
use crate::domain::refs::{Oid, RefMap, RefName};
use crate::domain::retry::Retry;
use crate::git::{self, Address, Command, Order, Progress, Push, PushReport, Relay, Target, TransferOptions};
use crate::stages::failure::Failure;

/// Another git server, and how to write to it.
pub struct Destination {
    /// The repository's address, without credentials.
    pub url: Url,
    /// The value of the `Authorization` header.
    pub authorization: Option<SecretString>,
}

/// Restores onto a git server whose repository is empty, or holds nothing but what an earlier run of the same
/// put there.
///
/// # Errors
/// `restore_not_empty`; those of both servers. Refs that it refuses are no error but named.
pub async fn restore(tools: &Tools, wanted: &Wanted, to: Destination) -> Result<Restored, Failure> {
    let address = Address { url: to.url, authorization: to.authorization, service: "restore" };
    let target = Target::new(tools.http.clone(), address, tools.metrics.clone(), tools.wire)?;
    let standing = target.receive_refs().await?.refs;
    let from = project(tools, &wanted.path)?;
    let all = everything(&from, wanted).await?;
    refuse_strange(&standing, &all)?;
    let pushes = pushes(&all, &standing, wanted.head.as_ref());
    let new: Vec<Oid> = pushes.iter().flatten().map(|it| it.new).collect();
    let order = Order {
        wants: git::wants(&new, &standing),
        haves: git::haves(&[], &standing, &all),
        pushes: pushes.into_iter().map(Push::plain).collect(),
    };
    let relay = Relay {
        upstream: &from,
        target: &target,
        spool: &tools.spool,
        permits: Arc::new(Semaphore::new(1)),
        progress: Arc::new(Progress::new(&tools.metrics)),
        options: TransferOptions::default(),
    };
    let moved = relay.transfer(&order).await?;
    let refused: Vec<_> = moved.reports.iter().flat_map(PushReport::refused).map(told).collect();
    if let Some(unpack) = moved.reports.iter().find_map(|it| it.unpack_failed.as_ref()) {
        return Err(Failure::new("restore_refused", format!("the server did not unpack it: {unpack}"), Retry::Never));
    }
    Ok(Restored { refs: wanted.refs.len(), kept: wanted.kept.len(), bytes: moved.received, refused })
}

fn told((name, why): (&RefName, &git::Refusal)) -> (String, String) {
    (name.to_string(), why.reason().to_owned())
}

/// What stands there must be part of what is to stand there.
fn refuse_strange(standing: &RefMap, all: &RefMap) -> Result<(), Failure> {
    match standing.iter().find(|(name, oid)| all.get(*name) != Some(*oid)) {
        None => Ok(()),
        Some((name, _)) => {
            let why = format!("the repository there is not empty: it holds {name}; name an empty one");
            Err(Failure::new("restore_not_empty", why, Retry::Never))
        }
    }
}

/// The default branch first and alone, so that it becomes the default one there too; what a OneDev would trip
/// over last and alone.
fn pushes(all: &RefMap, standing: &RefMap, head: Option<&RefName>) -> Vec<Vec<Command>> {
    let missing = all.iter().filter(|(name, _)| !standing.contains_key(*name));
    let commands = missing.map(|(name, oid)| Command { name: name.clone(), old: Oid::ZERO, new: *oid });
    let (first, others): (Vec<Command>, Vec<Command>) = commands.partition(|it| Some(&it.name) == head);
    let (lone, most): (Vec<Command>, Vec<Command>) = others.into_iter().partition(|it| is_troublesome(&it.name));
    let groups = [first, most].into_iter().chain(lone.into_iter().map(|it| vec![it]));
    groups.filter(|it| !it.is_empty()).collect()
}
