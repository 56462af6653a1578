//! Writing down a mirror that was read back out of its project, all of it in one transaction.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;

use crate::domain::marker::{KeptSince, Lists, MarkedWiki, Marker, Origin, Star};
use crate::domain::mirror::Status;
use crate::domain::part::{PartId, PartState};
use crate::domain::refs::{Oid, RefMap, RefName};
use crate::domain::repository::Repository;

use super::audit::{self, NewEntry};
use super::catalog::{self, commits};
use super::connection::Connection;
use super::error::StoreError;
use super::history::{self, Told};
use super::mirrors::{self, Project};
use super::schema::{mirror_names, mirrors as table};
use super::{kept, lfs, markers, parts, stars, time, tips, watched};

/// Reading a catalog back takes less.
const READ_BACK: TimeDelta = TimeDelta::hours(1);

/// A mirror as its project tells of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Whole {
    /// The facts, caught up with what stands in the project.
    pub marker: Marker,
    /// The project.
    pub project: Project,
    /// Where starkeep put each ref of code and wiki, and the LFS objects.
    pub lists: Lists,
    /// Proven states of the code, the oldest first.
    pub past: Vec<Told>,
    /// The wiki, if there is a copy of one.
    pub wiki: Option<WholeWiki>,
    /// Wikis are mirrored: where there is no copy of one, upstream had none.
    pub wants_wiki: bool,
    /// Everything that was mirrored was searched for LFS pointers.
    pub searched: Option<bool>,
    /// The ref that holds the catalog, and the commit that stands there.
    pub catalog: Option<(RefName, Oid)>,
    /// Since when which commit of the catalog stood, as far as that is known.
    pub catalogs: BTreeMap<DateTime<Utc>, Oid>,
    /// The marker's commit.
    pub tip: Oid,
    /// What the marker says: see [`Marker::content`].
    pub content: String,
}

/// A mirror's wiki, read back.
#[derive(Debug, Clone, PartialEq)]
pub struct WholeWiki {
    /// The facts, caught up with what stands in the project.
    pub marked: MarkedWiki,
    /// The project.
    pub project: Project,
    /// Where starkeep put each ref.
    pub put: RefMap,
    /// Proven states, the oldest first.
    pub past: Vec<Told>,
}

/// Writes a mirror down. Says whether it was not known before; one that is known is left alone.
///
/// # Errors
/// Those of the database.
pub fn insert(c: &mut Connection, it: &Whole, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let (marker, id) = (&it.marker, it.marker.mirror);
    if mirrors::by_github_id(c, marker.github.id)?.is_some() || mirrors::find(c, id)?.is_some() {
        return Ok(false);
    }
    insert_row(c, it, now)?;
    names(c, it)?;
    for Star { account, login, at } in &marker.stars {
        if let Some(login) = login {
            watched::remember(c, login, *account)?;
        }
        stars::add(c, id, *account, *at)?;
    }
    if let Some(described) = described(marker) {
        mirrors::set_description(c, id, &described, DateTime::UNIX_EPOCH)?;
    }
    refs(c, id.into(), (&marker.kept, &it.lists.put, &it.past), now)?;
    wiki(c, it, now)?;
    lfs::tell(c, id, &it.lists.objects)?;
    if let Some(whole) = it.searched {
        lfs::set_whole(c, id, whole)?;
        // The marker does not say which objects nobody needs any more.
        lfs::reach::doubt(c, id)?;
    }
    if it.catalog.is_some() {
        // It is read back first; a run that is cut off leaves that to the catalog's own look.
        catalog::ensure(c, id, now + READ_BACK)?;
    }
    for (at, commit) in &it.catalogs {
        commits::note(c, id, *commit, *at)?;
    }
    markers::written(c, id, it.tip, &it.content, now)?;
    let detail = serde_json::json!({ "mirror": id, "path": it.project.path, "marker": it.tip });
    let entry = NewEntry { detail, ..NewEntry::of("cli", "mirror.adopt", &marker.github.repository.to_string()) };
    audit::append(c, &entry, now)?;
    Ok(true)
}

/// Where the refs of a part stand, stood, and which were kept.
fn refs(
    c: &mut Connection,
    of: PartId,
    (kept, put, past): (&[KeptSince], &RefMap, &[Told]),
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let dated: Vec<_> = kept.iter().map(|it| (it.kept.clone(), it.at)).collect();
    kept::insert_dated(c, of, &dated)?;
    tips::replace_all(c, of, put)?;
    history::tell(c, of, past, put, now)
}

fn wiki(c: &mut Connection, it: &Whole, now: DateTime<Utc>) -> Result<(), StoreError> {
    let of = PartId::wiki(it.marker.mirror);
    let Some(WholeWiki { marked, project, put, past }) = &it.wiki else {
        if it.wants_wiki && it.marker.first_proof_at.is_some() {
            parts::begin(c, of, now)?;
            parts::looked(c, of, PartState::Absent, Some(now), now)?;
        }
        return Ok(());
    };
    parts::begin(c, of, now)?;
    parts::set_project(c, of, project, marked.made_project, now)?;
    parts::tell(c, of, marked, now)?;
    refs(c, of, (&marked.kept, put, past), now)
}

fn insert_row(c: &mut Connection, it: &Whole, now: DateTime<Utc>) -> Result<(), StoreError> {
    let Whole { marker, project, .. } = it;
    let Origin { id: github_id, repository, .. } = &marker.github;
    let (proof, error) = (marker.proof.as_ref(), marker.error.as_ref());
    let not_level = serde_json::to_string(&marker.not_level).map_err(|e| StoreError::Refused(e.to_string()))?;
    let proven = proof.map(|it| time::text(it.verified_at));
    diesel::insert_into(table::table)
        .values((
            (
                table::id.eq(marker.mirror.to_string()),
                table::github_id.eq(github_id.0),
                table::owner.eq(repository.owner()),
                table::name.eq(repository.name()),
                table::named_at.eq(time::text(now)),
                table::source.eq(marker.source.as_str()),
                table::status.eq(standing(marker).as_str()),
                table::paused_from.eq(marker.paused_from.map(Status::as_str)),
                table::made_project.eq(marker.made_project),
                table::project_id.eq(Some(project.id.0)),
                table::project_path.eq(Some(&project.path)),
                table::project_url.eq(Some(&project.url)),
            ),
            (
                table::first_proof_at.eq(time::some_text(marker.first_proof_at)),
                table::default_branch.eq(proof.and_then(|it| it.default_branch.as_deref())),
                table::head.eq(proof.and_then(|it| it.tip).map(|it| it.to_string())),
                table::ref_count.eq(proof.map(|it| it.ref_count)),
                table::proof_digest.eq(proof.map(|it| it.digest.as_str())),
                table::verified_at.eq(proven.as_deref()),
                table::last_synced_at.eq(proven.as_deref()),
                table::not_level.eq(not_level),
                table::error_code.eq(error.map(|it| it.code.as_str())),
                table::error_message.eq(error.map(|it| it.message.as_str())),
                table::error_since.eq(error.map(|it| time::text(it.since))),
                table::unstarred_at.eq(time::some_text(marker.unstarred_at)),
            ),
            (
                table::next_sync_at.eq(Some(time::text(now))),
                table::created_at.eq(time::text(marker.created_at)),
                table::updated_at.eq(time::text(now)),
            ),
        ))
        .execute(&mut c.db)?;
    Ok(())
}

/// What is to be seen anew waits for that; what somebody decided stands.
fn standing(marker: &Marker) -> Status {
    match marker.status {
        held @ (Status::Paused | Status::Archived | Status::Gone) => held,
        _ => Status::Pending,
    }
}

fn names(c: &mut Connection, it: &Whole) -> Result<(), StoreError> {
    for former in &it.marker.github.former {
        diesel::insert_into(mirror_names::table)
            .values((
                mirror_names::mirror_id.eq(it.marker.mirror.to_string()),
                mirror_names::owner.eq(former.repository.owner()),
                mirror_names::name.eq(former.repository.name()),
                mirror_names::seen_at.eq(time::text(former.until)),
            ))
            .execute(&mut c.db)?;
    }
    Ok(())
}

fn described(marker: &Marker) -> Option<Repository> {
    let it = marker.upstream.as_ref()?;
    Some(Repository {
        id: marker.github.id,
        node_id: None,
        // GitHub says at the next look to which network a fork belongs.
        network: marker.github.id,
        name: marker.github.repository.clone(),
        private: it.private,
        archived: it.archived,
        disabled: it.disabled,
        fork: it.fork,
        size_kib: it.size_kib,
        default_branch: it.default_branch.clone(),
        description: it.description.clone(),
        pushed_at: it.pushed_at,
    })
}
