//! Looking at the queue.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::dsl::count_star;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::domain::ids::{JobId, MirrorId};
use crate::domain::job::{JobKind, JobState};
use crate::store::connection::Connection;
use crate::store::error::StoreError;
use crate::store::page::{Page, Window};
use crate::store::schema::jobs;
use crate::store::time;

use super::row::{Job, JobRow};

/// Which jobs a list shows; everything by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only in this state.
    pub state: Option<JobState>,
    /// Only of this kind.
    pub kind: Option<JobKind>,
    /// Only of this mirror.
    pub mirror: Option<MirrorId>,
}

/// One job.
///
/// # Errors
/// Those of the database.
pub fn find(c: &mut Connection, id: JobId) -> Result<Option<Job>, StoreError> {
    let row: Option<JobRow> = jobs::table.find(id.0).select(JobRow::as_select()).first(&mut c.db).optional()?;
    row.map(Job::try_from).transpose()
}

/// Jobs, the newest first.
///
/// # Errors
/// [`StoreError::Cursor`]; those of the database.
pub fn list(c: &mut Connection, filter: &Filter, window: &Window) -> Result<Page<Job>, StoreError> {
    let mut query = jobs::table.select(JobRow::as_select()).into_boxed();
    if let Some(state) = filter.state {
        query = query.filter(jobs::state.eq(state.as_str()));
    }
    if let Some(kind) = filter.kind {
        query = query.filter(jobs::kind.eq(kind.as_str()));
    }
    if let Some(mirror) = filter.mirror {
        query = query.filter(jobs::mirror_id.eq(mirror.to_string()));
    }
    if let Some(before) = window.after::<i64>()? {
        query = query.filter(jobs::id.lt(before));
    }
    let rows: Vec<JobRow> = query.order(jobs::id.desc()).limit(window.fetch()).load(&mut c.db)?;
    window.page(rows, |it| it.id, Job::try_from)
}

/// How many jobs there are of each kind in each state; pairs without one are not in it.
///
/// # Errors
/// Those of the database.
pub fn counts(c: &mut Connection) -> Result<BTreeMap<(JobKind, JobState), u64>, StoreError> {
    let rows: Vec<(String, String, i64)> = jobs::table
        .group_by((jobs::kind, jobs::state))
        .select((jobs::kind, jobs::state, count_star()))
        .load(&mut c.db)?;
    rows.into_iter()
        .map(|(kind, state, count)| Ok(((kind.parse()?, state.parse()?), u64::try_from(count).unwrap_or_default())))
        .collect()
}

/// Since when the oldest job of each kind is due and waits; kinds without one are not in it.
///
/// # Errors
/// Those of the database.
pub fn oldest_due(c: &mut Connection, now: DateTime<Utc>) -> Result<BTreeMap<JobKind, DateTime<Utc>>, StoreError> {
    let along = c.along("jobs_waiting");
    let sql = format!(
        "SELECT kind, MIN(run_after) AS at FROM jobs {along} WHERE state = 'queued' AND run_after <= $1 GROUP BY kind"
    );
    let rows: Vec<Oldest> = diesel::sql_query(sql).bind::<Text, _>(time::text(now)).load(&mut c.db)?;
    rows.into_iter().map(|it| Ok((it.kind.parse()?, time::read(&it.at)?))).collect()
}

#[derive(QueryableByName)]
struct Oldest {
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    at: String,
}

#[derive(QueryableByName)]
struct Earliest {
    #[diesel(sql_type = Text)]
    at: String,
}

/// When the next job can be claimed, as far as the clock decides: jobs whose mirror has one running
/// are left out, since its end wakes the workers anyway.
///
/// # Errors
/// Those of the database.
pub fn next_run_after(c: &mut Connection) -> Result<Option<DateTime<Utc>>, StoreError> {
    let sql = "SELECT waits.run_after AS at FROM jobs AS waits WHERE waits.state = 'queued' \
               AND NOT EXISTS (SELECT 1 FROM jobs AS other \
                               WHERE other.mirror_id = waits.mirror_id AND other.state = 'running') \
               ORDER BY waits.run_after LIMIT 1";
    let earliest: Option<Earliest> = diesel::sql_query(sql).get_result(&mut c.db).optional()?;
    earliest.map(|it| time::read(&it.at)).transpose()
}

/// Deletes `done` and `cancelled` jobs that ended before a time, at most 1,000 at once; says how many.
///
/// # Errors
/// Those of the database.
pub fn prune(c: &mut Connection, before: DateTime<Utc>) -> Result<usize, StoreError> {
    let sql = "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE finished_at < $1 \
               AND state IN ('done', 'cancelled') ORDER BY finished_at LIMIT $2)";
    let deleted =
        diesel::sql_query(sql).bind::<Text, _>(time::text(before)).bind::<BigInt, _>(PRUNED).execute(&mut c.db)?;
    Ok(deleted)
}

/// Rows in one pruning, so that its transaction stays short.
const PRUNED: i64 = 1_000;
