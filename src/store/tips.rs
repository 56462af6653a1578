//! Where each managed ref of a mirror's part was last put by us, and what is about to be put.
//!
//! An intent is committed before the push goes out. After a crash a ref that stands where we meant to
//! put it is known as ours, and one that stands elsewhere as moved by somebody. Some thousand refs go in
//! one statement, as a JSON array that the database takes apart.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::domain::part::{Part, PartId};
use crate::domain::refs::{Oid, RefMap, RefName};

use super::connection::Connection;
use super::error::StoreError;
use super::mirrors::oid;
use super::prepared::Prepare as _;
use super::schema::tips;
use super::time;

/// What is about to be put: an oid, or `None` for a deletion.
pub type Intents = BTreeMap<RefName, Option<Oid>>;

type Row = (String, Option<String>, Option<String>);

/// What was last put, and the intents that are not settled yet.
///
/// # Errors
/// Those of the database.
pub fn load(c: &mut Connection, of: impl Into<PartId>) -> Result<(RefMap, Intents), StoreError> {
    let of = of.into();
    let rows: Vec<Row> = tips::table
        .filter(tips::mirror_id.eq(of.mirror.to_string()))
        .filter(tips::part.eq(of.part.as_str()))
        .select((tips::name, tips::put, tips::intent))
        .load(&mut c.db)?;
    let (mut put, mut intents) = (RefMap::new(), Intents::new());
    for (name, stands, intent) in rows {
        let name = RefName::new(&name).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        if let Some(intent) = intent {
            let meant = oid(&intent)?;
            intents.insert(name.clone(), (meant != Oid::ZERO).then_some(meant));
        }
        if let Some(stands) = stands {
            put.insert(name, oid(&stands)?);
        }
    }
    Ok((put, intents))
}

/// Commits to what is about to be put.
///
/// # Errors
/// Those of the database.
pub fn intend(c: &mut Connection, of: impl Into<PartId>, meant: &[(RefName, Option<Oid>)]) -> Result<(), StoreError> {
    let of = of.into();
    let pairs = meant.iter().map(|(name, it)| (name, it.unwrap_or(Oid::ZERO)));
    each(c, of, pairs, |rows| {
        format!(
            "INSERT INTO tips (mirror_id, part, ref, intent) {rows} \
             ON CONFLICT (mirror_id, part, ref) DO UPDATE SET intent = excluded.intent"
        )
    })
}

/// Says where refs stand now by our doing, `None` for gone; their intents are settled by it. From a part's
/// first proof on what moves by that is written to its history.
///
/// # Errors
/// Those of the database.
pub fn settle(
    c: &mut Connection,
    of: impl Into<PartId>,
    put: &[(RefName, Option<Oid>)],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let of = of.into();
    log(c, of, put, now)?;
    let stand = put.iter().filter_map(|(name, it)| it.map(|it| (name, it)));
    each(c, of, stand, |rows| {
        format!(
            "INSERT INTO tips (mirror_id, part, ref, put) {rows} \
             ON CONFLICT (mirror_id, part, ref) DO UPDATE SET put = excluded.put, intent = NULL"
        )
    })?;
    let gone = put.iter().filter(|(_, it)| it.is_none()).map(|(name, _)| (name, Oid::ZERO));
    each(c, of, gone, |rows| {
        format!("DELETE FROM tips WHERE (mirror_id, part, ref) IN (SELECT mirror, part, name FROM ({rows}) AS gone)")
    })
}

/// Drops all intents of a mirror: both sides were read, so nothing is half-done any more.
///
/// # Errors
/// Those of the database.
pub fn clear_intents(c: &mut Connection, of: impl Into<PartId>) -> Result<(), StoreError> {
    let of = of.into();
    let mirror = of.mirror.to_string();
    let its = || {
        let part = tips::part.eq(of.part.as_str());
        tips::table.filter(tips::mirror_id.eq(mirror.clone())).filter(part).filter(tips::intent.is_not_null())
    };
    diesel::delete(its().filter(tips::put.is_null())).execute(&mut c.db)?;
    diesel::update(its()).set(tips::intent.eq(None::<String>)).execute(&mut c.db)?;
    Ok(())
}

/// Says that exactly these refs stand by our doing and nothing is about to be put.
///
/// # Errors
/// Those of the database.
pub fn replace_all(c: &mut Connection, of: impl Into<PartId>, put: &RefMap) -> Result<(), StoreError> {
    let of = of.into();
    let part = tips::part.eq(of.part.as_str());
    diesel::delete(tips::table.filter(tips::mirror_id.eq(of.mirror.to_string())).filter(part)).execute(&mut c.db)?;
    each(c, of, put.iter().map(|(name, it)| (name, *it)), |rows| {
        format!("INSERT INTO tips (mirror_id, part, ref, put) {rows} ON CONFLICT (mirror_id, part, ref) DO NOTHING")
    })
}

/// Before refs are settled: those that move go to the history of a part that was proven before.
fn log(c: &mut Connection, of: PartId, put: &[(RefName, Option<Oid>)], now: DateTime<Utc>) -> Result<(), StoreError> {
    let zero = Oid::ZERO;
    let statement = format!(
        "WITH moved AS ({}) INSERT INTO ref_changes (mirror_id, part, ref, old, new, at) \
         SELECT moved.mirror, moved.part, moved.name, tips.put, NULLIF(moved.oid, '{zero}'), $4 FROM moved \
         LEFT JOIN tips ON tips.mirror_id = moved.mirror AND tips.part = moved.part AND tips.ref = moved.name \
         WHERE (EXISTS (SELECT 1 FROM mirrors WHERE id = $1 AND $2 = '{}' AND first_proof_at IS NOT NULL) \
         OR EXISTS (SELECT 1 FROM parts WHERE mirror_id = $1 AND part = $2 AND first_proof_at IS NOT NULL)) \
         AND COALESCE(tips.put, '{zero}') <> moved.oid",
        rows_of(c),
        Part::Code,
    );
    let pairs: Vec<(&RefName, Oid)> = put.iter().map(|(name, it)| (name, it.unwrap_or(zero))).collect();
    for some in pairs.chunks(AT_ONCE) {
        let json = serde_json::to_string(some).map_err(|e| StoreError::Refused(e.to_string()))?;
        diesel::sql_query(&statement)
            .bind::<Text, _>(of.mirror.to_string())
            .bind::<Text, _>(of.part.as_str().to_owned())
            .bind::<Text, _>(json)
            .bind::<Text, _>(time::text(now))
            .prepared()
            .execute(&mut c.db)?;
    }
    Ok(())
}

/// Refs in one statement. The database holds the array twice while it takes it apart.
const AT_ONCE: usize = 5_000;

/// Runs one statement over a query that gives `(mirror, part, name, oid)` for each pair.
fn each<'a>(
    c: &mut Connection,
    of: PartId,
    pairs: impl Iterator<Item = (&'a RefName, Oid)>,
    statement: impl FnOnce(&str) -> String,
) -> Result<(), StoreError> {
    let pairs: Vec<(&RefName, Oid)> = pairs.collect();
    if pairs.is_empty() {
        return Ok(());
    }
    let statement = statement(rows_of(c));
    for some in pairs.chunks(AT_ONCE) {
        let json = serde_json::to_string(some).map_err(|e| StoreError::Refused(e.to_string()))?;
        diesel::sql_query(&statement)
            .bind::<Text, _>(of.mirror.to_string())
            .bind::<Text, _>(of.part.as_str().to_owned())
            .bind::<Text, _>(json)
            .prepared()
            .execute(&mut c.db)?;
    }
    Ok(())
}

/// A query that takes a JSON array of pairs, `$3`, apart: `(mirror, part, name, oid)` for each.
fn rows_of(c: &Connection) -> &'static str {
    // `WHERE true` keeps SQLite from reading ON CONFLICT as part of a join.
    if c.is_postgres() {
        "SELECT $1 AS mirror, $2 AS part, pair->>0 AS name, pair->>1 AS oid FROM json_array_elements($3::json) AS pair WHERE true"
    } else {
        "SELECT $1 AS mirror, $2 AS part, value->>0 AS name, value->>1 AS oid FROM json_each($3) WHERE true"
    }
}
