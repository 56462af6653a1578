//! Which commit of the catalog stood in OneDev at which time: what `restore --at` goes by.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::domain::ids::MirrorId;
use crate::domain::refs::Oid;
use crate::store::connection::Connection;
use crate::store::error::StoreError;
use crate::store::mirrors::oid;
use crate::store::schema::catalog_commits;
use crate::store::time;

/// Commits of one catalog that are remembered; the oldest go.
const MOST: i64 = 20_000;

/// A commit stands since a time.
///
/// # Errors
/// Those of the database.
pub fn note(c: &mut Connection, mirror: MirrorId, commit: Oid, at: DateTime<Utc>) -> Result<(), StoreError> {
    let sql = "INSERT INTO catalog_commits (mirror_id, at, oid) VALUES ($1, $2, $3) \
               ON CONFLICT (mirror_id, at) DO UPDATE SET oid = excluded.oid";
    diesel::sql_query(sql)
        .bind::<Text, _>(mirror.to_string())
        .bind::<Text, _>(time::text(at))
        .bind::<Text, _>(commit.to_string())
        .execute(&mut c.db)?;
    let its = || catalog_commits::table.filter(catalog_commits::mirror_id.eq(mirror.to_string()));
    let beyond: Option<String> =
        its().order(catalog_commits::at.desc()).offset(MOST).select(catalog_commits::at).first(&mut c.db).optional()?;
    if let Some(beyond) = beyond {
        diesel::delete(its().filter(catalog_commits::at.le(beyond))).execute(&mut c.db)?;
    }
    Ok(())
}

/// The commit that stood at a time.
///
/// # Errors
/// Those of the database.
pub fn at(c: &mut Connection, mirror: MirrorId, time: DateTime<Utc>) -> Result<Option<Oid>, StoreError> {
    let found: Option<String> = catalog_commits::table
        .filter(catalog_commits::mirror_id.eq(mirror.to_string()))
        .filter(catalog_commits::at.le(time::text(time)))
        .order(catalog_commits::at.desc())
        .select(catalog_commits::oid)
        .first(&mut c.db)
        .optional()?;
    found.map(|it| oid(&it)).transpose()
}

/// Forgets all of them: the project is another one.
///
/// # Errors
/// Those of the database.
pub(in crate::store) fn forget(c: &mut Connection, mirror: MirrorId) -> Result<(), StoreError> {
    let its = catalog_commits::table.filter(catalog_commits::mirror_id.eq(mirror.to_string()));
    diesel::delete(its).execute(&mut c.db)?;
    Ok(())
}
