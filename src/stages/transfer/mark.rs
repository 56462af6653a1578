//! The marker: a commit at `refs/starkeep/origin` of the project that says whose mirror it is and all that
//! nobody else knows of it.
//!
//! A job of its own, behind every sync. Made in memory, pushed by compare-and-swap; its history is the
//! history of the mirror.

use std::path::PathBuf;
use std::sync::Arc;

use actix::{Handler, ResponseActFuture, WrapFuture as _};
use chrono::{DateTime, Utc};

use super::round::{self, Tools};
use super::{TransferActor, prune, timed_out};
use crate::config::sync::ForeignRefs;
use crate::domain::catalog::objects::{Entry, ObjectKind, commit, tree};
use crate::domain::marker::{self, Marker, Settings};
use crate::domain::refs::{Oid, RefName};
use crate::domain::retry::Retry;
use crate::git::{self, Command, MadePack, Packer, Push, RefOutcome, Refusal, Target, WireError};
use crate::onedev::OnedevClient;
use crate::stages::failure::Failure;
use crate::stages::messages::{Mark, Ticket, TwoSides};
use crate::store::markers::{self, Gathered};
use crate::store::mirrors;

impl Handler<Mark> for TransferActor {
    type Result = ResponseActFuture<Self, Result<(), Failure>>;

    fn handle(&mut self, message: Mark, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        let work = async move {
            let (limit, ticket) = (tools.sync.timeout, &message.ticket);
            tokio::select! {
                biased;
                () = ticket.cancel.cancelled() => Err(Failure::called_off()),
                done = tokio::time::timeout(limit, mark(&tools, ticket)) => {
                    done.unwrap_or_else(|_| Err(timed_out(limit)))
                }
            }
        };
        Box::pin(work.into_actor(self))
    }
}

async fn mark(tools: &Tools, ticket: &Ticket) -> Result<(), Failure> {
    let id = ticket.mirror;
    if let Some(mirror) = tools.store.read(move |c| mirrors::find(c, id)).await? {
        prune::prune(tools, ticket, &mirror).await?;
    }
    let settings = Settings {
        refs: tools.sync.refs.clone(),
        prune_foreign: tools.sync.foreign_refs == ForeignRefs::Prune,
        keep_overwritten: tools.sync.keep_overwritten,
    };
    let instance = tools.github.instance();
    let gathered = tools.store.read(move |c| markers::gather(c, id, &instance, &settings)).await?;
    let Some(gathered) = gathered else { return Ok(()) };
    let content = gathered.marker.content(&gathered.lists);
    if gathered.known.content.as_deref() == Some(content.as_str()) {
        return Ok(());
    }
    let now = Utc::now();
    let commit = write(tools, gathered, now).await?;
    tools.store.write(move |c| markers::written(c, id, commit, &content, now)).await?;
    Ok(())
}

/// Writes the marker on top of the last one.
async fn write(tools: &Tools, gathered: Gathered, now: DateTime<Utc>) -> Result<Oid, Failure> {
    let gone = || Failure::new("no_project", "it has no project", Retry::Never);
    let sides = TwoSides::of(&gathered.mirror).ok_or_else(gone)?;
    let target = round::target(tools, &round::path_of(&sides)?)?;
    let gathered = Arc::new(gathered);
    if let Some(parent) = gathered.known.commit
        && let Some(commit) = push(tools, &target, &gathered, Some(parent), now).await?
    {
        return Ok(commit);
    }
    // No marker is known, or another one stands there: an earlier run was cut off, or the project is not
    // what it was.
    refuse_strangers(&tools.onedev, &sides, &gathered.marker).await?;
    let standing = target.receive_refs().await?.refs.get(&origin()?).copied();
    match push(tools, &target, &gathered, standing, now).await? {
        Some(commit) => Ok(commit),
        None => Err(Failure::new("marker_moved", "somebody writes the project's marker as well", Retry::Backoff)),
    }
}

/// The project of that id must still be at that path, and must not be marked as another upstream's.
async fn refuse_strangers(onedev: &OnedevClient, sides: &TwoSides, marker: &Marker) -> Result<(), Failure> {
    let conflict = |why: String| Failure::new("project_conflict", why, Retry::Never);
    let same = onedev.project(sides.project).await?.is_some_and(|it| it.path.eq_ignore_ascii_case(&sides.path));
    if !same {
        return Err(conflict(format!("the project {} is not at {} any more", sides.project, sides.path)));
    }
    match onedev.marked_as(sides.project).await? {
        Some(other) if other != marker.github.id => {
            Err(conflict(format!("{} is marked as the mirror of upstream {other}; it is left alone", sides.path)))
        }
        _ => Ok(()),
    }
}

/// `None` when the marker does not stand where it was expected.
async fn push(
    tools: &Tools,
    target: &Target,
    gathered: &Arc<Gathered>,
    parent: Option<Oid>,
    now: DateTime<Utc>,
) -> Result<Option<Oid>, Failure> {
    let folder = tools.sync.spool_dir.clone().unwrap_or_else(std::env::temp_dir);
    let minted = mint(Arc::clone(gathered), folder, parent, now).await?;
    let permit = Arc::clone(&tools.pushes).acquire_owned().await;
    let _permit = permit.map_err(|_| Failure::called_off())?;
    let command = Command { name: origin()?, old: parent.unwrap_or(Oid::ZERO), new: minted.commit };
    let progress = Arc::new(git::Progress::new(&tools.metrics));
    let report = target.push_made(&Push::plain(vec![command.clone()]), minted.pack, &progress).await?;
    match report.refs.get(&command.name) {
        Some(RefOutcome::Done) => Ok(Some(minted.commit)),
        // The parent is not there, as in a project that was made anew, or the ref stands elsewhere.
        Some(RefOutcome::Refused(Refusal::Stale(_) | Refusal::MissingObjects(_))) => Ok(None),
        Some(RefOutcome::Refused(refusal)) => {
            let why = format!("OneDev refused the project's marker: {}", refusal.reason());
            Err(Failure::new("marker_refused", why, Retry::Backoff))
        }
        None => Err(Failure::new("marker_refused", "OneDev did not report on the project's marker", Retry::Backoff)),
    }
}

/// A marker, ready to be pushed.
struct Minted {
    commit: Oid,
    pack: MadePack,
}

async fn mint(
    gathered: Arc<Gathered>,
    folder: PathBuf,
    parent: Option<Oid>,
    at: DateTime<Utc>,
) -> Result<Minted, Failure> {
    let minting = tokio::task::spawn_blocking(move || pack(&gathered, Packer::new(folder), parent, at));
    match minting.await {
        Ok(minted) => Ok(minted?),
        Err(_) => Err(Failure::new("crashed", "making the marker crashed", Retry::Backoff)),
    }
}

fn pack(gathered: &Gathered, mut packer: Packer, parent: Option<Oid>, at: DateTime<Utc>) -> Result<Minted, WireError> {
    let Gathered { marker, lists, .. } = gathered;
    let mut entries = Vec::new();
    for (name, text) in marker.files(lists) {
        entries.push((name.to_owned(), Entry::file(packer.add(ObjectKind::Blob, text.as_bytes())?)));
    }
    let root = packer.add(ObjectKind::Tree, &tree(&entries))?;
    let digest = marker.proof.as_ref().map_or("", |it| it.digest.as_str());
    let (name, count) = (&marker.github.repository, lists.put.len());
    let message = format!("{name}: {}, {count} refs\n\nproof {digest}", marker.status);
    let commit = packer.add(ObjectKind::Commit, &commit(root, parent, at, &message))?;
    Ok(Minted { commit, pack: packer.finish()? })
}

/// The marker's ref.
fn origin() -> Result<RefName, Failure> {
    RefName::new(marker::REF).map_err(|error| Failure::new("marker_refused", error.to_string(), Retry::Never))
}
