//! LFS objects of each mirror: which its pointer files name, and where each stands.
//!
//! What a scan found is committed before the refs that need it are pushed; that an object is about to be
//! written, before its first byte goes out. After a crash an object that is still `uploading` is not
//! believed, whatever OneDev says of it. Many go in one statement, as JSON that the database takes apart.

pub mod reach;
mod standing;

pub(super) use standing::tell;
pub use standing::{listed, there, there_among};

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::domain::ids::MirrorId;
use crate::domain::lfs::{ObjectState, Pointer};
use crate::domain::refs::Oid;

use super::connection::Connection;
use super::error::StoreError;
use super::mirrors;
use super::page::{Page, Window};
use super::prepared::Prepare as _;
use super::schema::{lfs_garbage, lfs_objects};
use super::{clipped, time};

/// The origin of objects that files of the repository name: those that a sync brings.
pub const POINTER: &str = "pointer";

/// Rows in one statement.
const AT_ONCE: usize = 2_000;

/// An object of a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LfsObject {
    /// What the pointer says.
    pub pointer: Pointer,
    /// [`POINTER`], or the word of who brought it.
    pub origin: String,
    /// Where it stands.
    pub state: ObjectState,
    /// Why it is not there.
    pub reason: Option<String>,
    /// Tries that failed since it was last there.
    pub attempts: u32,
    /// When it is tried again; `None`: at once.
    pub next_try_at: Option<DateTime<Utc>>,
    /// Some ref of upstream needs it. One that none needs is tried again too, and not missed.
    pub reachable: bool,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = lfs_objects)]
struct Row {
    oid: String,
    size: i64,
    origin: String,
    state: String,
    reason: Option<String>,
    attempts: i32,
    next_try_at: Option<String>,
    reachable: bool,
}

impl TryFrom<Row> for LfsObject {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let oid = row.oid.parse().map_err(|e| StoreError::Corrupt(format!("{e}")))?;
        Ok(Self {
            pointer: Pointer { oid, size: u64::try_from(row.size).unwrap_or_default() },
            origin: row.origin,
            state: row.state.parse()?,
            reason: row.reason,
            attempts: u32::try_from(row.attempts).unwrap_or_default(),
            next_try_at: time::some(row.next_try_at.as_deref())?,
            reachable: row.reachable,
        })
    }
}

/// Whether a mirror has LFS objects at all, or pointers that cannot be read.
///
/// # Errors
/// Those of the database.
pub fn is_used(c: &mut Connection, mirror: MirrorId) -> Result<bool, StoreError> {
    let objects = lfs_objects::table.filter(lfs_objects::mirror_id.eq(mirror.to_string()));
    let garbage = lfs_garbage::table.filter(lfs_garbage::mirror_id.eq(mirror.to_string()));
    Ok(diesel::select(diesel::dsl::exists(objects)).get_result(&mut c.db)?
        || diesel::select(diesel::dsl::exists(garbage)).get_result(&mut c.db)?)
}

/// Says that everything that was mirrored was searched for pointers, or that a part passed unseen.
///
/// # Errors
/// Those of the database.
pub fn set_whole(c: &mut Connection, mirror: MirrorId, whole: bool) -> Result<(), StoreError> {
    let sql = "INSERT INTO lfs_scans (mirror_id, whole, doubted) VALUES ($1, $2, FALSE) \
               ON CONFLICT (mirror_id) DO UPDATE SET whole = excluded.whole";
    diesel::sql_query(sql)
        .bind::<Text, _>(mirror.to_string())
        .bind::<diesel::sql_types::Bool, _>(whole)
        .execute(&mut c.db)?;
    Ok(())
}

/// Records what a scan found; what is known already stays as it is. An object that no ref needed for a
/// while is tried at once.
///
/// # Errors
/// Those of the database.
pub fn found<'a>(
    c: &mut Connection,
    mirror: MirrorId,
    pointers: impl IntoIterator<Item = &'a Pointer>,
    garbage: &BTreeMap<Oid, &'static str>,
) -> Result<(), StoreError> {
    let pointers = pointers.into_iter().map(|it| (it.oid.to_string(), it.size.to_string()));
    each(
        c,
        mirror,
        &pointers.collect::<Vec<_>>(),
        "INSERT INTO lfs_objects (mirror_id, oid, size, state) \
         SELECT mirror, a, CAST(b AS BIGINT), 'wanted' FROM given WHERE true \
         ON CONFLICT (mirror_id, oid, size) DO UPDATE SET origin = 'pointer', reachable = TRUE, \
         next_try_at = CASE WHEN lfs_objects.reachable THEN lfs_objects.next_try_at ELSE NULL END",
    )?;
    let garbage = garbage.iter().map(|(oid, why)| (oid.to_string(), (*why).to_owned()));
    each(
        c,
        mirror,
        &garbage.collect::<Vec<_>>(),
        "INSERT INTO lfs_garbage (mirror_id, blob, reason) \
         SELECT mirror, a, b FROM given WHERE true ON CONFLICT (mirror_id, blob) DO NOTHING",
    )
}

/// One object, made known with an origin of its own if it is not.
///
/// # Errors
/// Those of the database.
pub fn ensure(c: &mut Connection, mirror: MirrorId, object: Pointer, origin: &str) -> Result<LfsObject, StoreError> {
    let (size, state) = (i64::try_from(object.size).unwrap_or(i64::MAX), ObjectState::Wanted.as_str().to_owned());
    let sql = "INSERT INTO lfs_objects (mirror_id, oid, size, origin, state) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (mirror_id, oid, size) DO NOTHING";
    diesel::sql_query(sql)
        .bind::<Text, _>(mirror.to_string())
        .bind::<Text, _>(object.oid.to_string())
        .bind::<BigInt, _>(size)
        .bind::<Text, _>(origin.to_owned())
        .bind::<Text, _>(state)
        .prepared()
        .execute(&mut c.db)?;
    let row: Row = lfs_objects::table
        .find((mirror.to_string(), object.oid.to_string(), size))
        .select(Row::as_select())
        .first(&mut c.db)?;
    row.try_into()
}

/// Objects that are not there and whose time has come, those never tried first.
///
/// # Errors
/// Those of the database.
pub fn due(c: &mut Connection, mirror: MirrorId, now: DateTime<Utc>, limit: u32) -> Result<Vec<LfsObject>, StoreError> {
    let is_due = lfs_objects::next_try_at.is_null().or(lfs_objects::next_try_at.le(time::text(now)));
    let rows: Vec<Row> = lfs_objects::table
        .filter(lfs_objects::mirror_id.eq(mirror.to_string()))
        .filter(lfs_objects::state.ne(ObjectState::There.as_str()))
        .filter(lfs_objects::origin.eq(POINTER))
        .filter(is_due)
        .order((lfs_objects::attempts.asc(), lfs_objects::oid.asc(), lfs_objects::size.asc()))
        .limit(i64::from(limit))
        .select(Row::as_select())
        .load(&mut c.db)?;
    rows.into_iter().map(LfsObject::try_from).collect()
}

/// Commits to writing these.
///
/// # Errors
/// Those of the database.
pub fn begin(c: &mut Connection, mirror: MirrorId, objects: &[Pointer]) -> Result<(), StoreError> {
    let rows = keys(objects);
    each(
        c,
        mirror,
        &rows,
        "UPDATE lfs_objects SET state = 'uploading' FROM given \
         WHERE mirror_id = mirror AND oid = a AND size = CAST(b AS BIGINT)",
    )
}

/// These are there.
///
/// # Errors
/// Those of the database.
pub fn arrived(c: &mut Connection, mirror: MirrorId, objects: &[Pointer]) -> Result<(), StoreError> {
    let rows = keys(objects);
    each(
        c,
        mirror,
        &rows,
        "UPDATE lfs_objects SET state = 'there', reason = NULL, attempts = 0, next_try_at = NULL \
         FROM given WHERE mirror_id = mirror AND oid = a AND size = CAST(b AS BIGINT)",
    )
}

/// This one could not be brought. `state` is [`ObjectState::Uploading`] where bytes of it may have been
/// written.
///
/// # Errors
/// Those of the database.
pub fn failed(
    c: &mut Connection,
    mirror: MirrorId,
    object: Pointer,
    state: ObjectState,
    reason: &str,
    next_try_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let size = i64::try_from(object.size).unwrap_or(i64::MAX);
    diesel::update(lfs_objects::table.find((mirror.to_string(), object.oid.to_string(), size)))
        .set((
            lfs_objects::state.eq(state.as_str()),
            lfs_objects::reason.eq(Some(clipped(reason))),
            lfs_objects::attempts.eq(lfs_objects::attempts + 1),
            lfs_objects::next_try_at.eq(Some(time::text(next_try_at))),
        ))
        .execute(&mut c.db)?;
    Ok(())
}

/// These are not in OneDev though they were: they are wanted again, at once.
///
/// # Errors
/// Those of the database.
pub fn lost(c: &mut Connection, mirror: MirrorId, objects: &[Pointer]) -> Result<(), StoreError> {
    let rows = keys(objects);
    each(
        c,
        mirror,
        &rows,
        "UPDATE lfs_objects SET state = 'wanted', next_try_at = NULL \
         FROM given WHERE mirror_id = mirror AND oid = a AND size = CAST(b AS BIGINT)",
    )
}

/// Everything that is not there is tried at once, whatever its time.
///
/// # Errors
/// Those of the database.
pub fn try_all(c: &mut Connection, mirror: MirrorId) -> Result<(), StoreError> {
    diesel::update(lfs_objects::table)
        .filter(lfs_objects::mirror_id.eq(mirror.to_string()))
        .filter(lfs_objects::state.ne(ObjectState::There.as_str()))
        .set(lfs_objects::next_try_at.eq(None::<String>))
        .execute(&mut c.db)?;
    Ok(())
}

/// All that is missed, at most `limit`, and how many there are; then the unreadable pointers.
///
/// # Errors
/// Those of the database.
#[expect(clippy::type_complexity, reason = "two lists and a count")]
pub fn open(
    c: &mut Connection,
    mirror: MirrorId,
    limit: u32,
) -> Result<(Vec<LfsObject>, u64, Vec<(Oid, String)>), StoreError> {
    let its = || {
        lfs_objects::table
            .filter(lfs_objects::mirror_id.eq(mirror.to_string()))
            .filter(lfs_objects::state.ne(ObjectState::There.as_str()))
            .filter(lfs_objects::origin.eq(POINTER))
            .filter(lfs_objects::reachable)
    };
    let rows: Vec<Row> = its()
        .order((lfs_objects::oid.asc(), lfs_objects::size.asc()))
        .limit(i64::from(limit))
        .select(Row::as_select())
        .load(&mut c.db)?;
    let count: i64 = its().count().get_result(&mut c.db)?;
    let garbage: Vec<(String, String)> = lfs_garbage::table
        .filter(lfs_garbage::mirror_id.eq(mirror.to_string()))
        .order(lfs_garbage::blob.asc())
        .limit(i64::from(limit))
        .select((lfs_garbage::blob, lfs_garbage::reason))
        .load(&mut c.db)?;
    let garbage = garbage.into_iter().map(|(blob, why)| Ok((mirrors::oid(&blob)?, why)));
    Ok((
        rows.into_iter().map(LfsObject::try_from).collect::<Result<_, _>>()?,
        u64::try_from(count).unwrap_or_default(),
        garbage.collect::<Result<_, StoreError>>()?,
    ))
}

/// When the first object that is missed is tried again; `None` if all are there.
///
/// # Errors
/// Those of the database.
pub fn next_try(c: &mut Connection, mirror: MirrorId, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, StoreError> {
    let its = || {
        lfs_objects::table
            .filter(lfs_objects::mirror_id.eq(mirror.to_string()))
            .filter(lfs_objects::state.ne(ObjectState::There.as_str()))
            .filter(lfs_objects::origin.eq(POINTER))
            .filter(lfs_objects::reachable)
    };
    let untried: i64 = its().filter(lfs_objects::next_try_at.is_null()).count().get_result(&mut c.db)?;
    if untried > 0 {
        return Ok(Some(now));
    }
    let first: Option<String> = its().select(diesel::dsl::min(lfs_objects::next_try_at)).first(&mut c.db)?;
    time::some(first.as_deref())
}

/// Objects of a mirror by id and size.
///
/// # Errors
/// [`StoreError::Cursor`]; those of the database.
pub fn list(c: &mut Connection, mirror: MirrorId, window: &Window) -> Result<Page<LfsObject>, StoreError> {
    let mut query =
        lfs_objects::table.filter(lfs_objects::mirror_id.eq(mirror.to_string())).select(Row::as_select()).into_boxed();
    if let Some(after) = window.after::<String>()? {
        let (oid, size) = after.rsplit_once('-').ok_or(StoreError::Cursor)?;
        let (oid, size) = (oid.to_owned(), size.parse::<i64>().map_err(|_| StoreError::Cursor)?);
        let same = lfs_objects::oid.eq(oid.clone()).and(lfs_objects::size.gt(size));
        query = query.filter(lfs_objects::oid.gt(oid).or(same));
    }
    let order = (lfs_objects::oid.asc(), lfs_objects::size.asc());
    let rows: Vec<Row> = query.order(order).limit(window.fetch()).load(&mut c.db)?;
    window.page(rows, |it| format!("{}-{}", it.oid, it.size), LfsObject::try_from)
}

fn keys(objects: &[Pointer]) -> Vec<(String, String)> {
    objects.iter().map(|it| (it.oid.to_string(), it.size.to_string())).collect()
}

/// A query that takes a JSON array of pairs, `$2`, apart: `(mirror, a, b)` for each.
fn given(c: &Connection) -> &'static str {
    if c.is_postgres() {
        "SELECT $1::text AS mirror, r->>0 AS a, r->>1 AS b FROM json_array_elements($2::json) AS r"
    } else {
        "SELECT $1 AS mirror, value->>0 AS a, value->>1 AS b FROM json_each($2)"
    }
}

/// Runs one statement over `given (mirror, a, b)`, some thousand at once.
fn each(c: &mut Connection, mirror: MirrorId, rows: &[(String, String)], statement: &str) -> Result<(), StoreError> {
    let statement = format!("WITH given AS ({}) {statement}", given(c));
    for some in rows.chunks(AT_ONCE) {
        let json = serde_json::to_string(some).map_err(|e| StoreError::Refused(e.to_string()))?;
        diesel::sql_query(&statement)
            .bind::<Text, _>(mirror.to_string())
            .bind::<Text, _>(json)
            .prepared()
            .execute(&mut c.db)?;
    }
    Ok(())
}
