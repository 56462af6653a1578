//! Where every ref of a mirror's parts stood at each time that was proven: what `restore --at` goes by.
//!
//! [`super::tips`] writes a row for each ref that moves by our doing, in the transaction that settles it,
//! from the first proof on. A proof that finds another state than the one before leaves a row that says after
//! which of these changes it was. What stands now, with the later changes taken back, is that state.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::dsl::{exists, max, min, select};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::domain::part::PartId;
use crate::domain::refs::{Oid, RefMap, RefName};

use super::connection::Connection;
use super::error::StoreError;
use super::schema::{ref_changes, states};
use super::{mirrors, time, tips};

/// Changes of one part of a mirror that are remembered; older states than they reach cannot be restored by time.
const MOST_CHANGES: i64 = 100_000;
/// States forgotten at once, so that the transaction stays short.
const FORGOTTEN: i64 = 1_000;

/// A state that was proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// When.
    pub at: DateTime<Utc>,
    /// Digest of the managed refs and HEAD.
    pub digest: String,
    /// Where HEAD pointed upstream.
    pub head: Option<RefName>,
    /// The last change before it.
    last_change: i64,
}

type Row = (String, String, Option<String>, i64);

fn state((at, digest, head, last_change): Row) -> Result<State, StoreError> {
    let head = head.map(|it| RefName::new(&it).map_err(|e| StoreError::Corrupt(e.to_string()))).transpose()?;
    Ok(State { at: time::read(&at)?, digest, head, last_change })
}

/// The changes of one part.
#[diesel::dsl::auto_type(no_type_alias)]
fn changes_of<'a>(of: PartId) -> _ {
    let (mirror, part): (String, &'a str) = (of.mirror.to_string(), of.part.as_str());
    ref_changes::table.filter(ref_changes::mirror_id.eq(mirror)).filter(ref_changes::part.eq(part))
}

/// The states of one part.
#[diesel::dsl::auto_type(no_type_alias)]
fn states_of<'a>(of: PartId) -> _ {
    let (mirror, part): (String, &'a str) = (of.mirror.to_string(), of.part.as_str());
    states::table.filter(states::mirror_id.eq(mirror)).filter(states::part.eq(part))
}

/// Writes down a proven state, unless it is the one of the last proof. A state beyond the bound of what is
/// remembered goes.
///
/// # Errors
/// Those of the database.
pub fn note_state(
    c: &mut Connection,
    of: impl Into<PartId>,
    digest: &str,
    head: Option<&RefName>,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let of = of.into();
    let last: Option<String> =
        states_of(of).order(states::id.desc()).select(states::digest).first(&mut c.db).optional()?;
    if last.as_deref() == Some(digest) {
        return Ok(());
    }
    let change = last_change(c, of)?;
    insert_state(c, of, digest, head, at, change)?;
    bound(c, of)
}

fn last_change(c: &mut Connection, of: PartId) -> Result<i64, StoreError> {
    let last: Option<i64> = changes_of(of).select(max(ref_changes::id)).first(&mut c.db)?;
    Ok(last.unwrap_or(0))
}

fn insert_state(
    c: &mut Connection,
    of: PartId,
    digest: &str,
    head: Option<&RefName>,
    at: DateTime<Utc>,
    change: i64,
) -> Result<(), StoreError> {
    diesel::insert_into(states::table)
        .values((
            states::mirror_id.eq(of.mirror.to_string()),
            states::part.eq(of.part.as_str()),
            states::at.eq(time::text(at)),
            states::digest.eq(digest),
            states::head.eq(head.map(RefName::as_str)),
            states::last_change.eq(change),
        ))
        .execute(&mut c.db)?;
    Ok(())
}

/// Forgets what lies before the last [`MOST_CHANGES`] changes.
fn bound(c: &mut Connection, of: PartId) -> Result<(), StoreError> {
    let beyond: Option<i64> = changes_of(of)
        .order(ref_changes::id.desc())
        .offset(MOST_CHANGES)
        .select(ref_changes::id)
        .first(&mut c.db)
        .optional()?;
    let Some(beyond) = beyond else { return Ok(()) };
    diesel::delete(states_of(of).filter(states::last_change.lt(beyond))).execute(&mut c.db)?;
    forget_changes(c, of)
}

/// Changes before the oldest state that is left tell nothing any more.
fn forget_changes(c: &mut Connection, of: PartId) -> Result<(), StoreError> {
    let oldest: Option<i64> = states_of(of).select(min(states::last_change)).first(&mut c.db)?;
    let Some(oldest) = oldest else { return Ok(()) };
    diesel::delete(changes_of(of).filter(ref_changes::id.le(oldest))).execute(&mut c.db)?;
    Ok(())
}

/// The last state that was proven at a time or before it; `None` when none was.
///
/// # Errors
/// Those of the database.
pub fn state_at(c: &mut Connection, of: impl Into<PartId>, at: DateTime<Utc>) -> Result<Option<State>, StoreError> {
    let row: Option<Row> = states_of(of.into())
        .filter(states::at.le(time::text(at)))
        .order((states::at.desc(), states::id.desc()))
        .select((states::at, states::digest, states::head, states::last_change))
        .first(&mut c.db)
        .optional()?;
    row.map(state).transpose()
}

/// The first state that is remembered.
///
/// # Errors
/// Those of the database.
pub fn first_state(c: &mut Connection, of: impl Into<PartId>) -> Result<Option<State>, StoreError> {
    let row: Option<Row> = states_of(of.into())
        .order((states::at.asc(), states::id.asc()))
        .select((states::at, states::digest, states::head, states::last_change))
        .first(&mut c.db)
        .optional()?;
    row.map(state).transpose()
}

/// Where every ref stood that starkeep had put, alias refs included, when a state was proven.
///
/// # Errors
/// Those of the database.
pub fn refs_at(c: &mut Connection, of: impl Into<PartId>, state: &State) -> Result<RefMap, StoreError> {
    let of = of.into();
    let (mut refs, _) = tips::load(c, of)?;
    let later: Vec<(String, Option<String>)> = changes_of(of)
        .filter(ref_changes::id.gt(state.last_change))
        .order(ref_changes::id.desc())
        .select((ref_changes::name, ref_changes::old))
        .load(&mut c.db)?;
    for (name, old) in later {
        let name = RefName::new(&name).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        match old {
            Some(old) => refs.insert(name, mirrors::oid(&old)?),
            None => refs.remove(&name),
        };
    }
    Ok(refs)
}

/// A state as it is told by somebody else: a project's markers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// When it was proven.
    pub at: DateTime<Utc>,
    /// Digest of the managed refs and HEAD.
    pub digest: String,
    /// Where HEAD pointed upstream.
    pub head: Option<RefName>,
    /// Where every ref stood.
    pub refs: RefMap,
}

/// Writes down states of the past, the oldest first, and how `now` came of the last of them.
///
/// # Errors
/// Those of the database.
pub fn tell(
    c: &mut Connection,
    of: impl Into<PartId>,
    past: &[Told],
    now: &RefMap,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let of = of.into();
    for (index, told) in past.iter().enumerate() {
        let before = last_change(c, of)?;
        insert_state(c, of, &told.digest, told.head.as_ref(), told.at, before)?;
        let (next, then) = past.get(index + 1).map_or((now, at), |it| (&it.refs, it.at));
        for (name, old, new) in changes(&told.refs, next) {
            diesel::insert_into(ref_changes::table)
                .values((
                    ref_changes::mirror_id.eq(of.mirror.to_string()),
                    ref_changes::part.eq(of.part.as_str()),
                    ref_changes::name.eq(name.as_str()),
                    ref_changes::old.eq(old.map(|it| it.to_string())),
                    ref_changes::new.eq(new.map(|it| it.to_string())),
                    ref_changes::at.eq(time::text(then)),
                ))
                .execute(&mut c.db)?;
        }
    }
    Ok(())
}

fn changes<'a>(one: &'a RefMap, other: &'a RefMap) -> impl Iterator<Item = (&'a RefName, Option<Oid>, Option<Oid>)> {
    let gone = one.iter().filter(|(name, _)| !other.contains_key(*name)).map(|(name, old)| (name, Some(*old), None));
    let moved = other.iter().filter_map(|(name, new)| {
        let old = one.get(name).copied();
        (old != Some(*new)).then_some((name, old, Some(*new)))
    });
    gone.chain(moved)
}

/// Forgets what was known of a part's states: its project is another one.
///
/// # Errors
/// Those of the database.
pub(super) fn forget(c: &mut Connection, of: impl Into<PartId>) -> Result<(), StoreError> {
    let of = of.into();
    diesel::delete(states_of(of)).execute(&mut c.db)?;
    diesel::delete(changes_of(of)).execute(&mut c.db)?;
    Ok(())
}

/// Forgets states from before a time, some at once; says how many. The last of each mirror from before it
/// stays: it is what stood at that time.
///
/// # Errors
/// Those of the database.
pub fn prune(c: &mut Connection, before: DateTime<Utc>) -> Result<usize, StoreError> {
    let at = time::text(before);
    // Nearly always there is nothing, which the index of times tells at once.
    if !select(exists(states::table.filter(states::at.lt(&at)))).get_result::<bool>(&mut c.db)? {
        return Ok(0);
    }
    let sql = "DELETE FROM states WHERE id IN (SELECT old.id FROM states AS old WHERE old.at < $1 \
               AND EXISTS (SELECT 1 FROM states AS newer WHERE newer.mirror_id = old.mirror_id \
                           AND newer.part = old.part AND newer.at < $1 AND newer.id > old.id) \
               ORDER BY old.at LIMIT $2) RETURNING mirror_id, part";
    let gone: Vec<Whose> = diesel::sql_query(sql).bind::<Text, _>(at).bind::<BigInt, _>(FORGOTTEN).load(&mut c.db)?;
    let whose = gone.iter().map(|it| Ok(PartId { mirror: mirrors::mirror_id(&it.mirror_id)?, part: it.part.parse()? }));
    let whose: BTreeSet<PartId> = whose.collect::<Result<_, StoreError>>()?;
    whose.into_iter().try_for_each(|of| forget_changes(c, of))?;
    Ok(gone.len())
}

#[derive(QueryableByName)]
struct Whose {
    #[diesel(sql_type = Text)]
    mirror_id: String,
    #[diesel(sql_type = Text)]
    part: String,
}
