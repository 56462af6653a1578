//! The look through an App's deliveries for those that never came in: how far it has come, by which process, and
//! what it found missing.
//!
//! GitHub lists the newest first and they are to be processed the oldest first, so the walk through the list only
//! writes down what is missing; what it wrote down is fetched from here, in order.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::dsl::exists;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::domain::ids::GithubId;

use super::connection::Connection;
use super::deliveries::State;
use super::error::StoreError;
use super::schema::{deliveries, mirrors, missed_deliveries, recoveries};
use super::{clipped, time};

/// The row of an App's look, if it is still this process's.
macro_rules! mine {
    ($app:expr, $worker:expr) => {
        recoveries::table.find($app).filter(recoveries::leased_by.eq($worker))
    };
}

/// How far a look has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The App.
    pub app: i64,
    /// Everything sent before this was looked at.
    pub looked_to: Option<DateTime<Utc>>,
    /// The walk under way.
    pub walk: Option<Walk>,
}

/// A walk through the list, from its newest delivery down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// The newest delivery that it met.
    pub from: DateTime<Utc>,
    /// It ends at deliveries older than this.
    pub to: DateTime<Utc>,
    /// Its next page; `None` when it has met all.
    pub cursor: Option<String>,
}

/// A delivery that the list shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The `X-GitHub-Delivery` header.
    pub guid: String,
    /// GitHub's number, by which its payload is asked for.
    pub id: i64,
    /// The `X-GitHub-Event` header.
    pub event: String,
    /// When it was sent.
    pub at: DateTime<Utc>,
    /// The repository that it is about, where only one with a mirror is of interest.
    pub repository: Option<GithubId>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = recoveries)]
struct Row {
    app_id: i64,
    looked_to: Option<String>,
    walk_from: Option<String>,
    walk_to: Option<String>,
    cursor: Option<String>,
}

/// What an App's look has come to, for the record: when the last one ended, and code and text of what is wrong.
pub type Ended = (Option<DateTime<Utc>>, Option<(String, String)>);

/// Takes a look that is due for one process; `None` when somebody else has it or it is not due. The first is due
/// at once.
///
/// # Errors
/// Those of the database.
pub fn claim(
    c: &mut Connection,
    app: i64,
    worker: &str,
    lease: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Option<Recovery>, StoreError> {
    diesel::sql_query("INSERT INTO recoveries (app_id, next_at) VALUES ($1, $2) ON CONFLICT (app_id) DO NOTHING")
        .bind::<BigInt, _>(app)
        .bind::<Text, _>(time::text(now))
        .execute(&mut c.db)?;
    let free = recoveries::lease_until.is_null().or(recoveries::lease_until.lt(time::text(now)));
    let due = recoveries::table.find(app).filter(recoveries::next_at.le(time::text(now))).filter(free);
    let claimed = diesel::update(due)
        .set((recoveries::leased_by.eq(Some(worker)), recoveries::lease_until.eq(Some(time::text(now + lease)))))
        .execute(&mut c.db)?;
    if claimed == 1 { find(c, app) } else { Ok(None) }
}

/// Whether a look is due that nobody has, so that a claim may succeed.
///
/// # Errors
/// Those of the database.
pub fn is_due(c: &mut Connection, app: i64, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let waits = recoveries::next_at.gt(time::text(now)).or(recoveries::lease_until.ge(time::text(now)));
    let waiting = recoveries::table.find(app).filter(waits.assume_not_null());
    Ok(!diesel::select(exists(waiting)).get_result::<bool>(&mut c.db)?)
}

/// How far the look has come.
///
/// # Errors
/// Those of the database.
pub fn find(c: &mut Connection, app: i64) -> Result<Option<Recovery>, StoreError> {
    let row: Option<Row> = recoveries::table.find(app).select(Row::as_select()).first(&mut c.db).optional()?;
    let Some(Row { app_id, looked_to, walk_from, walk_to, cursor }) = row else { return Ok(None) };
    let walk = match (time::some(walk_from.as_deref())?, time::some(walk_to.as_deref())?) {
        (Some(from), Some(to)) => Some(Walk { from, to, cursor }),
        _ => None,
    };
    Ok(Some(Recovery { app: app_id, looked_to: time::some(looked_to.as_deref())?, walk }))
}

/// When the last look ended, and what is wrong.
///
/// # Errors
/// Those of the database.
pub fn ended(c: &mut Connection, app: i64) -> Result<Ended, StoreError> {
    let columns = (recoveries::ended_at, recoveries::error_code, recoveries::error_message);
    let row: Option<(Option<String>, Option<String>, Option<String>)> =
        recoveries::table.find(app).select(columns).first(&mut c.db).optional()?;
    let (at, code, message) = row.unwrap_or_default();
    Ok((time::some(at.as_deref())?, code.map(|it| (it, message.unwrap_or_default()))))
}

/// Makes a look due at once.
///
/// # Errors
/// Those of the database.
pub fn hasten(c: &mut Connection, app: i64, now: DateTime<Utc>) -> Result<(), StoreError> {
    diesel::update(recoveries::table.find(app)).set(recoveries::next_at.eq(time::text(now))).execute(&mut c.db)?;
    Ok(())
}

/// Prolongs the lease; `false` when somebody else has it by now.
///
/// # Errors
/// Those of the database.
pub fn renew(c: &mut Connection, app: i64, worker: &str, until: DateTime<Utc>) -> Result<bool, StoreError> {
    let renewed = diesel::update(mine!(app, worker)).set(recoveries::lease_until.eq(Some(time::text(until))));
    Ok(renewed.execute(&mut c.db)? == 1)
}

/// Ends a look: the lease is given back, and the next is due at `next_at`. `done_at` if it came to its end.
///
/// # Errors
/// Those of the database.
pub fn release(
    c: &mut Connection,
    app: i64,
    worker: &str,
    next_at: DateTime<Utc>,
    done_at: Option<DateTime<Utc>>,
    error: Option<(&str, &str)>,
) -> Result<(), StoreError> {
    let ended = done_at.map(|it| recoveries::ended_at.eq(Some(time::text(it))));
    diesel::update(mine!(app, worker))
        .set((
            recoveries::next_at.eq(time::text(next_at)),
            recoveries::leased_by.eq(None::<String>),
            recoveries::lease_until.eq(None::<String>),
            ended,
            recoveries::error_code.eq(error.map(|it| it.0)),
            recoveries::error_message.eq(error.map(|it| clipped(it.1))),
        ))
        .execute(&mut c.db)?;
    Ok(())
}

/// Gives every lease back whose holder's name starts with `prefix`: its process is known to be gone.
///
/// # Errors
/// Those of the database.
pub fn free_held_by(c: &mut Connection, prefix: &str) -> Result<(), StoreError> {
    let held = recoveries::table.filter(recoveries::leased_by.like(format!("{prefix}%")));
    let free = (recoveries::leased_by.eq(None::<String>), recoveries::lease_until.eq(None::<String>));
    diesel::update(held).set(free).execute(&mut c.db)?;
    Ok(())
}

/// Writes down what a page showed and how far the walk has come by it; `false`, and nothing is written, when
/// somebody else has the lease. Of what is sent in a page, only what never came in, or came and failed, is missing.
///
/// # Errors
/// Those of the database.
pub fn take_page(
    c: &mut Connection,
    app: i64,
    worker: &str,
    page: &[Sent],
    walk: Option<&Walk>,
) -> Result<bool, StoreError> {
    let moved = diesel::update(mine!(app, worker))
        .set((
            recoveries::walk_from.eq(walk.map(|it| time::text(it.from))),
            recoveries::walk_to.eq(walk.map(|it| time::text(it.to))),
            recoveries::cursor.eq(walk.and_then(|it| it.cursor.clone())),
        ))
        .execute(&mut c.db)?;
    if moved == 0 {
        return Ok(false);
    }
    for it in page {
        if is_missing(c, it)? {
            note(c, it)?;
        }
    }
    Ok(true)
}

/// The walk has met everything: what was sent before its beginning counts as looked at.
///
/// # Errors
/// Those of the database.
pub fn end_walk(c: &mut Connection, app: i64, worker: &str, looked_to: DateTime<Utc>) -> Result<bool, StoreError> {
    let ended = diesel::update(mine!(app, worker))
        .set((
            recoveries::looked_to.eq(Some(time::text(looked_to))),
            recoveries::walk_from.eq(None::<String>),
            recoveries::walk_to.eq(None::<String>),
            recoveries::cursor.eq(None::<String>),
        ))
        .execute(&mut c.db)?;
    Ok(ended == 1)
}

fn is_missing(c: &mut Connection, it: &Sent) -> Result<bool, StoreError> {
    if let Some(repository) = it.repository {
        // A mirror that is younger has seen what the event tells of.
        let its = mirrors::table
            .filter(mirrors::github_id.eq(repository.0))
            .filter(mirrors::created_at.le(time::text(it.at)));
        if !diesel::select(exists(its)).get_result::<bool>(&mut c.db)? {
            return Ok(false);
        }
    }
    let done =
        deliveries::table.filter(deliveries::guid.eq(&it.guid)).filter(deliveries::state.ne(State::Failed.as_str()));
    Ok(!diesel::select(exists(done)).get_result::<bool>(&mut c.db)?)
}

fn note(c: &mut Connection, it: &Sent) -> Result<(), StoreError> {
    let sql = "INSERT INTO missed_deliveries (guid, delivery_id, event, delivered_at) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (guid) DO NOTHING";
    diesel::sql_query(sql)
        .bind::<Text, _>(it.guid.clone())
        .bind::<BigInt, _>(it.id)
        .bind::<Text, _>(clipped(&it.event))
        .bind::<Text, _>(time::text(it.at))
        .execute(&mut c.db)?;
    Ok(())
}

/// The oldest delivery that is still to be fetched.
///
/// # Errors
/// Those of the database.
pub fn next_missed(c: &mut Connection) -> Result<Option<Sent>, StoreError> {
    let row: Option<(String, i64, String, String)> = missed_deliveries::table
        .order((missed_deliveries::delivered_at, missed_deliveries::delivery_id))
        .select((
            missed_deliveries::guid,
            missed_deliveries::delivery_id,
            missed_deliveries::event,
            missed_deliveries::delivered_at,
        ))
        .first(&mut c.db)
        .optional()?;
    let Some((guid, id, event, at)) = row else { return Ok(None) };
    Ok(Some(Sent { guid, id, event, at: time::read(&at)?, repository: None }))
}

/// A missed delivery could not be fetched. Says how often that was so by now.
///
/// # Errors
/// Those of the database.
pub fn failed(c: &mut Connection, guid: &str) -> Result<i32, StoreError> {
    let row = missed_deliveries::table.find(guid);
    diesel::update(row).set(missed_deliveries::failures.eq(missed_deliveries::failures + 1)).execute(&mut c.db)?;
    Ok(row.select(missed_deliveries::failures).first(&mut c.db).optional()?.unwrap_or_default())
}

/// A missed delivery was dealt with.
///
/// # Errors
/// Those of the database.
pub fn dealt_with(c: &mut Connection, guid: &str) -> Result<(), StoreError> {
    diesel::delete(missed_deliveries::table.find(guid)).execute(&mut c.db)?;
    Ok(())
}

/// Whether a process is at it.
///
/// # Errors
/// Those of the database.
pub fn is_under_way(c: &mut Connection, app: i64) -> Result<bool, StoreError> {
    let held = recoveries::table.find(app).filter(recoveries::leased_by.is_not_null());
    Ok(diesel::select(exists(held)).get_result(&mut c.db)?)
}
