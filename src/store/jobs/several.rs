//! Questions about, and claims of, several jobs at once.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};

use crate::domain::ids::MirrorId;
use crate::domain::job::{JobKind, JobState};
use crate::store::connection::Connection;
use crate::store::error::StoreError;
use crate::store::schema::jobs;
use crate::store::time;

use super::lease::{Claim, claim_one};
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
    let wanted = Claim { worker, now, lease, kinds: &JobKind::ALL, only };
    let mut claimed = Vec::new();
    while claimed.len() < most {
        match claim_one(c, &wanted)? {
            Some(job) => claimed.push(job),
            None => break,
        }
    }
    Ok(claimed)
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
        cancel(c, crate::domain::ids::JobId(*id), now)?;
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
