//! Small facts the service remembers about itself.

use diesel::prelude::*;
use diesel::sql_types::Text;

use super::connection::Connection;
use super::error::StoreError;
use super::schema::settings;

/// Remembers `value` under `name`.
///
/// # Errors
/// Those of the database.
pub fn set(c: &mut Connection, name: &str, value: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO settings (name, value) VALUES ($1, $2) \
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    diesel::sql_query(sql).bind::<Text, _>(name.to_owned()).bind::<Text, _>(value.to_owned()).execute(&mut c.db)?;
    Ok(())
}

/// What is remembered under `name`.
///
/// # Errors
/// Those of the database.
pub fn get(c: &mut Connection, name: &str) -> Result<Option<String>, StoreError> {
    Ok(settings::table.find(name).select(settings::value).first(&mut c.db).optional()?)
}
