//! The history: one row for each run of a sync or a verification.
//!
//! Begun when a job starts to work on a mirror, finished with what it found. A row that is still
//! `running` when the next run starts was cut off with its process.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::ids::{CorrelationId, JobId, MirrorId};
use crate::domain::job::UnknownWord;
use crate::domain::part::{Part, PartId};

use super::connection::Connection;
use super::error::StoreError;
use super::page::{Page, Window};
use super::prepared::Prepare as _;
use super::schema::syncs;
use super::{clipped, jobs, mirrors, time};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SyncOutcome)]
pub enum Outcome {
    /// It has not.
    Running,
    /// Level, something was moved.
    Changed,
    /// Level, nothing had to be moved.
    Unchanged,
    /// All that OneDev accepts is level.
    Partial,
    /// It failed.
    Failed,
    /// Its process was lost.
    CutOff,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 6] =
        [Self::Running, Self::Changed, Self::Unchanged, Self::Partial, Self::Failed, Self::CutOff];

    /// The word in the database, the API and the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::CutOff => "cut_off",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Outcome {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let known = Self::ALL.into_iter().find(|it| it.as_str() == word);
        known.ok_or_else(|| UnknownWord { what: "outcome of a sync", word: word.to_owned() })
    }
}

/// Row id of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncId(pub i64);

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Work {
    /// Bytes of packs from GitHub.
    pub bytes_in: u64,
    /// Bytes of packs to OneDev.
    pub bytes_out: u64,
    /// Objects in them.
    pub objects: u64,
    /// Refs created.
    pub created: u64,
    /// Refs moved.
    pub moved: u64,
    /// Refs deleted.
    pub deleted: u64,
    /// Kept refs made.
    pub kept: u64,
    /// Alias refs made.
    pub aliased: u64,
    /// Digest of the managed refs and HEAD, if it was proven.
    pub digest: Option<String>,
    /// Code and text of the failure.
    pub error: Option<(String, String)>,
    /// Changes of refs, as the API shows them; the first [`CHANGES`] are kept.
    pub changes: Vec<serde_json::Value>,
}

/// Changes of refs that a row holds at most.
pub const CHANGES: usize = 500;

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sync {
    /// Its row.
    pub id: SyncId,
    /// Of which mirror.
    pub mirror: MirrorId,
    /// Of which of its parts.
    pub part: Part,
    /// By which job, which may be pruned by now; `None` for a run without a queue.
    pub job: Option<JobId>,
    /// Follows the work through every log line.
    pub correlation: CorrelationId,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub outcome: Outcome,
    /// `relay`, `cached`, or `verify` for a comparison alone.
    pub engine: String,
    /// What it did.
    pub work: Work,
}

#[derive(Queryable, QueryableByName, Selectable)]
#[diesel(table_name = syncs)]
struct SyncRow {
    id: i64,
    mirror_id: String,
    part: String,
    job_id: Option<i64>,
    correlation_id: String,
    started_at: String,
    finished_at: Option<String>,
    outcome: String,
    engine: String,
    bytes_in: i64,
    bytes_out: i64,
    objects: i64,
    created: i64,
    moved: i64,
    deleted: i64,
    kept: i64,
    aliased: i64,
    digest: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
    changes: String,
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl TryFrom<SyncRow> for Sync {
    type Error = StoreError;

    fn try_from(row: SyncRow) -> Result<Self, StoreError> {
        let work = Work {
            bytes_in: count(row.bytes_in),
            bytes_out: count(row.bytes_out),
            objects: count(row.objects),
            created: count(row.created),
            moved: count(row.moved),
            deleted: count(row.deleted),
            kept: count(row.kept),
            aliased: count(row.aliased),
            digest: row.digest,
            error: row.error_code.map(|code| (code, row.error_message.unwrap_or_default())),
            changes: serde_json::from_str(&row.changes).map_err(|e| StoreError::Corrupt(e.to_string()))?,
        };
        Ok(Self {
            id: SyncId(row.id),
            mirror: mirrors::mirror_id(&row.mirror_id)?,
            part: row.part.parse()?,
            job: row.job_id.map(JobId),
            correlation: jobs::correlation(&row.correlation_id)?,
            started_at: time::read(&row.started_at)?,
            finished_at: time::some(row.finished_at.as_deref())?,
            outcome: row.outcome.parse()?,
            engine: row.engine,
            work,
        })
    }
}

#[derive(QueryableByName)]
#[diesel(table_name = syncs)]
struct IdRow {
    id: i64,
}

/// Begins a run. One of the same mirror that is still open was cut off, since one runs at a time.
///
/// # Errors
/// Those of the database.
pub fn start(
    c: &mut Connection,
    of: impl Into<PartId>,
    job: Option<JobId>,
    correlation: CorrelationId,
    engine: &str,
    now: DateTime<Utc>,
) -> Result<SyncId, StoreError> {
    let of = of.into();
    let open = syncs::table
        .filter(syncs::mirror_id.eq(of.mirror.to_string()))
        .filter(syncs::outcome.eq(Outcome::Running.as_str()));
    diesel::update(open)
        .set((syncs::outcome.eq(Outcome::CutOff.as_str()), syncs::finished_at.eq(Some(time::text(now)))))
        .prepared()
        .execute(&mut c.db)?;
    let sql = "INSERT INTO syncs (mirror_id, part, job_id, correlation_id, started_at, outcome, engine) \
               VALUES ($1, $2, $3, $4, $5, 'running', $6) RETURNING id";
    let row: IdRow = diesel::sql_query(sql)
        .bind::<Text, _>(of.mirror.to_string())
        .bind::<Text, _>(of.part.as_str().to_owned())
        .bind::<Nullable<BigInt>, _>(job.map(|it| it.0))
        .bind::<Text, _>(correlation.to_string())
        .bind::<Text, _>(time::text(now))
        .bind::<Text, _>(engine.to_owned())
        .prepared()
        .get_result(&mut c.db)?;
    Ok(SyncId(row.id))
}

/// Ends a run. `false` when it was taken for cut off already: another one is at work.
///
/// # Errors
/// Those of the database.
pub fn finish(
    c: &mut Connection,
    id: SyncId,
    outcome: Outcome,
    work: &Work,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let kept: Vec<&serde_json::Value> = work.changes.iter().take(CHANGES).collect();
    let changes = serde_json::to_string(&kept).map_err(|e| StoreError::Refused(e.to_string()))?;
    let open = syncs::table.find(id.0).filter(syncs::outcome.eq(Outcome::Running.as_str()));
    let ended = diesel::update(open)
        .set((
            syncs::finished_at.eq(Some(time::text(now))),
            syncs::outcome.eq(outcome.as_str()),
            syncs::bytes_in.eq(number(work.bytes_in)),
            syncs::bytes_out.eq(number(work.bytes_out)),
            syncs::objects.eq(number(work.objects)),
            syncs::created.eq(number(work.created)),
            syncs::moved.eq(number(work.moved)),
            syncs::deleted.eq(number(work.deleted)),
            syncs::kept.eq(number(work.kept)),
            syncs::aliased.eq(number(work.aliased)),
            syncs::digest.eq(work.digest.as_deref()),
            syncs::error_code.eq(work.error.as_ref().map(|it| it.0.as_str())),
            syncs::error_message.eq(work.error.as_ref().map(|it| clipped(&it.1))),
            syncs::changes.eq(changes),
        ))
        .prepared()
        .execute(&mut c.db)?;
    Ok(ended == 1)
}

/// Runs of a mirror, the newest first.
///
/// # Errors
/// [`StoreError::Cursor`]; those of the database.
pub fn list(c: &mut Connection, mirror: MirrorId, window: &Window) -> Result<Page<Sync>, StoreError> {
    let mut query =
        syncs::table.filter(syncs::mirror_id.eq(mirror.to_string())).select(SyncRow::as_select()).into_boxed();
    if let Some(before) = window.after::<i64>()? {
        query = query.filter(syncs::id.lt(before));
    }
    let rows: Vec<SyncRow> = query.order(syncs::id.desc()).limit(window.fetch()).load(&mut c.db)?;
    window.page(rows, |it| it.id, Sync::try_from)
}

/// Deletes runs that began before a time, at most 1,000 at once; says how many. The latest of each
/// mirror stays.
///
/// # Errors
/// Those of the database.
pub fn prune(c: &mut Connection, before: DateTime<Utc>) -> Result<usize, StoreError> {
    let sql = "DELETE FROM syncs WHERE id IN (SELECT old.id FROM syncs AS old WHERE old.started_at < $1 \
               AND EXISTS (SELECT 1 FROM syncs AS newer WHERE newer.mirror_id = old.mirror_id AND newer.id > old.id) \
               ORDER BY old.started_at LIMIT 1000)";
    Ok(diesel::sql_query(sql).bind::<Text, _>(time::text(before)).execute(&mut c.db)?)
}
