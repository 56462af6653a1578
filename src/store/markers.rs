//! What the projects say of their mirrors: the last marker that was written, when the next is due, and what
//! stands in it.
//!
//! A change that a lost database could not learn anew queues a `mark` job at once; what only moved waits
//! for up to a day and joins others, so that no sync pays for it.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};
use uuid::Uuid;

use crate::domain::ids::{AccountId, CorrelationId, MirrorId};
use crate::domain::job::{JobKind, Priority};
use crate::domain::kept::KeptRef;
use crate::domain::marker::{
    Described, Former, KeptSince, Lists, MarkedCatalog, MarkedWiki, Marker, Origin, Proved, Settings, Star, Trouble,
    VERSION,
};
use crate::domain::mirror::Status;
use crate::domain::part::{PartId, PartState};
use crate::domain::refs::{Oid, RefName};

use super::connection::Connection;
use super::error::StoreError;
use super::jobs::{self, NewJob};
use super::mirrors::{self, Mirror, Proof};
use super::prepared::Prepare as _;
use super::schema::{markers, stars, states};
use super::{catalog, kept, lfs, parts, time, tips, watched};

/// A project is told after so long where refs moved, and that its catalog has a new commit: one marker a day.
pub const MOVES_TOLD: TimeDelta = TimeDelta::days(1);

/// The last marker of a mirror.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The commit at the marker's ref.
    pub commit: Option<Oid>,
    /// What it said: see [`Marker::content`].
    pub content: Option<String>,
}

/// A marker as it should be now.
#[derive(Debug, Clone, PartialEq)]
pub struct Gathered {
    /// The mirror.
    pub mirror: Mirror,
    /// What its project is to say.
    pub marker: Marker,
    /// What is to stand beside it.
    pub lists: Lists,
    /// What it says by now.
    pub known: Known,
}

/// Queues the marker of a mirror that was proven at least once: something changed that nobody else knows.
///
/// # Errors
/// Those of the database.
pub fn soon(c: &mut Connection, mirror: MirrorId, now: DateTime<Utc>) -> Result<(), StoreError> {
    let proven = mirrors::find(c, mirror)?.is_some_and(|it| it.first_proof_at.is_some() && it.project.is_some());
    if proven {
        queue(c, mirror, CorrelationId(Uuid::now_v7()), now)?;
    }
    Ok(())
}

/// Queues the marker of a mirror, as part of the work that changed something.
///
/// # Errors
/// Those of the database.
pub fn queue(
    c: &mut Connection,
    mirror: MirrorId,
    correlation: CorrelationId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    jobs::enqueue(c, &NewJob::of(JobKind::Mark, mirror, Priority::UPKEEP, correlation), now).map(drop)
}

#[derive(QueryableByName)]
struct Written {
    #[diesel(sql_type = Nullable<Text>)]
    marker: Option<String>,
}

/// Says that the marker is due at a time, or before if it is so already. Says whether there is one yet.
///
/// # Errors
/// Those of the database.
pub fn later(c: &mut Connection, mirror: MirrorId, at: DateTime<Utc>) -> Result<bool, StoreError> {
    let sql = "INSERT INTO markers (mirror_id, due) VALUES ($1, $2) ON CONFLICT (mirror_id) DO UPDATE \
               SET due = CASE WHEN markers.due < excluded.due THEN markers.due ELSE excluded.due END RETURNING marker";
    let row: Written = diesel::sql_query(sql)
        .bind::<Text, _>(mirror.to_string())
        .bind::<Text, _>(time::text(at))
        .prepared()
        .get_result(&mut c.db)?;
    Ok(row.marker.is_some())
}

/// Queues the markers whose time has come, some at once; says how many.
///
/// # Errors
/// Those of the database.
pub fn queue_due(c: &mut Connection, now: DateTime<Utc>, most: i64) -> Result<usize, StoreError> {
    let ids: Vec<String> = markers::table
        .filter(markers::due.le(time::text(now)))
        .order(markers::due.asc())
        .limit(most)
        .select(markers::mirror_id)
        .load(&mut c.db)?;
    for id in &ids {
        diesel::update(markers::table.find(id)).set(markers::due.eq(None::<String>)).execute(&mut c.db)?;
        queue(c, mirrors::mirror_id(id)?, CorrelationId(Uuid::now_v7()), now)?;
    }
    Ok(ids.len())
}

/// How many markers are due.
///
/// # Errors
/// Those of the database.
pub fn is_due(c: &mut Connection, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let due = markers::table.filter(markers::due.le(time::text(now)));
    Ok(diesel::select(diesel::dsl::exists(due)).get_result(&mut c.db)?)
}

/// Says what the project says now.
///
/// # Errors
/// Those of the database.
pub fn written(
    c: &mut Connection,
    mirror: MirrorId,
    commit: Oid,
    content: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO markers (mirror_id, marker, facts, written_at) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (mirror_id) DO UPDATE SET marker = excluded.marker, facts = excluded.facts, \
               written_at = excluded.written_at, due = NULL";
    diesel::sql_query(sql)
        .bind::<Text, _>(mirror.to_string())
        .bind::<Text, _>(commit.to_string())
        .bind::<Text, _>(content)
        .bind::<Text, _>(time::text(now))
        .execute(&mut c.db)?;
    Ok(())
}

/// Forgets what a project said: it is another one now.
pub(super) fn forget(c: &mut Connection, mirror: MirrorId) -> Result<(), StoreError> {
    diesel::delete(markers::table.find(mirror.to_string())).execute(&mut c.db)?;
    Ok(())
}

/// What a mirror's project is to say; `None` for a mirror that was never proven or has no project.
///
/// # Errors
/// Those of the database.
pub fn gather(
    c: &mut Connection,
    id: MirrorId,
    instance: &str,
    settings: &Settings,
) -> Result<Option<Gathered>, StoreError> {
    let Some(mirror) = mirrors::find(c, id)? else { return Ok(None) };
    if mirror.first_proof_at.is_none() || mirror.project.is_none() {
        return Ok(None);
    }
    let objects = lfs::listed(c, id)?;
    let lfs_searched = if objects.is_some() { lfs::reach::find(c, id)?.map(|it| it.whole) } else { None };
    let (put, wiki) = (tips::load(c, id)?.0, tips::load(c, PartId::wiki(id))?.0);
    let lists = Lists { put, wiki, objects: objects.unwrap_or_default() };
    let marker = Marker {
        version: VERSION,
        mirror: id,
        github: origin(c, &mirror, instance)?,
        source: mirror.source,
        status: standing(mirror.status),
        paused_from: mirror.paused_from.map(standing),
        error: trouble(&mirror),
        created_at: mirror.created_at,
        first_proof_at: mirror.first_proof_at,
        unstarred_at: mirror.unstarred_at,
        made_project: mirror.made_project,
        stars: stars_of(c, id)?,
        settings: settings.clone(),
        upstream: described(&mirror),
        not_level: mirror.not_level.clone(),
        kept: kept_of(c, id)?,
        proof: match &mirror.proof {
            Some(proof) => {
                let tip = (mirror.default_branch.clone(), mirror.head, mirror.ref_count);
                Some(proved(c, id.into(), proof, tip)?)
            }
            None => None,
        },
        wiki: wiki_of(c, id)?,
        catalog: catalog_of(c, id)?,
        lfs_searched,
    };
    let row: Option<(Option<String>, Option<String>)> =
        markers::table.find(id.to_string()).select((markers::marker, markers::facts)).first(&mut c.db).optional()?;
    let (commit, content) = row.unwrap_or_default();
    let known = Known { commit: commit.map(|it| mirrors::oid(&it)).transpose()?, content };
    Ok(Some(Gathered { mirror, marker, lists, known }))
}

/// What passes is not written: whoever adopts the project looks for himself.
fn standing(status: Status) -> Status {
    match status {
        Status::Pending | Status::Syncing | Status::Error => Status::Healthy,
        other => other,
    }
}

fn trouble(mirror: &Mirror) -> Option<Trouble> {
    let error = mirror.error.as_ref().filter(|_| matches!(mirror.status, Status::Gone | Status::Paused))?;
    Some(Trouble { code: error.code.clone(), message: error.message.clone(), since: error.since })
}

fn origin(c: &mut Connection, mirror: &Mirror, instance: &str) -> Result<Origin, StoreError> {
    let former = mirrors::former_names(c, mirror.id)?;
    Ok(Origin {
        id: mirror.github_id,
        instance: instance.to_owned(),
        repository: mirror.name.clone(),
        former: former.into_iter().map(|(repository, until)| Former { repository, until }).collect(),
    })
}

fn stars_of(c: &mut Connection, id: MirrorId) -> Result<Vec<Star>, StoreError> {
    let rows: Vec<(i64, String)> = stars::table
        .filter(stars::mirror_id.eq(id.to_string()))
        .order(stars::account_id)
        .select((stars::account_id, stars::starred_at))
        .load(&mut c.db)?;
    rows.into_iter()
        .map(|(account, at)| {
            let account = AccountId(account);
            Ok(Star { account, login: watched::login_of(c, account)?, at: time::read(&at)? })
        })
        .collect()
}

fn kept_of(c: &mut Connection, of: impl Into<PartId>) -> Result<Vec<KeptSince>, StoreError> {
    let all = kept::all(c, of)?;
    Ok(all
        .into_iter()
        .map(|it| KeptSince {
            kept: KeptRef { name: it.name, kept: it.kept_ref, oid: it.oid, reason: it.reason },
            at: it.created_at,
        })
        .collect())
}

fn described(mirror: &Mirror) -> Option<Described> {
    mirror.upstream.as_ref().map(|it| Described {
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

/// The wiki, once there was a copy of one.
fn wiki_of(c: &mut Connection, id: MirrorId) -> Result<Option<MarkedWiki>, StoreError> {
    let of = PartId::wiki(id);
    let Some(part) = parts::find(c, of)?.filter(|it| it.first_proof_at.is_some()) else { return Ok(None) };
    let Some(project) = part.project else { return Ok(None) };
    let state = match part.state {
        PartState::Pending | PartState::Error => PartState::Healthy,
        other => other,
    };
    let proof = match &part.proof {
        Some(proof) => Some(proved(c, of, proof, (part.default_branch, part.head, part.ref_count))?),
        None => None,
    };
    Ok(Some(MarkedWiki {
        path: project.path,
        state,
        made_project: part.made_project,
        first_proof_at: part.first_proof_at,
        not_level: part.not_level,
        kept: kept_of(c, of)?,
        proof,
    }))
}

fn catalog_of(c: &mut Connection, id: MirrorId) -> Result<Option<MarkedCatalog>, StoreError> {
    let Some(known) = catalog::find(c, id)? else { return Ok(None) };
    let (Some(name), Some(commit), Some(at)) = (known.ref_name, known.tip, known.changed_at) else { return Ok(None) };
    Ok(Some(MarkedCatalog { name, commit, at, commits: known.commits, swept_at: known.swept_at }))
}

/// A proof, with the default branch, the commit of HEAD and the number of refs that it found.
fn proved(
    c: &mut Connection,
    of: PartId,
    proof: &Proof,
    (default_branch, tip, ref_count): (Option<String>, Option<Oid>, Option<i64>),
) -> Result<Proved, StoreError> {
    let head: Option<Option<String>> = states::table
        .filter(states::mirror_id.eq(of.mirror.to_string()))
        .filter(states::part.eq(of.part.as_str()))
        .filter(states::digest.eq(&proof.digest))
        .order(states::id.desc())
        .select(states::head)
        .first(&mut c.db)
        .optional()?;
    Ok(Proved {
        digest: proof.digest.clone(),
        verified_at: proof.verified_at,
        head: head.flatten().and_then(|it| RefName::new(&it).ok()),
        default_branch,
        tip,
        ref_count: ref_count.unwrap_or_default(),
    })
}
