//! The parts of a mirror beside its code: where each stands, its project, its last proof, its next look.
//!
//! Written by the stages as a look at a part goes on; read by the orchestrator, the API and the command
//! line. A part's row is made with the mirror's first proof and goes with the mirror.

use chrono::{DateTime, Utc};
use diesel::dsl::{exists, not};
use diesel::prelude::*;
use diesel::sql_types::Text;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::ids::{MirrorId, ProjectId};
use crate::domain::job::{JobKind, JobState};
use crate::domain::marker::MarkedWiki;
use crate::domain::mirror::{NotLevel, Status};
use crate::domain::part::{Part, PartId, PartState};
use crate::domain::refs::Oid;

use super::connection::Connection;
use super::error::StoreError;
use super::mirrors::{Failure, Project, ProjectView, Proof, ProofView, Proven, TroubleView, mirror_id, oid};
use super::schema::{jobs, mirrors, parts, tips};
use super::{clipped, history, time};

/// A part as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRecord {
    /// Which part of which mirror.
    pub id: PartId,
    /// Where it stands.
    pub state: PartState,
    /// Its OneDev project, once there is one.
    pub project: Option<Project>,
    /// The path at which a project was about to be made.
    pub intended_path: Option<String>,
    /// The project was made by us. While [`PartRecord::first_proof_at`] is `None` it may be rolled back.
    pub made_project: bool,
    /// When it was first proven level.
    pub first_proof_at: Option<DateTime<Utc>>,
    /// The default branch as last proven.
    pub default_branch: Option<String>,
    /// The commit of HEAD as last proven.
    pub head: Option<Oid>,
    /// Managed refs as last proven.
    pub ref_count: Option<i64>,
    /// The last proof.
    pub proof: Option<Proof>,
    /// Refs that do not stand in OneDev as they do upstream.
    pub not_level: Vec<NotLevel>,
    /// Why the last look failed.
    pub error: Option<Failure>,
    /// Since when a sync that would take away too much waits for an admin.
    pub held_since: Option<DateTime<Utc>>,
    /// When it was last looked at.
    pub looked_at: Option<DateTime<Utc>>,
    /// When it is to be looked at again.
    pub next_look_at: Option<DateTime<Utc>>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = parts)]
struct PartRow {
    mirror_id: String,
    part: String,
    state: String,
    project_id: Option<i64>,
    project_path: Option<String>,
    project_url: Option<String>,
    intended_path: Option<String>,
    made_project: bool,
    first_proof_at: Option<String>,
    default_branch: Option<String>,
    head: Option<String>,
    ref_count: Option<i64>,
    proof_digest: Option<String>,
    verified_at: Option<String>,
    not_level: String,
    error_code: Option<String>,
    error_message: Option<String>,
    error_since: Option<String>,
    held_since: Option<String>,
    looked_at: Option<String>,
    next_look_at: Option<String>,
}

impl TryFrom<PartRow> for PartRecord {
    type Error = StoreError;

    fn try_from(row: PartRow) -> Result<Self, StoreError> {
        let project = match (row.project_id, row.project_path, row.project_url) {
            (Some(id), Some(path), Some(url)) => Some(Project { id: ProjectId(id), path, url }),
            _ => None,
        };
        let proof = match (row.proof_digest, row.verified_at) {
            (Some(digest), Some(at)) => Some(Proof { digest, verified_at: time::read(&at)? }),
            _ => None,
        };
        let error = match (row.error_code, row.error_since) {
            (Some(code), Some(since)) => {
                Some(Failure { code, message: row.error_message.unwrap_or_default(), since: time::read(&since)? })
            }
            _ => None,
        };
        Ok(Self {
            id: PartId { mirror: mirror_id(&row.mirror_id)?, part: row.part.parse()? },
            state: row.state.parse()?,
            project,
            intended_path: row.intended_path,
            made_project: row.made_project,
            first_proof_at: time::some(row.first_proof_at.as_deref())?,
            default_branch: row.default_branch,
            head: row.head.map(|it| oid(&it)).transpose()?,
            ref_count: row.ref_count,
            proof,
            not_level: serde_json::from_str(&row.not_level).map_err(|e| StoreError::Corrupt(e.to_string()))?,
            error,
            held_since: time::some(row.held_since.as_deref())?,
            looked_at: time::some(row.looked_at.as_deref())?,
            next_look_at: time::some(row.next_look_at.as_deref())?,
        })
    }
}

/// Updates columns of one part, `updated_at` with them; says whether it was there.
macro_rules! update {
    ($c:expr, $id:expr, $now:expr, [$($filter:expr),*], $($change:expr),+ $(,)?) => {{
        let row = parts::table.find(($id.mirror.to_string(), $id.part.as_str()));
        diesel::update(row$(.filter($filter))*)
            .set(($($change,)+ parts::updated_at.eq(time::text($now))))
            .execute(&mut $c.db)
            .map(|rows| rows == 1)
            .map_err(StoreError::from)
    }};
}

/// Makes the row of a part, to be looked at now, if there is none; says whether it was made.
///
/// # Errors
/// Those of the database.
pub fn begin(c: &mut Connection, id: PartId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let sql = "INSERT INTO parts (mirror_id, part, state, next_look_at, updated_at) VALUES ($1, $2, $3, $4, $4) \
               ON CONFLICT (mirror_id, part) DO NOTHING";
    let made = diesel::sql_query(sql)
        .bind::<Text, _>(id.mirror.to_string())
        .bind::<Text, _>(id.part.as_str().to_owned())
        .bind::<Text, _>(PartState::Pending.as_str().to_owned())
        .bind::<Text, _>(time::text(now))
        .execute(&mut c.db)?;
    Ok(made == 1)
}

/// One part.
///
/// # Errors
/// Those of the database.
pub fn find(c: &mut Connection, id: PartId) -> Result<Option<PartRecord>, StoreError> {
    let row: Option<PartRow> = parts::table
        .find((id.mirror.to_string(), id.part.as_str()))
        .select(PartRow::as_select())
        .first(&mut c.db)
        .optional()?;
    row.map(PartRecord::try_from).transpose()
}

/// Mirrors with a part whose time to be looked at has come and that have no job for it waiting or running,
/// the longest overdue first.
///
/// # Errors
/// Those of the database.
pub fn due(
    c: &mut Connection,
    part: Part,
    kind: JobKind,
    now: DateTime<Utc>,
    limit: u32,
) -> Result<Vec<MirrorId>, StoreError> {
    let held: Vec<&str> = Status::ALL.into_iter().filter(|it| !it.is_synced()).map(Status::as_str).collect();
    let busy = jobs::table
        .filter(jobs::mirror_id.eq(parts::mirror_id.nullable()))
        .filter(jobs::kind.eq(kind.as_str()))
        .filter(jobs::state.eq_any([JobState::Queued.as_str(), JobState::Running.as_str()]));
    let ids: Vec<String> = parts::table
        .inner_join(mirrors::table)
        .filter(parts::next_look_at.le(time::text(now)))
        .filter(parts::part.eq(part.as_str()))
        .filter(mirrors::status.ne_all(held))
        .filter(not(exists(busy)))
        .order((parts::next_look_at.asc(), parts::mirror_id.asc()))
        .limit(i64::from(limit))
        .select(parts::mirror_id)
        .load(&mut c.db)?;
    ids.iter().map(|it| mirror_id(it)).collect()
}

/// The mirror that remembers a project as that of one of its parts.
///
/// # Errors
/// Those of the database.
pub fn holder(c: &mut Connection, project: ProjectId) -> Result<Option<PartId>, StoreError> {
    let row: Option<(String, String)> = parts::table
        .filter(parts::project_id.eq(project.0))
        .select((parts::mirror_id, parts::part))
        .first(&mut c.db)
        .optional()?;
    row.map(|(mirror, part)| Ok(PartId { mirror: mirror_id(&mirror)?, part: part.parse()? })).transpose()
}

/// Commits to a path before a project is made there.
///
/// # Errors
/// Those of the database.
pub fn intend_project(c: &mut Connection, id: PartId, path: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
    update!(c, id, now, [], parts::intended_path.eq(Some(path)))
}

/// Remembers the project; `made` says that it was we who made it.
///
/// # Errors
/// Those of the database.
pub fn set_project(
    c: &mut Connection,
    id: PartId,
    project: &Project,
    made: bool,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    update!(
        c,
        id,
        now,
        [],
        parts::project_id.eq(Some(project.id.0)),
        parts::project_path.eq(Some(project.path.as_str())),
        parts::project_url.eq(Some(project.url.as_str())),
        parts::made_project.eq(made),
    )
}

/// Its project went elsewhere with the one that it lies in.
///
/// # Errors
/// Those of the database.
pub(super) fn moved(c: &mut Connection, id: PartId, project: &Project, now: DateTime<Utc>) -> Result<bool, StoreError> {
    update!(
        c,
        id,
        now,
        [],
        parts::project_path.eq(Some(project.path.as_str())),
        parts::project_url.eq(Some(project.url.as_str())),
        parts::intended_path.eq(Some(project.path.as_str())),
    )
}

/// Forgets the project and what was put there: it was rolled back or deleted.
///
/// # Errors
/// Those of the database.
pub fn forget_project(c: &mut Connection, id: PartId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let its = tips::table.filter(tips::mirror_id.eq(id.mirror.to_string())).filter(tips::part.eq(id.part.as_str()));
    diesel::delete(its).execute(&mut c.db)?;
    history::forget(c, id)?;
    update!(
        c,
        id,
        now,
        [],
        parts::project_id.eq(None::<i64>),
        parts::project_path.eq(None::<String>),
        parts::project_url.eq(None::<String>),
        parts::intended_path.eq(None::<String>),
        parts::made_project.eq(false),
        parts::first_proof_at.eq(None::<String>),
        parts::proof_digest.eq(None::<String>),
        parts::verified_at.eq(None::<String>),
    )
}

/// Writes down what a marker tells of a part. What is to be seen anew waits for that.
///
/// # Errors
/// Those of the database.
pub(super) fn tell(c: &mut Connection, id: PartId, it: &MarkedWiki, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let not_level = serde_json::to_string(&it.not_level).map_err(|e| StoreError::Refused(e.to_string()))?;
    let state = if it.state == PartState::Gone { PartState::Gone } else { PartState::Pending };
    let proof = it.proof.as_ref();
    update!(
        c,
        id,
        now,
        [],
        parts::state.eq(state.as_str()),
        parts::first_proof_at.eq(time::some_text(it.first_proof_at)),
        parts::proof_digest.eq(proof.map(|it| it.digest.as_str())),
        parts::verified_at.eq(proof.map(|it| time::text(it.verified_at))),
        parts::head.eq(proof.and_then(|it| it.tip).map(|it| it.to_string())),
        parts::ref_count.eq(proof.map(|it| it.ref_count)),
        parts::default_branch.eq(proof.and_then(|it| it.default_branch.as_deref())),
        parts::not_level.eq(not_level),
        parts::next_look_at.eq(Some(time::text(now))),
    )
}

/// Records that both sides were read and what was found.
///
/// # Errors
/// Those of the database.
pub fn record_proof(c: &mut Connection, id: PartId, it: &Proven) -> Result<bool, StoreError> {
    let at = it.verified_at;
    let not_level = serde_json::to_string(&it.not_level).map_err(|e| StoreError::Refused(e.to_string()))?;
    let state = if it.not_level.is_empty() { PartState::Healthy } else { PartState::Partial };
    update!(c, id, at, [parts::first_proof_at.is_null()], parts::first_proof_at.eq(Some(time::text(at))))?;
    history::note_state(c, id, &it.digest, it.upstream_head.as_ref(), at)?;
    update!(
        c,
        id,
        at,
        [],
        parts::proof_digest.eq(Some(it.digest.as_str())),
        parts::verified_at.eq(Some(time::text(at))),
        parts::head.eq(it.head.map(|it| it.to_string())),
        parts::ref_count.eq(Some(it.ref_count)),
        parts::default_branch.eq(it.default_branch.as_deref()),
        parts::not_level.eq(not_level),
    )?;
    looked(c, id, state, it.next_sync_at, at)
}

/// Records that both sides were read and hold the same, without a sync. A part that was in error for not
/// being level is well again.
///
/// # Errors
/// Those of the database.
pub fn record_verified(c: &mut Connection, id: PartId, digest: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let state = match find(c, id)? {
        Some(it) if !it.not_level.is_empty() => PartState::Partial,
        _ => PartState::Healthy,
    };
    let next = find(c, id)?.and_then(|it| it.next_look_at);
    update!(c, id, now, [], parts::proof_digest.eq(Some(digest)), parts::verified_at.eq(Some(time::text(now))))?;
    looked(c, id, state, next, now)
}

/// Records that a look went well and left the part in this state; whatever was wrong is over.
///
/// # Errors
/// Those of the database.
pub fn looked(
    c: &mut Connection,
    id: PartId,
    state: PartState,
    next: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    update!(
        c,
        id,
        now,
        [],
        parts::state.eq(state.as_str()),
        parts::error_code.eq(None::<String>),
        parts::error_message.eq(None::<String>),
        parts::error_since.eq(None::<String>),
        parts::held_since.eq(None::<String>),
        parts::looked_at.eq(Some(time::text(now))),
        parts::next_look_at.eq(time::some_text(next)),
    )
}

/// Records why a look failed; `since` stays while the reason does.
///
/// # Errors
/// Those of the database.
pub fn record_error(
    c: &mut Connection,
    id: PartId,
    error: (&str, &str),
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let (code, message) = error;
    let other = parts::error_code.is_null().or(parts::error_code.ne(code));
    update!(c, id, now, [other], parts::error_since.eq(Some(time::text(now))))?;
    update!(
        c,
        id,
        now,
        [],
        parts::state.eq(PartState::Error.as_str()),
        parts::error_code.eq(Some(code)),
        parts::error_message.eq(Some(clipped(message))),
    )
}

/// A sync that would take away too much waits for an admin, since now.
///
/// # Errors
/// Those of the database.
pub fn hold(c: &mut Connection, id: PartId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    update!(c, id, now, [], parts::held_since.eq(Some(time::text(now))))
}

/// Says when it is to be looked at again.
///
/// # Errors
/// Those of the database.
pub fn schedule(
    c: &mut Connection,
    id: PartId,
    at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    update!(c, id, now, [], parts::next_look_at.eq(time::some_text(at)))
}

/// Every part of a mirror is to be looked at now: it is synced again.
pub(super) fn schedule_all(c: &mut Connection, mirror: MirrorId, now: DateTime<Utc>) -> Result<(), StoreError> {
    diesel::update(parts::table.filter(parts::mirror_id.eq(mirror.to_string())))
        .set(parts::next_look_at.eq(Some(time::text(now))))
        .execute(&mut c.db)?;
    Ok(())
}

/// A part of a mirror beside its code.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Part)]
pub struct PartView {
    part: Part,
    state: PartState,
    onedev: ProjectView,
    default_branch: Option<String>,
    head: Option<String>,
    ref_count: Option<i64>,
    proof: Option<ProofView>,
    not_level: Vec<NotLevel>,
    error: Option<TroubleView>,
    looked_at: Option<DateTime<Utc>>,
    next_look_at: Option<DateTime<Utc>>,
}

impl PartRecord {
    /// The part as the API shows it.
    pub fn view(&self) -> PartView {
        PartView {
            part: self.id.part,
            state: self.state,
            onedev: ProjectView::of(self.project.as_ref()),
            default_branch: self.default_branch.clone(),
            head: self.head.map(|it| it.to_string()),
            ref_count: self.ref_count,
            proof: self.proof.as_ref().map(ProofView::from),
            not_level: self.not_level.clone(),
            error: self.error.as_ref().map(TroubleView::from),
            looked_at: self.looked_at,
            next_look_at: self.next_look_at,
        }
    }
}
