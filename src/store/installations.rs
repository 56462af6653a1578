//! Installations of the GitHub App: what its list and its webhooks told, kept for restarts, for the other
//! processes, and to tell a repository that is gone from one that the App sees no more.

use chrono::{DateTime, Utc};
use diesel::dsl::exists;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use crate::domain::event::Account;
use crate::domain::ids::{AccountId, InstallationId};
use crate::domain::installation::{Cover, Installation, InstallationChange};
use crate::domain::mirror::Status;

use super::connection::Connection;
use super::error::StoreError;
use super::schema::installations;
use super::{settings, time};

/// When GitHub's list was last read whole, in the settings; empty once something was told after that.
const READ_AT: &str = "installations.read_at";

#[derive(Queryable, Selectable)]
#[diesel(table_name = installations)]
struct Row {
    id: i64,
    account_id: Option<i64>,
    login: Option<String>,
    selection: String,
    permissions: String,
    suspended_at: Option<String>,
    deleted_at: Option<String>,
}

impl TryFrom<Row> for Installation {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let account = row.account_id.zip(row.login).map(|(id, login)| Account { id: AccountId(id), login });
        let permissions =
            serde_json::from_str(&row.permissions).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let suspended_at = time::some(row.suspended_at.as_deref())?;
        Ok(Self { id: InstallationId(row.id), account, selection: row.selection, permissions, suspended_at })
    }
}

/// What is kept: the installations there are, the logins of those that are gone, and when GitHub's list was last
/// read if nothing was told since.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// Suspended ones too.
    pub installations: Vec<Installation>,
    /// Logins of accounts from which the App was removed.
    pub gone: Vec<String>,
    /// `None` when what is kept may be out of date.
    pub read_at: Option<DateTime<Utc>>,
}

/// Everything that is kept.
///
/// # Errors
/// Those of the database.
pub fn load(c: &mut Connection) -> Result<Kept, StoreError> {
    let rows: Vec<Row> = installations::table.order(installations::id).select(Row::as_select()).load(&mut c.db)?;
    let mut kept = Kept::default();
    for row in rows {
        match (&row.deleted_at, &row.login) {
            (None, _) => kept.installations.push(row.try_into()?),
            (Some(_), Some(login)) => kept.gone.push(login.clone()),
            (Some(_), None) => {}
        }
    }
    kept.gone.retain(|login| !kept.installations.iter().any(|it| it.is_of(login)));
    let read_at = settings::get(c, READ_AT)?.filter(|it| !it.is_empty());
    kept.read_at = time::some(read_at.as_deref())?;
    Ok(kept)
}

/// Takes over GitHub's whole list, read at a time: what is not in it any more was removed. What can be read
/// now and could not before is looked at at once.
///
/// # Errors
/// Those of the database.
pub fn replace(
    c: &mut Connection,
    all: &[Installation],
    read_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    for it in all {
        if !is_active(c, it.id)? && it.is_active() {
            hasten(c, it, now)?;
        }
        put(c, it, now)?;
    }
    let ids: Vec<i64> = all.iter().map(|it| it.id.0).collect();
    let missing =
        installations::table.filter(installations::id.ne_all(ids)).filter(installations::deleted_at.is_null());
    diesel::update(missing).set(installations::deleted_at.eq(Some(time::text(now)))).execute(&mut c.db)?;
    settings::set(c, READ_AT, &time::text(read_at))
}

/// Takes note of what a webhook told of one installation. Webhooks may come late and out of order, so GitHub's
/// list is to be read again.
///
/// # Errors
/// Those of the database.
pub fn told(
    c: &mut Connection,
    it: &Installation,
    change: InstallationChange,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = installations::table.find(it.id.0);
    match change {
        InstallationChange::Deleted => {
            put(c, it, now)?;
            diesel::update(row).set(installations::deleted_at.eq(Some(time::text(now)))).execute(&mut c.db)?;
        }
        InstallationChange::Renamed => {
            let login = it.account.as_ref().map(|it| it.login.clone());
            diesel::update(row).set(installations::login.eq(login)).execute(&mut c.db)?;
        }
        InstallationChange::Suspended => {
            let since = it.suspended_at.unwrap_or(now);
            put(c, &Installation { suspended_at: Some(since), ..it.clone() }, now)?;
        }
        InstallationChange::Unsuspended => put(c, &Installation { suspended_at: None, ..it.clone() }, now)?,
        InstallationChange::Created
        | InstallationChange::PermissionsAccepted
        | InstallationChange::RepositoriesAdded
        | InstallationChange::RepositoriesRemoved => put(c, it, now)?,
    }
    if change.opens() {
        hasten(c, it, now)?;
    }
    settings::set(c, READ_AT, "")
}

/// What the App can read of an account.
///
/// # Errors
/// Those of the database.
pub fn cover_of(c: &mut Connection, login: &str) -> Result<Cover, StoreError> {
    let kept = load(c)?;
    let mut of = kept.installations.iter().filter(|it| it.is_of(login)).map(Installation::is_active);
    Ok(match (of.next(), kept.gone.iter().any(|it| it.eq_ignore_ascii_case(login))) {
        (Some(first), _) if first || of.any(|it| it) => Cover::Active,
        (Some(_), _) => Cover::Suspended,
        (None, true) => Cover::Removed,
        (None, false) => Cover::None,
    })
}

fn is_active(c: &mut Connection, id: InstallationId) -> Result<bool, StoreError> {
    let its = installations::table
        .find(id.0)
        .filter(installations::deleted_at.is_null())
        .filter(installations::suspended_at.is_null());
    Ok(diesel::select(exists(its)).get_result(&mut c.db)?)
}

fn put(c: &mut Connection, it: &Installation, now: DateTime<Utc>) -> Result<(), StoreError> {
    let sql = "INSERT INTO installations (id, account_id, login, selection, permissions, suspended_at, deleted_at, \
               updated_at) VALUES ($1, $2, $3, $4, $5, $6, NULL, $7) ON CONFLICT (id) DO UPDATE SET \
               account_id = excluded.account_id, login = excluded.login, selection = excluded.selection, \
               permissions = excluded.permissions, suspended_at = excluded.suspended_at, deleted_at = NULL, \
               updated_at = excluded.updated_at";
    let permissions = serde_json::to_string(&it.permissions).map_err(|e| StoreError::Refused(e.to_string()))?;
    diesel::sql_query(sql)
        .bind::<BigInt, _>(it.id.0)
        .bind::<Nullable<BigInt>, _>(it.account.as_ref().map(|it| it.id.0))
        .bind::<Nullable<Text>, _>(it.account.as_ref().map(|it| it.login.clone()))
        .bind::<Text, _>(it.selection.clone())
        .bind::<Text, _>(permissions)
        .bind::<Nullable<Text>, _>(time::some_text(it.suspended_at))
        .bind::<Text, _>(time::text(now))
        .execute(&mut c.db)?;
    Ok(())
}

/// The account's mirrors that could not be read are due at once.
fn hasten(c: &mut Connection, it: &Installation, now: DateTime<Utc>) -> Result<(), StoreError> {
    let Some(account) = &it.account else { return Ok(()) };
    let sql = "UPDATE mirrors SET next_sync_at = $1 WHERE lower(owner) = $2 AND status IN ($3, $4)";
    diesel::sql_query(sql)
        .bind::<Text, _>(time::text(now))
        .bind::<Text, _>(account.login.to_ascii_lowercase())
        .bind::<Text, _>(Status::Error.as_str())
        .bind::<Text, _>(Status::Gone.as_str())
        .execute(&mut c.db)?;
    Ok(())
}
