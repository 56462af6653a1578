//! The numeric id behind each watched login: learned once, then believed instead of the login, which
//! its owner may give up and somebody else may take.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::domain::ids::AccountId;

use super::connection::Connection;
use super::error::StoreError;
use super::schema::watched;

/// Remembers which account a login is, unless it is known already; says which one counts.
///
/// # Errors
/// Those of the database.
pub fn remember(c: &mut Connection, login: &str, account: AccountId) -> Result<AccountId, StoreError> {
    diesel::sql_query("INSERT INTO watched (login, account_id) VALUES ($1, $2) ON CONFLICT (login) DO NOTHING")
        .bind::<Text, _>(login.to_ascii_lowercase())
        .bind::<BigInt, _>(account.0)
        .execute(&mut c.db)?;
    Ok(id_of(c, login)?.unwrap_or(account))
}

/// The account that a login, in any case, was when it was first seen.
///
/// # Errors
/// Those of the database.
pub fn id_of(c: &mut Connection, login: &str) -> Result<Option<AccountId>, StoreError> {
    let its = watched::table.find(login.to_ascii_lowercase());
    Ok(its.select(watched::account_id).first(&mut c.db).optional()?.map(AccountId))
}

/// The login under which an account is watched, in lower case; the first of them should there be several.
///
/// # Errors
/// Those of the database.
pub fn login_of(c: &mut Connection, account: AccountId) -> Result<Option<String>, StoreError> {
    let its = watched::table.filter(watched::account_id.eq(account.0)).order(watched::login);
    Ok(its.select(watched::login).first(&mut c.db).optional()?)
}

/// Every watched login with its account.
///
/// # Errors
/// Those of the database.
pub fn list(c: &mut Connection) -> Result<Vec<(String, AccountId)>, StoreError> {
    let rows: Vec<(String, i64)> = watched::table.order(watched::login).load(&mut c.db)?;
    Ok(rows.into_iter().map(|(login, id)| (login, AccountId(id))).collect())
}
