//! Who works on what: claims, heartbeats, and what becomes of a lease whose holder is gone.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::domain::ids::{JobId, MirrorId};
use crate::domain::job::{JobKind, JobState};
use crate::store::connection::{Connection, Undone};
use crate::store::error::StoreError;
use crate::store::prepared::Prepare as _;
use crate::store::schema::jobs;
use crate::store::time;

use super::find::find;
use super::queue::{Again, close, put_back};
use super::row::{IdRow, Job, JobRow};

/// A job whose holder was lost so often is `dead` with the code `crashed`: it may be what kills them.
pub const CRASH_LIMIT: u32 = 10;
/// So many losses are taken for chance and cost no pause.
const FREE_CRASHES: u32 = 3;
/// The longest pause after a loss. Seconds.
const LONGEST_PAUSE: i64 = 60;
/// Lost claims before "none now".
const TRIES: u32 = 3;
/// Expired leases freed in one transaction.
const BATCH: u32 = 200;

/// Who claims what.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Who will hold the lease.
    pub worker: &'a str,
    /// The time.
    pub now: DateTime<Utc>,
    /// For how long.
    pub lease: TimeDelta,
    /// Jobs of these kinds.
    pub kinds: &'a [JobKind],
    /// Jobs of these mirrors; `None` is all.
    pub only: Option<&'a [MirrorId]>,
    /// What their last failure says of them.
    pub waits: Waits<'a>,
}

/// Jobs told apart by the code of their last failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits<'a> {
    /// Whatever it is.
    Any,
    /// None of these codes.
    ForNoneOf(&'a [&'a str]),
    /// One of these codes, whether it is due or not.
    ForOneOf(&'a [&'a str]),
}

impl Waits<'_> {
    /// The condition in SQL, of `due`, with the time as `$3`. Codes are words of our own: nothing in them could end
    /// the quotes.
    fn condition(self) -> String {
        let quoted = |codes: &[&str]| codes.iter().map(|it| format!("'{it}'")).collect::<Vec<_>>().join(", ");
        match self {
            Self::Any | Self::ForNoneOf([]) => "due.run_after <= $3".to_owned(),
            Self::ForNoneOf(codes) => {
                let codes = quoted(codes);
                format!("due.run_after <= $3 AND (due.error_code IS NULL OR due.error_code NOT IN ({codes}))")
            }
            Self::ForOneOf([]) => "FALSE".to_owned(),
            Self::ForOneOf(codes) => format!("due.error_code IN ({})", quoted(codes)),
        }
    }
}

/// Takes the most urgent job that is due and whose mirror has none running, and leases it. `None`:
/// nothing to do now.
///
/// # Errors
/// Those of the database.
pub fn claim(
    c: &mut Connection,
    worker: &str,
    now: DateTime<Utc>,
    lease: TimeDelta,
    kinds: &[JobKind],
) -> Result<Option<Job>, StoreError> {
    claim_one(c, &Claim { worker, now, lease, kinds, only: None, waits: Waits::Any })
}

/// As [`claim`], of certain mirrors only.
///
/// # Errors
/// Those of the database.
pub fn claim_one(c: &mut Connection, claim: &Claim<'_>) -> Result<Option<Job>, StoreError> {
    if claim.kinds.is_empty() {
        return Ok(None);
    }
    for _ in 0..TRIES {
        // Two processes may claim two kinds of work for one mirror at once; the unique index lets
        // the first of them through, and the second looks again.
        match c.savepoint(|c| try_claim(c, claim)) {
            Ok(row) => return row.map(Job::try_from).transpose(),
            Err(Undone::Failed(StoreError::Conflict(_))) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

fn try_claim(c: &mut Connection, claim: &Claim<'_>) -> Result<Option<JobRow>, StoreError> {
    let along = c.along("jobs_due");
    // SQLite has one writer at a time, so there is nobody to skip.
    let skip = if c.is_postgres() { "FOR UPDATE SKIP LOCKED" } else { "" };
    let kinds: Vec<String> = claim.kinds.iter().map(|it| format!("'{}'", it.as_str())).collect();
    // Ids are UUIDs: nothing in them could end the quotes.
    let only = claim.only.map(|ids| ids.iter().map(|it| format!("'{it}'")).collect::<Vec<_>>());
    let only = match only {
        None => String::new(),
        Some(ids) if ids.is_empty() => return Ok(None),
        Some(ids) => format!("AND due.mirror_id IN ({})", ids.join(", ")),
    };
    // Nothing is to be found by its kind: all that wait have one of a few, and while Postgres has not counted them yet it
    // would sort them all (93 ms with 100,000).
    let sql = format!(
        "UPDATE jobs SET state = 'running', leased_by = $1, lease_until = $2, updated_at = $3 WHERE id = ( \
             SELECT due.id FROM jobs AS due {along} \
             WHERE due.state = 'queued' AND {} AND due.kind || '' IN ({}) {only} \
               AND NOT EXISTS (SELECT 1 FROM jobs AS other \
                               WHERE other.mirror_id = due.mirror_id AND other.state = 'running') \
             ORDER BY due.priority DESC, due.run_after, due.id LIMIT 1 {skip} \
         ) RETURNING *",
        claim.waits.condition(),
        kinds.join(", ")
    );
    let row = diesel::sql_query(sql)
        .bind::<Text, _>(claim.worker.to_owned())
        .bind::<Text, _>(time::text(claim.now + claim.lease))
        .bind::<Text, _>(time::text(claim.now))
        .get_result(&mut c.db)
        .optional()?;
    Ok(row)
}

/// Prolongs a lease. `false`: it is not `worker`'s any more, and what it does must stop.
///
/// # Errors
/// Those of the database.
pub fn renew(
    c: &mut Connection,
    id: JobId,
    worker: &str,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let held =
        jobs::table.find(id.0).filter(jobs::state.eq(JobState::Running.as_str())).filter(jobs::leased_by.eq(worker));
    let renewed = diesel::update(held)
        .set((jobs::lease_until.eq(Some(time::text(until))), jobs::updated_at.eq(time::text(now))))
        .prepared()
        .execute(&mut c.db)?;
    Ok(renewed == 1)
}

/// Gives jobs whose lease ran out back to everybody; says how many.
///
/// # Errors
/// Those of the database.
pub fn free_expired(c: &mut Connection, now: DateTime<Utc>) -> Result<usize, StoreError> {
    let along = c.along("jobs_leased");
    // The state stands as a literal: SQLite takes a partial index for nothing else.
    let sql = format!(
        "SELECT id FROM jobs {along} WHERE state = 'running' AND lease_until < $1 ORDER BY lease_until LIMIT {BATCH}"
    );
    let rows: Vec<IdRow> = diesel::sql_query(sql).bind::<Text, _>(time::text(now)).load(&mut c.db)?;
    let ids: Vec<i64> = rows.into_iter().map(|it| it.id).collect();
    free(c, &ids, now, |job| job.lease_until.is_none_or(|it| it < now))
}

/// Gives the jobs of all workers whose name starts with `prefix` back to everybody, whatever their
/// lease says: their process is known to be gone. Says how many.
///
/// # Errors
/// Those of the database.
pub fn free_held_by(c: &mut Connection, prefix: &str, now: DateTime<Utc>) -> Result<usize, StoreError> {
    let held: Vec<(i64, Option<String>)> = jobs::table
        .filter(jobs::state.eq(JobState::Running.as_str()))
        .order(jobs::id)
        .select((jobs::id, jobs::leased_by))
        .load(&mut c.db)?;
    let is_theirs = |by: Option<&str>| by.is_none_or(|it| it.starts_with(prefix));
    let ids: Vec<i64> = held.iter().filter(|(_, by)| is_theirs(by.as_deref())).map(|(id, _)| *id).collect();
    free(c, &ids, now, |job| is_theirs(job.leased_by.as_deref()))
}

fn free(
    c: &mut Connection,
    ids: &[i64],
    now: DateTime<Utc>,
    still: impl Fn(&Job) -> bool,
) -> Result<usize, StoreError> {
    let mut freed = 0;
    for id in ids {
        // Taken again under a lock: its holder may just have renewed it or ended it after all.
        let Some(job) = locked(c, JobId(*id))?.filter(|it| it.state == JobState::Running && still(it)) else {
            continue;
        };
        freed += 1;
        let crashes = job.crashes.saturating_add(1);
        if crashes >= CRASH_LIMIT {
            let why = format!("its process was lost {crashes} times while it ran");
            close(c, job.id, JobState::Dead, Some(("crashed", &why)), now)?;
        } else {
            let again =
                Again { run_after: now + pause(crashes), attempts: job.attempts, crashes, error: job.error.clone() };
            put_back(c, &job, &again, now)?;
        }
    }
    Ok(freed)
}

/// The job, not to be changed by anybody else before this transaction ends.
pub(super) fn locked(c: &mut Connection, id: JobId) -> Result<Option<Job>, StoreError> {
    if c.is_postgres() {
        diesel::sql_query("SELECT id FROM jobs WHERE id = $1 FOR UPDATE")
            .bind::<diesel::sql_types::BigInt, _>(id.0)
            .prepared()
            .execute(&mut c.db)?;
    }
    find(c, id)
}

/// A loss is no fault of the job at first. One that keeps happening makes room for the others.
fn pause(crashes: u32) -> TimeDelta {
    match crashes.checked_sub(FREE_CRASHES + 1) {
        None => TimeDelta::zero(),
        Some(doublings) => TimeDelta::seconds((1_i64 << doublings.min(6)).min(LONGEST_PAUSE)),
    }
}
