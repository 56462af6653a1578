//! Kept refs: tips that upstream or somebody in OneDev left behind, each under a ref of its own.
//!
//! Recorded by the transfer with the push that makes them; read by the API and by `restore`.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::domain::ids::MirrorId;
use crate::domain::kept::{KeptRef, Reason, Retention};
use crate::domain::part::{Part, PartId};
use crate::domain::refs::{Oid, RefName};

use super::connection::Connection;
use super::error::StoreError;
use super::page::{Page, Window};
use super::schema::kept;
use super::{mirrors, time};

/// Rows in one statement.
const AT_ONCE: usize = 500;

/// Row id of a kept ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeptId(pub i64);

/// A kept ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its row: what the API and the command line call it by.
    pub id: KeptId,
    /// The ref whose tip it was.
    pub name: RefName,
    /// The ref that holds it now.
    pub kept_ref: RefName,
    /// The tip, annotated tags unpeeled.
    pub oid: Oid,
    /// Why.
    pub reason: Reason,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = kept)]
struct KeptRow {
    id: i64,
    name: String,
    kept_ref: String,
    oid: String,
    reason: String,
    created_at: String,
}

impl TryFrom<KeptRow> for Kept {
    type Error = StoreError;

    fn try_from(row: KeptRow) -> Result<Self, StoreError> {
        let name = |text: &str| RefName::new(text).map_err(|e| StoreError::Corrupt(e.to_string()));
        Ok(Self {
            id: KeptId(row.id),
            name: name(&row.name)?,
            kept_ref: name(&row.kept_ref)?,
            oid: mirrors::oid(&row.oid)?,
            reason: row.reason.parse()?,
            created_at: time::read(&row.created_at)?,
        })
    }
}

/// The rows of one part.
#[diesel::dsl::auto_type(no_type_alias)]
fn its<'a>(of: PartId) -> _ {
    let (mirror, part): (String, &'a str) = (of.mirror.to_string(), of.part.as_str());
    kept::table.filter(kept::mirror_id.eq(mirror)).filter(kept::part.eq(part))
}

/// Records kept refs; one that is recorded already stays as it is. Says how many are new.
///
/// # Errors
/// Those of the database.
pub fn insert(
    c: &mut Connection,
    of: impl Into<PartId>,
    kept: &[KeptRef],
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let kept: Vec<(KeptRef, DateTime<Utc>)> = kept.iter().map(|it| (it.clone(), now)).collect();
    insert_dated(c, of, &kept)
}

/// As [`insert`], each with the time since when it is kept.
///
/// # Errors
/// Those of the database.
pub fn insert_dated(
    c: &mut Connection,
    of: impl Into<PartId>,
    kept: &[(KeptRef, DateTime<Utc>)],
) -> Result<u64, StoreError> {
    let of = of.into();
    let sql = "INSERT INTO kept (mirror_id, part, ref, kept_ref, oid, reason, created_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (mirror_id, part, kept_ref) DO NOTHING";
    let mut new = 0;
    // One by one: a sync keeps few, since one that would keep many waits for an admin.
    for (it, at) in kept {
        let made = diesel::sql_query(sql)
            .bind::<Text, _>(of.mirror.to_string())
            .bind::<Text, _>(of.part.as_str().to_owned())
            .bind::<Text, _>(it.name.to_string())
            .bind::<Text, _>(it.kept.to_string())
            .bind::<Text, _>(it.oid.to_string())
            .bind::<Text, _>(it.reason.to_string())
            .bind::<Text, _>(time::text(*at))
            .execute(&mut c.db)?;
        new += u64::try_from(made).unwrap_or_default();
    }
    Ok(new)
}

/// Kept refs of a mirror, the newest first.
///
/// # Errors
/// [`StoreError::Cursor`]; those of the database.
pub fn list(c: &mut Connection, of: impl Into<PartId>, window: &Window) -> Result<Page<Kept>, StoreError> {
    let mut query = its(of.into()).select(KeptRow::as_select()).into_boxed();
    if let Some(before) = window.after::<i64>()? {
        query = query.filter(kept::id.lt(before));
    }
    let rows: Vec<KeptRow> = query.order(kept::id.desc()).limit(window.fetch()).load(&mut c.db)?;
    window.page(rows, |it| it.id, Kept::try_from)
}

/// One kept ref of a mirror's code.
///
/// # Errors
/// Those of the database.
pub fn find(c: &mut Connection, mirror: MirrorId, id: KeptId) -> Result<Option<Kept>, StoreError> {
    let its = kept::table
        .find(id.0)
        .filter(kept::mirror_id.eq(mirror.to_string()))
        .filter(kept::part.eq(Part::Code.as_str()));
    let row: Option<KeptRow> = its.select(KeptRow::as_select()).first(&mut c.db).optional()?;
    row.map(Kept::try_from).transpose()
}

/// One kept ref of a mirror by the ref that holds it.
///
/// # Errors
/// Those of the database.
pub fn find_by_ref(c: &mut Connection, of: impl Into<PartId>, kept_ref: &str) -> Result<Option<Kept>, StoreError> {
    let that = its(of.into()).filter(kept::kept_ref.eq(kept_ref));
    let row: Option<KeptRow> = that.select(KeptRow::as_select()).first(&mut c.db).optional()?;
    row.map(Kept::try_from).transpose()
}

/// All kept refs of a mirror, the oldest first.
///
/// # Errors
/// Those of the database.
pub fn all(c: &mut Connection, of: impl Into<PartId>) -> Result<Vec<Kept>, StoreError> {
    let rows: Vec<KeptRow> =
        its(of.into()).order((kept::created_at.asc(), kept::id.asc())).select(KeptRow::as_select()).load(&mut c.db)?;
    rows.into_iter().map(Kept::try_from).collect()
}

/// Says that kept refs are about to be deleted.
///
/// # Errors
/// Those of the database.
pub fn doom(c: &mut Connection, ids: &[KeptId], now: DateTime<Utc>) -> Result<(), StoreError> {
    for some in ids.chunks(AT_ONCE) {
        let its = kept::table.filter(kept::id.eq_any(some.iter().map(|it| it.0)));
        diesel::update(its).set(kept::doomed_at.eq(Some(time::text(now)))).execute(&mut c.db)?;
    }
    Ok(())
}

/// Kept refs of a mirror that were to be deleted, by this run or one that was cut off.
///
/// # Errors
/// Those of the database.
pub fn doomed(c: &mut Connection, mirror: MirrorId) -> Result<Vec<Kept>, StoreError> {
    let rows: Vec<KeptRow> = its(mirror.into())
        .filter(kept::doomed_at.is_not_null())
        .order(kept::id.asc())
        .select(KeptRow::as_select())
        .load(&mut c.db)?;
    rows.into_iter().map(Kept::try_from).collect()
}

/// Forgets kept refs: they are deleted.
///
/// # Errors
/// Those of the database.
pub fn forget(c: &mut Connection, ids: &[KeptId]) -> Result<(), StoreError> {
    for some in ids.chunks(AT_ONCE) {
        diesel::delete(kept::table.filter(kept::id.eq_any(some.iter().map(|it| it.0)))).execute(&mut c.db)?;
    }
    Ok(())
}

/// Whether a mirror has a kept ref that the rule gives up.
///
/// # Errors
/// Those of the database.
pub fn any_given_up(
    c: &mut Connection,
    mirror: MirrorId,
    rule: &Retention,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    if !rule.is_set() {
        return Ok(false);
    }
    let all: Vec<(Reason, DateTime<Utc>)> = all(c, mirror)?.iter().map(|it| (it.reason, it.created_at)).collect();
    Ok(!rule.given_up(&all, now).is_empty())
}

/// How many a mirror has.
///
/// # Errors
/// Those of the database.
pub fn count(c: &mut Connection, of: impl Into<PartId>) -> Result<u64, StoreError> {
    let count: i64 = its(of.into()).count().get_result(&mut c.db)?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// The names of all kept refs of a mirror.
///
/// # Errors
/// Those of the database.
pub fn names(c: &mut Connection, of: impl Into<PartId>) -> Result<BTreeSet<RefName>, StoreError> {
    let names: Vec<String> = its(of.into()).select(kept::kept_ref).load(&mut c.db)?;
    names.iter().map(|it| RefName::new(it).map_err(|e| StoreError::Corrupt(e.to_string()))).collect()
}
