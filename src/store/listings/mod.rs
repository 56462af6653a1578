//! Batches and sources: lists of repositories that are walked page by page, by which process, how far, and what
//! they held.

mod declared;
mod view;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};
use serde::de::DeserializeOwned;

use crate::domain::ids::CorrelationId;
use crate::domain::listing::{Finding, Walk, What};
use crate::domain::repository::Repository;

use super::connection::Connection;
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::schema::listings;
use super::{clipped, time};

pub use declared::{declare, declared, is_declared, rewind};
pub use view::{BatchState, BatchView, view};

/// A walk's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Its UUID.
    pub id: String,
    /// What is listed.
    pub wanted: What,
    /// Only a plan is asked for.
    pub dry_run: bool,
    /// How far the walk has come.
    pub walk: Walk,
    /// When it goes on; `None` when nothing is left to walk.
    pub next_at: Option<DateTime<Utc>>,
    /// When the whole list was last read.
    pub whole_at: Option<DateTime<Utc>>,
    /// Tries in a row that failed.
    pub failures: u32,
    /// Code and text of what is wrong, and since when.
    pub error: Option<(String, String, DateTime<Utc>)>,
    /// Follows the work through every log line.
    pub correlation: CorrelationId,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = listings)]
struct Row {
    id: String,
    wanted: String,
    dry_run: bool,
    walk: String,
    next_at: Option<String>,
    whole_at: Option<String>,
    failures: i32,
    error_code: Option<String>,
    error_message: Option<String>,
    error_since: Option<String>,
    correlation_id: String,
    created_at: String,
}

fn parsed<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(format!("a listing is not understood: {error}")))
}

fn text(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Refused(error.to_string()))
}

impl TryFrom<Row> for Listing {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let correlation = row.correlation_id.parse().map(CorrelationId);
        Ok(Self {
            id: row.id,
            wanted: parsed(&row.wanted)?,
            dry_run: row.dry_run,
            walk: parsed(&row.walk)?,
            next_at: time::some(row.next_at.as_deref())?,
            whole_at: time::some(row.whole_at.as_deref())?,
            failures: u32::try_from(row.failures).unwrap_or_default(),
            error: match (row.error_code, time::some(row.error_since.as_deref())?) {
                (Some(code), Some(since)) => Some((code, row.error_message.unwrap_or_default(), since)),
                _ => None,
            },
            correlation: correlation.map_err(|error| StoreError::Corrupt(format!("a correlation id: {error}")))?,
            created_at: time::read(&row.created_at)?,
        })
    }
}

/// A batch that is asked for.
#[derive(Debug, Clone)]
pub struct NewBatch {
    /// Its UUID, used unless there is such a batch already.
    pub id: String,
    /// What to list.
    pub wanted: What,
    /// Only a plan.
    pub dry_run: bool,
    /// The same key again means the same batch.
    pub key: Option<String>,
    /// Follows the work.
    pub correlation: CorrelationId,
}

/// Asks for a batch. One of that key is given as it is, whatever it lists; without a key, one of the same wish
/// that is not read to its end yet. Says whether a new one was made. One that has failed goes on.
///
/// Two calls at once with one new key: the one that loses runs again, and finds the other's.
///
/// # Errors
/// Those of the database.
pub fn ask(c: &mut Connection, new: &NewBatch, now: DateTime<Utc>) -> Result<(Listing, bool), StoreError> {
    let wanted = text(&new.wanted)?;
    let open = listings::table
        .filter(listings::wanted.eq(&wanted).and(listings::dry_run.eq(new.dry_run)))
        .filter(listings::whole_at.is_null());
    let known: Option<String> = match &new.key {
        Some(key) => listings::table.filter(listings::idempotency.eq(key)).select(listings::id).first(&mut c.db),
        None => open.select(listings::id).first(&mut c.db),
    }
    .optional()?;
    if let Some(id) = known {
        let failed = listings::table.find(&id).filter(listings::whole_at.is_null().and(listings::next_at.is_null()));
        diesel::update(failed.filter(listings::wanted.eq(&wanted).and(listings::dry_run.eq(new.dry_run))))
            .set(listings::next_at.eq(Some(time::text(now))))
            .execute(&mut c.db)?;
        return Ok((expect(c, &id)?, false));
    }
    diesel::insert_into(listings::table)
        .values((
            listings::id.eq(&new.id),
            listings::wanted.eq(&wanted),
            listings::idempotency.eq(new.key.as_deref()),
            listings::dry_run.eq(new.dry_run),
            listings::next_at.eq(Some(time::text(now))),
            listings::correlation_id.eq(new.correlation.to_string()),
            listings::created_at.eq(time::text(now)),
        ))
        .execute(&mut c.db)?;
    Ok((expect(c, &new.id)?, true))
}

fn expect(c: &mut Connection, id: &str) -> Result<Listing, StoreError> {
    find(c, id)?.ok_or_else(|| StoreError::Race(format!("the listing {id} went meanwhile")))
}

/// One by its id.
///
/// # Errors
/// Those of the database.
pub fn find(c: &mut Connection, id: &str) -> Result<Option<Listing>, StoreError> {
    let row: Option<Row> = listings::table.find(id).select(Row::as_select()).first(&mut c.db).optional()?;
    row.map(Listing::try_from).transpose()
}

/// What is due and free, the longest due first, a few at once.
///
/// # Errors
/// Those of the database.
pub fn due(c: &mut Connection, now: DateTime<Utc>) -> Result<Vec<String>, StoreError> {
    let free = listings::lease_until.is_null().or(listings::lease_until.lt(time::text(now)));
    let due = listings::table.filter(listings::next_at.le(time::text(now))).filter(free);
    Ok(due.order((listings::next_at, listings::id)).limit(10).select(listings::id).load(&mut c.db)?)
}

/// Takes a walk that is due for one process; `None` when somebody else has it or it is not due.
///
/// # Errors
/// Those of the database.
pub fn claim(
    c: &mut Connection,
    id: &str,
    worker: &str,
    lease: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Option<Listing>, StoreError> {
    let free = listings::lease_until.is_null().or(listings::lease_until.lt(time::text(now)));
    let due = listings::table.find(id).filter(listings::next_at.le(time::text(now))).filter(free);
    let claimed = diesel::update(due)
        .set((listings::leased_by.eq(Some(worker)), listings::lease_until.eq(Some(time::text(now + lease)))))
        .execute(&mut c.db)?;
    if claimed == 1 { find(c, id) } else { Ok(None) }
}

/// Changes the row of a walk, if it is still this process's; says whether it is.
macro_rules! change {
    ($c:expr, $id:expr, $worker:expr, $($change:expr),+ $(,)?) => {
        diesel::update(listings::table.find($id).filter(listings::leased_by.eq($worker)))
            .set(($($change,)+))
            .execute(&mut $c.db)
            .map(|rows| rows == 1)
            .map_err(StoreError::from)
    };
}

/// Prolongs the lease; `false` when somebody else has it by now.
///
/// # Errors
/// Those of the database.
pub fn renew(c: &mut Connection, id: &str, worker: &str, until: DateTime<Utc>) -> Result<bool, StoreError> {
    change!(c, id, worker, listings::lease_until.eq(Some(time::text(until))))
}

/// Gives the lease back; the walk goes on at `next_at`. `false` when somebody else has it by now.
///
/// # Errors
/// Those of the database.
pub fn release(c: &mut Connection, id: &str, worker: &str, next_at: Option<DateTime<Utc>>) -> Result<bool, StoreError> {
    change!(
        c,
        id,
        worker,
        listings::next_at.eq(time::some_text(next_at)),
        listings::leased_by.eq(None::<String>),
        listings::lease_until.eq(None::<String>),
    )
}

/// Gives every lease back whose holder's name starts with `prefix`: its process is known to be gone.
///
/// # Errors
/// Those of the database.
pub fn free_held_by(c: &mut Connection, prefix: &str) -> Result<(), StoreError> {
    let held = listings::table.filter(listings::leased_by.like(format!("{prefix}%")));
    let free = (listings::leased_by.eq(None::<String>), listings::lease_until.eq(None::<String>));
    diesel::update(held).set(free).execute(&mut c.db)?;
    Ok(())
}

/// Remembers how far the walk has come.
///
/// # Errors
/// Those of the database.
pub fn set_walk(c: &mut Connection, id: &str, worker: &str, walk: &Walk) -> Result<bool, StoreError> {
    let walk = text(walk)?;
    change!(c, id, worker, listings::walk.eq(walk), listings::failures.eq(0))
}

/// The whole list was read.
///
/// # Errors
/// Those of the database.
pub fn end(c: &mut Connection, id: &str, worker: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
    change!(
        c,
        id,
        worker,
        listings::whole_at.eq(Some(time::text(now))),
        listings::failures.eq(0),
        listings::error_code.eq(None::<String>),
        listings::error_message.eq(None::<String>),
        listings::error_since.eq(None::<String>),
    )
}

/// It failed; `since` stays while the reason does. Says whether the reason is a new one.
///
/// # Errors
/// Those of the database.
pub fn failed(
    c: &mut Connection,
    id: &str,
    worker: &str,
    error: (&str, &str),
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let Some(before) = find(c, id)? else { return Ok(false) };
    let (code, message) = error;
    let known = before.error.as_ref().filter(|it| it.0 == code).map(|it| it.2);
    let failures = i32::try_from(before.failures.saturating_add(1)).unwrap_or(i32::MAX);
    let changed = change!(
        c,
        id,
        worker,
        listings::failures.eq(failures),
        listings::error_code.eq(Some(code)),
        listings::error_message.eq(Some(clipped(message))),
        listings::error_since.eq(Some(time::text(known.unwrap_or(now)))),
    )?;
    Ok(changed && known.is_none())
}

/// Whether the lease is still this process's.
///
/// # Errors
/// Those of the database.
pub fn is_held(c: &mut Connection, id: &str, worker: &str) -> Result<bool, StoreError> {
    let its = listings::table.filter(listings::id.eq(id)).filter(listings::leased_by.eq(worker));
    Ok(diesel::select(diesel::dsl::exists(its)).get_result(&mut c.db)?)
}

#[derive(QueryableByName)]
struct Fresh {
    #[diesel(sql_type = Bool)]
    fresh: bool,
}

/// Notes that a walk met a repository. Says whether it was not on the list before.
///
/// # Errors
/// Those of the database.
pub fn note(
    c: &mut Connection,
    listing: &Listing,
    repository: &Repository,
    finding: Finding,
) -> Result<bool, StoreError> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM listed WHERE listing = $1 AND github_id = $2) AS fresh";
    let Fresh { fresh } = diesel::sql_query(sql)
        .bind::<Text, _>(listing.id.clone())
        .bind::<BigInt, _>(repository.id.0)
        .prepared()
        .get_result(&mut c.db)?;
    let sql = "INSERT INTO listed (listing, github_id, owner, name, size_kib, finding) \
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (listing, github_id) DO UPDATE SET \
               owner = excluded.owner, name = excluded.name, size_kib = excluded.size_kib";
    diesel::sql_query(sql)
        .bind::<Text, _>(listing.id.clone())
        .bind::<BigInt, _>(repository.id.0)
        .bind::<Text, _>(repository.name.owner().to_owned())
        .bind::<Text, _>(repository.name.name().to_owned())
        .bind::<BigInt, _>(repository.size_kib)
        .bind::<Text, _>(finding.as_str().to_owned())
        .prepared()
        .execute(&mut c.db)?;
    Ok(fresh)
}

/// Forgets one batch that was asked for before `before` and is not read any more, with what it listed: a list may be
/// long.
///
/// # Errors
/// Those of the database.
pub fn prune(c: &mut Connection, before: DateTime<Utc>) -> Result<(), StoreError> {
    let old = listings::table.filter(listings::created_at.lt(time::text(before)).and(listings::next_at.is_null()));
    let id: Option<String> = old.select(listings::id).first(&mut c.db).optional()?;
    if let Some(id) = id {
        diesel::delete(listings::table.find(id)).execute(&mut c.db)?;
    }
    Ok(())
}
