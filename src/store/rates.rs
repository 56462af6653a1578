//! What GitHub said of each credential's allowance, and the pauses it asked for: a restart must not make
//! starkeep knock on a door that was closed.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};

use crate::domain::rate::{Standing, Window};

use super::connection::Connection;
use super::error::StoreError;
use super::schema::rate_limits;
use super::time;

/// The word for a pause of everything.
const ALL: &str = "all";
/// What was not touched for so long says nothing any more.
const LIFE: TimeDelta = TimeDelta::hours(2);

#[derive(Queryable, Selectable)]
#[diesel(table_name = rate_limits)]
struct Row {
    credential: String,
    resource: String,
    quota: Option<i64>,
    remaining: Option<i64>,
    resets_at: Option<String>,
    closed_until: Option<String>,
    refusals: i32,
}

/// Remembers what is known by now, in place of what was known, and forgets what is old.
///
/// # Errors
/// Those of the database.
pub fn save(c: &mut Connection, standings: &[Standing], now: DateTime<Utc>) -> Result<(), StoreError> {
    diesel::delete(rate_limits::table.filter(rate_limits::updated_at.lt(time::text(now - LIFE)))).execute(&mut c.db)?;
    let sql = "INSERT INTO rate_limits (credential, resource, quota, remaining, resets_at, closed_until, refusals, \
               updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (credential, resource) DO UPDATE SET \
               quota = excluded.quota, remaining = excluded.remaining, resets_at = excluded.resets_at, \
               closed_until = excluded.closed_until, refusals = excluded.refusals, updated_at = excluded.updated_at";
    for it in standings {
        diesel::sql_query(sql)
            .bind::<Text, _>(it.credential.clone())
            .bind::<Text, _>(it.resource.map_or(ALL, |it| it.as_str()))
            .bind::<Nullable<BigInt>, _>(it.window.map(|it| i64::from(it.limit)))
            .bind::<Nullable<BigInt>, _>(it.window.map(|it| i64::from(it.remaining)))
            .bind::<Nullable<Text>, _>(time::some_text(it.window.map(|it| it.resets_at)))
            .bind::<Nullable<Text>, _>(time::some_text(it.closed_until))
            .bind::<Integer, _>(i32::try_from(it.refusals).unwrap_or(i32::MAX))
            .bind::<Text, _>(time::text(now))
            .execute(&mut c.db)?;
    }
    Ok(())
}

/// Everything that is remembered.
///
/// # Errors
/// Those of the database.
pub fn load(c: &mut Connection) -> Result<Vec<Standing>, StoreError> {
    let rows: Vec<Row> = rate_limits::table
        .order((rate_limits::credential, rate_limits::resource))
        .select(Row::as_select())
        .load(&mut c.db)?;
    rows.into_iter().map(Standing::try_from).collect()
}

impl TryFrom<Row> for Standing {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let number = |it: i64| u32::try_from(it).unwrap_or_default();
        let window = match (row.quota, row.remaining, time::some(row.resets_at.as_deref())?) {
            (Some(limit), Some(remaining), Some(resets_at)) => {
                Some(Window { limit: number(limit), remaining: number(remaining), resets_at })
            }
            _ => None,
        };
        Ok(Self {
            credential: row.credential,
            resource: if row.resource == ALL { None } else { Some(row.resource.parse()?) },
            window,
            closed_until: time::some(row.closed_until.as_deref())?,
            refusals: u32::try_from(row.refusals).unwrap_or_default(),
        })
    }
}
