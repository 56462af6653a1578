//! Calls of the API that were made under an `Idempotency-Key`, and what they were answered.
//!
//! A call is claimed before it is run and settled after it, each in a transaction of its own. A claim that is not
//! settled in time is free for the next one: its process died.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::Text;

use super::connection::Connection;
use super::error::StoreError;
use super::schema::keyed_calls;
use super::time;

/// How long an answer is kept.
pub const LIFETIME: TimeDelta = TimeDelta::days(1);

/// A call that wants to be run.
#[derive(Debug, Clone)]
pub struct Call {
    /// Digest of its caller, route and key.
    pub id: String,
    /// Digest of everything else that makes it the same call.
    pub digest: String,
    /// This run of it.
    pub holder: String,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Location`.
    pub location: Option<String>,
    /// `None` of an answer that is not to be kept.
    pub body: Option<String>,
}

/// What is to be done with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// It is to be run, and settled or dropped after that.
    Run,
    /// The same call was answered.
    Answered(Answer),
    /// The same call is under way, and believed to be until then.
    UnderWay(DateTime<Utc>),
    /// Its key was used for another call.
    Reused,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = keyed_calls)]
struct Row {
    digest: String,
    holder: String,
    held_until: String,
    created_at: String,
    status: Option<i32>,
    content_type: Option<String>,
    location: Option<String>,
    body: Option<String>,
}

/// Claims a call for `patience`. One that began `lifetime` ago or earlier counts as never made.
///
/// # Errors
/// Those of the database.
pub fn claim(
    c: &mut Connection,
    call: &Call,
    (patience, lifetime): (TimeDelta, TimeDelta),
    now: DateTime<Utc>,
) -> Result<Claimed, StoreError> {
    let found = keyed_calls::table.find(&call.id).select(Row::as_select()).first::<Row>(&mut c.db).optional()?;
    let Some(row) = found else {
        insert(c, call, now + patience, now)?;
        return Ok(Claimed::Run);
    };
    let until = time::read(&row.held_until)?;
    let is_over = time::read(&row.created_at)? <= now - lifetime;
    match (row.digest == call.digest, row.status) {
        (false, _) if !is_over => Ok(Claimed::Reused),
        (_, Some(status)) if !is_over => Ok(Claimed::Answered(Answer {
            status: u16::try_from(status).unwrap_or_default(),
            content_type: row.content_type,
            location: row.location,
            body: row.body,
        })),
        (_, None) if until > now => Ok(Claimed::UnderWay(until)),
        _ => {
            // Its run was cut off, or was so long ago that it does not count. Who loses this runs again.
            let same = keyed_calls::table.find(&call.id).filter(keyed_calls::holder.eq(&row.holder));
            diesel::delete(same).execute(&mut c.db)?;
            insert(c, call, now + patience, now)?;
            Ok(Claimed::Run)
        }
    }
}

/// Two at once: the second meets the first one's row as a conflict, runs again, and finds it.
fn insert(c: &mut Connection, call: &Call, until: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), StoreError> {
    diesel::insert_into(keyed_calls::table)
        .values((
            keyed_calls::id.eq(&call.id),
            keyed_calls::digest.eq(&call.digest),
            keyed_calls::holder.eq(&call.holder),
            keyed_calls::held_until.eq(time::text(until)),
            keyed_calls::created_at.eq(time::text(now)),
        ))
        .execute(&mut c.db)?;
    Ok(())
}

/// Writes down what a call was answered, unless its claim was lost.
///
/// # Errors
/// Those of the database.
pub fn settle(c: &mut Connection, call: &Call, answer: &Answer) -> Result<(), StoreError> {
    diesel::update(keyed_calls::table.find(&call.id).filter(keyed_calls::holder.eq(&call.holder)))
        .set((
            keyed_calls::status.eq(Some(i32::from(answer.status))),
            keyed_calls::content_type.eq(&answer.content_type),
            keyed_calls::location.eq(&answer.location),
            keyed_calls::body.eq(&answer.body),
        ))
        .execute(&mut c.db)?;
    Ok(())
}

/// Gives a call up: it may be made anew.
///
/// # Errors
/// Those of the database.
pub fn drop(c: &mut Connection, call: &Call) -> Result<(), StoreError> {
    let ours = keyed_calls::table.find(&call.id).filter(keyed_calls::holder.eq(&call.holder));
    diesel::delete(ours).execute(&mut c.db)?;
    Ok(())
}

/// Forgets calls that began before a time, at most 1,000 at once; says how many.
///
/// # Errors
/// Those of the database.
pub fn prune(c: &mut Connection, before: DateTime<Utc>) -> Result<usize, StoreError> {
    let sql = "DELETE FROM keyed_calls WHERE id IN \
               (SELECT id FROM keyed_calls WHERE created_at < $1 ORDER BY created_at LIMIT 1000)";
    Ok(diesel::sql_query(sql).bind::<Text, _>(time::text(before)).execute(&mut c.db)?)
}
