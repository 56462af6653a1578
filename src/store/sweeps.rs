//! Sweeps over many mirrors at once: when the next one is due, and which process does it.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::Text;

use super::connection::Connection;
use super::error::StoreError;
use super::schema::sweeps;
use super::time;

/// The sweep that asks GitHub for what changed.
pub const UPSTREAMS: &str = "upstreams";

/// Where a sweep stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    /// Not before this.
    pub next_at: DateTime<Utc>,
    /// Until when another process is believed to be at it.
    pub leased_until: Option<DateTime<Utc>>,
    /// How many in a row did not come to their end.
    pub failures: u32,
}

impl Sweep {
    /// Whether one may begin.
    pub fn is_free(&self, now: DateTime<Utc>) -> bool {
        self.next_at <= now && self.leased_until.is_none_or(|it| it < now)
    }
}

/// A sweep by its name; `None` before the first.
///
/// # Errors
/// Those of the database.
pub fn find(c: &mut Connection, name: &str) -> Result<Option<Sweep>, StoreError> {
    let row: Option<(String, Option<String>, i32)> = sweeps::table
        .find(name)
        .select((sweeps::next_at, sweeps::lease_until, sweeps::failures))
        .first(&mut c.db)
        .optional()?;
    let Some((next_at, until, failures)) = row else { return Ok(None) };
    Ok(Some(Sweep {
        next_at: time::read(&next_at)?,
        leased_until: time::some(until.as_deref())?,
        failures: u32::try_from(failures).unwrap_or_default(),
    }))
}

/// Takes a sweep that is due for one process. Says whether it was to be had.
///
/// # Errors
/// Those of the database.
pub fn claim(
    c: &mut Connection,
    name: &str,
    worker: &str,
    lease: TimeDelta,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    diesel::sql_query("INSERT INTO sweeps (name, next_at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
        .bind::<Text, _>(name.to_owned())
        .bind::<Text, _>(time::text(now))
        .execute(&mut c.db)?;
    let free = sweeps::lease_until.is_null().or(sweeps::lease_until.lt(time::text(now)));
    let row = sweeps::table.find(name).filter(sweeps::next_at.le(time::text(now)));
    let claimed = diesel::update(row.filter(free))
        .set((sweeps::leased_by.eq(Some(worker)), sweeps::lease_until.eq(Some(time::text(now + lease)))))
        .execute(&mut c.db)?;
    Ok(claimed == 1)
}

/// Prolongs the lease; `false` when somebody else has it by now.
///
/// # Errors
/// Those of the database.
pub fn renew(c: &mut Connection, name: &str, worker: &str, until: DateTime<Utc>) -> Result<bool, StoreError> {
    let row = sweeps::table.find(name).filter(sweeps::leased_by.eq(worker));
    let renewed = diesel::update(row).set(sweeps::lease_until.eq(Some(time::text(until)))).execute(&mut c.db)?;
    Ok(renewed == 1)
}

/// Gives the lease back; the next sweep may begin at `next_at`. `false` when somebody else has it by now.
///
/// # Errors
/// Those of the database.
pub fn release(
    c: &mut Connection,
    name: &str,
    worker: &str,
    next_at: DateTime<Utc>,
    failures: u32,
) -> Result<bool, StoreError> {
    let row = sweeps::table.find(name).filter(sweeps::leased_by.eq(worker));
    let released = diesel::update(row)
        .set((
            sweeps::next_at.eq(time::text(next_at)),
            sweeps::leased_by.eq(None::<String>),
            sweeps::lease_until.eq(None::<String>),
            sweeps::failures.eq(i32::try_from(failures).unwrap_or(i32::MAX)),
        ))
        .execute(&mut c.db)?;
    Ok(released == 1)
}

/// Gives every lease back whose holder's name starts with `prefix`: its process is known to be gone.
///
/// # Errors
/// Those of the database.
pub fn free_held_by(c: &mut Connection, prefix: &str) -> Result<(), StoreError> {
    let held = sweeps::table.filter(sweeps::leased_by.like(format!("{prefix}%")));
    let free = (sweeps::leased_by.eq(None::<String>), sweeps::lease_until.eq(None::<String>));
    diesel::update(held).set(free).execute(&mut c.db)?;
    Ok(())
}
