//! What a page shows goes into the database, in one transaction and only while the lease is ours.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::declared;
use super::walk::Walker;
use crate::domain::event::Subject;
use crate::domain::ids::GithubId;
use crate::domain::job::{JobKind, Priority};
use crate::domain::listing::{Finding, Walk, What};
use crate::domain::mirror::Source;
use crate::domain::repository::Repository;
use crate::stages::failure::Failure;
use crate::store::audit::NewEntry;
use crate::store::jobs::NewJob;
use crate::store::listings::{self, Listing};
use crate::store::{Connection, StoreError, audit, jobs, mirrors, star_lists};

/// Why a mirror is paused that was never made since a bound was in its way.
const NO_ROOM: [&str; 2] = ["too_large", "total_too_large"];

impl Walker<'_> {
    /// Takes a page over, together with the place where the walk goes on.
    pub(super) async fn take(&mut self, entries: Vec<Repository>, walk: Walk) -> Result<(), Failure> {
        let in_the_way = if self.listing.dry_run { self.in_the_way(&entries).await? } else { BTreeSet::new() };
        let (listing, worker, kept) = (self.listing.clone(), self.worker.clone(), walk.clone());
        let taken = move |c: &mut Connection| {
            if !listings::is_held(c, &listing.id, &worker)? {
                return Ok(false);
            }
            for repository in &entries {
                match &listing.wanted {
                    What::Declared { declaration } => {
                        declared::take(c, &listing, &declaration.of, repository, Utc::now())?;
                    }
                    What::Stars { .. } | What::Names { .. } => take(c, &listing, repository, &in_the_way, Utc::now())?,
                }
            }
            listings::set_walk(c, &listing.id, &worker, &kept)
        };
        self.held(self.tools.store.write(taken).await?)?;
        self.listing.walk = walk;
        Ok(())
    }

    /// What has no mirror and could not go where it should: OneDev has a project there that is not its own.
    async fn in_the_way(&self, entries: &[Repository]) -> Result<BTreeSet<GithubId>, Failure> {
        let ids: Vec<GithubId> = entries.iter().map(|it| it.id).collect();
        let known = self.tools.store.read(move |c| known(c, &ids)).await?;
        let mut found = BTreeSet::new();
        for repository in entries.iter().filter(|it| !known.contains(&it.id)) {
            let id = repository.id;
            // Of several users' lists it may be another one; this is a plan.
            let lists = self.tools.store.read(move |c| star_lists::of_repository(c, id)).await?;
            let path = self.tools.naming.path(&repository.name, lists.first().map(|it| it.folder.as_str()));
            if let Some(other) = self.tools.onedev.project_at(&path).await?
                && self.tools.onedev.marked_as(other.id).await? != Some(repository.id)
            {
                found.insert(repository.id);
            }
        }
        Ok(found)
    }
}

fn known(c: &mut Connection, ids: &[GithubId]) -> Result<BTreeSet<GithubId>, StoreError> {
    let mut known = BTreeSet::new();
    for id in ids {
        if mirrors::by_github_id(c, *id)?.is_some() {
            known.insert(*id);
        }
    }
    Ok(known)
}

fn take(
    c: &mut Connection,
    listing: &Listing,
    repository: &Repository,
    in_the_way: &BTreeSet<GithubId>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let finding = match mirrors::by_github_id(c, repository.id)? {
        Some(mirror) if mirror.name == repository.name => Finding::Existing,
        Some(_) => Finding::Renamed,
        None if in_the_way.contains(&repository.id) => Finding::Conflict,
        None => Finding::New,
    };
    let fresh = listings::note(c, listing, repository, finding)?;
    // A page that is read twice asks for nothing twice.
    if fresh && !listing.dry_run { keep(c, listing, repository, now) } else { Ok(()) }
}

/// Makes a mirror, or wakes the archived one, and queues its first sync.
fn keep(c: &mut Connection, listing: &Listing, it: &Repository, now: DateTime<Utc>) -> Result<(), StoreError> {
    let subject = Subject { id: it.id, name: it.name.clone() };
    let (mirror, made) = mirrors::ensure(c, &subject, Source::Batch, now)?;
    let woken = mirrors::restar(c, mirror.id, now)?;
    // What had no room may have it by now; if not, it is paused again.
    let had_no_room = mirror.error.as_ref().is_some_and(|it| NO_ROOM.contains(&it.code.as_str()));
    let resumed = had_no_room && mirrors::resume(c, mirror.id, now)?;
    if mirror.name != subject.name {
        mirrors::doubt_description(c, mirror.id)?;
    }
    if !made && !woken && !resumed && (mirror.proof.is_some() || !mirror.status.is_synced()) {
        return Ok(());
    }
    let job = NewJob::of(JobKind::Sync, mirror.id, Priority::IMPORTED, listing.correlation);
    jobs::enqueue(c, &job, now)?;
    let entry = NewEntry {
        correlation: Some(listing.correlation),
        detail: json!({ "batch": listing.id, "made": made, "woken": woken, "resumed": resumed }),
        ..NewEntry::of("starkeep", "batch.keep", &it.name.to_string())
    };
    audit::append(c, &entry, now)
}
