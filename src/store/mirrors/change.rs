//! Changing mirrors: one narrow setter for each thing a step learns.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use uuid::{NoContext, Timestamp, Uuid};

use crate::domain::event::Subject;
use crate::domain::ids::{GithubId, MirrorId};
use crate::domain::mirror::{NotLevel, Source, Status};
use crate::domain::refs::{Oid, RefName};
use crate::domain::repository::{Repository, RepositoryName};
use crate::store::audit::{self, NewEntry};
use crate::store::catalog::commits;
use crate::store::connection::Connection;
use crate::store::error::StoreError;
use crate::store::prepared::Prepare as _;
use crate::store::schema::{mirrors, upstreams};
use crate::store::{clipped, history, markers, time};

use super::find::{by_github_id, find};
use super::row::{Mirror, Project};
use super::standing::{pause, set_unheld};
use super::sweep;
use super::update;

/// What a sync or a verification proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// Digest of the managed refs and HEAD upstream.
    pub digest: String,
    /// Digest of the managed refs as they stand at OneDev, if they were read.
    pub onedev_digest: Option<String>,
    /// The commit of HEAD.
    pub head: Option<Oid>,
    /// Managed refs.
    pub ref_count: i64,
    /// The default branch.
    pub default_branch: Option<String>,
    /// Where HEAD pointed upstream.
    pub upstream_head: Option<RefName>,
    /// Refs that do not stand in OneDev as they do upstream.
    pub not_level: Vec<NotLevel>,
    /// `healthy` or `partial`.
    pub status: Status,
    /// Whether this sync changed something in OneDev.
    pub changed: bool,
    /// When both sides had been read.
    pub verified_at: DateTime<Utc>,
    /// When to look again.
    pub next_sync_at: Option<DateTime<Utc>>,
}

/// The mirror of an upstream, made `pending` and due at once if there is none; says whether it was
/// made. Two callers at once get the same one. The name of one that exists is left alone.
///
/// # Errors
/// Those of the database.
pub fn ensure(
    c: &mut Connection,
    subject: &Subject,
    source: Source,
    now: DateTime<Utc>,
) -> Result<(Mirror, bool), StoreError> {
    let at = time::text(now);
    let id = MirrorId(new_id(now));
    let sql = "INSERT INTO mirrors (id, github_id, owner, name, named_at, source, status, next_sync_at, created_at, \
               updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $5, $5, $5) ON CONFLICT (github_id) DO NOTHING";
    let made = diesel::sql_query(sql)
        .bind::<Text, _>(id.to_string())
        .bind::<BigInt, _>(subject.id.0)
        .bind::<Text, _>(subject.name.owner().to_owned())
        .bind::<Text, _>(subject.name.name().to_owned())
        .bind::<Text, _>(at.clone())
        .bind::<Text, _>(source.as_str().to_owned())
        .bind::<Text, _>(Status::Pending.as_str().to_owned())
        .prepared()
        .execute(&mut c.db)?;
    if made == 1 {
        return Ok((Mirror::fresh(id, subject, source, time::read(&at)?), true));
    }
    let mirror = by_github_id(c, subject.id)?.ok_or_else(|| gone(subject.id))?;
    Ok((mirror, false))
}

/// Says anew what is not level, with the status that follows, though no ref changed.
///
/// # Errors
/// Those of the database.
pub fn set_not_level(
    c: &mut Connection,
    id: MirrorId,
    not_level: &[NotLevel],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let text = serde_json::to_string(not_level).map_err(|e| StoreError::Refused(e.to_string()))?;
    let status = if not_level.is_empty() { Status::Healthy } else { Status::Partial };
    diesel::update(mirrors::table.find(id.to_string()))
        .filter(mirrors::status.eq_any([Status::Healthy.as_str(), Status::Partial.as_str()]))
        .set((
            mirrors::not_level.eq(text),
            mirrors::status.eq(status.as_str()),
            mirrors::updated_at.eq(time::text(now)),
        ))
        .execute(&mut c.db)?;
    Ok(())
}

/// Somebody deleted it between two of our statements: worth running again.
fn gone(id: GithubId) -> StoreError {
    StoreError::Race(format!("the mirror of upstream {id} was deleted meanwhile"))
}

/// An id that sorts by the time it was made.
fn new_id(now: DateTime<Utc>) -> Uuid {
    let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, now.timestamp_subsec_nanos()))
}

/// Sets the name; the one it had goes to the former names. Says whether it was another one. A change
/// of case alone is taken over without being remembered as a former name.
///
/// # Errors
/// Those of the database.
pub fn set_name(
    c: &mut Connection,
    id: MirrorId,
    name: &RepositoryName,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let Some(mirror) = find(c, id)? else { return Ok(false) };
    if mirror.name.to_string() == name.to_string() {
        return Ok(false);
    }
    let at = time::text(now);
    let renamed = mirror.name != *name;
    if renamed {
        let sql = "INSERT INTO mirror_names (mirror_id, owner, name, seen_at) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (mirror_id, owner, name) DO UPDATE SET seen_at = excluded.seen_at";
        diesel::sql_query(sql)
            .bind::<Text, _>(id.to_string())
            .bind::<Text, _>(mirror.name.owner().to_owned())
            .bind::<Text, _>(mirror.name.name().to_owned())
            .bind::<Text, _>(at.clone())
            .execute(&mut c.db)?;
    }
    diesel::update(mirrors::table.find(id.to_string()))
        .set((
            mirrors::owner.eq(name.owner()),
            mirrors::name.eq(name.name()),
            mirrors::named_at.eq(&at),
            mirrors::updated_at.eq(&at),
        ))
        .execute(&mut c.db)?;
    if renamed {
        let detail = serde_json::json!({ "from": mirror.name.to_string(), "to": name.to_string() });
        audit::append(c, &NewEntry { detail, ..NewEntry::of("github", "mirror.rename", &name.to_string()) }, now)?;
        markers::soon(c, id, now)?;
    }
    Ok(renamed)
}

/// Remembers what GitHub told of an upstream, its name too. Says whether the name was another one.
///
/// # Errors
/// Those of the database.
pub fn set_description(
    c: &mut Connection,
    id: MirrorId,
    it: &Repository,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    diesel::delete(upstreams::table.find(id.to_string())).execute(&mut c.db)?;
    diesel::insert_into(upstreams::table)
        .values((
            upstreams::mirror_id.eq(id.to_string()),
            upstreams::private.eq(it.private),
            upstreams::archived.eq(it.archived),
            upstreams::disabled.eq(it.disabled),
            upstreams::fork.eq(it.fork),
            upstreams::size_kib.eq(it.size_kib),
            upstreams::default_branch.eq(it.default_branch.clone()),
            upstreams::description.eq(it.description.as_deref().map(clipped)),
            upstreams::pushed_at.eq(time::some_text(it.pushed_at)),
            upstreams::described_at.eq(time::text(now)),
            upstreams::network_id.eq(it.network.0),
        ))
        .prepared()
        .execute(&mut c.db)?;
    if let Some(node_id) = &it.node_id {
        sweep::set_node_id(c, id, node_id)?;
    }
    set_name(c, id, &it.name, now)
}

/// Commits to a path before a project is made there.
///
/// # Errors
/// Those of the database.
pub fn intend_project(c: &mut Connection, id: MirrorId, path: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
    update!(c, id, now, [], mirrors::intended_path.eq(Some(path)))
}

/// Remembers the project; `made` says that it was we who made it (which stays true when the same
/// project is set again). Where it stands, it was meant to stand.
///
/// # Errors
/// Those of the database.
pub fn set_project(
    c: &mut Connection,
    id: MirrorId,
    project: &Project,
    made: bool,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let before = find(c, id)?;
    let same = before.as_ref().and_then(|it| it.project.as_ref()).is_some_and(|it| it.id == project.id);
    let made = made || (same && before.is_some_and(|it| it.made_project));
    let intended = mirrors::intended_path.is_not_null();
    update!(c, id, now, [intended], mirrors::intended_path.eq(Some(project.path.as_str())))?;
    update!(
        c,
        id,
        now,
        [],
        mirrors::project_id.eq(Some(project.id.0)),
        mirrors::project_path.eq(Some(project.path.as_str())),
        mirrors::project_url.eq(Some(project.url.as_str())),
        mirrors::made_project.eq(made),
    )
}

/// Forgets the project and what was known of it: it was rolled back, deleted or is somebody else's.
///
/// # Errors
/// Those of the database.
pub fn forget_project(c: &mut Connection, id: MirrorId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    markers::forget(c, id)?;
    history::forget(c, id)?;
    commits::forget(c, id)?;
    update!(
        c,
        id,
        now,
        [],
        mirrors::project_id.eq(None::<i64>),
        mirrors::project_path.eq(None::<String>),
        mirrors::project_url.eq(None::<String>),
        mirrors::intended_path.eq(None::<String>),
        mirrors::made_project.eq(false),
        mirrors::first_proof_at.eq(None::<String>),
        mirrors::proof_digest.eq(None::<String>),
        mirrors::verified_at.eq(None::<String>),
        mirrors::onedev_digest.eq(None::<String>),
    )
}

/// Says what stands at OneDev, `None` before something is about to be put there.
///
/// # Errors
/// Those of the database.
pub fn set_onedev_digest(
    c: &mut Connection,
    id: MirrorId,
    digest: Option<&str>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    update!(c, id, now, [], mirrors::onedev_digest.eq(digest))
}

/// From the first write on: `syncing`. What stands at OneDev is not known again before the proof. A
/// mirror that is paused or archived keeps that status.
///
/// # Errors
/// Those of the database.
pub fn set_syncing(c: &mut Connection, id: MirrorId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    update!(c, id, now, [], mirrors::onedev_digest.eq(None::<String>))?;
    set_unheld(c, id, Status::Syncing, now)
}

/// Records that both sides were read and what was found.
///
/// # Errors
/// Those of the database.
pub fn record_proof(c: &mut Connection, id: MirrorId, it: &Proven) -> Result<bool, StoreError> {
    let at = it.verified_at;
    let not_level = serde_json::to_string(&it.not_level).map_err(|e| StoreError::Refused(e.to_string()))?;
    let first = mirrors::first_proof_at.is_null();
    update!(c, id, at, [first], mirrors::first_proof_at.eq(Some(time::text(at))))?;
    if it.changed {
        update!(c, id, at, [], mirrors::last_changed_at.eq(Some(time::text(at))))?;
    }
    set_unheld(c, id, it.status, at)?;
    history::note_state(c, id, &it.digest, it.upstream_head.as_ref(), at)?;
    update!(
        c,
        id,
        at,
        [],
        mirrors::proof_digest.eq(Some(it.digest.as_str())),
        mirrors::verified_at.eq(Some(time::text(at))),
        mirrors::onedev_digest.eq(it.onedev_digest.as_deref()),
        mirrors::head.eq(it.head.map(|it| it.to_string())),
        mirrors::ref_count.eq(Some(it.ref_count)),
        mirrors::default_branch.eq(it.default_branch.as_deref()),
        mirrors::not_level.eq(not_level),
        mirrors::attempts.eq(0),
        mirrors::error_code.eq(None::<String>),
        mirrors::error_message.eq(None::<String>),
        mirrors::error_since.eq(None::<String>),
        mirrors::held_since.eq(None::<String>),
        mirrors::last_synced_at.eq(Some(time::text(at))),
        mirrors::next_sync_at.eq(time::some_text(it.next_sync_at)),
    )
}

/// Records why a sync failed; `since` stays while the reason does. `status` is where that leaves the
/// mirror: `error` or `gone`; paused by a bound is `paused`.
///
/// # Errors
/// Those of the database.
pub fn record_error(
    c: &mut Connection,
    id: MirrorId,
    error: (&str, &str),
    attempts: u32,
    status: Status,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let (code, message) = error;
    let other = mirrors::error_code.is_null().or(mirrors::error_code.ne(code));
    update!(c, id, now, [other], mirrors::error_since.eq(Some(time::text(now))))?;
    if status == Status::Paused {
        pause(c, id, now)?;
    } else {
        set_unheld(c, id, status, now)?;
    }
    let known = update!(
        c,
        id,
        now,
        [],
        mirrors::error_code.eq(Some(code)),
        mirrors::error_message.eq(Some(clipped(message))),
        mirrors::attempts.eq(i32::try_from(attempts).unwrap_or(i32::MAX)),
    )?;
    if matches!(status, Status::Paused | Status::Gone) {
        markers::soon(c, id, now)?;
    }
    Ok(known)
}

/// Says when it is to be looked at again.
///
/// # Errors
/// Those of the database.
pub fn schedule(
    c: &mut Connection,
    id: MirrorId,
    at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    update!(c, id, now, [], mirrors::next_sync_at.eq(time::some_text(at)))
}

/// Forgets a mirror with all that hangs on it: jobs, history, tips, kept refs. Says whether there was one.
///
/// # Errors
/// Those of the database.
pub fn delete(c: &mut Connection, id: MirrorId) -> Result<bool, StoreError> {
    Ok(diesel::delete(mirrors::table.find(id.to_string())).execute(&mut c.db)? == 1)
}
