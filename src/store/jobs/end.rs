//! Out of the queue: how the worker that holds a job's lease ends it. Whoever lost the lease
//! changes nothing and is told so.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::domain::ids::JobId;
use crate::domain::job::JobState;
use crate::store::clipped;
use crate::store::connection::Connection;
use crate::store::error::StoreError;
use crate::store::schema::jobs;

use super::lease::locked;
use super::queue::{Again, close, put_back};
use super::row::{Job, number};

/// Ends it well. `false`: the lease was lost, nothing changed.
///
/// # Errors
/// Those of the database.
pub fn finish(c: &mut Connection, id: JobId, worker: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let Some(job) = held(c, id, worker)? else { return Ok(false) };
    close(c, id, JobState::Done, None, now)?;
    wake_next(c, &job)?;
    Ok(true)
}

/// Puts it back, to be tried again after `run_after`; `count_attempt` tells whether this one counts.
/// `false`: the lease was lost, nothing changed.
///
/// # Errors
/// Those of the database.
pub fn postpone(
    c: &mut Connection,
    id: JobId,
    worker: &str,
    run_after: DateTime<Utc>,
    count_attempt: bool,
    error: Option<(&str, &str)>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let Some(job) = held(c, id, worker)? else { return Ok(false) };
    let attempts = job.attempts.saturating_add(u32::from(count_attempt));
    let error = error.map(|(code, message)| (code.to_owned(), clipped(message)));
    // It ran to an end of its own, so whatever crashed before was not its doing.
    put_back(c, &job, &Again { run_after, attempts, crashes: 0, error }, now)?;
    Ok(true)
}

/// Gives it up: `dead`, kept until somebody retries it; the attempt counts. `false`: the lease was
/// lost, nothing changed.
///
/// # Errors
/// Those of the database.
pub fn bury(
    c: &mut Connection,
    id: JobId,
    worker: &str,
    error: (&str, &str),
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let Some(job) = held(c, id, worker)? else { return Ok(false) };
    let attempts = number(job.attempts.saturating_add(1));
    diesel::update(jobs::table.find(id.0)).set(jobs::attempts.eq(attempts)).execute(&mut c.db)?;
    close(c, id, JobState::Dead, Some(error), now)?;
    wake_next(c, &job)?;
    Ok(true)
}

fn held(c: &mut Connection, id: JobId, worker: &str) -> Result<Option<Job>, StoreError> {
    let job = locked(c, id)?;
    Ok(job.filter(|it| it.state == JobState::Running && it.leased_by.as_deref() == Some(worker)))
}

/// What waited only for this job's mirror to be free can run now.
fn wake_next(c: &mut Connection, job: &Job) -> Result<(), StoreError> {
    let Some(mirror) = job.mirror else { return Ok(()) };
    let waits =
        jobs::table.filter(jobs::mirror_id.eq(mirror.to_string())).filter(jobs::state.eq(JobState::Queued.as_str()));
    if diesel::select(diesel::dsl::exists(waits)).get_result(&mut c.db)? {
        c.wake();
    }
    Ok(())
}
