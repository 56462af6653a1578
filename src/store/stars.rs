//! Which watched accounts star which upstream: a mirror is let go only when the last of them did.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::domain::ids::{AccountId, MirrorId};

use super::connection::Connection;
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::schema::stars;
use super::{markers, time};

/// Records a star; one that is recorded already keeps its time.
///
/// # Errors
/// Those of the database.
pub fn add(c: &mut Connection, mirror: MirrorId, account: AccountId, now: DateTime<Utc>) -> Result<(), StoreError> {
    let sql = "INSERT INTO stars (mirror_id, account_id, starred_at) VALUES ($1, $2, $3) \
               ON CONFLICT (mirror_id, account_id) DO NOTHING";
    let added = diesel::sql_query(sql)
        .bind::<Text, _>(mirror.to_string())
        .bind::<BigInt, _>(account.0)
        .bind::<Text, _>(time::text(now))
        .prepared()
        .execute(&mut c.db)?;
    if added == 1 { markers::soon(c, mirror, now) } else { Ok(()) }
}

/// Forgets a star. Says whether there was one.
///
/// # Errors
/// Those of the database.
pub fn remove(c: &mut Connection, mirror: MirrorId, account: AccountId) -> Result<bool, StoreError> {
    Ok(diesel::delete(stars::table.find((mirror.to_string(), account.0))).execute(&mut c.db)? == 1)
}

/// Watched accounts that star the upstream of a mirror.
///
/// # Errors
/// Those of the database.
pub fn count(c: &mut Connection, mirror: MirrorId) -> Result<u64, StoreError> {
    let counted: i64 = stars::table.filter(stars::mirror_id.eq(mirror.to_string())).count().get_result(&mut c.db)?;
    Ok(u64::try_from(counted).unwrap_or_default())
}

/// Who stars the upstream of a mirror, and since when as far as starkeep knows; the oldest first.
///
/// # Errors
/// Those of the database.
pub fn list(c: &mut Connection, mirror: MirrorId) -> Result<Vec<(AccountId, DateTime<Utc>)>, StoreError> {
    let rows: Vec<(i64, String)> = stars::table
        .filter(stars::mirror_id.eq(mirror.to_string()))
        .order((stars::starred_at, stars::account_id))
        .select((stars::account_id, stars::starred_at))
        .load(&mut c.db)?;
    rows.into_iter().map(|(account, at)| Ok((AccountId(account), time::read(&at)?))).collect()
}
