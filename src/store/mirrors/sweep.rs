//! Which mirrors a sweep may look at in git's place, and what it leaves behind.
//!
//! A sweep never says that a mirror is well: it moves the next look on, or asks git for one.

use chrono::{DateTime, Utc};
use diesel::dsl::{exists, not};
use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::domain::ids::{CorrelationId, GithubId, MirrorId};
use crate::domain::job::{JobKind, JobState, Priority};
use crate::domain::mirror::Status;
use crate::domain::repository::RepositoryName;
use crate::domain::sweep::{Activity, DOUBTED_FOR, Next, Outline};
use crate::store::connection::Connection;
use crate::store::error::StoreError;
use crate::store::jobs::{NewJob, enqueue};
use crate::store::prepared::Prepare as _;
use crate::store::schema::{jobs, lookouts, mirrors, upstreams};
use crate::store::time;

use super::look::doubt_description;
use super::row::mirror_id;

/// A mirror whose upstream GitHub can be asked for in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Which mirror.
    pub id: MirrorId,
    /// Which upstream.
    pub github_id: GithubId,
    /// Its name in lists.
    pub node_id: String,
    /// What is on record of it.
    pub known: Outline,
    /// How busy it is.
    pub activity: Activity,
    /// When it was due, as it stands in the database.
    due: Option<String>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = mirrors)]
struct MirrorPart {
    id: String,
    github_id: i64,
    owner: String,
    name: String,
    first_proof_at: Option<String>,
    last_changed_at: Option<String>,
    next_sync_at: Option<String>,
    created_at: String,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = upstreams)]
struct UpstreamPart {
    private: bool,
    archived: bool,
    disabled: bool,
    default_branch: Option<String>,
    pushed_at: Option<String>,
}

impl MirrorPart {
    /// All of a first sync is new to us, and nothing of it need be new to upstream.
    fn activity(
        &self,
        pushed_at: Option<DateTime<Utc>>,
        changed_at: Option<DateTime<Utc>>,
    ) -> Result<Activity, StoreError> {
        let first = time::some(self.first_proof_at.as_deref())?;
        let changed = changed_at.max(time::some(self.last_changed_at.as_deref())?);
        let changed = changed.filter(|it| first.is_some_and(|first| *it > first));
        Ok(Activity { known_since: time::read(&self.created_at)?, last: changed.max(pushed_at) })
    }
}

impl TryFrom<(MirrorPart, UpstreamPart, Option<String>)> for Candidate {
    type Error = StoreError;

    fn try_from((row, upstream, node_id): (MirrorPart, UpstreamPart, Option<String>)) -> Result<Self, StoreError> {
        let pushed_at = time::some(upstream.pushed_at.as_deref())?;
        let activity = row.activity(pushed_at, None)?;
        let UpstreamPart { private, archived, disabled, default_branch, .. } = upstream;
        let name = RepositoryName::new(&row.owner, &row.name).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        Ok(Self {
            id: mirror_id(&row.id)?,
            github_id: GithubId(row.github_id),
            node_id: node_id.unwrap_or_default(),
            known: Outline { name, private, archived, disabled, default_branch, pushed_at },
            activity,
            due: row.next_sync_at,
        })
    }
}

/// A sync waits or runs.
macro_rules! busy {
    () => {
        exists(
            jobs::table
                .filter(jobs::mirror_id.eq(mirrors::id.nullable()))
                .filter(jobs::kind.eq(JobKind::Sync.as_str()))
                .filter(jobs::state.eq_any([JobState::Queued.as_str(), JobState::Running.as_str()])),
        )
    };
}

/// Its row says that a sweep may look at it up to `until`: GitHub can be asked for it, and it is not git's turn.
macro_rules! sweepable {
    ($until:expr, $now:expr) => {
        lookouts::node_id
            .assume_not_null()
            .ne("")
            .and(lookouts::next_full_at.assume_not_null().gt(time::text($until)))
            .and(
                lookouts::doubted_at
                    .is_null()
                    .or(lookouts::doubted_at.assume_not_null().lt(time::text($now - DOUBTED_FOR))),
            )
    };
}

/// It is well: a sweep leaves the others to git.
macro_rules! sound {
    () => {
        mirrors::status.eq_any([Status::Healthy.as_str(), Status::Partial.as_str()])
    };
}

/// Mirrors that are due up to `until` and that a sweep may look at, the longest overdue first.
///
/// # Errors
/// Those of the database.
pub fn sweepable(
    c: &mut Connection,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
    limit: u32,
) -> Result<Vec<Candidate>, StoreError> {
    let rows: Vec<(MirrorPart, UpstreamPart, Option<String>)> = mirrors::table
        .inner_join(upstreams::table)
        .inner_join(lookouts::table)
        .filter(mirrors::next_sync_at.le(time::text(until)))
        .filter(sound!())
        .filter(sweepable!(until, now))
        .filter(not(busy!()))
        .order((mirrors::next_sync_at.asc(), mirrors::id.asc()))
        .limit(i64::from(limit))
        .select((MirrorPart::as_select(), UpstreamPart::as_select(), lookouts::node_id))
        .load(&mut c.db)?;
    rows.into_iter().map(Candidate::try_from).collect()
}

/// Whether a mirror is due now that a sweep may look at; `until` is how far ahead that sweep would look.
///
/// # Errors
/// Those of the database.
pub fn is_sweep_due(c: &mut Connection, until: DateTime<Utc>, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let due = mirrors::table
        .inner_join(upstreams::table)
        .inner_join(lookouts::table)
        .filter(mirrors::next_sync_at.le(time::text(now)))
        .filter(sound!())
        .filter(sweepable!(until, now))
        .filter(not(busy!()));
    Ok(diesel::select(exists(due)).get_result(&mut c.db)?)
}

/// As [`due`](super::due), without the mirrors that a sweep looks at in git's place.
///
/// # Errors
/// Those of the database.
pub fn due_by_git(
    c: &mut Connection,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
    limit: u32,
) -> Result<Vec<MirrorId>, StoreError> {
    let held: Vec<&str> = Status::ALL.into_iter().filter(|it| !it.is_synced()).map(Status::as_str).collect();
    let swept = exists(lookouts::table.filter(lookouts::mirror_id.eq(mirrors::id)).filter(sweepable!(until, now)));
    let ids: Vec<String> = mirrors::table
        .filter(mirrors::next_sync_at.le(time::text(now)))
        .filter(mirrors::status.ne_all(held))
        .filter(not(sound!().and(swept)))
        .filter(not(busy!()))
        .order((mirrors::next_sync_at.asc(), mirrors::id.asc()))
        .limit(i64::from(limit))
        .select(mirrors::id)
        .load(&mut c.db)?;
    ids.iter().map(|it| mirror_id(it)).collect()
}

/// Nothing suspicious: it is looked at again at `next`. Left alone when it was given another time meanwhile.
///
/// # Errors
/// Those of the database.
pub fn pass_over(c: &mut Connection, it: &Candidate, next: Next) -> Result<(), StoreError> {
    diesel::update(mirrors::table.find(it.id.to_string()).filter(mirrors::next_sync_at.eq(&it.due)))
        .set(mirrors::next_sync_at.eq(Some(time::text(next.at))))
        .prepared()
        .execute(&mut c.db)?;
    Ok(())
}

/// Something was pushed at `pushed_at`, or that is not known: git is to look.
///
/// # Errors
/// Those of the database.
pub fn suspect(
    c: &mut Connection,
    it: &Candidate,
    pushed_at: Option<DateTime<Utc>>,
    correlation: CorrelationId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let priority = if pushed_at.is_some() { Priority::CHANGED } else { Priority::ROUTINE };
    if let Some(at) = pushed_at {
        // On record together with the job: the same push is no news to the next sweep.
        diesel::update(upstreams::table.find(it.id.to_string()))
            .set(upstreams::pushed_at.eq(Some(time::text(at))))
            .prepared()
            .execute(&mut c.db)?;
    }
    enqueue(c, &NewJob::of(JobKind::Sync, it.id, priority, correlation), now)?;
    Ok(())
}

/// It is not what is on record, or not there: GitHub is asked about it by a sync. Not again by a sweep within
/// a day, should the two never agree.
///
/// # Errors
/// Those of the database.
pub fn doubt(
    c: &mut Connection,
    it: &Candidate,
    correlation: CorrelationId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    doubt_description(c, it.id)?;
    diesel::update(lookouts::table.find(it.id.to_string()))
        .set(lookouts::doubted_at.eq(Some(time::text(now))))
        .execute(&mut c.db)?;
    enqueue(c, &NewJob::of(JobKind::Sync, it.id, Priority::CHANGED, correlation), now)?;
    Ok(())
}

/// How busy the upstream of a mirror is, as far as is known and as a sync that is not yet on record has seen.
///
/// # Errors
/// Those of the database.
pub fn activity(
    c: &mut Connection,
    id: MirrorId,
    changed_at: Option<DateTime<Utc>>,
) -> Result<Option<Activity>, StoreError> {
    let row: Option<(MirrorPart, Option<String>)> = mirrors::table
        .left_join(upstreams::table)
        .filter(mirrors::id.eq(id.to_string()))
        .select((MirrorPart::as_select(), upstreams::pushed_at.nullable()))
        .first(&mut c.db)
        .optional()?;
    let Some((row, pushed_at)) = row else { return Ok(None) };
    row.activity(time::some(pushed_at.as_deref())?, changed_at).map(Some)
}

/// When git is to look at it at the latest, whatever sweeps say.
///
/// # Errors
/// Those of the database.
pub fn plan_full(c: &mut Connection, id: MirrorId, at: DateTime<Utc>) -> Result<(), StoreError> {
    let sql = "INSERT INTO lookouts (mirror_id, next_full_at) VALUES ($1, $2) \
               ON CONFLICT (mirror_id) DO UPDATE SET next_full_at = excluded.next_full_at";
    diesel::sql_query(sql)
        .bind::<Text, _>(id.to_string())
        .bind::<Text, _>(time::text(at))
        .prepared()
        .execute(&mut c.db)?;
    Ok(())
}

/// Remembers by which name GitHub's lists know it.
pub(super) fn set_node_id(c: &mut Connection, id: MirrorId, node_id: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO lookouts (mirror_id, node_id) VALUES ($1, $2) \
               ON CONFLICT (mirror_id) DO UPDATE SET node_id = excluded.node_id";
    diesel::sql_query(sql)
        .bind::<Text, _>(id.to_string())
        .bind::<Text, _>(node_id.to_owned())
        .prepared()
        .execute(&mut c.db)?;
    Ok(())
}
