//! Where every ref stood at each time that was proven: what `restore --at` goes by.
//!
//! [`super::tips`] writes a row for each ref that moves by our doing, in the transaction that settles it,
//! from the first proof on. A proof that finds another state than the one before leaves a row that says after
//! which of these changes it was. What stands now, with the later changes taken back, is that state.

use chrono::{DateTime, Utc};
use diesel::dsl::{exists, max, min, select};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::domain::ids::MirrorId;
use crate::domain::refs::{Oid, RefMap, RefName};

use super::connection::Connection;
use super::error::StoreError;
use super::schema::{ref_changes, states};
use super::{mirrors, time, tips};

/// Changes of one mirror that are remembered; older states than they reach cannot be restored by time.
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

/// Writes down a proven state, unless it is the one of the last proof. A state beyond the bound of what is
/// remembered goes.
///
/// # Errors
/// Those of the database.
pub fn note_state(
    c: &mut Connection,
    mirror: MirrorId,
    digest: &str,
    head: Option<&RefName>,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let id = mirror.to_string();
    let last: Option<String> = states::table
        .filter(states::mirror_id.eq(&id))
        .order(states::id.desc())
        .select(states::digest)
        .first(&mut c.db)
        .optional()?;
    if last.as_deref() == Some(digest) {
        return Ok(());
    }
    let change: Option<i64> =
        ref_changes::table.filter(ref_changes::mirror_id.eq(&id)).select(max(ref_changes::id)).first(&mut c.db)?;
    insert_state(c, mirror, digest, head, at, change.unwrap_or(0))?;
    bound(c, &id)
}

fn insert_state(
    c: &mut Connection,
    mirror: MirrorId,
    digest: &str,
    head: Option<&RefName>,
    at: DateTime<Utc>,
    change: i64,
) -> Result<(), StoreError> {
    diesel::insert_into(states::table)
        .values((
            states::mirror_id.eq(mirror.to_string()),
            states::at.eq(time::text(at)),
            states::digest.eq(digest),
            states::head.eq(head.map(RefName::as_str)),
            states::last_change.eq(change),
        ))
        .execute(&mut c.db)?;
    Ok(())
}

/// Forgets what lies before the last [`MOST_CHANGES`] changes of a mirror.
fn bound(c: &mut Connection, id: &str) -> Result<(), StoreError> {
    let beyond: Option<i64> = ref_changes::table
        .filter(ref_changes::mirror_id.eq(id))
        .order(ref_changes::id.desc())
        .offset(MOST_CHANGES)
        .select(ref_changes::id)
        .first(&mut c.db)
        .optional()?;
    let Some(beyond) = beyond else { return Ok(()) };
    let its = states::table.filter(states::mirror_id.eq(id)).filter(states::last_change.lt(beyond));
    diesel::delete(its).execute(&mut c.db)?;
    forget_changes(c, id)
}

/// Changes before the oldest state that is left tell nothing any more.
fn forget_changes(c: &mut Connection, id: &str) -> Result<(), StoreError> {
    let oldest: Option<i64> =
        states::table.filter(states::mirror_id.eq(id)).select(min(states::last_change)).first(&mut c.db)?;
    let Some(oldest) = oldest else { return Ok(()) };
    let its = ref_changes::table.filter(ref_changes::mirror_id.eq(id)).filter(ref_changes::id.le(oldest));
    diesel::delete(its).execute(&mut c.db)?;
    Ok(())
}

/// The last state that was proven at a time or before it; `None` when none was.
///
/// # Errors
/// Those of the database.
pub fn state_at(c: &mut Connection, mirror: MirrorId, at: DateTime<Utc>) -> Result<Option<State>, StoreError> {
    let row: Option<Row> = states::table
        .filter(states::mirror_id.eq(mirror.to_string()))
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
pub fn first_state(c: &mut Connection, mirror: MirrorId) -> Result<Option<State>, StoreError> {
    let row: Option<Row> = states::table
        .filter(states::mirror_id.eq(mirror.to_string()))
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
pub fn refs_at(c: &mut Connection, mirror: MirrorId, state: &State) -> Result<RefMap, StoreError> {
    let (mut refs, _) = tips::load(c, mirror)?;
    let later: Vec<(String, Option<String>)> = ref_changes::table
        .filter(ref_changes::mirror_id.eq(mirror.to_string()))
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
    mirror: MirrorId,
    past: &[Told],
    now: &RefMap,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    for (index, told) in past.iter().enumerate() {
        let before: i64 = ref_changes::table
            .filter(ref_changes::mirror_id.eq(mirror.to_string()))
            .select(max(ref_changes::id))
            .first::<Option<i64>>(&mut c.db)?
            .unwrap_or(0);
        insert_state(c, mirror, &told.digest, told.head.as_ref(), told.at, before)?;
        let (next, then) = past.get(index + 1).map_or((now, at), |it| (&it.refs, it.at));
        for (name, old, new) in changes(&told.refs, next) {
            diesel::insert_into(ref_changes::table)
                .values((
                    ref_changes::mirror_id.eq(mirror.to_string()),
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

/// Forgets what was known of a mirror's states: its project is another one.
///
/// # Errors
/// Those of the database.
pub(super) fn forget(c: &mut Connection, mirror: MirrorId) -> Result<(), StoreError> {
    let id = mirror.to_string();
    diesel::delete(states::table.filter(states::mirror_id.eq(&id))).execute(&mut c.db)?;
    diesel::delete(ref_changes::table.filter(ref_changes::mirror_id.eq(&id))).execute(&mut c.db)?;
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
                           AND newer.at < $1 AND newer.id > old.id) \
               ORDER BY old.at LIMIT $2) RETURNING mirror_id";
    let gone: Vec<Whose> = diesel::sql_query(sql).bind::<Text, _>(at).bind::<BigInt, _>(FORGOTTEN).load(&mut c.db)?;
    let mut whose: Vec<&str> = gone.iter().map(|it| it.mirror_id.as_str()).collect();
    whose.sort_unstable();
    whose.dedup();
    whose.into_iter().try_for_each(|id| forget_changes(c, id))?;
    Ok(gone.len())
}

#[derive(QueryableByName)]
struct Whose {
    #[diesel(sql_type = Text)]
    mirror_id: String,
}
