//! Which objects should be in OneDev.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::{LfsObject, Row, given, keys};
use crate::domain::ids::MirrorId;
use crate::domain::lfs::{ObjectState, Pointer};
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
