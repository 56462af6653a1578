//! Which objects should be in OneDev.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::{LfsObject, POINTER, Row, arrived, begin, found, given, keys};
use crate::domain::ids::MirrorId;
use crate::domain::lfs::{ObjectState, Pointer};
use crate::domain::marker::MOST_OBJECTS;
use crate::store::connection::Connection;
use crate::store::error::StoreError;
use crate::store::schema::lfs_objects;

/// Objects that are there, by id behind `after`.
///
/// # Errors
/// Those of the database.
pub fn there(
    c: &mut Connection,
    mirror: MirrorId,
    after: Option<Pointer>,
    limit: u32,
) -> Result<Vec<Pointer>, StoreError> {
    let mut query = lfs_objects::table
        .filter(lfs_objects::mirror_id.eq(mirror.to_string()))
        .filter(lfs_objects::state.eq(ObjectState::There.as_str()))
        .select(Row::as_select())
        .into_boxed();
    if let Some(after) = after {
        query = query.filter(lfs_objects::oid.gt(after.oid.to_string()));
    }
    let rows: Vec<Row> = query.order(lfs_objects::oid.asc()).limit(i64::from(limit)).load(&mut c.db)?;
    rows.into_iter().map(|it| Ok(LfsObject::try_from(it)?.pointer)).collect()
}

/// Which of these should be there: of the repository or of its catalog.
///
/// # Errors
/// Those of the database.
pub fn there_among(c: &mut Connection, mirror: MirrorId, objects: &[Pointer]) -> Result<Vec<Pointer>, StoreError> {
    let sql = format!(
        "WITH given AS ({}) SELECT a AS oid, CAST(b AS BIGINT) AS size FROM given WHERE EXISTS ( \
           SELECT 1 FROM lfs_objects AS o WHERE o.mirror_id = mirror AND o.oid = a AND o.size = CAST(b AS BIGINT) \
             AND o.state = 'there') OR EXISTS ( \
           SELECT 1 FROM catalog_assets AS k WHERE k.mirror_id = mirror AND k.digest = a \
             AND k.size = CAST(b AS BIGINT) AND k.is_there)",
        given(c)
    );
    let json = serde_json::to_string(&keys(objects)).map_err(|e| StoreError::Refused(e.to_string()))?;
    let rows: Vec<Known> =
        diesel::sql_query(sql).bind::<Text, _>(mirror.to_string()).bind::<Text, _>(json).load(&mut c.db)?;
    let read = |it: Known| {
        let oid = it.oid.parse().map_err(|e| StoreError::Corrupt(format!("{e}")))?;
        Ok(Pointer { oid, size: u64::try_from(it.size).unwrap_or_default() })
    };
    rows.into_iter().map(read).collect()
}

#[derive(QueryableByName)]
struct Known {
    #[diesel(sql_type = Text)]
    oid: String,
    #[diesel(sql_type = BigInt)]
    size: i64,
}

/// All objects that files of a mirror name, by id; `None` if there are more than a marker lists.
///
/// # Errors
/// Those of the database.
pub fn listed(c: &mut Connection, mirror: MirrorId) -> Result<Option<Vec<(Pointer, ObjectState)>>, StoreError> {
    let most = MOST_OBJECTS + 1;
    let rows: Vec<Row> = lfs_objects::table
        .filter(lfs_objects::mirror_id.eq(mirror.to_string()))
        .filter(lfs_objects::origin.eq(POINTER))
        .order((lfs_objects::oid.asc(), lfs_objects::size.asc()))
        .limit(i64::try_from(most).unwrap_or(i64::MAX))
        .select(Row::as_select())
        .load(&mut c.db)?;
    if rows.len() == most {
        return Ok(None);
    }
    let read = |row: Row| LfsObject::try_from(row).map(|it| (it.pointer, it.state));
    rows.into_iter().map(read).collect::<Result<_, _>>().map(Some)
}

/// Writes down objects as a marker lists them: what is neither there nor doubtful is wanted, at once.
///
/// # Errors
/// Those of the database.
pub(crate) fn tell(c: &mut Connection, mirror: MirrorId, objects: &[(Pointer, ObjectState)]) -> Result<(), StoreError> {
    let of = |state: ObjectState| -> Vec<Pointer> {
        objects.iter().filter(|(_, it)| *it == state).map(|(it, _)| *it).collect()
    };
    found(c, mirror, objects.iter().map(|(it, _)| it), &BTreeMap::new())?;
    begin(c, mirror, &of(ObjectState::Uploading))?;
    arrived(c, mirror, &of(ObjectState::There))
}
