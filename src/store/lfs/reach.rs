//! Which objects upstream's refs still need, and where upstream says that its objects are kept.
//!
//! Only a ref that goes or is forced can take the need for an object away. That it happened is committed
//! before it does; the answer is looked for once objects are missed.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::{POINTER, each, keys};
use crate::domain::ids::MirrorId;
use crate::domain::lfs::{ObjectState, Pointer};
use crate::domain::refs::Oid;
use crate::store::connection::Connection;
use crate::store::error::StoreError;
use crate::store::schema::{lfs_garbage, lfs_objects, lfs_scans};
use crate::store::time;

/// More missed objects than this are not judged at once.
const MOST: i64 = 1_000_000;

/// What is known of a mirror's LFS as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// Everything that was mirrored was searched for pointers.
    pub whole: bool,
    /// Refs went, or were forced, since it was last asked which objects the others need.
    pub doubted: bool,
    /// When that was last begun.
    pub searched_at: Option<DateTime<Utc>>,
    /// Where upstream says that its objects are kept; empty: at upstream. `None`: nobody asked yet.
    pub elsewhere: Option<String>,
}

/// `None` before the first look.
///
/// # Errors
/// Those of the database.
pub fn find(c: &mut Connection, mirror: MirrorId) -> Result<Option<Scan>, StoreError> {
    type Row = (bool, bool, Option<String>, Option<String>);
    let columns = (lfs_scans::whole, lfs_scans::doubted, lfs_scans::searched_at, lfs_scans::elsewhere);
    let row: Option<Row> = lfs_scans::table.find(mirror.to_string()).select(columns).first(&mut c.db).optional()?;
    row.map(|(whole, doubted, at, elsewhere)| {
        Ok(Scan { whole, doubted, searched_at: time::some(at.as_deref())?, elsewhere })
    })
    .transpose()
}

/// Refs are about to go, or to be forced.
///
/// # Errors
/// Those of the database.
pub fn doubt(c: &mut Connection, mirror: MirrorId) -> Result<(), StoreError> {
    diesel::update(lfs_scans::table.find(mirror.to_string())).set(lfs_scans::doubted.eq(true)).execute(&mut c.db)?;
    Ok(())
}

/// It is about to be asked which objects the refs need.
///
/// # Errors
/// Those of the database.
pub fn begin_search(c: &mut Connection, mirror: MirrorId, now: DateTime<Utc>) -> Result<(), StoreError> {
    diesel::update(lfs_scans::table.find(mirror.to_string()))
        .set(lfs_scans::searched_at.eq(Some(time::text(now))))
        .execute(&mut c.db)?;
    Ok(())
}

/// Objects that were tried in vain and count as needed.
///
/// # Errors
/// Those of the database.
pub fn missed(c: &mut Connection, mirror: MirrorId) -> Result<BTreeSet<Pointer>, StoreError> {
    let rows: Vec<(String, i64)> = lfs_objects::table
        .filter(lfs_objects::mirror_id.eq(mirror.to_string()))
        .filter(lfs_objects::state.ne(ObjectState::There.as_str()))
        .filter(lfs_objects::origin.eq(POINTER))
        .filter(lfs_objects::attempts.gt(0))
        .filter(lfs_objects::reachable)
        .limit(MOST)
        .select((lfs_objects::oid, lfs_objects::size))
        .load(&mut c.db)?;
    let pointer = |(oid, size): (String, i64)| {
        let oid = oid.parse().map_err(|e| StoreError::Corrupt(format!("{e}")))?;
        Ok(Pointer { oid, size: u64::try_from(size).unwrap_or_default() })
    };
    rows.into_iter().map(pointer).collect()
}

/// Whether pointers that cannot be read are listed.
///
/// # Errors
/// Those of the database.
pub fn has_garbage(c: &mut Connection, mirror: MirrorId) -> Result<bool, StoreError> {
    let garbage = lfs_garbage::table.filter(lfs_garbage::mirror_id.eq(mirror.to_string()));
    Ok(diesel::select(diesel::dsl::exists(garbage)).get_result(&mut c.db)?)
}

/// Whether there are objects that could not be had and that no ref needs.
///
/// # Errors
/// Those of the database.
pub fn has_unneeded(c: &mut Connection, mirror: MirrorId) -> Result<bool, StoreError> {
    let unneeded = lfs_objects::table
        .filter(lfs_objects::mirror_id.eq(mirror.to_string()))
        .filter(lfs_objects::state.ne(ObjectState::There.as_str()))
        .filter(diesel::dsl::not(lfs_objects::reachable));
    Ok(diesel::select(diesel::dsl::exists(unneeded)).get_result(&mut c.db)?)
}

/// No ref needs these objects, and of the pointers that cannot be read only `garbage`.
///
/// # Errors
/// Those of the database.
pub fn settle<'a>(
    c: &mut Connection,
    mirror: MirrorId,
    unneeded: &[Pointer],
    garbage: impl IntoIterator<Item = &'a Oid>,
) -> Result<(), StoreError> {
    each(
        c,
        mirror,
        &keys(unneeded),
        "UPDATE lfs_objects SET reachable = FALSE FROM given \
         WHERE mirror_id = mirror AND oid = a AND size = CAST(b AS BIGINT)",
    )?;
    let left: BTreeSet<String> = garbage.into_iter().map(ToString::to_string).collect();
    let listed: Vec<String> = lfs_garbage::table
        .filter(lfs_garbage::mirror_id.eq(mirror.to_string()))
        .select(lfs_garbage::blob)
        .load(&mut c.db)?;
    for blob in listed.into_iter().filter(|it| !left.contains(it)) {
        diesel::delete(lfs_garbage::table.find((mirror.to_string(), blob))).execute(&mut c.db)?;
    }
    diesel::update(lfs_scans::table.find(mirror.to_string())).set(lfs_scans::doubted.eq(false)).execute(&mut c.db)?;
    Ok(())
}

/// Remembers where upstream says that its objects are kept; empty: at upstream itself.
///
/// # Errors
/// Those of the database.
pub fn set_elsewhere(c: &mut Connection, mirror: MirrorId, place: &str) -> Result<(), StoreError> {
    diesel::update(lfs_scans::table.find(mirror.to_string()))
        .set(lfs_scans::elsewhere.eq(Some(place)))
        .execute(&mut c.db)?;
    Ok(())
}
