//! Files that hang on items, and whether they are in OneDev.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use crate::domain::catalog::asset::Asset;
use crate::domain::catalog::{Kind, Unit};
use crate::domain::ids::MirrorId;
use crate::domain::lfs::{LfsOid, Pointer};
use crate::store::connection::Connection;
use crate::store::error::StoreError;
use crate::store::prepared::Prepare as _;
use crate::store::schema::catalog_assets;
use crate::store::{clipped, time};

/// A file that is to be brought, or was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// What it is.
    pub asset: Asset,
    /// The object, once its content is known.
    pub pointer: Option<Pointer>,
    /// Tries that failed.
    pub attempts: u32,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = catalog_assets)]
struct Row {
    kind: String,
    id: i64,
    key: String,
    number: i64,
    name: String,
    url: String,
    size: Option<i64>,
    digest: Option<String>,
    attempts: i32,
}

impl TryFrom<Row> for Kept {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let digest: Option<LfsOid> = row
            .digest
            .map(|it| it.parse())
            .transpose()
            .map_err(|_| StoreError::Corrupt("the digest of a file".to_owned()))?;
        let size = row.size.and_then(|it| u64::try_from(it).ok());
        let Row { id, key, number, name, url, .. } = row;
        Ok(Self {
            asset: Asset { kind: row.kind.parse()?, id, number, key, name, url, size, digest },
            pointer: digest.zip(size).map(|(oid, size)| Pointer { oid, size }),
            attempts: u32::try_from(row.attempts).unwrap_or_default(),
        })
    }
}

macro_rules! row {
    ($mirror:expr, $asset:expr) => {
        catalog_assets::table.find(($mirror.to_string(), $asset.kind.as_str(), $asset.id, $asset.key.clone()))
    };
}

/// Says which files hang on an item now. One that is new, or other than it was, is to be brought.
///
/// # Errors
/// Those of the database.
pub fn replace(c: &mut Connection, mirror: MirrorId, kind: Kind, id: i64, assets: &[Asset]) -> Result<(), StoreError> {
    let keys: Vec<&str> = assets.iter().map(|it| it.key.as_str()).collect();
    let gone = catalog_assets::table
        .filter(catalog_assets::mirror_id.eq(mirror.to_string()))
        .filter(catalog_assets::kind.eq(kind.as_str()))
        .filter(catalog_assets::id.eq(id))
        .filter(catalog_assets::key.ne_all(keys));
    diesel::delete(gone).execute(&mut c.db)?;
    // A digest that GitHub does not tell is kept as it was found, as long as the size is the same.
    let sql = "INSERT INTO catalog_assets (mirror_id, kind, id, key, number, name, url, size, digest, is_there, attempts) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, FALSE, 0) \
               ON CONFLICT (mirror_id, kind, id, key) DO UPDATE SET name = excluded.name, number = excluded.number, \
               url = excluded.url, \
               is_there = catalog_assets.is_there AND COALESCE(excluded.size, catalog_assets.size) = catalog_assets.size \
                 AND COALESCE(excluded.digest, catalog_assets.digest) = catalog_assets.digest, \
               digest = CASE WHEN excluded.digest IS NOT NULL THEN excluded.digest \
                 WHEN COALESCE(excluded.size, catalog_assets.size) = catalog_assets.size THEN catalog_assets.digest END, \
               size = COALESCE(excluded.size, catalog_assets.size)";
    for it in assets {
        diesel::sql_query(sql)
            .bind::<Text, _>(mirror.to_string())
            .bind::<Text, _>(it.kind.as_str())
            .bind::<BigInt, _>(it.id)
            .bind::<Text, _>(it.key.clone())
            .bind::<BigInt, _>(it.number)
            .bind::<Text, _>(it.name.clone())
            .bind::<Text, _>(it.url.clone())
            .bind::<Nullable<BigInt>, _>(it.size.and_then(|it| i64::try_from(it).ok()))
            .bind::<Nullable<Text>, _>(it.digest.map(|it| it.to_string()))
            .prepared()
            .execute(&mut c.db)?;
    }
    Ok(())
}

/// The next file that is to be brought and whose time has come.
///
/// # Errors
/// Those of the database.
pub fn due(c: &mut Connection, mirror: MirrorId, now: DateTime<Utc>) -> Result<Option<Kept>, StoreError> {
    let row: Option<Row> = catalog_assets::table
        .filter(catalog_assets::mirror_id.eq(mirror.to_string()))
        .filter(catalog_assets::is_there.eq(false))
        .filter(catalog_assets::next_at.is_null().or(catalog_assets::next_at.le(time::text(now))))
        .order((catalog_assets::attempts, catalog_assets::kind, catalog_assets::id, catalog_assets::key))
        .select(Row::as_select())
        .first(&mut c.db)
        .optional()?;
    row.map(Kept::try_from).transpose()
}

/// Its content was read and is this.
///
/// # Errors
/// Those of the database.
pub fn measured(c: &mut Connection, mirror: MirrorId, asset: &Asset, pointer: Pointer) -> Result<(), StoreError> {
    diesel::update(row!(mirror, asset))
        .set((
            catalog_assets::size.eq(i64::try_from(pointer.size).ok()),
            catalog_assets::digest.eq(Some(pointer.oid.to_string())),
        ))
        .execute(&mut c.db)?;
    Ok(())
}

/// It stands in OneDev; its pointer is to be written.
///
/// # Errors
/// Those of the database.
pub fn arrived(c: &mut Connection, mirror: MirrorId, asset: &Asset) -> Result<(), StoreError> {
    diesel::update(row!(mirror, asset))
        .set((
            catalog_assets::is_there.eq(true),
            catalog_assets::attempts.eq(0),
            catalog_assets::next_at.eq(None::<String>),
            catalog_assets::reason.eq(None::<String>),
        ))
        .execute(&mut c.db)?;
    super::todo::add(c, mirror, [unit(asset)])
}

/// It could not be brought; the next try is at `next`.
///
/// # Errors
/// Those of the database.
pub fn failed(
    c: &mut Connection,
    mirror: MirrorId,
    asset: &Asset,
    reason: &str,
    next: DateTime<Utc>,
) -> Result<(), StoreError> {
    diesel::update(row!(mirror, asset))
        .set((
            catalog_assets::attempts.eq(catalog_assets::attempts + 1),
            catalog_assets::next_at.eq(Some(time::text(next))),
            catalog_assets::reason.eq(Some(clipped(reason))),
        ))
        .execute(&mut c.db)?;
    Ok(())
}

/// The files of a unit that stand in OneDev.
///
/// # Errors
/// Those of the database.
pub fn of(c: &mut Connection, mirror: MirrorId, unit: Unit) -> Result<Vec<(String, Pointer)>, StoreError> {
    if !matches!(unit, Unit::Release(_) | Unit::Thread(_)) {
        return Ok(Vec::new());
    }
    let kinds: Vec<&str> = unit.kinds().iter().map(|it| it.as_str()).collect();
    let rows: Vec<Row> = catalog_assets::table
        .filter(catalog_assets::mirror_id.eq(mirror.to_string()))
        .filter(catalog_assets::number.eq(unit.parts().1))
        .filter(catalog_assets::kind.eq_any(kinds))
        .filter(catalog_assets::is_there.eq(true))
        .order((catalog_assets::name, catalog_assets::key))
        .select(Row::as_select())
        .load(&mut c.db)?;
    let mut files: Vec<(String, Pointer)> = Vec::new();
    for kept in rows.into_iter().map(Kept::try_from) {
        let Kept { asset, pointer, .. } = kept?;
        // The same attachment may stand in several texts of a thread.
        if let Some(pointer) = pointer.filter(|_| files.iter().all(|(name, _)| *name != asset.name)) {
            files.push((asset.name, pointer));
        }
    }
    Ok(files)
}

/// A file of a unit, by its name, stands in OneDev as this object: a pointer in the tree says so.
///
/// # Errors
/// Those of the database.
pub fn stand(c: &mut Connection, mirror: MirrorId, unit: Unit, name: &str, it: Pointer) -> Result<(), StoreError> {
    let kinds: Vec<&str> = unit.kinds().iter().map(|it| it.as_str()).collect();
    let its = catalog_assets::table
        .filter(catalog_assets::mirror_id.eq(mirror.to_string()))
        .filter(catalog_assets::number.eq(unit.parts().1))
        .filter(catalog_assets::kind.eq_any(kinds))
        .filter(catalog_assets::name.eq(name));
    diesel::update(its)
        .set((
            catalog_assets::size.eq(i64::try_from(it.size).ok()),
            catalog_assets::digest.eq(Some(it.oid.to_string())),
            catalog_assets::is_there.eq(true),
        ))
        .execute(&mut c.db)?;
    Ok(())
}

/// Forgets the files of items that are gone.
///
/// # Errors
/// Those of the database.
pub(super) fn forget_orphans(c: &mut Connection, mirror: MirrorId) -> Result<(), StoreError> {
    let sql = "DELETE FROM catalog_assets WHERE mirror_id = $1 AND NOT EXISTS ( \
               SELECT 1 FROM catalog_items AS it WHERE it.mirror_id = catalog_assets.mirror_id \
                 AND it.kind = catalog_assets.kind AND it.id = catalog_assets.id)";
    diesel::sql_query(sql).bind::<Text, _>(mirror.to_string()).execute(&mut c.db)?;
    Ok(())
}

/// How many there are: in OneDev, and still to be brought.
///
/// # Errors
/// Those of the database.
pub fn counts(c: &mut Connection, mirror: MirrorId) -> Result<(u64, u64), StoreError> {
    let its = |there: bool| {
        catalog_assets::table
            .filter(catalog_assets::mirror_id.eq(mirror.to_string()))
            .filter(catalog_assets::is_there.eq(there))
            .count()
    };
    let (there, open): (i64, i64) = (its(true).get_result(&mut c.db)?, its(false).get_result(&mut c.db)?);
    Ok((u64::try_from(there).unwrap_or_default(), u64::try_from(open).unwrap_or_default()))
}

/// The first reasons why files could not be brought: name and reason.
///
/// # Errors
/// Those of the database.
pub fn troubles(c: &mut Connection, mirror: MirrorId) -> Result<Vec<(String, String)>, StoreError> {
    let rows: Vec<(String, Option<String>)> = catalog_assets::table
        .filter(catalog_assets::mirror_id.eq(mirror.to_string()))
        .filter(catalog_assets::reason.is_not_null())
        .order((catalog_assets::kind, catalog_assets::id, catalog_assets::key))
        .limit(20)
        .select((catalog_assets::name, catalog_assets::reason))
        .load(&mut c.db)?;
    Ok(rows.into_iter().map(|(name, reason)| (name, reason.unwrap_or_default())).collect())
}

fn unit(asset: &Asset) -> Unit {
    if asset.kind == Kind::Release { Unit::Release(asset.number) } else { Unit::Thread(asset.number) }
}
