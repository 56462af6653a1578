//! Keys of the admin API. Whether one is revoked or expired is asked of its row at every use, so a revocation
//! counts at once, in every process.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::api_key::{Scope, Scopes};

use super::audit::{self, NewEntry};
use super::clipped;
use super::connection::Connection;
use super::error::StoreError;
use super::page::{Page, Window};
use super::prepared::Prepare as _;
use super::schema::api_keys;
use super::time;

/// A key to be recorded.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Identity.
    pub id: Uuid,
    /// What it is for.
    pub name: String,
    /// What it is found by.
    pub prefix: String,
    /// Of the whole key.
    pub hash: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Who made it.
    pub created_by: String,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A key, without what it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Identity.
    pub id: Uuid,
    /// What it is for.
    pub name: String,
    /// What it is found by.
    pub prefix: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was ended.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Its last use: when, from which address. Up to a minute late.
    pub last_used: Option<(DateTime<Utc>, Option<String>)>,
    /// How often it was used.
    pub usage_count: i64,
}

/// Whether a key opens anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = KeyStatus)]
pub enum Status {
    /// It does.
    Active,
    /// Its time is over.
    Expired,
    /// Somebody ended it.
    Revoked,
}

impl Status {
    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl Key {
    /// Whether it opens anything now.
    pub fn status(&self, now: DateTime<Utc>) -> Status {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => Status::Revoked,
            (None, Some(end)) if end <= now => Status::Expired,
            _ => Status::Active,
        }
    }

    /// When a key ends that takes this one's place now: it lives as long.
    pub fn renewed_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.expires_at.map(|it| now + (it - self.created_at))
    }

    /// As the API shows it.
    pub fn view(&self, now: DateTime<Utc>) -> KeyView {
        let (last_used_at, last_used_ip) = self.last_used.clone().unzip();
        KeyView {
            id: self.id,
            name: self.name.clone(),
            prefix: self.prefix.clone(),
            scopes: self.scopes.words(),
            status: self.status(now),
            created_by: self.created_by.clone(),
            created_at: self.created_at,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
            last_used_at,
            last_used_ip: last_used_ip.flatten(),
            usage_count: self.usage_count,
        }
    }

    /// The same as one JSON object.
    pub fn to_json(&self, now: DateTime<Utc>) -> serde_json::Value {
        serde_json::json!(self.view(now))
    }
}

/// A key of the admin API, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub struct KeyView {
    id: Uuid,
    name: String,
    /// `sk_` and eight characters, by which it is told from others.
    prefix: String,
    #[schema(value_type = Vec<Scope>)]
    scopes: Vec<&'static str>,
    status: Status,
    created_by: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    /// Up to a minute late.
    last_used_at: Option<DateTime<Utc>>,
    last_used_ip: Option<String>,
    usage_count: i64,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = api_keys)]
struct KeyRow {
    id: String,
    name: String,
    prefix: String,
    hash: String,
    scopes: String,
    created_by: String,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    last_used_at: Option<String>,
    last_used_ip: Option<String>,
    usage_count: i64,
}

impl TryFrom<KeyRow> for Key {
    type Error = StoreError;

    fn try_from(row: KeyRow) -> Result<Self, StoreError> {
        let last = time::some(row.last_used_at.as_deref())?;
        Ok(Self {
            id: Uuid::try_parse(&row.id).map_err(|e| StoreError::Corrupt(e.to_string()))?,
            name: row.name,
            prefix: row.prefix,
            scopes: row.scopes.parse().map_err(|e| StoreError::Corrupt(format!("api_keys.scopes: {e}")))?,
            created_by: row.created_by,
            created_at: time::read(&row.created_at)?,
            expires_at: time::some(row.expires_at.as_deref())?,
            revoked_at: time::some(row.revoked_at.as_deref())?,
            last_used: last.map(|at| (at, row.last_used_ip)),
            usage_count: row.usage_count,
        })
    }
}

/// Records a key.
///
/// # Errors
/// [`StoreError::Conflict`] if there is one of that prefix; those of the database.
pub fn insert(c: &mut Connection, it: &NewKey, now: DateTime<Utc>) -> Result<Key, StoreError> {
    diesel::insert_into(api_keys::table)
        .values((
            api_keys::id.eq(it.id.to_string()),
            api_keys::name.eq(clipped(&it.name)),
            api_keys::prefix.eq(&it.prefix),
            api_keys::hash.eq(&it.hash),
            api_keys::scopes.eq(it.scopes.to_string()),
            api_keys::created_by.eq(clipped(&it.created_by)),
            api_keys::created_at.eq(time::text(now)),
            api_keys::expires_at.eq(time::some_text(it.expires_at)),
            api_keys::usage_count.eq(0),
        ))
        .execute(&mut c.db)?;
    find(c, it.id)?.ok_or_else(|| StoreError::Corrupt("a key that was just made is not there".to_owned()))
}

/// One key.
///
/// # Errors
/// Those of the database.
pub fn find(c: &mut Connection, id: Uuid) -> Result<Option<Key>, StoreError> {
    let row: Option<KeyRow> =
        api_keys::table.find(id.to_string()).select(KeyRow::as_select()).first(&mut c.db).optional()?;
    row.map(Key::try_from).transpose()
}

/// The key of a prefix, with the hash of the whole one.
///
/// # Errors
/// Those of the database.
pub fn by_prefix(c: &mut Connection, prefix: &str) -> Result<Option<(Key, String)>, StoreError> {
    let row: Option<KeyRow> =
        api_keys::table.filter(api_keys::prefix.eq(prefix)).select(KeyRow::as_select()).first(&mut c.db).optional()?;
    row.map(|row| {
        let hash = row.hash.clone();
        Ok((Key::try_from(row)?, hash))
    })
    .transpose()
}

/// Keys, the first made last.
///
/// # Errors
/// [`StoreError::Cursor`]; those of the database.
pub fn list(c: &mut Connection, revoked: bool, window: &Window) -> Result<Page<Key>, StoreError> {
    let mut query = api_keys::table.select(KeyRow::as_select()).into_boxed();
    if !revoked {
        query = query.filter(api_keys::revoked_at.is_null());
    }
    // Ids are made in the order of time.
    if let Some(before) = window.after::<Uuid>()? {
        query = query.filter(api_keys::id.lt(before.to_string()));
    }
    let rows: Vec<KeyRow> = query.order(api_keys::id.desc()).limit(window.fetch()).load(&mut c.db)?;
    window.page(rows, |it| it.id.clone(), Key::try_from)
}

/// Whether there is a key of the scope `admin` that opens.
///
/// # Errors
/// Those of the database.
pub fn is_administered(c: &mut Connection, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let lasting = api_keys::expires_at.is_null().or(api_keys::expires_at.gt(time::text(now)));
    // `admin` is the one scope with that word in it.
    let found = api_keys::table.filter(api_keys::revoked_at.is_null()).filter(lasting);
    let found = found.filter(api_keys::scopes.like(format!("%{}%", Scope::Admin.as_str())));
    Ok(diesel::select(diesel::dsl::exists(found)).get_result(&mut c.db)?)
}

/// Ends a key; says whether it had not ended before.
///
/// # Errors
/// Those of the database.
pub fn revoke(c: &mut Connection, id: Uuid, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let open = api_keys::table.find(id.to_string()).filter(api_keys::revoked_at.is_null());
    Ok(diesel::update(open).set(api_keys::revoked_at.eq(time::text(now))).execute(&mut c.db)? == 1)
}

/// A key ends at this time, if it does not end sooner.
///
/// # Errors
/// Those of the database.
pub fn end_at(c: &mut Connection, id: Uuid, at: DateTime<Utc>) -> Result<(), StoreError> {
    let sooner = api_keys::expires_at.is_null().or(api_keys::expires_at.gt(time::text(at)));
    let key = api_keys::table.filter(api_keys::id.eq(id.to_string())).filter(sooner);
    diesel::update(key).set(api_keys::expires_at.eq(time::text(at))).execute(&mut c.db)?;
    Ok(())
}

/// Records a key in place of one that opens, which ends after `overlap`; `None` when that one has ended. The audit log
/// gets this entry, with what there is to know.
///
/// # Errors
/// Those of [`insert`].
pub fn replace(
    c: &mut Connection,
    old: Uuid,
    new: &NewKey,
    overlap: TimeDelta,
    entry: &NewEntry,
    now: DateTime<Utc>,
) -> Result<Option<Key>, StoreError> {
    let Some(old) = find(c, old)?.filter(|it| it.status(now) == Status::Active) else { return Ok(None) };
    let made = insert(c, new, now)?;
    end_at(c, old.id, now + overlap)?;
    let detail = serde_json::json!({ "name": old.name, "by": made.prefix, "old_ends_at": now + overlap });
    audit::append(c, &NewEntry { detail, ..entry.clone() }, now)?;
    Ok(Some(made))
}

/// Records so many uses, the last of them then and from there.
///
/// # Errors
/// Those of the database.
pub fn used(c: &mut Connection, id: Uuid, count: i64, at: DateTime<Utc>, address: &str) -> Result<(), StoreError> {
    // Of several processes the one that writes last did not need to see the last use.
    let sql = "UPDATE api_keys SET usage_count = usage_count + $1, \
               last_used_ip = CASE WHEN last_used_at > $2 THEN last_used_ip ELSE $3 END, \
               last_used_at = CASE WHEN last_used_at > $2 THEN last_used_at ELSE $2 END WHERE id = $4";
    diesel::sql_query(sql)
        .bind::<BigInt, _>(count)
        .bind::<Text, _>(time::text(at))
        .bind::<Text, _>(clipped(address))
        .bind::<Text, _>(id.to_string())
        .prepared()
        .execute(&mut c.db)?;
    Ok(())
}
