//! Sessions of the dashboard, and invitations: one-time tickets to the first of them.
//!
//! Whether a session has ended is asked of its row at every use, so signing out counts at once, in every process.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use uuid::Uuid;

use crate::domain::api_key::Scopes;
use crate::domain::session::Ticket;

use super::api_keys::{self, Status};
use super::clipped;
use super::connection::Connection;
use super::error::StoreError;
use super::schema::{invitations, sessions};
use super::time;

/// How long a session is good for.
pub const LIFETIME: TimeDelta = TimeDelta::hours(12);
/// How long an invitation is.
pub const INVITATION: TimeDelta = TimeDelta::hours(1);
/// Sessions of one actor; the oldest ends for one more.
pub const MOST: i64 = 50;

/// What a session was opened with, and ends with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opener {
    /// The admin token: its seal under the session's ticket.
    AdminToken(String),
    /// A key.
    Key(Uuid),
    /// A token of the issuer.
    Issuer,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// What it is found by: [`Ticket::id`].
    pub id: String,
    /// Who has it, as the audit log names him.
    pub actor: String,
    /// What he may do.
    pub scopes: Scopes,
    /// What it was opened with.
    pub opener: Opener,
    /// When that ends.
    pub ends_at: Option<DateTime<Utc>>,
    /// When the session ends, whatever else does.
    pub expires_at: DateTime<Utc>,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = sessions)]
struct Row {
    id: String,
    actor: String,
    scopes: String,
    key_id: Option<String>,
    token_seal: Option<String>,
    ends_at: Option<String>,
    created_at: String,
    expires_at: String,
}

impl TryFrom<Row> for Session {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let opener = match (row.key_id, row.token_seal) {
            (Some(id), _) => Opener::Key(Uuid::try_parse(&id).map_err(|e| StoreError::Corrupt(e.to_string()))?),
            (None, Some(seal)) => Opener::AdminToken(seal),
            (None, None) => Opener::Issuer,
        };
        Ok(Self {
            id: row.id,
            actor: row.actor,
            scopes: row.scopes.parse().map_err(|e| StoreError::Corrupt(format!("sessions.scopes: {e}")))?,
            opener,
            ends_at: time::some(row.ends_at.as_deref())?,
            expires_at: time::read(&row.expires_at)?,
        })
    }
}

/// Opens a session, and ends the oldest of its actor if there are more than [`MOST`].
///
/// # Errors
/// Those of the database.
pub fn open(c: &mut Connection, it: &Session, now: DateTime<Utc>) -> Result<(), StoreError> {
    let (key_id, token_seal) = match &it.opener {
        Opener::Key(id) => (Some(id.to_string()), None),
        Opener::AdminToken(seal) => (None, Some(seal.clone())),
        Opener::Issuer => (None, None),
    };
    let row = Row {
        id: it.id.clone(),
        actor: clipped(&it.actor),
        scopes: it.scopes.to_string(),
        key_id,
        token_seal,
        ends_at: time::some_text(it.ends_at),
        created_at: time::text(now),
        expires_at: time::text(it.expires_at),
    };
    let sql = "DELETE FROM sessions WHERE actor = $1 AND id NOT IN \
               (SELECT id FROM sessions WHERE actor = $1 ORDER BY created_at DESC, id LIMIT $2)";
    diesel::sql_query(sql).bind::<Text, _>(row.actor.clone()).bind::<BigInt, _>(MOST - 1).execute(&mut c.db)?;
    diesel::insert_into(sessions::table).values(row).execute(&mut c.db)?;
    Ok(())
}

/// A session that has not ended, and whose key has not either.
///
/// # Errors
/// Those of the database.
pub fn find(c: &mut Connection, id: &str, now: DateTime<Utc>) -> Result<Option<Session>, StoreError> {
    let row: Option<Row> = sessions::table.find(id).select(Row::as_select()).first(&mut c.db).optional()?;
    let Some(session) = row.map(Session::try_from).transpose()? else { return Ok(None) };
    if session.expires_at <= now || session.ends_at.is_some_and(|it| it <= now) {
        return Ok(None);
    }
    if let Opener::Key(key) = session.opener
        && api_keys::find(c, key)?.is_none_or(|it| it.status(now) != Status::Active)
    {
        return Ok(None);
    }
    Ok(Some(session))
}

/// Ends a session; says whether there was one.
///
/// # Errors
/// Those of the database.
pub fn end(c: &mut Connection, id: &str) -> Result<bool, StoreError> {
    Ok(diesel::delete(sessions::table.find(id)).execute(&mut c.db)? == 1)
}

/// Lets whoever has this ticket open the first session, for [`INVITATION`]; only if nobody can open one with a key of
/// the scope `admin`. Says whether it was made.
///
/// # Errors
/// Those of the database.
pub fn invite(c: &mut Connection, ticket: &Ticket, now: DateTime<Utc>) -> Result<bool, StoreError> {
    if api_keys::is_administered(c, now)? {
        return Ok(false);
    }
    diesel::insert_into(invitations::table)
        .values((invitations::id.eq(ticket.id()), invitations::expires_at.eq(time::text(now + INVITATION))))
        .execute(&mut c.db)?;
    Ok(true)
}

/// Whether somebody is invited by this ticket.
///
/// # Errors
/// Those of the database.
pub fn is_invited(c: &mut Connection, ticket: &Ticket, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let valid = invitations::table.find(ticket.id()).filter(invitations::expires_at.gt(time::text(now)));
    Ok(diesel::select(diesel::dsl::exists(valid)).get_result(&mut c.db)?)
}

/// Uses an invitation up, and all others with it; says whether it was one. Of two at once the second finds nothing.
///
/// # Errors
/// Those of the database.
pub fn accept(c: &mut Connection, ticket: &Ticket, now: DateTime<Utc>) -> Result<bool, StoreError> {
    if api_keys::is_administered(c, now)? {
        return Ok(false);
    }
    // One statement, so that two processes take the rows in the same order, and one of them takes all.
    let sql = "DELETE FROM invitations WHERE EXISTS \
               (SELECT 1 FROM invitations AS own WHERE own.id = $1 AND own.expires_at > $2)";
    let taken =
        diesel::sql_query(sql).bind::<Text, _>(ticket.id()).bind::<Text, _>(time::text(now)).execute(&mut c.db)?;
    Ok(taken > 0)
}

/// Forgets sessions and invitations that have ended, at most 1,000 sessions at once.
///
/// # Errors
/// Those of the database.
pub fn prune(c: &mut Connection, now: DateTime<Utc>) -> Result<(), StoreError> {
    let sql = "DELETE FROM sessions WHERE id IN \
               (SELECT id FROM sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT 1000)";
    diesel::sql_query(sql).bind::<Text, _>(time::text(now)).execute(&mut c.db)?;
    diesel::delete(invitations::table.filter(invitations::expires_at.le(time::text(now)))).execute(&mut c.db)?;
    Ok(())
}
