//! Into the queue: new jobs, jobs that wait again, jobs that are called off.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, SmallInt, Text};

use crate::domain::ids::{CorrelationId, JobId, MirrorId};
use crate::domain::job::{JobKind, JobState, Priority};
use crate::store::connection::Connection;
use crate::store::error::StoreError;
use crate::store::prepared::Prepare as _;
use crate::store::schema::jobs;
use crate::store::{deliveries, time};

use super::find::find;
use super::row::{IdRow, Job, JobRow, merge, number};

/// A job to be queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// What it does.
    pub kind: JobKind,
    /// To which mirror.
    pub mirror: Option<MirrorId>,
    /// How urgent it is.
    pub priority: Priority,
    /// Not before this; `None` is now.
    pub run_after: Option<DateTime<Utc>>,
    /// What the kind needs to know beyond the mirror.
    pub payload: serde_json::Value,
    /// Follows the work through every log line.
    pub correlation: CorrelationId,
    /// The recorded delivery that asks for it: settled when its jobs have ended.
    pub delivery: Option<String>,
}

impl NewJob {
    /// A job for a mirror, as soon as possible, without more to know.
    pub fn of(kind: JobKind, mirror: MirrorId, priority: Priority, correlation: CorrelationId) -> Self {
        let payload = serde_json::Value::Object(serde_json::Map::new());
        Self { kind, mirror: Some(mirror), priority, run_after: None, payload, correlation, delivery: None }
    }

    /// The same, and whether it may delete and overwrite as much as upstream says.
    #[must_use]
    pub fn allowing_mass_delete(mut self, allow: bool) -> Self {
        if let (true, Some(payload)) = (allow, self.payload.as_object_mut()) {
            payload.insert(super::row::ALLOW_MASS_DELETE.to_owned(), true.into());
        }
        self
    }
}

/// What became of a job that was to be queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enqueued {
    /// The job that will do it.
    pub id: JobId,
    /// An equal one waited already and does it too.
    pub coalesced: bool,
}

/// A claim may take the equal job away between two statements; more often than this it does not.
const TRIES: u32 = 5;

/// Queues a job, or leaves it to an equal one (same mirror, same kind) that waits already: that one
/// gets the higher priority and the earlier time of the two, and forgets what it waits for when a person asks. Wakes the workers after the commit.
///
/// # Errors
/// Those of the database.
pub fn enqueue(c: &mut Connection, job: &NewJob, now: DateTime<Utc>) -> Result<Enqueued, StoreError> {
    c.wake();
    let enqueued = insert_or_join(c, job, now)?;
    if let Some(guid) = &job.delivery {
        deliveries::link(c, guid, enqueued.id)?;
    }
    Ok(enqueued)
}

fn insert_or_join(c: &mut Connection, job: &NewJob, now: DateTime<Utc>) -> Result<Enqueued, StoreError> {
    for _ in 0..TRIES {
        if let Some(id) = insert(c, job, now)? {
            return Ok(Enqueued { id, coalesced: false });
        }
        if let Some(id) = join(c, job, now)? {
            return Ok(Enqueued { id, coalesced: true });
        }
    }
    Err(StoreError::Race("an equal job comes and goes".to_owned()))
}

fn insert(c: &mut Connection, job: &NewJob, now: DateTime<Utc>) -> Result<Option<JobId>, StoreError> {
    let sql = "INSERT INTO jobs (kind, mirror_id, state, priority, run_after, payload, correlation_id, \
               delivery_guid, created_at, updated_at) VALUES ($1, $2, 'queued', $3, $4, $5, $6, $7, $8, $8) \
               ON CONFLICT (mirror_id, kind) WHERE state = 'queued' DO NOTHING RETURNING id";
    let row: Option<IdRow> = diesel::sql_query(sql)
        .bind::<Text, _>(job.kind.as_str().to_owned())
        .bind::<Nullable<Text>, _>(job.mirror.map(|it| it.to_string()))
        .bind::<SmallInt, _>(job.priority.0)
        .bind::<Text, _>(time::text(job.run_after.unwrap_or(now)))
        .bind::<Text, _>(job.payload.to_string())
        .bind::<Text, _>(job.correlation.to_string())
        .bind::<Nullable<Text>, _>(job.delivery.clone())
        .bind::<Text, _>(time::text(now))
        .prepared()
        .get_result(&mut c.db)
        .optional()?;
    Ok(row.map(|it| JobId(it.id)))
}

/// Leaves it to the equal job that waits, made as urgent and as early as this one if it is not; `None`
/// when none waits any more.
///
/// The row is not locked unless it changes: deliveries of a busy repository would otherwise wait for
/// each other's commits. Should a worker claim it meanwhile, it still looks at upstream after
/// whatever this job is queued for.
fn join(c: &mut Connection, job: &NewJob, now: DateTime<Utc>) -> Result<Option<JobId>, StoreError> {
    let Some(mut other) = waiting_equal(c, job.mirror, job.kind)? else { return Ok(None) };
    let run_after = job.run_after.unwrap_or(now);
    let told_more = merge(&mut other.payload, &job.payload);
    let forgets = job.priority >= Priority::ASKED && other.error.is_some();
    if other.priority >= job.priority && other.run_after <= run_after && !told_more && !forgets {
        return Ok(Some(other.id));
    }
    let sql = "UPDATE jobs SET priority = CASE WHEN priority < $1 THEN $1 ELSE priority END, \
               run_after = CASE WHEN run_after > $2 THEN $2 ELSE run_after END, updated_at = $3, payload = $4, \
               error_code = CASE WHEN $1 >= $5 THEN NULL ELSE error_code END WHERE id = $6 AND state = 'queued'";
    let raised = diesel::sql_query(sql)
        .bind::<SmallInt, _>(job.priority.0)
        .bind::<Text, _>(time::text(run_after))
        .bind::<Text, _>(time::text(now))
        .bind::<Text, _>(other.payload.to_string())
        .bind::<SmallInt, _>(Priority::ASKED.0)
        .bind::<BigInt, _>(other.id.0)
        .prepared()
        .execute(&mut c.db)?;
    Ok((raised == 1).then_some(other.id))
}

/// How a job that ran goes back into the queue.
pub(super) struct Again {
    pub(super) run_after: DateTime<Utc>,
    pub(super) attempts: u32,
    pub(super) crashes: u32,
    pub(super) error: Option<(String, String)>,
}

/// Puts a running job back. If an equal one was queued meanwhile, that one goes on for both: with
/// the attempts so far, its error, and not before this one would, or the pause would be lost whenever an event
/// comes in; and this one is `cancelled` as overtaken.
pub(super) fn put_back(c: &mut Connection, job: &Job, again: &Again, now: DateTime<Utc>) -> Result<(), StoreError> {
    c.wake();
    let Some(mut other) = waiting_equal(c, job.mirror, job.kind)? else {
        diesel::update(jobs::table.find(job.id.0))
            .set((
                jobs::state.eq(JobState::Queued.as_str()),
                jobs::attempts.eq(number(again.attempts)),
                jobs::crashes.eq(number(again.crashes)),
                jobs::run_after.eq(time::text(again.run_after)),
                jobs::lease_until.eq(None::<String>),
                jobs::leased_by.eq(None::<String>),
                jobs::error_code.eq(again.error.as_ref().map(|it| it.0.clone())),
                jobs::error_message.eq(again.error.as_ref().map(|it| it.1.clone())),
                jobs::updated_at.eq(time::text(now)),
            ))
            .prepared()
            .execute(&mut c.db)?;
        return Ok(());
    };
    merge(&mut other.payload, &job.payload);
    // What it waits for too: when a server answers again, those are called back whose error says that they wait for it.
    // A person who asked meanwhile wants a try of his own.
    let error = if other.priority >= Priority::ASKED { other.error } else { again.error.clone().or(other.error) };
    diesel::update(jobs::table.find(other.id.0))
        .set((
            jobs::priority.eq(other.priority.max(job.priority).0),
            jobs::payload.eq(other.payload.to_string()),
            jobs::error_code.eq(error.as_ref().map(|it| it.0.clone())),
            jobs::error_message.eq(error.as_ref().map(|it| it.1.clone())),
            jobs::attempts.eq(number(other.attempts.max(again.attempts))),
            jobs::crashes.eq(number(other.crashes.max(again.crashes))),
            jobs::run_after.eq(time::text(other.run_after.max(again.run_after))),
            jobs::updated_at.eq(time::text(now)),
        ))
        .prepared()
        .execute(&mut c.db)?;
    deliveries::hand_over(c, job.id, other.id)?;
    close(c, job.id, JobState::Cancelled, Some(("overtaken", "an equal job was queued meanwhile")), now)
}

fn waiting_equal(c: &mut Connection, mirror: Option<MirrorId>, kind: JobKind) -> Result<Option<Job>, StoreError> {
    let Some(mirror) = mirror else { return Ok(None) };
    let row: Option<JobRow> = jobs::table
        .filter(jobs::mirror_id.eq(mirror.to_string()))
        .filter(jobs::kind.eq(kind.as_str()))
        .filter(jobs::state.eq(JobState::Queued.as_str()))
        .select(JobRow::as_select())
        .first(&mut c.db)
        .optional()?;
    row.map(Job::try_from).transpose()
}

/// Ends a job, its lease with it.
pub(super) fn close(
    c: &mut Connection,
    id: JobId,
    state: JobState,
    error: Option<(&str, &str)>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    diesel::update(jobs::table.find(id.0))
        .set((
            jobs::state.eq(state.as_str()),
            jobs::lease_until.eq(None::<String>),
            jobs::leased_by.eq(None::<String>),
            jobs::error_code.eq(error.map(|it| it.0)),
            jobs::error_message.eq(error.map(|it| crate::store::clipped(it.1))),
            jobs::updated_at.eq(time::text(now)),
            jobs::finished_at.eq(Some(time::text(now))),
        ))
        .prepared()
        .execute(&mut c.db)?;
    deliveries::settle_of(c, id)
}

/// Calls off a job that waits; gives the job as it then stands. A running one is left alone: its
/// worker could not know at once, and a second one must not start beside it.
///
/// # Errors
/// Those of the database.
pub fn cancel(c: &mut Connection, id: JobId, now: DateTime<Utc>) -> Result<Option<Job>, StoreError> {
    let waits = jobs::table.find(id.0).filter(jobs::state.eq(JobState::Queued.as_str()));
    let cancelled = diesel::update(waits).set(jobs::state.eq(JobState::Cancelled.as_str())).execute(&mut c.db)? == 1;
    if cancelled {
        close(c, id, JobState::Cancelled, Some(("cancelled", "called off")), now)?;
    }
    find(c, id)
}

/// Queues a `dead` or `cancelled` job again, with no attempts behind it and due at once; leaves it to
/// an equal one that waits. `None` when there is no such job or it is neither.
///
/// # Errors
/// Those of the database.
pub fn retry(c: &mut Connection, id: JobId, now: DateTime<Utc>) -> Result<Option<Enqueued>, StoreError> {
    let ended = |it: &Job| matches!(it.state, JobState::Dead | JobState::Cancelled);
    let Some(job) = find(c, id)?.filter(ended) else { return Ok(None) };
    c.wake();
    let enqueued = match waiting_equal(c, job.mirror, job.kind)? {
        Some(other) => {
            diesel::update(jobs::table.find(other.id.0))
                .set((
                    jobs::priority.eq(other.priority.max(Priority::ASKED).0),
                    jobs::run_after.eq(time::text(other.run_after.min(now))),
                    jobs::error_code.eq(None::<String>),
                    jobs::updated_at.eq(time::text(now)),
                ))
                .execute(&mut c.db)?;
            deliveries::hand_over(c, id, other.id)?;
            Enqueued { id: other.id, coalesced: true }
        }
        None => {
            let sql = "UPDATE jobs SET state = 'queued', attempts = 0, crashes = 0, priority = $1, run_after = $2, \
                       error_code = NULL, error_message = NULL, finished_at = NULL, updated_at = $2 WHERE id = $3";
            diesel::sql_query(sql)
                .bind::<SmallInt, _>(job.priority.max(Priority::ASKED).0)
                .bind::<Text, _>(time::text(now))
                .bind::<BigInt, _>(id.0)
                .execute(&mut c.db)?;
            Enqueued { id, coalesced: false }
        }
    };
    deliveries::reopen_of(c, enqueued.id)?;
    Ok(Some(enqueued))
}
