//! Questions about, and claims of, several jobs at once.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};

use crate::domain::ids::{JobId, MirrorId};
use crate::domain::job::{JobKind, JobState};
use crate::store::connection::Connection;
use crate::store::error::StoreError;
use crate::store::schema::jobs;
use crate::store::time;

use super::lease::{Claim, Waits, claim_one};
use super::queue::cancel;
use super::row::Job;

/// Takes up to `most` jobs, each as [`claim_one`] would.
///
/// # Errors
/// Those of the database.
pub fn claim_many(
    c: &mut Connection,
    worker: &str,
    now: DateTime<Utc>,
    lease: TimeDelta,
    most: usize,
    only: Option<&[MirrorId]>,
) -> Result<Vec<Job>, StoreError> {
    claim_some(c, &Claim { worker, now, lease, kinds: &JobKind::ALL, only, waits: Waits::Any }, most)
}

/// The same of what a claim says.
///
/// # Errors
/// Those of the database.
pub fn claim_some(c: &mut Connection, wanted: &Claim<'_>, most: usize) -> Result<Vec<Job>, StoreError> {
    let mut claimed = Vec::new();
    while claimed.len() < most {
        match claim_one(c, wanted)? {
            Some(job) => claimed.push(job),
            None => break,
        }
    }
    Ok(claimed)
}

/// Queued jobs whose last failure has one of these codes, in the order in which they would be claimed; with `late`
/// those alone whose failure was written down at or after its first time, and that are not due before its second.
///
/// # Errors
/// Those of the database.
pub fn waiting_for(
    c: &mut Connection,
    codes: &[&str],
    late: Option<(DateTime<Utc>, DateTime<Utc>)>,
) -> Result<Vec<JobId>, StoreError> {
    let (since, from) = late.unwrap_or((DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH));
    let ids: Vec<i64> = jobs::table
        .filter(jobs::state.eq(JobState::Queued.as_str()))
        .filter(jobs::updated_at.ge(time::text(since)))
        .filter(jobs::run_after.ge(time::text(from)))
        .filter(jobs::error_code.eq_any(codes.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()))
        .order((jobs::priority.desc(), jobs::run_after, jobs::id))
        .select(jobs::id)
        .load(&mut c.db)?;
    Ok(ids.into_iter().map(JobId).collect())
}

/// Puts off jobs whose time has come and whose last failure has one of these codes; says how many.
///
/// # Errors
/// Those of the database.
pub fn put_off(
    c: &mut Connection,
    codes: &[&str],
    until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<usize, StoreError> {
    let due = jobs::table
        .filter(jobs::state.eq(JobState::Queued.as_str()))
        .filter(jobs::run_after.le(time::text(now)))
        .filter(jobs::error_code.eq_any(codes.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()));
    Ok(diesel::update(due).set(jobs::run_after.eq(time::text(until))).execute(&mut c.db)?)
}

/// Sets when jobs are due that still wait. When their failure was written down stays as it is.
///
/// # Errors
/// Those of the database.
pub fn reschedule(c: &mut Connection, all: &[(JobId, DateTime<Utc>)]) -> Result<(), StoreError> {
    c.wake();
    for (id, run_after) in all {
        diesel::update(jobs::table.find(id.0).filter(jobs::state.eq(JobState::Queued.as_str())))
            .set(jobs::run_after.eq(time::text(*run_after)))
            .execute(&mut c.db)?;
    }
    Ok(())
}

/// Calls off the waiting jobs of one kind of a mirror; says how many.
///
/// # Errors
/// Those of the database.
pub fn cancel_queued(
    c: &mut Connection,
    mirror: MirrorId,
    kind: JobKind,
    now: DateTime<Utc>,
) -> Result<usize, StoreError> {
    let ids: Vec<i64> = jobs::table
        .filter(jobs::mirror_id.eq(mirror.to_string()))
        .filter(jobs::kind.eq(kind.as_str()))
        .filter(jobs::state.eq(JobState::Queued.as_str()))
        .select(jobs::id)
        .load(&mut c.db)?;
    for id in &ids {
        cancel(c, JobId(*id), now)?;
    }
    Ok(ids.len())
}

/// Whether a job runs, or waits and is due.
///
/// # Errors
/// Those of the database.
pub fn is_busy(c: &mut Connection, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let (leased, waiting) = (c.along("jobs_leased"), c.along("jobs_waiting"));
    let sql = format!(
        "SELECT (EXISTS (SELECT 1 FROM jobs {leased} WHERE state = 'running') OR EXISTS ( \
         SELECT 1 FROM jobs {waiting} WHERE state = 'queued' AND run_after <= $1)) AS busy"
    );
    let row: Busy = diesel::sql_query(sql).bind::<Text, _>(time::text(now)).get_result(&mut c.db)?;
    Ok(row.busy)
}

#[derive(QueryableByName)]
struct Busy {
    #[diesel(sql_type = Bool)]
    busy: bool,
}

/// Whether a sync of one of these mirrors, or of its wiki, runs, or waits without having failed yet.
///
/// # Errors
/// Those of the database.
pub fn is_first_try_open(c: &mut Connection, mirrors: &[MirrorId]) -> Result<bool, StoreError> {
    let ids: Vec<String> = mirrors.iter().map(ToString::to_string).collect();
    let running = jobs::state.eq(JobState::Running.as_str());
    let fresh = jobs::state.eq(JobState::Queued.as_str()).and(jobs::attempts.eq(0));
    let open: i64 = jobs::table
        .filter(jobs::mirror_id.eq_any(ids))
        .filter(jobs::kind.eq_any([JobKind::Sync.as_str(), JobKind::Wiki.as_str()]))
        .filter(running.or(fresh))
        .count()
        .get_result(&mut c.db)?;
    Ok(open > 0)
}
