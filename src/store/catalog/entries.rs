//! The tree in OneDev as it was last pushed, down to the folder of each thread: enough to write a
//! folder anew when one thing in it changed.

use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};

use crate::domain::catalog::objects::Entry;
use crate::domain::ids::MirrorId;
use crate::store::connection::Connection;
use crate::store::error::StoreError;
use crate::store::mirrors::oid;
use crate::store::prepared::Prepare as _;
use crate::store::schema::catalog_entries;

/// What is to stand, or no more to stand, under a name in a folder (the root's is the empty text).
pub type Change = (String, String, Option<Entry>);

/// What stands in a folder.
///
/// # Errors
/// Those of the database.
pub fn children(c: &mut Connection, mirror: MirrorId, folder: &str) -> Result<Vec<(String, Entry)>, StoreError> {
    let rows: Vec<(String, bool, String)> = catalog_entries::table
        .filter(catalog_entries::mirror_id.eq(mirror.to_string()))
        .filter(catalog_entries::folder.eq(folder))
        .select((catalog_entries::name, catalog_entries::is_tree, catalog_entries::oid))
        .load(&mut c.db)?;
    rows.into_iter().map(|(name, is_tree, id)| Ok((name, Entry { is_tree, oid: oid(&id)? }))).collect()
}

/// Writes changes down.
///
/// # Errors
/// Those of the database.
pub fn apply(c: &mut Connection, mirror: MirrorId, changes: &[Change]) -> Result<(), StoreError> {
    let sql = "INSERT INTO catalog_entries (mirror_id, folder, name, is_tree, oid) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (mirror_id, folder, name) DO UPDATE SET is_tree = excluded.is_tree, oid = excluded.oid";
    for (folder, name, entry) in changes {
        match entry {
            Some(entry) => diesel::sql_query(sql)
                .bind::<Text, _>(mirror.to_string())
                .bind::<Text, _>(folder.clone())
                .bind::<Text, _>(name.clone())
                .bind::<Bool, _>(entry.is_tree)
                .bind::<Text, _>(entry.oid.to_string())
                .prepared()
                .execute(&mut c.db)?,
            None => {
                diesel::delete(catalog_entries::table.find((mirror.to_string(), folder, name))).execute(&mut c.db)?
            }
        };
    }
    Ok(())
}
